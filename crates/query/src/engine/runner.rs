use super::{
    Inner, Planning, QueryRequest, QueryRunning, RowStream, admission::Weight, estimate, history::Ticket, plain_batch,
    request::Counters, threads::ended,
};
use crate::{Error, Kind, accesses::accesses, explain, sql_types::plain_schema};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
    physical_plan::{SendableRecordBatchStream, execute_stream},
};
use futures::{FutureExt, StreamExt};
use model::Cursor;
use parking_lot::Mutex;
use runtime::CancellationToken;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Batches that wait between the query and its reader. Two keep both busy; more would only hold memory.
const BATCHES_AHEAD: usize = 2;

/// How often it is looked whether a query has read more than it may.
const SCAN_LOOK: Duration = Duration::from_millis(20);

/// What is known once a query is planned.
struct Head {
    schema: SchemaRef,
    as_of: Vec<(String, Cursor)>,
}

/// Where the answer goes: first its head, then its rows, and an error at either point.
struct Answer {
    head: Mutex<Option<oneshot::Sender<Result<Head, Error>>>>,
    rows: mpsc::Sender<Result<RecordBatch, Error>>,
    whole: Arc<AtomicBool>,
}

/// Enters the query, starts it on the engine's threads and waits for its columns.
pub(super) async fn start(inner: Arc<Inner>, request: QueryRequest, planning: Planning) -> Result<QueryRunning, Error> {
    let id = request.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let began = inner.clock.monotonic();
    let clock = Arc::clone(&inner.clock);
    let cancel = CancellationToken::new();
    if inner.queries.waiting() >= inner.settings.waiting_max {
        return Err(Error::new(Kind::Busy, format!("{} queries wait already", inner.settings.waiting_max))
            .with_hint("Try again in a moment, or raise `server.queries_max`."));
    }
    let counters = Arc::new(Counters::default());
    let ticket = inner.queries.enter(&id, &request.sql, &request.client, Arc::clone(&counters), cancel.clone())?;
    let (head_out, head_in) = oneshot::channel();
    let (rows_out, rows_in) = mpsc::channel(BATCHES_AHEAD);
    // Made before the wait, so that dropping this future cancels the query.
    let whole = Arc::new(AtomicBool::new(false));
    let stream = RowStream { rows: rows_in, cancel: cancel.clone(), whole: Arc::clone(&whole), ended: false };
    let answer = Answer { head: Mutex::new(Some(head_out)), rows: rows_out, whole };
    let work = Work {
        cancel,
        timeout: inner.settings.timeout(request.timeout),
        max_rows: request.max_rows,
        bytes_scanned_max: inner.settings.bytes_scanned_max,
        counters: Arc::clone(&counters),
    };
    let shared = Arc::clone(&inner);
    inner.threads.watch(async move { work.run(shared, planning, ticket, answer).await });
    let price_per_tb = inner.settings.price_per_tb;
    drop(inner);
    let lost = |_| Error::new(Kind::Internal, "the query ended without an answer");
    let head = head_in.await.map_err(lost)??;
    let planned_in = clock.monotonic().saturating_sub(began);
    Ok(QueryRunning { id, schema: head.schema, as_of: head.as_of, stream, counters, planned_in, price_per_tb, clock, began })
}

struct Work {
    cancel: CancellationToken,
    timeout: Duration,
    max_rows: Option<u64>,
    /// Bytes of data files that may be read; 0 for any number.
    bytes_scanned_max: u64,
    counters: Arc<Counters>,
}

impl Work {
    /// Watches over the query until its end, whatever the end is, and then records it.
    async fn run(self, inner: Arc<Inner>, planning: Planning, ticket: Ticket, answer: Answer) {
        let (work, ticket, answer) = (Arc::new(self), Arc::new(ticket), Arc::new(answer));
        let task = {
            let (work, inner, ticket, answer) = (Arc::clone(&work), Arc::clone(&inner), Arc::clone(&ticket), Arc::clone(&answer));
            inner.threads.spawn({
                let inner = Arc::clone(&inner);
                async move { work.work(inner, planning, &ticket, answer).await }
            })
        };
        let Some(task) = task else { return };
        let abort = task.abort_handle();
        let result = tokio::select! {
            biased;
            () = work.cancel.cancelled() => Err(Error::new(Kind::Cancelled, "the query was cancelled")),
            () = inner.clock.sleep(work.timeout) => Err(Error::new(
                Kind::Timeout,
                format!("the query took longer than {}", spell(work.timeout)),
            ).with_hint("Read fewer rows, or ask for more time.")),
            () = over_limit(&inner, work.bytes_scanned_max, &work.counters) => Err(Error::new(
                Kind::ScanLimit,
                format!("the query has read more than {} bytes of data files, which is the limit", work.bytes_scanned_max),
            ).with_hint("Name fewer columns, add a condition on a column that the table is sorted by, or raise `server.query_scan_max`.")),
            end = task => ended(end),
        };
        abort.abort();
        ticket.end(result.as_ref().copied());
        if result.is_ok()
            && let Some(plan) = work.counters.plan()
        {
            inner.accesses.note(accesses(plan.as_ref()));
        }
        drop(inner);
        // Set before the stream ends: a stream that ends without it was cut off.
        answer.whole.store(result.is_ok(), Ordering::Release);
        let Err(error) = result else { return };
        let head = answer.head.lock().take();
        match head {
            // Nobody waits any more where sending fails.
            Some(head) => drop(head.send(Err(error))),
            None => drop(answer.rows.send(Err(error)).await),
        }
    }

    async fn work(
        self: Arc<Self>,
        inner: Arc<Inner>,
        planning: Planning,
        ticket: &Ticket,
        answer: Arc<Answer>,
    ) -> Result<(), Error> {
        let closed = |_| Error::new(Kind::Cancelled, "the server is shutting down");
        let planner = inner.planners.acquire().await.map_err(closed)?;
        let began = inner.clock.monotonic();
        let prepared = planning.await?;
        let session = prepared.session;
        let explained = explain::unwrap(prepared.plan);
        let (plan, analyze) = match explained {
            Ok(explained) => (explained.plan, Some(explained.analyze)),
            Err(plan) => (limited(*plan, self.max_rows)?, None),
        };
        let plan = session.state.create_physical_plan(&plan).await?;
        self.counters.set_plan(Arc::clone(&plan));
        drop(planner);
        let schema = match analyze {
            Some(_) => explain::schema(),
            None => prepared.labels.apply(plain_schema(&plan.schema())),
        };
        let as_of = session.view.sources.iter().map(|(s, c)| (s.clone(), c.clone())).collect();
        let planned_in = inner.clock.monotonic().saturating_sub(began);
        let weight = match analyze {
            Some(false) => Weight::Light,
            _ if estimate::compares_many(plan.as_ref()) => Weight::Heavy,
            _ => inner.admission.limits().weight(estimate::bytes_of(plan.as_ref())),
        };
        let place = inner.admission.enter(weight, ticket.client(), |number| ticket.queued(number)).await?;
        ticket.runs();
        let head = Head { schema, as_of };
        let clock = Arc::clone(&inner.clock);
        let execution = async move {
            let _place = place;
            let rows = match analyze {
                Some(analyze) => explain::answer(plan, analyze, session.task_context(), clock, planned_in),
                None => execute_stream(plan, session.task_context())?,
            };
            self.send(rows, head, &answer).await
        };
        inner.threads.execute(weight, execution.boxed()).await
    }

    /// Sends the head and then the rows, up to as many as were asked for.
    async fn send(&self, mut rows: SendableRecordBatchStream, head: Head, answer: &Answer) -> Result<(), Error> {
        let schema = Arc::clone(&head.schema);
        let asker = answer.head.lock().take();
        if let Some(asker) = asker {
            drop(asker.send(Ok(head)));
        }
        let mut left = self.max_rows.unwrap_or(u64::MAX);
        let mut pieces = Vec::new();
        while let Some(batch) = rows.next().await {
            plain_batch(&batch?, &schema, &mut pieces)?;
            for piece in pieces.drain(..).filter(|p| p.num_rows() > 0) {
                let keep = usize::try_from(left).unwrap_or(usize::MAX).min(piece.num_rows());
                if keep < piece.num_rows() {
                    self.counters.set_truncated();
                }
                if keep == 0 {
                    return Ok(());
                }
                left -= keep as u64;
                self.counters.add_rows(keep);
                if answer.rows.send(Ok(piece.slice(0, keep))).await.is_err() {
                    return Err(Error::new(Kind::Cancelled, "the reader went away"));
                }
            }
        }
        Ok(())
    }
}

/// Ends once more bytes were read than may be; never where there is no limit.
async fn over_limit(inner: &Inner, bytes_scanned_max: u64, counters: &Counters) {
    if bytes_scanned_max == 0 {
        return std::future::pending().await;
    }
    while counters.bytes_scanned() <= bytes_scanned_max {
        inner.clock.sleep(SCAN_LOOK).await;
    }
}

/// The plan, told to stop one row after the last that is wanted: that row says that there are more.
pub(super) fn limited(plan: LogicalPlan, max_rows: Option<u64>) -> Result<LogicalPlan, Error> {
    let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
    match max_rows.and_then(|n| usize::try_from(n).ok()).and_then(|n| n.checked_add(1)) {
        Some(limit) if !explains => Ok(LogicalPlanBuilder::from(plan).limit(0, Some(limit))?.build()?),
        _ => Ok(plan),
    }
}

/// A duration as people say it.
fn spell(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}
