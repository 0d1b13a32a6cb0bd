//! Files as tables: read as DuckDB reads them, uploaded, crawled.

use anyhow::{Context, Result, ensure};
use e2e::{Project, python, until};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tokio::process::Command;

const BODY: &str = "upkeep: { enabled: false }\n";

fn project(more: &str) -> Result<(Project, std::path::PathBuf)> {
    let mut project = Project::new(&format!("{BODY}{more}"))?;
    let data = project.path().join("data");
    fs::create_dir_all(&data)?;
    project.in_server("files: [./data]")?;
    Ok((project, data))
}

#[tokio::test]
async fn files_are_read_as_duckdb_reads_them() -> Result<()> {
    let (project, data) = project("")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/file_samples.py");
    let out = Command::new(python("readers")?).arg(script).arg(&data).output().await?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let samples: serde_json::Map<String, Value> = serde_json::from_slice(&out.stdout)?;
    let lakebox = project.serve().await?;
    ensure!(samples.len() > 20, "too few samples");
    let mut wrong = Vec::new();
    for (name, sample) in &samples {
        let columns: Vec<String> = sample["columns"]
            .as_array()
            .context("columns")?
            .iter()
            .map(|c| format!("\"{}\"", c.as_str().unwrap_or_default()))
            .collect();
        let order = if columns.contains(&"\"id\"".to_owned()) { " ORDER BY id" } else { "" };
        let path = sample["path"].as_str().context("a path")?;
        let sql = format!("SELECT {} FROM '{}/{path}'{order}", columns.join(", "), data.display());
        let theirs: Vec<Vec<Option<String>>> = serde_json::from_value(sample["rows"].clone())?;
        match lakebox.sql(&sql).await {
            Err(error) => wrong.push(format!("{name}: {error:#}")),
            Ok(ours) if ours.len() != theirs.len() => wrong.push(format!("{name}: {} rows, DuckDB {}", ours.len(), theirs.len())),
            Ok(ours) => {
                for (row, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                    if a.len() != b.len() || !a.iter().zip(b).all(|(a, b)| same(a, b.as_deref())) {
                        wrong.push(format!("{name} row {row}: {a:?}, DuckDB {b:?}"));
                        break;
                    }
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let scanned =
        lakebox.sql(&format!("SELECT count(*), sum(id) FROM '{}/hive' WHERE part = 1 AND city = 'p0'", data.display())).await?;
    ensure!(json!(scanned) == json!([[166, 82834]]), "{scanned:?}");
    lakebox.terminate().await
}

/// Whether a value of ours is the text that DuckDB shows. Numbers are compared as such: ours keep the decimals that they were written with.
fn same(ours: &Value, theirs: Option<&str>) -> bool {
    let text = match ours {
        Value::Null => return theirs.is_none(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Some(theirs) = theirs else { return false };
    let plain =
        |text: &str| text.replace('T', " ").trim_end_matches("+00").trim_end_matches('Z').trim_end_matches("+00:00").to_owned();
    if text == theirs || plain(&text) == plain(theirs) {
        return true;
    }
    // Whole numbers are compared by their digits alone: a double does not tell large ones apart.
    let whole = |text: &str| text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.parse::<f64>().ok();
    !(whole(&text) && whole(theirs)) && number(&text).is_some() && number(&text) == number(theirs)
}

#[tokio::test]
async fn an_upload_is_a_table_until_it_is_deleted() -> Result<()> {
    let project = Project::with_server(BODY, ", upload_max: 1MiB")?;
    let lakebox = project.serve().await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = |path: &str| format!("{}/api/v1/uploads{path}", lakebox.url());
    ensure!(lakebox.get("/api/v1/uploads").await? == json!([]), "there is nothing yet");
    let send = async |name: &str, body: Vec<u8>| client.post(url(&format!("?name={name}"))).body(body).send().await;
    let first = send("../orders.csv", b"id,amount\n1,1.10\n2,2.20\n".to_vec()).await?;
    ensure!(first.status() == 201, "{}", first.text().await?);
    let first: Value = first.json().await?;
    ensure!(first["path"] == "uploads/orders.csv", "{first}");
    let second: Value = send("orders.csv", b"id\n9\n".to_vec()).await?.json().await?;
    ensure!(second["name"] == "orders_1.csv", "{second}");
    lakebox.answers("SELECT sum(amount) AS a FROM 'uploads/orders.csv'", "[[\"3.30\"]]").await?;
    lakebox.answers("SELECT id FROM 'uploads/orders_1.csv'", "[[9]]").await?;
    let large = send("large.csv", vec![b'x'; (1 << 20) + 1]).await?;
    ensure!(large.status() == 413, "{}", large.status());
    let names: Vec<Value> =
        lakebox.get("/api/v1/uploads").await?.as_array().context("a list")?.iter().map(|u| u["name"].clone()).collect();
    ensure!(names.len() == 2 && names.contains(&json!("orders.csv")), "{names:?}");
    // Nothing else of the lake can be read by path, and nothing outside.
    for path in ["catalog.db", "uploads/../catalog.db", "/etc/passwd"] {
        let refused = lakebox.sql(&format!("SELECT * FROM '{path}'")).await.err().map(|e| e.to_string()).unwrap_or_default();
        ensure!(refused.contains("is not where SQL may read files"), "{path}: {refused}");
    }
    ensure!(client.delete(url("/..%2F..%2Flakebox.yaml")).send().await?.status() == 404, "only uploads are deleted");
    ensure!(client.delete(url("/orders.csv")).send().await?.status() == 204, "it is deleted");
    ensure!(client.delete(url("/orders.csv")).send().await?.status() == 404, "it is gone");
    ensure!(lakebox.sql("SELECT 1 FROM 'uploads/orders.csv'").await.is_err(), "it is gone");
    lakebox.terminate().await
}

#[tokio::test]
async fn a_crawler_registers_tables_and_reports_how_they_change() -> Result<()> {
    let (project, data) = project("crawlers:\n  landing: { url: ./data, every: 1h }\n")?;
    fs::create_dir_all(data.join("orders/day=2026-01-01"))?;
    fs::write(data.join("orders/day=2026-01-01/a.csv"), "id,amount\n1,1.5\n")?;
    fs::create_dir_all(data.join("events"))?;
    fs::write(data.join("events/a.ndjson"), "{\"id\":1}\n")?;
    let lakebox = project.serve().await?;
    let crawled = async || {
        let all = lakebox.get("/api/v1/crawlers/landing").await?;
        Ok((all["state"] == "ok").then_some(all))
    };
    until("the first crawl", Duration::from_secs(30), crawled).await?;
    lakebox.answers("SELECT id, day FROM landing.orders", "[[1,\"2026-01-01\"]]").await?;
    fs::create_dir_all(data.join("orders/day=2026-01-02"))?;
    fs::write(data.join("orders/day=2026-01-02/b.csv"), "id,amount,note\n2,2.25,x\n")?;
    fs::write(data.join("events/b.ndjson"), "{\"id\":\"two\"}\n")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let run = client.post(format!("{}/api/v1/crawlers/landing/run", lakebox.url())).json(&json!({"wait": true})).send().await?;
    ensure!(run.status() == 200, "{}", run.text().await?);
    lakebox
        .answers(
            "SELECT id, amount, note, day FROM landing.orders ORDER BY id",
            "[[1,\"1.50\",null,\"2026-01-01\"],[2,\"2.25\",\"x\",\"2026-01-02\"]]",
        )
        .await?;
    let seen = lakebox.sql("SELECT table_name, kind, column_name, was, becomes FROM system.drift ORDER BY 1, 2").await?;
    let expected = json!([
        ["events", "type_changed", "id", "bigint", "text"],
        ["orders", "column_added", "note", null, "text"],
        ["orders", "type_changed", "amount", "numeric(38,1)", "numeric(38,2)"],
    ]);
    ensure!(json!(seen) == expected, "{seen:?}");
    let file = lakebox.sql("SELECT file FROM system.drift WHERE kind = 'column_added'").await?;
    ensure!(file[0][0].as_str().is_some_and(|f| f.ends_with("day=2026-01-02/b.csv")), "{file:?}");
    lakebox.answers("SELECT count(*) AS n FROM system.crawlers WHERE crawler = 'landing' AND error IS NULL", "[[2]]").await?;
    lakebox.terminate().await?;
    // What was found and what was seen outlive the process.
    let again = project.serve().await?;
    again.answers("SELECT count(*) AS n FROM system.drift", "[[3]]").await?;
    again.answers("SELECT count(*) AS n FROM landing.orders", "[[2]]").await?;
    again.terminate().await
}
