//! One table's way from change batches to row deltas: where each row goes, which rows it replaces, and what it takes over from them.

use super::{
    context::Context,
    fill::Fill,
    hot::HotRows,
    ledger::{Delta, Ledger, TableLedger},
    lookup::LookupSource,
    opening::PresentFile,
    relocate::Relocated,
    segment::Segment,
    shape::{KeyRule, Shape, widen},
    trail::Trail,
};
use crate::{
    index::{KeyEncoder, KeyIndex, Location, occurrence},
    new_data_path,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::Int64Type,
};
use model::{ChangeBatch, LakeTable, Position, TableId};
use parking_lot::{Mutex, MutexGuard};
use pipeline::{Error, Kind};
use roaring::RoaringBitmap;
use runtime::Share;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// Keys that are put into an index before others may look into it.
const PUT_AT_ONCE: usize = 4096;

/// What arrived for one table and is not committed; with [`TableLedger`], which has what is visible of it, the table's whole state.
#[derive(Debug)]
pub(crate) struct Applier {
    pub id: TableId,
    pub bronze: LakeTable,
    pub shape: Arc<Shape>,
    /// Whether the ledger does not know the shape yet.
    pub shape_is_fresh: bool,
    /// Whether the tables in the catalog do not have the shape yet.
    pub shape_is_uncommitted: bool,
    pub index: Option<Index>,
    /// The next file's ordinal where there is no index.
    pub next_ordinal: u32,
    /// Data files of the commit group, in order; the last may take more rows.
    pub segments: Vec<Segment>,
    /// Places that went since the last boundary.
    deletes: Vec<u64>,
    /// The same places to ask for one; made when first asked.
    deleted: Option<HashSet<u64>>,
    clear_below: Option<u32>,
    /// Files with smaller ordinals are not silver's any more.
    floor: u32,
    /// The last delete event and the place whose image a change of key takes over.
    last_delete: Option<(Position, Location)>,
    /// Rows of the commit group.
    pub rows: u64,
    /// Files that upkeep rewrote and that the index still names.
    pub relocated: Relocated,
    /// What the last rows replaced, under the places that the index had for them.
    pub trail: Arc<Trail>,
}

/// A key index that background work shares.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub keys: Arc<Mutex<KeyIndex>>,
    pub dir: Arc<PathBuf>,
}

/// What the change columns of a batch say, row by row.
struct Marks<'a> {
    ops: Vec<u8>,
    pos: &'a [i64],
    seq: &'a [i64],
    unchanged: &'a arrow::array::StringArray,
}

impl<'a> Marks<'a> {
    fn of(batch: &'a ChangeBatch) -> Self {
        let change = |i: usize| batch.rows().column(batch.data_width() + i);
        let ops = change(0).as_string::<i32>();
        Self {
            ops: ops.iter().map(|op| op.and_then(|op| op.bytes().next()).unwrap_or(b'u')).collect(),
            pos: change(3).as_primitive::<Int64Type>().values(),
            seq: change(4).as_primitive::<Int64Type>().values(),
            unchanged: change(6).as_string::<i32>(),
        }
    }

    fn position(&self, row: usize) -> Position {
        Position::new(self.pos[row].cast_unsigned(), self.seq[row].cast_unsigned())
    }

    fn any_unchanged(&self) -> bool {
        self.unchanged.null_count() < self.unchanged.len()
    }
}

impl Applier {
    /// A table without anything pending. Ordinals of new files start at `next_ordinal` where there is no index.
    pub(crate) fn new(id: TableId, bronze: LakeTable, shape: Arc<Shape>, index: Option<Index>, next_ordinal: u32) -> Self {
        Self {
            id,
            bronze,
            shape,
            shape_is_fresh: false,
            shape_is_uncommitted: false,
            index,
            next_ordinal,
            segments: Vec::new(),
            deletes: Vec::new(),
            deleted: None,
            clear_below: None,
            floor: 0,
            last_delete: None,
            rows: 0,
            relocated: Relocated::default(),
            trail: Arc::default(),
        }
    }

    /// Accepts a batch.
    pub(crate) async fn write(&mut self, cx: &Context, batch: &ChangeBatch, share: &Arc<Share>) -> Result<(), Error> {
        let ops = Marks::of(batch).ops;
        let mut start = 0;
        while start < ops.len() {
            let truncates = ops[start] == b't';
            let end = ops[start..].iter().position(|&op| (op == b't') != truncates).map_or(ops.len(), |n| start + n);
            let part = batch.slice(start, end - start);
            if truncates {
                self.keep(cx, self.conform(part.rows())?, share)?;
                self.clear(cx)?;
            } else {
                self.rows(cx, &part, share).await?;
            }
            start = end;
        }
        Ok(())
    }

    /// Appends rows to bronze alone (and to silver, where silver is not told apart from it).
    pub(crate) fn keep(&mut self, cx: &Context, rows: RecordBatch, share: &Arc<Share>) -> Result<(), Error> {
        let (_, first) = self.place(cx, rows.num_rows())?;
        self.push(cx, rows, first, share)
    }

    /// Everything so far leaves silver.
    pub(crate) fn clear(&mut self, cx: &Context) -> Result<(), Error> {
        if let Some(segment) = self.segments.last_mut() {
            segment.finish(&cx.encoder)?;
        }
        let below = self.next_file();
        self.floor = below;
        self.clear_below = Some(below);
        self.deletes.clear();
        self.deleted = None;
        self.last_delete = None;
        Ok(())
    }

    async fn rows(&mut self, cx: &Context, part: &ChangeBatch, share: &Arc<Share>) -> Result<(), Error> {
        let marks = Marks::of(part);
        let fills_any = marks.any_unchanged();
        if fills_any && let Some(segment) = self.segments.last_mut().filter(|s| s.spilled || cx.is_spilled(&self.id, s.ordinal)) {
            // Rows that are no longer in memory can be read back only from a finished file.
            segment.finish(&cx.encoder)?;
        }
        let mut rows = self.conform(part.rows())?;
        let (ordinal, first) = self.place(cx, rows.num_rows())?;
        let shape = Arc::clone(&self.shape);
        match &shape.key {
            KeyRule::None => self.hide_changes(&marks, ordinal, first),
            KeyRule::Columns { encoder, indexes } => {
                let columns: Vec<_> = indexes.iter().map(|&i| Arc::clone(rows.column(i))).collect();
                let former = self.find_former(&columns, encoder, &marks, ordinal, first)?;
                let fills = self.replace(cx, &former, &marks, ordinal, first, part)?;
                if fills_any {
                    rows = self.fill(cx, rows, &fills, (ordinal, first)).await?;
                }
            }
            KeyRule::WholeRow { encoder, indexes } => {
                if fills_any {
                    let fills = self.fills_of_whole_rows(&marks, ordinal, first, part)?;
                    rows = self.fill(cx, rows, &fills, (ordinal, first)).await?;
                }
                let columns: Vec<_> = indexes.iter().map(|&i| Arc::clone(rows.column(i))).collect();
                self.apply_whole_rows(cx, &columns, encoder, &marks, ordinal, first)?;
            }
        }
        self.push(cx, rows, first, share)
    }

    /// The batch under the columns of data files.
    fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch, Error> {
        let schema = &self.shape.file;
        if rows.num_columns() != schema.fields().len() {
            return Err(self.bug("a batch arrived under a shape that was not announced"));
        }
        let columns = rows.columns().iter().zip(schema.fields()).map(|(c, f)| widen(c, f.data_type()));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| self.bug("a batch does not fit its shape").with_source(e))
    }

    /// Where the next `rows` rows go.
    fn place(&mut self, cx: &Context, rows: usize) -> Result<(u32, u32), Error> {
        if let Some(open) = self.segments.last_mut() {
            if open.schema == self.shape.file && open.takes(rows, &cx.settings) {
                return Ok((open.ordinal, open.rows));
            }
            open.finish(&cx.encoder)?;
        }
        let path = new_data_path(&self.bronze);
        let ordinal = match &self.index {
            Some(index) => index.keys.lock().file(path.as_ref()),
            None => self.count_ordinal(),
        };
        self.segments.push(Segment::new(ordinal, path, Arc::clone(&self.shape.file)));
        Ok((ordinal, 0))
    }

    fn push(&mut self, cx: &Context, rows: RecordBatch, first: u32, share: &Arc<Share>) -> Result<(), Error> {
        self.rows += rows.num_rows() as u64;
        let Some(segment) = self.segments.last_mut() else { return Err(self.bug("rows arrived without a file")) };
        Ok(segment.push(HotRows { first, rows, shares: vec![Arc::clone(share)] }, &cx.encoder, &cx.settings)?)
    }

    fn delete(&mut self, place: Location) {
        self.deletes.push(place.to_bits());
        if let Some(deleted) = &mut self.deleted {
            deleted.insert(place.to_bits());
        }
    }

    /// Without a key only inserts make rows of silver.
    fn hide_changes(&mut self, marks: &Marks<'_>, ordinal: u32, first: u32) {
        if self.shape.silver.is_some() {
            let changes = marks.ops.iter().enumerate().filter(|(_, op)| !matches!(op, b'c' | b'r'));
            self.deletes.extend(changes.map(|(row, _)| Location::new(ordinal, first + row as u32).to_bits()));
        }
    }

    fn find_former(
        &self,
        columns: &[ArrayRef],
        encoder: &KeyEncoder,
        marks: &Marks<'_>,
        ordinal: u32,
        first: u32,
    ) -> Result<Vec<Location>, Error> {
        let keys = encoder.encode(columns).map_err(|e| self.index_failed(e))?;
        let place =
            |(row, &op): (usize, &u8)| if op == b'd' { Location::NONE } else { Location::new(ordinal, first + row as u32) };
        let puts: Vec<_> = marks.ops.iter().enumerate().map(place).collect();
        let index = self.index.as_ref().ok_or_else(|| self.bug("a keyed table has no index"))?;
        let mut former = Vec::with_capacity(keys.len());
        // In pieces, so that queries which look a key up don't wait for a whole batch.
        for (keys, puts) in keys.chunks(PUT_AT_ONCE).zip(puts.chunks(PUT_AT_ONCE)) {
            let mut index = index.keys.lock();
            former.extend(index.apply(keys, puts).map_err(|e| self.index_failed(e))?);
            MutexGuard::unlock_fair(index);
        }
        self.trail.push(Location::new(ordinal, first), &former);
        let places = &self.relocated.places;
        if !places.is_empty() {
            former.iter_mut().for_each(|place| *place = places.lead(*place));
        }
        Ok(former)
    }

    /// Rows that were there before go; delete events hide themselves. Says which rows take values over, and from where.
    fn replace(
        &mut self,
        cx: &Context,
        former: &[Location],
        marks: &Marks<'_>,
        ordinal: u32,
        first: u32,
        part: &ChangeBatch,
    ) -> Result<Vec<Fill>, Error> {
        let mut fills = Vec::new();
        let floor = self.floor;
        self.deletes.reserve(former.len());
        for (row, &old) in former.iter().enumerate() {
            let known = !old.is_none() && old.file() >= floor;
            let is_delete = marks.ops[row] == b'd';
            if marks.unchanged.is_valid(row) && !is_delete {
                let from = if known && self.lives(&cx.ledger.lock(), old) {
                    Some(old)
                } else {
                    self.image_of_old_key(marks.position(row))
                };
                let from = from.ok_or_else(|| self.no_former_image(part, row))?;
                fills.push(Fill { row, from });
            }
            if known {
                self.delete(old);
            }
            if is_delete {
                self.delete(Location::new(ordinal, first + row as u32));
                self.last_delete = known.then(|| (marks.position(row), old));
            }
        }
        Ok(fills)
    }

    /// The place of the row that a delete event just before `at` named.
    fn image_of_old_key(&self, at: Position) -> Option<Location> {
        let (deleted_at, place) = self.last_delete?;
        (deleted_at.pos == at.pos && deleted_at.seq + 1 == at.seq).then_some(place)
    }

    /// Whether a row is there now, everything accepted so far counted.
    fn lives(&mut self, ledger: &Ledger, place: Location) -> bool {
        let deletes = &self.deletes;
        let deleted = self.deleted.get_or_insert_with(|| deletes.iter().copied().collect());
        if place.is_none() || place.file() < self.floor || deleted.contains(&place.to_bits()) {
            return false;
        }
        let table = ledger.tables.get(&self.id);
        let visible = table.and_then(|t| t.files.get(&place.file()));
        visible.map_or_else(|| self.segments.iter().any(|s| s.ordinal == place.file()), |f| !f.deleted.contains(place.row()))
    }

    /// A changed row of a table without key has its whole former image in the delete event before it.
    fn fills_of_whole_rows(
        &mut self,
        marks: &Marks<'_>,
        ordinal: u32,
        first: u32,
        part: &ChangeBatch,
    ) -> Result<Vec<Fill>, Error> {
        let mut fills = Vec::new();
        for row in 0..marks.ops.len() {
            if marks.ops[row] == b'd' {
                self.last_delete = Some((marks.position(row), Location::new(ordinal, first + row as u32)));
            } else if marks.unchanged.is_valid(row) {
                let from = self.image_of_old_key(marks.position(row)).ok_or_else(|| self.no_former_image(part, row))?;
                fills.push(Fill { row, from });
            }
        }
        Ok(fills)
    }

    /// Equal rows count: a delete takes the last of them away.
    fn apply_whole_rows(
        &mut self,
        cx: &Context,
        columns: &[ArrayRef],
        encoder: &KeyEncoder,
        marks: &Marks<'_>,
        ordinal: u32,
        first: u32,
    ) -> Result<(), Error> {
        let keys = encoder.encode(columns).map_err(|e| self.index_failed(e))?;
        let index = self.index.clone().ok_or_else(|| self.bug("a table of whole rows has no index"))?;
        let mut index = index.keys.lock();
        let ledger = cx.ledger.lock();
        let deletes = &self.deletes;
        let mut deleted = self.deleted.take().unwrap_or_else(|| deletes.iter().copied().collect());
        let table = ledger.tables.get(&self.id);
        let moved = Arc::clone(&self.relocated.places);
        for (row, key) in keys.into_iter().enumerate() {
            let place = Location::new(ordinal, first + row as u32);
            let lives = |place: Location| {
                let place = moved.lead(place);
                !place.is_none()
                    && place.file() >= self.floor
                    && !deleted.contains(&place.to_bits())
                    && lives_in(table, &self.segments, place)
            };
            let (count, last) = index.occurrences(key, lives).map_err(|e| self.index_failed(e))?;
            let last = moved.lead(last);
            let gone = if marks.ops[row] == b'd' {
                [Some(last).filter(|l| !l.is_none()), Some(place)]
            } else {
                index.apply(&[occurrence(key, count)], &[place]).map_err(|e| self.index_failed(e))?;
                [None, None]
            };
            for place in gone.into_iter().flatten() {
                self.deletes.push(place.to_bits());
                deleted.insert(place.to_bits());
            }
            if marks.ops[row] == b'd' {
                self.last_delete = Some((marks.position(row), place));
            }
        }
        self.deleted = Some(deleted);
        Ok(())
    }

    /// What happened since the last boundary.
    pub(crate) fn take_delta(&mut self) -> Option<Delta> {
        let rows: Vec<_> = self.segments.iter_mut().filter_map(Segment::take_fresh).collect();
        let shape = std::mem::take(&mut self.shape_is_fresh).then(|| Arc::clone(&self.shape));
        let deletes = std::mem::take(&mut self.deletes);
        let clear_below = self.clear_below.take();
        self.deleted = None;
        self.last_delete = None;
        let nothing = rows.is_empty() && shape.is_none() && deletes.is_empty() && clear_below.is_none();
        (!nothing).then_some(Delta { shape, rows, deletes, clear_below })
    }

    /// The files of silver as of now, what came after the last boundary included. All are finished, or will be once the encoder is in sync.
    pub(crate) fn present_files(&mut self, cx: &Context) -> Result<Vec<PresentFile>, Error> {
        self.segments.iter_mut().try_for_each(|s| s.finish(&cx.encoder))?;
        let mut gone: HashMap<u32, RoaringBitmap> = HashMap::new();
        for place in self.deletes.iter().map(|&bits| Location::from_bits(bits)) {
            gone.entry(place.file()).or_default().insert(place.row());
        }
        let ledger = cx.ledger.lock();
        let visible = ledger.tables.get(&self.id).map(|t| &t.files);
        let mut files: BTreeMap<u32, PresentFile> = BTreeMap::new();
        for (&ordinal, file) in visible.into_iter().flatten() {
            let (path, deleted) = (file.path.clone(), Arc::clone(&file.deleted));
            files.insert(ordinal, PresentFile { path, ordinal, committed: file.committed.is_some(), deleted });
        }
        for segment in &self.segments {
            let fresh =
                PresentFile { path: segment.path.clone(), ordinal: segment.ordinal, committed: false, deleted: Arc::default() };
            files.entry(segment.ordinal).or_insert(fresh);
        }
        let mut files = files.split_off(&self.floor);
        for (ordinal, rows) in gone {
            if let Some(file) = files.get_mut(&ordinal) {
                *Arc::make_mut(&mut file.deleted) |= rows;
            }
        }
        Ok(files.into_values().collect())
    }

    /// Finds rows by key, as far as everything accepted so far; none where rows have no key.
    pub(crate) fn lookup(&self) -> Option<LookupSource> {
        let KeyRule::Columns { encoder, .. } = &self.shape.key else { return None };
        Some(LookupSource {
            keys: Arc::clone(&self.index.as_ref()?.keys),
            places: Arc::clone(&self.relocated.places),
            trail: Arc::clone(&self.trail),
            encoder: encoder.clone(),
            key_ids: self.shape.key_ids().into(),
        })
    }

    fn count_ordinal(&mut self) -> u32 {
        self.next_ordinal += 1;
        self.next_ordinal - 1
    }

    /// The ordinal of a file whose rows were in others.
    pub(crate) fn new_ordinal(&mut self, path: &str) -> u32 {
        match &self.index {
            Some(index) => index.keys.lock().file_of_moved(path),
            None => self.count_ordinal(),
        }
    }

    /// The ordinal of the next new file.
    pub(crate) fn next_file(&self) -> u32 {
        self.index.as_ref().map_or(self.next_ordinal, |i| i.keys.lock().next_file())
    }

    /// Files with smaller ordinals are not silver's any more.
    pub(crate) fn floor(&self) -> u32 {
        self.floor
    }

    /// Hands everything that waits to the encoder.
    pub(crate) fn flush(&mut self, cx: &Context) -> Result<(), Error> {
        Ok(self.segments.iter_mut().try_for_each(|s| s.flush(&cx.encoder))?)
    }

    pub(crate) fn bug(&self, what: &str) -> Error {
        Error::new(Kind::Bug, format!("{what}: table {}", self.id))
    }

    /// A damaged index is thrown away, so that the next start rebuilds it.
    pub(crate) fn index_failed(&self, error: crate::index::IndexError) -> Error {
        super::context::index_failed(&self.id, self.index.as_ref().map(|i| i.dir.as_path()), error).into()
    }

    fn no_former_image(&self, part: &ChangeBatch, row: usize) -> Error {
        let source = part.schema();
        let options = arrow::util::display::FormatOptions::default().with_null("NULL");
        let value = |i: usize| {
            let text =
                arrow::util::display::ArrayFormatter::try_new(part.rows().column(i), &options).map(|f| f.value(row).to_string());
            format!("{} = {}", source.columns[i].name, text.unwrap_or_default())
        };
        let key: Vec<_> = source.key_indexes().into_iter().take(8).map(value).collect();
        let message = format!(
            "the row ({}) of {} at position {} came without its columns {:?}, and lakebox has no former image of it to take them from",
            key.join(", "),
            self.id,
            part.position(row),
            part.unchanged(row),
        );
        Error::new(Kind::Table, message).with_hint("Resync the table, so that it is copied anew.")
    }
}

fn lives_in(table: Option<&TableLedger>, segments: &[Segment], place: Location) -> bool {
    let visible = table.and_then(|t| t.files.get(&place.file()));
    visible.map_or_else(|| segments.iter().any(|s| s.ordinal == place.file()), |f| !f.deleted.contains(place.row()))
}
