use crate::{Decision, Error, Monitor, Parts, Settings, State, decide, monitor::with_causes, run};
use async_trait::async_trait;
use model::TableId;
use runtime::{CancellationToken, SharedClock};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// What an operator wants of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// It runs.
    Running,
    /// It stands still; what it has read is committed first.
    Paused,
    /// It runs, after what the lake remembers of its position was forgotten; its tables are copied anew. The number tells requests apart.
    Resync(u64),
}

/// A cheap handle to one supervised pipeline: what it is, how it goes, and the verbs an operator has.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The source's name in the configuration.
    pub name: String,
    /// The source's type.
    pub kind: String,
    /// Names of the transforms, in order.
    pub transforms: Vec<String>,
    /// How it goes.
    pub monitor: Monitor,
    desired: watch::Sender<Desired>,
    resyncs: Arc<AtomicU64>,
}

impl Handle {
    /// A handle, and the receiver that [`supervise`] obeys.
    pub fn new(
        name: impl Into<String>,
        kind: impl Into<String>,
        transforms: Vec<String>,
        monitor: Monitor,
        initial: Desired,
    ) -> (Self, watch::Receiver<Desired>) {
        let (desired, receiver) = watch::channel(initial);
        (Self { name: name.into(), kind: kind.into(), transforms, monitor, desired, resyncs: Arc::default() }, receiver)
    }

    /// What is wanted now.
    pub fn desired(&self) -> Desired {
        *self.desired.borrow()
    }

    /// Lets it drain and stand still.
    pub fn pause(&self) {
        self.desired.send_replace(Desired::Paused);
    }

    /// Lets it run; also ends the wait after an error.
    pub fn resume(&self) {
        self.desired.send_replace(Desired::Running);
    }

    /// Copies its tables anew. Silver is replaced in one commit when the copy is whole; until then it keeps what it has.
    pub fn resync(&self) {
        let request = self.resyncs.fetch_add(1, Ordering::AcqRel);
        self.desired.send_replace(Desired::Resync(request));
    }
}

/// Makes the parts of each run.
#[async_trait]
pub trait Factory: Send + Sync {
    /// New parts. Called once a run. The source leaves the tables in `aside` alone; when they are not aside any more, it copies them anew.
    ///
    /// # Errors
    /// Whatever keeps a part from being made, such as a corrupt plugin.
    async fn parts(&self, aside: &BTreeSet<TableId>) -> Result<Parts, Error>;

    /// Forgets the durable cursor, so that the next run copies everything anew.
    ///
    /// # Errors
    /// When the catalog can't be written.
    async fn forget(&self) -> Result<(), Error>;
}

/// Keeps one pipeline as its operator wants it until `stop`: runs it, waits after errors as [`decide`] says, pauses, resyncs.
///
/// Pausing and stopping drain first. A change of mind ends every wait at once. A table that can't go on is set aside until the operator pauses
/// and resumes, or resyncs; the others go on without it.
pub async fn supervise(
    name: &str,
    factory: &dyn Factory,
    settings: Settings,
    clock: SharedClock,
    monitor: Monitor,
    mut desired: watch::Receiver<Desired>,
    stop: CancellationToken,
) {
    let mut attempt = 0_u32;
    let mut resynced = None;
    let mut aside = BTreeSet::new();
    loop {
        let want = *desired.borrow_and_update();
        if stop.is_cancelled() {
            break;
        }
        if want == Desired::Paused {
            monitor.set_state(State::Paused);
            aside.clear();
            wait_for_change(&mut desired, &stop).await;
            attempt = 0;
            continue;
        }
        let before = monitor.report().rows_total;
        let forgotten = match want {
            Desired::Resync(n) if resynced != Some(n) => factory.forget().await.map(|()| {
                resynced = Some(n);
                aside.clear();
            }),
            _ => Ok(()),
        };
        monitor.set_state(State::Starting);
        let parts = match forgotten {
            Ok(()) => factory.parts(&aside).await,
            Err(error) => Err(error),
        };
        let result = match parts {
            Ok(parts) => once(parts, settings, attempt, &clock, &monitor, &mut desired, &stop).await,
            Err(error) => Err(error),
        };
        let Err(error) = result else {
            attempt = 0;
            continue;
        };
        if monitor.report().rows_total > before {
            attempt = 0;
        }
        if let Some(table) = error.table.as_deref()
            && aside.insert(table.clone())
        {
            tracing::error!(pipeline = name, %table, code = error.kind.code(), "a table was set aside: {}", full(&error));
            monitor.table_failed(table, &error);
            continue;
        }
        let decision = decide(&error, attempt);
        monitor.failed(&error, &decision);
        match decision {
            Decision::Stop => break,
            Decision::Retry { after } => {
                tracing::warn!(pipeline = name, code = error.kind.code(), retry_ms = after.as_millis(), "{}", full(&error));
                attempt += 1;
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    changed = desired.changed() => { if changed.is_err() { break } }
                    () = clock.sleep(after) => {}
                }
            }
            Decision::Ask { hint } => {
                tracing::error!(pipeline = name, code = error.kind.code(), "{} {hint}", full(&error));
                wait_for_change(&mut desired, &stop).await;
                attempt = 0;
            }
        }
    }
    monitor.set_state(State::Stopped);
}

/// One run, ended (after draining) by `stop` or by a change of what is desired.
async fn once(
    parts: Parts,
    settings: Settings,
    attempt: u32,
    clock: &SharedClock,
    monitor: &Monitor,
    desired: &mut watch::Receiver<Desired>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let drain = stop.child_token();
    let running = run(parts, settings, attempt, clock.clone(), monitor, &drain);
    tokio::pin!(running);
    tokio::select! {
        biased;
        changed = desired.changed() => {
            drop(changed);
            drain.cancel();
            running.await.map(drop)
        }
        ended = &mut running => ended.map(drop),
    }
}

async fn wait_for_change(desired: &mut watch::Receiver<Desired>, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        changed = desired.changed() => {
            if changed.is_err() {
                stop.cancelled().await;
            }
        }
    }
}

fn full(error: &Error) -> String {
    let hint = error.hint.as_deref().unwrap_or_default();
    format!("{} {hint}", with_causes(error)).trim_end().to_owned()
}
