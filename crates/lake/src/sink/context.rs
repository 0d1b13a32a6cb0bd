//! What all tables of one sink share, and the background work that nobody waits for.

use super::{applier::Index, counters::SinkCounters, encoder::Encoder, ledger::Ledger, settings::SinkSettings};
use crate::{
    Error, Kind, Lake, Store, Tables,
    commit::moves::Presence,
    index::{IndexError, IndexErrorKind, KeyIndex},
};
use model::{Cursor, TableId};
use parking_lot::Mutex;
use runtime::{SharedClock, Tasks};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

/// Shared by the sink and its commit under way.
#[derive(Clone)]
pub(crate) struct Context {
    pub source: Arc<str>,
    pub lake: Lake,
    pub tables: Tables,
    pub store: Store,
    pub settings: Arc<SinkSettings>,
    pub clock: SharedClock,
    pub encoder: Encoder,
    pub ledger: Arc<Mutex<Ledger>>,
    pub background: Arc<Background>,
    pub counters: SinkCounters,
    pub commit: Arc<CommitState>,
    /// As long as any part of the sink may still name files, rewrites of them are remembered.
    pub _presence: Arc<Presence>,
}

/// Work on the key indexes.
#[derive(Debug, Default)]
pub(crate) struct Background {
    pub tasks: Tasks,
    /// Told whenever a piece of work has ended.
    pub progress: Notify,
    failed: Mutex<Option<Error>>,
}

/// Whether a commit is under way.
#[derive(Debug, Default)]
pub(crate) struct CommitState {
    pub running: AtomicBool,
    pub ended: Notify,
}

/// Says that a commit has ended, however it did.
pub(crate) struct CommitGuard(pub Arc<CommitState>);

impl Drop for CommitGuard {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
        self.0.ended.notify_waiters();
    }
}

impl Background {
    /// Keeps an error for the sink to meet.
    pub(crate) fn fail(&self, error: Error) {
        *self.failed.lock() = Some(error);
        self.progress.notify_waiters();
    }
}

impl Context {
    /// Whether visible rows of a file were dropped from memory.
    pub(crate) fn is_spilled(&self, table: &TableId, ordinal: u32) -> bool {
        self.ledger.lock().tables.get(table).and_then(|t| t.hot.get(&ordinal)).is_some_and(|f| f.spilled)
    }

    /// Gives queries the last boundary, unless rows of it are on disk only and so wait for their commit.
    pub(crate) fn publish(&self, ledger: &mut Ledger) -> Result<(), Error> {
        if !ledger.unpublished || ledger.tables.values().any(|t| t.is_hidden()) {
            return Ok(());
        }
        let mut views = Vec::new();
        for table in ledger.tables.values_mut().filter(|t| t.dirty) {
            views.extend(table.views()?);
            table.dirty = false;
        }
        let boundary = ledger.boundary.as_ref().map(|cursor| (&*self.source, cursor));
        self.lake.publish(boundary, views);
        ledger.unpublished = false;
        ledger.published_at = Some(self.clock.monotonic());
        Ok(())
    }

    /// Publishes where the last time is long enough ago.
    pub(crate) fn publish_if_due(&self, ledger: &mut Ledger) -> Result<(), Error> {
        let now = self.clock.monotonic();
        let due = ledger.published_at.is_none_or(|at| now.saturating_sub(at) >= self.settings.publish_every);
        if due { self.publish(ledger) } else { Ok(()) }
    }

    /// Starts whatever work an index has: sorted runs to write or merge, a manifest to store.
    pub(crate) fn tend(&self, table: &TableId, index: &Index) {
        let Some(work) = Work::of(&mut index.keys.lock()) else { return };
        let (background, table, index) = (Arc::clone(&self.background), table.clone(), index.clone());
        self.background.tasks.spawn(format!("key index of {table}"), async move {
            let mut work = Some(work);
            while let Some(next) = work {
                let keys = Arc::clone(&index.keys);
                let result = runtime::blocking("writing a key index", move || next.run(&keys)).await;
                work = match result.map_err(Error::from).and_then(|r| r.map_err(|e| index_failed(&table, Some(&index.dir), e))) {
                    Ok(more) => more,
                    Err(error) => {
                        *background.failed.lock() = Some(error);
                        None
                    }
                };
                background.progress.notify_waiters();
            }
        });
    }

    /// Waits while an index can't take more rows before its background work is done.
    pub(crate) async fn wait_while_crowded(&self, index: &Index) -> Result<(), Error> {
        loop {
            let progress = self.background.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            self.check()?;
            if !index.keys.lock().is_crowded() {
                return Ok(());
            }
            progress.await;
        }
    }

    /// The error that background work met, if any.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.background.failed.lock().take().map_or(Ok(()), Err)
    }

    /// The version of the cursor in the catalog.
    pub(crate) async fn stored_cursor(&self) -> Result<Option<(Cursor, i64)>, Error> {
        Ok(self.tables.catalog().cursor(&self.source).await?.map(|stored| (stored.cursor, stored.version)))
    }
}

enum Work {
    Job(crate::index::IndexJob),
    Draft(crate::index::ManifestDraft),
}

impl Work {
    fn of(index: &mut KeyIndex) -> Option<Self> {
        index.job().map(Self::Job).or_else(|| index.draft().map(Self::Draft))
    }

    /// Does the work and says what is next.
    fn run(self, keys: &Mutex<KeyIndex>) -> Result<Option<Self>, IndexError> {
        match self {
            Self::Job(job) => {
                let done = job.run()?;
                keys.lock().finish(done);
            }
            Self::Draft(draft) => {
                let draft = draft.write()?;
                keys.lock().stored(draft);
            }
        }
        Ok(Self::of(&mut keys.lock()))
    }
}

/// What an error of a key index means to the lake. A damaged index is thrown away, so that the next start rebuilds it.
pub(crate) fn index_failed(table: &TableId, dir: Option<&Path>, error: IndexError) -> Error {
    let (kind, hint) = match error.kind {
        IndexErrorKind::Corrupt => {
            if let Some(Err(error)) = dir.map(KeyIndex::discard) {
                tracing::warn!(%table, "a damaged key index could not be removed: {error}");
            }
            (Kind::Corrupt, "It is rebuilt from the table when the pipeline starts again.")
        }
        IndexErrorKind::Storage => (Kind::Storage, "Check space and rights of the directory for key indexes."),
        IndexErrorKind::Unsupported => (Kind::Schema, "Leave the column out of the key, or cast it in a transform."),
    };
    Error::new(kind, format!("the key index of {table} failed: {error}")).with_hint(hint).with_source(error)
}
