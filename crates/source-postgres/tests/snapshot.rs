use crate::{
    model_sink::{Driver, Model},
    server::{Server, source},
    workload::assert_same,
};
use model::{Key, Op};
use pipeline::{Event, Kind, Source};
use source_postgres::PostgresConfig;

/// A table of every type, and two rows of ordinary and odd values for each.
pub const ALL_TYPES: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'so "so"');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN amount AS numeric(10,2);
CREATE DOMAIN tags AS text[];
CREATE TABLE everything (
  id int PRIMARY KEY, b bool, i2 smallint, i8 bigint, o oid, f4 real, f8 double precision, n numeric, n2 numeric(12,2), big numeric(60,5), neg numeric(5,-2),
  d date, ts timestamp, tz timestamptz, t time, ttz timetz, iv interval, by bytea, u uuid, j json, jb jsonb, tx text, vc varchar(20), ch char(6), nm name,
  m mood, p pair, am amount, tg tags, ia int[], na numeric(8,2)[], ta text[], da date[], ma mood[], ip inet, ci cidr, mac macaddr, mo money, r int4range, bi bit(4), vb varbit,
  pt point, bx box[], x xml, ts3 timestamp(3), "Quoted ""Name" int, _op text, iv2 int2vector, gen int GENERATED ALWAYS AS (id * 2) STORED);
"#;
pub const ALL_ROWS: &str = r#"
INSERT INTO everything (id) VALUES (BASE);
INSERT INTO everything VALUES (BASE + 1, true, -7, 9007199254740993, 4000000000, 0.1, 1e300, 12345.678900, -0.01, 123456789012345678901234567890.12345, 12300,
  '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+02', '23:59:59.999999', '12:00:00+05:30', '1 year 2 mons -3 days 04:05:06.7', '\x00ff10', '00112233-4455-6677-8899-aabbccddeeff',
  '{"a": [1, 2 ]}', '{"b": {"c": null}}', 'tab	newline
é𐍈', 'vc', 'ab', 'a name', 'so "so"', '(1,"x y")', 12.5, '{a,"b c",NULL}', '{1,NULL,3}', '{1.5,2}', '{"q\"uote","",NULL,"NULL","back\\slash"}', '{2024-01-01,1999-12-31}', '{sad,"so \"so\""}',
  '10.1.2.3', '10.0.0.0/8', '08:00:2b:01:02:03', '$1,234.50', '[1,5)', B'1010', B'101', '(1,2)', '{(1,1),(0,0);(3,3),(2,2)}', '<a>1</a>', '2024-01-01 00:00:00.123', 7, 'own op', '1 2 3');
INSERT INTO everything (id, f4, f8, n, n2, big, d, ts, tz, t, ia, na, da, ta, p, by, tg) VALUES
  (BASE + 2, 'NaN', 'Infinity', 'NaN', 'NaN', 'NaN', 'infinity', '-infinity', 'infinity', '24:00:00', '{{1,2},{3,4}}', '{NaN,1}', '{infinity}', '{}', '(,)', '', '{}'),
  (BASE + 3, '-Infinity', '-0', '1e100', 0, 0.00001, '4713-01-01 BC', '294276-12-31 23:59:59.999999', '0044-03-15 10:00:00+00 BC', '00:00', '[0:1]={1,2}', '{}', '{NULL}', '{{a},{b}}', NULL, '\x', NULL),
  (BASE + 4, 1.17549435e-38, 5e-324, 0.0000000000000000000001, 9999999999.99, -1e54, '5874897-12-31', '4713-01-01 00:00:00 BC', '1900-01-01 00:00:00.000001+00', '12:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"#;

pub fn rows_from(base: u32) -> String {
    ALL_ROWS.replace("BASE", &base.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_the_same_in_copy_and_stream() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run(ALL_TYPES).await;
    sql.run(&rows_from(0)).await;
    let mut driver = Driver::open(server.source(), Model::default()).await.unwrap();
    driver.until(|m| m.boundaries > 0).await;
    let copied = driver.model.clone();
    let rename = |m: &Model| {
        let mut m = m.clone();
        for row in &mut m.tables.get_mut("public.everything").unwrap().rows {
            if let Some(op) = row.remove("_op__source") {
                row.insert("_op".into(), op);
            }
        }
        m
    };
    assert_same(&sql, "public.everything", &rename(&copied)).await;
    sql.run("DELETE FROM everything").await;
    sql.run(&rows_from(0)).await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.everything", &rename(&driver.model)).await;
    assert_eq!(driver.model.table("public.everything").sorted(), copied.table("public.everything").sorted());
    driver.model.assert_changes_are_unique();
    // A restart remembers the columns for values that don't fit.
    let names = |m: &Model| {
        m.table("public.everything").schema.clone().unwrap().columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    let before = names(&driver.model);
    let mut driver = Driver::open_patiently(|| server.source(), driver.kill()).await;
    sql.run("INSERT INTO everything (id) VALUES (77)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_eq!(names(&driver.model), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_splits_large_tables_and_finds_keys_and_patterns() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run(
        "CREATE SCHEMA shop; CREATE TABLE shop.big (id int PRIMARY KEY, pad text); CREATE TABLE secret_a (id int); CREATE TABLE bare (id int);
         INSERT INTO shop.big SELECT i, repeat('p', 900) FROM generate_series(1, 90000) i;
         CREATE TABLE chosen (a int, b int NOT NULL); CREATE UNIQUE INDEX chosen_b ON chosen (b); ALTER TABLE chosen REPLICA IDENTITY USING INDEX chosen_b;
         CREATE TABLE whole (a int); ALTER TABLE whole REPLICA IDENTITY FULL; CREATE UNLOGGED TABLE gone (id int); CREATE VIEW v AS SELECT 1;
         CREATE TABLE empty (id int PRIMARY KEY)",
    )
    .await;
    let config = PostgresConfig {
        tables: vec!["public.*".into(), "shop.*".into(), "!public.secret_*".into()],
        snapshot_connections: 2,
        batch_rows_max: 5000,
        ..server.config()
    };
    let mut driver = Driver::open(source(&config), Model::default()).await.unwrap();
    assert!(driver.source.status().snapshot.is_none_or(|s| s.tables_total == 5 || s.tables_total == 0));
    driver.until(|m| m.boundaries > 0).await;
    let keys: Vec<(String, Key)> =
        driver.model.tables.iter().map(|(n, t)| (n.clone(), t.schema.as_ref().unwrap().key.clone())).collect();
    let columns = |names: &[&str]| Key::Columns(names.iter().map(|n| (*n).to_owned()).collect());
    assert_eq!(
        keys,
        [
            ("public.bare".into(), Key::None),
            ("public.chosen".into(), columns(&["b"])),
            ("public.empty".into(), columns(&["id"])),
            ("public.whole".into(), Key::WholeRow),
            ("shop.big".into(), columns(&["id"]))
        ]
    );
    let mut ids: Vec<u32> = driver.model.table("shop.big").rows.iter().map(|r| r["id"].parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=90_000).collect::<Vec<_>>());
    driver.model.assert_changes_are_unique();
    // The application's own updates of a table without identity still work.
    sql.run("INSERT INTO bare VALUES (1); UPDATE bare SET id = 2; DELETE FROM bare").await;
}

/// Bug 3: the slot is there, so the copy must be done, says who died in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_3_a_slot_without_cursor_means_nothing() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 50000)").await;
    // A reader that dies in mid-copy leaves its slot behind.
    let mut first = PostgresConfig { batch_rows_max: 100, ..server.config() };
    first.linger_ms = 0;
    let mut dead = source(&first);
    dead.open(None).await.unwrap();
    loop {
        if let Event::Rows(batch) = dead.next().await.unwrap() {
            assert_eq!(batch.op(0), Op::Read);
            break;
        }
    }
    drop(dead);
    assert_eq!(sql.one("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'lakebox_shop'").await, "1");
    sql.run("DELETE FROM t WHERE id > 10; INSERT INTO t VALUES (100000)").await;
    let mut driver = Driver::open_patiently(|| server.source(), Model::default()).await;
    driver.until(|m| m.boundaries > 0).await;
    assert_same(&sql, "public.t", &driver.model).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_may_not_be_read_fails_alone_until_it_may() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run(
        "CREATE ROLE reader LOGIN REPLICATION; CREATE ROLE owner; GRANT owner TO reader; GRANT CREATE ON DATABASE postgres TO reader;
         CREATE TABLE open (id int PRIMARY KEY); ALTER TABLE open OWNER TO owner; INSERT INTO open VALUES (1);
         CREATE TABLE closed (id int PRIMARY KEY); INSERT INTO closed VALUES (2)",
    )
    .await;
    let config = PostgresConfig { url: server.url_of("reader"), ..server.config() };
    let mut driver = Driver::open(source(&config), Model::default()).await.unwrap();
    driver.until(|m| m.boundaries > 0).await;
    assert_eq!(driver.model.table("public.open").rows.len(), 1);
    assert!(!driver.model.tables.contains_key("public.closed"));
    let (table, why) = driver.model.failed.first().cloned().unwrap();
    assert_eq!(table.to_string(), "public.closed");
    assert!(why.contains("permission denied"), "{why}");
    sql.run("ALTER TABLE closed OWNER TO owner").await;
    driver.until(|m| m.tables.get("public.closed").is_some_and(|t| t.rows.len() == 1)).await;
    // A new table of somebody else may be read but not published: the others go on, and it follows once its owner did what he was told.
    sql.run("CREATE TABLE foreigner (id int PRIMARY KEY); INSERT INTO foreigner VALUES (3); GRANT SELECT ON foreigner TO reader")
        .await;
    sql.run("INSERT INTO open VALUES (4)").await;
    driver.until(|m| m.failed.iter().any(|(t, _)| t.name == "foreigner") && m.table("public.open").rows.len() == 2).await;
    let (_, why) = driver.model.failed.last().cloned().unwrap();
    assert!(why.contains("must be owner of table foreigner"), "{why}");
    let (_, fix) = why.split_once("as the owner of the table: ").unwrap();
    sql.run(fix).await;
    driver.until(|m| m.tables.get("public.foreigner").is_some_and(|t| t.rows.len() == 1)).await;
    let error = barred_kind(&server).await;
    assert_eq!(error, Kind::Refused);
}

/// What a role gets that may read tables but not publish them.
async fn barred_kind(server: &Server) -> Kind {
    let sql = server.sql().await;
    sql.run("CREATE ROLE poor LOGIN REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor").await;
    let config = PostgresConfig {
        url: server.url_of("poor"),
        slot: Some("poor".into()),
        publication: Some("poor".into()),
        ..server.config()
    };
    let error = source(&config).open(None).await.unwrap_err();
    assert!(error.hint.as_deref().unwrap_or("").contains("CREATE PUBLICATION \"poor\" FOR TABLE"), "{error} {:?}", error.hint);
    error.kind
}
