//! Programs that speak to PostgreSQL, on lakebox's PostgreSQL port: psycopg does everything that psycopg does, psql describes and queries.

use anyhow::{Context, Result, ensure};
use e2e::{Lakebox, Postgres, Project, python};
use std::path::Path;
use tokio::process::Command;

pub(crate) const PSQL: &str = "/usr/lib/postgresql/15/bin/psql";

/// What psycopg_checks.py reads; the rows are also there, as Python's values.
const TABLES: &str = r#"
create table kinds(
  id int primary key, flag boolean, small smallint, big bigint, single real, double double precision, amount numeric(12,2), exact numeric(38,8),
  day date, moment timestamp, instant timestamptz, clock time, note text, uid uuid, doc jsonb, raw bytea, numbers int[], words text[]
);
insert into kinds values
  (1, true, -7, 9007199254740993, 1.5, 0.1, 12345.60, 123456789012345678901234567890.12345678, '2026-02-28', '2026-02-28 23:59:59.123456',
   '2026-02-28 23:59:59.123456+02', '12:34:56.789', 'Grüße, "quoted" \ 100%', '0b5c7a9e-3f62-4d1a-9c0e-5a4b3c2d1e0f',
   '{"a": [1, null, "x"]}', '\x00ff10', '{1,NULL,3}', '{a,"b,c",NULL,"NULL"}'),
  (3, false, 32767, -9223372036854775808, 'NaN', 'NaN', -0.01, -0.00000001, '1969-12-31', '1969-12-31 23:59:59.999999',
   '1900-01-01 00:00:00+00', '00:00:00', '', '00000000-0000-0000-0000-000000000000', '[]', '', '{}', '{}'),
  (4, true, 0, 0, '-Infinity', 'Infinity', 9999999999.99, 0, '9999-12-31', '2000-01-01', '2000-01-01 00:00:00+00', '23:59:59.999999',
   E'line\nline', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '"text"', '\xdeadbeef', '{2147483647}', '{""}');
insert into kinds(id) values (2);
insert into kinds(id, amount) values (5, 'NaN');
create table many(id int primary key, note text);
insert into many select g, 'row ' || g from generate_series(1, 100000) g;
"#;

/// A lakebox that has these tables, and what it lives on.
pub(crate) async fn lakebox() -> Result<(Postgres, Project, Lakebox)> {
    let server = Postgres::start(15).await?;
    server.client("postgres").await?.batch_execute(TABLES).await?;
    let project = Project::new(&format!(
        "sources:\n  shop:\n    type: postgres\n    url: {}\n    commit: {{ every: 200ms }}\n",
        server.url("postgres")
    ))?;
    let lakebox = project.serve().await?;
    let rows = "select (select count(*) from silver.shop_kinds) as kinds, (select count(*) from silver.shop_many) as many";
    lakebox.answers(rows, "[[5,100000]]").await?;
    Ok((server, project, lakebox))
}

#[tokio::test]
async fn psycopg_does_everything_that_psycopg_does() -> Result<()> {
    let (_server, _project, lakebox) = lakebox().await?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/psycopg_checks.py");
    let port = lakebox.pgwire_port().to_string();
    let out = Command::new(python("readers")?).arg(script).arg(port).kill_on_drop(true).output().await?;
    report(&lakebox, &out, 20)?;
    lakebox.terminate().await
}

/// That all checks of a client program passed, and that there were at least so many.
pub(crate) fn report(lakebox: &Lakebox, out: &std::process::Output, least: usize) -> Result<()> {
    let told = String::from_utf8_lossy(&out.stdout);
    let result: serde_json::Value =
        serde_json::from_str(&told).with_context(|| format!("{told}{}", String::from_utf8_lossy(&out.stderr)))?;
    ensure!(out.status.success() && result["failed"] == serde_json::json!({}), "{:#}\n{}", result["failed"], lakebox.log_tail());
    ensure!(result["passed"].as_array().is_some_and(|passed| passed.len() >= least), "too few checks: {result:#}");
    Ok(())
}

/// What psql prints for one `-c`, unaligned; an error of the server ends it.
async fn psql(lakebox: &Lakebox, command: &str) -> Result<String> {
    psql_with(lakebox, &[], command).await
}

async fn psql_with(lakebox: &Lakebox, more: &[&str], command: &str) -> Result<String> {
    let port = lakebox.pgwire_port().to_string();
    let place = ["-h", "127.0.0.1", "-p", &port, "-U", "analyst", "-d", "lakebox"];
    let out = Command::new(PSQL)
        .args(place)
        .args(["-X", "-A", "-v", "ON_ERROR_STOP=1"])
        .args(more)
        .args(["-c", command])
        .output()
        .await?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success() && said.is_empty(), "psql -c '{command}': {said}");
    Ok(String::from_utf8(out.stdout)?)
}

#[tokio::test]
async fn psql_lists_describes_and_queries() -> Result<()> {
    let (_server, _project, lakebox) = lakebox().await?;
    let port = lakebox.pgwire_port().to_string();
    for (command, lines) in [
        ("\\dt", vec!["bronze|shop_kinds|table|postgres", "silver|shop_kinds|table|postgres", "silver|shop_many|table|postgres"]),
        ("\\dt silver.*", vec!["silver|shop_many|table|postgres", "(2 rows)"]),
        (
            "\\d silver.shop_kinds",
            vec!["id|integer||not null|", "amount|numeric", "instant|timestamp with time zone|||", "numbers|integer[]|||"],
        ),
        ("\\d+ silver.shop_kinds", vec!["id|integer||not null||", "amount|numeric"]),
        ("\\dt+ silver.*", vec!["silver|shop_many|table|postgres|permanent|heap|"]),
        ("\\l", vec!["lakebox|postgres|UTF8|"]),
        ("\\dn", vec!["bronze|postgres", "silver|postgres", "gold|postgres"]),
        ("\\conninfo", vec!["You are connected to database \"lakebox\" as user \"analyst\" on host \"127.0.0.1\"", &port]),
        (
            "select 1 as a; select 'two' as b; select count(*) as c from silver.shop_many",
            vec!["a\n1\n", "b\ntwo\n", "c\n100000\n"],
        ),
        ("begin; select count(*) as c from silver.shop_kinds; commit", vec!["BEGIN\n", "c\n5\n", "COMMIT\n"]),
        (
            "select raw, numbers, words, single from silver.shop_kinds where id = 1",
            vec!["\\x00ff10|{1,NULL,3}|{a,\"b,c\",NULL,\"NULL\"}|1.5\n"],
        ),
        (
            "select instant, moment, clock from silver.shop_kinds where id = 4",
            vec!["2000-01-01 00:00:00+00|2000-01-01 00:00:00|23:59:59.999999\n"],
        ),
    ] {
        let printed = psql(&lakebox, command).await?;
        for line in lines {
            ensure!(printed.contains(line), "psql -c '{command}' prints no `{line}`:\n{printed}");
        }
    }
    // With FETCH_COUNT psql reads every query through a cursor.
    let portions = psql_with(&lakebox, &["-v", "FETCH_COUNT=30000"], "select id from silver.shop_many order by id").await?;
    ensure!(portions.lines().count() == 100_002 && portions.contains("\n100000\n"), "{} lines", portions.lines().count());
    let error = psql(&lakebox, "select nothing from silver.shop_kinds").await.err().context("it was taken")?.to_string();
    for line in ["ERROR:", "nothing", "LINE 1: select nothing from silver.shop_kinds\n               ^"] {
        ensure!(error.contains(line), "psql says no `{line}`:\n{error}");
    }
    lakebox.terminate().await
}
