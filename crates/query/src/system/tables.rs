use super::{SystemTable, batch, int, optional, required, schema_of};
use crate::Error;
use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, SchemaRef},
};
use async_trait::async_trait;
use lake::{LakeView, TableView};
use std::sync::Arc;

/// `system.tables`: one row per table of the lake.
#[derive(Debug)]
pub(super) struct Tables;

#[async_trait]
impl SystemTable for Tables {
    fn name(&self) -> &str {
        "tables"
    }

    fn schema(&self) -> SchemaRef {
        schema_of(vec![
            required("table_schema", DataType::Utf8),
            required("table_name", DataType::Utf8),
            required("rows", DataType::Int64),
            required("hot_rows", DataType::Int64),
            required("deleted_rows", DataType::Int64),
            required("files", DataType::Int64),
            required("bytes", DataType::Int64),
            required("key", DataType::Utf8),
            required("sort_order", DataType::Utf8),
            optional("snapshot_id", DataType::Int64),
        ])
    }

    async fn rows(&self, view: &LakeView) -> Result<RecordBatch, Error> {
        let texts =
            |f: &dyn Fn(&TableView) -> String| Arc::new(view.tables.values().map(|t| Some(f(t))).collect::<StringArray>());
        let counts =
            |f: &dyn Fn(&TableView) -> u64| Arc::new(view.tables.values().map(|t| Some(int(f(t)))).collect::<Int64Array>());
        let deleted = |t: &TableView| t.files.iter().filter_map(|f| f.deleted.as_ref()).map(|d| d.len()).sum();
        let order = |t: &TableView| {
            let columns = t.sort_order.iter().map(|(c, descending)| if *descending { format!("{c} desc") } else { c.clone() });
            columns.collect::<Vec<_>>().join(", ")
        };
        batch(
            self.schema(),
            vec![
                texts(&|t| t.table.layer.to_string()),
                texts(&|t| t.table.name.clone()),
                counts(&TableView::live_rows),
                counts(&TableView::hot_rows),
                counts(&deleted),
                counts(&|t| t.files.len() as u64),
                counts(&|t| t.files.iter().map(|f| f.bytes).sum()),
                texts(&|t| t.key.join(", ")),
                texts(&order),
                Arc::new(view.tables.values().map(|t| t.snapshot_id).collect::<Int64Array>()),
            ],
        )
    }
}
