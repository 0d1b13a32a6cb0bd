//! What ports, users, sources, sizes and stores may be.

use super::*;

#[test]
fn ports_must_not_meet() {
    let text = r#"
server: { http: 0.0.0.0:8480, pgwire: 127.0.0.1:8480 }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:39: error: server.http and server.pgwire both want port 8480
      hint: Give each its own port; the usual ones are 8480, 5480 and 8481.
    "#);
}

#[test]
fn a_port_that_others_reach_needs_users_and_users_need_names_and_passwords() {
    let text = r#"
server: { http: 0.0.0.0:8480, pgwire: 0.0.0.0:5480, flight: 10.0.0.1:8481 }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:39: error: server.pgwire listens on 0.0.0.0, where whoever can reach it may read and change everything
      hint: Say who may connect, under `server`: users: [{ name: analyst, password: "${ANALYST_PASSWORD}" }]. Or listen on 127.0.0.1.
    lakebox.yaml:1:61: error: server.flight listens on 10.0.0.1, where whoever can reach it may read and change everything
      hint: Say who may connect, under `server`: users: [{ name: analyst, password: "${ANALYST_PASSWORD}" }]. Or listen on 127.0.0.1.
    "#);
    let text = r#"
server:
  pgwire: 0.0.0.0:5480
  users: [{ name: ann, password: a }, { name: ann, password: b }, { name: bob, password: "" }, { name: carl }]
  tls: { cert: nothing.pem, key: nothing.pem }
"#;
    let told = told(text);
    for part in [
        "there are two users `ann`",
        "the user `bob` has an empty password",
        "has no `password`",
        "server.tls can't be used: reading the certificate",
    ] {
        assert!(told.contains(part), "no `{part}` in\n{told}");
    }
    assert!(!told.contains("listens on"), "{told}");
}

#[test]
fn what_postgres_needs_is_checked_without_connecting() {
    let text = r#"
sources:
  a: { type: postgres }
  b: { type: postgres, url: "mysql://root:hunter2@h/d" }
  c: { type: postgres, url: "postgres://h/d" }
  d: { type: postgres, url: "just text", tables: ["!public.x"], slot: Mine }
  e: { type: postgres, url: "postgres://me@h/d", tables: [orders] }
  f: { type: postgres, url: "postgres://me@/d?host=/var/run/postgresql" }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:2:6: error: sources.a has no `url`
      hint: Add `url`. Where the database is: `postgres://user:password@host:5432/database?sslmode=require`
    lakebox.yaml:3:29: error: sources.b.url can't be used: its scheme is mysql:// and not postgres://
      hint: Write postgres://user:password@host:5432/database, with special characters percent-encoded.
    lakebox.yaml:4:29: error: sources.c.url can't be used: it names no user
      hint: Write postgres://user:password@host:5432/database, with special characters percent-encoded.
    lakebox.yaml:5:29: error: sources.d.url can't be used: relative URL without a base
      hint: Write postgres://user:password@host:5432/database, with special characters percent-encoded.
    lakebox.yaml:5:50: error: sources.d.tables follows no table
      hint: Name tables or patterns, for example ["public.*"].
    lakebox.yaml:5:71: error: sources.d.slot is `Mine`, which PostgreSQL takes for no slot
      hint: Set `slot` to lower-case letters, digits and _, at most 63 of them.
    lakebox.yaml:6:58: error: sources.e.tables holds `orders`, which is no pattern
      hint: Write schema.table, for example "public.*".
    "#);
}

#[test]
fn bounds_are_told() {
    let text = r#"
lake: { memory: 1MiB, commit: { every: 2h, max_bytes: 1KiB } }
server: { query_memory: 1B, query_timeout: 0s, queries_max: 0 }
sources:
  sim: { type: simulator, rate: -1, customers: 3, transforms: [m] }
  sim2: { type: simulator, tick: 5m }
  sim3: { type: simulator, starts_on: tomorrow, commit_time: never }
transforms:
  m: { wasm: plugins/there.wasm, memory_max: 4GiB, batch_time_max: 1ms, on_error: ignore }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:17: error: lake.memory is too small to work with
      hint: Give it at least 16MiB.
    lakebox.yaml:1:40: error: lake.commit.every is out of bounds
      hint: It may be 100ms to 1h.
    lakebox.yaml:1:55: error: lake.commit.max_bytes is too small
      hint: Give it at least 1MiB.
    lakebox.yaml:2:25: error: server.query_memory is too small to work with
      hint: Give it at least 16MiB.
    lakebox.yaml:2:44: error: server.query_timeout leaves queries no time
      hint: Give them at least 1s.
    lakebox.yaml:2:61: error: server.queries_max is out of bounds: `0`
      hint: It may be 1 to 1000.
    lakebox.yaml:4:33: error: sources.sim.rate is out of bounds: `-1`
      hint: It may be 0 to 1000000.
    lakebox.yaml:4:48: error: sources.sim.customers is out of bounds: `3`
      hint: It may be 20 to 10000000.
    lakebox.yaml:5:34: error: sources.sim2: `tick_ms` is 300000; it may be 1 to 60000
    lakebox.yaml:6:39: error: sources.sim3.starts_on is not a date
      hint: Write YYYY-MM-DD, for example 2026-01-01.
    lakebox.yaml:6:62: error: sources.sim3.commit_time can't be `never`
      hint: Known are: now, simulated.
    lakebox.yaml:8:46: error: transforms.m.memory_max is out of bounds
      hint: It may be 1MiB to 2GiB.
    lakebox.yaml:8:68: error: transforms.m.batch_time_max is out of bounds
      hint: It may be 10ms to 1m.
    lakebox.yaml:8:83: error: transforms.m.on_error can't be `ignore`
      hint: Known are: dead_letter, skip, pass, stop.
    "#);
}

#[test]
fn a_cache_belongs_to_a_bucket_and_stores_are_not_waited_for_without_end() {
    let text = r#"
lake: { warehouse: s3://b/wh, store: { request_timeout: 1ms, retry_for: 1h }, cache: { dir: ./cache, max_bytes: 1MiB } }
server: { queue_wait: 0s }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:57: error: lake.store.request_timeout is out of bounds
      hint: It may be 100ms to 10m.
    lakebox.yaml:1:73: error: lake.store.retry_for is out of bounds
      hint: It may be 100ms to 10m.
    lakebox.yaml:1:113: error: lake.cache.max_bytes is too small to be of use
      hint: Give it at least 16MiB.
    lakebox.yaml:2:23: error: server.queue_wait leaves queries no time
      hint: Give them at least 1s.
    "#);
    let config = |text: &str| parse("lakebox.yaml", text, Path::new("/etc/lake"), &|_| None).unwrap().config.lake.store;
    let given = config("lake: { warehouse: s3://b/wh, store: { request_timeout: 7s }, cache: { dir: ./cache } }");
    assert_eq!(given.request_timeout, std::time::Duration::from_secs(7));
    let cache = given.cache.unwrap();
    assert_eq!((cache.dir.as_path(), cache.bytes_max), (Path::new("/etc/lake/cache"), 10 << 30));
    assert_eq!(config("lake: { warehouse: ./lake, cache: { dir: ./cache } }").cache, None, "a disk needs none");
}

#[test]
fn stores_and_catalogs_that_lakebox_lacks_are_told() {
    let text = r#"
lake: { warehouse: hdfs://x/y, catalog: "mysql://root:hunter2@db/c" }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:20: error: lake.warehouse: lakebox has no store for `hdfs://`
      hint: Write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
    lakebox.yaml:1:41: error: lake.catalog is neither SQLite nor PostgreSQL
      hint: Write sqlite:PATH, for example sqlite:./lake/catalog.db, or postgres://user:password@host/database.
    "#);
}

#[test]
fn a_bucket_must_be_named() {
    let text = r#"
lake: { warehouse: "s3://", catalog: "sqlite:" }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:20: error: lake.warehouse names no bucket
      hint: Write s3://bucket/prefix.
    lakebox.yaml:1:38: error: lake.catalog is neither SQLite nor PostgreSQL
      hint: Write sqlite:PATH, for example sqlite:./lake/catalog.db, or postgres://user:password@host/database.
    "#);
}
