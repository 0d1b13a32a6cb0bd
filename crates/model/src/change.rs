use crate::{Position, TableSchema};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Field, Int64Type, TimeUnit},
    error::ArrowError,
};
use std::sync::Arc;

/// Name of the change column that holds [`Op::code`].
pub const OP: &str = "_op";
/// Name of the change column with the source's commit time (microseconds, UTC).
pub const COMMIT_TS: &str = "_commit_ts";
/// Name of the change column with the time lakebox read the change (microseconds, UTC).
pub const INGEST_TS: &str = "_ingest_ts";
/// Name of the change column with [`Position::pos`].
pub const POS: &str = "_pos";
/// Name of the change column with [`Position::seq`].
pub const SEQ: &str = "_seq";
/// Name of the change column with the source's transaction id, where it has one.
pub const XID: &str = "_xid";
/// Name of the change column that lists, as a JSON array of names, the columns the source did not send (unchanged TOAST
/// values); NULL where it sent all. The values of those columns are to be taken from the row's former image.
pub const UNCHANGED: &str = "_unchanged";

/// The change columns in the order in which they end every change batch.
pub const CHANGE_COLUMNS: [&str; 7] = [OP, COMMIT_TS, INGEST_TS, POS, SEQ, XID, UNCHANGED];

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A row was inserted.
    Create,
    /// A row was updated; the columns hold the new image.
    Update,
    /// A row was deleted; the columns hold at least the key.
    Delete,
    /// A row was read by a snapshot.
    Read,
    /// The table was emptied; the data columns are NULL.
    Truncate,
}

impl Op {
    /// The letter kept in [`OP`].
    pub const fn code(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
        }
    }

    /// The operation of a letter.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Read, Self::Truncate].into_iter().find(|op| op.code() == code)
    }
}

/// The Arrow fields of [`CHANGE_COLUMNS`].
pub fn change_fields() -> [Field; 7] {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    [
        Field::new(OP, DataType::Utf8, false),
        Field::new(COMMIT_TS, time.clone(), true),
        Field::new(INGEST_TS, time, false),
        Field::new(POS, DataType::Int64, false),
        Field::new(SEQ, DataType::Int64, false),
        Field::new(XID, DataType::Int64, true),
        Field::new(UNCHANGED, DataType::Utf8, true),
    ]
}

/// A change batch that breaks its own contract.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The columns are not those of the schema version it names.
    #[error("a change batch of {table} does not match its schema: {source}")]
    Shape {
        /// The source table.
        table: String,
        /// What Arrow found.
        source: ArrowError,
    },
}

/// Changes of one table under one schema version, in the order in which they happened.
///
/// A change of a row's key arrives as two rows: `d` with the old key at `_seq` n, then `u` with the new key and `_seq` n+1
/// under the same `_pos`. Where that `u` has [`UNCHANGED`] columns, their values belong to the row that the `d` named.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    schema: Arc<TableSchema>,
    rows: RecordBatch,
}

impl ChangeBatch {
    /// A batch of `columns`: one array for each data column of `schema`, then the change columns.
    ///
    /// # Errors
    /// When number, types or lengths of the arrays are not those of [`TableSchema::batch_schema`].
    pub fn try_new(schema: Arc<TableSchema>, columns: Vec<ArrayRef>) -> Result<Self, ChangeError> {
        match RecordBatch::try_new(schema.batch_schema(), columns) {
            Ok(rows) => Ok(Self { schema, rows }),
            Err(source) => Err(ChangeError::Shape { table: schema.id.to_string(), source }),
        }
    }

    /// The same change columns and rows under another schema and other data columns (what a transform returns).
    ///
    /// # Errors
    /// As [`Self::try_new`].
    pub fn from_batch(schema: Arc<TableSchema>, rows: RecordBatch) -> Result<Self, ChangeError> {
        Self::try_new(schema, rows.columns().to_vec())
    }

    /// The table and its shape.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// All columns: data, then change columns.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// How many changes.
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// Bytes held in memory, as Arrow counts them.
    pub fn byte_size(&self) -> usize {
        self.rows.get_array_memory_size()
    }

    /// How many data columns precede the change columns.
    pub fn data_width(&self) -> usize {
        self.schema.columns.len()
    }

    /// The operation of a row.
    pub fn op(&self, row: usize) -> Op {
        let column = self.rows.column(self.data_width()).as_string::<i32>();
        Op::from_code(column.value(row)).unwrap_or(Op::Update)
    }

    /// The position of a row.
    pub fn position(&self, row: usize) -> Position {
        let at = |i: usize| self.rows.column(self.data_width() + i).as_primitive::<Int64Type>().value(row);
        Position::new(at(3).cast_unsigned(), at(4).cast_unsigned())
    }

    /// The columns that the source did not send for a row; empty for almost all rows.
    pub fn unchanged(&self, row: usize) -> Vec<String> {
        let column = self.rows.column(self.data_width() + 6).as_string::<i32>();
        if column.is_null(row) {
            return Vec::new();
        }
        serde_json::from_str(column.value(row)).unwrap_or_default()
    }

    /// A slice of this batch without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self { schema: Arc::clone(&self.schema), rows: self.rows.slice(offset, length) }
    }
}

/// A change column of a batch by name, for readers that hold a plain `RecordBatch`.
pub fn column<'a>(rows: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
    rows.column_by_name(name)
}
