use crate::{BoundaryInfo, Decision, Durable, Error, SnapshotProgress, SourceStatus};
use model::{Cursor, Key, TableId, TableSchema};
use parking_lot::Mutex;
use runtime::SharedClock;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

const SECONDS_KEPT: usize = 600;
const RATE_WINDOW_S: i64 = 10;

/// What a pipeline is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Connecting and finding out where to resume.
    #[default]
    Starting,
    /// Copying tables for the first time.
    Snapshot,
    /// Following changes.
    Streaming,
    /// An operator paused it.
    Paused,
    /// An error; it will be tried again.
    Retrying,
    /// An error that needs an operator.
    Failed,
    /// The process is going down.
    Stopped,
}

impl State {
    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Snapshot => "snapshot",
            Self::Streaming => "streaming",
            Self::Paused => "paused",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// An error as the pipeline remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// [`crate::Kind::code`].
    pub code: &'static str,
    /// What and where, with causes.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// When it was seen last, in microseconds.
    pub at_us: i64,
    /// When the next try is.
    pub retry_at_us: Option<i64>,
}

/// One second of throughput.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// The second, in microseconds since 1970.
    pub at_us: i64,
    /// Changes accepted.
    pub rows: u64,
    /// Bytes they held in memory.
    pub bytes: u64,
    /// Largest lag seen.
    pub lag_ms: Option<u64>,
}

/// A table of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// At the source.
    pub id: TableId,
    /// How silver follows it.
    pub mode: &'static str,
    /// Changes accepted since the process began.
    pub rows: u64,
    /// Why it can't go on.
    pub error: Option<String>,
}

/// Everything known of a pipeline at one moment.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What it is doing.
    pub state: State,
    /// The durable cursor.
    pub durable: Option<Cursor>,
    /// The cursor that queries see.
    pub visible: Option<Cursor>,
    /// What the source said last.
    pub source: SourceStatus,
    /// Changes made durable since the pipeline exists.
    pub rows_total: u64,
    /// Changes per second over the last ten seconds.
    pub rows_per_s: f64,
    /// Age of the newest change that queries can't see yet, in milliseconds.
    pub lag_ms: Option<u64>,
    /// When the last commit became durable.
    pub last_commit_us: Option<i64>,
    /// How long it took, in milliseconds.
    pub last_commit_ms: Option<f64>,
    /// The last error, until a commit succeeds.
    pub failure: Option<Failure>,
    /// Per table, by source name.
    pub tables: Vec<TableReport>,
    /// Dead letters since the process began.
    pub dead_letters: u64,
    /// Times it was started again.
    pub restarts: u64,
    /// Copy under way.
    pub snapshot: Option<SnapshotProgress>,
}

#[derive(Debug, Default)]
struct Inner {
    report: Report,
    tables: BTreeMap<TableId, TableReport>,
    seconds: VecDeque<Second>,
    boundary_lag: Option<(i64, u64)>,
    /// Since when the source has had something unread.
    behind_since: Option<i64>,
}

/// The observable side of one pipeline: the loop writes, the API reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Monitor {
    clock: SharedClock,
    inner: Arc<Mutex<Inner>>,
}

impl Monitor {
    /// A monitor of a pipeline that has made `rows_total` changes durable before.
    pub fn new(clock: SharedClock, rows_total: u64) -> Self {
        let report = Report { rows_total, ..Report::default() };
        Self { clock, inner: Arc::new(Mutex::new(Inner { report, ..Inner::default() })) }
    }

    /// Everything known now.
    pub fn report(&self) -> Report {
        let now = self.clock.now_us();
        let inner = self.inner.lock();
        let mut report = inner.report.clone();
        report.tables = inner.tables.values().cloned().collect();
        report.rows_per_s = rate(&inner.seconds, now);
        report.lag_ms = lag(&inner, now);
        report.snapshot.clone_from(&report.source.snapshot);
        report
    }

    /// Throughput by second, oldest first, at most ten minutes.
    pub fn seconds(&self) -> Vec<Second> {
        self.inner.lock().seconds.iter().copied().collect()
    }

    /// Sets the state; anything but an error state forgets the time of the next try.
    pub fn set_state(&self, state: State) {
        let mut inner = self.inner.lock();
        inner.report.state = state;
        if state != State::Retrying
            && let Some(failure) = &mut inner.report.failure
        {
            failure.retry_at_us = None;
        }
    }

    pub(crate) fn started(&self, durable: Option<&Cursor>, attempt: u32) {
        let mut inner = self.inner.lock();
        inner.report.durable = durable.cloned();
        inner.report.visible = durable.cloned();
        inner.behind_since = None;
        inner.report.restarts += u64::from(attempt > 0);
        inner.report.state = if durable.is_none() { State::Snapshot } else { State::Streaming };
    }

    pub(crate) fn table(&self, schema: &TableSchema) {
        let mode = match schema.key {
            Key::Columns(_) => "by key",
            Key::WholeRow => "by whole row",
            Key::None => "append only",
        };
        let mut inner = self.inner.lock();
        let table = TableReport { id: schema.id.clone(), mode, rows: 0, error: None };
        // A table whose shape is told is followed, whatever kept it from that before.
        inner.tables.entry(schema.id.clone()).and_modify(|t| (t.mode, t.error) = (mode, None)).or_insert(table);
    }

    pub(crate) fn table_failed(&self, id: &TableId, error: &Error) {
        let mut inner = self.inner.lock();
        let failed = TableReport { id: id.clone(), mode: "", rows: 0, error: None };
        inner.tables.entry(id.clone()).or_insert(failed).error = Some(with_causes(error));
    }

    pub(crate) fn accepted(&self, id: &TableId, rows: u64, bytes: u64) {
        let now = self.clock.now_us();
        let mut inner = self.inner.lock();
        if let Some(table) = inner.tables.get_mut(id) {
            table.rows += rows;
        }
        let second = current_second(&mut inner.seconds, now);
        second.rows += rows;
        second.bytes += bytes;
    }

    pub(crate) fn dead(&self, letters: u64) {
        self.inner.lock().report.dead_letters += letters;
    }

    pub(crate) fn boundary(&self, cursor: &Cursor, info: BoundaryInfo) {
        let now = self.clock.now_us();
        let mut inner = self.inner.lock();
        inner.report.visible = Some(cursor.clone());
        let Some(commit_ts) = cursor.commit_ts_us.filter(|_| info.rows > 0) else { return };
        let lag = u64::try_from((now - commit_ts) / 1000).unwrap_or(0);
        inner.boundary_lag = Some((now, lag));
        let second = current_second(&mut inner.seconds, now);
        second.lag_ms = second.lag_ms.max(Some(lag));
    }

    pub(crate) fn source(&self, status: SourceStatus) {
        let now = self.clock.now_us();
        let mut inner = self.inner.lock();
        // A copy ends with a boundary, long before its commit where little is to be committed.
        if inner.report.state == State::Snapshot && status.snapshot.is_none() && inner.report.visible.is_some() {
            inner.report.state = State::Streaming;
        }
        inner.behind_since = if status.unread_bytes.unwrap_or(0) > 0 { inner.behind_since.or(Some(now)) } else { None };
        inner.report.source = status;
        current_second(&mut inner.seconds, now);
    }

    pub(crate) fn committed(&self, durable: &Durable, took_ms: f64) {
        let now = self.clock.now_us();
        let mut inner = self.inner.lock();
        inner.report.rows_total += durable.rows;
        inner.report.durable = Some(durable.cursor.clone());
        inner.report.last_commit_us = Some(now);
        inner.report.last_commit_ms = Some(took_ms);
        inner.report.failure = None;
        inner.report.state = State::Streaming;
    }

    pub(crate) fn failed(&self, error: &Error, decision: &Decision) {
        let now = self.clock.now_us();
        let (state, retry_at_us, hint) = match decision {
            Decision::Retry { after } => (State::Retrying, Some(now + i64::try_from(after.as_micros()).unwrap_or(0)), None),
            Decision::Ask { hint } => (State::Failed, None, Some(hint.to_string())),
            Decision::Stop => (State::Stopped, None, None),
        };
        let hint = error.hint.as_ref().map(ToString::to_string).or(hint);
        let mut inner = self.inner.lock();
        inner.report.state = state;
        inner.report.failure =
            Some(Failure { code: error.kind.code(), message: with_causes(error), hint, at_us: now, retry_at_us });
    }
}

/// The message and every cause behind it, each said once.
pub(crate) fn with_causes(error: &Error) -> String {
    let mut text = error.message.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        let said = e.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = e.source();
    }
    text
}

fn current_second(seconds: &mut VecDeque<Second>, now_us: i64) -> &mut Second {
    let at_us = now_us - now_us.rem_euclid(1_000_000);
    if seconds.back().is_none_or(|s| s.at_us < at_us) {
        if seconds.len() == SECONDS_KEPT {
            seconds.pop_front();
        }
        seconds.push_back(Second { at_us, ..Second::default() });
    }
    let last = seconds.len() - 1;
    &mut seconds[last]
}

/// Mean over the last ten whole seconds (or fewer, where it is younger).
fn rate(seconds: &VecDeque<Second>, now_us: i64) -> f64 {
    let this = now_us - now_us.rem_euclid(1_000_000);
    let from = this - RATE_WINDOW_S * 1_000_000;
    let window = seconds.iter().filter(|s| s.at_us >= from && s.at_us < this);
    let rows: u64 = window.clone().map(|s| s.rows).sum();
    let first = window.map(|s| s.at_us).next().unwrap_or(this);
    let span = ((this - first) / 1_000_000).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let mean = rows as f64 / span as f64;
    mean
}

/// What a source may have unread for a moment without being behind: it is asked for its end now and then only.
const MOMENT_US: i64 = 2_000_000;

/// Lag as of now: the last boundary's, growing while the source has more for us and no boundary comes, zero once all is seen.
fn lag(inner: &Inner, now_us: i64) -> Option<u64> {
    let (at, lag) = inner.boundary_lag?;
    let ms = |us: i64| u64::try_from(us / 1000).unwrap_or(0);
    if now_us - at < MOMENT_US {
        return Some(lag);
    }
    Some(match inner.behind_since {
        Some(since) if since < at + MOMENT_US => lag + ms(now_us - at),
        Some(since) if now_us - since >= MOMENT_US => ms(now_us - since),
        Some(_) | None => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn check(boundary_at: i64, behind_since: Option<i64>, now: i64, expected: u64) {
        let inner = Inner {
            boundary_lag: Some((boundary_at * SECOND, 150)),
            behind_since: behind_since.map(|s| s * SECOND),
            ..Inner::default()
        };
        assert_eq!(
            lag(&inner, now * SECOND),
            Some(expected),
            "boundary at {boundary_at}, behind since {behind_since:?}, now {now}"
        );
    }

    #[test]
    fn lag_grows_only_while_something_is_unread() {
        check(10, None, 11, 150);
        // All is read, whether or not it is durable.
        check(10, None, 600, 0);
        // Never caught up since the boundary.
        check(10, Some(5), 15, 5_150);
        // The server's end was seen a moment before what leads to it.
        check(10, Some(600), 601, 0);
        check(10, Some(600), 610, 10_000);
    }

    #[test]
    fn a_first_copy_of_nothing_ends_with_its_boundary() {
        let monitor = Monitor::new(runtime::SystemClock::shared(), 0);
        monitor.started(None, 0);
        monitor.source(SourceStatus::default());
        assert_eq!(monitor.report().state, State::Snapshot);
        let cursor = Cursor {
            position: model::Position::new(1, 0),
            commit_ts_us: None,
            state: Default::default(),
            display: String::new(),
        };
        monitor.boundary(&cursor, BoundaryInfo::default());
        monitor.source(SourceStatus::default());
        assert_eq!(monitor.report().state, State::Streaming);
    }
}
