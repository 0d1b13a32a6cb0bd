use super::{SystemTable, batch, int, required, schema_of};
use crate::Error;
use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, SchemaRef},
};
use async_trait::async_trait;
use lake::{LakeView, ViewFile};
use std::sync::Arc;

/// `system.files`: one row per live data file of each table. A file that bronze and silver share appears in both.
#[derive(Debug)]
pub(super) struct Files;

#[async_trait]
impl SystemTable for Files {
    fn name(&self) -> &str {
        "files"
    }

    fn schema(&self) -> SchemaRef {
        schema_of(vec![
            required("table_schema", DataType::Utf8),
            required("table_name", DataType::Utf8),
            required("path", DataType::Utf8),
            required("rows", DataType::Int64),
            required("deleted_rows", DataType::Int64),
            required("bytes", DataType::Int64),
        ])
    }

    async fn rows(&self, view: &LakeView) -> Result<RecordBatch, Error> {
        let all: Vec<_> = view.tables.values().flat_map(|t| t.files.iter().map(move |f| (t, f))).collect();
        let counts =
            |f: &dyn Fn(&ViewFile) -> u64| Arc::new(all.iter().map(|(_, file)| Some(int(f(file)))).collect::<Int64Array>());
        batch(
            self.schema(),
            vec![
                Arc::new(all.iter().map(|(t, _)| Some(t.table.layer.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(t, _)| Some(t.table.name.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(_, f)| Some(f.path.to_string())).collect::<StringArray>()),
                counts(&|f| f.rows),
                counts(&|f| f.deleted.as_ref().map_or(0, |d| d.len())),
                counts(&|f| f.bytes),
            ],
        )
    }
}
