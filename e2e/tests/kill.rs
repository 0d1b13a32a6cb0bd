//! SIGKILL at random moments under pgbench load: nothing lost, nothing doubled, no half transaction ever visible.

use anyhow::{Context, Result, bail, ensure};
use e2e::{Lakebox, Postgres, Project, until};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub(super) const TABLES: [(&str, &str, &str); 4] = [
    ("pgbench_accounts", "aid", "aid, bid, abalance, filler"),
    ("pgbench_branches", "bid", "bid, bbalance, filler"),
    ("pgbench_tellers", "tid", "tid, bid, tbalance, filler"),
    ("pgbench_history", "tid, bid, aid, delta, mtime", "tid, bid, aid, delta, mtime"),
];

pub(super) const SUMS: &str = "select (select sum(abalance) from silver.bench_pgbench_accounts), \
     (select sum(bbalance) from silver.bench_pgbench_branches), \
     (select sum(tbalance) from silver.bench_pgbench_tellers), \
     (select coalesce(sum(delta), 0) from silver.bench_pgbench_history)";

/// How hard: the short form in `make test`, the full one in `make soak`.
struct Load {
    scale: &'static str,
    kills: u32,
    rate: Option<&'static str>,
}

fn load() -> Load {
    #[expect(clippy::disallowed_methods, reason = "make soak asks for the long form")]
    if std::env::var("LAKEBOX_SOAK").is_ok() {
        Load { scale: "20", kills: 20, rate: None }
    } else {
        Load { scale: "2", kills: 5, rate: Some("400") }
    }
}

#[tokio::test]
async fn silver_equals_postgres_15_after_kills() -> Result<()> {
    kills(15, 0x15).await
}

#[tokio::test]
async fn silver_equals_postgres_17_after_kills() -> Result<()> {
    kills(17, 0x17).await
}

#[tokio::test]
async fn silver_equals_postgres_18_after_kills() -> Result<()> {
    kills(18, 0x18).await
}

async fn kills(major: u32, seed: u64) -> Result<()> {
    let load = load();
    let server = Postgres::start(major).await?;
    server.client("postgres").await?.batch_execute("create database bench").await?;
    server.tool("pgbench", &["-i", "-q", "-s", load.scale, "bench"]).await?;
    let db = server.client("bench").await?;
    db.batch_execute("create table marker(id int primary key)").await?;
    let project = Project::new(&format!(
        "sources:\n  bench:\n    type: postgres\n    url: {}\n    tables: [\"public.*\"]\n    commit: {{ every: 500ms }}\n",
        server.url("bench")
    ))?;

    let mut args = vec!["-n", "-c", "4", "-j", "2", "-T", "100000"];
    if let Some(rate) = load.rate {
        args.extend(["-R", rate]);
    }
    args.push("bench");
    let mut pgbench = server.background("pgbench", &args)?;

    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut checked, mut streaming) = (0, 0);
    for round in 0..load.kills {
        let lakebox = project.serve().await.with_context(|| format!("start {round} on PostgreSQL {major}"))?;
        // The first lives may all end within the first copy. Then it may come to its end, so that the others end in the stream.
        if round >= load.kills / 4 {
            until("the first copy", Duration::from_secs(120), || async { Ok(lakebox.sql(SUMS).await.ok()) }).await?;
        }
        let life = Duration::from_millis(rng.random_range(300..4000));
        let answers = watch_sums(&lakebox, life).await?;
        lakebox.kill().await?;
        checked += answers;
        streaming += u32::from(answers > 0);
    }
    println!("PostgreSQL {major}: {} kills, {streaming} of them in the stream, {checked} sums", load.kills);
    ensure!(streaming >= load.kills / 2, "only {streaming} of {} lives saw the stream", load.kills);
    ensure!(pgbench.try_wait()?.is_none(), "pgbench ended early: a source table refused its updates");
    pgbench.kill().await?;

    let lakebox = project.serve().await?;
    db.batch_execute("insert into marker values (1)").await?;
    until("the marker row", Duration::from_secs(120), || async {
        Ok(lakebox.sql("select id from silver.bench_marker").await?.first().map(drop))
    })
    .await
    .with_context(|| lakebox.log_tail())?;
    checked += watch_sums(&lakebox, Duration::from_secs(1)).await?;
    ensure!(checked > 0, "no query ever saw the tables");
    for (table, order, columns) in TABLES {
        same_rows(&db, &lakebox, table, order, columns).await?;
    }
    each_change_once(&lakebox).await?;
    upkept(&lakebox).await?;
    for (table, order, columns) in TABLES {
        same_rows(&db, &lakebox, table, order, columns).await?;
    }
    each_change_once(&lakebox).await?;
    lakebox.terminate().await
}

/// Upkeep worked through all of it, and brings every table into shape now.
async fn upkept(lakebox: &Lakebox) -> Result<()> {
    let rewrites =
        lakebox.sql("select count(*) from system.upkeep where step = 'rewrite' and error is null and files_before > 0").await?;
    ensure!(rewrites[0][0].as_i64() > Some(0), "no file was rewritten: {rewrites:?}");
    lakebox.upkeep().await?;
    let files = lakebox
        .sql("select table_schema, table_name, files, deleted_rows from system.tables where files > 3 or deleted_rows > 0")
        .await?;
    ensure!(files.is_empty(), "upkeep left much to be done: {files:?}");
    Ok(())
}

/// Asks for the four sums again and again; they must be equal in every answer. Returns how many answers there were.
async fn watch_sums(lakebox: &Lakebox, life: Duration) -> Result<u64> {
    let (answers, stop) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let watch = async {
        while !stop.load(Ordering::Relaxed) {
            match lakebox.sql(SUMS).await {
                Ok(rows) => {
                    let sums: Vec<String> =
                        rows[0].iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
                    if sums.iter().any(|s| s != &sums[0]) {
                        bail!("half a transaction was visible: accounts, branches, tellers, history = {sums:?}");
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                // Before the first copy is committed the tables do not exist.
                Err(e) if e.to_string().contains("unknown_table") => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(e) => return Err(e.context(lakebox.log_tail())),
            }
        }
        Ok(())
    };
    beside_upkeep(lakebox, life, &stop, watch).await?;
    Ok(answers.into_inner())
}

/// Runs `work` until `time` is over and `stop` is set. Files are rewritten all the while, so that kills and faults fall into every step of it.
pub(super) async fn beside_upkeep(
    lakebox: &Lakebox,
    time: Duration,
    stop: &AtomicBool,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let upkeep = async {
        while !stop.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(Duration::from_millis(500), lakebox.upkeep()).await;
        }
        Ok(())
    };
    let timer = async {
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        Ok(())
    };
    tokio::try_join!(work, upkeep, timer)?;
    Ok(())
}

pub(super) async fn same_rows(
    db: &tokio_postgres::Client,
    lakebox: &Lakebox,
    table: &str,
    order: &str,
    columns: &str,
) -> Result<()> {
    let select = columns
        .split(", ")
        .map(|c| if c == "mtime" { "to_char(mtime, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')".to_owned() } else { c.to_owned() });
    let select = select.collect::<Vec<_>>().join(", ");
    let rows = db.simple_query(&format!("select {select} from {table} order by {order}")).await?;
    let source = rows.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or("").trim_end().to_owned()).collect::<Vec<_>>())
        }
        _ => None,
    });
    let source: Vec<Vec<String>> = source.collect();
    let csv = lakebox
        .csv(&format!(
            "select {} from silver.bench_{table} order by {order}",
            columns.replace("mtime", "to_char(mtime, '%Y-%m-%dT%H:%M:%S%.6f') as mtime").replace("order by mtime", "")
        ))
        .await?;
    let lake: Vec<Vec<String>> =
        csv.lines().skip(1).map(|line| line.split(',').map(|v| v.trim_matches('"').trim_end().to_owned()).collect()).collect();
    ensure!(source.len() == lake.len(), "{table}: {} rows at the source, {} in silver", source.len(), lake.len());
    if let Some(i) = (0..source.len()).find(|&i| source[i] != lake[i]) {
        bail!("{table}: row {i} differs: source {:?}, silver {:?}", source[i], lake[i]);
    }
    Ok(())
}

/// pgbench updates one account, teller and branch and inserts one history row per transaction, so after the first copy the four
/// bronze tables must hold equally many changes, each at a position of its own.
pub(super) async fn each_change_once(lakebox: &Lakebox) -> Result<()> {
    let mut counts = Vec::new();
    for (table, ..) in TABLES {
        let rows = lakebox
            .sql(&format!(
                "select cast(count(*) as varchar) as changes, \
                 (select cast(count(*) as varchar) from (select distinct _pos, _seq from bronze.bench_{table}) as places) as places, \
                 cast(count(*) filter (where _op in ('u', 'c')) as varchar) as streamed from bronze.bench_{table}"
            ))
            .await?;
        ensure!(rows[0][0] == rows[0][1], "bronze.bench_{table}: {} rows at {} positions", rows[0][0], rows[0][1]);
        counts.push(rows[0][2].clone());
    }
    ensure!(counts.iter().all(|c| c == &counts[0]), "changes in bronze per table: {counts:?}");
    Ok(())
}
