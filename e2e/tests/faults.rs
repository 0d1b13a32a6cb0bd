//! A bucket that fails, stalls and lies in five of a hundred requests, while pgbench writes, upkeep rewrites, queries read and lakebox is killed:
//! every answer is right or a clear error, and at the end nothing is lost, doubled or wrong.

use crate::kill::{SUMS, TABLES, beside_upkeep, each_change_once, same_rows};
use anyhow::{Context, Result, bail, ensure};
use e2e::{Lakebox, Postgres, Project, S3, until};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

const SHARE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(180);

/// How hard: the short form in `make test`, the full one in `make soak`.
struct Load {
    scale: &'static str,
    lives: u32,
    life_ms: std::ops::Range<u64>,
    rate: &'static str,
}

fn load() -> Load {
    #[expect(clippy::disallowed_methods, reason = "make soak asks for the long form")]
    if std::env::var("LAKEBOX_SOAK").is_ok() {
        Load { scale: "5", lives: 12, life_ms: 5_000..40_000, rate: "400" }
    } else {
        Load { scale: "1", lives: 3, life_ms: 4_000..7_000, rate: "150" }
    }
}

#[tokio::test]
async fn a_bucket_that_fails_stalls_and_lies_costs_no_row_and_no_answer() -> Result<()> {
    run(0x0b5e, &[]).await
}

#[tokio::test]
async fn neither_does_one_behind_a_small_cache() -> Result<()> {
    run(0xcac4, &["cache: { dir: ./cache, max_bytes: 16MiB }"]).await
}

async fn run(seed: u64, more: &[&str]) -> Result<()> {
    let load = load();
    let s3 = S3::start(seed).await?;
    s3.make_bucket("lake").await?;
    let server = Postgres::start(17).await?;
    server.client("postgres").await?.batch_execute("create database bench").await?;
    server.tool("pgbench", &["-i", "-q", "-s", load.scale, "bench"]).await?;
    let db = server.client("bench").await?;
    db.batch_execute("create table marker(id int primary key)").await?;
    let project = Project::new(&format!(
        "{}sources:\n  bench:\n    type: postgres\n    url: {}\n    tables: [\"public.*\"]\n    commit: {{ every: 500ms }}\n",
        s3.settings_with("lake", more),
        server.url("bench")
    ))?;
    let mut pgbench = server.background("pgbench", &["-n", "-c", "4", "-j", "2", "-T", "100000", "-R", load.rate, "bench"])?;
    s3.faults(SHARE, &S3::FAULTS).await?;

    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let seen = Seen::default();
    for life in 0..load.lives {
        let lakebox = begin(&project).await.with_context(|| format!("life {life}"))?;
        until("the first copy", PATIENCE, || async { Ok(lakebox.sql(SUMS).await.ok()) })
            .await
            .with_context(|| lakebox.log_tail())?;
        let time = Duration::from_millis(rng.random_range(load.life_ms.clone()));
        watch(&lakebox, time, &seen).await.with_context(|| lakebox.log_tail())?;
        lakebox.kill().await?;
    }
    ensure!(pgbench.try_wait()?.is_none(), "pgbench ended early: a source table refused its updates");
    pgbench.kill().await?;

    // Still over the same bad network: everything must come to rest.
    let lakebox = begin(&project).await?;
    db.batch_execute("insert into marker values (1)").await?;
    until("the marker row", PATIENCE, || async {
        Ok(lakebox.sql("select id from silver.bench_marker").await?.first().map(drop))
    })
    .await
    .with_context(|| lakebox.log_tail())?;
    let hot = "select coalesce(sum(hot_rows), 0) from system.tables";
    until("everything to be durable", PATIENCE, || async {
        Ok((lakebox.sql(hot).await?[0][0].as_i64() == Some(0)).then_some(()))
    })
    .await
    .with_context(|| lakebox.log_tail())?;
    for round in 0..2 {
        for (table, order, columns) in TABLES {
            until(&format!("the rows of {table}"), PATIENCE, || async {
                match same_rows(&db, &lakebox, table, order, columns).await {
                    Err(error) if !is_storage(&error) => Ok(Some(Err(error))),
                    other => other.map(|()| Some(Ok(()))),
                }
            })
            .await?
            .with_context(|| lakebox.log_tail())?;
        }
        until("the changes in bronze", PATIENCE, || async {
            match each_change_once(&lakebox).await {
                Err(error) if !is_storage(&error) => Ok(Some(Err(error))),
                other => other.map(|()| Some(Ok(()))),
            }
        })
        .await??;
        if round == 0 {
            let _ = lakebox.upkeep().await;
        }
    }
    let mut met = Vec::new();
    let mut kinds = 0;
    for kind in S3::FAULTS {
        let times = s3.met(kind).await?;
        kinds += usize::from(times > 0);
        met.push(format!("{kind} {times}"));
    }
    let (right, failed) = (seen.right.into_inner(), seen.failed.into_inner());
    println!("{} requests: {}; {right} right answers, {failed} clear errors", s3.met("requests").await?, met.join(", "));
    // Behind a cache few reads reach the bucket, and some of their faults may not come up.
    let kinds_least = if more.is_empty() { S3::FAULTS.len() } else { S3::FAULTS.len() * 2 / 3 };
    ensure!(kinds >= kinds_least, "some faults never happened: {met:?}");
    ensure!(right > 20 && failed * 5 < right, "{right} right answers, {failed} errors: {}", lakebox.log_tail());
    lakebox.keeps_to_itself(S3::SECRET).await?;
    // A start without a fault finds the same.
    lakebox.terminate().await?;
    s3.faults(0.0, &S3::FAULTS).await?;
    let lakebox = project.serve().await?;
    for (table, order, columns) in TABLES {
        same_rows(&db, &lakebox, table, order, columns).await?;
    }
    lakebox.terminate().await
}

#[derive(Debug, Default)]
struct Seen {
    right: AtomicU64,
    failed: AtomicU64,
}

/// Starts the server; over a network like this one, a start may fail and says why.
async fn begin(project: &Project) -> Result<Lakebox> {
    let mut last = None;
    for _ in 0..5 {
        match project.serve().await {
            Ok(lakebox) => return Ok(lakebox),
            Err(error) => last = Some(error),
        }
    }
    bail!("five starts failed: {last:?}")
}

/// An error that blames the object store, and not the data.
fn is_storage(error: &anyhow::Error) -> bool {
    let text = error.to_string();
    text.contains("sql.storage") && !text.contains("Restore")
}

/// Asks for the four sums again and again; they must be equal in every answer, and every error must be a clear one.
async fn watch(lakebox: &Lakebox, time: Duration, seen: &Seen) -> Result<()> {
    let stop = AtomicBool::new(false);
    let ask = async {
        while !stop.load(Ordering::Relaxed) {
            match lakebox.sql(SUMS).await {
                Ok(rows) => {
                    let sums: Vec<String> = rows[0].iter().map(ToString::to_string).collect();
                    ensure!(
                        sums.iter().all(|s| s == &sums[0]),
                        "a wrong answer: accounts, branches, tellers, history = {sums:?}"
                    );
                    seen.right.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if is_storage(&error) => {
                    println!("{error}");
                    seen.failed.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    beside_upkeep(lakebox, time, &stop, ask).await?;
    Ok(())
}
