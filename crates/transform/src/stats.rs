use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What a transform did since it was made; shared with whoever shows it. Reading costs nothing to the data path.
#[derive(Debug, Default)]
pub struct TransformStats {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    rows_dropped: AtomicU64,
    rows_failed: AtomicU64,
    batches: AtomicU64,
    calls: AtomicU64,
    refusals: AtomicU64,
    traps: AtomicU64,
    timeouts: AtomicU64,
    out_of_memory: AtomicU64,
    lies: AtomicU64,
    instances: AtomicU64,
    gave_up: AtomicU64,
    busy_ns: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// The numbers of a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransformCounts {
    /// Rows that came.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Rows that the plugin left out on purpose.
    pub rows_dropped: u64,
    /// Rows that the plugin could not take, whatever became of them.
    pub rows_failed: u64,
    /// Batches that came.
    pub batches: u64,
    /// Calls of the plugin, tries to find guilty rows included.
    pub calls: u64,
    /// Calls that the plugin answered with an error.
    pub refusals: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// Calls that ran out of time.
    pub timeouts: u64,
    /// Calls that ran out of memory.
    pub out_of_memory: u64,
    /// Calls whose answer broke the contract.
    pub lies: u64,
    /// Instances made.
    pub instances: u64,
    /// Batches of which some rows were given up without a try of their own.
    pub gave_up: u64,
    /// Time spent in the transform, nanoseconds.
    pub busy_ns: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl TransformCounts {
    /// Mean time for a row, nanoseconds; 0 before the first.
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub fn ns_per_row(&self) -> f64 {
        if self.rows_in == 0 { 0.0 } else { self.busy_ns as f64 / self.rows_in as f64 }
    }

    /// Calls that ended in a trap or ran out of time or memory.
    pub fn broken_calls(&self) -> u64 {
        self.traps + self.timeouts + self.out_of_memory
    }
}

impl TransformStats {
    /// The numbers now. Each is exact; together they may be a call apart.
    pub fn counts(&self) -> TransformCounts {
        TransformCounts {
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            rows_dropped: self.rows_dropped.load(Relaxed),
            rows_failed: self.rows_failed.load(Relaxed),
            batches: self.batches.load(Relaxed),
            calls: self.calls.load(Relaxed),
            refusals: self.refusals.load(Relaxed),
            traps: self.traps.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            out_of_memory: self.out_of_memory.load(Relaxed),
            lies: self.lies.load(Relaxed),
            instances: self.instances.load(Relaxed),
            gave_up: self.gave_up.load(Relaxed),
            busy_ns: self.busy_ns.load(Relaxed),
            last_error: self.last_error.lock().clone(),
        }
    }

    pub(crate) fn batch(&self, rows_in: usize, rows_out: usize, busy: Duration) {
        add(&self.batches, 1);
        add(&self.rows_in, rows_in);
        add(&self.rows_out, rows_out);
        self.busy_ns.fetch_add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn rows_dropped(&self, rows: usize) {
        add(&self.rows_dropped, rows);
    }

    pub(crate) fn rows_failed(&self, rows: usize, why: &str) {
        add(&self.rows_failed, rows);
        *self.last_error.lock() = Some(why.to_owned());
    }

    pub(crate) fn call(&self) {
        add(&self.calls, 1);
    }

    pub(crate) fn instance(&self) {
        add(&self.instances, 1);
    }

    pub(crate) fn gave_up(&self) {
        add(&self.gave_up, 1);
    }

    pub(crate) fn failure(&self, failure: &crate::failure::Failure) {
        use crate::failure::Failure as F;
        match failure.root() {
            F::Refused(_) => add(&self.refusals, 1),
            F::Trapped(_) => add(&self.traps, 1),
            F::TimedOut(_) => add(&self.timeouts, 1),
            F::OutOfMemory(_) => add(&self.out_of_memory, 1),
            F::Lied(_) => add(&self.lies, 1),
            F::GaveUp(_) | F::NotCalled { .. } => {}
        }
    }
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}
