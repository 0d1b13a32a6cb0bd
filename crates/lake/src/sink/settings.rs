use crate::index::IndexSettings;
use runtime::ByteBudget;
use std::{path::PathBuf, time::Duration};

/// How the sink of one source uses memory, disk and time.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// Local directory of the key indexes; each table has a folder in it. Losing it costs a rebuild, nothing else.
    pub index_dir: PathBuf,
    /// Memory for rows that are not committed yet, shared with whoever holds a clone.
    pub budget: ByteBudget,
    /// The shortest time between two views that queries get.
    pub publish_every: Duration,
    /// Rows of a data file at most.
    pub file_rows_max: u32,
    /// Bytes of a data file, about, at most.
    pub file_bytes_max: u64,
    /// Rows that wait before they are encoded together.
    pub encode_rows: usize,
    /// Bytes in memory that wait before they are encoded together.
    pub encode_bytes: usize,
    /// The key indexes.
    pub index: IndexSettings,
}

impl SinkSettings {
    /// The usual settings with indexes in `index_dir`.
    pub fn new(index_dir: impl Into<PathBuf>, budget: ByteBudget) -> Self {
        Self {
            index_dir: index_dir.into(),
            budget,
            publish_every: Duration::from_millis(50),
            file_rows_max: 1 << 20,
            file_bytes_max: 128 << 20,
            encode_rows: 64 << 10,
            encode_bytes: 4 << 20,
            index: IndexSettings::default(),
        }
    }
}
