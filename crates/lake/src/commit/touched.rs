//! Tables that an open SQL transaction changes: upkeep leaves them alone, since a rewrite under its feet would make the transaction fail.

use model::LakeTable;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// How many transactions are at work on each table.
#[derive(Debug, Default)]
pub(crate) struct Touching {
    tables: Mutex<HashMap<LakeTable, usize>>,
}

/// A transaction is at work on a table while this lives.
#[derive(Debug)]
pub(crate) struct Touched {
    touching: Arc<Touching>,
    table: LakeTable,
}

impl Touching {
    /// A transaction begins to change a table.
    pub(crate) fn begin(self: &Arc<Self>, table: &LakeTable) -> Touched {
        *self.tables.lock().entry(table.clone()).or_default() += 1;
        Touched { touching: Arc::clone(self), table: table.clone() }
    }

    /// Whether a transaction is at work on a table.
    pub(crate) fn is_touched(&self, table: &LakeTable) -> bool {
        self.tables.lock().contains_key(table)
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        let mut tables = self.touching.tables.lock();
        match tables.get_mut(&self.table) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(tables.remove(&self.table)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Layer;

    #[test]
    fn a_table_is_touched_until_the_last_transaction_lets_go() {
        let (touching, table) = (Arc::new(Touching::default()), LakeTable::new(Layer::Gold, "t"));
        let (first, second) = (touching.begin(&table), touching.begin(&table));
        drop(first);
        assert!(touching.is_touched(&table));
        drop(second);
        assert!(!touching.is_touched(&table));
    }
}
