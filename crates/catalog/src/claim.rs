use crate::{Catalog, Error, Kind, database::Pools, open::sqlite_file};
use sqlx::{Connection, PgConnection, Row as _};
use std::{fs::File, path::PathBuf};

/// A place that one process holds, for example "run the pipelines of this lake". Dropping it, or the end of the process in
/// whatever way, gives it back.
///
/// A claim keeps a second lakebox out with a clear sentence. It is not what makes commits safe: that is their compare-and-set.
#[derive(Debug)]
pub struct Claim {
    /// Held for its lock; `None` for a catalog in memory, which nobody else can open.
    _held: Option<Held>,
}

#[derive(Debug)]
enum Held {
    File { _file: File },
    Session { _connection: Box<PgConnection> },
}

impl Catalog {
    /// Takes a claim on this catalog, or says that somebody else has it. `name` is a plain word.
    ///
    /// # Errors
    /// `Locked` where another process or handle holds it; `Storage` or `Unreachable` where that can't be found out.
    pub async fn claim(&self, name: &str) -> Result<Claim, Error> {
        let held = match &self.db.pools {
            Pools::Sqlite { .. } => match sqlite_file(&self.url) {
                Some(file) => Some(self.claim_file(name, &file).await?),
                None => None,
            },
            Pools::Postgres(pool) => {
                let mut connection =
                    PgConnection::connect_with(&pool.connect_options()).await.map_err(|e| self.db.error("claiming it", e))?;
                let row = sqlx::query("select pg_try_advisory_lock(hashtextextended($1, 0))")
                    .bind(format!("lakebox:{name}"))
                    .fetch_one(&mut connection)
                    .await
                    .map_err(|e| self.db.error("claiming it", e))?;
                if !row.try_get::<bool, _>(0).map_err(|e| self.db.error("claiming it", e))? {
                    return Err(self.taken(name));
                }
                Some(Held::Session { _connection: Box::new(connection) })
            }
        };
        Ok(Claim { _held: held })
    }

    async fn claim_file(&self, name: &str, catalog: &std::path::Path) -> Result<Held, Error> {
        let mut path = catalog.as_os_str().to_owned();
        path.push(format!(".{name}.lock"));
        let path = PathBuf::from(path);
        let opened = path.clone();
        let locked = runtime::blocking("claiming the catalog", move || {
            let file = File::options().create(true).truncate(false).write(true).open(&opened)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(std::fs::TryLockError::WouldBlock) => Ok(None),
                Err(std::fs::TryLockError::Error(e)) => Err(e),
            }
        });
        match locked.await {
            Ok(Ok(Some(file))) => Ok(Held::File { _file: file }),
            Ok(Ok(None)) => Err(self.taken(name)),
            Ok(Err(e)) => Err(Error::new(Kind::Storage, format!("the lock file {} can't be used: {e}", path.display()))
                .with_hint("Check the rights of the folder that holds the catalog.")
                .with_source(e)),
            Err(e) => Err(Error::new(Kind::Bug, e.to_string()).with_source(e)),
        }
    }

    fn taken(&self, name: &str) -> Error {
        Error::new(
            Kind::Locked,
            format!("another lakebox already uses the lake of the catalog at {} (it holds `{name}`)", self.place()),
        )
        .with_hint("Stop the other lakebox, or give this one its own lake.warehouse and lake.catalog.")
    }
}
