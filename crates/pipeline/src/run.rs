use crate::{Durable, Error, Event, Kind, Monitor, Sink, Source, Stage};
use model::Cursor;
use runtime::{CancellationToken, SharedClock, Tasks};
use std::time::Duration;
use tokio::sync::oneshot;

/// When a commit group closes. Whichever bound is met first; always on a source transaction boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The longest time between a change and its commit, as long as transactions end in time.
    pub commit_every: Duration,
    /// Changes in a group.
    pub commit_rows_max: u64,
    /// Bytes of a group in memory.
    pub commit_bytes_max: u64,
    /// How often a cursor that moved without any change is stored, so that an idle table holds no WAL at the source.
    pub idle_commit_every: Duration,
    /// How long after a boundary without further events the sink is asked to publish what queries may see.
    pub publish_after: Duration,
    /// How long a drain waits for the end of an open transaction. What is not finished then is read again by the next run.
    pub drain_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            commit_every: Duration::from_secs(5),
            commit_rows_max: 500_000,
            commit_bytes_max: 256 << 20,
            idle_commit_every: Duration::from_secs(10),
            publish_after: Duration::from_millis(20),
            drain_patience: Duration::from_secs(5),
        }
    }
}

/// What one run of a pipeline is made of. A run ends with its first error; the next one gets new parts.
pub struct Parts {
    /// Where changes come from.
    pub source: Box<dyn Source>,
    /// What happens to them on the way.
    pub stage: Stage,
    /// Where they go.
    pub sink: Box<dyn Sink>,
}

/// How a run ended without error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to stop, committed what it had up to the last boundary, and acknowledged it.
    Drained,
}

/// Runs a pipeline from the sink's durable cursor until `stop` or the first error.
///
/// The order that nothing may change: write, settle, acknowledge. `Source::ack` is called only with the cursor of a resolved commit ticket.
///
/// # Errors
/// The first error of any part. Nothing accepted after the last durable commit is acknowledged, so the next run reads it again.
pub async fn run(
    parts: Parts,
    settings: Settings,
    attempt: u32,
    clock: SharedClock,
    monitor: &Monitor,
    stop: &CancellationToken,
) -> Result<End, Error> {
    let mut run = Run {
        source: parts.source,
        stage: parts.stage,
        sink: parts.sink,
        settings,
        clock,
        monitor,
        boundary: None,
        group: Group::default(),
        commit: None,
        tasks: Tasks::default(),
    };
    let result = run.go(attempt, stop).await;
    run.source.close().await;
    run.tasks.shutdown(Duration::from_secs(30)).await;
    result
}

/// What was accepted since the last commit began.
#[derive(Debug, Default)]
struct Group {
    rows: u64,
    bytes: u64,
    since: Option<Duration>,
    /// Rows came after the last boundary, so no commit may begin.
    open_transaction: bool,
    cursor_moved: bool,
    /// The sink may hold something that queries do not see yet.
    unpublished: bool,
}

struct Committing {
    done: oneshot::Receiver<Result<Durable, Error>>,
    began: Duration,
}

struct Run<'a> {
    source: Box<dyn Source>,
    stage: Stage,
    sink: Box<dyn Sink>,
    settings: Settings,
    clock: SharedClock,
    monitor: &'a Monitor,
    boundary: Option<Cursor>,
    group: Group,
    commit: Option<Committing>,
    tasks: Tasks,
}

impl Run<'_> {
    async fn go(&mut self, attempt: u32, stop: &CancellationToken) -> Result<End, Error> {
        let resume = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(End::Drained),
            opened = self.sink.open() => opened?,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(End::Drained),
            opened = self.source.open(resume.as_ref()) => opened?,
        }
        if let Some(durable) = &resume {
            // The last run may have died between its commit and this word.
            self.source.ack(durable);
        }
        self.monitor.started(resume.as_ref(), attempt);
        let mut observe_at = self.clock.monotonic();
        loop {
            let now = self.clock.monotonic();
            if now >= observe_at {
                self.monitor.source(self.source.status());
                observe_at = now + Duration::from_secs(1);
                if !self.group.open_transaction {
                    self.sink.tend().await?;
                }
            }
            if self.commit_is_due(now) {
                self.begin_commit()?;
            }
            let wake = self.next_wake(now, observe_at);
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.drain().await,
                settled = settled(&mut self.commit) => self.settle(settled)?,
                event = self.source.next() => self.take(event?).await?,
                () = self.clock.sleep(wake) => self.publish_if_idle().await?,
            }
        }
    }

    /// How long nothing needs doing unless an event comes.
    fn next_wake(&self, now: Duration, observe_at: Duration) -> Duration {
        let mut wake = observe_at.saturating_sub(now);
        if self.group.unpublished && !self.group.open_transaction {
            wake = wake.min(self.settings.publish_after);
        }
        if self.commit.is_none()
            && let Some(since) = self.group.since
        {
            wake = wake.min((since + self.settings.commit_every).saturating_sub(now));
        }
        wake.max(Duration::from_millis(1))
    }

    async fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Schema(schema) => {
                let id = schema.id.clone();
                let shaped = self.stage.schema(schema).await.map_err(|e| e.about(&id))?;
                self.monitor.table(&shaped);
                self.sink.schema(&shaped).await.map_err(|e| e.about(&id))?;
            }
            Event::Reset(table) => {
                self.sink.reset(&table).await?;
                self.touch();
            }
            Event::Rows(batch) => {
                self.touch();
                let rows = batch.num_rows() as u64;
                let bytes = batch.byte_size() as u64;
                let id = batch.schema().id.clone();
                self.monitor.accepted(&id, rows, bytes);
                let staged = self.stage.apply(batch).await?;
                if !staged.dead.is_empty() {
                    self.monitor.dead(staged.dead.len() as u64);
                    self.sink.dead(staged.dead).await?;
                }
                for batch in staged.batches {
                    self.sink.write(batch).await.map_err(|e| e.about(&id))?;
                }
            }
            Event::Boundary(cursor) => {
                let info = self.sink.boundary(&cursor).await?;
                self.monitor.boundary(&cursor, info);
                self.group.cursor_moved |= self.boundary.as_ref() != Some(&cursor);
                self.boundary = Some(cursor);
                self.group.rows = info.rows;
                self.group.bytes = info.bytes;
                self.group.open_transaction = false;
                self.group.unpublished = info.unpublished;
                if self.group.cursor_moved && self.group.since.is_none() {
                    self.group.since = Some(self.clock.monotonic());
                }
            }
            Event::TableFailed { table, error } => {
                tracing::error!(table = %table, code = error.kind.code(), "a table was set aside: {error}");
                self.monitor.table_failed(&table, &error);
            }
        }
        Ok(())
    }

    /// Something was accepted that the last boundary does not cover.
    fn touch(&mut self) {
        self.group.open_transaction = true;
        if self.group.since.is_none() {
            self.group.since = Some(self.clock.monotonic());
        }
    }

    async fn publish_if_idle(&mut self) -> Result<(), Error> {
        if !self.group.unpublished || self.group.open_transaction {
            return Ok(());
        }
        self.group.unpublished = match &self.boundary {
            Some(cursor) => self.sink.boundary(cursor).await?.unpublished,
            None => false,
        };
        Ok(())
    }

    fn commit_is_due(&self, now: Duration) -> bool {
        let group = &self.group;
        if self.commit.is_some() || group.open_transaction || self.boundary.is_none() {
            return false;
        }
        let Some(since) = group.since else { return false };
        let age = now.saturating_sub(since);
        if group.rows == 0 {
            return group.cursor_moved && age >= self.settings.idle_commit_every.max(self.settings.commit_every);
        }
        let full = group.rows >= self.settings.commit_rows_max || group.bytes >= self.settings.commit_bytes_max;
        full || age >= self.settings.commit_every
    }

    fn begin_commit(&mut self) -> Result<(), Error> {
        let ticket = self.sink.commit()?;
        let (tell, done) = oneshot::channel();
        // On a task of its own: the sink may wait for memory that only this commit gives back.
        self.tasks.spawn("commit", async move {
            let _ = tell.send(ticket.await);
        });
        self.commit = Some(Committing { done, began: self.clock.monotonic() });
        self.group = Group { unpublished: self.group.unpublished, ..Group::default() };
        Ok(())
    }

    fn settle(&mut self, result: Result<(Durable, Duration), Error>) -> Result<(), Error> {
        let (durable, began) = result?;
        let took = self.clock.monotonic().saturating_sub(began);
        self.source.ack(&durable.cursor);
        self.monitor.committed(&durable, took.as_secs_f64() * 1000.0);
        self.group.unpublished = true;
        Ok(())
    }

    /// Reads on to the end of the transaction that is open, if that comes soon, commits everything up to there, acknowledges it, and ends.
    async fn drain(&mut self) -> Result<End, Error> {
        let patience = self.clock.sleep(self.settings.drain_patience);
        tokio::pin!(patience);
        while self.group.open_transaction {
            tokio::select! {
                biased;
                event = self.source.next() => self.take(event?).await?,
                () = &mut patience => break,
            }
        }
        if self.commit.is_some() {
            let result = settled(&mut self.commit).await;
            self.settle(result)?;
        }
        let committable = !self.group.open_transaction && (self.group.rows > 0 || self.group.cursor_moved);
        if committable && self.boundary.is_some() {
            self.begin_commit()?;
            let result = settled(&mut self.commit).await;
            self.settle(result)?;
        }
        Ok(End::Drained)
    }
}

/// Resolves when the commit under way has ended; never while there is none.
async fn settled(commit: &mut Option<Committing>) -> Result<(Durable, Duration), Error> {
    let Some(under_way) = commit else { return std::future::pending().await };
    let result = (&mut under_way.done).await;
    let began = under_way.began;
    *commit = None;
    match result {
        Ok(result) => result.map(|durable| (durable, began)),
        Err(_) => Err(Error::new(Kind::Bug, "The commit ended without an answer; the log names the task that failed.")),
    }
}
