//! Places that refuse what they are given: a full disk, a bucket that throttles, cuts off, denies or forgets to answer. Nothing is lost or doubled, the
//! error says what, where and what to do, and the pipeline goes on by itself once the place is well again.

use anyhow::{Context, Result, ensure};
use e2e::{Lakebox, Postgres, Project, S3, until};
use std::{fs::File, io::Write, path::Path, time::Duration};

const DISK_MB: u32 = 48;
const PATIENCE: Duration = Duration::from_secs(120);

/// A database whose table `orders` has a hundred rows.
async fn shop() -> Result<(Postgres, tokio_postgres::Client)> {
    let server = Postgres::start(15).await?;
    let db = server.client("postgres").await?;
    db.batch_execute("create table orders(id int primary key, note text)").await?;
    insert(&db, 1, 100, "'first ' || g").await?;
    Ok((server, db))
}

async fn insert(db: &tokio_postgres::Client, from: usize, to: usize, note: &str) -> Result<()> {
    Ok(db.batch_execute(&format!("insert into orders select g, {note} from generate_series({from}, {to}) g")).await?)
}

fn source(server: &Postgres) -> String {
    format!(
        "sources:\n  shop:\n    type: postgres\n    url: {}\n    tables: [public.orders]\n    commit: {{ every: 200ms }}\n",
        server.url("postgres")
    )
}

#[tokio::test]
async fn a_full_disk_stops_the_tables_on_it_until_there_is_room() -> Result<()> {
    full_disk("lake:\n  warehouse: ./disk/lake\n  catalog: sqlite:./catalog.db\n").await
}

#[tokio::test]
async fn a_full_disk_with_tables_and_catalog_stops_both_until_there_is_room() -> Result<()> {
    full_disk("lake:\n  warehouse: ./disk/lake\n").await
}

/// More rows than the disk has room for, then room.
async fn full_disk(lake: &str) -> Result<()> {
    let (server, db) = shop().await?;
    let Some((project, lakebox)) = on_a_small_disk(&format!("{lake}{}", source(&server))).await? else { return Ok(()) };
    committed(&db, &lakebox).await?;
    let ballast = lakebox.inside(&project.path().join("disk/ballast"))?;
    fill(&ballast, 40 << 20)?;

    // About 16 MB once compressed, into about 7 that are free.
    insert(&db, 101, 30_100, "(select string_agg(md5(g::text || i), '') from generate_series(1, 32) i)").await?;
    let words = ["storage", "the disk is full", "/disk/lake", "free space"];
    clear(&lakebox, &lakebox.complains("shop", &words).await?, &words)?;
    // Reading goes on.
    lakebox.answers("select count(*) from silver.shop_orders where note like 'first %'", "[[100]]").await?;

    std::fs::remove_file(&ballast)?;
    healed(&db, &lakebox).await
}

#[tokio::test]
async fn a_full_disk_under_the_catalog_alone_stops_commits_until_there_is_room() -> Result<()> {
    let (server, db) = shop().await?;
    let text = format!("lake:\n  warehouse: ./lake\n  catalog: sqlite:./disk/catalog.db\n{}", source(&server));
    let Some((project, lakebox)) = on_a_small_disk(&text).await? else { return Ok(()) };
    committed(&db, &lakebox).await?;
    let ballast = lakebox.inside(&project.path().join("disk/ballast"))?;
    fill(&ballast, u64::MAX)?;

    // The catalog may still have room in its files for some commits.
    let mut next = 101;
    until("a commit that is one too many", PATIENCE, || {
        let (db, lakebox, id) = (&db, &lakebox, next);
        next += 1;
        async move {
            insert(db, id, id, "'one'").await?;
            Ok(lakebox.pipeline("shop").await?.last_error)
        }
    })
    .await?;
    let words = ["storage", "catalog.db", "full", "free some space"];
    clear(&lakebox, &lakebox.complains("shop", &words).await?, &words)?;

    std::fs::remove_file(&ballast)?;
    healed(&db, &lakebox).await
}

/// A server with the project's folder `disk` on a disk of its own; none, and a word about it, where this machine has no such thing.
async fn on_a_small_disk(text: &str) -> Result<Option<(Project, Lakebox)>> {
    let mut project = Project::new(text)?;
    if !project.on_disk_of_its_own("disk", DISK_MB).await? {
        println!("neither root nor user namespaces may mount a file system here: nothing was tested");
        return Ok(None);
    }
    let lakebox = project.serve().await?;
    Ok(Some((project, lakebox)))
}

/// Writes a file of so many bytes, or until the disk is full.
fn fill(path: &Path, bytes: u64) -> Result<()> {
    const CHUNK: [u8; 16 << 10] = [0; 16 << 10];
    let mut file = File::create(path)?;
    let mut written = 0;
    while written < bytes {
        match file.write(&CHUNK) {
            Ok(n) => written += n as u64,
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_fails_every_fifth_request_loses_and_doubles_nothing() -> Result<()> {
    let kinds = ["slow_down", "cut", "unanswered"];
    let s3 = S3::start(0x53).await?;
    s3.make_bucket("lake").await?;
    let (server, db) = shop().await?;
    let project = Project::new(&format!("{}{}", s3.settings("lake"), source(&server)))?;
    s3.faults(0.2, &kinds).await?;
    let lakebox = project.serve().await?;
    // One commit or more for each, so that deletes are in other files than what they hide.
    for round in 0..12 {
        let from = 101 + round * 50;
        insert(&db, from, from + 49, "'more ' || g").await?;
        db.batch_execute(&format!(
            "update orders set note = note || '.' where id % 12 = {round}; delete from orders where id % 97 = {round}"
        ))
        .await?;
        same_rows(&db, &lakebox).await?;
        committed(&db, &lakebox).await?;
    }
    for kind in kinds {
        ensure!(s3.met(kind).await? > 0, "no request was met by `{kind}`: {} came", s3.met("requests").await?);
    }
    healed(&db, &lakebox).await?;
    // What is in the bucket is all there is: a new server reads it, over the same bad network.
    lakebox.terminate().await?;
    let lakebox = project.serve().await?;
    healed(&db, &lakebox).await
}

#[tokio::test]
async fn a_bucket_that_refuses_everything_is_told_clearly_and_heals() -> Result<()> {
    let s3 = S3::start(0x33).await?;
    s3.make_bucket("lake").await?;
    let (server, db) = shop().await?;
    let project = Project::new(&format!("{}{}", s3.settings("lake"), source(&server)))?;
    let lakebox = project.serve().await?;
    committed(&db, &lakebox).await?;
    // Both spellings of the place name the bucket so: s3://lake/… and http://host:port/lake/….
    let cases: [(&str, &[&str]); 3] = [
        ("slow_down", &["storage", "/lake/wh/"]),
        ("cut", &["storage", "/lake/wh/"]),
        ("denied", &["storage", "/lake/wh/", "credentials"]),
    ];
    for (round, (kind, words)) in cases.into_iter().enumerate() {
        s3.faults(1.0, &[kind]).await?;
        let from = 101 + round * 20;
        insert(&db, from, from + 19, "'more ' || g").await?;
        let told = lakebox.complains("shop", words).await.and_then(|error| clear(&lakebox, &error, words));
        told.with_context(|| format!("everything meets `{kind}`"))?;
        // What needs no file of the lake is answered.
        ensure!(lakebox.sql("select error from system.pipelines where error is not null").await?.len() == 1);
        s3.faults(0.0, &[kind]).await?;
        committed(&db, &lakebox).await?;
        lakebox.streams("shop").await?;
    }
    lakebox.keeps_to_itself(S3::SECRET).await?;
    healed(&db, &lakebox).await
}

/// An error is one sentence on one line with something to do about it; the log says the same.
fn clear(lakebox: &Lakebox, error: &api::FlowError, words: &[&str]) -> Result<()> {
    let message = &error.message;
    ensure!(!message.contains(['\n', '<']) && message.len() < 400, "this is no clear sentence: {message}");
    ensure!(error.hint.as_ref().is_some_and(|h| h.len() > 10), "nothing is said about what to do: {error:?}");
    let log = lakebox.log()?.to_lowercase();
    let said = log.lines().any(|line| words.iter().all(|w| line.contains(&w.to_lowercase())));
    ensure!(said, "no line of the log says {words:?}; {}", lakebox.log_tail());
    Ok(())
}

/// Waits until silver holds the source's rows and no others, then compares each.
async fn same_rows(db: &tokio_postgres::Client, lakebox: &Lakebox) -> Result<()> {
    const SUMS: &str =
        "select count(*)::text, coalesce(sum(id), 0)::text, md5(string_agg(id || ':' || note, ',' order by id)) from orders";
    let row = db.query_one(SUMS, &[]).await?;
    let source: Vec<String> = (0..row.len()).map(|i| row.get(i)).collect();
    until("silver to be the source", PATIENCE, || async {
        let sums = SUMS.replace("orders", "silver.shop_orders").replace("::text", "");
        let rows = lakebox.sql(&sums).await?;
        let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let lake: Vec<String> = rows[0].iter().map(text).collect();
        ensure!(lake == source, "count, sum and digest are {lake:?} where {source:?} is due");
        Ok(Some(()))
    })
    .await
    .with_context(|| lakebox.log_tail())
}

/// Waits until all that the source has committed is durable.
async fn committed(db: &tokio_postgres::Client, lakebox: &Lakebox) -> Result<()> {
    let rows = db.query_one("select count(*) from orders", &[]).await?.get::<_, i64>(0);
    lakebox.answers("select \"rows\", hot_rows from system.tables where table_schema = 'silver'", &format!("[[{rows},0]]")).await
}

/// Without a restart of the process: nothing is wrong any more, everything is durable, every change is in bronze once and in silver as it ended.
async fn healed(db: &tokio_postgres::Client, lakebox: &Lakebox) -> Result<()> {
    same_rows(db, lakebox).await?;
    committed(db, lakebox).await?;
    lakebox.streams("shop").await?;
    let rows = lakebox
        .sql(
            "select count(*) as changes, (select count(*) as n from (select distinct _pos, _seq from bronze.shop_orders) as p) as places \
             from bronze.shop_orders",
        )
        .await?;
    ensure!(rows[0][0] == rows[0][1], "{} changes at {} positions", rows[0][0], rows[0][1]);
    // And it goes on from there.
    let id = db.query_one("select max(id) from orders", &[]).await?.get::<_, i32>(0) as usize + 1;
    insert(db, id, id, "'at last'").await?;
    same_rows(db, lakebox).await
}
