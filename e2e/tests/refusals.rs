//! Servers that are there and refuse: the error says what, where and what to do, no password is told, and the fix is noticed without a restart of lakebox.

use anyhow::{Context, Result, ensure};
use e2e::{Lakebox, Postgres, Project, S3};

const PASSWORD: &str = "hunter2";

/// A project that follows the database `shop` of `server` as `role`.
fn project(server: &Postgres, role: &str, lake: &str) -> Result<Project> {
    let url = format!("postgres://{role}@127.0.0.1:{}/shop", server.port());
    Project::new(&format!("{lake}sources:\n  shop:\n    type: postgres\n    url: {url}\n    commit: {{ every: 200ms }}\n"))
}

/// A server whose database `shop` has one row, and what its owner may run there.
async fn shop() -> Result<(Postgres, tokio_postgres::Client)> {
    let server = Postgres::start(15).await?;
    server.client("postgres").await?.batch_execute("create database shop").await?;
    let db = server.client("shop").await?;
    db.batch_execute("create table orders(id int primary key); insert into orders values (1)").await?;
    Ok((server, db))
}

/// An error is one sentence on one line with something to do about it, the log says the same, and the password is nowhere.
async fn clear(lakebox: &Lakebox, words: &[&str]) -> Result<api::FlowError> {
    let error = lakebox.complains("shop", words).await?;
    ensure!(!error.message.contains(['\n', '<']) && error.message.len() < 400, "this is no clear sentence: {}", error.message);
    ensure!(error.hint.as_ref().is_some_and(|h| h.len() > 10), "nothing is said about what to do: {error:?}");
    let log = lakebox.log()?.to_lowercase();
    let said = log.lines().any(|line| words.iter().all(|w| line.contains(&w.to_lowercase())));
    ensure!(said, "no line of the log says {words:?}; {}", lakebox.log_tail());
    lakebox.keeps_to_itself(PASSWORD).await?;
    let overview: api::Overview = serde_json::from_value(lakebox.get("/api/v1/overview").await?)?;
    let issue = overview.issues.iter().find(|i| i.about == "pipeline").context("the first page says nothing")?;
    ensure!(overview.health == "failing" && issue.name == "shop" && issue.hint == error.hint, "{issue:?}");
    Ok(error)
}

async fn healed(lakebox: Lakebox) -> Result<()> {
    lakebox.answers("select id from silver.shop_orders", "[[1]]").await?;
    lakebox.streams("shop").await?;
    lakebox.keeps_to_itself(PASSWORD).await?;
    lakebox.terminate().await
}

#[tokio::test]
async fn a_wrong_password_is_told_without_telling_it() -> Result<()> {
    let (server, db) = shop().await?;
    db.batch_execute("create role keeper login superuser password 'another'").await?;
    server.ask_for_password("keeper").await?;
    let project = project(&server, &format!("keeper:{PASSWORD}"), "")?;
    let lakebox = project.serve().await?;
    let place = format!("127.0.0.1:{}/shop", server.port());
    clear(&lakebox, &["refused", "password authentication failed", "keeper", &place, "check user and password"]).await?;
    db.batch_execute(&format!("alter role keeper password '{PASSWORD}'")).await?;
    healed(lakebox).await
}

#[tokio::test]
async fn a_missing_password_is_told_with_the_way_to_give_one() -> Result<()> {
    let (server, db) = shop().await?;
    db.batch_execute("create role keeper login superuser password 'another'").await?;
    server.ask_for_password("keeper").await?;
    let project = project(&server, "keeper", "")?;
    let lakebox = project.serve().await?;
    let place = format!("127.0.0.1:{}/shop", server.port());
    clear(&lakebox, &["refused", &place, "asks for a password", "${PASSWORD}"]).await?;
    lakebox.terminate().await
}

#[tokio::test]
async fn the_statement_that_gives_a_missing_right_can_be_run_as_it_is_told() -> Result<()> {
    let (server, db) = shop().await?;
    db.batch_execute("create role reader login; grant create on database shop to reader; alter table orders owner to reader")
        .await?;
    let project = project(&server, "reader", "")?;
    let lakebox = project.serve().await?;
    let place = format!("127.0.0.1:{}/shop", server.port());
    let error = clear(&lakebox, &["refused", "the role reader may not replicate", &place, "alter role"]).await?;
    let hint = error.hint.unwrap_or_default();
    let (_, statement) = hint.split_once(": ").with_context(|| format!("the hint holds no statement: {hint}"))?;
    db.batch_execute(statement).await?;
    healed(lakebox).await
}

#[tokio::test]
async fn a_server_without_a_logical_log_is_followed_once_it_has_one() -> Result<()> {
    let (server, db) = shop().await?;
    db.batch_execute("alter system set wal_level = 'replica'").await?;
    server.restart().await?;
    let project = project(&server, "postgres", "")?;
    let lakebox = project.serve().await?;
    let place = format!("127.0.0.1:{}/shop", server.port());
    clear(&lakebox, &["misconfigured", &place, "wal_level = replica", "alter system set wal_level = 'logical'", "restart"])
        .await?;
    server.client("postgres").await?.batch_execute("alter system set wal_level = 'logical'").await?;
    server.restart().await?;
    healed(lakebox).await
}

#[tokio::test]
async fn a_missing_bucket_is_told_and_used_once_it_is_there() -> Result<()> {
    missing_bucket("select 1").await
}

/// Then the first files that are due are the tables' own.
#[tokio::test]
async fn a_missing_bucket_is_told_though_there_are_no_rows_to_put_there() -> Result<()> {
    missing_bucket("delete from orders").await
}

async fn missing_bucket(before: &str) -> Result<()> {
    let (server, db) = shop().await?;
    db.batch_execute(before).await?;
    let s3 = S3::start(1).await?;
    let project = project(&server, "postgres", &s3.settings("nowhere"))?;
    let lakebox = project.serve().await?;
    clear(&lakebox, &["storage", "nowhere", "bucket"]).await?;
    s3.make_bucket("nowhere").await?;
    db.batch_execute("insert into orders values (1) on conflict do nothing").await?;
    lakebox.post("/api/v1/pipelines/shop/resume").await?;
    lakebox.keeps_to_itself(S3::SECRET).await?;
    healed(lakebox).await
}
