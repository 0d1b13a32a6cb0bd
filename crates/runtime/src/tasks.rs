use crate::blocking::panic_text;
use futures::FutureExt;
use parking_lot::Mutex;
use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// It returned.
    Done,
    /// It panicked; the text says where.
    Panicked(String),
}

/// A task's name and handle.
type Running = (String, JoinHandle<TaskEnd>);

/// Owns background tasks: each has a name, sees the same cancellation, and is awaited at shutdown.
#[derive(Debug, Clone)]
pub struct Tasks {
    cancel: CancellationToken,
    running: Arc<Mutex<Vec<Running>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new(CancellationToken::new())
    }
}

impl Tasks {
    /// An empty set that ends with `cancel`.
    pub fn new(cancel: CancellationToken) -> Self {
        Self { cancel, running: Arc::default() }
    }

    /// The cancellation that every task of this set should select on first.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Starts a task. A panic is caught, logged with the task's name, and ends that task alone.
    pub fn spawn(&self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        let label = name.clone();
        #[expect(clippy::disallowed_methods, reason = "this is the one owner of spawned tasks")]
        let handle = tokio::spawn(async move {
            match AssertUnwindSafe(work).catch_unwind().await {
                Ok(()) => TaskEnd::Done,
                Err(panic) => {
                    let text = panic_text(&*panic);
                    tracing::error!(task = label, "a background task ended: {text}");
                    TaskEnd::Panicked(text)
                }
            }
        });
        let mut running = self.running.lock();
        running.retain(|(_, h)| !h.is_finished());
        running.push((name, handle));
    }

    /// Names of the tasks that still run.
    pub fn names(&self) -> Vec<String> {
        self.running.lock().iter().filter(|(_, h)| !h.is_finished()).map(|(n, _)| n.clone()).collect()
    }

    /// Cancels all and waits for each, `patience` in total; what still runs then is aborted and named.
    pub async fn shutdown(&self, patience: Duration) -> Vec<String> {
        self.cancel.cancel();
        let mut late = Vec::new();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let Some((name, mut handle)) = self.running.lock().pop() else { break };
            if tokio::time::timeout_at(deadline, &mut handle).await.is_err() {
                handle.abort();
                late.push(name);
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_tasks_that_obey_and_names_those_that_do_not() {
        let tasks = Tasks::default();
        let cancel = tasks.cancellation().clone();
        tasks.spawn("obeys", async move { cancel.cancelled().await });
        tasks.spawn("stubborn", std::future::pending());
        assert_eq!(tasks.shutdown(Duration::from_millis(200)).await, ["stubborn"]);
    }
}
