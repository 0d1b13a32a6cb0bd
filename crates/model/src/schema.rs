use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A table as its source names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId {
    /// Schema, database or other qualifier, for example `public`.
    pub schema: String,
    /// The bare name.
    pub name: String,
}

impl TableId {
    /// A table of `schema`.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// How rows of a table are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "columns")]
pub enum Key {
    /// These columns identify a row; silver upserts by them.
    Columns(Vec<String>),
    /// No key, but updates and deletes carry the whole old row. Equal rows count: one delete removes one of them.
    WholeRow,
    /// No key and no old rows: only inserts and truncates can be followed, silver appends.
    None,
}

/// A data column of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name at the source.
    pub name: String,
    /// The Arrow type its values have in every batch of this schema version.
    pub data_type: DataType,
    /// Whether the source allows NULL. Silver keeps non-key columns optional whatever this says.
    pub nullable: bool,
    /// The type as the source spells it, for people (`numeric(12,2)`).
    pub source_type: String,
}

/// One version of a source table's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Which table.
    pub id: TableId,
    /// Grows with every change of shape that the source sees. Only ever compared for equality within one run of a source.
    pub version: u32,
    /// The data columns in source order, without change columns.
    pub columns: Vec<Column>,
    /// How rows are told apart.
    pub key: Key,
}

impl TableSchema {
    /// The Arrow schema of this table's change batches: the data columns, then [`crate::change_fields`].
    ///
    /// Data columns are always nullable here, since a delete event may carry the key alone.
    pub fn batch_schema(&self) -> SchemaRef {
        let data = self.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true));
        Arc::new(Schema::new(data.chain(crate::change_fields()).collect::<Vec<_>>()))
    }

    /// Index of a data column by name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Indexes of the columns that identify a row: the key's, or all for [`Key::WholeRow`], or none.
    pub fn key_indexes(&self) -> Vec<usize> {
        match &self.key {
            Key::Columns(names) => names.iter().filter_map(|n| self.index_of(n)).collect(),
            Key::WholeRow => (0..self.columns.len()).collect(),
            Key::None => Vec::new(),
        }
    }
}
