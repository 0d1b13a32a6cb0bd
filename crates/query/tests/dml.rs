//! Rows that SQL changes, over the PostgreSQL wire, in a lake on disk: against a model in memory, in transactions, and against each other.

use crate::support::Dice;
use ::lake::{Lake, LakeSettings};
use arrow::{array::AsArray, datatypes::Int64Type};
use futures::StreamExt;
use query::{Access, Engine, QueryRequest, QuerySettings, serve_pgwire};
use runtime::{CancellationToken, SystemClock, Tasks};
use std::{collections::BTreeMap, path::Path};
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

struct World {
    lake: Lake,
    engine: Engine,
    port: u16,
    cancel: CancellationToken,
    tasks: Tasks,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn open(dir: tempfile::TempDir) -> Self {
        let clock = SystemClock::shared();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let catalog = catalog::Catalog::open(&format!("sqlite:{}", path("catalog.db")), clock.clone()).await.unwrap();
        let settings = LakeSettings { warehouse: path("lake"), options: BTreeMap::new() };
        // Threads of a former engine end by themselves, and may hold the lake until they did.
        let lake = loop {
            match Lake::open(settings.clone(), catalog.clone(), clock.clone()).await {
                Err(error) if error.kind == ::lake::Kind::InUse => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        };
        let settings = QuerySettings { threads: 2, ..QuerySettings::default() };
        let engine = Engine::new(std::sync::Arc::new(lake.clone()), lake.store(), settings, clock).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cancel, tasks) = (CancellationToken::new(), Tasks::default());
        let (serving, token) = (engine.clone(), cancel.clone());
        tasks.spawn("pgwire", async move { serve_pgwire(serving, listener, Access::default(), token).await.unwrap() });
        Self { lake, engine, port, cancel, tasks, dir }
    }

    async fn connect(&self) -> Client {
        let config = format!("host=127.0.0.1 port={} user=analyst dbname=lakebox", self.port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        self.tasks.spawn("client", async move { drop(connection.await) });
        client
    }

    /// The lake anew, from its files alone. Clients must be gone.
    async fn reopen(self) -> Self {
        let Self { lake, engine, cancel, tasks, dir, .. } = self;
        cancel.cancel();
        assert!(tasks.shutdown(std::time::Duration::from_secs(30)).await.is_empty());
        drop((engine, lake));
        Self::open(dir).await
    }
}

/// Rows that a statement changed, as its tag says.
async fn run(client: &Client, sql: &str) -> u64 {
    tried(client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e} {:?}", e.as_db_error()))
}

async fn tried(client: &Client, sql: &str) -> Result<u64, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.iter().rev().find_map(|m| if let SimpleQueryMessage::CommandComplete(n) = m { Some(*n) } else { None }).unwrap())
}

async fn code(client: &Client, sql: &str) -> SqlState {
    match tried(client, sql).await {
        Ok(rows) => panic!("{sql} changed {rows} rows"),
        Err(error) => error.code().cloned().unwrap_or_else(|| panic!("{sql}: {error}")),
    }
}

/// The rows of a query as text, sorted.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e} {:?}", e.as_db_error()));
    let row = |m: &SimpleQueryMessage| match m {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    let mut rows: Vec<String> = messages.iter().filter_map(row).collect();
    rows.sort();
    rows
}

async fn shop(client: &Client) {
    run(client, "CREATE SCHEMA shop").await;
    run(client, "CREATE TABLE shop.t (id bigint PRIMARY KEY, n bigint, note text)").await;
    run(client, "INSERT INTO shop.t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, NULL, NULL), (4, 40, 'd')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_deleted_and_updated() {
    let world = World::new().await;
    let client = world.connect().await;
    shop(&client).await;
    assert_eq!(run(&client, "UPDATE shop.t SET n = n + 1, note = 'x' || id WHERE id <= 2").await, 2);
    assert_eq!(rows(&client, "SELECT * FROM shop.t").await, ["1|11|x1", "2|21|x2", "3|NULL|NULL", "4|40|d"]);
    assert_eq!(run(&client, "DELETE FROM shop.t AS old WHERE old.n IS NULL OR old.id = 99").await, 1);
    assert_eq!(run(&client, "DELETE FROM shop.t WHERE id = 99").await, 0);
    run(&client, "CREATE TABLE shop.s AS SELECT * FROM (VALUES (1, 5), (1, 6), (4, 7)) AS v (id, amount)").await;
    assert_eq!(run(&client, "UPDATE shop.t SET n = s.amount FROM shop.s WHERE s.id = shop.t.id AND s.id = 4").await, 1);
    assert_eq!(run(&client, "UPDATE shop.t SET note = DEFAULT FROM shop.s WHERE s.id = t.id AND t.id = 1").await, 1, "once");
    assert_eq!(rows(&client, "SELECT * FROM shop.t").await, ["1|11|NULL", "2|21|x2", "4|7|d"]);
    assert_eq!(run(&client, "WITH s AS (SELECT 2 AS id) DELETE FROM shop.t USING s WHERE t.id = s.id").await, 1);
    assert_eq!(run(&client, "UPDATE shop.t SET id = id * 100").await, 2);
    assert_eq!(client.execute("UPDATE shop.t SET n = $1, note = $2 WHERE id = $3", &[&8_i64, &"p", &100_i64]).await.unwrap(), 1);
    assert_eq!(rows(&client, "SELECT * FROM shop.t").await, ["100|8|p", "400|7|d"]);
    assert_eq!(client.execute("DELETE FROM shop.t WHERE id = $1", &[&100_i64]).await.unwrap(), 1);
    assert_eq!(rows(&client, "SELECT count(*), min(id) FROM shop.t").await, ["1|400"]);
    for (sql, expected) in [
        ("UPDATE shop.t SET id = NULL", SqlState::NOT_NULL_VIOLATION),
        ("UPDATE shop.t SET nothing = 1", SqlState::UNDEFINED_COLUMN),
        ("UPDATE shop.t SET n = 'abc'", SqlState::INVALID_TEXT_REPRESENTATION),
        ("DELETE FROM shop.nothing", SqlState::UNDEFINED_TABLE),
        ("DELETE FROM silver.orders", SqlState::UNDEFINED_TABLE),
        ("UPDATE shop.t SET n = 1 / 0", SqlState::DIVISION_BY_ZERO),
    ] {
        assert_eq!(code(&client, sql).await, expected, "{sql}");
    }
    drop(client);
    let world = world.reopen().await;
    assert_eq!(rows(&world.connect().await, "SELECT * FROM shop.t").await, ["400|7|d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_takes_the_first_branch_that_fits_and_no_row_twice() {
    let world = World::new().await;
    let client = world.connect().await;
    shop(&client).await;
    let merge = "MERGE INTO shop.t AS t USING (VALUES (1, -1), (2, 5), (7, 70), (8, -8)) AS s (id, n) ON t.id = s.id
        WHEN MATCHED AND s.n < 0 THEN DELETE
        WHEN MATCHED THEN UPDATE SET n = t.n + s.n, note = 'm'
        WHEN NOT MATCHED AND s.n > 0 THEN INSERT (id, n) VALUES (s.id, s.n)
        WHEN NOT MATCHED BY SOURCE AND t.note IS NULL THEN UPDATE SET note = 'alone'";
    assert_eq!(run(&client, merge).await, 4);
    let now = ["2|25|m", "3|NULL|alone", "4|40|d", "7|70|NULL"];
    assert_eq!(rows(&client, "SELECT * FROM shop.t").await, now);
    let twice =
        "MERGE INTO shop.t USING (SELECT 2 AS id UNION ALL SELECT 2) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = 0";
    assert_eq!(code(&client, twice).await, SqlState::CARDINALITY_VIOLATION);
    assert_eq!(rows(&client, "SELECT * FROM shop.t").await, now, "nothing of it happened");
    // Only the branch that fits is computed.
    let careful = "MERGE INTO shop.t USING (VALUES (2, 0), (9, 3)) AS s (id, d) ON t.id = s.id
        WHEN MATCHED AND s.d = 0 THEN UPDATE SET n = -1 WHEN MATCHED THEN UPDATE SET n = t.n / s.d
        WHEN NOT MATCHED THEN INSERT VALUES (s.id, 9 / s.d, 'q')";
    assert_eq!(run(&client, careful).await, 2);
    assert_eq!(rows(&client, "SELECT * FROM shop.t WHERE id IN (2, 9)").await, ["2|-1|m", "9|3|q"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_on_conflict_updates_or_leaves_what_is_there() {
    let world = World::new().await;
    let client = world.connect().await;
    shop(&client).await;
    let upsert = "INSERT INTO shop.t (id, n) VALUES (1, 1), (9, 9) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n";
    assert_eq!(run(&client, upsert).await, 2);
    assert_eq!(rows(&client, "SELECT * FROM shop.t WHERE id IN (1, 9)").await, ["1|11|a", "9|9|NULL"]);
    let bound = "INSERT INTO shop.t VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET note = excluded.note WHERE t.n > 10";
    assert_eq!(client.execute(bound, &[&1_i64, &0_i64, &"new"]).await.unwrap(), 1);
    assert_eq!(client.execute(bound, &[&9_i64, &0_i64, &"new"]).await.unwrap(), 0);
    assert_eq!(run(&client, "INSERT INTO shop.t VALUES (1, 0, ''), (20, 1, ''), (20, 2, '') ON CONFLICT DO NOTHING").await, 1);
    assert_eq!(rows(&client, "SELECT * FROM shop.t WHERE id IN (1, 9)").await, ["1|11|new", "9|9|NULL"]);
    let twice = "INSERT INTO shop.t VALUES (30, 1, ''), (30, 2, '') ON CONFLICT (id) DO UPDATE SET n = 0";
    assert_eq!(code(&client, twice).await, SqlState::CARDINALITY_VIOLATION);
    let no_key = "INSERT INTO shop.t VALUES (30, 1, '') ON CONFLICT (n) DO NOTHING";
    assert_eq!(code(&client, no_key).await, SqlState::INVALID_COLUMN_REFERENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_sees_its_own_changes_and_is_undone_as_a_whole() {
    let world = World::new().await;
    let (client, other) = (world.connect().await, world.connect().await);
    shop(&client).await;
    run(&client, "BEGIN").await;
    run(&client, "UPDATE shop.t SET n = 0 WHERE id = 1").await;
    run(&client, "INSERT INTO shop.t VALUES (5, 50, 'e')").await;
    run(&client, "SAVEPOINT s").await;
    assert_eq!(run(&client, "DELETE FROM shop.t WHERE id IN (1, 5) OR n = 20").await, 3);
    assert_eq!(rows(&client, "SELECT id FROM shop.t").await, ["3", "4"]);
    run(&client, "ROLLBACK TO SAVEPOINT s").await;
    assert_eq!(run(&client, "UPDATE shop.t SET n = n + 1 WHERE id IN (1, 5)").await, 2);
    assert_eq!(rows(&client, "SELECT id, n FROM shop.t WHERE id IN (1, 5)").await, ["1|1", "5|51"]);
    assert_eq!(rows(&other, "SELECT n FROM shop.t WHERE id = 1").await, ["10"]);
    run(&client, "ROLLBACK").await;
    assert_eq!(rows(&client, "SELECT id, n FROM shop.t").await, ["1|10", "2|20", "3|NULL", "4|40"]);
    run(&client, "BEGIN; UPDATE shop.t SET n = 7; DELETE FROM shop.t WHERE id > 2; COMMIT").await;
    assert_eq!(rows(&other, "SELECT id, n FROM shop.t").await, ["1|7", "2|7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_transactions_that_change_one_row_the_second_to_commit_fails() {
    let world = World::new().await;
    let (first, second) = (world.connect().await, world.connect().await);
    shop(&first).await;
    run(&first, "BEGIN; UPDATE shop.t SET n = 1 WHERE id = 1").await;
    run(&second, "BEGIN; UPDATE shop.t SET n = 2 WHERE id = 1; INSERT INTO shop.t VALUES (9, 9, '')").await;
    run(&first, "COMMIT").await;
    assert_eq!(code(&second, "COMMIT").await, SqlState::T_R_SERIALIZATION_FAILURE);
    assert_eq!(rows(&second, "SELECT id, n FROM shop.t WHERE id IN (1, 9)").await, ["1|1"], "nothing of the second took place");
    // Other rows of the same table, and rows that are only added, are no conflict.
    run(&first, "BEGIN; UPDATE shop.t SET n = 3 WHERE id = 1").await;
    run(&second, "BEGIN; UPDATE shop.t SET n = 4 WHERE id = 2; INSERT INTO shop.t VALUES (9, 9, '')").await;
    run(&second, "UPDATE shop.t SET n = 10 WHERE id = 9").await;
    run(&first, "COMMIT").await;
    run(&second, "COMMIT").await;
    assert_eq!(rows(&first, "SELECT id, n FROM shop.t WHERE id IN (1, 2, 9)").await, ["1|3", "2|4", "9|10"]);
    // What looked for rows that are not there would add them twice.
    run(&first, "BEGIN; INSERT INTO shop.t VALUES (50, 1, '') ON CONFLICT DO NOTHING").await;
    run(&second, "INSERT INTO shop.t VALUES (50, 2, '') ON CONFLICT DO NOTHING").await;
    assert_eq!(code(&first, "COMMIT").await, SqlState::T_R_SERIALIZATION_FAILURE);
    assert_eq!(rows(&first, "SELECT n FROM shop.t WHERE id = 50").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_their_own_never_lose_an_update() {
    let world = World::new().await;
    let client = world.connect().await;
    shop(&client).await;
    run(&client, "UPDATE shop.t SET n = 0").await;
    let worker = async |k: u64| {
        let client = world.connect().await;
        for i in 0..6 {
            run(&client, "UPDATE shop.t SET n = n + 1 WHERE id = 1").await;
            run(&client, &format!("INSERT INTO shop.t VALUES ({}, 1, '')", 1000 + k * 100 + i)).await;
            run(&client, "INSERT INTO shop.t VALUES (77, 1, '') ON CONFLICT (id) DO UPDATE SET n = t.n + 1").await;
        }
    };
    tokio::join!(worker(1), worker(2), worker(3));
    assert_eq!(rows(&client, "SELECT id, n FROM shop.t WHERE id IN (1, 77)").await, ["1|18", "77|18"]);
    assert_eq!(rows(&client, "SELECT count(*) FROM shop.t WHERE id >= 1000").await, ["18"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_added_renamed_widened_and_dropped() {
    let world = World::new().await;
    let client = world.connect().await;
    shop(&client).await;
    run(&client, "CREATE TABLE shop.w (k integer, r real, d numeric(6,2), b bytea)").await;
    run(&client, "INSERT INTO shop.w VALUES (1, 1.5, 1.25, 'x')").await;
    run(
        &client,
        "ALTER TABLE shop.w ALTER COLUMN k TYPE bigint, ALTER COLUMN r TYPE double precision, ALTER d TYPE numeric(12,2)",
    )
    .await;
    run(&client, "INSERT INTO shop.w VALUES (5000000000, 2.5, 9999999.25, 'y')").await;
    assert_eq!(rows(&client, "SELECT k, r, d FROM shop.w").await, ["1|1.5|1.25", "5000000000|2.5|9999999.25"]);
    run(
        &client,
        "ALTER TABLE shop.t ADD COLUMN IF NOT EXISTS day date, ADD COLUMN IF NOT EXISTS n int, RENAME COLUMN note TO remark",
    )
    .await;
    run(&client, "UPDATE shop.t SET day = '2026-11-23' WHERE id = 1").await;
    run(&client, "ALTER TABLE shop.t RENAME n TO note").await;
    let now = ["1|10|a|2026-11-23", "2|20|b|NULL", "3|NULL|NULL|NULL", "4|40|d|NULL"];
    assert_eq!(rows(&client, "SELECT id, note, remark, day FROM shop.t").await, now);
    run(&client, "ALTER TABLE shop.t DROP COLUMN remark; ALTER TABLE shop.t ADD COLUMN remark text").await;
    assert_eq!(rows(&client, "SELECT DISTINCT remark FROM shop.t").await, ["NULL"], "a new column of an old name is empty");
    run(&client, "UPDATE shop.t SET note = 0 WHERE note IS NULL; ALTER TABLE shop.t ALTER COLUMN note SET NOT NULL").await;
    run(&client, "COMMENT ON TABLE shop.t IS 'what we sell'; COMMENT ON COLUMN shop.t.note IS 'pieces'").await;
    for (sql, expected) in [
        ("INSERT INTO shop.t VALUES (9)", SqlState::NOT_NULL_VIOLATION),
        ("ALTER TABLE shop.t ALTER COLUMN day SET NOT NULL", SqlState::NOT_NULL_VIOLATION),
        ("ALTER TABLE shop.t ADD COLUMN x int NOT NULL", SqlState::NOT_NULL_VIOLATION),
        ("ALTER TABLE shop.t ALTER COLUMN note TYPE text", SqlState::DATATYPE_MISMATCH),
        ("ALTER TABLE shop.t DROP COLUMN id", SqlState::DATATYPE_MISMATCH),
        ("ALTER TABLE shop.t DROP COLUMN nothing", SqlState::UNDEFINED_COLUMN),
        ("ALTER TABLE shop.w DROP COLUMN b, ADD COLUMN b text", SqlState::DATATYPE_MISMATCH),
    ] {
        assert_eq!(code(&client, sql).await, expected, "{sql}");
    }
    run(&client, "BEGIN; ALTER TABLE shop.t DROP COLUMN day; INSERT INTO shop.t VALUES (9, 90, 'z'); ROLLBACK").await;
    drop(client);
    let world = world.reopen().await;
    let client = world.connect().await;
    assert_eq!(rows(&client, "SELECT id, note, remark, day FROM shop.t WHERE id <> 3").await.len(), 3);
    let state = world.lake.tables().state(&"shop.t".parse().unwrap()).unwrap();
    assert_eq!(state.comment(), Some("what we sell"));
    assert_eq!(::lake::column_comment(state.schema().field_with_name("note").unwrap()), Some("pieces"));
    drop(client);
}

/// A row of the model.
type Row = (i64, Option<i64>, Option<String>);

fn shown(model: &[Row]) -> Vec<String> {
    let text = |v: Option<String>| v.unwrap_or_else(|| "NULL".to_owned());
    let mut rows: Vec<String> =
        model.iter().map(|(id, n, note)| format!("{id}|{}|{}", text(n.map(|n| n.to_string())), text(note.clone()))).collect();
    rows.sort();
    rows
}

/// A random statement, carried out on the model; with how many rows it changes.
fn statement(dice: &mut Dice, model: &mut Vec<Row>) -> (String, u64) {
    let (modulus, rest) = (2 + dice.below(9) as i64, dice.below(5) as i64);
    let fits = move |row: &Row| row.0 % modulus == rest;
    if model.len() > 1500 {
        let before = model.len();
        model.retain(|r| r.0 % 3 == 0);
        return ("DELETE FROM shop.t WHERE id % 3 <> 0".to_owned(), (before - model.len()) as u64);
    }
    match dice.below(10) {
        0 | 1 => {
            let first = dice.below(400) as i64;
            let new: Vec<Row> = (first..first + 1 + dice.below(60) as i64)
                .map(|id| (id, (id % 4 != 0).then_some(id * 3), (id % 5 != 0).then(|| format!("note {id}"))))
                .collect();
            let value = |(id, n, note): &Row| {
                let (n, note) = (n.map_or("NULL".to_owned(), |n| n.to_string()), note.as_ref());
                format!("({id}, {n}, {})", note.map_or("NULL".to_owned(), |note| format!("'{note}'")))
            };
            let sql = format!("INSERT INTO shop.t VALUES {}", new.iter().map(value).collect::<Vec<_>>().join(", "));
            let count = new.len() as u64;
            model.extend(new);
            (sql, count)
        }
        2 => {
            let copies: Vec<Row> =
                model.iter().filter(|r| fits(r)).map(|(id, n, _)| (id + 1000, *n, Some("copy".to_owned()))).collect();
            let count = copies.len() as u64;
            model.extend(copies);
            (format!("INSERT INTO shop.t SELECT id + 1000, n, 'copy' FROM shop.t WHERE id % {modulus} = {rest}"), count)
        }
        3 | 4 => {
            let before = model.len();
            model.retain(|r| !(fits(r) && r.1.is_none_or(|n| n % 2 == 0)));
            let sql = format!("DELETE FROM shop.t WHERE id % {modulus} = {rest} AND (n IS NULL OR n % 2 = 0)");
            (sql, (before - model.len()) as u64)
        }
        5 if dice.one_in(4) => {
            let count = model.len() as u64;
            model.clear();
            ("DELETE FROM shop.t".to_owned(), count)
        }
        5 | 6 => {
            let mut count = 0;
            for row in model.iter_mut().filter(|r| fits(r)) {
                *row = (row.0, row.1.map(|n| n + 1), row.1.map(|n| format!("was {n}")));
                count += 1;
            }
            (format!("UPDATE shop.t SET n = n + 1, note = 'was ' || CAST(n AS text) WHERE id % {modulus} = {rest}"), count)
        }
        7 => {
            let mut count = 0;
            for row in model.iter_mut().filter(|r| fits(r) && (0..300).contains(&r.0)) {
                row.1 = Some(row.0 * 2);
                count += 1;
            }
            let from =
                format!("(SELECT value AS id, value * 2 AS d FROM generate_series(0, 299) WHERE value % {modulus} = {rest})");
            (format!("UPDATE shop.t SET n = s.d FROM {from} AS s WHERE t.id = s.id"), count)
        }
        _ => merge(dice, model, modulus),
    }
}

fn merge(dice: &mut Dice, model: &mut Vec<Row>, modulus: i64) -> (String, u64) {
    let by_source = dice.one_in(3);
    let mut source: BTreeMap<i64, i64> = BTreeMap::new();
    for _ in 0..1 + dice.below(40) {
        source.insert(dice.below(500) as i64, dice.below(20) as i64 - 6);
    }
    let mut count = 0;
    let mut next = Vec::with_capacity(model.len());
    let known: std::collections::BTreeSet<i64> = model.iter().map(|r| r.0).collect();
    for (id, n, note) in model.drain(..) {
        match source.get(&id) {
            Some(new) if *new < 0 => count += 1,
            Some(new) if *new < 10 => {
                count += 1;
                next.push((id, Some(new + n.unwrap_or(0)), note));
            }
            None if by_source && id % modulus == 0 => count += 1,
            _ => next.push((id, n, note)),
        }
    }
    for (id, new) in source.iter().filter(|(id, new)| !known.contains(id) && **new != 0) {
        count += 1;
        next.push((*id, Some(*new), Some("merged".to_owned())));
    }
    *model = next;
    let values: Vec<String> = source.iter().map(|(id, n)| format!("({id}, {n})")).collect();
    let alone =
        if by_source { format!("WHEN NOT MATCHED BY SOURCE AND t.id % {modulus} = 0 THEN DELETE") } else { String::new() };
    let sql = format!(
        "MERGE INTO shop.t USING (VALUES {}) AS s (id, n) ON t.id = s.id
        WHEN MATCHED AND s.n < 0 THEN DELETE
        WHEN MATCHED AND s.n < 10 THEN UPDATE SET n = s.n + coalesce(t.n, 0)
        WHEN NOT MATCHED AND s.n <> 0 THEN INSERT (note, id, n) VALUES ('merged', s.id, s.n) {alone}",
        values.join(", ")
    );
    (sql, count)
}

/// PyIceberg and DuckDB read what the model holds.
fn outside_engines_read(world: &World, model: &[Row]) {
    let state = world.lake.tables().state(&"shop.t".parse().unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/readers/read_table.py");
    let mut expected: Vec<String> = model.iter().map(|row| serde_json::json!(row).to_string()).collect();
    expected.sort();
    for reader in ["pyiceberg", "duckdb"] {
        #[expect(clippy::disallowed_methods, reason = "`make test` says where the readers are")]
        let python = std::env::var("LAKEBOX_READERS_PYTHON").expect("LAKEBOX_READERS_PYTHON; `make test` sets it");
        let read = std::process::Command::new(python).arg(&script).args([reader, state.metadata_location()]).output().unwrap();
        assert!(read.status.success(), "{reader}: {}", String::from_utf8_lossy(&read.stderr));
        let read: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
        let mut rows: Vec<String> = read["rows"].as_array().unwrap().iter().map(ToString::to_string).collect();
        rows.sort();
        assert_eq!(rows, expected, "{reader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_statements_do_what_a_model_does() {
    // With the step at which the table gets format version 3.
    for (seed, partitioned, upgraded) in [(11, false, None), (12, false, Some(0)), (13, true, None), (14, true, Some(30))] {
        let mut dice = Dice(seed);
        let mut world = World::new().await;
        let mut client = world.connect().await;
        run(&client, "CREATE SCHEMA shop; CREATE TABLE shop.t (id bigint, n bigint, note text)").await;
        if partitioned {
            run(&client, "ALTER TABLE shop.t SET PARTITIONED BY (bucket(3, id))").await;
        }
        let mut model: Vec<Row> = Vec::new();
        for step in 0..70 {
            if upgraded == Some(step) {
                run(&client, "ALTER TABLE shop.t SET (format_version = 3)").await;
            }
            if partitioned && dice.one_in(7) {
                let by = ["bucket(3, id)", "truncate(4, n), truncate(2, note)", "bucket(2, note), truncate(20, id)", "note"];
                let by = by
                    .get(dice.below(5) as usize)
                    .map_or_else(|| "RESET PARTITIONED BY".to_owned(), |by| format!("SET PARTITIONED BY ({by})"));
                run(&client, &format!("ALTER TABLE shop.t {by}")).await;
            }
            if dice.one_in(5) {
                let mut inside = model.clone();
                run(&client, "BEGIN").await;
                for _ in 0..1 + dice.below(4) {
                    let (sql, count) = statement(&mut dice, &mut inside);
                    assert_eq!(run(&client, &sql).await, count, "seed {seed}, step {step}: {sql}");
                    assert_eq!(rows(&client, "SELECT * FROM shop.t").await, shown(&inside), "seed {seed}, step {step}: {sql}");
                }
                let keep = !dice.one_in(3);
                run(&client, if keep { "COMMIT" } else { "ROLLBACK" }).await;
                if keep {
                    model = inside;
                }
            } else {
                let (sql, count) = statement(&mut dice, &mut model);
                assert_eq!(run(&client, &sql).await, count, "seed {seed}, step {step}: {sql}");
            }
            model.sort();
            assert_eq!(rows(&client, "SELECT * FROM shop.t").await, shown(&model), "seed {seed}, step {step}");
            if dice.one_in(6) {
                let (table, stop) = ("shop.t".parse().unwrap(), CancellationToken::new());
                let all = dice.one_in(2);
                world.lake.rewrite_files(&table, &::lake::Thresholds::default(), all, &stop).await.unwrap();
                world
                    .lake
                    .expire_snapshots(
                        &table,
                        &::lake::Retention { all: Default::default(), hourly: Default::default(), daily: Default::default() },
                    )
                    .await
                    .unwrap();
                assert_eq!(rows(&client, "SELECT * FROM shop.t").await, shown(&model), "seed {seed}, step {step}, after upkeep");
            }
            if dice.one_in(12) {
                drop(client);
                world = world.reopen().await;
                client = world.connect().await;
                assert_eq!(rows(&client, "SELECT * FROM shop.t").await, shown(&model), "seed {seed}, step {step}, reopened");
            }
        }
        drop(client);
        outside_engines_read(&world, &model);
        let files = |path: &Path| std::fs::read_dir(path).map_or(0, |dir| dir.count());
        assert!(files(&world.dir.path().join("lake/shop/t/data")) > 0, "it was on disk");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_version_3_stays_one() {
    let world = World::new().await;
    let client = world.connect().await;
    run(&client, "CREATE SCHEMA shop; CREATE TABLE shop.t WITH (format_version = 3) AS SELECT 1 AS id UNION ALL SELECT 2").await;
    let version = || world.lake.tables().state(&"shop.t".parse().unwrap()).unwrap().format_version();
    assert_eq!(version(), 3);
    run(&client, "DELETE FROM shop.t WHERE id = 1").await;
    let files = r#"SELECT content, file_format, record_count FROM shop."t$files" ORDER BY 1"#;
    assert_eq!(rows(&client, files).await, ["data|parquet|2", "position_deletes|puffin|1"]);
    run(&client, "TRUNCATE shop.t").await;
    assert_eq!((version(), rows(&client, "SELECT * FROM shop.t").await.len()), (3, 0));
    let error = client.simple_query("ALTER TABLE shop.t SET (format_version = 2)").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert!(error.message().contains("there is no way back"), "{error:?}");
    assert!(error.hint().unwrap().contains("WITH (format_version = 2)"), "{error:?}");
    // One statement may do several things.
    run(&client, "CREATE TABLE shop.u (id int); ALTER TABLE shop.u SET (format_version = 3), ADD COLUMN note text").await;
    run(&client, "CREATE TABLE shop.v WITH (format_version = 2) AS SELECT * FROM shop.u").await;
    let versions = world.lake.tables().all().iter().map(|s| s.format_version()).collect::<Vec<_>>();
    assert_eq!(versions, [3, 3, 2]);
}

#[tokio::test]
async fn the_answer_of_a_change_waits_for_no_place() {
    let world = World::new().await;
    let settings = QuerySettings { threads: 2, running_max: 1, ..QuerySettings::default() };
    let lake = std::sync::Arc::new(world.lake.clone());
    let engine = Engine::new(lake, world.lake.store(), settings, SystemClock::shared()).unwrap();
    let change = async |sql: &str| {
        let mut answer = engine.change(&QueryRequest::new(sql, "http")).await.unwrap().unwrap();
        let row = answer.stream.next().await.unwrap().unwrap();
        assert!(answer.stream.next().await.is_none());
        (row.column(0).as_string::<i32>().value(0).to_owned(), row.column(1).as_primitive::<Int64Type>().iter().next().unwrap())
    };
    change("CREATE SCHEMA s").await;
    assert_eq!(change("CREATE TABLE s.t AS SELECT 1 AS a UNION ALL SELECT 2").await.1, Some(2));
    assert_eq!(change("UPDATE s.t SET a = a + 1 WHERE a > 1").await, ("UPDATE".to_owned(), Some(1)));
    let runs: Vec<String> = engine.history().iter().map(|run| format!("{} {}", run.client, &run.sql[..6])).collect();
    assert_eq!(runs, ["http UPDATE", "http CREATE"], "each is listed once, as who asked wrote it");
    // Whoever has the only place, a change that happened is told at once: told that it failed, a client would run it again.
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = -1";
    let running = engine.query(QueryRequest::new(endless, "report")).await.unwrap();
    assert_eq!(change("CREATE SCHEMA r").await, ("CREATE SCHEMA".to_owned(), None));
    drop(running);
}
