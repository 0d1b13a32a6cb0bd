use super::{SystemTable, batch, from_rows, int, optional, required, schema_of, time, times};
use api::TableSnapshot;
use arrow::{
    array::{BooleanArray, Int64Array, StringArray},
    datatypes::DataType,
};
use model::LakeTable;
use std::sync::Arc;

/// `system.snapshots`: one row per Iceberg snapshot of each table, from a function that knows them.
pub fn snapshots(rows: impl Fn() -> Vec<(LakeTable, TableSnapshot)> + Send + Sync + 'static) -> Arc<dyn SystemTable> {
    let schema = schema_of(vec![
        required("table_schema", DataType::Utf8),
        required("table_name", DataType::Utf8),
        required("snapshot_id", DataType::Int64),
        required("committed_at", time()),
        required("operation", DataType::Utf8),
        required("added_rows", DataType::Int64),
        required("deleted_rows", DataType::Int64),
        required("added_files", DataType::Int64),
        required("added_bytes", DataType::Int64),
        required("total_rows", DataType::Int64),
        optional("cursor", DataType::Utf8),
        required("current", DataType::Boolean),
    ]);
    let of = Arc::clone(&schema);
    from_rows("snapshots", schema, move || {
        let all = rows();
        let counts =
            |f: &dyn Fn(&TableSnapshot) -> u64| Arc::new(all.iter().map(|(_, s)| Some(int(f(s)))).collect::<Int64Array>());
        batch(
            Arc::clone(&of),
            vec![
                Arc::new(all.iter().map(|(t, _)| Some(t.layer.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(t, _)| Some(t.name.as_str())).collect::<StringArray>()),
                Arc::new(all.iter().map(|(_, s)| Some(s.id.parse().unwrap_or(-1))).collect::<Int64Array>()),
                times(all.iter().map(|(_, s)| Some(s.at_us))),
                Arc::new(all.iter().map(|(_, s)| Some(s.operation.as_str())).collect::<StringArray>()),
                counts(&|s| s.added_rows),
                counts(&|s| s.deleted_rows),
                counts(&|s| s.added_files),
                counts(&|s| s.added_bytes),
                counts(&|s| s.total_rows),
                Arc::new(all.iter().map(|(_, s)| s.cursor.as_deref()).collect::<StringArray>()),
                Arc::new(all.iter().map(|(_, s)| Some(s.current)).collect::<BooleanArray>()),
            ],
        )
    })
}
