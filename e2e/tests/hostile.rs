//! Plugins that trap, never come back or eat memory, each in a pipeline of its own over a real database: each costs its own rows, and nothing else.

use anyhow::{Context, Result, ensure};
use e2e::{Lakebox, Postgres, Project, plugin, until};
use std::{collections::BTreeSet, time::Duration};

struct Evil {
    /// Of the source, the transform, and part of the table's.
    name: &'static str,
    plugin: &'static str,
    limits: &'static str,
    reason: &'static str,
}

const EVILS: [Evil; 3] = [
    Evil { name: "hogs", plugin: "evil_memory_hog", limits: "memory_max: 8MiB", reason: "wanted more than its 8 MiB of memory" },
    Evil { name: "loops", plugin: "evil_endless_loop", limits: "batch_time_max: 80ms", reason: "ms of CPU time" },
    Evil { name: "traps", plugin: "evil_trap", limits: "batch_time_max: 1s", reason: "the plugin trapped" },
];
/// Without a transform.
const CLEAN: &str = "plain";

/// Rows of a transaction, of which the last is poisonous. There is one in each batch: where too many fail, a plugin is given up for the rest of the batch.
const ROWS: usize = 32;
/// Transactions, one after the other.
const ROUNDS: usize = 100;
/// Rows of a transaction that holds nothing but poison.
const FLOOD: usize = 300;
/// How much the process may grow between its first hundred dead letters and its last, over a thousand later. An instance that is not given back
/// costs 8 MiB each time.
const GROWTH_KIB_MAX: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn names() -> impl Iterator<Item = &'static str> {
    EVILS.iter().map(|e| e.name).chain([CLEAN])
}

fn config(url: &str) -> Result<String> {
    // Memory is measured here, and upkeep takes some of its own now and then.
    let mut text = "upkeep: { enabled: false }\nsources:\n".to_owned();
    for name in names() {
        let transforms = if name == CLEAN { String::new() } else { format!("    transforms: [{name}]\n") };
        text += &format!(
            "  {name}:\n    type: postgres\n    url: {url}\n    tables: [public.orders_{name}]\n    commit: {{ every: 2s }}\n{transforms}"
        );
    }
    text += "transforms:\n";
    for Evil { name, plugin: file, limits, .. } in &EVILS {
        text += &format!("  {name}: {{ wasm: {}, config: {{ at: poison }}, {limits} }}\n", plugin(file)?.display());
    }
    Ok(text)
}

/// One statement for each table, in one transaction.
fn all_tables(statement: &str) -> String {
    let each = names().map(|name| statement.replace("TABLE", &format!("orders_{name}")));
    format!("begin; {}; commit", each.collect::<Vec<_>>().join("; "))
}

#[tokio::test]
async fn hostile_plugins_cost_their_own_rows_and_nothing_else() -> Result<()> {
    let server = Postgres::start(15).await?;
    let db = server.client("postgres").await?;
    db.batch_execute(&all_tables("create table TABLE(id int primary key, note text); insert into TABLE values (0, 'first')"))
        .await?;
    let project = Project::new(&config(&server.url("postgres"))?)?;
    let lakebox = project.serve().await?;
    for name in names() {
        lakebox.streams(name).await?;
    }

    let mut after_a_hundred = None;
    for round in 0..ROUNDS {
        let (first, last) = (round * ROWS + 1, (round + 1) * ROWS);
        let rows =
            format!("select g, case g when {last} then 'poison' else 'note ' || g end from generate_series({first}, {last}) g");
        db.batch_execute(&all_tables(&format!("insert into TABLE {rows}"))).await?;
        letters(&lakebox, round + 1).await?;
        if (round + 1) * EVILS.len() >= 100 && after_a_hundred.is_none() {
            // What queries keep in memory is there before, too.
            reported(&db, &lakebox, round + 1).await?;
            after_a_hundred = Some(lakebox.resident_kib()?);
        }
    }
    reported(&db, &lakebox, ROUNDS).await?;

    // Far more than a plugin is given the time for in one batch.
    let from = ROUNDS * ROWS + 1;
    let flood = format!("insert into TABLE select g, 'poison' from generate_series({from}, {}) g", from + FLOOD - 1);
    db.batch_execute(&all_tables(&flood)).await?;
    letters(&lakebox, ROUNDS + FLOOD).await?;
    let (before, after) = (after_a_hundred.context("there were a hundred")?, lakebox.resident_kib()?);
    ensure!(after < before + GROWTH_KIB_MAX, "the process grew from {before} to {after} KiB");

    // What was poison becomes what it should have been, and the stream goes on.
    db.batch_execute(&all_tables("update TABLE set note = 'fine' where note = 'poison'")).await?;
    db.batch_execute(&all_tables("insert into TABLE values (1000000, 'late'); delete from TABLE where id = 1")).await?;
    for name in names() {
        same_rows(&db, &lakebox, name, "").await?;
        let pipeline = lakebox.pipeline(name).await?;
        let dead = if name == CLEAN { 0 } else { ROUNDS + FLOOD };
        ensure!(pipeline.dead_letters == dead as u64 && pipeline.restarts == 0 && pipeline.last_error.is_none(), "{pipeline:?}");
    }
    lakebox.terminate().await
}

/// Waits until so many rows of every hostile pipeline went to the dead letters. Then their batches are over, and the next rows are in others.
async fn letters(lakebox: &Lakebox, wanted: usize) -> Result<()> {
    for Evil { name, .. } in &EVILS {
        until(&format!("{wanted} dead letters of {name}"), PATIENCE, || async {
            let pipeline = lakebox.pipeline(name).await?;
            ensure!(pipeline.dead_letters == wanted as u64, "{} so far; {:?}", pipeline.dead_letters, pipeline.last_error);
            Ok(Some(()))
        })
        .await
        .with_context(|| lakebox.log_tail())?;
    }
    Ok(())
}

/// So many rows of each plugin are told of wherever people look, and all others are in silver.
async fn reported(db: &tokio_postgres::Client, lakebox: &Lakebox, dead: usize) -> Result<()> {
    for Evil { name, reason, .. } in &EVILS {
        same_rows(db, lakebox, name, "where note <> 'poison'").await?;
        told_in_sql(lakebox, name, reason, dead).await?;
        told_in_the_api(lakebox, name, reason, dead).await?;
    }
    same_rows(db, lakebox, CLEAN, "").await
}

async fn told_in_sql(lakebox: &Lakebox, name: &str, reason: &str, dead: usize) -> Result<()> {
    let facts = format!(
        "count(*) filter (where error like '%{reason}%' and transform = '{name}' and \"table\" = 'public.orders_{name}' and op = 'c')"
    );
    let query = |table: &str| {
        format!(
            "select count(*), {facts}, count(distinct \"row\"), count(*) filter (where \"row\" like '%poison%') \
             from {table} where source = '{name}'"
        )
    };
    let expected = format!("[[{dead},{dead},{dead},{dead}]]");
    lakebox.answers(&query("system.dead_letters"), &expected).await?;
    lakebox.answers(&query(&format!("bronze.{name}__dead_letters")), &expected).await
}

async fn told_in_the_api(lakebox: &Lakebox, name: &str, reason: &str, dead: usize) -> Result<()> {
    let found = lakebox.get(&format!("/api/v1/dead-letters?source={name}&limit=1000")).await?;
    let found: Vec<api::DeadLetter> = serde_json::from_value(found)?;
    let places: BTreeSet<&str> = found.iter().map(|l| l.position.as_str()).collect();
    ensure!(found.len() == dead && places.len() == dead, "{} letters of {name} at {} positions", found.len(), places.len());
    for letter in &found {
        let row: serde_json::Value = serde_json::from_str(&letter.row)?;
        ensure!(
            row["note"] == "poison" && letter.error.contains(reason) && letter.plugin_version.contains("6.6.6"),
            "{letter:?}"
        );
    }
    let transforms: Vec<api::Transform> = serde_json::from_value(lakebox.get("/api/v1/transforms").await?)?;
    let transform = transforms.iter().find(|t| t.name == name).context("the transform is not listed")?;
    ensure!(transform.state == "ready" && transform.dead == dead as u64 && transform.traps >= dead as u64, "{transform:?}");
    Ok(())
}

/// Waits until silver holds exactly those rows of the source's table that a condition picks.
async fn same_rows(db: &tokio_postgres::Client, lakebox: &Lakebox, name: &str, picked: &str) -> Result<()> {
    let rows = db.query(&format!("select id, note from orders_{name} {picked} order by id"), &[]).await?;
    let source: Vec<(i64, String)> = rows.iter().map(|row| (row.get::<_, i32>(0).into(), row.get(1))).collect();
    until(&format!("silver of {name} to be its source"), PATIENCE, || async {
        let rows = lakebox.sql(&format!("select id, note from silver.{name}_orders_{name} order by id")).await?;
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let lake: Vec<(i64, String)> = rows.iter().map(|row| (row[0].as_i64().unwrap_or(-1), text(&row[1]))).collect();
        let differ = (0..source.len().max(lake.len())).find(|&i| source.get(i) != lake.get(i));
        let Some(i) = differ else { return Ok(Some(())) };
        anyhow::bail!(
            "{} rows where {} are due; first other: {:?} where {:?} is due",
            lake.len(),
            source.len(),
            lake.get(i),
            source.get(i)
        )
    })
    .await
    .with_context(|| lakebox.log_tail())
}
