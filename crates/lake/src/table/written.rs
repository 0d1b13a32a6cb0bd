use super::bounds::Metrics;
use crate::{ColumnStats, partition::NewHome, store::Held, view::ViewFile};
use object_store::path::Path;
use std::{collections::BTreeMap, sync::Arc};

/// A data file that is written and synced, but that no table names yet. Several tables may come to share it.
#[derive(Debug)]
pub struct WrittenFile {
    /// Path inside the warehouse, as it was chosen before the first row.
    pub path: Path,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows, in the order in which they were written.
    pub rows: u64,
    pub(crate) metrics: Metrics,
    pub(crate) stats: Arc<BTreeMap<i32, ColumnStats>>,
    pub(crate) split_offsets: Vec<i64>,
    /// Whether the rows follow the sort order of the table they are for.
    pub(crate) sorted: bool,
    /// The partition it belongs to; none for unpartitioned tables.
    pub(crate) home: Option<NewHome>,
    /// Until somebody has committed it, or given it up, it is no orphan.
    pub(crate) _held: Held,
}

impl WrittenFile {
    /// Column statistics by field id.
    pub fn stats(&self) -> &Arc<BTreeMap<i32, ColumnStats>> {
        &self.stats
    }

    /// The file as queries see it, with no row deleted.
    pub fn view(&self) -> ViewFile {
        ViewFile {
            path: self.path.clone(),
            bytes: self.bytes,
            rows: self.rows,
            deleted: None,
            stats: Arc::clone(&self.stats),
            sorted: self.sorted,
        }
    }
}
