use crate::{
    Image,
    fault::{FaultScript, Step, before},
};
use async_trait::async_trait;
use model::{ChangeBatch, Cursor, Op, Position, TableId, TableSchema};
use parking_lot::Mutex;
use pipeline::{BoundaryInfo, CommitTicket, DeadLetter, Durable, Error, Kind, Sink};
use runtime::SharedClock;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What happened to the lake, in order.
#[derive(Debug, Clone)]
enum Entry {
    Schema(Arc<TableSchema>),
    Reset(TableId),
    Rows(ChangeBatch),
    Dead(Vec<DeadLetter>),
}

/// The memory behind [`MemorySink`]s: it outlives them, as a disk outlives processes. Clones are one lake.
///
/// Durable and accepted are apart: [`Self::crash`] (or opening a new sink) forgets everything that no ticket has made durable.
#[derive(Debug, Clone, Default)]
pub struct MemoryLake {
    state: Arc<Mutex<State>>,
    faults: FaultScript,
    clock: Option<SharedClock>,
    commits: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    durable: Vec<Entry>,
    cursors: Vec<Cursor>,
    /// Sealed by `commit`, its ticket under way.
    sealed: Option<Vec<Entry>>,
    /// Accepted up to the last boundary, and after it.
    whole: Vec<Entry>,
    open: Vec<Entry>,
    boundary: Option<Cursor>,
    violations: Vec<String>,
}

impl MemoryLake {
    /// An empty lake without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty lake with faults; [`crate::Fault::Slow`] takes its time from `clock`.
    pub fn with_faults(faults: FaultScript, clock: SharedClock) -> Self {
        Self { faults, clock: Some(clock), ..Self::default() }
    }

    /// The faults of this lake.
    pub fn faults(&self) -> &FaultScript {
        &self.faults
    }

    /// A sink into this lake.
    pub fn sink(&self) -> MemorySink {
        MemorySink {
            lake: self.clone(),
            epoch: None,
            after_boundary: false,
            failed: false,
            group: BoundaryInfo::default(),
            last: BTreeMap::new(),
        }
    }

    /// The process dies: what was only accepted is gone, and tickets under way never become durable.
    pub fn crash(&self) {
        self.state.lock().restart();
    }

    /// The cursor of the last durable commit.
    pub fn cursor(&self) -> Option<Cursor> {
        self.state.lock().cursors.last().cloned()
    }

    /// All cursors that became durable, in order.
    pub fn cursors(&self) -> Vec<Cursor> {
        self.state.lock().cursors.clone()
    }

    /// Whether a commit with exactly this cursor has become durable.
    pub fn is_durable(&self, cursor: &Cursor) -> bool {
        self.state.lock().cursors.contains(cursor)
    }

    /// Current rows of a table, durable ones only.
    pub fn silver(&self, table: &TableId) -> Image {
        image_of(self.state.lock().durable.iter(), table)
    }

    /// Current rows of a table as queries see them: durable, under commit, and accepted up to the last boundary.
    pub fn visible(&self, table: &TableId) -> Image {
        let state = self.state.lock();
        let sealed = state.sealed.iter().flatten();
        image_of(state.durable.iter().chain(sealed).chain(&state.whole), table)
    }

    /// Every durable change of a table, in order.
    pub fn bronze(&self, table: &TableId) -> Vec<ChangeBatch> {
        let state = self.state.lock();
        let rows = state.durable.iter().filter_map(|entry| match entry {
            Entry::Rows(batch) if batch.schema().id == *table => Some(batch.clone()),
            _ => None,
        });
        rows.collect()
    }

    /// Every durable dead letter.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let state = self.state.lock();
        let letters = state.durable.iter().filter_map(|entry| match entry {
            Entry::Dead(letters) => Some(letters.clone()),
            _ => None,
        });
        letters.flatten().collect()
    }

    /// Durable shapes of a table, in order.
    pub fn schemas(&self, table: &TableId) -> Vec<Arc<TableSchema>> {
        let state = self.state.lock();
        let schemas = state.durable.iter().filter_map(|entry| match entry {
            Entry::Schema(schema) if schema.id == *table => Some(Arc::clone(schema)),
            _ => None,
        });
        schemas.collect()
    }

    /// Broken contracts so far, each in one sentence. A test ends by asserting that there are none.
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }

    /// Waits until `n` commits in total are durable.
    pub async fn until_commits(&self, n: usize) {
        // The sender lives in self, so waiting can't fail.
        let _ = self.commits.subscribe().wait_for(|done| *done >= n).await;
    }

    pub(crate) fn violation(&self, text: impl Into<String>) -> Error {
        let text = text.into();
        self.state.lock().violations.push(text.clone());
        Error::new(Kind::Bug, text)
    }

    /// Makes the sealed group durable, if the world is still the one it was sealed in.
    fn settle(&self, epoch: u64, cursor: Cursor, info: BoundaryInfo) -> Result<Durable, Error> {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return Err(Error::new(Kind::Conflict, "another writer has opened the lake since this commit began"));
        }
        let Some(group) = state.sealed.take() else {
            return Err(Error::new(Kind::Bug, "a ticket has nothing sealed to make durable"));
        };
        let tables = group.iter().filter_map(|e| match e {
            Entry::Rows(batch) => Some(batch.schema().id.clone()),
            _ => None,
        });
        let tables = tables.collect::<std::collections::BTreeSet<_>>().len();
        state.durable.extend(group);
        state.cursors.push(cursor.clone());
        let commits = state.cursors.len();
        drop(state);
        self.commits.send_replace(commits);
        Ok(Durable { cursor, rows: info.rows, bytes: info.bytes, tables })
    }
}

impl State {
    fn restart(&mut self) {
        self.epoch += 1;
        self.sealed = None;
        self.whole.clear();
        self.open.clear();
        self.boundary = None;
    }
}

fn image_of<'a>(entries: impl Iterator<Item = &'a Entry>, table: &TableId) -> Image {
    let mut image = Image::default();
    for entry in entries {
        match entry {
            Entry::Reset(id) if id == table => image.clear(),
            Entry::Rows(batch) if batch.schema().id == *table => image.apply(batch),
            _ => {}
        }
    }
    image
}

/// A [`Sink`] into a [`MemoryLake`] that checks how it is driven.
///
/// Violations are recorded in the lake and returned as [`Kind::Bug`]: a call before `open` or after an error, rows of an unannounced
/// shape, rows at or before the durable cursor or out of order, a boundary that goes back or cuts off accepted rows, a commit that does
/// not follow a boundary or meets one under way.
#[derive(Debug)]
pub struct MemorySink {
    lake: MemoryLake,
    epoch: Option<u64>,
    after_boundary: bool,
    failed: bool,
    group: BoundaryInfo,
    last: BTreeMap<TableId, (u32, Position)>,
}

impl MemorySink {
    async fn step<T>(&mut self, step: Step, deed: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.admit(step)?;
        let fault = self.lake.faults.strike(step);
        let clock = self.lake.clock.clone();
        let after = before(step, fault, clock.as_ref()).await.inspect_err(|_| self.failed = true)?;
        self.after_boundary = step == Step::Boundary;
        let done = deed(self).inspect_err(|_| self.failed = true)?;
        match after {
            None => Ok(done),
            Some(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    fn admit(&self, step: Step) -> Result<(), Error> {
        if self.failed {
            return Err(self.lake.violation(format!("{step:?} was called on a sink that had failed")));
        }
        match self.epoch {
            None if step != Step::SinkOpen => Err(self.lake.violation(format!("{step:?} was called before open"))),
            Some(_) if step == Step::SinkOpen => Err(self.lake.violation("open was called twice")),
            Some(epoch) if epoch != self.lake.state.lock().epoch => {
                Err(Error::new(Kind::Conflict, "another writer has opened the lake since this sink did"))
            }
            _ => Ok(()),
        }
    }

    fn check_rows(&mut self, batch: &ChangeBatch) -> Result<(), Error> {
        let table = &batch.schema().id;
        let Some((version, last)) = self.last.get(table).copied() else {
            return Err(self.lake.violation(format!("rows of {table} arrived before its schema")));
        };
        if version != batch.schema().version {
            let text = format!("rows of {table} have schema version {}, announced was {version}", batch.schema().version);
            return Err(self.lake.violation(text));
        }
        let durable = self.lake.cursor().map(|c| c.position);
        let mut previous = last;
        for row in 0..batch.num_rows() {
            let at = batch.position(row);
            // Rows of a copy may share a position and may be older than the stream.
            if batch.op(row) == Op::Read {
                continue;
            }
            if durable.is_some_and(|d| at <= d) {
                return Err(self.lake.violation(format!("a change of {table} at {at} is not after the durable cursor")));
            }
            if at <= previous {
                return Err(self.lake.violation(format!("a change of {table} at {at} follows one at {previous}")));
            }
            previous = at;
        }
        self.last.insert(table.clone(), (version, previous));
        Ok(())
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn open(&mut self) -> Result<Option<Cursor>, Error> {
        self.step(Step::SinkOpen, |sink| {
            let mut state = sink.lake.state.lock();
            state.restart();
            sink.epoch = Some(state.epoch);
            Ok(state.cursors.last().cloned())
        })
        .await
    }

    async fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<(), Error> {
        self.step(Step::Schema, |sink| {
            let last = sink.last.get(&schema.id).map_or(Position::ZERO, |(_, p)| *p);
            sink.last.insert(schema.id.clone(), (schema.version, last));
            sink.lake.state.lock().open.push(Entry::Schema(Arc::clone(schema)));
            Ok(())
        })
        .await
    }

    async fn reset(&mut self, table: &TableId) -> Result<(), Error> {
        self.step(Step::Reset, |sink| {
            sink.lake.state.lock().open.push(Entry::Reset(table.clone()));
            Ok(())
        })
        .await
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<(), Error> {
        self.step(Step::Write, |sink| {
            sink.check_rows(&batch)?;
            sink.group.rows += batch.num_rows() as u64;
            sink.group.bytes += batch.byte_size() as u64;
            sink.lake.state.lock().open.push(Entry::Rows(batch));
            Ok(())
        })
        .await
    }

    async fn dead(&mut self, letters: Vec<DeadLetter>) -> Result<(), Error> {
        self.step(Step::Dead, |sink| {
            sink.lake.state.lock().open.push(Entry::Dead(letters));
            Ok(())
        })
        .await
    }

    async fn boundary(&mut self, cursor: &Cursor) -> Result<BoundaryInfo, Error> {
        self.step(Step::Boundary, |sink| {
            let mut state = sink.lake.state.lock();
            let before = state.boundary.as_ref().or(state.cursors.last()).map(|c| c.position);
            let newest = state.open.iter().filter_map(|e| match e {
                Entry::Rows(batch) if batch.num_rows() > 0 => Some(batch.position(batch.num_rows() - 1)),
                _ => None,
            });
            let newest = newest.max();
            let at = cursor.position;
            let wrong = if before.is_some_and(|b| at < b) {
                Some(format!("the boundary at {at} goes back behind {}", before.unwrap_or_default()))
            } else {
                newest.filter(|n| *n > at).map(|n| format!("the boundary at {at} does not include an accepted change at {n}"))
            };
            if let Some(text) = wrong {
                drop(state);
                return Err(sink.lake.violation(text));
            }
            let open = std::mem::take(&mut state.open);
            state.whole.extend(open);
            state.boundary = Some(cursor.clone());
            Ok(sink.group)
        })
        .await
    }

    fn commit(&mut self) -> Result<CommitTicket, Error> {
        self.admit(Step::Commit)?;
        if !std::mem::take(&mut self.after_boundary) {
            self.failed = true;
            return Err(self.lake.violation("commit was called without a boundary directly before it"));
        }
        if let Some(crate::Fault::Refuse(kind) | crate::Fault::DoThenFail(kind)) = self.lake.faults.strike(Step::Commit) {
            self.failed = true;
            return Err(crate::fault::scripted(Step::Commit, kind));
        }
        let mut state = self.lake.state.lock();
        if state.sealed.is_some() {
            drop(state);
            self.failed = true;
            return Err(self.lake.violation("commit was called while another was under way"));
        }
        let Some(cursor) = state.boundary.clone() else {
            return Err(Error::new(Kind::Bug, "a boundary left no cursor"));
        };
        let whole = std::mem::take(&mut state.whole);
        state.sealed = Some(whole);
        let epoch = state.epoch;
        drop(state);
        let info = std::mem::take(&mut self.group);
        let lake = self.lake.clone();
        Ok(Box::pin(async move {
            let fault = lake.faults.strike(Step::Durable);
            let after = before(Step::Durable, fault, lake.clock.as_ref()).await?;
            let durable = lake.settle(epoch, cursor, info)?;
            after.map_or(Ok(durable), Err)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, VirtualClock, cursor_at, kv_batch, kv_schema};

    async fn filled(lake: &MemoryLake) -> Result<MemorySink, Error> {
        let mut sink = lake.sink();
        let schema = kv_schema("t");
        sink.open().await?;
        sink.schema(&schema).await?;
        sink.write(kv_batch(&schema, &[(Op::Create, 1, 0, 7, Some("a")), (Op::Update, 2, 0, 7, Some("b"))])).await?;
        sink.boundary(&cursor_at(2, 0)).await?;
        Ok(sink)
    }

    #[tokio::test]
    async fn accepted_rows_are_visible_and_lost_in_a_crash_while_durable_ones_stay() -> Result<(), Error> {
        let lake = MemoryLake::new();
        let table = kv_schema("t").id.clone();
        drop(filled(&lake).await?);
        assert_eq!((lake.visible(&table).len(), lake.silver(&table).len()), (1, 0));
        lake.crash();
        assert!(lake.visible(&table).is_empty());
        filled(&lake).await?.commit()?.await?;
        lake.crash();
        assert_eq!(lake.silver(&table).rows.values().next(), Some(&vec![Some("7".into()), Some("b".into())]));
        assert_eq!(lake.cursor(), Some(cursor_at(2, 0)));
        assert!(lake.violations().is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_commit_without_a_boundary_is_a_violation() -> Result<(), Error> {
        let lake = MemoryLake::new();
        let mut sink = filled(&lake).await?;
        sink.dead(Vec::new()).await?;
        assert!(sink.commit().is_err());
        assert_eq!(lake.violations().len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_replayed_change_is_a_violation() -> Result<(), Error> {
        let lake = MemoryLake::new();
        filled(&lake).await?.commit()?.await?;
        assert!(filled(&lake).await.is_err());
        assert_eq!(lake.violations().len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn do_then_fail_is_durable_and_still_an_error() -> Result<(), Error> {
        let faults = FaultScript::new().on(Step::Durable, 1, Fault::DoThenFail(Kind::Storage));
        let lake = MemoryLake::with_faults(faults, VirtualClock::new().shared());
        let failed = filled(&lake).await?.commit()?.await;
        assert_eq!(failed.map_err(|e| e.kind).err(), Some(Kind::Storage));
        assert!(lake.is_durable(&cursor_at(2, 0)));
        Ok(())
    }
}
