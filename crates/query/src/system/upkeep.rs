use super::{SystemTable, batch, from_rows, int, optional, required, schema_of, time, times};
use crate::Error;
use api::UpkeepRun;
use arrow::{
    array::{BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, SchemaRef},
};
use std::sync::Arc;

/// `system.upkeep`: one row per step of upkeep that did something, newest first, from a function that knows them.
pub fn upkeep(rows: impl Fn() -> Vec<UpkeepRun> + Send + Sync + 'static) -> Arc<dyn SystemTable> {
    from_rows("upkeep", run_schema(), move || runs(&rows()))
}

/// The columns of runs of upkeep.
pub(crate) fn run_schema() -> SchemaRef {
    schema_of(vec![
        optional("table_name", DataType::Utf8),
        required("step", DataType::Utf8),
        required("started_at", time()),
        required("elapsed_ms", DataType::Float64),
        required("asked", DataType::Boolean),
        required("files_before", DataType::Int64),
        required("files_after", DataType::Int64),
        required("bytes_before", DataType::Int64),
        required("bytes_after", DataType::Int64),
        required("rows", DataType::Int64),
        required("deleted_rows", DataType::Int64),
        required("snapshots", DataType::Int64),
        optional("error", DataType::Utf8),
    ])
}

/// Runs of upkeep as rows.
pub(crate) fn runs(all: &[UpkeepRun]) -> Result<RecordBatch, Error> {
    let counts = |f: &dyn Fn(&UpkeepRun) -> u64| Arc::new(all.iter().map(|r| Some(int(f(r)))).collect::<Int64Array>());
    batch(
        run_schema(),
        vec![
            Arc::new(all.iter().map(|r| r.table.as_deref()).collect::<StringArray>()),
            Arc::new(all.iter().map(|r| Some(r.step.as_str())).collect::<StringArray>()),
            times(all.iter().map(|r| Some(r.started_us))),
            Arc::new(all.iter().map(|r| Some(r.elapsed_ms)).collect::<Float64Array>()),
            Arc::new(all.iter().map(|r| Some(r.asked)).collect::<BooleanArray>()),
            counts(&|r| r.files_before),
            counts(&|r| r.files_after),
            counts(&|r| r.bytes_before),
            counts(&|r| r.bytes_after),
            counts(&|r| r.rows),
            counts(&|r| r.deleted_rows),
            counts(&|r| r.snapshots),
            Arc::new(all.iter().map(|r| r.error.as_deref()).collect::<StringArray>()),
        ],
    )
}
