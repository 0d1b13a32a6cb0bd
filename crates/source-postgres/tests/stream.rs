use crate::{
    model_sink::{Driver, Model, number},
    server::{Server, source},
    workload::{assert_same, is_same},
};
use pipeline::{Kind, Source};
use source_postgres::PostgresConfig;
use std::time::Duration;

async fn copied(server: &Server, config: &PostgresConfig) -> Driver {
    let _ = server;
    let mut driver = Driver::open(source(config), Model::default()).await.unwrap();
    driver.until(|m| m.boundaries > 0).await;
    driver
}

async fn confirmed(server: &Server) -> u64 {
    number(&server.sql().await.one("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'lakebox_shop'").await)
}

/// Bug 1: what was only read is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_1_nothing_is_acknowledged_before_it_is_durable() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut driver = copied(&server, &server.config()).await;
    let start = confirmed(&server).await;
    sql.run("INSERT INTO t SELECT generate_series(1, 1000)").await;
    driver.until(|m| m.table("public.t").rows.len() == 1000).await;
    // Read, but not durable: the server is told what was received, and the slot stays.
    for i in 0..3 {
        sql.run(&format!("INSERT INTO t VALUES (-1 - {i})")).await;
        let end = sql.one("SELECT pg_current_wal_lsn()").await;
        driver.reach(&end).await;
        let told = format!("SELECT count(*) FROM pg_stat_replication WHERE write_lsn >= '{end}'");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while sql.one(&told).await != "1" {
            assert!(tokio::time::Instant::now() < deadline, "no status after {end}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(confirmed(&server).await, start);
    }
    driver.ack();
    let durable = number(&driver.model.cursor.clone().unwrap().display);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while confirmed(&server).await != durable {
        assert!(tokio::time::Instant::now() < deadline, "{:x} is not {durable:x}", confirmed(&server).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = driver.source.status();
    assert!(status.lag_bytes.is_some() && status.head.is_some(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_source_moves_on_with_the_log_of_others() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)").await;
    let config = PostgresConfig { tables: vec!["public.t".into()], ..server.config() };
    let mut driver = copied(&server, &config).await;
    sql.run("INSERT INTO other SELECT generate_series(1, 100000)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_eq!(driver.model.table("public.t").rows.len(), 0);
    driver.model.assert_changes_are_unique();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_beyond_its_budget_is_told_until_it_is_let_go() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY, pad text)").await;
    let config = PostgresConfig { wal_budget_mb: 2, ..server.config() };
    let mut driver = copied(&server, &config).await;
    driver.ack();
    sql.run("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 10000) i").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let warning = loop {
        assert!(tokio::time::Instant::now() < deadline, "nothing was told");
        match driver.source.status().warning {
            Some(warning) => break warning,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert!(warning.contains("lakebox_shop") && warning.contains("budget of 2 MiB"), "{warning}");
    while driver.source.status().warning.is_some() {
        assert!(tokio::time::Instant::now() < deadline, "it was let go and still told");
        // The server lets go at the first record of running transactions after what was acknowledged.
        sql.run("CHECKPOINT").await;
        driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
        driver.ack();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_keeps_its_connection_and_its_memory() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("ALTER SYSTEM SET wal_sender_timeout = '8s'").await;
    sql.run("SELECT pg_reload_conf(); CREATE TABLE t (id int PRIMARY KEY, pad text)").await;
    let config = PostgresConfig { read_ahead_mb: 1, batch_rows_max: 500, ..server.config() };
    let mut driver = copied(&server, &config).await;
    sql.run("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 60000) i").await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    driver.until(|m| m.changes.len() == 60_000).await;
    assert_eq!(sql.one("SELECT count(*) FROM pg_replication_slots WHERE active").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_transactions_share_batches_and_boundaries() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let config = PostgresConfig { linger_ms: 20, ..server.config() };
    let mut driver = copied(&server, &config).await;
    let before = driver.model.boundaries;
    sql.run("DO $$ BEGIN FOR i IN 1..3000 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$").await;
    driver.until(|m| m.changes.len() == 3000).await;
    let boundaries = driver.model.boundaries - before;
    assert!(boundaries < 300, "{boundaries} boundaries for 3000 transactions");
    let mut commits: Vec<u64> = driver.model.changes.iter().filter(|c| c.3 == "c").map(|c| c.1).collect();
    commits.dedup();
    assert_eq!(commits.len(), 3000);
    assert!(commits.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_table_is_attached_and_a_table_made_anew_is_copied_again() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut driver = copied(&server, &server.config()).await;
    sql.run("CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n SELECT generate_series(1, 10)").await;
    driver.until(|m| m.tables.get("public.n").is_some_and(|t| t.rows.len() == 10)).await;
    sql.run("INSERT INTO n VALUES (11); INSERT INTO t VALUES (2)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.n", &driver.model).await;
    sql.run("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (5, 'five')").await;
    driver.until(|m| m.table("public.t").rows.iter().any(|r| r.get("v").is_some_and(|v| v == "five"))).await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.t", &driver.model).await;
    // A cursor from before the attached table's point must not bring its changes twice.
    let mut driver = Driver::open_patiently(|| server.source(), driver.kill()).await;
    sql.run("INSERT INTO n VALUES (12)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.n", &driver.model).await;
    driver.model.assert_changes_are_unique();
}

/// Bug 4 of those that others shipped: the slot is shared, so what the other tables acknowledge lets go of a new table's changes too.
/// Here transactions write an old and a new table together, before, while and after the new one is attached, and all is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_4_what_was_acknowledged_before_a_table_was_attached_is_in_its_copy() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut driver = copied(&server, &server.config()).await;
    for round in 0..3 {
        let (new, other) = (format!("n{round}"), server.sql().await);
        sql.run(&format!("CREATE TABLE {new} (id int PRIMARY KEY)")).await;
        let first = round * 1000;
        let writes = format!(
            "DO $$ BEGIN FOR i IN {first}..{first} + 799 LOOP INSERT INTO t VALUES (i); INSERT INTO {new} VALUES (i); COMMIT; \
             PERFORM pg_sleep(0.001); END LOOP; END $$"
        );
        #[expect(clippy::disallowed_methods, reason = "a session of its own, in a test")]
        let writer = tokio::spawn(async move { other.run(&writes).await });
        let table = format!("public.{new}");
        driver.until(|m| m.table("public.t").rows.len() > first / 1000 * 800 + 20).await;
        driver.ack();
        driver.until(|m| m.tables.get(&table).is_some_and(|t| t.rows.len() > 20)).await;
        // Death right after the copy: its cursor stands before the point of the copy, and the log from there on comes again.
        let model = driver.kill();
        driver = Driver::open_patiently(|| server.source(), model).await;
        writer.await.unwrap();
        driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
        driver.ack();
        assert_same(&sql, "public.t", &driver.model).await;
        assert_same(&sql, &table, &driver.model).await;
        assert_eq!(driver.model.table(&table).rows.len(), 800);
        driver.model.assert_changes_are_unique();
    }
}

/// Bug 12: without a position of its own, a stream starts wherever the slot happens to stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_12_the_stream_starts_at_the_cursor_and_not_where_the_slot_stands() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("ALTER SYSTEM SET log_replication_commands = on").await;
    sql.run("SELECT pg_reload_conf(); CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut driver = copied(&server, &server.config()).await;
    // Durable but never acknowledged: the slot stays behind the cursor.
    sql.run("INSERT INTO t SELECT generate_series(1, 100)").await;
    driver.until(|m| m.table("public.t").rows.len() == 100).await;
    let slot = confirmed(&server).await;
    let model = driver.kill();
    let cursor = model.cursor.clone().unwrap().state["lsn"].as_str().unwrap().to_owned();
    assert!(number(&cursor) > slot, "{cursor} is not after {slot:x}");
    let mut driver = Driver::open_patiently(|| server.source(), model).await;
    sql.run("INSERT INTO t VALUES (101)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    let log = server.log();
    let asked = |line: &'_ str| {
        Some(line.split_once("command: START_REPLICATION")?.1.split_once(" LOGICAL ")?.1.split_once(' ')?.0.to_owned())
    };
    let asked: Vec<String> = log.lines().filter_map(asked).collect();
    assert_eq!(asked.last(), Some(&cursor), "{asked:?}");
    assert!(asked.iter().all(|a| number(a) > 0), "{asked:?}");
    assert_same(&sql, "public.t", &driver.model).await;
    driver.model.assert_changes_are_unique();
}

/// Changes of columns that give old rows other values without a change event for any of them.
const SILENT: [(&str, &str); 7] = [
    ("added", "ALTER TABLE added ADD COLUMN b int NOT NULL DEFAULT 7"),
    ("renamed", "ALTER TABLE renamed RENAME COLUMN a TO b"),
    ("doubled", "ALTER TABLE doubled ALTER COLUMN a TYPE int USING a * 2"),
    ("tripled", "ALTER TABLE tripled ALTER COLUMN a TYPE int USING a * 3"),
    ("retyped", "ALTER TABLE retyped ALTER COLUMN a TYPE text USING 'x' || a"),
    ("remade", "ALTER TABLE remade DROP COLUMN a; ALTER TABLE remade ADD COLUMN a int DEFAULT 9"),
    ("swapped", "ALTER TABLE swapped RENAME a TO x; ALTER TABLE swapped RENAME c TO a; ALTER TABLE swapped RENAME x TO c"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_change_silently_are_copied_again_whether_the_source_runs_or_not() {
    let server = Server::start();
    let sql = server.sql().await;
    for (table, _) in SILENT {
        sql.run(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, a int, c int); INSERT INTO {table} VALUES (1, 10, 100), (2, 20, 200)"
        ))
        .await;
    }
    sql.run("CREATE TABLE moved (id int PRIMARY KEY); INSERT INTO moved VALUES (1)").await;
    sql.run("CREATE TABLE widened (id int PRIMARY KEY, a varchar(9)); INSERT INTO widened VALUES (1, 'a')").await;
    let mut driver = copied(&server, &server.config()).await;
    // While it runs, without any later change of the tables.
    for (table, ddl) in &SILENT[..3] {
        sql.run(ddl).await;
        while !is_same(&sql, &format!("public.{table}"), &driver.model).await {
            driver.step().await.unwrap();
        }
    }
    // While it is down.
    Source::close(&mut driver.source).await;
    let model = driver.kill();
    for (_, ddl) in &SILENT[3..] {
        sql.run(ddl).await;
    }
    sql.run("ALTER TABLE widened ALTER a TYPE text; ALTER TABLE widened ADD n int").await;
    sql.run("VACUUM FULL moved").await;
    let resets = model.resets.len();
    let mut driver = Driver::open_patiently(|| server.source(), model).await;
    for (table, _) in &SILENT[3..] {
        let table = format!("public.{table}");
        while !is_same(&sql, &table, &driver.model).await {
            driver.step().await.unwrap();
        }
    }
    sql.run("INSERT INTO widened VALUES (2, 'longer than it was', 5)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.widened", &driver.model).await;
    sql.run("INSERT INTO moved VALUES (2)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.moved", &driver.model).await;
    assert_eq!(driver.model.resets.len() - resets, SILENT.len() - 3, "what only grew is not copied: {:?}", driver.model.resets);
    driver.model.assert_changes_are_unique();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_brings_its_rows_along_and_an_empty_one_costs_no_copy() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run(
        "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
         CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (0) TO (100); INSERT INTO p VALUES (1, 'a')",
    )
    .await;
    let mut driver = copied(&server, &server.config()).await;
    // Made as a partition, or attached without rows: all changes come with the stream. The tables are looked at when it opens.
    Source::close(&mut driver.source).await;
    sql.run("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (100) TO (200); CREATE TABLE p2 (LIKE p INCLUDING ALL)").await;
    sql.run("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (200) TO (300)").await;
    sql.run("INSERT INTO p VALUES (100, 'b')").await;
    let resets = driver.model.resets.len();
    let mut driver = Driver::open_patiently(|| server.source(), driver.kill()).await;
    sql.run("INSERT INTO p VALUES (200, 'c')").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.p", &driver.model).await;
    assert_eq!(driver.model.resets.len(), resets);
    // Attached with rows, while it runs.
    sql.run("CREATE TABLE p3 (LIKE p INCLUDING ALL); INSERT INTO p3 VALUES (300, 'd')").await;
    sql.run("ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (300) TO (400)").await;
    while !is_same(&sql, "public.p", &driver.model).await {
        driver.step().await.unwrap();
    }
    // And while it is down, as a partition with partitions of its own.
    Source::close(&mut driver.source).await;
    let model = driver.kill();
    sql.run(
        "CREATE TABLE p4 (LIKE p INCLUDING ALL) PARTITION BY RANGE (id);
         CREATE TABLE p40 PARTITION OF p4 FOR VALUES FROM (400) TO (450); INSERT INTO p4 VALUES (400, 'e')",
    )
    .await;
    sql.run("ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM (400) TO (500)").await;
    let mut driver = Driver::open_patiently(|| server.source(), model).await;
    while !is_same(&sql, "public.p", &driver.model).await {
        driver.step().await.unwrap();
    }
    sql.run("UPDATE p SET v = v || v; DELETE FROM p WHERE id = 100").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.p", &driver.model).await;
    driver.model.assert_changes_are_unique();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_nothing() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut driver = copied(&server, &server.config()).await;
    sql.run("INSERT INTO t SELECT generate_series(1, 500); SET synchronous_commit = on; INSERT INTO t VALUES (501)").await;
    driver.until(|m| m.table("public.t").rows.len() >= 250).await;
    server.restart();
    let error = loop {
        if let Err(e) = driver.step().await {
            break e;
        }
    };
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    let mut driver = Driver::open_patiently(|| server.source(), driver.kill()).await;
    let sql = server.sql().await;
    sql.run("INSERT INTO t VALUES (502)").await;
    driver.reach(&sql.one("SELECT pg_current_wal_lsn()").await).await;
    assert_same(&sql, "public.t", &driver.model).await;
    driver.model.assert_changes_are_unique();
}

/// Not a judgement, a measurement: rows per second of copy and stream, printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_rows_pass_through_copy_and_stream() {
    const ROWS: usize = 200_000;
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE h (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22)); ALTER TABLE h ADD id serial PRIMARY KEY").await;
    let insert = format!(
        "INSERT INTO h (tid, bid, aid, delta, mtime, filler) SELECT i, i, i, i, now(), 'x' FROM generate_series(1, {ROWS}) i"
    );
    sql.run(&insert).await;
    for url in [server.url(), server.unix_url()] {
        let config = PostgresConfig { url, ..PostgresConfig::new("") };
        let mut reader = source(&config);
        let started = std::time::Instant::now();
        reader.open(None).await.unwrap();
        assert_eq!(rows_until(&mut reader, ROWS).await, ROWS);
        println!("copied {ROWS} rows in {:?}", started.elapsed());
        sql.run(&format!("TRUNCATE h; {insert}")).await;
        let started = std::time::Instant::now();
        rows_until(&mut reader, ROWS + 1).await;
        println!("streamed {ROWS} rows in {:?}", started.elapsed());
        reader.close().await;
        while sql.one("SELECT count(*) FROM pg_replication_slots WHERE active").await != "0" {
            tokio::task::yield_now().await;
        }
        sql.run("SELECT pg_drop_replication_slot('lakebox_shop')").await;
    }
}

async fn rows_until(reader: &mut source_postgres::PostgresSource, wanted: usize) -> usize {
    let mut rows = 0;
    let (mut batches, mut boundaries) = (0, 0);
    loop {
        match tokio::time::timeout(Duration::from_secs(60), reader.next()).await.unwrap().unwrap() {
            pipeline::Event::Rows(batch) => {
                rows += batch.num_rows();
                batches += 1;
            }
            pipeline::Event::Boundary(_) => {
                boundaries += 1;
                if rows >= wanted {
                    println!("{rows} rows in {batches} batches, {boundaries} boundaries");
                    return rows;
                }
            }
            _ => {}
        }
    }
}
