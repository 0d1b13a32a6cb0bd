//! What goes wrong outside, and how it is told.

use crate::places::{Server, SqlitePlace, open, try_open};
use catalog::{Catalog, Commit, Kind, PointerSwap};
use model::{Fault, LakeTable, Layer};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

async fn failure(url: &str) -> (Kind, String) {
    let error = try_open(url).await.expect_err(url);
    assert!(error.hint.is_some() || error.kind == Kind::Unreachable, "{error}");
    (error.kind, error.to_string())
}

fn any_commit() -> Commit {
    let swap = PointerSwap { table: LakeTable::new(Layer::Gold, "t"), expected: None, new: Some("1".into()), writer: None };
    Commit { swaps: vec![swap], cursor: None }
}

pub async fn a_catalog_of_a_newer_version_is_left_alone(url: &str) {
    drop(open(url).await);
    let insert = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'later', true, 'x', 1)";
    if url.starts_with("sqlite") {
        SqliteConnection::connect(url).await.unwrap().execute(insert).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute("set search_path = lakebox").await.unwrap();
        connection.execute(insert).await.unwrap();
    }
    let error = try_open(url).await.unwrap_err();
    assert_eq!((error.kind, error.fault), (Kind::Newer, Fault::User));
    assert!(error.to_string().contains("was written by a newer lakebox"), "{error}");
}

#[tokio::test]
async fn urls_that_name_no_catalog_are_refused_without_their_secrets() {
    for url in ["mysql://root:hunter2@host/db", "catalog.db", "postgres://u:hunter2@host:notaport/db", "sqlite:"] {
        let (kind, text) = failure(url).await;
        assert_eq!(kind, Kind::Misconfigured, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told_and_kept() {
    let place = SqlitePlace::new();
    let file = place.folder.path().join("lake/catalog.db");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = "this is a letter to my aunt, not a database. ".repeat(100);
    std::fs::write(&file, &text).unwrap();
    let (kind, message) = failure(&place.url()).await;
    assert_eq!(kind, Kind::Corrupt, "{message}");
    assert!(message.contains("catalog.db is damaged, or is not a lakebox catalog"), "{message}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_path_that_is_a_folder_or_below_a_file_is_told() {
    let place = SqlitePlace::new();
    let root = place.folder.path();
    let (kind, message) = failure(&format!("sqlite:{}", root.display())).await;
    assert_eq!(kind, Kind::Storage, "{message}");
    std::fs::write(root.join("file"), "").unwrap();
    let (kind, message) = failure(&format!("sqlite:{}/file/sub/catalog.db", root.display())).await;
    assert_eq!(kind, Kind::Storage, "{message}");
    assert!(message.contains("can't be made"), "{message}");
}

#[tokio::test]
async fn a_writer_that_never_lets_go_is_told_after_the_wait() {
    let place = SqlitePlace::new();
    let catalog = open(&place.url()).await;
    let mut other = SqliteConnection::connect(&place.url()).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    // Readers don't mind.
    assert!(catalog.tables().await.unwrap().is_empty());
    let error = catalog.commit(any_commit()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Locked);
    assert!(error.to_string().contains("is locked by another process (committing)"), "{error}");
    other.execute("rollback").await.unwrap();
    catalog.commit(any_commit()).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_the_commit_and_keeps_what_was() {
    let place = SqlitePlace::new();
    let catalog = open(&place.url()).await;
    catalog.commit(any_commit()).await.unwrap();
    // A database that may not grow is what a full disk is to SQLite; the limit is of one connection, so it is set through ours.
    let big = serde_json::Value::String("x".repeat(64 << 20));
    let before = catalog.tables().await.unwrap();
    let Some(limit) = small_disk(&place) else { return };
    let small = open(&limit.url).await;
    small.commit(any_commit()).await.unwrap();
    let error = small.set_setting("big", &big).await.unwrap_err();
    assert_eq!(error.kind, Kind::Storage, "{error}");
    assert!(error.to_string().contains("can't write to its disk"), "{error}");
    assert_eq!(small.tables().await.unwrap().len(), before.len());
    small.set_setting("small", &serde_json::json!(1)).await.unwrap();
}

/// A file system of 8 MB, where this user may mount one.
struct SmallDisk {
    folder: std::path::PathBuf,
    url: String,
}

fn small_disk(place: &SqlitePlace) -> Option<SmallDisk> {
    let folder = place.folder.path().join("small");
    std::fs::create_dir(&folder).unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&folder).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        eprintln!("this user can't mount a small disk: the full disk is not tested here");
        return None;
    }
    let url = format!("sqlite:{}/catalog.db", folder.display());
    Some(SmallDisk { folder, url })
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

pub async fn postgres_failures_say_what_where_and_what_to_do(server: Server) {
    let port = server.port;
    let database = server.database("failures");
    let cases = [
        (format!("postgres://postgres:hunter2@127.0.0.1:{port}/nowhere"), Kind::Refused, "database \"nowhere\" does not exist"),
        (format!("postgres://nobody:hunter2@127.0.0.1:{port}/failures"), Kind::Refused, "role \"nobody\" does not exist"),
        (
            "postgres://postgres:hunter2@127.0.0.1:1/failures".to_owned(),
            Kind::Unreachable,
            "127.0.0.1:1/failures can't be reached",
        ),
    ];
    for (url, kind, part) in cases {
        let (seen, text) = failure(&url).await;
        assert_eq!(seen, kind, "{text}");
        assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
    }
    rights_that_are_missing_are_named(&database, port).await;

    let catalog = open(&database).await;
    catalog.commit(any_commit()).await.unwrap();
    commits_are_durable_even_where_the_server_is_lax(&catalog, &database).await;
    server.stop();
    let error = catalog.commit(any_commit()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    server.start();
    assert_eq!(catalog.tables().await.unwrap().len(), 1, "what was committed survived the server's crash");
}

async fn rights_that_are_missing_are_named(database: &str, port: u16) {
    let mut admin = PgConnection::connect(database).await.unwrap();
    admin.execute("create role guest login").await.unwrap();
    let (kind, text) = failure(&format!("postgres://guest@127.0.0.1:{port}/failures")).await;
    assert_eq!(kind, Kind::Refused, "{text}");
    assert!(text.contains("permission denied"), "{text}");
}

async fn commits_are_durable_even_where_the_server_is_lax(catalog: &Catalog, database: &str) {
    let mut admin = PgConnection::connect(database).await.unwrap();
    let (lax,): (String,) = sqlx::query_as("show synchronous_commit").fetch_one(&mut admin).await.unwrap();
    assert_eq!(lax, "off", "the test's server is meant to be lax");
    // The crash that follows in the caller loses what a lax commit had only in memory.
    catalog.set_setting("durable", &serde_json::json!(true)).await.unwrap();
}
