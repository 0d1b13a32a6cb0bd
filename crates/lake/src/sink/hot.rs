//! Rows that are accepted and not committed: in memory, at places that are already final.

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use roaring::RoaringBitmap;
use runtime::Share;
use std::sync::Arc;

/// Small batches are joined up to this many rows, so that many small transactions do not make many batches.
const JOIN_ROWS: usize = 8192;

/// Consecutive rows of a data file, under the file's columns.
#[derive(Debug, Clone)]
pub(crate) struct HotRows {
    /// Position of the first row in the file.
    pub first: u32,
    /// The rows.
    pub rows: RecordBatch,
    /// The memory they count for.
    pub shares: Vec<Arc<Share>>,
}

impl HotRows {
    /// The position after the last row.
    pub(crate) fn end(&self) -> u32 {
        self.first + self.rows.num_rows() as u32
    }

    /// Those of `deleted`, which are positions in the file, that are rows of this batch, as indexes into it.
    pub(crate) fn mask(&self, deleted: &RoaringBitmap) -> Option<Arc<RoaringBitmap>> {
        let inside = deleted.range(self.first..self.end()).map(|row| row - self.first);
        let mask = RoaringBitmap::from_sorted_iter(inside).unwrap_or_default();
        (!mask.is_empty()).then(|| Arc::new(mask))
    }
}

/// Finds the batch and the index in it of a position; none where the row is not in memory.
pub(crate) fn find(batches: &[HotRows], row: u32) -> Option<(&HotRows, usize)> {
    let at = batches.partition_point(|b| b.first <= row).checked_sub(1)?;
    let batch = &batches[at];
    (row < batch.end()).then(|| (batch, (row - batch.first) as usize))
}

/// A data file whose rows are visible before it is committed.
#[derive(Debug)]
pub(crate) struct HotFile {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its visible rows that are in memory, in order.
    pub batches: Vec<HotRows>,
    /// Whether rows of it were dropped from memory, so that it can't be shown before it is committed.
    pub spilled: bool,
}

impl HotFile {
    /// Appends rows, joined with former ones while they are few: a row is copied a few times at most.
    pub(crate) fn push(&mut self, mut next: HotRows) {
        while let Some(last) = self.batches.last() {
            let (before, after) = (last.rows.num_rows(), next.rows.num_rows());
            if last.end() != next.first || before + after > JOIN_ROWS || before > after * 2 {
                break;
            }
            let Ok(rows) = concat_batches(last.rows.schema_ref(), [&last.rows, &next.rows]) else { break };
            let Some(last) = self.batches.pop() else { break };
            let shares = last.shares.into_iter().chain(next.shares).collect();
            next = HotRows { first: last.first, rows, shares };
        }
        self.batches.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{AsArray, Int32Array},
        datatypes::Int32Type,
    };

    fn rows(first: u32, count: u32) -> HotRows {
        let column: arrow::array::ArrayRef = Arc::new(Int32Array::from_iter_values((first..first + count).map(|i| i as i32)));
        HotRows { first, rows: RecordBatch::try_from_iter([("n", column)]).unwrap(), shares: Vec::new() }
    }

    #[test]
    fn many_small_batches_become_few_and_every_row_is_found() {
        let schema = rows(0, 1).rows.schema();
        let mut file = HotFile { schema, batches: Vec::new(), spilled: false };
        let mut next = 0;
        for i in 0..5000 {
            let count = 1 + i % 7;
            file.push(rows(next, count));
            next += count;
        }
        assert!(file.batches.len() < 20, "{}", file.batches.len());
        for row in 0..next {
            let (batch, at) = find(&file.batches, row).unwrap();
            assert_eq!(batch.rows.column(0).as_primitive::<Int32Type>().value(at), row as i32);
        }
        assert!(find(&file.batches, next).is_none());
    }

    #[test]
    fn a_mask_holds_the_deleted_rows_of_its_batch() {
        let deleted: RoaringBitmap = [1, 9, 10, 12, 15].into_iter().collect();
        assert_eq!(rows(10, 5).mask(&deleted).map(|m| m.iter().collect::<Vec<_>>()), Some(vec![0, 2]));
        assert!(rows(2, 5).mask(&deleted).is_none());
    }
}
