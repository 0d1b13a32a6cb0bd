use super::{
    upstream::{Upstream, Wish},
    world::World,
};
use pipeline::Sink;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// A transaction in batches of so many rows.
    Transaction(Vec<Wish>, usize),
    /// A commit from beginning to end.
    Commit,
    /// A commit begins, and goes on while other things happen.
    BeginCommit,
    /// The commit that has begun ends.
    EndCommit,
    /// The sink is lost in the middle of this transaction.
    LoseSink(Vec<Wish>),
    /// The process is lost.
    LoseProcess,
}

fn wish() -> impl Strategy<Value = Wish> {
    (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(table, kind, key, value)| Wish { table, kind, key, value })
}

fn step() -> impl Strategy<Value = Step> {
    let wishes = || prop::collection::vec(wish(), 1..14);
    prop_oneof![
        10 => (wishes(), 1usize..9).prop_map(|(w, most)| Step::Transaction(w, most)),
        2 => Just(Step::Commit),
        2 => Just(Step::BeginCommit),
        2 => Just(Step::EndCommit),
        1 => wishes().prop_map(Step::LoseSink),
        1 => Just(Step::LoseProcess),
    ]
}

struct Run {
    world: World,
    upstream: Upstream,
    /// Transactions that the sink has.
    sent: usize,
    /// Whether rows may be out of memory, so that the view may lag behind.
    lags: bool,
    /// What a lost sink had shown that nothing durable has replaced yet.
    left_behind: usize,
}

impl Run {
    async fn step(mut self, step: Step) -> Self {
        match step {
            Step::Transaction(wishes, most) => {
                self.upstream.transact(&wishes);
                self.catch_up(most).await;
            }
            Step::Commit => {
                self.end_commit().await;
                self.begin_commit();
                self.end_commit().await;
            }
            Step::BeginCommit => {
                self.end_commit().await;
                self.begin_commit();
                if self.lags {
                    // A commit that nobody drives gives no memory back.
                    self.end_commit().await;
                }
            }
            Step::EndCommit => self.end_commit().await,
            Step::LoseSink(wishes) => {
                self.upstream.transact(&wishes);
                let batches = self.upstream.batches(self.sent, 3);
                let half = batches.len().div_ceil(2);
                for batch in batches.into_iter().take(half) {
                    self.world.write(batch).await.unwrap();
                }
                self.sent = self.world.restart_sink(&self.upstream).await;
                let seen = self.world.check_view(&self.upstream).await;
                assert!(seen == self.sent || self.sent == 0, "{seen} transactions are visible and {} durable", self.sent);
                self.left_behind = seen;
                self.catch_up(5).await;
            }
            Step::LoseProcess => {
                let (world, durable) = self.world.restart_process(&self.upstream).await;
                (self.world, self.sent) = (world, durable);
                assert_eq!(self.world.check_view(&self.upstream).await, durable);
                self.catch_up(4).await;
            }
        }
        self
    }

    /// Sends all transactions that the sink does not have, and looks at what queries see in the middle and at the end of each.
    async fn catch_up(&mut self, most: usize) {
        while self.sent < self.upstream.log.len() {
            let batches = self.upstream.batches(self.sent, most);
            let half = batches.len() / 2;
            for (i, batch) in batches.into_iter().enumerate() {
                self.world.write(batch).await.unwrap();
                if i == half {
                    self.world.sink.publish_now().unwrap();
                    let seen = self.world.check_view(&self.upstream).await;
                    assert!(seen <= self.sent.max(self.left_behind), "half a transaction is visible");
                }
            }
            self.sent += 1;
            self.world.boundary(&Upstream::cursor(self.sent)).await;
            let seen = self.world.check_view(&self.upstream).await;
            if seen == self.sent {
                self.left_behind = 0;
            }
            assert!(seen == self.sent || self.lags, "{seen} of {} transactions are visible", self.sent);
        }
    }

    fn begin_commit(&mut self) {
        if self.sent > 0 {
            self.world.ticket = Some((self.world.sink.commit().unwrap(), self.sent));
        }
    }

    async fn end_commit(&mut self) {
        if let Some((ticket, n)) = self.world.ticket.take() {
            assert_eq!(ticket.await.unwrap().cursor, Upstream::cursor(n));
            self.world.check_durable(&self.upstream, n).await;
            self.world.check_view(&self.upstream).await;
        }
    }
}

fn run(steps: Vec<Step>, budget: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(budget).await;
        let upstream = Upstream::new();
        world.start(&upstream).await;
        let mut run = Run { world, upstream, sent: 0, lags: budget < 1 << 20, left_behind: 0 };
        for step in steps {
            run = run.step(step).await;
        }
        run = run.step(Step::Commit).await;
        if run.sent > 0 {
            assert_eq!(run.world.check_view(&run.upstream).await, run.sent);
        }
    });
}

fn config(cases: u32, seed: u64) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        rng_seed: proptest::test_runner::RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(24, 3))]
    #[test]
    fn queries_and_readers_see_the_source_as_it_was_whatever_happens(steps in prop::collection::vec(step(), 1..30)) {
        run(steps, 256 << 20);
    }
}

proptest! {
    #![proptest_config(config(12, 5))]
    #[test]
    fn a_sink_without_memory_is_late_and_never_wrong(steps in prop::collection::vec(step(), 1..25)) {
        run(steps, 6 << 10);
    }
}
