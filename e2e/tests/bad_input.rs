//! What people get wrong and what breaks around them: one clear sentence, what can go on goes on, and it heals by itself where time or a hand mends it.

use anyhow::{Context, Result, ensure};
use e2e::{Postgres, Project, until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn source(url: &str) -> String {
    format!("sources:\n  shop:\n    type: postgres\n    url: {url}\n    tables: [\"public.*\"]\n    commit: {{ every: 200ms }}\n")
}

#[tokio::test]
async fn an_unreachable_database_is_named_and_the_rest_works() -> Result<()> {
    let project = Project::new(&source("postgres://nobody:hunter2@127.0.0.1:9/shop"))?;
    let lakebox = project.serve().await?;
    lakebox.complains("shop", &["127.0.0.1:9"]).await?;
    ensure!(lakebox.sql("select 1").await?.len() == 1);
    ensure!(!lakebox.log_tail().contains("hunter2"), "the password is in the log");
    let everything = lakebox.get("/api/v1/overview").await?;
    ensure!(everything["health"] == "failing" && !everything.to_string().contains("hunter2"), "{everything}");
    lakebox.terminate().await
}

#[tokio::test]
async fn missing_rights_and_databases_are_told_and_heal_without_a_restart() -> Result<()> {
    let server = Postgres::start(15).await?;
    let admin = server.client("postgres").await?;
    admin.batch_execute("create role reader login").await?;
    let url = format!("postgres://reader@127.0.0.1:{}/shop", server.port());
    let project = Project::new(&source(&url))?;
    let lakebox = project.serve().await?;
    lakebox.complains("shop", &["shop", "database"]).await?;
    admin.batch_execute("create database shop").await?;
    server.client("shop").await?.batch_execute("create table orders(id int primary key); insert into orders values (1)").await?;
    lakebox.post("/api/v1/pipelines/shop/resume").await?;
    lakebox.complains("shop", &["replication"]).await?;
    admin.batch_execute("alter role reader replication").await?;
    lakebox.post("/api/v1/pipelines/shop/resume").await?;
    lakebox.complains("shop", &["publication"]).await?;
    let db = server.client("shop").await?;
    db.batch_execute("grant create on database shop to reader; alter table orders owner to reader").await?;
    lakebox.post("/api/v1/pipelines/shop/resume").await?;
    lakebox.streams("shop").await?;
    until("the row", PATIENCE, || async { Ok(lakebox.sql("select id from silver.shop_orders").await?.first().map(drop)) })
        .await?;
    lakebox.terminate().await
}

#[tokio::test]
async fn a_slot_in_use_names_who_has_it() -> Result<()> {
    let server = Postgres::start(15).await?;
    let db = server.client("postgres").await?;
    db.batch_execute("create table orders(id int primary key)").await?;
    let project = Project::new(&source(&server.url("postgres")))?;
    let lakebox = project.serve().await?;
    lakebox.streams("shop").await?;
    lakebox.terminate().await?;
    let rows = db.query("select slot_name::text from pg_replication_slots", &[]).await?;
    let slot: String = rows[0].get(0);
    let options =
        ["-d", "postgres", "--slot", &slot, "--start", "-o", "proto_version=1", "-o", "publication_names=none", "-f", "-"];
    let mut thief = server.background("pg_recvlogical", &options)?;
    until("the slot to be taken", PATIENCE, || async {
        let active = db.query_one("select active from pg_replication_slots", &[]).await?;
        Ok(active.get::<_, bool>(0).then_some(()))
    })
    .await?;
    let lakebox = project.serve().await?;
    lakebox.complains("shop", &[&slot, "use"]).await?;
    thief.kill().await?;
    lakebox.streams("shop").await?;
    lakebox.terminate().await
}

#[tokio::test]
async fn a_second_lakebox_on_the_same_lake_or_port_is_refused() -> Result<()> {
    let project = Project::new("sources: {}\n")?;
    let first = project.serve().await?;
    let mut same_port = project.spawn()?;
    ensure!(!same_port.ended().await?.success());
    ensure!(first.log_tail().contains("taken by another program"), "{}", first.log_tail());
    let other_ports = project.moved()?;
    let mut same_lake = other_ports.spawn()?;
    ensure!(!same_lake.ended().await?.success());
    ensure!(same_lake.log_tail().contains("another lakebox"), "{}", same_lake.log_tail());
    ensure!(first.sql("select 1").await?.len() == 1);
    first.terminate().await
}

#[tokio::test]
async fn a_corrupt_plugin_stops_its_pipeline_alone() -> Result<()> {
    let text = "sources:\n  bad:\n    type: simulator\n    transforms: [broken]\n  good:\n    type: simulator\n    commit: { every: 200ms }\n\
                transforms:\n  broken: { wasm: broken.wasm }\n";
    let project = Project::new(text)?;
    std::fs::write(project.path().join("broken.wasm"), b"this is no plugin")?;
    let lakebox = project.serve().await?;
    lakebox.complains("bad", &["broken.wasm"]).await?;
    until("rows of the good pipeline", PATIENCE, || async {
        Ok(lakebox.sql("select id from silver.good_ledger limit 1").await?.first().map(drop))
    })
    .await?;
    let transforms = lakebox.get("/api/v1/transforms").await?;
    ensure!(transforms[0]["state"] == "failed" && !transforms[0]["error"].is_null(), "{transforms}");
    lakebox.terminate().await
}

#[tokio::test]
async fn sql_mistakes_are_told_with_their_place_and_a_suggestion() -> Result<()> {
    let project = Project::new("sources:\n  bank: { type: simulator, commit: { every: 200ms } }\n")?;
    let lakebox = project.serve().await?;
    until("the ledger", PATIENCE, || async {
        Ok(lakebox.sql("select id from silver.bank_ledger limit 1").await?.first().map(drop))
    })
    .await?;
    for (query, words) in [
        ("selec 1", vec!["sql.syntax"]),
        ("select * from silver.bank_leger", vec!["sql.unknown_table", "bank_ledger"]),
        ("select amout from silver.bank_ledger", vec!["sql.unknown_column", "amount"]),
        ("drop table silver.bank_ledger", vec!["sql.unsupported"]),
        ("select 1; select 2", vec!["2 statements where one is expected"]),
    ] {
        let error = lakebox.sql(query).await.err().with_context(|| format!("{query} was taken"))?.to_string();
        ensure!(words.iter().all(|w| error.contains(w)), "{query}: {error}");
    }
    lakebox.terminate().await
}
