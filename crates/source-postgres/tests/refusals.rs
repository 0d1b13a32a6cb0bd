use crate::{
    model_sink::{Driver, Model},
    server::{Server, source},
};
use pipeline::{Error, Kind, Source};
use source_postgres::PostgresConfig;
use std::{net::TcpListener, process::Command};

async fn refused(config: &PostgresConfig, model: &Model) -> Error {
    let mut source = source(config);
    source.open(model.cursor.as_ref()).await.expect_err("it must refuse")
}

fn assert_error(error: &Error, kind: Kind, message: &str, hint: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(message), "{error}");
    assert!(error.hint.as_deref().unwrap_or("").contains(hint), "{error}: {:?}", error.hint);
    assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_the_place_and_the_fix() {
    let server = Server::start();
    let sql = server.sql().await;
    let with = |url: String| PostgresConfig { url, ..server.config() };
    sql.run("CREATE ROLE plain LOGIN; CREATE ROLE locked LOGIN REPLICATION SUPERUSER PASSWORD 'geheim'; SET password_encryption = md5; CREATE ROLE old LOGIN SUPERUSER PASSWORD 'geheim'").await;
    let none = Model::default();

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(&with(format!("postgres://u:geheim@127.0.0.1:{closed}/d")), &none).await;
    assert_error(&error, Kind::Unreachable, "can't be reached", "host and port");

    let error = refused(&with(server.url().replace("/postgres", "/nowhere").replace("//nowhere", "//postgres")), &none).await;
    assert_error(&error, Kind::Refused, "nowhere", "database name");

    let error = refused(&with(server.url_of("plain")), &none).await;
    assert_error(&error, Kind::Refused, "plain may not replicate", "ALTER ROLE \"plain\" REPLICATION");

    let error = refused(&with(server.url().to_owned() + "?sslmode=require"), &none).await;
    assert_error(&error, Kind::Refused, "does not offer TLS", "ssl on");

    let hba = server.data().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    let more = "host all locked all scram-sha-256\nhost all old all md5\nhost all plain all password\n";
    let refuse = "host all nobody all reject\n";
    let others = rules.replace(
        "host    all             all             127.0.0.1/32            trust",
        &format!("{more}{refuse}host all postgres 127.0.0.1/32 trust"),
    );
    std::fs::write(&hba, others).unwrap();
    sql.run("SELECT pg_reload_conf()").await;
    let wrong = refused(&with(server.url_of("locked:falsch")), &none).await;
    assert_error(&wrong, Kind::Refused, "password authentication failed", "password");
    let missing = refused(&with(server.url_of("locked")), &none).await;
    assert_error(&missing, Kind::Refused, "asks for a password", "${PASSWORD}");
    let entry = refused(&with(server.url_of("nobody:geheim")), &none).await;
    assert_error(&entry, Kind::Refused, "pg_hba.conf", "pg_hba.conf");
    // All ways of logging in work.
    for user in ["locked:geheim", "old:geheim"] {
        let config = PostgresConfig { slot: Some("s".into()), ..with(server.url_of(user)) };
        let mut reader = source(&config);
        reader.open(None).await.unwrap();
        reader.close().await;
        sql.run("SELECT pg_drop_replication_slot('s')").await;
    }
    sql.run("ALTER ROLE plain PASSWORD 'geheim'").await;
    let error = refused(&with(server.url_of("plain:geheim")), &none).await;
    assert_error(&error, Kind::Refused, "may not replicate", "REPLICATION");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_position_is_told_and_never_guessed() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let config = server.config();
    let mut driver = Driver::open(server.source(), Model::default()).await.unwrap();
    driver.until(|m| m.boundaries > 0).await;

    while sql.one("SELECT count(*) FROM pg_replication_slots WHERE active").await != "1" {
        tokio::task::yield_now().await;
    }
    let second = source(&config).open(driver.model.cursor.as_ref()).await.expect_err("the slot is in use");
    assert_error(&second, Kind::InUse, "in use by server process", "pg_terminate_backend");
    let anew = source(&config).open(None).await.expect_err("the slot is in use");
    assert_error(&anew, Kind::InUse, "in use by server process", "");

    driver.source.close().await;
    let model = driver.kill();
    let renamed = PostgresConfig { slot: Some("other".into()), ..server.config() };
    assert_error(&refused(&renamed, &model).await, Kind::PositionLost, "is now called other", "resync");

    // Somebody moves the slot past what the lake has.
    sql.run("INSERT INTO t VALUES (1)").await;
    sql.run("SELECT pg_replication_slot_advance('lakebox_shop', pg_current_wal_lsn())").await;
    assert_error(&refused(&config, &model).await, Kind::PositionLost, "was moved on to", "Resync");

    sql.run("SELECT pg_drop_replication_slot('lakebox_shop')").await;
    assert_error(&refused(&config, &model).await, Kind::PositionLost, "is gone", "Resync");

    let mut zero = model.clone();
    if let Some(cursor) = zero.cursor.as_mut() {
        cursor.state["lsn"] = "0/0".into();
    }
    assert_error(&refused(&config, &zero).await, Kind::PositionLost, "0/0", "");

    sql.run("SELECT pg_create_logical_replication_slot('lakebox_shop', 'test_decoding')").await;
    assert_error(&refused(&config, &Model::default()).await, Kind::Misconfigured, "belongs to something else", "`slot`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_logical_log_or_free_slots_is_misconfigured() {
    let server = Server::start();
    let sql = server.sql().await;
    sql.run("ALTER SYSTEM SET max_replication_slots = 1").await;
    server.restart();
    server.sql().await.run("SELECT pg_create_physical_replication_slot('taken')").await;
    let error = refused(&server.config(), &Model::default()).await;
    assert_error(&error, Kind::Misconfigured, "slots are in use", "max_replication_slots");
    server.sql().await.run("ALTER SYSTEM SET wal_level = 'replica'").await;
    server.restart();
    let error = refused(&server.config(), &Model::default()).await;
    assert_error(&error, Kind::Misconfigured, "wal_level = replica", "ALTER SYSTEM");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_used_and_checked_as_asked() {
    let server = Server::start();
    let sql = server.sql().await;
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
        ])
        .args(["subjectAltName=DNS:localhost", "-keyout", "server.key", "-out", "server.crt"])
        .current_dir(server.data())
        .output();
    if !made.is_ok_and(|o| o.status.success()) {
        println!("openssl is not here; nothing was tested");
        return;
    }
    let _ = Command::new("chown").args(["postgres", "server.key", "server.crt"]).current_dir(server.data()).output();
    sql.run("ALTER SYSTEM SET ssl = on").await;
    sql.run("SELECT pg_reload_conf()").await;
    let root = server.data().join("server.crt");
    let at = |host: &str, more: &str| PostgresConfig {
        url: format!("{}?{more}", server.url().replace("127.0.0.1", host)),
        ..server.config()
    };
    let root = format!("sslrootcert={}", root.display());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while sql.one("SHOW ssl").await != "on" {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    for (host, more, works) in [
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=verify-ca&{root}"), true),
        ("localhost", format!("sslmode=verify-full&{root}"), true),
        ("127.0.0.1", format!("sslmode=verify-full&{root}"), false),
        ("localhost", "sslmode=verify-full".to_owned(), false),
    ] {
        let mut reader = source(&at(host, &more));
        let opened = reader.open(None).await;
        assert_eq!(opened.is_ok(), works, "{host} {more}: {opened:?}");
        if works {
            assert_ne!(sql.one("SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) WHERE ssl").await, "0");
            reader.close().await;
            while sql.one("SELECT count(*) FROM pg_replication_slots WHERE active").await != "0" {
                tokio::task::yield_now().await;
            }
            sql.run("SELECT pg_drop_replication_slot('lakebox_shop')").await;
        }
    }
}
