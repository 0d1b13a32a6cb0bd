//! Drivers and tools that speak PostgreSQL or Flight SQL, each with its own client: SQLAlchemy, JDBC, ADBC, and what BI tools ask.

use crate::clients::{lakebox, report};
use anyhow::{Context, Result, bail, ensure};
use e2e::python;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Where Debian puts the driver.
const JDBC: &str = "/usr/share/java/postgresql.jar";

fn client(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

#[tokio::test]
async fn sqlalchemy_reflects_queries_and_makes_tables_over_both_of_its_drivers() -> Result<()> {
    let (_server, _project, lakebox) = lakebox().await?;
    for driver in ["psycopg", "psycopg2"] {
        let port = lakebox.pgwire_port().to_string();
        let out = Command::new(python("clients")?)
            .arg(client("sqlalchemy_checks.py"))
            .args([&port, driver])
            .kill_on_drop(true)
            .output()
            .await?;
        report(&lakebox, &out, 7).with_context(|| driver.to_owned())?;
    }
    lakebox.terminate().await
}

#[tokio::test]
async fn psycopg_changes_rows_and_columns_in_transactions() -> Result<()> {
    let (_server, _project, lakebox) = lakebox().await?;
    let port = lakebox.pgwire_port().to_string();
    let out = Command::new(python("clients")?)
        .arg(client("changes_checks.py"))
        .args([&port, lakebox.url()])
        .kill_on_drop(true)
        .output()
        .await?;
    report(&lakebox, &out, 7)?;
    lakebox.terminate().await
}

#[tokio::test]
async fn a_jdbc_program_finds_tables_binds_values_reads_through_cursors_and_cancels() -> Result<()> {
    let (_server, _project, lakebox) = lakebox().await?;
    ensure!(Path::new(JDBC).exists(), "there is no {JDBC}; run `make setup`");
    let port = lakebox.pgwire_port().to_string();
    let out = Command::new("java")
        .args(["-Xmx256m", "-cp", JDBC])
        .arg(client("Jdbc.java"))
        .arg(port)
        .kill_on_drop(true)
        .output()
        .await?;
    let (said, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success() && said.contains("passed "), "{said}{told}\n{}", lakebox.log_tail());
    lakebox.terminate().await
}

#[tokio::test]
async fn adbc_reads_arrow_over_flight_sql() -> Result<()> {
    let (_server, project, lakebox) = lakebox().await?;
    let uri = format!("grpc://127.0.0.1:{}", project.flight_port());
    let out = Command::new(python("clients")?).arg(client("adbc_checks.py")).arg(uri).kill_on_drop(true).output().await?;
    report(&lakebox, &out, 6)?;
    lakebox.terminate().await
}

#[tokio::test]
async fn what_tools_ask_of_postgresqls_catalog_is_answered() -> Result<()> {
    let (_server, _project, lakebox) = lakebox().await?;
    let config = format!("host=127.0.0.1 port={} user=analyst dbname=lakebox", lakebox.pgwire_port());
    let (connection, driver) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await?;
    #[expect(clippy::disallowed_methods, reason = "the connection ends with its client")]
    let driving = tokio::spawn(driver);
    let number = |sql: &'static str| {
        let connection = &connection;
        async move { Ok::<i32, anyhow::Error>(connection.query_one(sql, &[]).await?.get(0)) }
    };
    let table = number("select 'silver.shop_kinds'::regclass::oid").await?;
    let schema = number("select oid from pg_namespace where nspname = 'silver'").await?;
    let mut failed = Vec::new();
    let mut asked = 0;
    for tool in ["dbeaver", "grafana", "metabase", "psql_completion"] {
        let text = std::fs::read_to_string(client(&format!("queries/{tool}.sql")))?;
        for sql in text.lines().filter(|l| !l.starts_with("--") && !l.trim().is_empty()) {
            let sql = sql.replace("=OID", &format!("={table}")).replace("=NS", &format!("={schema}"));
            asked += 1;
            if let Err(error) = connection.simple_query(&sql).await {
                failed.push(format!(
                    "{tool}: {}\n  {sql}",
                    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
                ));
            }
        }
    }
    ensure!(asked > 30, "only {asked} queries were asked");
    if !failed.is_empty() {
        bail!("{} of {asked} queries are not answered:\n{}", failed.len(), failed.join("\n"));
    }
    drop(connection);
    driving.await??;
    lakebox.terminate().await
}
