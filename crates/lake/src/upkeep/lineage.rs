//! Row lineage across rewrites: a row keeps its id, and the sequence number of its last change, in whichever file it is.
//!
//! After "Row Lineage" of the Iceberg specification, version 3. A row's id is what its file says in the column `_row_id`, and where it says nothing the id
//! of the file's first row and its position. The same goes for `_last_updated_sequence_number` and the file's sequence number. Rows that move are written
//! with both, so that readers and change feeds see the same rows as before.

use crate::{Error, table::FileRecord, with_field_id};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use std::sync::Arc;

/// Reserved field ids of the two columns.
const ROW_ID: i32 = 2_147_483_540;
const LAST_UPDATED: i32 = 2_147_483_539;

/// The field ids that are read along.
pub(super) const COLUMNS: [i32; 2] = [ROW_ID, LAST_UPDATED];

/// A table's columns, and behind them those of lineage.
pub(super) fn schema(table: &Schema) -> SchemaRef {
    let column = |name: &str, id: i32| Arc::new(with_field_id(&Field::new(name, DataType::Int64, true), id));
    let lineage = [column("_row_id", ROW_ID), column("_last_updated_sequence_number", LAST_UPDATED)];
    Arc::new(Schema::new(table.fields().iter().cloned().chain(lineage).collect::<Vec<_>>()))
}

/// Where the rows of one file come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    first_row_id: Option<i64>,
    sequence: i64,
}

impl Origin {
    pub(super) fn of(file: &FileRecord) -> Self {
        Self { first_row_id: file.first_row_id, sequence: file.sequence }
    }

    /// The columns of lineage for rows at `places` of the file, where `found` are those that the file has itself.
    ///
    /// Rows of a file without ids, as a table has them that was upgraded and not written to since, have none yet: they get theirs where they go.
    fn columns(self, places: &[u32], found: [Option<&Int64Array>; 2]) -> [ArrayRef; 2] {
        let said = |column: Option<&Int64Array>, at: usize| column.filter(|c| c.is_valid(at)).map(|c| c.value(at));
        let ids: Int64Array = places
            .iter()
            .enumerate()
            .map(|(at, place)| said(found[0], at).or_else(|| Some(self.first_row_id? + i64::from(*place))))
            .collect();
        let changes: Int64Array =
            (0..places.len()).map(|at| ids.is_valid(at).then(|| said(found[1], at).unwrap_or(self.sequence))).collect();
        [Arc::new(ids), Arc::new(changes)]
    }
}

/// `rows` of the table with their lineage. `read` are the same rows as their file has them, under `found`, and `places` their positions in it.
pub(super) fn added(
    schema: &SchemaRef,
    rows: &RecordBatch,
    read: &RecordBatch,
    found: &Schema,
    places: &[u32],
    origin: Origin,
) -> Result<RecordBatch, Error> {
    let column =
        |id| crate::sink::shape::position(found, Some(id)).and_then(|at| read.column(at).as_primitive_opt::<Int64Type>());
    let lineage = origin.columns(places, COLUMNS.map(column));
    let columns = rows.columns().iter().cloned().chain(lineage).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| Error::bug("keeping the ids of rows", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_what_is_said_of_them_and_get_what_is_not() {
        let origin = Origin { first_row_id: Some(100), sequence: 7 };
        let values = |columns: [ArrayRef; 2]| columns.map(|c| c.as_primitive::<Int64Type>().iter().collect::<Vec<_>>());
        assert_eq!(values(origin.columns(&[0, 3], [None, None])), [vec![Some(100), Some(103)], vec![Some(7), Some(7)]]);
        let (ids, changes) = (Int64Array::from(vec![Some(5), None]), Int64Array::from(vec![None, Some(2)]));
        let found = [Some(&ids), Some(&changes)];
        // A row that was changed has its former id, and no number of its last change: that is the file's.
        assert_eq!(values(origin.columns(&[1, 2], found)), [vec![Some(5), Some(102)], vec![Some(7), Some(2)]]);
        let unknown = Origin { first_row_id: None, sequence: 7 };
        assert_eq!(values(unknown.columns(&[1, 2], found)), [vec![Some(5), None], vec![Some(7), None]]);
    }
}
