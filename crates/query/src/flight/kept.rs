use parking_lot::Mutex;
use runtime::SharedClock;
use std::{collections::HashMap, time::Duration};

/// Things that clients refer to by a handle: at most so many, each for so long after its last use.
pub(super) struct Kept<T> {
    clock: SharedClock,
    most: usize,
    idle: Duration,
    things: Mutex<HashMap<String, (T, Duration)>>,
}

impl<T> Kept<T> {
    pub(super) fn new(clock: SharedClock, most: usize, idle: Duration) -> Self {
        Self { clock, most, idle, things: Mutex::default() }
    }

    /// Keeps a thing and yields its handle; none where there are too many.
    pub(super) fn keep(&self, thing: T) -> Option<String> {
        let now = self.clock.monotonic();
        let mut things = self.things.lock();
        things.retain(|_, (_, used)| now.saturating_sub(*used) < self.idle);
        if things.len() >= self.most {
            return None;
        }
        let handle = uuid::Uuid::new_v4().to_string();
        things.insert(handle.clone(), (thing, now));
        Some(handle)
    }

    /// What a handle stands for, which then counts as used.
    pub(super) fn with<R>(&self, handle: &str, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        let now = self.clock.monotonic();
        let mut things = self.things.lock();
        let (thing, used) = things.get_mut(handle).filter(|(_, used)| now.saturating_sub(*used) < self.idle)?;
        *used = now;
        Some(use_it(thing))
    }

    /// Takes a thing out.
    pub(super) fn take(&self, handle: &str) -> Option<T> {
        let now = self.clock.monotonic();
        let (thing, used) = self.things.lock().remove(handle)?;
        (now.saturating_sub(used) < self.idle).then_some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use testkit::VirtualClock;

    #[test]
    fn things_are_few_and_forgotten_in_time() {
        let clock = Arc::new(VirtualClock::default());
        let kept = Kept::new(clock.clone(), 2, Duration::from_secs(60));
        let (a, b) = (kept.keep("a").unwrap(), kept.keep("b").unwrap());
        assert_eq!(kept.keep("c"), None);
        clock.advance(Duration::from_secs(40));
        assert_eq!(kept.with(&a, |t| *t), Some("a"));
        clock.advance(Duration::from_secs(40));
        assert_eq!((kept.take(&b), kept.take(&a)), (None, Some("a")));
        assert!(kept.keep("c").is_some());
    }
}
