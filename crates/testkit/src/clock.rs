use futures::future::BoxFuture;
use parking_lot::Mutex;
use runtime::{Clock, SharedClock};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, oneshot};

/// Where a new virtual clock stands: 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600_000_000;

/// A clock that moves only when a test says so. Clones share one time.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    auto: bool,
}

#[derive(Debug)]
struct State {
    start_us: i64,
    elapsed: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualClock {
    /// A clock that stands at 2026-01-01T00:00:00Z until [`Self::advance`].
    pub fn new() -> Self {
        Self::build(START_US, false)
    }

    /// A clock that stands at `now_us`.
    pub fn at(now_us: i64) -> Self {
        Self::build(now_us, false)
    }

    /// A clock on which every sleep ends at once (after one yield) and takes the time with it. For a test with a single sleeper that
    /// wants years to pass quickly.
    pub fn hasty() -> Self {
        Self::build(START_US, true)
    }

    fn build(start_us: i64, auto: bool) -> Self {
        let state = State { start_us, elapsed: Duration::ZERO, sleepers: Vec::new() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), auto }) }
    }

    /// The same clock as components take it.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }

    /// Lets `by` pass and wakes, in order of their deadlines, all sleeps that end in it.
    pub fn advance(&self, by: Duration) {
        let mut state = self.shared.state.lock();
        state.elapsed += by;
        let now = state.elapsed;
        let mut due: Vec<_> = Vec::new();
        let mut rest = Vec::new();
        for sleeper in state.sleepers.drain(..) {
            if sleeper.0 <= now { due.push(sleeper) } else { rest.push(sleeper) }
        }
        state.sleepers = rest;
        due.sort_by_key(|(deadline, _)| *deadline);
        for (_, wake) in due {
            // A sleep that was dropped needs no waking.
            let _ = wake.send(());
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Advances exactly to the earliest deadline and says how far that was; `None` where nobody sleeps.
    pub fn advance_to_next(&self) -> Option<Duration> {
        let by = {
            let mut state = self.shared.state.lock();
            state.sleepers.retain(|(_, wake)| !wake.is_closed());
            let next = state.sleepers.iter().map(|(deadline, _)| *deadline).min()?;
            next.saturating_sub(state.elapsed)
        };
        self.advance(by);
        Some(by)
    }

    /// How many sleeps are under way.
    pub fn sleepers(&self) -> usize {
        let mut state = self.shared.state.lock();
        state.sleepers.retain(|(_, wake)| !wake.is_closed());
        state.sleepers.len()
    }

    /// Waits until at least `n` sleeps are under way: the way to know that a task has reached its wait.
    pub async fn until_sleepers(&self, n: usize) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.sleepers() >= n {
                return;
            }
            changed.await;
        }
    }
}

impl Clock for VirtualClock {
    fn now_us(&self) -> i64 {
        let state = self.shared.state.lock();
        state.start_us.saturating_add(i64::try_from(state.elapsed.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.shared.state.lock().elapsed
    }

    fn sleep(&self, delay: Duration) -> BoxFuture<'static, ()> {
        if self.shared.auto {
            let clock = self.clone();
            return Box::pin(async move {
                tokio::task::yield_now().await;
                clock.advance(delay);
            });
        }
        if delay.is_zero() {
            return Box::pin(tokio::task::yield_now());
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.shared.state.lock();
        let deadline = state.elapsed + delay;
        state.sleepers.push((deadline, wake));
        drop(state);
        self.shared.changed.notify_waiters();
        Box::pin(async move {
            if woken.await.is_err() {
                // The clock is gone, so its time never passes.
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_sleep_ends_when_its_time_has_passed_and_not_before() {
        let clock = VirtualClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_none());
        assert_eq!(clock.advance_to_next(), Some(Duration::from_secs(1)));
        sleep.await;
        assert_eq!(clock.now_us(), START_US + 2_000_000);
        assert_eq!(clock.advance_to_next(), None);
    }

    #[tokio::test]
    async fn a_hasty_clock_takes_the_time_along() {
        let clock = VirtualClock::hasty();
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(3600));
    }
}
