use crate::failure::Failure;
use std::time::Duration;

/// Keeps a plugin that fails again and again from holding a pipeline up: it bounds the tries within a batch, and after batches that had to be given up it
/// leaves the plugin out of more and more batches before it is tried again. One good call ends all suspicion.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Batches given up in a row.
    given_up: u32,
    /// Batches that are still to go by without a call.
    skip: u32,
    last: Option<Failure>,
}

/// What one batch may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    costly_max: u32,
    cheap_max: u32,
    time_max: Duration,
    costly: u32,
    cheap: u32,
    time: Duration,
}

/// Failures in a row without a good call between that a batch is allowed. Halving level by level, one guilty row makes no two of them.
const COSTLY_MAX: u32 = 8;
const CHEAP_MAX: u32 = 512;
/// The same once batches had to be given up.
const COSTLY_MAX_UNDER_SUSPICION: u32 = 3;
const CHEAP_MAX_UNDER_SUSPICION: u32 = 64;
/// Failed calls of one batch together may last so many times as one call.
const TIME_FACTOR: u32 = 10;
/// From so many given up batches on, batches go by without a call: 1, 2, 4 … up to [`SKIP_MAX`].
const SKIP_FROM: u32 = 3;
const SKIP_MAX: u32 = 64;

impl Breaker {
    /// Whether the next batch may call the plugin: its budget, or the failure to put on its rows.
    pub(crate) fn next_batch(&mut self, call_max: Duration) -> Result<Budget, Failure> {
        if self.skip > 0 {
            self.skip -= 1;
            let last = self.last.clone().unwrap_or(Failure::Trapped(String::new()));
            return Err(Failure::NotCalled { batches: self.given_up, last: Box::new(last) });
        }
        let suspect = self.given_up > 0;
        Ok(Budget {
            costly_max: if suspect { COSTLY_MAX_UNDER_SUSPICION } else { COSTLY_MAX },
            cheap_max: if suspect { CHEAP_MAX_UNDER_SUSPICION } else { CHEAP_MAX },
            time_max: call_max * TIME_FACTOR,
            costly: 0,
            cheap: 0,
            time: Duration::ZERO,
        })
    }

    /// A call was good.
    pub(crate) fn good_call(&mut self) {
        self.given_up = 0;
    }

    /// A batch had to be given up.
    pub(crate) fn gave_up(&mut self, last: &Failure) {
        self.given_up = self.given_up.saturating_add(1);
        self.last = Some(last.clone());
        if self.given_up >= SKIP_FROM {
            self.skip = SKIP_MAX.min(1 << (self.given_up - SKIP_FROM).min(16));
        }
    }
}

impl Budget {
    /// Notes a failed call; true once the rest of the batch is to be given up.
    pub(crate) fn failed(&mut self, failure: &Failure, took: Duration) -> bool {
        let counter = if failure.is_costly() { &mut self.costly } else { &mut self.cheap };
        *counter += 1;
        self.time += took;
        self.costly >= self.costly_max || self.cheap >= self.cheap_max || self.time >= self.time_max
    }

    /// Notes a good call.
    pub(crate) fn good_call(&mut self) {
        self.costly = 0;
        self.cheap = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn looped() -> Failure {
        Failure::TimedOut(SECOND)
    }

    #[test]
    fn a_plugin_that_always_loops_costs_eight_calls_then_three_then_less_and_less() {
        let mut breaker = Breaker::default();
        let mut calls = Vec::new();
        for _ in 0..12 {
            let mut of_this_batch = 0;
            if let Ok(mut budget) = breaker.next_batch(SECOND) {
                of_this_batch = 1;
                while !budget.failed(&looped(), Duration::from_millis(100)) {
                    of_this_batch += 1;
                }
                breaker.gave_up(&looped());
            }
            calls.push(of_this_batch);
        }
        assert_eq!(calls, [8, 3, 3, 0, 3, 0, 0, 3, 0, 0, 0, 0]);
    }

    #[test]
    fn one_good_call_ends_the_suspicion() {
        let mut breaker = Breaker::default();
        breaker.gave_up(&looped());
        breaker.gave_up(&looped());
        breaker.good_call();
        breaker.gave_up(&looped());
        assert!(breaker.next_batch(SECOND).is_ok());
    }

    #[test]
    fn failures_between_good_calls_are_bounded_by_time_alone() {
        let mut budget = Breaker::default().next_batch(SECOND).expect("a first batch is tried");
        let mut calls = 0;
        while !budget.failed(&looped(), SECOND) {
            budget.good_call();
            calls += 1;
        }
        assert_eq!(calls, 9);
    }
}
