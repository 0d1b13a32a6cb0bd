use crate::{
    MemoryLake,
    fault::{Fault, FaultScript, Gate, Step, before, scripted},
};
use async_trait::async_trait;
use model::{ChangeBatch, Cursor, TableId, TableSchema};
use parking_lot::Mutex;
use pipeline::{Error, Event, Kind, Source};
use runtime::SharedClock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// One line of a source's script.
#[derive(Debug, Clone)]
pub enum Item {
    /// Becomes [`Event::Schema`]. Told again after a reopen that starts behind it.
    Schema(Arc<TableSchema>),
    /// Becomes [`Event::Reset`].
    Reset(TableId),
    /// Becomes [`Event::Rows`].
    Rows(ChangeBatch),
    /// Becomes [`Event::Boundary`]; a place to resume from.
    Boundary(Cursor),
    /// Becomes [`Event::TableFailed`].
    TableFailed(TableId, String),
    /// `next` fails here, the first time only.
    Fail(Kind),
    /// `next` waits here until the gate opens.
    Hold(Gate),
    /// `next` waits here for this time, the first time only.
    Wait(Duration),
}

/// The outside system behind [`ScriptedSource`]s; it outlives them. Clones are one system.
///
/// It forgets what was acknowledged, as a slot does: opening from before that is [`Kind::PositionLost`].
#[derive(Debug, Clone, Default)]
pub struct Upstream {
    state: Arc<Mutex<State>>,
    more: Arc<Notify>,
    faults: FaultScript,
    clock: Option<SharedClock>,
    lake: Option<MemoryLake>,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<Item>,
    fired: BTreeSet<usize>,
    acks: Vec<Cursor>,
    opened: Vec<Option<Cursor>>,
    closed: usize,
    furthest: usize,
}

impl Upstream {
    /// A system that tells `items` in order, then nothing more until [`Self::push`].
    pub fn new(items: Vec<Item>) -> Self {
        let state = State { items, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), ..Self::default() }
    }

    /// Adds faults at `SourceOpen` and `Next`; waits take their time from `clock`.
    #[must_use]
    pub fn with_faults(mut self, faults: FaultScript, clock: SharedClock) -> Self {
        self.faults = faults;
        self.clock = Some(clock);
        self
    }

    /// Checks each acknowledgement against `lake`: one that is not durable there becomes a violation of that lake.
    #[must_use]
    pub fn watching(mut self, lake: &MemoryLake) -> Self {
        self.lake = Some(lake.clone());
        self
    }

    /// A source that reads this system.
    pub fn source(&self) -> ScriptedSource {
        ScriptedSource { upstream: self.clone(), queue: None, at: 0 }
    }

    /// Adds to the script's end and wakes whoever waits there.
    pub fn push(&self, items: impl IntoIterator<Item = Item>) {
        self.state.lock().items.extend(items);
        self.more.notify_waiters();
    }

    /// All cursors that were acknowledged, in order.
    pub fn acks(&self) -> Vec<Cursor> {
        self.state.lock().acks.clone()
    }

    /// The cursor of each `open`, in order.
    pub fn opened(&self) -> Vec<Option<Cursor>> {
        self.state.lock().opened.clone()
    }

    /// How often a source was closed.
    pub fn closed(&self) -> usize {
        self.state.lock().closed
    }

    /// Waits until some source has told every item there is.
    pub async fn until_told(&self) {
        self.until(|state| state.furthest >= state.items.len()).await;
    }

    /// Waits until `cursor` was acknowledged.
    pub async fn until_acked(&self, cursor: &Cursor) {
        self.until(|state| state.acks.contains(cursor)).await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if done(&self.state.lock()) {
                return;
            }
            more.await;
        }
    }
}

/// A [`Source`] that plays the script of an [`Upstream`].
#[derive(Debug)]
pub struct ScriptedSource {
    upstream: Upstream,
    /// Shapes to tell again after a reopen; `None` before `open`.
    queue: Option<Vec<Arc<TableSchema>>>,
    at: usize,
}

impl ScriptedSource {
    /// Where to start for a cursor: the item after its boundary, and the shapes that were told before.
    fn seek(state: &State, resume: Option<&Cursor>) -> Result<(usize, Vec<Arc<TableSchema>>), Error> {
        let acked = state.acks.iter().map(|c| c.position).max();
        let Some(cursor) = resume else {
            return match acked {
                Some(_) => Err(Error::new(Kind::PositionLost, "the beginning was acknowledged and is forgotten")),
                None => Ok((0, Vec::new())),
            };
        };
        if acked.is_some_and(|acked| cursor.position < acked) {
            return Err(Error::new(Kind::PositionLost, format!("{} is before the acknowledged position", cursor.display)));
        }
        let found = state.items.iter().position(|i| matches!(i, Item::Boundary(c) if c.position == cursor.position));
        let Some(boundary) = found else {
            return Err(Error::new(Kind::PositionLost, format!("the script has no boundary at {}", cursor.position)));
        };
        let mut shapes = BTreeMap::new();
        for item in &state.items[..=boundary] {
            if let Item::Schema(schema) = item {
                shapes.insert(schema.id.clone(), Arc::clone(schema));
            }
        }
        Ok((boundary + 1, shapes.into_values().rev().collect()))
    }

    /// Whether the item at `self.at` strikes now; items that strike once are skipped the next time.
    fn fires(&self) -> bool {
        self.upstream.state.lock().fired.insert(self.at)
    }

    fn step(&mut self) {
        self.at += 1;
        let mut state = self.upstream.state.lock();
        state.furthest = state.furthest.max(self.at);
        drop(state);
        self.upstream.more.notify_waiters();
    }

    /// Tells the item at `self.at`, or `None` where it is only a wait that is over.
    async fn tell(&mut self, item: Item) -> Result<Option<Event>, Error> {
        let event = match item {
            Item::Schema(schema) => Some(Event::Schema(schema)),
            Item::Reset(table) => Some(Event::Reset(table)),
            Item::Rows(batch) => Some(Event::Rows(batch)),
            Item::Boundary(cursor) => Some(Event::Boundary(cursor)),
            Item::TableFailed(table, text) => Some(Event::TableFailed { table, error: Error::new(Kind::Table, text) }),
            Item::Fail(kind) if self.fires() => return Err(scripted(Step::Next, kind)),
            Item::Hold(gate) => {
                gate.pass().await;
                None
            }
            Item::Wait(delay) if !self.upstream.state.lock().fired.contains(&self.at) => {
                before(Step::Next, Some(Fault::Slow(delay)), self.upstream.clock.as_ref()).await?;
                self.fires();
                None
            }
            Item::Fail(_) | Item::Wait(_) => None,
        };
        self.step();
        Ok(event)
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn open(&mut self, resume: Option<&Cursor>) -> Result<(), Error> {
        let fault = self.upstream.faults.strike(Step::SourceOpen);
        let after = before(Step::SourceOpen, fault, self.upstream.clock.as_ref()).await?;
        let mut state = self.upstream.state.lock();
        state.opened.push(resume.cloned());
        let (at, queue) = Self::seek(&state, resume)?;
        self.at = at;
        self.queue = Some(queue);
        after.map_or(Ok(()), Err)
    }

    async fn next(&mut self) -> Result<Event, Error> {
        let Some(queue) = &mut self.queue else {
            return Err(Error::new(Kind::Bug, "next was called before open"));
        };
        if let Some(schema) = queue.pop() {
            return Ok(Event::Schema(schema));
        }
        let fault = self.upstream.faults.strike(Step::Next);
        if let Some(error) = before(Step::Next, fault, self.upstream.clock.as_ref()).await? {
            return Err(error);
        }
        loop {
            let at = self.at;
            self.upstream.until(|state| state.items.len() > at).await;
            let item = self.upstream.state.lock().items.get(at).cloned();
            if let Some(item) = item
                && let Some(event) = self.tell(item).await?
            {
                return Ok(event);
            }
        }
    }

    fn ack(&mut self, cursor: &Cursor) {
        if let Some(lake) = &self.upstream.lake
            && !lake.is_durable(cursor)
        {
            lake.violation(format!("{} was acknowledged to the source before it was durable", cursor.display));
        }
        self.upstream.state.lock().acks.push(cursor.clone());
        self.upstream.more.notify_waiters();
    }

    async fn close(&mut self) {
        self.upstream.state.lock().closed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cursor_at, kv_batch, kv_schema};
    use futures::FutureExt;
    use model::Op;

    fn script() -> Vec<Item> {
        let schema = kv_schema("t");
        vec![
            Item::Schema(Arc::clone(&schema)),
            Item::Rows(kv_batch(&schema, &[(Op::Create, 1, 0, 1, None)])),
            Item::Boundary(cursor_at(1, 0)),
            Item::Fail(Kind::Unreachable),
            Item::Rows(kv_batch(&schema, &[(Op::Create, 2, 0, 2, None)])),
            Item::Boundary(cursor_at(2, 0)),
        ]
    }

    #[tokio::test]
    async fn a_reopened_source_tells_the_shape_again_and_goes_on_after_the_cursor() -> Result<(), Error> {
        let upstream = Upstream::new(script());
        let mut source = upstream.source();
        source.open(None).await?;
        for _ in 0..3 {
            source.next().await?;
        }
        assert_eq!(source.next().await.map_err(|e| e.kind).err(), Some(Kind::Unreachable));
        let mut source = upstream.source();
        source.open(Some(&cursor_at(1, 0))).await?;
        assert!(matches!(source.next().await?, Event::Schema(_)));
        assert!(matches!(source.next().await?, Event::Rows(batch) if batch.position(0).pos == 2));
        assert!(matches!(source.next().await?, Event::Boundary(_)));
        assert!(source.next().now_or_never().is_none());
        Ok(())
    }

    #[tokio::test]
    async fn an_early_acknowledgement_is_a_violation_and_what_was_acknowledged_is_forgotten() -> Result<(), Error> {
        let lake = MemoryLake::new();
        let upstream = Upstream::new(script()).watching(&lake);
        let mut source = upstream.source();
        source.open(None).await?;
        source.ack(&cursor_at(2, 0));
        assert_eq!(lake.violations().len(), 1);
        let lost = upstream.source().open(Some(&cursor_at(1, 0))).await;
        assert_eq!(lost.map_err(|e| e.kind).err(), Some(Kind::PositionLost));
        Ok(())
    }
}
