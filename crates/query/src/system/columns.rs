use super::{SystemTable, batch, optional, required, schema_of};
use crate::{Error, sql_type_name};
use arrow::{
    array::{BooleanArray, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, SchemaRef},
};
use async_trait::async_trait;
use lake::LakeView;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::sync::Arc;

/// `system.columns`: one row per column of each table of the lake.
#[derive(Debug)]
pub(super) struct Columns;

#[async_trait]
impl SystemTable for Columns {
    fn name(&self) -> &str {
        "columns"
    }

    fn schema(&self) -> SchemaRef {
        schema_of(vec![
            required("table_schema", DataType::Utf8),
            required("table_name", DataType::Utf8),
            required("position", DataType::Int32),
            required("column_name", DataType::Utf8),
            required("data_type", DataType::Utf8),
            required("nullable", DataType::Boolean),
            required("in_key", DataType::Boolean),
            optional("field_id", DataType::Int32),
        ])
    }

    async fn rows(&self, view: &LakeView) -> Result<RecordBatch, Error> {
        let all: Vec<_> = view
            .tables
            .values()
            .flat_map(|t| t.schema.fields().iter().enumerate().map(move |(i, field)| (t, i, field)))
            .collect();
        let position = |i: usize| i32::try_from(i + 1).unwrap_or(i32::MAX);
        batch(
            self.schema(),
            vec![
                Arc::new(all.iter().map(|(t, _, _)| Some(t.table.layer.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(t, _, _)| Some(t.table.name.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(_, i, _)| Some(position(*i))).collect::<Int32Array>()),
                Arc::new(all.iter().map(|(_, _, f)| Some(f.name().as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(_, _, f)| Some(sql_type_name(f.data_type()))).collect::<StringArray>()),
                Arc::new(all.iter().map(|(_, _, f)| Some(f.is_nullable())).collect::<BooleanArray>()),
                Arc::new(all.iter().map(|(t, _, f)| Some(t.key.contains(f.name()))).collect::<BooleanArray>()),
                Arc::new(
                    all.iter().map(|(_, _, f)| f.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()).collect::<Int32Array>(),
                ),
            ],
        )
    }
}
