use super::pgoutput::{Cell, Malformed, Message, Old, Relation, Tuple, parse};
use crate::{
    connect::Lsn,
    decode::{BatchBuilder, Origin, Shape, ShapeColumn},
    snapshot::BATCH_BYTES_MAX,
};
use model::{Key, Op, TableId};
use pipeline::{Error, Event, Kind};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Rows for which a builder makes room before it knows better.
const FIRST_ROWS: usize = 64;

/// A table that is followed.
pub(crate) struct Followed {
    pub(crate) oid: u32,
    /// Changes committed before this are in the table's copy already.
    pub(crate) from: Lsn,
    /// Only inserts and truncates are published.
    pub(crate) inserts_only: bool,
    pub(crate) shape: Shape,
    /// The version of the schema that the loop was told in this run.
    told: Option<u32>,
    builder: BatchBuilder,
}

impl Followed {
    /// A table whose `shape` was told already, or was not.
    pub(crate) fn new(oid: u32, from: Lsn, inserts_only: bool, shape: Shape, told: bool) -> Self {
        let builder = BatchBuilder::new(&shape, FIRST_ROWS);
        Self { oid, from, inserts_only, told: told.then(|| shape.schema().version), shape, builder }
    }
}

struct Transaction {
    commit_lsn: Lsn,
    origin: Origin,
    seq: u64,
    /// It is in the lake already.
    skip: bool,
}

/// What the caller has to do after a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing.
    Go,
    /// Hand over what is in [`Assembler::take_events`].
    Full,
    /// A transaction ended here; a boundary may be set.
    Committed,
    /// Tell [`Assembler::follow`] what this relation's columns are, before the next message.
    Describe(Relation),
}

/// Makes batches of messages. Pure: no I/O, no clock.
pub(crate) struct Assembler {
    tables: Vec<Followed>,
    /// Where the rows of a relation go; `None`: nowhere.
    targets: HashMap<u32, Option<usize>>,
    /// The relation of the last row, which nearly always is the next one's too.
    last: Option<(u32, Option<usize>)>,
    start: Lsn,
    transaction: Option<Transaction>,
    /// Transactions that ended before this are handed over, or wait in builders.
    reached: Lsn,
    commit_us: Option<i64>,
    rows: usize,
    bytes: usize,
    batch_rows_max: usize,
    events: VecDeque<Event>,
    /// Relations of the publication that nobody follows.
    strangers: Vec<TableId>,
    /// Tables whose old rows changed without any change event (a filled column, another type, another key).
    stale: Vec<TableId>,
}

impl Assembler {
    /// Goes on after `start`: transactions whose commit record starts before it are skipped, whatever the server sends.
    pub(crate) fn new(start: Lsn, tables: Vec<Followed>, batch_rows_max: usize) -> Self {
        Self {
            tables,
            targets: HashMap::new(),
            last: None,
            start,
            transaction: None,
            reached: start,
            commit_us: None,
            rows: 0,
            bytes: 0,
            batch_rows_max,
            events: VecDeque::new(),
            strangers: Vec::new(),
            stale: Vec::new(),
        }
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Rows that wait in builders.
    pub(crate) fn waiting_rows(&self) -> usize {
        self.rows
    }

    /// Bytes received for them.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    /// Up to where everything was taken in.
    pub(crate) fn reached(&self) -> Lsn {
        self.reached
    }

    /// The server has sent everything before `lsn`. Only outside of transactions does that move us.
    pub(crate) fn idle_at(&mut self, lsn: Lsn) {
        if self.transaction.is_none() && lsn > self.reached {
            self.reached = lsn;
        }
    }

    pub(crate) fn commit_us(&self) -> Option<i64> {
        self.commit_us
    }

    pub(crate) fn tables(&self) -> &[Followed] {
        &self.tables
    }

    pub(crate) fn into_tables(self) -> Vec<Followed> {
        self.tables
    }

    pub(crate) fn take_events(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn take_strangers(&mut self) -> Vec<TableId> {
        std::mem::take(&mut self.strangers)
    }

    pub(crate) fn take_stale(&mut self) -> Vec<TableId> {
        std::mem::take(&mut self.stale)
    }

    pub(crate) fn stale(&self) -> &[TableId] {
        &self.stale
    }

    /// Takes one message.
    pub(crate) fn message(&mut self, bytes: &[u8], ingest_us: i64) -> Result<Step, Error> {
        let corrupt = |e: Malformed| Error::new(Kind::Corrupt, format!("PostgreSQL sent a change that can't be read: {e}"));
        match parse(bytes).map_err(corrupt)? {
            Message::Insert { relation, new } => {
                let Some((table, origin, seq)) = self.row_target(relation)? else { return Ok(Step::Go) };
                let table = &mut self.tables[table];
                table.builder.begin(Op::Create, origin, ingest_us, seq, bytes.len());
                push_row(table, new, None).map_err(corrupt)?;
                self.count(relation, 1, bytes.len())
            }
            Message::Update { relation, old, new } => {
                let Some((table, origin, seq)) = self.row_target(relation)? else { return Ok(Step::Go) };
                let table = &mut self.tables[table];
                let moved = match &old {
                    Some(old) if key_moved(table, *old, new).map_err(corrupt)? => Some(*old),
                    _ => None,
                };
                let mut rows = 1;
                if let Some(old) = moved {
                    table.builder.begin(Op::Delete, origin, ingest_us, seq, bytes.len());
                    push_row(table, old.tuple, None).map_err(corrupt)?;
                    rows = 2;
                }
                table.builder.begin(Op::Update, origin, ingest_us, seq + rows - 1, bytes.len());
                push_row(table, new, old).map_err(corrupt)?;
                self.count(relation, rows, bytes.len())
            }
            Message::Delete { relation, old } => {
                let Some((table, origin, seq)) = self.row_target(relation)? else { return Ok(Step::Go) };
                let table = &mut self.tables[table];
                table.builder.begin(Op::Delete, origin, ingest_us, seq, bytes.len());
                push_row(table, old.tuple, None).map_err(corrupt)?;
                self.count(relation, 1, bytes.len())
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    let Some((table, origin, seq)) = self.row_target(relation)? else { continue };
                    let table = &mut self.tables[table];
                    table.builder.begin(Op::Truncate, origin, ingest_us, seq, bytes.len());
                    (0..table.shape.columns.len()).for_each(|c| table.builder.push_null(c));
                    self.count(relation, 1, bytes.len())?;
                }
                Ok(Step::Go)
            }
            Message::Begin { commit_lsn, commit_us, xid } => {
                let skip = commit_lsn < self.start.0;
                let origin = Origin { pos: commit_lsn, commit_ts_us: Some(commit_us), xid: Some(xid) };
                self.transaction = Some(Transaction { commit_lsn: Lsn(commit_lsn), origin, seq: 0, skip });
                Ok(Step::Go)
            }
            Message::Commit { end_lsn, commit_us } => {
                let ended = self.transaction.take();
                if ended.is_none_or(|t| t.skip) {
                    return Ok(Step::Go);
                }
                self.reached = self.reached.max(Lsn(end_lsn));
                self.commit_us = Some(commit_us);
                Ok(Step::Committed)
            }
            Message::Relation(relation) => Ok(self.relation(relation)),
            Message::Other => Ok(Step::Go),
        }
    }

    /// Where a row of `relation` goes and where it stands; `None` where it is left out.
    fn row_target(&mut self, relation: u32) -> Result<Option<(usize, Origin, u64)>, Error> {
        let target = match self.last {
            Some((last, target)) if last == relation => target,
            _ => {
                let target = *self.targets.get(&relation).ok_or_else(|| {
                    Error::new(Kind::Corrupt, format!("PostgreSQL sent a row of relation {relation} before its description"))
                })?;
                self.last = Some((relation, target));
                target
            }
        };
        let Some(transaction) = self.transaction.as_mut() else {
            return Err(Error::new(Kind::Corrupt, "PostgreSQL sent a row outside of a transaction"));
        };
        let seq = transaction.seq;
        let Some(index) = target else { return Ok(None) };
        if transaction.skip || transaction.commit_lsn < self.tables[index].from {
            return Ok(None);
        }
        Ok(Some((index, transaction.origin, seq)))
    }

    fn count(&mut self, relation: u32, rows: u64, bytes: usize) -> Result<Step, Error> {
        if let Some(transaction) = self.transaction.as_mut() {
            transaction.seq += rows;
        }
        self.rows += usize::try_from(rows).unwrap_or(0);
        self.bytes += bytes;
        match self.last {
            Some((last, Some(index))) if last == relation => {
                let builder = &self.tables[index].builder;
                if builder.rows() >= self.batch_rows_max || builder.bytes() >= BATCH_BYTES_MAX {
                    self.flush_table(index)?;
                    return Ok(Step::Full);
                }
            }
            _ => {}
        }
        Ok(Step::Go)
    }

    fn flush_table(&mut self, index: usize) -> Result<(), Error> {
        let table = &mut self.tables[index];
        if table.builder.rows() == 0 {
            return Ok(());
        }
        self.rows = self.rows.saturating_sub(table.builder.rows());
        let (batch, _grown) = table.builder.finish(&mut table.shape)?;
        let version = table.shape.schema().version;
        if table.told != Some(version) {
            table.told = Some(version);
            self.events.push_back(Event::Schema(Arc::clone(table.shape.schema())));
        }
        self.events.push_back(Event::Rows(batch));
        Ok(())
    }

    /// Makes batches of all rows that wait.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        for index in 0..self.tables.len() {
            self.flush_table(index)?;
        }
        self.rows = 0;
        self.bytes = 0;
        Ok(())
    }

    fn relation(&mut self, relation: Relation) -> Step {
        self.last = None;
        let found = self
            .tables
            .iter()
            .position(|t| t.oid == relation.oid && t.shape.id.schema == relation.schema && t.shape.id.name == relation.name);
        self.targets.insert(relation.oid, found);
        if found.is_none() {
            self.strangers.push(TableId::new(relation.schema, relation.name));
            return Step::Go;
        }
        Step::Describe(relation)
    }

    /// The columns of a relation that [`Step::Describe`] asked for. `filled` names columns that had values before any change of them was seen.
    pub(crate) fn follow(&mut self, relation: &Relation, columns: Vec<ShapeColumn>, filled: &[String]) -> Result<(), Error> {
        let Some(Some(index)) = self.targets.get(&relation.oid).copied() else { return Ok(()) };
        let table = &self.tables[index];
        let key = key_of(relation, &table.shape.key, table.inserts_only);
        if table.shape.columns == columns && table.shape.key == key {
            return Ok(());
        }
        let gained_identity = table.inserts_only && identity_key(relation).is_some();
        let stale = table.shape.key != key || gained_identity || values_moved(&table.shape.columns, &columns, filled);
        // Rows that came under the former shape go out under it.
        self.flush_table(index)?;
        let table = &mut self.tables[index];
        if stale {
            self.stale.push(table.shape.id.clone());
        }
        if table.shape.change(columns, key) {
            table.builder = BatchBuilder::new(&table.shape, FIRST_ROWS);
        }
        Ok(())
    }
}

/// The columns that identify rows, as the log says.
fn identity_key(relation: &Relation) -> Option<Key> {
    let flagged: Vec<String> = relation.columns.iter().filter(|c| c.in_key).map(|c| c.name.clone()).collect();
    (matches!(relation.identity, b'd' | b'i') && !flagged.is_empty()).then_some(Key::Columns(flagged))
}

fn key_of(relation: &Relation, now: &Key, inserts_only: bool) -> Key {
    if inserts_only {
        return Key::None;
    }
    if relation.identity == b'f' {
        // Under FULL every column is flagged; the primary key is known from the catalog.
        return match now {
            Key::Columns(names) if names.iter().all(|n| relation.columns.iter().any(|c| c.name == *n)) => now.clone(),
            _ => Key::WholeRow,
        };
    }
    identity_key(relation).unwrap_or(Key::None)
}

/// Whether rows that were not changed since hold other values under the new columns than under the old ones.
fn values_moved(old: &[ShapeColumn], new: &[ShapeColumn], filled: &[String]) -> bool {
    use crate::decode::Kind as K;
    let widened = |from: &K, to: &K| match (from, to) {
        (K::Int2, K::Int4 | K::Int8) | (K::Int4, K::Int8) | (K::Float4, K::Float8) => true,
        (K::Numeric { precision: p, scale: s }, K::Numeric { precision: q, scale: t }) => q >= p && s == t,
        _ => from == to,
    };
    new.iter().any(|column| match old.iter().find(|c| c.name == column.name) {
        Some(before) => !widened(&before.kind, &column.kind),
        None => filled.contains(&column.name),
    })
}

/// Whether an update's row is another than the old one, so that the old must be deleted.
fn key_moved(table: &Followed, old: Old<'_>, new: Tuple<'_>) -> Result<bool, Malformed> {
    let columns = match &table.shape.key {
        // Without a key every update replaces one whole row by another.
        Key::WholeRow => return Ok(true),
        Key::None => return Ok(false),
        Key::Columns(names) => names,
    };
    for ((column, before), after) in table.shape.columns.iter().zip(old.tuple.cells()).zip(new.cells()) {
        let (before, after) = (before?, after?);
        if columns.contains(&column.name) && before != after && after != Cell::Unchanged {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pushes the values of a row that was begun. Values that the log lacks are taken from the old image where that has them, else marked.
fn push_row(table: &mut Followed, tuple: Tuple<'_>, old: Option<Old<'_>>) -> Result<(), Malformed> {
    if tuple.len() != table.shape.columns.len() {
        return Err(Malformed("a row has another number of columns than its table"));
    }
    let mut lacking: Vec<usize> = Vec::new();
    for (column, cell) in tuple.cells().enumerate() {
        match cell? {
            Cell::Text(text) => table.builder.push_text(column, text),
            Cell::Null => table.builder.push_null(column),
            Cell::Unchanged => {
                let before = old.and_then(|o| o.tuple.cells().nth(column).map(|cell| (o.key_only, cell)));
                match before {
                    Some((_, Ok(Cell::Text(text)))) => table.builder.push_text(column, text),
                    // The old image of a whole row knows that the value was NULL; that of a key knows nothing.
                    Some((false, Ok(Cell::Null))) => table.builder.push_null(column),
                    _ => {
                        table.builder.push_null(column);
                        lacking.push(column);
                    }
                }
            }
        }
    }
    if !lacking.is_empty() {
        let schema = Arc::clone(table.shape.schema());
        let names: Vec<&str> = lacking.iter().filter_map(|c| schema.columns.get(*c)).map(|c| c.name.as_str()).collect();
        table.builder.mark_unchanged(&names);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
