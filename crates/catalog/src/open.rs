//! From a URL to a migrated database.

use crate::{
    database::{Database, Pools},
    error::{Error, Kind, from_driver, is_busy},
};
use sqlx::{
    Connection, Executor, PgConnection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a writer waits for another process's write lock, and anyone for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const MIGRATE_PATIENCE: Duration = Duration::from_secs(60);
const READERS_MAX: u32 = 4;
const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// The schema that holds lakebox's tables in a PostgreSQL database.
const SCHEMA: &str = "lakebox";

/// Every migration, oldest first. A text that has been released never changes: databases remember its checksum.
const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "namespaces", include_str!("../migrations/0002_namespaces.sql")),
    (3, "upkeep", include_str!("../migrations/0003_upkeep.sql")),
    (4, "crawlers", include_str!("../migrations/0004_crawlers.sql")),
    (5, "layout", include_str!("../migrations/0005_layout.sql")),
];

/// The file of an SQLite catalog; `None` for one in memory and for PostgreSQL.
pub(crate) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    let path = path.split('?').next().unwrap_or(path);
    (path != ":memory:").then(|| PathBuf::from(path))
}

pub(crate) async fn open(url: &str) -> Result<Database, Error> {
    if url.starts_with("sqlite:") {
        open_sqlite(sqlite_file(url)).await
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        open_postgres(url).await
    } else {
        // The text may hold a password, so only its scheme is repeated.
        let scheme = url.split(':').next().filter(|s| s.len() < url.len() && s.len() <= 16).unwrap_or("(none)");
        let error = Error::new(Kind::Misconfigured, format!("lakebox can't keep its catalog in a URL of scheme {scheme}"));
        Err(error.with_hint("Write sqlite:PATH or postgres://user:password@host/database in lake.catalog."))
    }
}

async fn open_sqlite(file: Option<PathBuf>) -> Result<Database, Error> {
    let place: Arc<str> = match &file {
        Some(file) if file.as_os_str().is_empty() => {
            return Err(Error::new(Kind::Misconfigured, "lake.catalog names no file").with_hint("Write sqlite:PATH."));
        }
        Some(file) => file.display().to_string().into(),
        None => "memory".into(),
    };
    if let Some(folder) = file.as_deref().and_then(Path::parent).filter(|f| !f.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder).await.map_err(|e| {
            Error::new(Kind::Storage, format!("the folder {} of the catalog can't be made: {e}", folder.display()))
                .with_hint("Check the path in lake.catalog and the rights of the folder above it.")
                .with_source(e)
        })?;
    }
    let options = SqliteConnectOptions::new()
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        // FULL: a commit that returned survives a power cut. The source is told to forget right after it.
        .synchronous(SqliteSynchronous::Full)
        .create_if_missing(true);
    let options = match &file {
        Some(file) => options.filename(file).journal_mode(SqliteJournalMode::Wal),
        None => options.in_memory(true),
    };
    let pool =
        |n| SqlitePoolOptions::new().max_connections(n).acquire_timeout(CONNECT_PATIENCE).idle_timeout(None).max_lifetime(None);
    let doing = "opening it";
    let patient = Patient::new();
    let writer = loop {
        match pool(1).min_connections(1).connect_with(options.clone()).await {
            // Who changes a new file to WAL while another opens it is told that it is locked, at once: SQLite asks no busy handler there.
            Err(e) if is_busy(&e) && patient.once_more().await => {}
            made => break made.map_err(|e| from_driver(&place, doing, e))?,
        }
    };
    let mut again = MIGRATIONS.len();
    loop {
        match migrator().run(&writer).await {
            Err(MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) if is_busy(&e) && patient.once_more().await => {}
            // SQLite has no lock for migrations: another process may have made the same tables just now. Then this finds them made. The next
            // migration may meet the same.
            Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) if again > 0 => again -= 1,
            migrated => break migrated.map_err(|e| from_migration(&place, e))?,
        }
    }
    let readers = match &file {
        Some(_) => pool(READERS_MAX).connect_with(options).await.map_err(|e| from_driver(&place, doing, e))?,
        // A database in memory belongs to its connection, so all share one.
        None => writer.clone(),
    };
    Ok(Database { pools: Pools::Sqlite { writer, readers }, place })
}

/// Tries again what SQLite refuses without waiting, until [`PATIENCE`] is at its end.
struct Patient(Instant);

impl Patient {
    fn new() -> Self {
        Self(Instant::now())
    }

    async fn once_more(&self) -> bool {
        // Nothing tells when the other is done, so it is asked for; a try costs less than this.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.elapsed() < PATIENCE
    }
}

async fn open_postgres(url: &str) -> Result<Database, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        // The driver's text may repeat parts of the URL, and with it the password.
        Error::new(Kind::Misconfigured, "lake.catalog is not a PostgreSQL URL")
            .with_hint("Write postgres://user:password@host:5432/database.")
    })?;
    let options = options.application_name("lakebox").options([("search_path", SCHEMA)]);
    let place: Arc<str> =
        format!("postgres://{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default()).into();
    // One direct connection first: a pool would hide behind a timeout why it can't connect. It also makes the tables, so that whatever
    // goes wrong there, closing it gives the migrations' lock back.
    let doing = "connecting";
    let mut connection = match tokio::time::timeout(CONNECT_PATIENCE, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected.map_err(|e| from_driver(&place, doing, e))?,
        Err(_) => return Err(from_driver(&place, doing, sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    };
    let mut migrator = migrator();
    migrator.create_schema(SCHEMA);
    let migrated = tokio::time::timeout(MIGRATE_PATIENCE, migrator.run_direct(None, &mut connection, false)).await;
    // What the migrations say matters more than a farewell that failed.
    let _ = connection.close().await;
    match migrated {
        Ok(migrated) => migrated.map_err(|e| from_migration(&place, e))?,
        Err(_) => {
            let error =
                Error::new(Kind::Locked, format!("another lakebox has been preparing the catalog at {place} for a minute"));
            return Err(error.with_hint("Wait for it, or stop it."));
        }
    }
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(DURABLE).await.map(|_| ()) }))
        .connect_with(options)
        .await
        .map_err(|e| from_driver(&place, doing, e))?;
    Ok(Database { pools: Pools::Postgres(pool), place })
}

/// A server may be set to acknowledge commits before they are on disk; ours must be. Stronger settings stay.
const DURABLE: &str = "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";

fn migrator() -> Migrator {
    let all = MIGRATIONS
        .map(|(version, name, text)| Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false));
    Migrator::with_migrations(all.into())
}

fn from_migration(place: &str, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => from_driver(place, "preparing its tables", e),
        MigrateError::VersionMissing(version) => Error::new(
            Kind::Newer,
            format!(
                "the catalog at {place} was written by a newer lakebox (its schema is {version}, this one knows {})",
                MIGRATIONS.len()
            ),
        )
        .with_hint("Run the newer lakebox, or restore the catalog from a backup made before the upgrade."),
        other => Error::new(Kind::Corrupt, format!("the catalog at {place} has an unexpected history of schema changes"))
            .with_hint("Restore it from a backup, or run the lakebox that wrote it.")
            .with_source(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_urls_name_their_file() {
        for (url, file) in [
            ("sqlite:./lake/catalog.db", Some("./lake/catalog.db")),
            ("sqlite:///var/lake/c.db?mode=rwc", Some("/var/lake/c.db")),
            ("sqlite::memory:", None),
            ("postgres://h/d", None),
        ] {
            assert_eq!(sqlite_file(url), file.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(MIGRATIONS.iter().enumerate().all(|(i, m)| m.0 == i as i64 + 1));
    }
}
