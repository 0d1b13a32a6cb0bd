//! Partitioned tables between lakebox and real engines: of models, of tables that an outside engine partitioned, and of files that were taken over.

use anyhow::{Context, Result, ensure};
use e2e::{Engine, Lakebox, Project, Row, until};
use serde_json::{Value, json};
use std::time::Duration;

const COLUMNS: [&str; 4] = ["id", "name", "amount", "day"];

/// The rows as lakebox has them, after its own count agreed.
async fn ours(lakebox: &Lakebox, table: &str, columns: &[&str]) -> Result<Vec<Row>> {
    let counted = lakebox.sql(&format!("select count(*) from {table}")).await?;
    let rows = lakebox.sql(&format!("select {} from {table} order by id", columns.join(", "))).await?;
    ensure!(counted[0][0].as_u64() == Some(rows.len() as u64), "count(*) of {table} says {}, not {}", counted[0][0], rows.len());
    let plain = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Ok(rows.iter().map(|row| row.iter().map(plain).collect()).collect())
}

/// Everyone reads the same rows; gives how many.
async fn agreed(lakebox: &Lakebox, engines: &mut [Engine], table: &str, columns: &[&str]) -> Result<usize> {
    let mine = ours(lakebox, table, columns).await?;
    for engine in engines {
        let theirs = engine.rows(table, columns).await?;
        let differ = mine.iter().zip(&theirs).find(|(a, b)| a != b);
        ensure!(mine == theirs, "{} has {} rows of {table}, lakebox {}: {differ:?}", engine.name(), theirs.len(), mine.len());
    }
    Ok(mine.len())
}

async fn engines(lakebox: &Lakebox) -> Result<Vec<Engine>> {
    let mut engines = Vec::new();
    for name in ["pyiceberg", "duckdb", "spark"] {
        engines.push(Engine::start(name, lakebox, None).await.with_context(|| name)?);
    }
    Ok(engines)
}

async fn partitions(lakebox: &Lakebox, table: &str) -> Result<Vec<Vec<Value>>> {
    let (schema, name) = table.split_once('.').context("a schema")?;
    let sql = format!(
        "select spec_id, partitioned_by, count(*), sum(record_count - deleted_count), sum(file_count), sum(delete_file_count) \
         from \"{schema}\".\"{name}$partitions\" group by 1, 2 order by 1"
    );
    lakebox.sql(&sql).await
}

#[tokio::test]
async fn tables_that_pyiceberg_partitioned_are_read_changed_and_kept_in_shape() -> Result<()> {
    let lakebox = Project::new("upkeep: { enabled: false }\n")?.serve().await?;
    let mut engines = engines(&lakebox).await?;
    engines[0].tell("namespace", json!({"name": "parts"})).await?;
    for (name, by) in [
        ("times", json!([["day", "month"], ["id", "bucket[4]"]])),
        ("cut", json!([["name", "truncate[6]"], ["id", "truncate[20]"]])),
        ("plain", json!([["day", "identity"]])),
        ("decimal", json!([["amount", "bucket[3]"], ["day", "year"]])),
    ] {
        let table = format!("parts.{name}");
        let append = |first: i64, last: i64| json!({"table": table, "first": first, "last": last});
        engines[0].tell("create", json!({"table": table})).await?;
        engines[0].tell("append", append(1, 20)).await?;
        engines[0].tell("transforms", json!({"table": table, "by": by})).await?;
        engines[0].tell("append", append(21, 60)).await?;
        ensure!(agreed(&lakebox, &mut engines, &table, &COLUMNS).await? == 60, "{table}");
        for id in [3, 21, 44, 60] {
            let found =
                lakebox.sql(&format!("select count(*) from {table} where id = {id} and day >= date '2026-01-01'")).await?;
            ensure!(found[0][0] == 1, "{table} row {id}");
        }
        // lakebox writes into the same partitions.
        lakebox
            .sql(&format!(
                "insert into {table} select id + 100, name, amount, day + interval '40 days' from {table} where id > 30"
            ))
            .await?;
        lakebox.sql(&format!("update {table} set name = 'changed' where id % 7 = 0")).await?;
        lakebox.sql(&format!("delete from {table} where id % 9 = 0")).await?;
        let rows = agreed(&lakebox, &mut engines, &table, &COLUMNS).await.with_context(|| format!("{table} after lakebox"))?;
        let before = partitions(&lakebox, &table).await?;
        ensure!(before.len() == 2 && before.iter().any(|spec| spec[5] != 0), "{table}: {before:?}");
        lakebox.upkeep().await?;
        let after = partitions(&lakebox, &table).await?;
        // As many partitions of the same specs with the same rows, each with one file and without deletes.
        ensure!(after.len() == 2, "{table}: {after:?}");
        for (before, after) in before.iter().zip(&after) {
            ensure!(before[..2] == after[..2] && before[3] == after[3], "{table}: {before:?} became {after:?}");
            ensure!(after[2] == after[4] && after[5] == 0, "{table}: {after:?}");
        }
        ensure!(agreed(&lakebox, &mut engines, &table, &COLUMNS).await.with_context(|| format!("{table} after upkeep"))? == rows);
        // It goes on from there.
        engines[0].tell("append", append(301, 310)).await?;
        engines[2].tell("delete", json!({"table": table})).await?;
        agreed(&lakebox, &mut engines, &table, &COLUMNS).await.with_context(|| format!("{table} after Spark"))?;
    }
    lakebox.terminate().await
}

#[tokio::test]
async fn files_without_their_partition_columns_are_read_changed_and_compacted() -> Result<()> {
    let project = Project::new("upkeep: { enabled: false }\n")?;
    let lakebox = project.serve().await?;
    let mut engines = engines(&lakebox).await?;
    engines[0].tell("namespace", json!({"name": "parts"})).await?;
    let (table, columns) = ("parts.hive", ["id", "name", "city", "n"]);
    let folder = project.path().join("lake/parts/hive_files");
    let folder = folder.to_str().context("a path")?;
    engines[2].tell("take_over", json!({"table": table, "folder": folder})).await?;
    ensure!(agreed(&lakebox, &mut engines, table, &columns).await? == 30);
    let cities = lakebox.sql(&format!("select city, n, count(*) from {table} group by 1, 2 order by 1 nulls last, 2")).await?;
    let expected = json!([["Bonn", 0, 5], ["Bonn", 1, 5], ["Essen", 0, 5], ["Essen", 1, 5], [null, 0, 5], [null, 1, 5]]);
    ensure!(json!(cities) == expected, "{cities:?}");
    let found = lakebox.sql(&format!("select id from {table} where city = 'Essen' and n = 0 order by id limit 2")).await?;
    ensure!(json!(found) == json!([[4], [10]]), "{found:?}");
    lakebox.sql(&format!("update {table} set city = 'Ulm' where id in (1, 2, 3, 4)")).await?;
    lakebox.sql(&format!("delete from {table} where city is null and n = 1")).await?;
    let rows = agreed(&lakebox, &mut engines, table, &columns).await.context("after lakebox")?;
    lakebox.upkeep().await?;
    ensure!(agreed(&lakebox, &mut engines, table, &columns).await.context("after upkeep")? == rows);
    let left = partitions(&lakebox, table).await?;
    ensure!(left.len() == 1 && left[0][2] == left[0][4] && left[0][5] == 0, "{left:?}");
    lakebox.terminate().await
}

const MODEL: &str = "{{ config(schedule='manual', partition_by=[BY]) }}\n\
    select g as id, 'name ' || g as name, (g * 1.25)::numeric(12, 2) as amount, cast(cast(20454 + g % 40 as int) as date) as day\n\
    from generate_series(1, 200) as s(g)\n";

#[tokio::test]
async fn a_model_is_partitioned_and_partitioned_anew() -> Result<()> {
    let project = Project::new("models: ./models\nupkeep: { enabled: false }\n")?;
    let mut specs = Vec::new();
    for by in ["'month(day)', 'bucket(4, id)'", "'day'", ""] {
        std::fs::write(project.path().join("models/parts.sql"), MODEL.replace("BY", by))?;
        let lakebox = project.serve().await?;
        lakebox.post("/api/v1/models/parts/run").await?;
        let spec = Some(by.replace('\'', "")).filter(|spec| !spec.is_empty());
        let now = until("the model's partitions", Duration::from_secs(60), || async {
            let Ok(found) = partitions(&lakebox, "gold.parts").await else { return Ok(None) };
            let is_new = found.len() == 1 && found[0][1] == json!(spec) && found[0][3] == 200;
            Ok(is_new.then(|| found[0].clone()))
        })
        .await
        .with_context(|| lakebox.log_tail())?;
        specs.push((now[0].clone(), now[2].clone()));
        let mut engines = engines(&lakebox).await?;
        ensure!(agreed(&lakebox, &mut engines, "gold.parts", &COLUMNS).await? == 200, "{by}");
        drop(engines);
        lakebox.terminate().await?;
    }
    // January has 31 of the 40 days; the first spec is that without partitions, which the last run goes back to.
    ensure!(json!(specs) == json!([[1, 8], [2, 40], [0, 1]]), "{specs:?}");

    // A mistake keeps the table as it is, and names the model, the column and what is allowed.
    std::fs::write(project.path().join("models/parts.sql"), MODEL.replace("BY", "'hour(day)'"))?;
    let lakebox = project.serve().await?;
    lakebox.post("/api/v1/models/parts/run").await?;
    let said = until("the model's error", Duration::from_secs(60), || async {
        let model = lakebox.get("/api/v1/models").await?.to_string();
        Ok(model.contains("gold.parts can't be partitioned by `hour(day)`").then_some(model))
    })
    .await
    .with_context(|| lakebox.log_tail())?;
    ensure!(
        said.contains("the column is Date32, which takes the column itself, year(…), month(…), day(…), bucket(16, …)"),
        "{said}"
    );
    ensure!(ours(&lakebox, "gold.parts", &COLUMNS).await?.len() == 200);
    lakebox.terminate().await
}
