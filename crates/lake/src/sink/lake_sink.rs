use super::{
    applier::Applier,
    commit::{Group, GroupFile, GroupTable},
    context::{Background, CommitGuard, CommitState, Context},
    counters::SinkCounters,
    dead,
    encoder::Encoder,
    ledger::{Ledger, TableLedger},
    opening::{self, names},
    relocate::Relocated,
    settings::SinkSettings,
    shape::{KeyRule, Shape},
};
use crate::Lake;
use arrow::array::Array;
use async_trait::async_trait;
use model::{ChangeBatch, Cursor, Key, LakeTable, Op, TableId, TableSchema};
use parking_lot::Mutex;
use pipeline::{BoundaryInfo, CommitTicket, DeadLetter, Error, Kind, Sink};
use runtime::{Share, SharedClock};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

/// The lake as the sink of one source.
///
/// After an error it is to be dropped; a new one starts from what is durable. Rows that were visible and not committed leave the view then,
/// until they are read again.
pub struct LakeSink {
    lake: Lake,
    source: String,
    settings: SinkSettings,
    clock: SharedClock,
    counters: SinkCounters,
    open: Option<Open>,
}

/// A sink at work.
struct Open {
    cx: Context,
    appliers: BTreeMap<TableId, Applier>,
    /// Tables to be cleared once their shape is known.
    resets: BTreeSet<TableId>,
    /// Accepted since the last commit began.
    group: BoundaryInfo,
}

impl Lake {
    /// A sink for the changes of `source`. A source has one at a time.
    pub fn sink(&self, source: &str, settings: SinkSettings) -> LakeSink {
        let (source, counters) = (source.to_owned(), SinkCounters::default());
        LakeSink { lake: self.clone(), source, settings, clock: Arc::clone(self.clock()), counters, open: None }
    }
}

impl LakeSink {
    /// Counters of its tables; the handle outlives the sink.
    pub fn counters(&self) -> SinkCounters {
        self.counters.clone()
    }

    /// Shows the last boundary now, however short ago the last view was.
    ///
    /// # Errors
    /// A broken invariant of ours.
    pub fn publish_now(&mut self) -> Result<(), Error> {
        let open = self.open()?;
        let mut ledger = open.cx.ledger.lock();
        Ok(open.cx.publish(&mut ledger)?)
    }

    fn open(&mut self) -> Result<&mut Open, Error> {
        self.open
            .as_mut()
            .ok_or_else(|| Error::new(Kind::Bug, format!("the sink of {} was used before it was opened", self.source)))
    }

    /// Brings the memory of the source's tables in line with the catalog and shows what is durable.
    async fn start_from_durable(&self, cx: &Context) -> Result<Option<Cursor>, crate::Error> {
        let records = cx.tables.catalog().tables().await?;
        let ours: Vec<LakeTable> =
            records.into_iter().filter(|r| r.writer.as_deref() == Some(&*self.source)).map(|r| r.table).collect();
        cx.tables.refresh(&ours).await?;
        let Some((cursor, version)) = cx.stored_cursor().await? else { return Ok(None) };
        let views = ours.iter().filter_map(|table| cx.tables.state(table)).map(|state| Arc::clone(state.view())).collect();
        cx.lake.publish(Some((&self.source, &cursor)), views);
        let mut ledger = cx.ledger.lock();
        ledger.boundary = Some(cursor.clone());
        ledger.cursor_version = Some(version);
        Ok(Some(cursor))
    }
}

#[async_trait]
impl Sink for LakeSink {
    async fn open(&mut self) -> Result<Option<Cursor>, Error> {
        let store = self.lake.warehouse().clone();
        let cx = Context {
            source: Arc::from(self.source.as_str()),
            lake: self.lake.clone(),
            tables: self.lake.tables().clone(),
            encoder: Encoder::start(&self.source, store.clone())?,
            store,
            settings: Arc::new(self.settings.clone()),
            clock: Arc::clone(&self.clock),
            ledger: Arc::new(Mutex::new(Ledger::default())),
            background: Arc::new(Background::default()),
            counters: self.counters.clone(),
            commit: Arc::new(CommitState::default()),
            _presence: Arc::new(self.lake.tables().moves().enter(&self.source)),
        };
        let cursor = self.start_from_durable(&cx).await?;
        self.open = Some(Open { cx, appliers: BTreeMap::new(), resets: BTreeSet::new(), group: BoundaryInfo::default() });
        Ok(cursor)
    }

    async fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<(), Error> {
        let open = self.open()?;
        let result = open.schema(schema).await;
        open.note(&schema.id, result)
    }

    async fn reset(&mut self, table: &TableId) -> Result<(), Error> {
        let open = self.open()?;
        match open.appliers.get_mut(table) {
            Some(applier) => applier.clear(&open.cx),
            None => {
                open.resets.insert(table.clone());
                Ok(())
            }
        }
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<(), Error> {
        let open = self.open()?;
        let id = batch.schema().id.clone();
        let result = open.write(batch).await;
        open.note(&id, result)
    }

    async fn dead(&mut self, letters: Vec<DeadLetter>) -> Result<(), Error> {
        self.open()?.dead(&letters).await
    }

    async fn boundary(&mut self, cursor: &Cursor) -> Result<BoundaryInfo, Error> {
        self.open()?.boundary(cursor)
    }

    async fn tend(&mut self) -> Result<(), Error> {
        let open = self.open()?;
        open.cx.check()?;
        let mut ledger = open.cx.ledger.lock();
        if open.cx.learn(&mut ledger, &mut open.appliers) {
            open.cx.publish(&mut ledger)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<CommitTicket, Error> {
        self.open()?.commit()
    }
}

impl Open {
    async fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<(), Error> {
        self.cx.check()?;
        let Some(applier) = self.appliers.get_mut(&schema.id) else {
            let (mut applier, ledger) = opening::open_table(&self.cx, schema).await?;
            self.cx.ledger.lock().tables.insert(schema.id.clone(), ledger);
            if self.resets.remove(&schema.id) {
                applier.clear(&self.cx)?;
            }
            self.appliers.insert(schema.id.clone(), applier);
            return Ok(());
        };
        if applier.shape.source.as_ref().is_some_and(|former| former == schema) {
            return Ok(());
        }
        let evolution = opening::evolution(&self.cx, Some(&applier.shape), schema)?;
        let changed = evolution.changed;
        let shape = Arc::new(Shape::new(schema, evolution)?);
        if shape.index_signature() != applier.shape.index_signature() {
            self.rekey(&schema.id, &shape).await?;
        }
        let applier = self.appliers.get_mut(&schema.id).ok_or_else(|| unknown(&schema.id))?;
        applier.shape = shape;
        applier.shape_is_fresh |= changed;
        applier.shape_is_uncommitted |= changed;
        Ok(())
    }

    /// The rows of a table are told apart by something else from now on: its index starts anew, over all files that silver has now.
    async fn rekey(&mut self, table: &TableId, shape: &Shape) -> Result<(), Error> {
        let applier = self.appliers.get_mut(table).ok_or_else(|| unknown(table))?;
        let files = applier.present_files(&self.cx)?;
        let next_file = applier.next_file();
        self.cx.encoder.sync().await?;
        applier.index = match &shape.key {
            KeyRule::None => None,
            KeyRule::Columns { .. } | KeyRule::WholeRow { .. } => {
                let (_, silver) = names(&self.cx.source, table);
                Some(opening::reindex(&self.cx, table, &silver, shape, next_file, files).await?)
            }
        };
        // The new index names every row where it is.
        applier.relocated = Relocated::default();
        applier.trail = Arc::default();
        // It knows what came after the last boundary and not what that replaced, so that it says nothing of the boundary.
        if let Some(ledger) = self.cx.ledger.lock().tables.get_mut(table) {
            ledger.lookup = None;
        }
        applier.next_ordinal = next_file;
        Ok(())
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<(), Error> {
        self.cx.check()?;
        let bytes = batch.byte_size();
        let rows = batch.num_rows() as u64;
        self.cx.publish_if_due(&mut self.cx.ledger.lock())?;
        let share = Arc::new(self.room(bytes).await?);
        check_keys(&batch)?;
        let id = &batch.schema().id;
        let applier = self.appliers.get_mut(id).ok_or_else(|| unknown(id))?;
        if let Some(index) = &applier.index {
            self.cx.wait_while_crowded(index).await?;
        }
        applier.write(&self.cx, &batch, &share).await?;
        if let Some(index) = &applier.index {
            self.cx.tend(id, index);
        }
        self.cx.counters.change(id, |c| c.rows += rows);
        self.group.rows += rows;
        self.group.bytes += bytes as u64;
        Ok(())
    }

    async fn dead(&mut self, letters: &[DeadLetter]) -> Result<(), Error> {
        if letters.is_empty() {
            return Ok(());
        }
        let rows = dead::rows(&self.cx.source, letters, self.cx.clock.now_us())?;
        let bytes = rows.get_array_memory_size();
        let share = Arc::new(self.room(bytes).await?);
        let id = dead::id();
        if !self.appliers.contains_key(&id) {
            let (table, shape) = (dead::table(&self.cx.source), Arc::new(dead::shape()));
            let state = self.cx.tables.state(&table);
            let mut applier = Applier::new(id.clone(), table.clone(), Arc::clone(&shape), None, 0);
            applier.shape_is_uncommitted = state.is_none();
            self.cx.ledger.lock().tables.insert(id.clone(), TableLedger::new(table, None, shape, [state, None], &[]));
            self.appliers.insert(id.clone(), applier);
        }
        let applier = self.appliers.get_mut(&id).ok_or_else(|| unknown(&id))?;
        applier.keep(&self.cx, rows, &share)?;
        self.group.rows += letters.len() as u64;
        self.group.bytes += bytes as u64;
        Ok(())
    }

    /// Takes memory for a batch. Where there is none, a commit under way gives some back; else what is encoded is dropped, and is visible again
    /// after its commit.
    async fn room(&mut self, bytes: usize) -> Result<Share, Error> {
        let budget = self.cx.settings.budget.clone();
        let commit = Arc::clone(&self.cx.commit);
        loop {
            let ended = commit.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(share) = budget.try_take(bytes) {
                return Ok(share);
            }
            if commit.running.load(Ordering::Acquire) {
                tokio::select! {
                    share = budget.take(bytes) => return Ok(share),
                    () = ended => continue,
                }
            }
            if !self.spill().await? {
                return Ok(budget.take(bytes).await);
            }
        }
    }

    /// Drops rows of the open group from memory, those of the open transaction first. Says whether there were any.
    async fn spill(&mut self) -> Result<bool, Error> {
        for applier in self.appliers.values_mut() {
            applier.flush(&self.cx)?;
        }
        self.cx.encoder.sync().await?;
        let mut any = false;
        for segment in self.appliers.values_mut().flat_map(|a| &mut a.segments) {
            any |= segment.spill();
        }
        if any {
            return Ok(true);
        }
        let mut ledger = self.cx.ledger.lock();
        for file in ledger.tables.values_mut().flat_map(|t| t.hot.values_mut()) {
            any |= !file.batches.is_empty();
            file.spilled |= !file.batches.is_empty();
            file.batches = Vec::new();
        }
        Ok(any)
    }

    fn boundary(&mut self, cursor: &Cursor) -> Result<BoundaryInfo, Error> {
        self.cx.check()?;
        let mut ledger = self.cx.ledger.lock();
        for (id, applier) in &mut self.appliers {
            let Some(delta) = applier.take_delta() else { continue };
            let Some(table) = ledger.tables.get_mut(id) else { return Err(unknown(id)) };
            table.advance(delta);
            table.lookup = applier.lookup();
            self.cx.counters.change(id, |c| c.hot_rows = table.hot_rows());
            ledger.unpublished = true;
        }
        self.cx.learn(&mut ledger, &mut self.appliers);
        if ledger.boundary.as_ref() != Some(cursor) {
            ledger.boundary = Some(cursor.clone());
            ledger.unpublished = true;
        }
        self.cx.publish_if_due(&mut ledger)?;
        Ok(BoundaryInfo { unpublished: ledger.unpublished, ..self.group })
    }

    fn commit(&mut self) -> Result<CommitTicket, Error> {
        let mut ledger = self.cx.ledger.lock();
        let Some(cursor) = ledger.boundary.clone() else {
            return Err(Error::new(Kind::Bug, format!("a commit of {} was asked for before its first boundary", self.cx.source)));
        };
        let mut tables = Vec::new();
        for (id, applier) in &mut self.appliers {
            let Some(ledger) = ledger.tables.get_mut(id) else { return Err(unknown(id)) };
            tables.extend(seal(&self.cx, applier, ledger)?);
        }
        drop(ledger);
        self.cx.commit.running.store(true, Ordering::Release);
        let guard = CommitGuard(Arc::clone(&self.cx.commit));
        let group = Group { cursor, tables, rows: self.group.rows, _guard: guard };
        self.group = BoundaryInfo::default();
        let cx = self.cx.clone();
        Ok(Box::pin(async move { Ok(group.settle(cx).await?) }))
    }

    /// Keeps an error beside the table it is about.
    fn note<T>(&self, table: &TableId, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.cx.counters.change(table, |c| c.last_error = Some(error.to_string()));
        }
        result
    }
}

/// One table's part of a commit; none where nothing happened.
fn seal(cx: &Context, applier: &mut Applier, ledger: &mut TableLedger) -> Result<Option<GroupTable>, Error> {
    let effects = ledger.seal();
    let specs =
        std::mem::take(&mut applier.shape_is_uncommitted).then(|| (applier.shape.bronze.clone(), applier.shape.silver.clone()));
    let mut files = Vec::with_capacity(applier.segments.len());
    for segment in std::mem::take(&mut applier.segments) {
        let (ordinal, in_silver) = (segment.ordinal, ledger.files.contains_key(&segment.ordinal));
        if let Some(finishing) = segment.into_finishing(&cx.encoder)? {
            files.push(GroupFile { ordinal, in_silver, finishing });
        }
    }
    if files.is_empty() && specs.is_none() && effects.deletes.is_empty() && !effects.clear {
        return Ok(None);
    }
    let index = applier.index.as_ref().map(|index| (index.clone(), index.keys.lock().seal_group()));
    Ok(Some(GroupTable {
        id: applier.id.clone(),
        bronze: ledger.bronze.clone(),
        silver: ledger.silver.clone(),
        specs,
        files,
        effects,
        index,
        forget_below: applier.floor(),
    }))
}

/// Refuses rows without a key. The source tells such a value as text beside the column; but by NULL no row can be found again.
fn check_keys(batch: &ChangeBatch) -> Result<(), Error> {
    let schema = batch.schema();
    let Key::Columns(_) = &schema.key else { return Ok(()) };
    for index in schema.key_indexes() {
        let column = batch.rows().column(index);
        if column.null_count() == 0 {
            continue;
        }
        let bad = (0..batch.num_rows()).find(|&row| column.is_null(row) && batch.op(row) != Op::Truncate);
        if let Some(row) = bad {
            let (id, name, at) = (&schema.id, &schema.columns[index].name, batch.position(row));
            let message = format!(
                "a row of {id} at position {at} has no value in its key column `{name}`: the source's value is one that {} can't hold (NaN, infinity)",
                schema.columns[index].source_type
            );
            let hint = "Give the row a finite key at the source, or leave the table out with `!schema.table`; then pause and resume the pipeline.";
            return Err(Error::new(Kind::Table, message).with_hint(hint));
        }
    }
    Ok(())
}

fn unknown(table: &TableId) -> Error {
    Error::new(Kind::Bug, format!("changes of {table} arrived before its shape"))
}
