//! What queries may see of one source: committed files, rows of finished transactions that wait for their commit, and which rows are gone.
//!
//! Everything here stands on the last boundary. What came after it is with the [`super::table::Applier`]s and unknown here.

use super::{
    hot::{HotFile, HotRows, find},
    lookup::{KeyLookup, LookupSource, Standing},
    shape::{Shape, project},
};
use crate::{
    Error, TableState, WrittenFile,
    view::{HotBatch, TableView, ViewFile},
};
use arrow::datatypes::SchemaRef;
use model::{Cursor, LakeTable, TableId};
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// One source's part of the view.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub tables: BTreeMap<TableId, TableLedger>,
    /// The last boundary.
    pub boundary: Option<Cursor>,
    /// The version of the cursor that the catalog has.
    pub cursor_version: Option<i64>,
    /// Whether the last boundary, or a commit, has not been shown yet.
    pub unpublished: bool,
    /// When queries last got a view.
    pub published_at: Option<Duration>,
}

/// One table of the source.
#[derive(Debug)]
pub(crate) struct TableLedger {
    pub bronze: LakeTable,
    /// Absent for tables that have only bronze.
    pub silver: Option<LakeTable>,
    pub shape: Arc<Shape>,
    pub bronze_state: Option<Arc<TableState>>,
    pub silver_state: Option<Arc<TableState>>,
    /// Files whose rows are not committed, in the order of arrival.
    pub hot: BTreeMap<u32, HotFile>,
    /// Files that silver consists of, committed or not.
    pub files: BTreeMap<u32, SilverFile>,
    /// What the next commit does to silver's rows, up to the last boundary.
    pub group: Effects,
    /// Whether the view of this table is out of date.
    pub dirty: bool,
    /// Finds rows by key; absent where rows have none, and while an index is new and does not agree with the last boundary.
    pub lookup: Option<LookupSource>,
    /// Every file with an ordinal below this one was silver's at some time up to the last boundary.
    pub horizon: u32,
}

/// A file of silver.
#[derive(Debug, Clone)]
pub(crate) struct SilverFile {
    pub path: Path,
    /// The file as readers open it, once it is committed.
    pub committed: Option<ViewFile>,
    /// Rows that are gone, up to the last boundary.
    pub deleted: Arc<RoaringBitmap>,
}

/// What a commit group does to rows of silver.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Rows that go, by file.
    pub deletes: BTreeMap<u32, RoaringBitmap>,
    /// Whether all files from before the group go.
    pub clear: bool,
}

/// What happened to a table since the last boundary.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// The shape, where it changed.
    pub shape: Option<Arc<Shape>>,
    /// New rows by file.
    pub rows: Vec<FreshRows>,
    /// Places that are gone, in any order, some perhaps twice.
    pub deletes: Vec<u64>,
    /// Files with an ordinal below this one left silver.
    pub clear_below: Option<u32>,
}

/// New rows of one file.
#[derive(Debug)]
pub(crate) struct FreshRows {
    pub ordinal: u32,
    pub path: Path,
    pub schema: SchemaRef,
    pub batches: Vec<HotRows>,
    pub spilled: bool,
}

/// A commit group of one table, sealed.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    /// Rows of silver that go, by file.
    pub deletes: Vec<(Path, RoaringBitmap)>,
    /// Whether all files from before the group leave silver.
    pub clear: bool,
}

impl TableLedger {
    /// A table as it is committed; `ordinals` names silver's files as the key index does.
    pub(crate) fn new(
        bronze: LakeTable,
        silver: Option<LakeTable>,
        shape: Arc<Shape>,
        states: [Option<Arc<TableState>>; 2],
        ordinals: &[u32],
    ) -> Self {
        let [bronze_state, silver_state] = states;
        let committed = silver_state.iter().flat_map(|s| s.files().iter()).zip(ordinals);
        let files = committed.map(|(file, &ordinal)| {
            let deleted = file.deleted.clone().unwrap_or_default();
            (ordinal, SilverFile { path: file.path.clone(), committed: Some(file.clone()), deleted })
        });
        let files = files.collect();
        Self {
            bronze,
            silver,
            shape,
            bronze_state,
            silver_state,
            hot: BTreeMap::new(),
            files,
            group: Effects::default(),
            dirty: true,
            lookup: None,
            horizon: 0,
        }
    }

    /// Moves on to the next boundary.
    pub(crate) fn advance(&mut self, delta: Delta) {
        self.dirty = true;
        if let Some(shape) = delta.shape {
            self.shape = shape;
        }
        for fresh in delta.rows {
            self.horizon = self.horizon.max(fresh.ordinal + 1);
            if self.silver.is_some() {
                let file = || SilverFile { path: fresh.path.clone(), committed: None, deleted: Arc::default() };
                self.files.entry(fresh.ordinal).or_insert_with(file);
            }
            let new = HotFile { schema: fresh.schema, batches: Vec::new(), spilled: false };
            let file = self.hot.entry(fresh.ordinal).or_insert(new);
            fresh.batches.into_iter().for_each(|rows| file.push(rows));
            file.spilled |= fresh.spilled;
        }
        if let Some(below) = delta.clear_below {
            self.files = self.files.split_off(&below);
            self.group.deletes = self.group.deletes.split_off(&below);
            self.group.clear = true;
        }
        self.delete(delta.deletes);
    }

    fn delete(&mut self, mut places: Vec<u64>) {
        places.sort_unstable();
        places.dedup();
        for places in places.chunk_by(|a, b| a >> 32 == b >> 32) {
            let ordinal = (places[0] >> 32) as u32;
            let Some(file) = self.files.get_mut(&ordinal) else { continue };
            let rows = places.iter().map(|&place| place as u32);
            let gone = Arc::make_mut(&mut file.deleted);
            let of_group = self.group.deletes.entry(ordinal).or_default();
            if places.len() < 64 {
                gone.extend(rows.clone());
                of_group.extend(rows);
            } else if let Ok(bitmap) = RoaringBitmap::from_sorted_iter(rows) {
                *gone |= &bitmap;
                *of_group |= bitmap;
            }
        }
    }

    /// The row at a place, where it is visible and in memory, with the columns it is under.
    pub(crate) fn row(&self, ordinal: u32, row: u32) -> Option<(&HotRows, usize)> {
        find(&self.hot.get(&ordinal)?.batches, row)
    }

    /// Ends the commit group.
    pub(crate) fn seal(&mut self) -> Sealed {
        let group = std::mem::take(&mut self.group);
        let deletes =
            group.deletes.into_iter().filter_map(|(ordinal, rows)| Some((self.files.get(&ordinal)?.path.clone(), rows)));
        Sealed { deletes: deletes.collect(), clear: group.clear }
    }

    /// The group's files are committed, and the tables now stand like this: the same rows are served from files from now on.
    pub(crate) fn committed(
        &mut self,
        bronze: Option<Arc<TableState>>,
        silver: Option<Arc<TableState>>,
        written: &[(u32, Arc<WrittenFile>)],
        moved: impl Fn(&Path) -> bool,
    ) -> Vec<u32> {
        self.dirty = true;
        for (ordinal, file) in written {
            self.hot.remove(ordinal);
            if let Some(silver) = self.files.get_mut(ordinal) {
                silver.committed = Some(file.view());
            }
        }
        if bronze.is_some() {
            self.bronze_state = bronze;
        }
        let Some(silver) = silver else { return Vec::new() };
        // What upkeep moved elsewhere stays until the sink learns of it.
        let left = |file: &SilverFile| file.committed.is_some() && silver.file(&file.path).is_none() && !moved(&file.path);
        let gone: Vec<u32> = self.files.iter().filter(|(_, file)| left(file)).map(|(&ordinal, _)| ordinal).collect();
        gone.iter().for_each(|ordinal| drop(self.files.remove(ordinal)));
        self.silver_state = Some(silver);
        gone
    }

    /// Whether rows that should be visible are not in memory any more, so that the boundary can't be shown before its commit.
    pub(crate) fn is_hidden(&self) -> bool {
        self.hot.values().any(|f| f.spilled)
    }

    /// Rows in memory that are not committed.
    pub(crate) fn hot_rows(&self) -> u64 {
        self.hot.values().flat_map(|f| &f.batches).map(|b| b.rows.num_rows() as u64).sum()
    }

    /// The table's views: bronze, and silver where there is one.
    pub(crate) fn views(&self) -> Result<Vec<Arc<TableView>>, Error> {
        let mut views = vec![Arc::new(self.bronze_view()?)];
        if let Some(silver) = self.silver_view()? {
            views.push(Arc::new(silver));
        }
        Ok(views)
    }

    fn bronze_view(&self) -> Result<TableView, Error> {
        let spec = &self.shape.bronze;
        let rows = self.hot.values().flat_map(|f| f.batches.iter().map(move |b| (f, b)));
        let hot = rows.map(|(file, b)| Ok(HotBatch { rows: project(&b.rows, &file.schema, &spec.schema)?, deleted: None }));
        Ok(TableView {
            table: self.bronze.clone(),
            schema: Arc::clone(&spec.schema),
            key: spec.key.clone(),
            sort_order: spec.sort_order.clone(),
            snapshot_id: self.bronze_state.as_ref().and_then(|s| s.view().snapshot_id),
            files: self.bronze_state.as_ref().map(|s| Arc::clone(s.files())).unwrap_or_default(),
            hot: hot.collect::<Result<_, Error>>()?,
            lookup: None,
        })
    }

    fn silver_view(&self) -> Result<Option<TableView>, Error> {
        let (Some(table), Some(spec)) = (&self.silver, &self.shape.silver) else { return Ok(None) };
        let mut files = Vec::new();
        let mut hot = Vec::new();
        let mut standing = Vec::with_capacity(if self.lookup.is_some() { self.files.len() } else { 0 });
        for (ordinal, file) in &self.files {
            if let Some(committed) = &file.committed {
                let deleted = (!file.deleted.is_empty()).then(|| Arc::clone(&file.deleted));
                let lives = file.deleted.len() < committed.rows;
                let at = lives.then_some(files.len());
                if lives {
                    files.push(ViewFile { deleted, ..committed.clone() });
                }
                let deleted = Arc::clone(&file.deleted);
                standing.push((*ordinal, Standing::File { at, rows: committed.rows, deleted }));
                continue;
            }
            let rows = self.hot.get(ordinal);
            let mut numbers = Vec::new();
            for (rows, batch) in rows.iter().flat_map(|rows| rows.batches.iter().map(move |batch| (rows, batch))) {
                let deleted = batch.mask(&file.deleted);
                let lives = deleted.as_ref().is_none_or(|d| d.len() < batch.rows.num_rows() as u64);
                numbers.push(lives.then_some(hot.len()));
                if lives {
                    hot.push(HotBatch { rows: project(&batch.rows, &rows.schema, &spec.schema)?, deleted });
                }
            }
            standing.push((*ordinal, Standing::hot(rows, &file.deleted, &numbers)));
        }
        let lookup = self.lookup.clone().map(|source| Arc::new(KeyLookup::new(source, self.horizon, standing)));
        Ok(Some(TableView {
            table: table.clone(),
            schema: Arc::clone(&spec.schema),
            key: spec.key.clone(),
            sort_order: spec.sort_order.clone(),
            snapshot_id: self.silver_state.as_ref().and_then(|s| s.view().snapshot_id),
            files: files.into(),
            hot: hot.into(),
            lookup,
        }))
    }
}
