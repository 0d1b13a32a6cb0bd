//! Gives memory that is no longer used back to the system.

use runtime::{SharedClock, Tasks};
use std::time::Duration;

/// How often. The allocator keeps what it may need again soon; what is free for longer than this was a peak.
const EVERY: Duration = Duration::from_secs(10);

/// Starts giving memory back, on `tasks` and until these end.
///
/// The allocator returns memory as a side of allocating, so what a burst of work leaves behind would stay for as long as nothing much happens.
pub fn give_back(tasks: &Tasks, clock: SharedClock) {
    let cancel = tasks.cancellation().clone();
    tasks.spawn("giving memory back", async move {
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = clock.sleep(EVERY) => collect(),
            }
        }
    });
}

#[expect(unsafe_code, reason = "the allocator's own call, which has no safe wrapper")]
fn collect() {
    // SAFETY: mi_collect takes no pointer, may be called from any thread at any time, and touches only memory that nobody holds; mimalloc is
    // this program's global allocator, so it is initialised before the first task runs.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
