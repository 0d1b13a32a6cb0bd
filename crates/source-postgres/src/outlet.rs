use crate::connect::Lsn;
use parking_lot::Mutex;
use pipeline::{Error, Event, Kind, SnapshotProgress, SourceStatus};
use runtime::{ByteBudget, Share};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// An event on its way to the loop, with its share of the read-ahead budget.
pub(crate) struct Queued {
    pub(crate) event: Result<Event, Error>,
    _share: Option<Share>,
}

/// Where tasks of the source put events; bounded in bytes, and in number for those that have none.
#[derive(Clone)]
pub(crate) struct Outlet {
    sender: mpsc::Sender<Queued>,
    budget: ByteBudget,
}

/// Events that may wait, however small they are.
const EVENTS_MAX: usize = 1024;

impl Outlet {
    pub(crate) fn new(bytes: usize) -> (Self, mpsc::Receiver<Queued>) {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        (Self { sender, budget: ByteBudget::new(bytes) }, receiver)
    }

    /// Waits for room, then hands over. Not cancel-safe: the event is gone with the future.
    ///
    /// # Errors
    /// [`Kind::Cancelled`] where nobody listens any more.
    pub(crate) async fn send(&self, event: Event) -> Result<(), Error> {
        let share = match &event {
            Event::Rows(batch) => Some(self.budget.take(batch.byte_size()).await),
            _ => None,
        };
        let queued = Queued { event: Ok(event), _share: share };
        self.sender.send(queued).await.map_err(|_| Error::new(Kind::Cancelled, "the source was closed"))
    }

    /// Hands over the error that ended the work.
    pub(crate) async fn fail(&self, error: Error) {
        let _ = self.sender.send(Queued { event: Err(error), _share: None }).await;
    }
}

/// What `status` tells, written by the tasks.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    head: AtomicU64,
    received: AtomicU64,
    acked: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    snapshot: Mutex<Option<SnapshotProgress>>,
    warning: Mutex<Option<String>>,
}

impl Telling {
    pub(crate) fn saw_head(&self, lsn: Lsn) {
        self.head.fetch_max(lsn.0, Ordering::Relaxed);
    }

    /// Everything before `lsn` was read.
    pub(crate) fn received(&self, lsn: Lsn) {
        self.received.fetch_max(lsn.0, Ordering::Relaxed);
    }

    pub(crate) fn acked(&self, lsn: Lsn) {
        self.acked.fetch_max(lsn.0, Ordering::Relaxed);
    }

    /// What endangers the server; none where that is over.
    pub(crate) fn warn(&self, warning: Option<String>) {
        *self.warning.lock() = warning;
    }

    pub(crate) fn snapshot_begins(&self, tables: usize, rows_estimate: u64) {
        self.rows.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        let rows_estimate = (rows_estimate > 0).then_some(rows_estimate);
        *self.snapshot.lock() = Some(SnapshotProgress { tables_total: tables, rows_estimate, ..SnapshotProgress::default() });
    }

    pub(crate) fn table_done(&self) {
        if let Some(snapshot) = self.snapshot.lock().as_mut() {
            snapshot.tables_done += 1;
        }
    }

    pub(crate) fn snapshot_ends(&self) {
        *self.snapshot.lock() = None;
    }

    pub(crate) fn status(&self) -> SourceStatus {
        let (head, acked) = (self.head.load(Ordering::Relaxed), self.acked.load(Ordering::Relaxed));
        let received = self.received.load(Ordering::Relaxed).max(acked);
        let snapshot = self.snapshot.lock().clone().map(|s| SnapshotProgress {
            rows_done: self.rows.load(Ordering::Relaxed),
            bytes_done: self.bytes.load(Ordering::Relaxed),
            ..s
        });
        SourceStatus {
            lag_bytes: (head > 0 && acked > 0).then(|| head.saturating_sub(acked)),
            unread_bytes: (head > 0 && received > 0).then(|| head.saturating_sub(received)),
            snapshot,
            head: (head > 0).then(|| Lsn(head).to_string()),
            warning: self.warning.lock().clone(),
        }
    }
}
