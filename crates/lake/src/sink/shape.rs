use crate::{Error, Evolution, Kind, TableSpec, field_id, index::KeyEncoder};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use model::{Key, TableSchema};
use std::sync::Arc;

/// One version of how a source table's rows become rows of the lake.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The source's version, where the table is a source's.
    pub source: Option<Arc<TableSchema>>,
    /// What bronze looks like.
    pub bronze: TableSpec,
    /// What silver looks like, where there is one.
    pub silver: Option<TableSpec>,
    /// The columns of data files: those of a change batch, with field ids.
    pub file: SchemaRef,
    /// How rows are told apart.
    pub key: KeyRule,
}

/// How rows are told apart in silver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// By the columns at these indexes.
    Columns { encoder: KeyEncoder, indexes: Vec<usize> },
    /// By all data columns; equal rows count.
    WholeRow { encoder: KeyEncoder, indexes: Vec<usize> },
    /// Not at all.
    None,
}

impl Shape {
    /// The shape of a source table.
    pub(crate) fn new(source: &Arc<TableSchema>, evolution: Evolution) -> Result<Self, Error> {
        let indexes = source.key_indexes();
        let encoder = KeyEncoder::new(indexes.iter().map(|&i| evolution.file.field(i).data_type()));
        let encoder = encoder.map_err(|e| Error::new(Kind::Schema, format!("the key of {} can't be indexed: {e}", source.id)));
        let key = match &source.key {
            Key::Columns(names) if names.len() != indexes.len() => {
                let message =
                    format!("a key column of {} is missing from its columns; the key is ({})", source.id, names.join(", "));
                return Err(Error::new(Kind::Schema, message).with_hint("Let the table's transforms keep its key columns."));
            }
            Key::Columns(_) => KeyRule::Columns { encoder: encoder?, indexes },
            Key::WholeRow => KeyRule::WholeRow { encoder: encoder?, indexes },
            Key::None => KeyRule::None,
        };
        let Evolution { bronze, silver, file, .. } = evolution;
        Ok(Self { source: Some(Arc::clone(source)), bronze, silver: Some(silver), file, key })
    }

    /// Says which keys an index holds: another answer makes it worthless.
    pub(crate) fn index_signature(&self) -> String {
        match &self.key {
            KeyRule::None => String::new(),
            KeyRule::Columns { encoder, .. } => format!("key {:?} {}", self.key_ids(), encoder.signature()),
            KeyRule::WholeRow { encoder, .. } => format!("row {:?} {}", self.key_ids(), encoder.signature()),
        }
    }

    /// Field ids of the columns that tell rows apart.
    pub(crate) fn key_ids(&self) -> Vec<i32> {
        match &self.key {
            KeyRule::None => Vec::new(),
            KeyRule::Columns { indexes, .. } | KeyRule::WholeRow { indexes, .. } => {
                indexes.iter().filter_map(|&i| field_id(self.file.field(i))).collect()
            }
        }
    }

    /// The columns that tell rows apart, each of which a former file may lack; for [`columns_as`].
    pub(crate) fn key_columns(&self) -> Vec<Field> {
        let field = |id| Some(self.file.field(position(&self.file, Some(id))?).clone());
        self.key_ids().into_iter().filter_map(field).collect()
    }
}

/// The columns of `rows`, which are those of `from`, as `to` has them: matched by field id, widened where a column was promoted, NULL where `from`
/// has no such column.
pub(crate) fn columns_as<'a>(
    to: impl IntoIterator<Item = &'a Field>,
    rows: &RecordBatch,
    from: &Schema,
) -> Result<Vec<ArrayRef>, Error> {
    let column = |field: &Field| match position(from, field_id(field)) {
        Some(at) => widen(rows.column(at), field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    };
    to.into_iter().map(column).collect()
}

/// The same as rows of `to`.
pub(crate) fn project(rows: &RecordBatch, from: &Schema, to: &SchemaRef) -> Result<RecordBatch, Error> {
    let columns = columns_as(to.fields().iter().map(AsRef::as_ref), rows, from)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(to), columns, &options)
        .map_err(|e| Error::bug("showing rows that are not committed", e))
}

/// Where the column with this field id is.
pub(crate) fn position(schema: &Schema, id: Option<i32>) -> Option<usize> {
    id.and_then(|id| schema.fields().iter().position(|f| field_id(f) == Some(id)))
}

/// The column under a type that it was promoted to. Fails rather than lose a value.
pub(crate) fn widen(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, Error> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
        .map_err(|e| Error::bug(format!("widening a column from {} to {to}", column.data_type()), e))
}
