use super::{SystemTable, batch, from_rows, int, required, schema_of};
use api::Advice;
use arrow::{
    array::{Int64Array, StringArray},
    datatypes::DataType,
};
use std::sync::Arc;

/// `system.advice`: one row per layout that would let queries read less, the most saving first, from a function that knows them.
pub fn advice(rows: impl Fn() -> Vec<Advice> + Send + Sync + 'static) -> Arc<dyn SystemTable> {
    let schema = schema_of(vec![
        required("id", DataType::Utf8),
        required("table_name", DataType::Utf8),
        required("kind", DataType::Utf8),
        required("columns", DataType::Utf8),
        required("queries", DataType::Int64),
        required("read_bytes", DataType::Int64),
        required("expected_bytes", DataType::Int64),
        required("saved_bytes", DataType::Int64),
        required("advice", DataType::Utf8),
    ]);
    let of = Arc::clone(&schema);
    from_rows("advice", schema, move || {
        let all = rows();
        let texts = |f: &dyn Fn(&Advice) -> String| Arc::new(all.iter().map(|a| Some(f(a))).collect::<StringArray>());
        let counts = |f: &dyn Fn(&Advice) -> u64| Arc::new(all.iter().map(|a| Some(int(f(a)))).collect::<Int64Array>());
        batch(
            Arc::clone(&of),
            vec![
                texts(&|a| a.id.clone()),
                texts(&|a| a.table.clone()),
                texts(&|a| a.kind.clone()),
                texts(&|a| a.columns.join(", ")),
                counts(&|a| a.queries),
                counts(&|a| a.read_bytes),
                counts(&|a| a.expected_bytes),
                counts(&|a| a.saved_bytes),
                texts(&|a| a.text.clone()),
            ],
        )
    })
}
