use crate::{
    CommitTime, Simulation, SimulatorConfig, Table,
    encode::{Stamp, TableWriter},
};
use async_trait::async_trait;
use model::{ChangeBatch, Cursor, Op, Position};
use pipeline::{Error, Event, Kind, SnapshotProgress, Source, SourceStatus};
use runtime::SharedClock;
use std::{collections::VecDeque, time::Duration};

/// Customers whose rows are copied at a time: some thousand rows.
const COPY_CUSTOMERS: i64 = 256;
/// Most transactions between two boundaries.
const TICK_TRANSACTIONS_MAX: u64 = 2_000;
/// When the reader is this far behind, time is counted anew from where it stands, rather than made up for.
const LATE_MAX: Duration = Duration::from_secs(5);

/// The simulated bank as a [`Source`].
///
/// A position's `pos` is the number of transactions that have happened, its `seq` the change inside the last one; rows of the first
/// copy have `pos` 0. A cursor's `pos` is all that is needed to go on.
#[derive(Debug)]
pub struct SimulatorSource {
    config: SimulatorConfig,
    clock: SharedClock,
    queue: VecDeque<Event>,
    bank: Option<Bank>,
}

/// An open bank.
#[derive(Debug)]
struct Bank {
    simulation: Simulation,
    writers: Vec<TableWriter>,
    phase: Phase,
    progress: Option<SnapshotProgress>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The first copy: which customer is next, and the number of the next row.
    Copy { customer: i64, seq: u64 },
    /// Changes: the next transaction, and since when it is counted from which.
    Stream { next: u64, anchor: Anchor },
}

/// Transaction `from` was due at `since` on the monotonic clock; nothing is told before `tick`.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    from: u64,
    since: Duration,
    tick: Duration,
}

/// What [`SimulatorSource::fill`] found.
enum Filled {
    /// Events are in the queue.
    Some,
    /// Nothing before this much time has passed.
    Later(Duration),
    /// Nothing ever again.
    Never,
}

impl SimulatorSource {
    /// A source of these settings, which are checked when it is opened.
    pub fn new(config: SimulatorConfig, clock: SharedClock) -> Self {
        Self { config, clock, queue: VecDeque::new(), bank: None }
    }

    /// What a cursor must agree on with the settings to mean the same bank.
    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "seed": self.config.seed,
            "customers": self.config.customers,
            "starts_on": self.config.starts_on.to_string(),
        })
    }

    fn anchor(&self, from: u64) -> Anchor {
        let since = self.clock.monotonic();
        Anchor { from, since, tick: since + Duration::from_millis(u64::from(self.config.tick_ms)) }
    }

    fn cursor(&self, position: Position, commit_ts_us: i64) -> Cursor {
        Cursor {
            position,
            commit_ts_us: Some(commit_ts_us),
            state: self.identity(),
            display: format!("transaction {}", position.pos),
        }
    }

    fn commit_ts(&self, simulated_us: i64) -> i64 {
        match self.config.commit_time {
            CommitTime::Now => self.clock.now_us(),
            CommitTime::Simulated => simulated_us,
        }
    }

    /// Puts the next events into the queue, if any are due.
    fn fill(&mut self) -> Result<Filled, Error> {
        let Some(mut bank) = self.bank.take() else {
            return Err(Error::new(Kind::Bug, "the simulator was asked for events before it was opened"));
        };
        let filled = match bank.phase {
            Phase::Copy { customer, seq } => self.copy(&mut bank, customer, seq).map(|()| Filled::Some),
            Phase::Stream { next, anchor } => self.stream(&mut bank, next, anchor),
        };
        self.bank = Some(bank);
        filled
    }

    /// Copies some customers' rows; the bank's own come with the first.
    fn copy(&mut self, bank: &mut Bank, customer: i64, mut seq: u64) -> Result<(), Error> {
        let moment = bank.simulation.moment(0);
        let commit_ts_us = self.commit_ts(bank.simulation.calendar().time_us(0));
        let mut rows = if customer == 0 { bank.simulation.bank_rows(&moment) } else { Vec::new() };
        let total = bank.simulation.customers(&moment);
        let end = (customer + COPY_CUSTOMERS).min(total);
        rows.extend((customer..end).flat_map(|c| bank.simulation.rows_of(&moment, c)));
        let stamp = |seq| Stamp { position: Position::new(0, seq), xid: None, commit_ts_us, ingest_ts_us: self.clock.now_us() };
        for row in &rows {
            bank.writers[row.table() as usize].push(Op::Read, row, stamp(seq));
            seq += 1;
        }
        let batches = bank.take()?;
        if let Some(progress) = &mut bank.progress {
            progress.rows_done += rows.len() as u64;
            progress.bytes_done += batches.iter().map(|b| b.byte_size() as u64).sum::<u64>();
            progress.rows_estimate = Some(progress.rows_done * total.unsigned_abs() / end.max(1).unsigned_abs());
        }
        self.queue.extend(batches.into_iter().map(Event::Rows));
        bank.phase = Phase::Copy { customer: end, seq };
        if end == total {
            let last = Position::new(0, seq.saturating_sub(1));
            self.queue.push_back(Event::Boundary(self.cursor(last, commit_ts_us)));
            bank.phase = Phase::Stream { next: 0, anchor: self.anchor(0) };
            bank.progress = None;
        }
        Ok(())
    }

    /// Tells the transactions that are due, all of a tick with one boundary.
    fn stream(&mut self, bank: &mut Bank, next: u64, mut anchor: Anchor) -> Result<Filled, Error> {
        let most = self.config.stop_after.unwrap_or(u64::MAX).saturating_sub(next).min(TICK_TRANSACTIONS_MAX);
        if most == 0 {
            return Ok(Filled::Never);
        }
        let calendar = bank.simulation.calendar();
        let due = |n: u64| anchor.since + calendar.due_after(anchor.from.cast_signed(), n.cast_signed());
        let now = self.clock.monotonic();
        let mut end = next + most;
        if !calendar.is_unpaced() {
            let at = due(next).max(anchor.tick);
            if now < at {
                return Ok(Filled::Later(at - now));
            }
            end = (next..end).find(|n| due(*n) > now).unwrap_or(end);
            if now.saturating_sub(due(end)) > LATE_MAX {
                anchor = self.anchor(end);
            }
            anchor.tick = now + Duration::from_millis(u64::from(self.config.tick_ms));
        }
        let ingest_ts_us = self.clock.now_us();
        let mut last = (Position::ZERO, 0);
        for n in next..end {
            let transaction = bank.simulation.transaction(n);
            let commit_ts_us = self.commit_ts(transaction.at_us);
            for (change, seq) in transaction.changes.iter().zip(0..) {
                let position = Position::new(n + 1, seq);
                let stamp = Stamp { position, xid: Some(transaction.id), commit_ts_us, ingest_ts_us };
                bank.writers[change.row.table() as usize].push(change.op, &change.row, stamp);
                last = (position, commit_ts_us);
            }
        }
        let batches = bank.take()?;
        self.queue.extend(batches.into_iter().map(Event::Rows));
        self.queue.push_back(Event::Boundary(self.cursor(last.0, last.1)));
        bank.phase = Phase::Stream { next: end, anchor };
        Ok(Filled::Some)
    }
}

impl Bank {
    fn take(&mut self) -> Result<Vec<ChangeBatch>, Error> {
        self.writers.iter_mut().filter_map(|writer| writer.take().transpose()).collect()
    }
}

#[async_trait]
impl Source for SimulatorSource {
    async fn open(&mut self, resume: Option<&Cursor>) -> Result<(), Error> {
        self.config.check()?;
        let identity = self.identity();
        if let Some(cursor) = resume
            && cursor.state != identity
        {
            let text =
                "the simulator's seed, customers or starts_on have changed since the last commit, so it is another bank now";
            return Err(Error::new(Kind::PositionLost, text)
                .with_hint("Resync the pipeline to copy the new bank, or put the former settings back."));
        }
        let simulation = Simulation::new(&self.config);
        let writers: Vec<_> = Table::ALL.into_iter().map(TableWriter::new).collect();
        self.queue = writers.iter().map(|writer| Event::Schema(writer.schema().clone())).collect();
        let (phase, progress) = match resume {
            Some(cursor) => {
                let next = cursor.position.pos;
                (Phase::Stream { next, anchor: self.anchor(next) }, None)
            }
            None => {
                self.queue.extend(Table::ALL.into_iter().map(|table| Event::Reset(table.id())));
                let progress = SnapshotProgress { tables_total: Table::ALL.len(), ..SnapshotProgress::default() };
                (Phase::Copy { customer: 0, seq: 0 }, Some(progress))
            }
        };
        self.bank = Some(Bank { simulation, writers, phase, progress });
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            match self.fill()? {
                Filled::Some => {}
                Filled::Later(delay) => self.clock.sleep(delay).await,
                Filled::Never => std::future::pending().await,
            }
        }
    }

    fn ack(&mut self, _cursor: &Cursor) {
        // The past can always be computed again; nothing has to be kept for anyone.
    }

    fn status(&self) -> SourceStatus {
        let head = self.bank.as_ref().map(|bank| match bank.phase {
            Phase::Copy { .. } => "first copy".to_owned(),
            Phase::Stream { next, .. } => format!("transaction {next}"),
        });
        SourceStatus {
            lag_bytes: None,
            unread_bytes: None,
            snapshot: self.bank.as_ref().and_then(|b| b.progress.clone()),
            head,
            warning: None,
        }
    }

    async fn close(&mut self) {
        self.queue.clear();
        self.bank = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use testkit::{ChangeRow, Image, VirtualClock, change_rows};

    type Told = BTreeMap<&'static str, Vec<ChangeRow>>;

    fn config(seed: u64, stop_after: u64) -> SimulatorConfig {
        let commit_time = CommitTime::Simulated;
        SimulatorConfig { seed, customers: 40, commit_time, stop_after: Some(stop_after), ..SimulatorConfig::default() }
    }

    /// Reads until a boundary at or after `until` transactions, and says what was told and where that ended.
    async fn read(source: &mut SimulatorSource, until: u64) -> Result<(Told, Cursor), Error> {
        let mut told = Told::new();
        loop {
            match source.next().await? {
                Event::Rows(batch) => {
                    let table = Table::ALL.into_iter().find(|t| t.id() == batch.schema().id).map_or("?", Table::name);
                    told.entry(table).or_default().extend(change_rows(&batch));
                }
                Event::Boundary(cursor) if cursor.position.pos >= until => return Ok((told, cursor)),
                _ => {}
            }
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts").block_on(work)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_restart_anywhere_tells_exactly_what_no_restart_would_have(seed in any::<u64>(), stop in 500u64..4_000) {
            run(async {
                let clock = VirtualClock::hasty().shared();
                let mut whole = SimulatorSource::new(config(seed, stop), clock.clone());
                whole.open(None).await?;
                let (expected, end) = read(&mut whole, stop).await?;
                let mut first = SimulatorSource::new(config(seed, stop), clock.clone());
                first.open(None).await?;
                let (mut told, cursor) = read(&mut first, stop / 3).await?;
                let mut second = SimulatorSource::new(config(seed, stop), clock);
                second.open(Some(&cursor)).await?;
                let (rest, end_again) = read(&mut second, stop).await?;
                for (table, rows) in rest {
                    told.entry(table).or_default().extend(rows);
                }
                assert_eq!(end, end_again);
                assert_eq!(expected, told);
                Ok::<_, Error>(())
            }).expect("the source goes on");
        }
    }

    #[tokio::test]
    async fn what_is_told_adds_up_to_the_oracles_content() -> Result<(), Error> {
        let config = config(11, 3_000);
        let mut source = SimulatorSource::new(config.clone(), VirtualClock::hasty().shared());
        source.open(None).await?;
        let mut images: BTreeMap<Table, Image> = BTreeMap::new();
        let simulation = Simulation::new(&config);
        loop {
            match source.next().await? {
                Event::Rows(batch) => {
                    let table = Table::ALL.into_iter().find(|t| t.id() == batch.schema().id).expect("a table of the bank");
                    images.entry(table).or_default().apply(&batch);
                }
                Event::Boundary(cursor) => {
                    let n = cursor.position.pos;
                    let world = World::at(&simulation, n);
                    let counts = images.values().map(Image::len).sum::<usize>();
                    assert_eq!(counts, world.rows(), "at {n}");
                    if n == 3_000 {
                        break;
                    }
                }
                _ => {}
            }
        }
        let oracle = oracle_images(&World::at(&simulation, 3_000));
        assert_eq!(images, oracle);
        Ok(())
    }

    fn oracle_images(world: &World) -> BTreeMap<Table, Image> {
        use crate::Row;
        let mut writers: Vec<_> = Table::ALL.into_iter().map(TableWriter::new).collect();
        let stamp = Stamp { position: Position::ZERO, xid: None, commit_ts_us: 0, ingest_ts_us: 0 };
        let customers = world.customers.values().cloned().map(Row::Customer);
        let accounts = world.accounts.values().cloned().map(Row::Account);
        let loans = world.loans.values().cloned().map(Row::Loan);
        let payments = world.payments.values().cloned().map(Row::Payment);
        let ledger = world.ledger.values().cloned().map(Row::Entry);
        for row in customers.chain(accounts).chain(loans).chain(payments).chain(ledger) {
            writers[row.table() as usize].push(Op::Read, &row, stamp);
        }
        let images = Table::ALL.into_iter().zip(&mut writers).map(|(table, writer)| {
            let mut image = Image::default();
            image.apply(&writer.take().expect("encodes").expect("has rows"));
            (table, image)
        });
        images.collect()
    }

    #[tokio::test]
    async fn the_rate_is_kept_by_the_clock_with_a_wave_over_the_day() -> Result<(), Error> {
        let clock = VirtualClock::hasty();
        let config = SimulatorConfig { customers: 1_000, rate: 100.0, ..SimulatorConfig::default() };
        let mut source = SimulatorSource::new(config, clock.shared());
        source.open(None).await?;
        read(&mut source, 0).await?;
        let started = runtime::Clock::monotonic(&clock);
        let passed = || (runtime::Clock::monotonic(&clock) - started).as_secs_f64();
        // A day has 1,800 transactions, so it takes 18 s; its first tenth is night and slow.
        read(&mut source, 180).await?;
        let night = passed();
        assert!((2.5..4.5).contains(&night), "{night}");
        read(&mut source, 1_800).await?;
        assert!((17.5..19.0).contains(&passed()), "{}", passed());
        Ok(())
    }

    #[tokio::test]
    async fn another_bank_is_not_taken_for_the_former_one() -> Result<(), Error> {
        let clock = VirtualClock::hasty().shared();
        let mut source = SimulatorSource::new(config(1, 100), clock.clone());
        source.open(None).await?;
        let (_, cursor) = read(&mut source, 50).await?;
        let refused = SimulatorSource::new(config(2, 100), clock).open(Some(&cursor)).await;
        assert_eq!(refused.map_err(|e| e.kind).err(), Some(Kind::PositionLost));
        Ok(())
    }

    #[tokio::test]
    async fn wrong_settings_are_named() {
        let config = SimulatorConfig { customers: 3, ..SimulatorConfig::default() };
        let error = SimulatorSource::new(config, VirtualClock::new().shared()).open(None).await.expect_err("3 is too few");
        assert_eq!(error.to_string(), "`customers` is 3; it may be 20 to 10000000");
    }
}
