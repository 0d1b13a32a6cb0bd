//! Which query runs when there is not a place for all.
//!
//! A query is light or heavy by what its plan would read. Heavy ones leave some places to light ones, so that a dashboard does not wait for a
//! report; light ones leave the last place to a heavy one that waits while none runs. Of those that may run, a client that has the fewest places
//! comes first, then who came first. The wait has an end, and says so.

use crate::{Error, Kind};
use parking_lot::Mutex;
use runtime::SharedClock;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Of so many places one is left to light queries.
const PLACES_FOR_ONE_LIGHT: usize = 4;

/// How much a query would read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Weight {
    Light,
    Heavy,
}

/// How many may run, and how long the others wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Queries that run at once.
    pub running_max: usize,
    /// Bytes that a light query reads at most.
    pub light_bytes_max: u64,
    /// The longest wait for a place.
    pub wait_max: Duration,
}

impl Limits {
    /// What a query is that would read so many bytes.
    pub(super) fn weight(&self, bytes: u64) -> Weight {
        if bytes <= self.light_bytes_max { Weight::Light } else { Weight::Heavy }
    }

    /// Heavy queries that run at once.
    fn heavy_max(&self) -> usize {
        match self.running_max {
            0 | 1 => 1,
            places => places - places.div_ceil(PLACES_FOR_ONE_LIGHT).min(places - 1),
        }
    }
}

/// Gives out the places.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    light: usize,
    heavy: usize,
    /// Places by client.
    clients: HashMap<Arc<str>, usize>,
    /// In the order of arrival.
    waiting: Vec<Waiter>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    weight: Weight,
    client: Arc<str>,
    wake: oneshot::Sender<Place>,
}

/// A place to run; dropping it gives it to the next.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    weight: Weight,
    client: Arc<str>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave(self.weight, &self.client);
    }
}

/// Takes a query that stops waiting out of the queue.
struct Queued<'a> {
    admission: &'a Arc<Admission>,
    number: u64,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        let before = state.waiting.len();
        state.waiting.retain(|w| w.number != self.number);
        let left = state.waiting.len() < before;
        drop(state);
        if left {
            // A place that was owed to it may be another's now.
            self.admission.admit();
        }
    }
}

impl State {
    fn is_free(&self, limits: &Limits, weight: Weight) -> bool {
        let running = self.light + self.heavy;
        let places = limits.running_max.max(1);
        match weight {
            Weight::Heavy => running < places && self.heavy < limits.heavy_max(),
            Weight::Light => {
                let owed = self.heavy == 0 && self.waiting.iter().any(|w| w.weight == Weight::Heavy);
                running + usize::from(owed) < places
            }
        }
    }

    fn take(&mut self, weight: Weight, client: &Arc<str>) {
        match weight {
            Weight::Light => self.light += 1,
            Weight::Heavy => self.heavy += 1,
        }
        *self.clients.entry(Arc::clone(client)).or_default() += 1;
    }

    fn give_back(&mut self, weight: Weight, client: &Arc<str>) {
        match weight {
            Weight::Light => self.light -= 1,
            Weight::Heavy => self.heavy -= 1,
        }
        if let Some(places) = self.clients.get_mut(client) {
            *places -= 1;
            if *places == 0 {
                self.clients.remove(client);
            }
        }
    }

    /// Who comes next, taken out of the queue.
    fn pop(&mut self, limits: &Limits) -> Option<Waiter> {
        let places = |w: &Waiter| self.clients.get(&w.client).copied().unwrap_or(0);
        let free = self.waiting.iter().enumerate().filter(|(_, w)| self.is_free(limits, w.weight));
        let (at, _) = free.min_by_key(|(_, w)| (w.weight == Weight::Heavy, places(w), w.number))?;
        Some(self.waiting.remove(at))
    }
}

impl Admission {
    pub(super) fn new(limits: Limits, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { limits, clock, state: Mutex::default() })
    }

    /// The limits.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Gets a place, or waits for one; `queued` is told the number in the queue, for [`Self::position`].
    ///
    /// # Errors
    /// [`Kind::Busy`] where the wait took too long.
    pub(super) async fn enter(self: &Arc<Self>, weight: Weight, client: &str, queued: impl FnOnce(u64)) -> Result<Place, Error> {
        let client: Arc<str> = Arc::from(client);
        let (wake, woken) = oneshot::channel();
        let number = {
            let mut state = self.state.lock();
            let overtakes = state.waiting.iter().any(|w| w.weight == weight);
            if !overtakes && state.is_free(&self.limits, weight) {
                state.take(weight, &client);
                return Ok(Place { admission: Arc::clone(self), weight, client });
            }
            state.next += 1;
            let number = state.next;
            state.waiting.push(Waiter { number, weight, client, wake });
            number
        };
        queued(number);
        let _queued = Queued { admission: self, number };
        tokio::select! {
            biased;
            place = woken => place.map_err(|_| Error::new(Kind::Cancelled, "the server is shutting down")),
            () = self.clock.sleep(self.limits.wait_max) => Err(self.waited()),
        }
    }

    fn waited(&self) -> Error {
        let state = self.state.lock();
        let (running, waiting) = (state.light + state.heavy, state.waiting.len());
        let message = format!(
            "the query waited {} s for a place to run; {running} queries run and {waiting} wait",
            self.limits.wait_max.as_secs_f64()
        );
        Error::new(Kind::Busy, message)
            .with_hint("Try again later, look at `system.queries`, or raise `server.queries_max` or `server.queue_wait`.")
    }

    /// How many of its weight are in front of a query that waits, itself included; none once it runs.
    pub(super) fn position(&self, number: u64) -> Option<usize> {
        let state = self.state.lock();
        let weight = state.waiting.iter().find(|w| w.number == number)?.weight;
        Some(state.waiting.iter().filter(|w| w.weight == weight && w.number <= number).count())
    }

    fn leave(self: &Arc<Self>, weight: Weight, client: &Arc<str>) {
        self.state.lock().give_back(weight, client);
        self.admit();
    }

    /// Lets in who can be let in.
    fn admit(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.pop(&self.limits);
                if let Some(next) = &next {
                    state.take(next.weight, &next.client);
                }
                next
            };
            let Some(Waiter { weight, client, wake, .. }) = next else { return };
            // Nobody there any more: dropping the place gives it to the next.
            drop(wake.send(Place { admission: Arc::clone(self), weight, client }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{future::Future, pin::Pin};

    fn admission(running_max: usize, wait_max: Duration) -> Arc<Admission> {
        let limits = Limits { running_max, light_bytes_max: 100, wait_max };
        Admission::new(limits, runtime::SystemClock::shared())
    }

    const LONG: Duration = Duration::from_secs(600);

    type Entering = Pin<Box<dyn Future<Output = Result<Place, Error>>>>;

    fn enter(admission: &Arc<Admission>, weight: Weight, client: &'static str) -> Entering {
        let admission = Arc::clone(admission);
        Box::pin(async move { admission.enter(weight, client, |_| {}).await })
    }

    async fn at_once(entering: &mut Entering) -> Option<Place> {
        match futures::poll!(entering) {
            std::task::Poll::Ready(place) => Some(place.unwrap()),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn heavy_queries_leave_places_to_light_ones() {
        let heavy_max = |running_max| Limits { running_max, light_bytes_max: 100, wait_max: LONG }.heavy_max();
        assert_eq!([1, 2, 3, 4, 8, 16].map(heavy_max), [1, 1, 2, 3, 6, 12]);
        let limits = Limits { running_max: 8, light_bytes_max: 100, wait_max: LONG };
        assert_eq!((limits.weight(100), limits.weight(101)), (Weight::Light, Weight::Heavy));
    }

    #[tokio::test]
    async fn a_light_query_does_not_wait_for_heavy_ones_and_a_heavy_one_is_not_locked_out_by_light_ones() {
        let admission = admission(4, LONG);
        let mut running = Vec::new();
        for _ in 0..3 {
            running.push(at_once(&mut enter(&admission, Weight::Heavy, "a")).await.unwrap());
        }
        let mut fourth = enter(&admission, Weight::Heavy, "a");
        assert!(at_once(&mut fourth).await.is_none());
        let light = at_once(&mut enter(&admission, Weight::Light, "a")).await.expect("a place is left to it");
        let mut second = enter(&admission, Weight::Light, "a");
        assert!(at_once(&mut second).await.is_none(), "all places are taken");
        drop(light);
        let second = at_once(&mut second).await.unwrap();
        running.clear();
        let _fourth = at_once(&mut fourth).await.unwrap();
        drop(second);
        // Now light ones fill all places but the one owed to a heavy query that waits.
        let admission = self::admission(2, LONG);
        let _one = at_once(&mut enter(&admission, Weight::Light, "a")).await.unwrap();
        let two = at_once(&mut enter(&admission, Weight::Light, "a")).await.unwrap();
        let mut heavy = enter(&admission, Weight::Heavy, "a");
        assert!(at_once(&mut heavy).await.is_none());
        let mut third = enter(&admission, Weight::Light, "a");
        assert!(at_once(&mut third).await.is_none());
        drop(two);
        assert!(at_once(&mut third).await.is_none(), "the place is the heavy one's");
        assert!(at_once(&mut heavy).await.is_some());
    }

    #[tokio::test]
    async fn the_client_with_the_fewest_places_comes_first() {
        let admission = admission(4, LONG);
        let mut places: Vec<Place> = Vec::new();
        for _ in 0..4 {
            places.push(at_once(&mut enter(&admission, Weight::Light, "busy")).await.unwrap());
        }
        let numbers = Arc::new(Mutex::new(Vec::new()));
        let queue = |client: &'static str| {
            let (admission, numbers) = (Arc::clone(&admission), Arc::clone(&numbers));
            Box::pin(async move { admission.enter(Weight::Light, client, |n| numbers.lock().push(n)).await }) as Entering
        };
        let (mut first, mut second, mut gone) = (queue("busy"), queue("quiet"), queue("gone"));
        for waits in [&mut first, &mut second, &mut gone] {
            assert!(at_once(waits).await.is_none());
        }
        let at = |i: usize| admission.position(numbers.lock()[i]);
        assert_eq!([at(0), at(1), at(2)], [Some(1), Some(2), Some(3)]);
        drop(gone);
        assert_eq!(at(2), None, "who goes away waits no more");
        places.pop();
        assert!(at_once(&mut first).await.is_none());
        assert!(at_once(&mut second).await.is_some());
        assert_eq!(at(0), None);
    }

    #[tokio::test]
    async fn a_wait_ends_with_a_clear_error() {
        let admission = admission(1, Duration::from_millis(20));
        let _place = at_once(&mut enter(&admission, Weight::Heavy, "a")).await.unwrap();
        let error = enter(&admission, Weight::Light, "a").await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (Kind::Busy, "the query waited 0.02 s for a place to run; 1 queries run and 1 wait")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

        /// Whoever comes, goes and gives up in whatever order: never too many run, and in the end nobody is left waiting beside a free place.
        #[test]
        fn places_are_never_lost_or_doubled(
            running_max in 1_usize..6,
            steps in proptest::collection::vec((0_u8..4, any::<bool>(), 0_usize..3), 1..80),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let admission = admission(running_max, LONG);
                let (mut places, mut waits): (Vec<Place>, Vec<Entering>) = (Vec::new(), Vec::new());
                for (step, heavy, client) in steps {
                    match step {
                        0 | 1 => waits.push(enter(&admission, if heavy { Weight::Heavy } else { Weight::Light }, ["a", "b", "c"][client])),
                        2 if !places.is_empty() => drop(places.remove(client % places.len())),
                        3 if !waits.is_empty() => drop(waits.remove(client % waits.len())),
                        _ => {}
                    }
                    let mut still = Vec::new();
                    for mut wait in waits {
                        match at_once(&mut wait).await {
                            Some(place) => places.push(place),
                            None => still.push(wait),
                        }
                    }
                    waits = still;
                    assert!(places.len() <= running_max);
                }
                while !waits.is_empty() {
                    assert!(!places.is_empty(), "{} wait and nobody runs", waits.len());
                    places.remove(0);
                    let mut still = Vec::new();
                    for mut wait in waits {
                        match at_once(&mut wait).await {
                            Some(place) => places.push(place),
                            None => still.push(wait),
                        }
                    }
                    waits = still;
                }
                places.clear();
                let state = admission.state.lock();
                assert_eq!((state.light, state.heavy, state.clients.len()), (0, 0, 0));
            });
        }
    }
}
