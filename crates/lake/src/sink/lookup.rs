//! Where the rows of given keys stand in one view, as the key index says: a query for a few rows reads those rows and no others.
//!
//! The index is always ahead of a view, or level with it: entries are put as rows arrive, views are published at boundaries. An entry that names
//! a row of the view is the only row that its key can have there, because a later one would have replaced the entry. An entry that names a row
//! from after the view says nothing of the view; then the [`Trail`] tells what that row replaced, and where it does not reach, nobody knows: the
//! caller has to look at all rows.

use super::{hot::HotFile, relocate::Relocations, trail::Trail};
use crate::index::{KeyEncoder, KeyIndex, Location};
use arrow::array::ArrayRef;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// So many rows from after the view are followed back to what they replaced.
const FOLLOWED_MOST: usize = 4096;

/// Finds rows of one [`crate::TableView`] by key.
pub struct KeyLookup {
    source: LookupSource,
    /// Files with an ordinal below this one that are not among `files` left the table before the view; others came after it.
    horizon: u32,
    /// What the view has of each file, by its ordinal, in order.
    files: Vec<(u32, Standing)>,
}

impl std::fmt::Debug for KeyLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyLookup").field("key", &self.source.key_ids).field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// Rows that were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoundRows {
    /// Positions in data files, by the number of the file in the view.
    pub files: BTreeMap<usize, RoaringBitmap>,
    /// Positions in batches that are not committed, by the number of the batch in the view.
    pub hot: BTreeMap<usize, RoaringBitmap>,
}

/// The parts of a table's state that views share and that only grow.
#[derive(Debug, Clone)]
pub(crate) struct LookupSource {
    pub keys: Arc<Mutex<KeyIndex>>,
    /// Where places are now that the index may still name.
    pub places: Arc<Relocations>,
    pub trail: Arc<Trail>,
    pub encoder: KeyEncoder,
    /// Field ids of the key columns, in the order in which keys are encoded.
    pub key_ids: Arc<[i32]>,
}

/// What a view has of a file.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It is committed, and the view's file number `at`, unless all of its rows are deleted.
    File { at: Option<usize>, rows: u64, deleted: Arc<RoaringBitmap> },
    /// Its rows are in memory.
    Hot { batches: Vec<HotPart>, deleted: Arc<RoaringBitmap> },
}

/// Rows of a file that is not committed.
#[derive(Debug)]
pub(crate) struct HotPart {
    pub first: u32,
    pub end: u32,
    /// Their number among the view's hot batches, unless all are deleted.
    pub at: Option<usize>,
}

/// What a view knows of a place.
enum Sight {
    /// No live row of the view.
    Dead,
    File(usize, u32),
    Hot(usize, u32),
    /// It came after the view.
    Later,
}

impl Standing {
    /// A file of which only some rows are visible, in memory. `at` are the numbers of its batches.
    pub(crate) fn hot(file: Option<&HotFile>, deleted: &Arc<RoaringBitmap>, at: &[Option<usize>]) -> Self {
        let batches = file.map(|f| f.batches.as_slice()).unwrap_or_default();
        let parts = batches.iter().zip(at).map(|(rows, &at)| HotPart { first: rows.first, end: rows.end(), at });
        Self::Hot { batches: parts.collect(), deleted: Arc::clone(deleted) }
    }

    fn sight(&self, row: u32) -> Sight {
        match self {
            Self::File { rows, .. } if u64::from(row) >= *rows => Sight::Later,
            Self::File { deleted, .. } | Self::Hot { deleted, .. } if deleted.contains(row) => Sight::Dead,
            Self::File { at, .. } => at.map_or(Sight::Later, |at| Sight::File(at, row)),
            Self::Hot { batches, .. } => {
                let part = batches.partition_point(|b| b.end <= row);
                let part = batches.get(part).filter(|b| b.first <= row);
                part.and_then(|b| Some(Sight::Hot(b.at?, row - b.first))).unwrap_or(Sight::Later)
            }
        }
    }
}

impl KeyLookup {
    pub(crate) fn new(source: LookupSource, horizon: u32, files: Vec<(u32, Standing)>) -> Self {
        Self { source, horizon, files }
    }

    /// Field ids of the columns that make up the key, in the order that [`Self::find`] takes them.
    pub fn key_ids(&self) -> &[i32] {
        &self.source.key_ids
    }

    /// All rows of the view that have one of these keys; `columns` are the key columns in order, none with a NULL. Nothing where it can't be told
    /// from the index: then the rows have to be looked for. It may wait for the disk, and for the sink as long as that puts one batch.
    pub fn find(&self, columns: &[ArrayRef]) -> Option<FoundRows> {
        let keys = self.source.encoder.encode(columns).ok()?;
        let places = {
            let index = self.source.keys.lock();
            keys.iter().map(|&key| index.get(key)).collect::<Result<Vec<_>, _>>()
        };
        let places = places
            .inspect_err(|error| tracing::warn!("a key index can't be asked, so rows are looked for in the table: {error}"))
            .ok()?;
        let mut found = FoundRows::default();
        for place in places {
            match self.follow(place)? {
                Sight::Dead | Sight::Later => {}
                Sight::File(at, row) => drop(found.files.entry(at).or_default().insert(row)),
                Sight::Hot(at, row) => drop(found.hot.entry(at).or_default().insert(row)),
            }
        }
        Some(found)
    }

    /// The row of the view that the key of this place had; nothing where that is not known.
    fn follow(&self, mut place: Location) -> Option<Sight> {
        for _ in 0..FOLLOWED_MOST {
            match self.sight(place) {
                Sight::Later => place = self.source.trail.former(place)?,
                seen => return Some(seen),
            }
        }
        None
    }

    fn sight(&self, place: Location) -> Sight {
        let place = self.source.places.lead(place);
        if place.is_none() {
            return Sight::Dead;
        }
        match self.files.binary_search_by_key(&place.file(), |(ordinal, _)| *ordinal) {
            Ok(at) => self.files[at].1.sight(place.row()),
            Err(_) if place.file() < self.horizon => Sight::Dead,
            Err(_) => Sight::Later,
        }
    }
}
