use super::{
    upstream::{Upstream, Wish},
    world::World,
};
use crate::{Retention, TableChange, Thresholds};
use pipeline::Sink;
use proptest::prelude::*;
use std::time::Duration;

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
    /// Upkeep rewrites some files of every table, from beginning to end.
    Rewrite(u8),
    /// Upkeep writes files anew, and does not commit them yet.
    BeginRewrite(u8),
    /// Upkeep commits what it wrote, where it still can.
    EndRewrite,
    /// Between transactions the sink sees to its own affairs.
    Tend,
    /// All old snapshots and all files that nothing names go.
    Clean,
    /// Some tables get format version 3.
    Upgrade(u8),
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
        3 => any::<u8>().prop_map(Step::Rewrite),
        2 => any::<u8>().prop_map(Step::BeginRewrite),
        2 => Just(Step::EndRewrite),
        2 => Just(Step::Tend),
        1 => Just(Step::Clean),
        1 => any::<u8>().prop_map(Step::Upgrade),
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
    /// Files that upkeep wrote and has not committed.
    rewrites: Vec<TableChange>,
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
                self.rewrites.clear();
                assert_eq!(self.world.check_view(&self.upstream).await, durable);
                self.catch_up(4).await;
            }
            Step::Rewrite(seed) => {
                for change in self.begin_rewrites(seed).await {
                    self.world.lake.commit_quietly(change).await.unwrap();
                }
                self.check_all().await;
            }
            Step::BeginRewrite(seed) => self.rewrites = self.begin_rewrites(seed).await,
            Step::EndRewrite => {
                for change in std::mem::take(&mut self.rewrites) {
                    match self.world.lake.commit_quietly(change).await {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind, crate::Kind::Conflict, "{error}"),
                    }
                }
                self.check_all().await;
            }
            Step::Tend => {
                self.world.sink.tend().await.unwrap();
                self.check_all().await;
            }
            Step::Clean => {
                let keep = Retention { all: Duration::ZERO, hourly: Duration::ZERO, daily: Duration::ZERO };
                for state in self.world.lake.tables().all() {
                    self.world.lake.merge_manifests(state.table()).await.unwrap();
                    self.world.lake.expire_snapshots(state.table(), &keep).await.unwrap();
                }
                self.world.lake.remove_orphans_from_before(i64::MAX).await.unwrap();
                self.check_all().await;
            }
            Step::Upgrade(seed) => {
                for (i, state) in self.world.lake.tables().all().iter().enumerate().filter(|(i, _)| (seed >> (i % 8)) & 1 == 1) {
                    self.world.lake.upgrade(state.table()).await.unwrap_or_else(|e| panic!("table {i}: {e}"));
                }
                self.check_all().await;
            }
        }
        self
    }

    /// Writes some files of every table anew: those whose bit is set.
    async fn begin_rewrites(&self, seed: u8) -> Vec<TableChange> {
        let mut changes = Vec::new();
        // Small enough for several files.
        let thresholds = Thresholds { file_bytes: 1 << 10, ..Thresholds::default() };
        for state in self.world.lake.tables().all() {
            let chosen: Vec<usize> = (0..state.files().len()).filter(|i| (seed >> (i % 8)) & 1 == 1).collect();
            if !chosen.is_empty() {
                let stop = runtime::CancellationToken::new();
                changes.push(self.world.lake.rewritten(&state, &chosen, &thresholds, &stop).await.unwrap().0);
            }
        }
        changes
    }

    /// What queries and outside readers see is right, and stays what it was.
    async fn check_all(&mut self) {
        let seen = self.world.check_view(&self.upstream).await;
        assert!(seen == self.sent || self.lags || self.left_behind > 0, "{seen} of {} transactions are visible", self.sent);
        let stored = self.world.catalog.cursor(super::world::SOURCE).await.unwrap().map_or(0, |c| c.cursor.position.pos as usize);
        self.world.check_durable(&self.upstream, stored).await;
        self.world.check_loaded().await;
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
        let mut run = Run { world, upstream, sent: 0, lags: budget < 1 << 20, left_behind: 0, rewrites: Vec::new() };
        for step in steps {
            run = run.step(step).await;
        }
        run = run.step(Step::Commit).await;
        if run.sent > 0 {
            assert_eq!(run.world.check_view(&run.upstream).await, run.sent);
        }
        // Nothing is left on disk that nothing names, and nothing that is named is gone.
        run.world.sink.tend().await.unwrap();
        run.rewrites.clear();
        run = run.step(Step::Clean).await;
        let again = run.world.lake.remove_orphans_from_before(i64::MAX).await.unwrap();
        assert_eq!((again.files, run.world.lake.warehouse().held().len()), (0, 0));
        let (world, durable) = run.world.restart_process(&run.upstream).await;
        assert_eq!(world.check_view(&run.upstream).await, durable);
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
    #![proptest_config(config(48, 3))]
    #[test]
    fn queries_and_readers_see_the_source_as_it_was_whatever_happens(steps in prop::collection::vec(step(), 1..30)) {
        run(steps, 256 << 20);
    }
}

proptest! {
    #![proptest_config(config(24, 5))]
    #[test]
    fn a_sink_without_memory_is_late_and_never_wrong(steps in prop::collection::vec(step(), 1..25)) {
        run(steps, 6 << 10);
    }
}
