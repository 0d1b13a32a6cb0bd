use crate::{Error, StoredCursor, TableRecord, cursors, database::Database, open, tables};
use runtime::SharedClock;
use std::{collections::BTreeMap, sync::Arc};

/// The catalog, as a cheap handle that everyone may clone.
///
/// Reads see the last commit. Every write is durable when it returns.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) db: Database,
    pub(crate) clock: SharedClock,
    pub(crate) url: Arc<str>,
}

/// Tables and cursors as one commit left them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Every table, ordered by layer and name.
    pub tables: Vec<TableRecord>,
    /// Every source's cursor.
    pub cursors: BTreeMap<String, StoredCursor>,
}

impl Catalog {
    /// Opens the catalog at `sqlite:PATH` (made if it is missing, folder included), `sqlite::memory:` or `postgres://…`, and
    /// brings its tables up to date.
    ///
    /// Several handles and processes may have the same catalog open; see [`Catalog::claim`] to keep others out.
    ///
    /// # Errors
    /// Each with a hint: `Misconfigured`, `Unreachable`, `Refused`, `Storage`, `Corrupt`, `Newer` or `Locked`.
    pub async fn open(url: &str, clock: SharedClock) -> Result<Self, Error> {
        let db = open::open(url).await?;
        tracing::debug!(catalog = &*db.place, "the catalog is open");
        Ok(Self { db, clock, url: url.into() })
    }

    /// Where the catalog is, without secrets.
    pub fn place(&self) -> &str {
        &self.db.place
    }

    /// Whether the catalog answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.db.rows("asking whether it answers", crate::database::sql("select 1")).await.map(|_| ())
    }

    /// All tables and cursors at one moment. Reading them one by one could fall between two commits.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut tx = self.db.begin_read("reading tables and cursors").await?;
        let tables = tx.read("reading tables", tables::all(), tables::record).await?;
        let cursors = tx.read("reading cursors", cursors::all(), cursors::named).await?.into_iter().collect();
        Ok(Snapshot { tables, cursors })
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}

/// An id that sorts by time.
pub(crate) fn new_id(now_us: i64) -> String {
    let us = now_us.max(0).cast_unsigned();
    let nanos = u32::try_from(us % 1_000_000 * 1000).unwrap_or(0);
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, us / 1_000_000, nanos)).to_string()
}
