use super::admission::Weight;
use crate::{Error, Kind};
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinError, JoinHandle},
};
use tokio_util::task::AbortOnDropHandle;

/// How much the system prefers other threads to those of queries: where all cores are busy, ingestion gets about three times the share of a query's
/// thread, and where they are not it makes no difference.
const NICE: i32 = 5;
/// The same for heavy queries: light ones get about three times their share.
const NICE_HEAVY: i32 = 10;

/// Threads that do nothing but queries, so that no query can starve ingestion. Heavy queries have threads of their own: an operator that computes
/// for long without a pause holds these, and the system still shares the cores between them and those that plan and answer light queries. One
/// more watches over all, and hears of cancellation and of time running out.
pub(super) struct Threads {
    work: Option<Runtime>,
    heavy: Option<Runtime>,
    watch: Option<Runtime>,
}

impl Threads {
    /// Starts `count` threads for light queries, and as many for heavy ones.
    pub(super) fn start(count: usize) -> Result<Self, Error> {
        Ok(Self {
            work: Some(start(count, "query", NICE)?),
            heavy: Some(start(count, "query-heavy", NICE_HEAVY)?),
            watch: Some(start(1, "query-watch", 0)?),
        })
    }

    /// Starts what watches over a query. It owns what it needs and ends by itself.
    pub(super) fn watch(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.watch {
            runtime.handle().spawn(work);
        }
    }

    /// Starts a query's own work. Dropping the handle does not stop it; aborting does, at its next pause.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<JoinHandle<T>> {
        self.work.as_ref().map(|runtime| runtime.handle().spawn(work))
    }

    /// Runs the execution of a query to its end on the threads of its weight. Dropping the future aborts it at its next pause.
    pub(super) async fn execute(
        &self,
        weight: Weight,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<(), Error> {
        match (weight, &self.heavy) {
            (Weight::Light, _) => work.await,
            (Weight::Heavy, Some(heavy)) => ended(AbortOnDropHandle::new(heavy.handle().spawn(work)).await),
            (Weight::Heavy, None) => Err(gone()),
        }
    }

    /// Runs `work` to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        ended(match self.spawn(work) {
            Some(task) => task.await,
            None => return Err(gone()),
        })
    }
}

/// Lets the system prefer other threads to this one. On Linux a priority is a thread's own; elsewhere it would be the whole process's.
fn be_nice(nice: i32) {
    #[cfg(target_os = "linux")]
    if nice > 0 {
        // Without it queries run as before.
        if let Err(error) = rustix::process::setpriority_process(None, nice) {
            tracing::debug!(%error, "the priority of a thread for queries could not be lowered");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

/// What a task's end means.
pub(super) fn ended<T>(end: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    match end {
        Ok(result) => result,
        Err(e) if e.is_panic() => Err(Error::new(Kind::Internal, "the query broke an invariant of the engine").with_source(e)),
        Err(_) => Err(gone()),
    }
}

fn gone() -> Error {
    Error::new(Kind::Cancelled, "the server is shutting down")
}

fn start(count: usize, name: &'static str, nice: i32) -> Result<Runtime, Error> {
    let number = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .worker_threads(count)
        // Reads of local files. Each thread keeps memory that it once needed.
        .max_blocking_threads(2 * count.max(2))
        .thread_name_fn(move || format!("{name}-{}", number.fetch_add(1, Ordering::Relaxed)))
        .on_thread_start(move || be_nice(nice))
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Internal, "the threads for queries could not be started").with_source(e))
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The last clone of an engine may go inside an async task, where waiting for threads is not allowed.
        for runtime in [self.work.take(), self.heavy.take(), self.watch.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
