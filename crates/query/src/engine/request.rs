use crate::{Error, Kind};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::physical_plan::{ExecutionPlan, metrics::MetricsSet};
use futures::Stream;
use model::Cursor;
use runtime::{CancellationToken, SharedClock};
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;

/// A statement to run.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// The statement; exactly one, and one that only reads.
    pub sql: String,
    /// Values for `$1`, `$2`, … Numbers, strings, booleans and null are taken as the type that the place needs; a string is parsed, so that
    /// decimals, timestamps and 64-bit integers keep every digit.
    pub params: Vec<serde_json::Value>,
    /// The id by which it can be cancelled; one is made up where unset.
    pub id: Option<String>,
    /// How long it may take; never more than the settings allow.
    pub timeout: Option<Duration>,
    /// Rows to return at most; [`Counters::truncated`] says whether there were more.
    pub max_rows: Option<u64>,
    /// Who asks: `http`, `pgwire`, `model:<name>`.
    pub client: String,
}

impl QueryRequest {
    /// A request without parameters or limits of its own.
    pub fn new(sql: impl Into<String>, client: impl Into<String>) -> Self {
        Self { sql: sql.into(), client: client.into(), ..Self::default() }
    }
}

/// A query that was planned and now runs.
#[derive(Debug)]
pub struct QueryRunning {
    /// The id by which it can be cancelled.
    pub id: String,
    /// Its columns. Types are plain: no views, dictionaries or large offsets.
    pub schema: SchemaRef,
    /// Up to which cursor it sees each source.
    pub as_of: Vec<(String, Cursor)>,
    /// Its rows.
    pub stream: RowStream,
    /// What it has done so far; still there when the stream is gone.
    pub counters: Arc<Counters>,
    /// From arrival until its columns were known, waiting included.
    pub planned_in: Duration,
    /// What reading a terabyte (10^12 bytes) costs, in US dollars.
    pub price_per_tb: f64,
    pub(super) clock: SharedClock,
    pub(super) began: Duration,
}

impl QueryRunning {
    /// An answer that is there already: it waits for no place to run, and can't fail any more.
    pub(crate) fn known(id: String, answer: RecordBatch, clock: SharedClock, began: Duration) -> Self {
        let schema = answer.schema();
        let counters = Arc::new(Counters::default());
        counters.add_rows(answer.num_rows());
        let (rows_out, rows) = mpsc::channel(1);
        // It holds one, and the other end is still there.
        rows_out.try_send(Ok(answer)).unwrap_or_default();
        let (cancel, whole) = (CancellationToken::new(), Arc::new(AtomicBool::new(true)));
        let stream = RowStream { rows, cancel, whole, ended: false };
        let planned_in = clock.monotonic().saturating_sub(began);
        Self { id, schema, as_of: Vec::new(), stream, counters, planned_in, price_per_tb: 0.0, clock, began }
    }

    /// How long ago the request arrived.
    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.began)
    }

    /// What it has read so far costs, in US dollars.
    pub fn cost_usd(&self) -> f64 {
        super::estimate::cost_usd(self.counters.bytes_scanned(), self.price_per_tb)
    }
}

/// What a query has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    rows: AtomicU64,
    truncated: AtomicBool,
    plan: OnceLock<Arc<dyn ExecutionPlan>>,
}

impl Counters {
    /// Rows handed out.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Whether there were more rows than were asked for.
    pub fn truncated(&self) -> bool {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Bytes of data files read.
    pub fn bytes_scanned(&self) -> u64 {
        self.plan.get().map_or(0, |plan| metric(plan.as_ref(), &|m| Some(m.sum_by_name("bytes_scanned")?.as_usize())))
    }

    /// Bytes spilled to disk.
    pub fn bytes_spilled(&self) -> u64 {
        self.plan.get().map_or(0, |plan| metric(plan.as_ref(), &MetricsSet::spilled_bytes))
    }

    /// The plan, once there is one.
    pub(super) fn plan(&self) -> Option<&Arc<dyn ExecutionPlan>> {
        self.plan.get()
    }

    pub(super) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn set_truncated(&self) {
        self.truncated.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_plan(&self, plan: Arc<dyn ExecutionPlan>) {
        // There is one plan per query; a second call would find the first one kept.
        self.plan.set(plan).unwrap_or_default();
    }
}

/// What `read` finds in the metrics of a plan and of all that is below it.
fn metric(plan: &dyn ExecutionPlan, read: &dyn Fn(&MetricsSet) -> Option<usize>) -> u64 {
    let own = plan.metrics().and_then(|m| read(&m)).unwrap_or(0) as u64;
    own + plan.children().iter().map(|child| metric(child.as_ref(), read)).sum::<u64>()
}

/// The rows of a query. Dropping it cancels the query.
#[derive(Debug)]
pub struct RowStream {
    pub(super) rows: mpsc::Receiver<Result<RecordBatch, Error>>,
    pub(super) cancel: CancellationToken,
    /// Set once the query ended and all its rows were handed over.
    pub(super) whole: Arc<AtomicBool>,
    pub(super) ended: bool,
}

impl Stream for RowStream {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.rows.poll_recv(cx) {
            Poll::Ready(None) => {
                self.ended = true;
                // The engine's threads ended under it: what came so far must not pass for the whole result.
                let cut_off = || Err(Error::new(Kind::Cancelled, "the server is shutting down"));
                Poll::Ready((!self.whole.load(Ordering::Acquire)).then(cut_off))
            }
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
            other => other,
        }
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    #[tokio::test]
    async fn a_stream_that_is_cut_off_does_not_pass_for_whole() {
        for whole in [false, true] {
            let (rows_out, rows) = mpsc::channel(1);
            let mut stream =
                RowStream { rows, cancel: CancellationToken::new(), whole: Arc::new(AtomicBool::new(whole)), ended: false };
            drop(rows_out);
            let end = stream.next().await.map(|r| r.unwrap_err().kind);
            assert_eq!(end, (!whole).then_some(Kind::Cancelled));
            assert!(stream.next().await.is_none());
        }
    }
}
