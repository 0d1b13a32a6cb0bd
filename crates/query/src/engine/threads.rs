use crate::{Error, Kind};
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::runtime::{Builder, Runtime};

/// Threads that do nothing but queries, so that no query can starve ingestion.
pub(super) struct Threads {
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts `count` threads.
    pub(super) fn start(count: usize) -> Result<Self, Error> {
        let number = AtomicUsize::new(0);
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name_fn(move || format!("query-{}", number.fetch_add(1, Ordering::Relaxed)))
            .enable_all()
            .build()
            .map_err(|e| Error::new(Kind::Internal, "the threads for queries could not be started").with_source(e))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Starts a query. It owns what it needs and ends by itself when it is cancelled.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.handle().spawn(work);
        }
    }

    /// Runs `work` to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Error::new(Kind::Cancelled, "the server is shutting down");
        let Some(runtime) = &self.runtime else { return Err(gone()) };
        match runtime.handle().spawn(work).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => Err(Error::new(Kind::Internal, "planning the query failed").with_source(e)),
            Err(_) => Err(gone()),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The last clone of an engine may go inside an async task, where waiting for threads is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
