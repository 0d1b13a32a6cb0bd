use super::{SystemTable, batch, from_rows, int, optional, required, schema_of, time, times};
use api::Pipeline;
use arrow::{
    array::{Float64Array, Int64Array, StringArray},
    datatypes::DataType,
};
use std::sync::Arc;

/// `system.pipelines`: one row per pipeline, from a function that knows them.
pub fn pipelines(rows: impl Fn() -> Vec<Pipeline> + Send + Sync + 'static) -> Arc<dyn SystemTable> {
    let schema = schema_of(vec![
        required("name", DataType::Utf8),
        required("source", DataType::Utf8),
        required("state", DataType::Utf8),
        optional("cursor", DataType::Utf8),
        optional("lag_bytes", DataType::Int64),
        optional("lag_ms", DataType::Int64),
        required("rows_total", DataType::Int64),
        required("rows_per_s", DataType::Float64),
        optional("last_commit_at", time()),
        required("tables", DataType::Int64),
        required("dead_letters", DataType::Int64),
        required("restarts", DataType::Int64),
        optional("error", DataType::Utf8),
        optional("hint", DataType::Utf8),
    ]);
    let of = Arc::clone(&schema);
    from_rows("pipelines", schema, move || {
        let all = rows();
        let texts = |f: &dyn Fn(&Pipeline) -> Option<String>| Arc::new(all.iter().map(f).collect::<StringArray>());
        let counts = |f: &dyn Fn(&Pipeline) -> Option<u64>| Arc::new(all.iter().map(|p| f(p).map(int)).collect::<Int64Array>());
        batch(
            Arc::clone(&of),
            vec![
                texts(&|p| Some(p.name.clone())),
                texts(&|p| Some(p.source.clone())),
                texts(&|p| Some(p.state.clone())),
                texts(&|p| p.cursor.clone()),
                counts(&|p| p.lag_bytes),
                counts(&|p| p.lag_ms),
                counts(&|p| Some(p.rows_total)),
                Arc::new(all.iter().map(|p| Some(p.rows_per_s)).collect::<Float64Array>()),
                times(all.iter().map(|p| p.last_commit_at)),
                counts(&|p| Some(p.tables.len() as u64)),
                counts(&|p| Some(p.dead_letters)),
                counts(&|p| Some(p.restarts)),
                texts(&|p| p.last_error.as_ref().map(|e| e.message.clone())),
                texts(&|p| p.last_error.as_ref().and_then(|e| e.hint.clone())),
            ],
        )
    })
}
