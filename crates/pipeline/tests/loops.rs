use crate::{Doubles, eager, last_cursor, table, transactions};
use async_trait::async_trait;
use model::{ChangeBatch, Cursor, Op, TableId, TableSchema};
use pipeline::{
    BoundaryInfo, CommitTicket, DeadLetter, Desired, End, Error, Handle, Monitor, Settings, Sink, State, Transform, Transformed,
    run, supervise,
};
use runtime::{CancellationToken, SystemClock};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use testkit::{Fault, FaultScript, Gate, Item, MemoryLake, Step, Upstream, VirtualClock, cursor_at, kv_batch, kv_schema};
use tokio::sync::Notify;

async fn run_doubles(doubles: &Doubles, settings: Settings, stop: &CancellationToken) -> Result<End, pipeline::Error> {
    let clock = SystemClock::shared();
    let monitor = Monitor::new(clock.clone(), 0);
    let parts = pipeline::Factory::parts(doubles, &BTreeSet::new()).await?;
    run(parts, settings, 0, clock, &monitor, stop).await
}

#[tokio::test]
async fn every_change_becomes_durable_and_is_then_acknowledged() {
    let items = transactions(20);
    let last = last_cursor(&items);
    let lake = MemoryLake::new();
    let doubles = Doubles { upstream: Upstream::new(items).watching(&lake), lake: lake.clone() };
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run_doubles(&doubles, eager(), &stop), async {
        doubles.upstream.until_acked(&last).await;
        stop.cancel();
    });
    assert_eq!(ended.expect("no error"), End::Drained);
    assert_eq!(lake.silver(&table("b")).len(), 20);
    assert_eq!(lake.violations(), Vec::<String>::new());
    assert_eq!(doubles.upstream.closed(), 1);
}

#[tokio::test]
async fn a_drain_commits_what_no_timer_had_committed_yet() {
    let items = transactions(3);
    let last = last_cursor(&items);
    let lake = MemoryLake::new();
    let doubles = Doubles { upstream: Upstream::new(items).watching(&lake), lake: lake.clone() };
    let settings = Settings { commit_every: Duration::from_secs(3600), ..Settings::default() };
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run_doubles(&doubles, settings, &stop), async {
        doubles.upstream.until_told().await;
        stop.cancel();
    });
    ended.expect("no error");
    assert_eq!(lake.cursor(), Some(last.clone()));
    assert_eq!(doubles.upstream.acks(), [last]);
}

#[tokio::test]
async fn a_commit_never_cuts_a_transaction() {
    let a = kv_schema("a");
    let held = Gate::new();
    let items = vec![
        Item::Schema(a.clone()),
        Item::Rows(kv_batch(&a, &[(Op::Create, 1, 0, 1, Some("x"))])),
        Item::Hold(held.clone()),
        Item::Rows(kv_batch(&a, &[(Op::Create, 1, 1, 2, Some("y"))])),
        Item::Boundary(cursor_at(1, 1)),
    ];
    let lake = MemoryLake::new();
    let doubles = Doubles { upstream: Upstream::new(items).watching(&lake), lake: lake.clone() };
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run_doubles(&doubles, eager(), &stop), async {
        held.reached().await;
        assert_eq!(lake.cursor(), None);
        assert!(lake.visible(&table("a")).is_empty());
        held.release();
        doubles.upstream.until_acked(&cursor_at(1, 1)).await;
        stop.cancel();
    });
    ended.expect("no error");
    assert_eq!(lake.silver(&table("a")).len(), 2);
    assert_eq!(lake.cursors().len(), 1);
}

#[tokio::test]
async fn reading_goes_on_while_a_commit_is_slow() {
    let gate = Gate::new();
    let items = transactions(5);
    let last = last_cursor(&items);
    let clock = VirtualClock::new();
    let lake = MemoryLake::with_faults(FaultScript::new().on(Step::Durable, 1, Fault::Hold(gate.clone())), clock.shared());
    let doubles = Doubles { upstream: Upstream::new(items).watching(&lake), lake: lake.clone() };
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run_doubles(&doubles, eager(), &stop), async {
        gate.reached().await;
        doubles.upstream.until_told().await;
        assert_eq!(doubles.upstream.acks(), []);
        gate.release();
        doubles.upstream.until_acked(&last).await;
        stop.cancel();
    });
    ended.expect("no error");
    assert_eq!(lake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cursor_that_moves_without_changes_is_stored_and_acknowledged() {
    let items = vec![Item::Boundary(cursor_at(9, 0))];
    let lake = MemoryLake::new();
    let doubles = Doubles { upstream: Upstream::new(items).watching(&lake), lake: lake.clone() };
    let settings = Settings { idle_commit_every: Duration::ZERO, ..eager() };
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run_doubles(&doubles, settings, &stop), async {
        doubles.upstream.until_acked(&cursor_at(9, 0)).await;
        stop.cancel();
    });
    ended.expect("no error");
    assert_eq!(lake.cursor(), Some(cursor_at(9, 0)));
}

#[tokio::test]
async fn one_failed_table_leaves_the_others_running() {
    let mut items = transactions(2);
    items.insert(2, Item::TableFailed(table("broken"), "a value can't be read".into()));
    let last = last_cursor(&items);
    let lake = MemoryLake::new();
    let upstream = Upstream::new(items).watching(&lake);
    let doubles = Doubles { upstream: upstream.clone(), lake: lake.clone() };
    let clock = SystemClock::shared();
    let monitor = Monitor::new(clock.clone(), 0);
    let parts = pipeline::Factory::parts(&doubles, &BTreeSet::new()).await.expect("parts");
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run(parts, eager(), 0, clock, &monitor, &stop), async {
        upstream.until_acked(&last).await;
        stop.cancel();
    });
    ended.expect("no error");
    let broken = monitor.report().tables.into_iter().find(|t| t.id == table("broken")).expect("it is reported");
    assert!(broken.error.is_some_and(|e| e.contains("can't be read")));
    assert_eq!(lake.silver(&table("a")).len(), 2);
}

#[tokio::test]
async fn an_operator_pauses_and_resumes() {
    let items = transactions(2);
    let first = last_cursor(&items);
    let lake = MemoryLake::new();
    let upstream = Upstream::new(items).watching(&lake);
    let doubles = Doubles { upstream: upstream.clone(), lake: lake.clone() };
    let clock = SystemClock::shared();
    let monitor = Monitor::new(clock.clone(), 0);
    let (handle, desired) = Handle::new("p", "scripted", Vec::new(), monitor.clone(), Desired::Running);
    let stop = CancellationToken::new();
    let supervised = supervise("p", &doubles, eager(), clock, monitor.clone(), desired, stop.clone());
    tokio::join!(supervised, async {
        upstream.until_acked(&first).await;
        handle.pause();
        while monitor.report().state != State::Paused {
            tokio::task::yield_now().await;
        }
        let a = kv_schema("a");
        upstream.push([Item::Rows(kv_batch(&a, &[(Op::Create, 7, 0, 70, Some("late"))])), Item::Boundary(cursor_at(7, 0))]);
        handle.resume();
        upstream.until_acked(&cursor_at(7, 0)).await;
        stop.cancel();
    });
    assert_eq!(lake.silver(&table("a")).len(), 3);
    assert_eq!(monitor.report().state, State::Stopped);
    assert_eq!(lake.violations(), Vec::<String>::new());
}

/// A sink that shows a boundary only when it is given for the fourth time, as one does that has just shown another.
struct Shy {
    inner: Box<dyn Sink>,
    given: usize,
    shown: Arc<Notify>,
}

#[async_trait]
impl Sink for Shy {
    async fn open(&mut self) -> Result<Option<Cursor>, Error> {
        self.inner.open().await
    }

    async fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<(), Error> {
        self.inner.schema(schema).await
    }

    async fn reset(&mut self, table: &TableId) -> Result<(), Error> {
        self.inner.reset(table).await
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<(), Error> {
        self.given = 0;
        self.inner.write(batch).await
    }

    async fn dead(&mut self, letters: Vec<DeadLetter>) -> Result<(), Error> {
        self.inner.dead(letters).await
    }

    async fn boundary(&mut self, cursor: &Cursor) -> Result<BoundaryInfo, Error> {
        self.given += 1;
        if self.given == 4 {
            self.shown.notify_one();
        }
        Ok(BoundaryInfo { unpublished: self.given < 4, ..self.inner.boundary(cursor).await? })
    }

    fn commit(&mut self) -> Result<CommitTicket, Error> {
        self.inner.commit()
    }
}

#[tokio::test]
async fn a_boundary_that_was_not_shown_is_given_until_it_is() {
    let lake = MemoryLake::new();
    let upstream = Upstream::new(transactions(3)).watching(&lake);
    let shown = Arc::new(Notify::new());
    let shy = Shy { inner: Box::new(lake.sink()), given: 0, shown: Arc::clone(&shown) };
    let parts = pipeline::Parts { source: Box::new(upstream.source()), stage: pipeline::Stage::default(), sink: Box::new(shy) };
    let clock = SystemClock::shared();
    let monitor = Monitor::new(clock.clone(), 0);
    let settings = Settings { commit_every: Duration::from_secs(3600), ..Settings::default() };
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(run(parts, settings, 0, clock, &monitor, &stop), async {
        tokio::time::timeout(Duration::from_secs(60), shown.notified()).await.expect("the loop gave up on the last boundary");
        stop.cancel();
    });
    ended.expect("no error");
}

/// A transform that has no way with table `b`, until it is mended.
struct Picky;

impl Transform for Picky {
    fn name(&self) -> &str {
        "picky"
    }

    fn schema(&mut self, input: &Arc<TableSchema>) -> Result<Arc<TableSchema>, Error> {
        match input.id.name.as_str() {
            "b" => Err(Error::new(pipeline::Kind::Table, "b is not to my taste")),
            _ => Ok(Arc::clone(input)),
        }
    }

    fn apply(&mut self, batch: ChangeBatch) -> Result<Transformed, Error> {
        Ok(Transformed { batches: vec![batch], dead: Vec::new() })
    }
}

/// Sources that leave tables alone as told.
struct Choosing {
    lake: MemoryLake,
    all: Upstream,
    without_b: Upstream,
    /// The tables set aside at each start.
    asides: Mutex<Vec<BTreeSet<TableId>>>,
}

#[async_trait]
impl pipeline::Factory for Choosing {
    async fn parts(&self, aside: &BTreeSet<TableId>) -> Result<pipeline::Parts, Error> {
        let mut asides = self.asides.lock().expect("no panic");
        asides.push(aside.clone());
        let upstream = if aside.contains(&table("b")) { &self.without_b } else { &self.all };
        // The third start is after the operator mended the cause.
        let stage = if asides.len() < 3 { pipeline::Stage::new(vec![Box::new(Picky)]) } else { pipeline::Stage::default() };
        Ok(pipeline::Parts { source: Box::new(upstream.source()), stage, sink: Box::new(self.lake.sink()) })
    }

    async fn forget(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test]
async fn a_table_that_can_not_go_on_is_set_aside_and_taken_up_again_when_the_operator_says() {
    let a = kv_schema("a");
    let only_a = vec![
        Item::Schema(a.clone()),
        Item::Rows(kv_batch(&a, &[(Op::Create, 1, 0, 1, Some("x"))])),
        Item::Boundary(cursor_at(1, 2)),
    ];
    let lake = MemoryLake::new();
    let without_b = Upstream::new(only_a).watching(&lake);
    let all = Upstream::new(transactions(2)).watching(&lake);
    let factory = Choosing { lake: lake.clone(), all: all.clone(), without_b: without_b.clone(), asides: Mutex::default() };
    let clock = SystemClock::shared();
    let monitor = Monitor::new(clock.clone(), 0);
    let (handle, desired) = Handle::new("shop", "double", Vec::new(), monitor.clone(), Desired::Running);
    let stop = CancellationToken::new();
    let ((), ()) = tokio::join!(supervise("shop", &factory, eager(), clock, monitor.clone(), desired, stop.clone()), async {
        without_b.until_acked(&cursor_at(1, 2)).await;
        let failed: Vec<_> = monitor.report().tables.into_iter().filter_map(|t| Some((t.id, t.error?))).collect();
        assert_eq!(failed, [(table("b"), "b is not to my taste".to_owned())]);
        assert!(monitor.report().failure.is_none(), "the pipeline itself goes on");
        handle.pause();
        while monitor.report().state != State::Paused {
            tokio::task::yield_now().await;
        }
        handle.resume();
        all.until_acked(&cursor_at(2, 2)).await;
        assert!(monitor.report().tables.iter().all(|t| t.error.is_none()), "mended tables are not shown as failed");
        stop.cancel();
    });
    assert_eq!(*factory.asides.lock().expect("no panic"), [BTreeSet::new(), BTreeSet::from([table("b")]), BTreeSet::new()]);
    assert_eq!(lake.silver(&table("b")).len(), 1, "the doubles resume after the first transaction");
}
