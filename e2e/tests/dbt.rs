//! dbt on lakebox: the adapter for PostgreSQL, a small project, and views that survive a restart.

use crate::clients::lakebox;
use anyhow::{Result, ensure};
use e2e::{Lakebox, Project, python};
use std::path::Path;
use tokio::process::Command;

/// Runs dbt on the project in `folder`; its output.
async fn dbt(folder: &Path, arguments: &[&str]) -> Result<String> {
    let python = python("clients")?;
    let dbt = python.with_file_name("dbt");
    let out = Command::new(dbt)
        .args(arguments)
        .args(["--profiles-dir", ".", "--no-use-colors"])
        .current_dir(folder)
        .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.success(), "dbt {arguments:?}:\n{said}{}", String::from_utf8_lossy(&out.stderr));
    Ok(said)
}

/// A copy of the project that points at this lakebox.
fn project(lakebox: &Lakebox) -> Result<tempfile::TempDir> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/dbt");
    let folder = tempfile::tempdir()?;
    for part in ["", "models", "seeds"] {
        std::fs::create_dir_all(folder.path().join(part))?;
        for entry in std::fs::read_dir(from.join(part))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), folder.path().join(part).join(entry.file_name()))?;
            }
        }
    }
    let profile = format!(
        "shop:\n  target: dev\n  outputs:\n    dev: {{ type: postgres, host: 127.0.0.1, port: {}, user: analyst, password: none, dbname: lakebox, schema: analytics, threads: 4 }}\n",
        lakebox.pgwire_port()
    );
    std::fs::write(folder.path().join("profiles.yml"), profile)?;
    Ok(folder)
}

async fn check_results(lakebox: &Lakebox) -> Result<()> {
    let rows = lakebox
        .csv("select bucket, notes, newest from analytics.buckets where bucket < 2 order by bucket")
        .await?
        .replace("\r\n", "\n");
    ensure!(rows.trim() == "bucket,notes,newest\n0,100,1000\n1,100,991", "{rows}");
    let rows = lakebox.csv("select label, notes from analytics.labelled order by bucket").await?.replace("\r\n", "\n");
    ensure!(rows.trim() == "label,notes\nzero,100\none,100\ntwo,100", "{rows}");
    let rows = lakebox.csv("select count(*) as n from analytics.few").await?.replace("\r\n", "\n");
    ensure!(rows.trim() == "n\n1000", "{rows}");
    Ok(())
}

#[tokio::test]
async fn dbt_connects_builds_tests_and_builds_again() -> Result<()> {
    let (server, lake, lakebox): (_, Project, Lakebox) = lakebox().await?;
    let folder = project(&lakebox)?;
    let said = dbt(folder.path(), &["debug"]).await?;
    ensure!(said.contains("All checks passed!"), "{said}");
    dbt(folder.path(), &["seed"]).await?;
    dbt(folder.path(), &["run"]).await?;
    check_results(&lakebox).await?;
    let said = dbt(folder.path(), &["test"]).await?;
    ensure!(said.contains("PASS=6 WARN=0 ERROR=0"), "{said}");
    // The second time everything is there already and is swapped for the new.
    dbt(folder.path(), &["build"]).await?;
    dbt(folder.path(), &["build", "--full-refresh"]).await?;
    check_results(&lakebox).await?;
    let left = lakebox
        .csv("select table_name from information_schema.tables where table_schema = 'analytics' order by 1")
        .await?
        .replace("\r\n", "\n");
    ensure!(left.trim() == "table_name\nbuckets\nfew\nlabelled\nlabels", "{left}");
    let said = dbt(folder.path(), &["docs", "generate"]).await?;
    ensure!(said.contains("Catalog written to"), "{said}");

    // What SQL made is there after a restart, tables and views.
    lakebox.terminate().await?;
    let lakebox = lake.serve().await?;
    check_results(&lakebox).await?;
    drop(server);
    lakebox.terminate().await
}
