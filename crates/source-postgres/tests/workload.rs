use crate::{
    model_sink::{Driver, Model, Row, Table},
    server::{Server, Sql, source},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// A text in one form for both sides: numbers without trailing zeros, floats as Rust prints them.
fn normal(kind: &str, text: &str) -> String {
    let base = kind.split(['(', ' ']).next().unwrap_or("");
    match base {
        "numeric" | "amount" if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        "real" => text.parse::<f32>().map_or_else(|_| text.to_owned(), |f| f.to_string()),
        "double" => text.parse::<f64>().map_or_else(|_| text.to_owned(), |f| f.to_string()),
        _ => text.to_owned(),
    }
}

/// The rows of a table as the server prints them.
pub async fn server_rows(sql: &Sql, table: &str) -> (Vec<(String, String)>, Vec<Row>) {
    let columns: Vec<(String, String)> = sql
        .rows(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 \
             AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
        ))
        .await
        .into_iter()
        .map(|r| (r[0].clone().unwrap(), r[1].clone().unwrap()))
        .collect();
    let names = columns.iter().map(|(n, _)| format!("\"{}\"", n.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
    sql.run("SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET IntervalStyle = 'postgres'").await;
    let rows = sql.rows(&format!("SELECT {names} FROM {table}")).await;
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|r| columns.iter().zip(r).filter_map(|((n, k), v)| Some((n.clone(), normal(k, &v?)))).collect())
        .collect();
    rows.sort();
    (columns, rows)
}

/// The rows of the model in the same form: a value's text stands in its sibling where the typed column can't hold it.
pub fn model_rows(columns: &[(String, String)], table: &Table) -> Vec<Row> {
    let mut rows: Vec<Row> = table
        .rows
        .iter()
        .map(|row| {
            let value = |name: &str| row.get(name).or_else(|| row.get(&format!("{name}__text")));
            columns.iter().filter_map(|(n, k)| Some((n.clone(), normal(k, value(n)?)))).collect()
        })
        .collect();
    rows.sort();
    rows
}

pub async fn assert_same(sql: &Sql, table: &str, model: &Model) {
    let (columns, expected) = server_rows(sql, table).await;
    let ours = model_rows(&columns, model.table(table));
    for (a, b) in ours.iter().zip(&expected) {
        assert_eq!(a, b, "a row of {table}");
    }
    assert_eq!(ours.len(), expected.len(), "rows of {table}");
}

pub async fn is_same(sql: &Sql, table: &str, model: &Model) -> bool {
    let (columns, expected) = server_rows(sql, table).await;
    model_rows(&columns, model.table(table)) == expected
}

const TABLES: [&str; 4] = ["public.accounts", "public.notes", "public.parts", "public.logs"];

const SCHEMA: &str = "
CREATE TABLE accounts (id int PRIMARY KEY, name text, balance numeric(12,2), doc text, at timestamptz DEFAULT now());
ALTER TABLE accounts ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE notes (a int, b text, big text);
ALTER TABLE notes REPLICA IDENTITY FULL;
ALTER TABLE notes ALTER big SET STORAGE EXTERNAL;
CREATE TABLE parts (id int, day date, v float8, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE parts_2 (day date NOT NULL, v float8, id int NOT NULL);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE logs (line text, n int);
INSERT INTO accounts SELECT i, 'name ' || i, i * 1.5, repeat(md5(i::text), 200) FROM generate_series(1, 200) i;
INSERT INTO notes SELECT i % 7, 'note', repeat('x', 5000) FROM generate_series(1, 30) i;
INSERT INTO parts SELECT i, '2020-06-01'::date + i * 3, i FROM generate_series(1, 150) i;
INSERT INTO logs SELECT 'start', i FROM generate_series(1, 10) i;";

/// One random statement.
fn statement(random: &mut ChaCha8Rng, next: &mut u32) -> String {
    let id = random.random_range(1..=*next);
    let day = random.random_range(0..700);
    match random.random_range(0..17) {
        0..3 => {
            *next += 1;
            format!("INSERT INTO accounts VALUES ({next}, 'new', {day}.25, repeat('d', {}))", random.random_range(1..9000))
        }
        3..5 => format!("UPDATE accounts SET balance = balance + 0.01 WHERE id % 10 = {}", id % 10),
        5 => format!("UPDATE accounts SET doc = repeat('e', {day}0), name = NULL WHERE id = {id}"),
        6 => {
            *next += 1;
            // A changed key with an unchanged TOAST value.
            format!("UPDATE accounts SET id = {next} WHERE id = {id}")
        }
        7 => format!("DELETE FROM accounts WHERE id = {id}"),
        8 => format!("INSERT INTO notes VALUES ({}, 'again', repeat('y', 4000))", id % 7),
        9 => format!("UPDATE notes SET b = b || '.' WHERE ctid IN (SELECT ctid FROM notes WHERE a = {} LIMIT 2)", id % 7),
        10 => format!("DELETE FROM notes WHERE ctid IN (SELECT ctid FROM notes WHERE a = {} LIMIT 1)", id % 7),
        11 => {
            *next += 1;
            format!("INSERT INTO parts VALUES ({next}, '2020-01-01'::date + {day}, random())")
        }
        // Moves rows between partitions.
        12 => format!("UPDATE parts SET day = '2020-01-01'::date + {day} WHERE id = {id}"),
        13 => format!("DELETE FROM parts WHERE id = {id}"),
        14..16 => format!("INSERT INTO logs SELECT 'line', i FROM generate_series(1, {}) i", id % 5),
        _ if day < 60 => "TRUNCATE notes, logs".into(),
        _ => "SELECT 1".into(),
    }
}

/// Changes of shape, one after the other.
const RESHAPES: [&str; 7] = [
    "ALTER TABLE accounts ADD COLUMN extra int",
    "UPDATE accounts SET extra = id WHERE id % 3 = 0",
    "ALTER TABLE notes ADD COLUMN filled int DEFAULT 5",
    "ALTER TABLE accounts DROP COLUMN extra",
    "ALTER TABLE parts ALTER v TYPE numeric(20,3)",
    "CREATE TABLE late (id int PRIMARY KEY, v text)",
    "INSERT INTO late SELECT i, 'late' FROM generate_series(1, 50) i",
];

async fn load(sql: Sql, seed: u64, transactions: usize, reshape: bool) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut next = 1000;
    for n in 0..transactions {
        let mut text = String::from("BEGIN;");
        for _ in 0..random.random_range(1..6) {
            text.push_str(&statement(&mut random, &mut next));
            text.push(';');
        }
        text.push_str(if random.random_range(0..10) == 0 { "ROLLBACK" } else { "COMMIT" });
        sql.run(&text).await;
        if reshape
            && n % 40 == 20
            && let Some(ddl) = RESHAPES.get(n / 40)
        {
            sql.run(ddl).await;
        }
    }
}

async fn survive(seed: u64, transactions: usize, kills: usize, reshape: bool) {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run(SCHEMA).await;
    let writer = server.sql().await;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let make = || source(&server.config());
    let mut driver = Driver::open_patiently(make, Model::default()).await;
    let work = async {
        load(writer, seed, transactions, reshape).await;
        if reshape {
            server.sql().await.run("INSERT INTO parts VALUES (999999, '2020-02-02', 1.5); INSERT INTO notes VALUES (1, 'z', 'z'); UPDATE late SET v = 'later' WHERE id % 2 = 0; INSERT INTO late VALUES (1000, 'last')").await;
        }
    };
    let follow = async {
        let mut durable = Model::default();
        for _ in 0..kills {
            // A crash after some events, anywhere: inside of the copy, inside of a transaction, with or without acknowledged boundaries.
            for _ in 0..random.random_range(1..60) {
                // When the writer is ahead or done there may be nothing to wait for.
                let Ok(boundary) = tokio::time::timeout(Duration::from_millis(100), driver.step()).await else { break };
                let boundary = match boundary {
                    Ok(boundary) => boundary,
                    // A table was altered while its copy began: the pipeline starts again, as after a crash.
                    Err(error) if reshape && error.kind == pipeline::Kind::Conflict => break,
                    Err(error) => panic!("{error} {:?}", error.source),
                };
                if boundary && random.random_range(0..3) == 0 {
                    durable = driver.model.clone();
                    if random.random_range(0..2) == 0 {
                        driver.ack();
                    }
                }
            }
            let _ = driver.kill();
            driver = Driver::open_patiently(make, durable.clone()).await;
        }
        driver
    };
    let ((), mut driver) = tokio::join!(work, follow);
    let end = sql.one("SELECT pg_current_wal_lsn()").await;
    driver.reach(&end).await;
    if reshape {
        driver.until(|m| m.tables.get("public.late").is_some_and(|t| t.rows.len() == 51)).await;
        // Tables whose old rows changed silently are copied again, which ends with some later boundary.
        for table in TABLES {
            while !is_same(&sql, table, &driver.model).await {
                driver.step().await.unwrap_or_else(|e| panic!("{e} {:?}", e.source));
            }
        }
        assert_same(&sql, "public.late", &driver.model).await;
    }
    for table in TABLES {
        assert_same(&sql, table, &driver.model).await;
    }
    driver.model.assert_changes_are_unique();
    pipeline::Source::close(&mut driver.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_arrives_exactly_once_whenever_the_reader_dies() {
    survive(11, 400, 25, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_shape_lose_nothing() {
    survive(12, 320, 6, true).await;
}
