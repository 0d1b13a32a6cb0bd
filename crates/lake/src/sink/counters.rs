use model::TableId;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// What is known of one table of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Changes accepted since the sink was made.
    pub rows: u64,
    /// Rows in memory that are visible and not committed yet.
    pub hot_rows: u64,
    /// The last error that named the table.
    pub last_error: Option<String>,
}

/// Counters of a sink's tables, to be read by anybody at any time.
#[derive(Debug, Clone, Default)]
pub struct SinkCounters {
    tables: Arc<Mutex<BTreeMap<TableId, TableCounters>>>,
}

impl SinkCounters {
    /// What is known now.
    pub fn tables(&self) -> BTreeMap<TableId, TableCounters> {
        self.tables.lock().clone()
    }

    pub(crate) fn change(&self, table: &TableId, change: impl FnOnce(&mut TableCounters)) {
        let mut tables = self.tables.lock();
        if !tables.contains_key(table) {
            tables.insert(table.clone(), TableCounters::default());
        }
        if let Some(counters) = tables.get_mut(table) {
            change(counters);
        }
    }
}
