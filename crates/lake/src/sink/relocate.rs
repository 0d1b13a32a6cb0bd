//! Learns of files that upkeep rewrote: the ledger swaps them, places that the key index still names are led to the new ones, and meanwhile the index is
//! brought up to date.
//!
//! Between transactions and while no commit is under way, so that nothing pending names a place: what is sealed has been led already
//! ([`crate::commit::moves`]), and what is open is in the ledger alone.

use super::{
    applier::{Applier, Index},
    context::{Context, index_failed},
    former,
    ledger::{Ledger, SilverFile, TableLedger},
    shape::{KeyRule, Shape, columns_as},
};
use crate::{
    Error,
    index::{IndexError, KeyIndex, Location, occurrence},
    table::moved::Moved,
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::Field,
};
use hashbrown::HashSet;
use model::{LakeTable, TableId};
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where places went that a key index may still name, by the ordinal of their file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relocations {
    files: BTreeMap<u32, Relocation>,
}

#[derive(Debug, Clone)]
struct Relocation {
    path: Path,
    moved: Arc<Moved>,
    /// The ordinals of the new files.
    new: Arc<[u32]>,
}

impl Relocations {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Where a place is now; none where its row was deleted before it could move.
    pub(crate) fn lead(&self, mut place: Location) -> Location {
        while !place.is_none()
            && let Some(relocation) = self.files.get(&place.file())
        {
            let to = relocation.moved.place(&relocation.path, place.row());
            let to = to.and_then(|(at, row)| Some(Location::new(*relocation.new.get(at)?, row)));
            place = to.unwrap_or(Location::NONE);
        }
        place
    }
}

/// An index on its way to name new places itself.
#[derive(Debug)]
pub(crate) struct Relocating {
    done: Arc<AtomicBool>,
    /// Files that nothing names once it is done.
    old: Vec<u32>,
}

/// What a table has learned and its index has not.
#[derive(Debug, Default)]
pub(crate) struct Relocated {
    pub places: Arc<Relocations>,
    /// New files whose keys are to be read.
    waiting: Vec<(u32, Path)>,
    under_way: Option<Relocating>,
}

impl Relocated {
    fn is_done(&self) -> bool {
        self.places.is_empty() && self.waiting.is_empty() && self.under_way.is_none()
    }
}

impl Context {
    /// Learns of everything that was rewritten since the last time. Says whether views changed.
    pub(crate) fn learn(&self, ledger: &mut Ledger, appliers: &mut BTreeMap<TableId, Applier>) -> bool {
        let moves = self.tables.moves();
        let idle = !moves.any() && appliers.values().all(|a| a.relocated.is_done());
        if idle || self.commit.running.load(Ordering::Acquire) {
            return false;
        }
        let mut learned = false;
        for (table, moved) in moves.of(&self.source) {
            let ours = ledger.tables.iter_mut().find(|(_, t)| t.bronze == table || t.silver.as_ref() == Some(&table));
            if let Some((id, of)) = ours {
                if of.bronze == table {
                    of.bronze_state = self.tables.state(&table);
                } else if let Some(applier) = appliers.get_mut(id) {
                    learn_silver(self, &table, of, applier, &moved);
                }
                of.dirty = true;
                learned = true;
            }
            moves.learned(&table, &moved);
        }
        for (id, applier) in appliers.iter_mut() {
            relocate(self, applier);
            let places = &applier.relocated.places;
            let Some(of) = ledger.tables.get_mut(id) else { continue };
            // Views let go of what the index has learned: it can be large.
            if let Some(lookup) = of.lookup.as_mut().filter(|lookup| !Arc::ptr_eq(&lookup.places, places)) {
                (lookup.places, lookup.trail) = (Arc::clone(places), Arc::clone(&applier.trail));
                (of.dirty, learned) = (true, true);
            }
        }
        ledger.unpublished |= learned;
        learned
    }
}

/// Swaps the files in the ledger.
fn learn_silver(cx: &Context, table: &LakeTable, ledger: &mut TableLedger, applier: &mut Applier, moved: &Arc<Moved>) {
    let old: Vec<(u32, Path)> =
        ledger.files.iter().filter(|(_, f)| moved.has(&f.path)).map(|(ordinal, f)| (*ordinal, f.path.clone())).collect();
    // A truncate took them away meanwhile; its commit takes the new ones.
    if old.is_empty() {
        return;
    }
    let new: Arc<[u32]> = moved.new_files().map(|file| applier.new_ordinal(file.path.as_ref())).collect();
    let mut deleted: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
    let mut places = Relocations::clone(&applier.relocated.places);
    for (ordinal, path) in &old {
        let lead = |rows: &RoaringBitmap| -> Vec<(u32, RoaringBitmap)> {
            moved.carry(path, rows).into_iter().filter_map(|(at, rows)| Some((*new.get(at)?, rows))).collect()
        };
        if let Some(file) = ledger.files.remove(ordinal) {
            for (to, rows) in lead(&file.deleted) {
                *deleted.entry(to).or_default() |= rows;
            }
        }
        if let Some(rows) = ledger.group.deletes.remove(ordinal) {
            for (to, rows) in lead(&rows) {
                *ledger.group.deletes.entry(to).or_default() |= rows;
            }
        }
        places.files.insert(*ordinal, Relocation { path: path.clone(), moved: Arc::clone(moved), new: Arc::clone(&new) });
    }
    for (ordinal, file) in new.iter().zip(moved.new_files()) {
        let deleted = Arc::new(deleted.remove(ordinal).unwrap_or_default());
        ledger.files.insert(*ordinal, SilverFile { path: file.path.clone(), committed: Some(file.clone()), deleted });
        applier.relocated.waiting.push((*ordinal, file.path.clone()));
    }
    ledger.silver_state = cx.tables.state(table);
    if applier.index.is_some() {
        applier.relocated.places = Arc::new(places);
    }
}

/// Lets the index of a table learn what the table has learned, in the background, one piece at a time.
fn relocate(cx: &Context, applier: &mut Applier) {
    let Some(index) = applier.index.clone() else {
        applier.relocated = Relocated::default();
        return;
    };
    if let Some(under_way) = &applier.relocated.under_way {
        if !under_way.done.load(Ordering::Acquire) {
            return;
        }
        let mut places = Relocations::clone(&applier.relocated.places);
        let mut keys = index.keys.lock();
        for old in &under_way.old {
            places.files.remove(old);
            keys.forget(*old);
        }
        drop(keys);
        applier.relocated.places = Arc::new(places);
        applier.relocated.under_way = None;
        // It may name rows of the files that were just forgotten.
        applier.trail = Arc::default();
    }
    let waiting = std::mem::take(&mut applier.relocated.waiting);
    // What was rewritten once more has nothing to say.
    let waiting: Vec<_> =
        waiting.into_iter().filter(|(ordinal, _)| !applier.relocated.places.files.contains_key(ordinal)).collect();
    if waiting.is_empty() && applier.relocated.places.is_empty() {
        return;
    }
    let done = Arc::new(AtomicBool::new(false));
    let old = applier.relocated.places.files.keys().copied().collect();
    applier.relocated.under_way = Some(Relocating { done: Arc::clone(&done), old });
    let work = Reread {
        cx: cx.clone(),
        id: applier.id.clone(),
        shape: Arc::clone(&applier.shape),
        index,
        places: Arc::clone(&applier.relocated.places),
    };
    let background = Arc::clone(&cx.background);
    background.tasks.spawn(format!("key index of {} follows a rewrite", applier.id), async move {
        match work.run(waiting).await {
            Ok(()) => done.store(true, Ordering::Release),
            Err(error) => work.cx.background.fail(error),
        }
    });
}

/// Reads the keys of new files and lets the index name their places, where it named those that they came from.
struct Reread {
    cx: Context,
    id: TableId,
    shape: Arc<Shape>,
    index: Index,
    places: Arc<Relocations>,
}

impl Reread {
    async fn run(&self, files: Vec<(u32, Path)>) -> Result<(), Error> {
        for (ordinal, path) in files {
            self.file(ordinal, &path).await?;
            self.index.keys.lock().completed(ordinal);
            self.cx.tend(&self.id, &self.index);
        }
        Ok(())
    }

    async fn file(&self, ordinal: u32, path: &Path) -> Result<(), Error> {
        let ids = self.shape.key_ids();
        let mut keys = Keys {
            shape: Arc::clone(&self.shape),
            fields: self.shape.key_columns(),
            places: Arc::clone(&self.places),
            ordinal,
            next: 0,
            walked: HashSet::new(),
        };
        let mut batches = former::open(&self.cx.store, path, ids, None).await?;
        loop {
            // Rows that arrive meanwhile have entries of their own to make.
            self.cx.wait_while_crowded(&self.index).await?;
            let (handle, index) = (tokio::runtime::Handle::current(), self.index.clone());
            let next = runtime::blocking("indexing keys", move || {
                let batch = handle.block_on(batches.next()).transpose()?;
                let taken = batch.map(|batch| keys.take(&batch, &mut index.keys.lock())).transpose()?;
                Ok::<_, Error>((batches, keys, taken))
            });
            let taken;
            (batches, keys, taken) = next.await??;
            let Some(taken) = taken else { return Ok(()) };
            taken.map_err(|e| index_failed(&self.id, Some(&self.index.dir), e))?;
            self.cx.tend(&self.id, &self.index);
        }
    }
}

/// Puts the places of one new file into an index.
struct Keys {
    shape: Arc<Shape>,
    fields: Vec<Field>,
    places: Arc<Relocations>,
    ordinal: u32,
    next: u32,
    /// Rows with many equals whose places were all put.
    walked: HashSet<u128>,
}

/// So many equal rows are worth to be remembered.
const EQUALS_MANY: u32 = 64;

impl Keys {
    fn take(&mut self, batch: &RecordBatch, index: &mut KeyIndex) -> Result<Result<(), IndexError>, Error> {
        let first = self.next;
        self.next += batch.num_rows() as u32;
        let columns = columns_as(&self.fields, batch, &batch.schema())?;
        Ok(self.put(first, &columns, index))
    }

    fn put(&mut self, first: u32, columns: &[ArrayRef], index: &mut KeyIndex) -> Result<(), IndexError> {
        match &self.shape.key {
            KeyRule::None => Ok(()),
            KeyRule::Columns { encoder, .. } => {
                let keys = encoder.encode(columns)?;
                let places: Vec<_> = (0..keys.len() as u32).map(|row| Location::new(self.ordinal, first + row)).collect();
                index.relocate(&keys, &places, |place| self.places.lead(place))
            }
            KeyRule::WholeRow { encoder, .. } => {
                let mut seen = HashSet::new();
                for row in encoder.encode(columns)? {
                    if seen.insert(row) && !self.walked.contains(&row) {
                        let equals = self.walk(row, index)?;
                        if equals >= EQUALS_MANY {
                            self.walked.insert(row);
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Puts the places of all rows that equal `row`. Says how many there are.
    fn walk(&self, row: u128, index: &mut KeyIndex) -> Result<u32, IndexError> {
        let mut number = 0;
        loop {
            let key = occurrence(row, number);
            let place = index.get(key)?;
            if place.is_none() {
                return Ok(number);
            }
            let now = self.places.lead(place);
            if now != place && now.file() == self.ordinal {
                index.relocate(&[key], &[now], |place| self.places.lead(place))?;
            }
            number += 1;
        }
    }
}
