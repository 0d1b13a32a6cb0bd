use super::{admission::Admission, request::Counters};
use crate::{Error, Kind};
use parking_lot::Mutex;
use runtime::{CancellationToken, SharedClock};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// How far a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    /// It waits for others to end.
    Waiting,
    /// It is planned or runs.
    Running,
    /// It returned all it had to.
    Done,
    /// It ended with an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl QueryState {
    /// The word that API and pages show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A query that runs or ran.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRecord {
    /// Its id, unique among running queries.
    pub id: String,
    /// The statement as it came.
    pub sql: String,
    /// How far it is.
    pub state: QueryState,
    /// Who asked, for example `http` or `pgwire`.
    pub client: String,
    /// When it arrived, in microseconds since 1970.
    pub started_us: i64,
    /// How long it took or has taken.
    pub elapsed: Duration,
    /// Rows handed out.
    pub rows: u64,
    /// Bytes of data files read.
    pub bytes_scanned: u64,
    /// Its number among those of its weight that wait, from 1; none where it does not wait.
    pub queue_position: Option<usize>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A query that is under way.
#[derive(Debug)]
struct Entry {
    id: String,
    sql: String,
    client: String,
    started_us: i64,
    began: Duration,
    waiting: AtomicBool,
    /// Its number in the queue; 0 before it is in there.
    queued: AtomicU64,
    counters: Arc<Counters>,
    cancel: CancellationToken,
}

/// Running queries and the last ones that ended.
#[derive(Debug)]
pub(crate) struct Queries {
    clock: SharedClock,
    keep: usize,
    admission: Arc<Admission>,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    running: Vec<Arc<Entry>>,
    ended: VecDeque<QueryRecord>,
}

/// Keeps a query in the list of running ones. Dropping it without [`Ticket::end`] records a cancelled query.
#[derive(Debug)]
pub(super) struct Ticket {
    queries: Arc<Queries>,
    entry: Arc<Entry>,
    ended: AtomicBool,
}

impl Queries {
    pub(super) fn new(keep: usize, clock: SharedClock, admission: Arc<Admission>) -> Self {
        Self { clock, keep, admission, lists: Mutex::default() }
    }

    /// Enters a query.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: &str,
        sql: &str,
        client: &str,
        counters: Arc<Counters>,
        cancel: CancellationToken,
    ) -> Result<Ticket, Error> {
        let entry = Arc::new(Entry {
            id: id.to_owned(),
            sql: sql.to_owned(),
            client: client.to_owned(),
            started_us: self.clock.now_us(),
            began: self.clock.monotonic(),
            waiting: true.into(),
            queued: 0.into(),
            counters,
            cancel,
        });
        let mut lists = self.lists.lock();
        if lists.running.iter().any(|e| e.id == id) {
            return Err(Error::new(Kind::Invalid, format!("a query with the id `{id}` is running"))
                .with_hint("Choose another id, or leave it out."));
        }
        lists.running.push(Arc::clone(&entry));
        drop(lists);
        Ok(Ticket { queries: Arc::clone(self), entry, ended: AtomicBool::new(false) })
    }

    /// How many wait for a place to run.
    pub(super) fn waiting(&self) -> usize {
        self.lists.lock().running.iter().filter(|e| e.waiting.load(Ordering::Relaxed)).count()
    }

    pub(crate) fn running(&self) -> Vec<QueryRecord> {
        let entries: Vec<Arc<Entry>> = self.lists.lock().running.iter().rev().cloned().collect();
        entries.iter().map(|e| self.record(e, None, None)).collect()
    }

    pub(crate) fn history(&self) -> Vec<QueryRecord> {
        self.lists.lock().ended.iter().rev().cloned().collect()
    }

    pub(super) fn cancel(&self, id: &str) -> bool {
        let entry = self.lists.lock().running.iter().find(|e| e.id == id).cloned();
        entry.is_some_and(|e| {
            e.cancel.cancel();
            true
        })
    }

    fn record(&self, entry: &Entry, state: Option<QueryState>, error: Option<String>) -> QueryRecord {
        // Until it is planned nobody knows whether it has to wait.
        let position = self.admission.position(entry.queued.load(Ordering::Relaxed));
        let waits = position.is_some() && entry.waiting.load(Ordering::Relaxed);
        QueryRecord {
            id: entry.id.clone(),
            sql: entry.sql.clone(),
            state: state.unwrap_or(if waits { QueryState::Waiting } else { QueryState::Running }),
            client: entry.client.clone(),
            started_us: entry.started_us,
            elapsed: self.clock.monotonic().saturating_sub(entry.began),
            rows: entry.counters.rows(),
            bytes_scanned: entry.counters.bytes_scanned(),
            queue_position: position.filter(|_| state.is_none()),
            error,
        }
    }

    fn leave(&self, entry: &Arc<Entry>, state: QueryState, error: Option<String>) {
        let record = self.record(entry, Some(state), error);
        let mut lists = self.lists.lock();
        lists.running.retain(|e| !Arc::ptr_eq(e, entry));
        lists.ended.push_back(record);
        while lists.ended.len() > self.keep {
            lists.ended.pop_front();
        }
    }
}

impl Ticket {
    /// Who asks.
    pub(super) fn client(&self) -> &str {
        &self.entry.client
    }

    /// The query waits under this number.
    pub(super) fn queued(&self, number: u64) {
        self.entry.queued.store(number, Ordering::Relaxed);
    }

    /// The query got a place to run.
    pub(super) fn runs(&self) {
        self.entry.waiting.store(false, Ordering::Relaxed);
    }

    /// The query ended.
    pub(super) fn end(&self, result: Result<(), &Error>) {
        self.ended.store(true, Ordering::Relaxed);
        let (state, error) = match result {
            Ok(()) => (QueryState::Done, None),
            Err(e) if e.kind == Kind::Cancelled => (QueryState::Cancelled, None),
            Err(e) => (QueryState::Failed, Some(e.to_string())),
        };
        self.queries.leave(&self.entry, state, error);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Relaxed) {
            self.queries.leave(&self.entry, QueryState::Cancelled, None);
        }
    }
}
