use crate::support::{Lake, shop};
use lake::LakeView;
use query::{Access, serve_pgwire};
use runtime::CancellationToken;
use std::{net::SocketAddr, process::Stdio, sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpListener, process::Command};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

/// A query that would run for years.
const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = -1";

struct Server {
    lake: Lake,
    address: SocketAddr,
    engine: query::Engine,
    cancel: CancellationToken,
    tasks: runtime::Tasks,
}

impl Server {
    async fn start() -> Self {
        let lake = shop().await;
        let engine = lake.engine();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let tasks = runtime::Tasks::default();
        let (serving, token) = (engine.clone(), cancel.clone());
        tasks.spawn("pgwire", async move { serve_pgwire(serving, listener, Access::default(), token).await.unwrap() });
        Self { lake, address, engine, cancel, tasks }
    }

    async fn connect(&self) -> Client {
        let config = format!("host=127.0.0.1 port={} user=analyst dbname=lakebox", self.address.port());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        self.tasks.spawn("client", async move { drop(connection.await) });
        client
    }

    async fn psql(&self, sql: &str) -> String {
        let mut child = Command::new("psql")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.address.port().to_string(),
                "-U",
                "analyst",
                "-d",
                "lakebox",
                "-X",
                "-A",
                "-c",
                sql,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("psql is installed");
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
        child.stderr.take().unwrap().read_to_string(&mut out).await.unwrap();
        child.wait().await.unwrap();
        out
    }
}

fn simple(messages: &[SimpleQueryMessage]) -> Vec<String> {
    let row = |m: &SimpleQueryMessage| match m {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned());
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test]
async fn psql_selects_and_describes() {
    let server = Server::start().await;
    let out = server.psql("SELECT id, customer, total, placed_at FROM shop_orders WHERE id IN (0, 4) ORDER BY id").await;
    assert_eq!(
        out,
        "id|customer|total|placed_at\n0||0.00|2023-11-14 22:13:20+00\n4|c4|4.04|2023-11-14 22:13:24.000004+00\n(2 rows)\n"
    );
    let out = server.psql("\\dt silver.*").await;
    assert!(out.contains("silver|shop_orders|table|"), "{out}");
    let out = server.psql("\\dt *.*").await;
    assert!(out.contains("gold|revenue|table|"), "{out}");
    let out = server.psql("\\d silver.shop_orders").await;
    assert!(out.contains("total|numeric") && out.contains("placed_at|timestamp with time zone"), "{out}");
    let out = server.psql("\\dn").await;
    assert!(out.contains("bronze|") && out.contains("gold|"), "{out}");
    let out = server.psql("\\l").await;
    assert!(out.contains("lakebox|"), "{out}");
    let out = server.psql("SELECT nothing FROM shop_orders").await;
    assert!(
        out.starts_with(
            "ERROR:  column `nothing` does not exist\nLINE 1: SELECT nothing FROM shop_orders\n               ^\nHINT:"
        ),
        "{out}"
    );
    let out = server.psql("BEGIN; SELECT count(*) FROM revenue; COMMIT").await;
    assert!(out.contains("2\n"), "{out}");
    server.cancel.cancel();
}

#[tokio::test]
async fn drivers_bind_parameters_and_read_binary_values() {
    let server = Server::start().await;
    let client = server.connect().await;
    let statement =
        client.prepare("SELECT id, customer, placed_at::text, total > $2 FROM shop_orders WHERE id = $1").await.unwrap();
    let row = client.query_one(&statement, &[&4_i64, &rust_decimal_free()]).await;
    assert!(row.is_err(), "a decimal is not bound as text");
    let rows = client
        .query("SELECT id, customer, id::float8 / 8, id = 4, id::int AS small FROM shop_orders WHERE id = $1", &[&4_i64])
        .await
        .unwrap();
    let row = &rows[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1), row.get::<_, f64>(2)), (4, "c4", 0.5));
    assert_eq!((row.get::<_, bool>(3), row.get::<_, i32>(4)), (true, 4));
    let none: Option<String> = client.query_one("SELECT customer FROM shop_orders WHERE id = 0", &[]).await.unwrap().get(0);
    assert_eq!(none, None);
    let array: Vec<Option<i64>> =
        client.query_one("SELECT array_agg(id) FROM shop_orders WHERE id < 6 AND id > 3", &[]).await.unwrap().get(0);
    assert_eq!(array, [Some(4), Some(5)]);
    let joined = client.query_one("SELECT $1 || 'x'", &[&"a"]).await.unwrap();
    assert_eq!(joined.get::<_, &str>(0), "ax");
    let moment = client.query_one("SELECT placed_at FROM shop_orders WHERE id = 0", &[]).await.unwrap();
    let moment: std::time::SystemTime = moment.get(0);
    assert_eq!(moment.duration_since(std::time::UNIX_EPOCH).unwrap(), Duration::from_secs(1_700_000_000));
    let version = client.query_one("SELECT version()", &[]).await.unwrap();
    assert!(version.get::<_, &str>(0).starts_with("PostgreSQL 16.6"));
    server.cancel.cancel();
}

/// A value of a type that numeric does not take.
fn rust_decimal_free() -> &'static str {
    "1.5"
}

#[tokio::test]
async fn a_prepared_statement_sees_what_is_committed_after_it_was_prepared() {
    let server = Server::start().await;
    let client = server.connect().await;
    let statement = client.prepare("SELECT count(*) FROM silver.shop_orders").await.unwrap();
    assert_eq!(client.query_one(&statement, &[]).await.unwrap().get::<_, i64>(0), 97);
    {
        let mut view = server.lake.view.lock();
        let mut next = LakeView::clone(&view);
        let name = "silver.shop_orders".parse().unwrap();
        let table = lake::TableView { files: Arc::new([]), ..lake::TableView::clone(&next.tables[&name]) };
        next.tables.insert(name, Arc::new(table));
        *view = Arc::new(next);
    }
    assert_eq!(client.query_one(&statement, &[]).await.unwrap().get::<_, i64>(0), 0);
    server.cancel.cancel();
}

#[tokio::test]
async fn transactions_are_accepted_and_fail_as_postgresql_fails_them() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    assert_eq!(transaction.query_one("SELECT 1::int8", &[]).await.unwrap().get::<_, i64>(0), 1);
    let error = transaction.query("SELECT * FROM nowhere", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
    let error = transaction.simple_query("SELECT 1").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    transaction.rollback().await.unwrap();
    let rows = client
        .simple_query("SELECT 1; SET application_name = 'x'; SHOW application_name; SELECT 2 AS a, NULL AS b")
        .await
        .unwrap();
    assert_eq!(simple(&rows), ["1", "x", "2|NULL"]);
    client.batch_execute("DISCARD ALL; DEALLOCATE ALL; RESET ALL").await.unwrap_or_default();
    for (sql, code) in [
        ("SELEC 1", SqlState::SYNTAX_ERROR),
        ("SELECT nope FROM revenue", SqlState::UNDEFINED_COLUMN),
        ("SELECT nope()", SqlState::UNDEFINED_FUNCTION),
        ("SELECT 1 / 0", SqlState::DIVISION_BY_ZERO),
        ("SELECT CAST('x' AS int)", SqlState::INVALID_TEXT_REPRESENTATION),
        ("INSERT INTO revenue VALUES (1)", SqlState::READ_ONLY_SQL_TRANSACTION),
        ("SHOW nonsense", SqlState::UNDEFINED_OBJECT),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&code), "{sql}: {error:?}");
    }
    server.cancel.cancel();
}

#[tokio::test]
async fn cancel_requests_and_statement_timeouts_end_queries() {
    let server = Server::start().await;
    let client = server.connect().await;
    let token = client.cancel_token();
    let engine = server.engine.clone();
    let cancel = async {
        while engine.running().is_empty() {
            tokio::task::yield_now().await;
        }
        token.cancel_query(NoTls).await.unwrap();
    };
    let (end, ()) = tokio::join!(client.simple_query(ENDLESS), cancel);
    assert_eq!(end.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    client.simple_query("SET statement_timeout = '200ms'").await.unwrap();
    let end = client.query(ENDLESS, &[]).await.unwrap_err();
    assert_eq!(end.as_db_error().unwrap().message(), "canceling statement due to statement timeout");
    assert_eq!(simple(&client.simple_query("SHOW statement_timeout").await.unwrap()), ["200ms"]);
    server.cancel.cancel();
}

#[tokio::test]
async fn rows_come_in_portions_where_the_client_asks_for_portions() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM shop_orders ORDER BY id", &[]).await.unwrap();
    let first = transaction.query_portal(&portal, 40).await.unwrap();
    let second = transaction.query_portal(&portal, 40).await.unwrap();
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!((first.len(), second.len(), rest.len()), (40, 40, 17));
    assert_eq!(second[0].get::<_, i64>(0), 43);
    server.cancel.cancel();
}
