//! Other engines read the tables' metadata directly and must return the same rows as lakebox.

use anyhow::{Context, Result, ensure};
use e2e::{Lakebox, Postgres, Project, until};
use std::{path::Path, time::Duration};
use tokio::process::Command;

const WORKLOAD: &[&str] = &[
    "create table orders(id int primary key, customer text, amount numeric(12,2), paid_at timestamptz, note text)",
    "insert into orders select g, 'customer ' || g % 100, g * 1.25, timestamptz '2026-01-01' + g * interval '1 minute', repeat('n', 3000) from generate_series(1, 2000) g",
];

const CHANGES: &[&str] = &[
    "update orders set amount = amount + 1 where id % 7 = 0",
    "delete from orders where id % 11 = 0",
    "begin; update orders set id = id + 100000 where id between 300 and 310; insert into orders values (5000, null, null, null, 'x'); commit",
    "update orders set customer = 'renamed' where id % 13 = 0",
    "alter table orders add column channel text",
    "update orders set channel = 'web' where id % 5 = 0",
    "delete from orders where id % 17 = 0; insert into orders select g, 'again', 7, now(), null, 'app' from generate_series(11, 110, 11) g on conflict do nothing",
];

#[tokio::test]
async fn duckdb_and_pyiceberg_read_the_same_rows() -> Result<()> {
    let server = Postgres::start(15).await?;
    let db = server.client("postgres").await?;
    for statement in WORKLOAD {
        db.batch_execute(statement).await?;
    }
    let source =
        "sources:\n  shop:\n    type: postgres\n    url: URL\n    tables: [\"public.*\"]\n    commit: { every: 100ms }\n";
    let project = Project::new(&source.replace("URL", &server.url("postgres")))?;
    let lakebox = project.serve().await?;
    settled(&lakebox, &db).await?;
    // One commit or more for each statement, so that deletes hit files of many commits.
    for statement in CHANGES {
        db.batch_execute(statement).await?;
        settled(&lakebox, &db).await?;
    }
    let rows = db.query_one("select count(*) from orders", &[]).await?.get::<_, i64>(0);
    for layer in ["silver", "bronze"] {
        let order = if layer == "silver" { "id" } else { "_pos, _seq" };
        let columns = "id, customer, amount, channel";
        let ours = lakebox.sql(&format!("select {columns} from {layer}.shop_orders order by {order}")).await?;
        if layer == "silver" {
            ensure!(ours.len() == usize::try_from(rows)?, "lakebox has {} rows, the source {rows}", ours.len());
        }
        let ours: Vec<String> = ours.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let detail = lakebox.get(&format!("/api/v1/tables/{layer}/shop_orders")).await?;
        let metadata = detail["metadata_location"].as_str().context("a metadata location")?.to_owned();
        for engine in ["duckdb", "pyiceberg"] {
            let theirs = read(engine, &metadata, columns, order).await?;
            ensure!(theirs.len() == ours.len(), "{engine} sees {} rows of {layer}, lakebox {}", theirs.len(), ours.len());
            if let Some(i) = (0..ours.len()).find(|&i| ours[i] != theirs[i]) {
                anyhow::bail!("{layer} row {i}: lakebox {}, {engine} {}", ours[i], theirs[i]);
            }
        }
    }
    lakebox.terminate().await
}

/// Waits until everything that the source has committed is durable in the lake.
pub(crate) async fn settled(lakebox: &Lakebox, db: &tokio_postgres::Client) -> Result<()> {
    let end: String = db.query_one("select pg_current_wal_lsn()::text", &[]).await?.get(0);
    let end = lsn(&end)?;
    db.batch_execute("select pg_logical_emit_message(true, 'settle', '')").await?;
    until("the cursor", Duration::from_secs(60), || async {
        let pipelines = lakebox.get("/api/v1/pipelines").await?;
        let cursor = pipelines[0]["cursor"].as_str().context("no cursor yet")?.to_owned();
        Ok((lsn(&cursor)? >= end).then_some(()))
    })
    .await
    .with_context(|| lakebox.log_tail())
}

fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').context("an LSN has a slash")?;
    Ok((u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?)
}

/// The rows as another engine sees them, each as a JSON list.
async fn read(engine: &str, metadata: &str, columns: &str, order: &str) -> Result<Vec<String>> {
    #[expect(clippy::disallowed_methods, reason = "tests take their places from make")]
    let python =
        std::env::var("LAKEBOX_READERS_PYTHON").context("LAKEBOX_READERS_PYTHON is not set; run the tests through make")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/rows.py");
    let out = Command::new(python).arg(script).args([engine, metadata, columns, order]).output().await?;
    ensure!(out.status.success(), "{engine}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?.lines().map(str::to_owned).collect())
}
