use crate::{KeyLookup, SqlView};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use model::{Cursor, LakeTable, Layer};
use roaring::RoaringBitmap;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// All tables of the lake at one moment: every table of a source stands at the same source transaction boundary.
///
/// A view is immutable and cheap to share. Queries plan and run against one view, so they never see half a transaction (I2).
#[derive(Debug, Clone, Default)]
pub struct LakeView {
    /// Every table, by name.
    pub tables: BTreeMap<LakeTable, Arc<TableView>>,
    /// Up to which cursor each source is visible (hot tail included).
    pub sources: BTreeMap<String, Cursor>,
    /// Views, by name. No table has the name of one.
    pub views: BTreeMap<LakeTable, Arc<SqlView>>,
    /// Schemas beside the layers, empty ones too.
    pub schemas: BTreeSet<Layer>,
    /// The view that this one was made over by a transaction: while it is held, so are the files that it names.
    pub base: Option<Arc<LakeView>>,
}

/// One table in a [`LakeView`]: committed files with their deleted rows, and the rows that are not committed yet.
#[derive(Debug, Clone)]
pub struct TableView {
    /// Its name.
    pub table: LakeTable,
    /// Its columns. Every field carries its Iceberg field id in the metadata key `PARQUET:field_id`.
    pub schema: SchemaRef,
    /// Names of the columns that identify a row; empty where none do.
    pub key: Vec<String>,
    /// Sort order as (column, descending); empty where unsorted.
    pub sort_order: Vec<(String, bool)>,
    /// The current Iceberg snapshot, if any.
    pub snapshot_id: Option<i64>,
    /// Live data files.
    pub files: Arc<[ViewFile]>,
    /// Rows accepted since the last commit, up to the view's boundary.
    pub hot: Arc<[HotBatch]>,
    /// Finds rows by key, where a sink keeps an index of the table. It speaks of `files` and `hot` as they are here.
    pub lookup: Option<Arc<KeyLookup>>,
}

/// A live data file.
#[derive(Debug, Clone)]
pub struct ViewFile {
    /// Path inside the lake's object store.
    pub path: object_store::path::Path,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows in the file, deleted ones included.
    pub rows: u64,
    /// Positions of deleted rows, committed or hot. Files never hold more than 2^32 rows.
    pub deleted: Option<Arc<RoaringBitmap>>,
    /// Column statistics by Iceberg field id. They describe all rows of the file, deleted ones included.
    pub stats: Arc<BTreeMap<i32, ColumnStats>>,
    /// Whether its rows follow the table's sort order, NULLs last where it ascends and first where it descends.
    pub sorted: bool,
}

/// What is known of a column in one file.
#[derive(Debug, Clone, Default)]
pub struct ColumnStats {
    /// Smallest value as an array of length one; absent where unknown. A truncated lower bound is still a lower bound.
    pub min: Option<ArrayRef>,
    /// Largest value as an array of length one; absent where unknown.
    pub max: Option<ArrayRef>,
    /// Whether both bounds are values that occur, rather than bounds cut short.
    pub exact: bool,
    /// NULLs, where known.
    pub nulls: Option<u64>,
    /// Bytes on disk, where known.
    pub bytes: Option<u64>,
    /// Where the file's partition is a bucket of this column: of how many buckets which one; that of NULLs has no number.
    pub bucket: Option<(u32, Option<i32>)>,
    /// The one value of all rows as an array of length one, by the file's partition, where the file itself may lack the column: tables that were taken over from
    /// Hive have such files.
    pub constant: Option<ArrayRef>,
}

/// Rows in memory, already in the table's schema.
#[derive(Debug, Clone)]
pub struct HotBatch {
    /// The rows.
    pub rows: RecordBatch,
    /// Positions in `rows` that are not to be seen.
    pub deleted: Option<Arc<RoaringBitmap>>,
}

impl TableView {
    /// Rows that a query sees.
    pub fn live_rows(&self) -> u64 {
        let in_files: u64 = self.files.iter().map(|f| f.rows - f.deleted.as_ref().map_or(0, |d| d.len())).sum();
        in_files + self.hot_rows()
    }

    /// Visible rows that are not committed yet.
    pub fn hot_rows(&self) -> u64 {
        self.hot.iter().map(|b| b.rows.num_rows() as u64 - b.deleted.as_ref().map_or(0, |d| d.len())).sum()
    }
}
