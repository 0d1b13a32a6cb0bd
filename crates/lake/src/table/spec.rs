use arrow::datatypes::SchemaRef;

/// What a table looks like: the shape that a commit creates it with or gives it from then on.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// The columns. Every field, and the item of every list, carries its Iceberg field id in [`super::FIELD_ID`]. A field that is not nullable is
    /// required in every row that is visible; a metadata entry `doc` becomes the column's description.
    pub schema: SchemaRef,
    /// Names of the columns that identify a row; empty where none do.
    pub key: Vec<String>,
    /// Sort order as (column, descending), which describes files written from now on; empty where unsorted.
    pub sort_order: Vec<(String, bool)>,
}

impl TableSpec {
    /// An unsorted table without a key.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, key: Vec::new(), sort_order: Vec::new() }
    }
}
