//! Reads rows back from data files: single rows by position, and the key columns of whole files.

use super::shape::{position, widen};
use crate::{Error, Store};
use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, SchemaRef},
};
use futures::StreamExt;
use object_store::path::Path;
use parquet::arrow::{
    ParquetRecordBatchStreamBuilder, ProjectionMask,
    arrow_reader::{RowSelection, RowSelector},
    async_reader::ParquetObjectReader,
};

/// Rows of a reading at a time.
const BATCH_ROWS: usize = 8192;

/// The rows at `rows` (ascending, none twice) of a data file, all columns of `ids` that it has, in the file's order.
pub(crate) async fn rows_at(store: &Store, path: &Path, rows: Vec<u32>, ids: Vec<i32>) -> Result<RecordBatch, Error> {
    let mut batches = Vec::new();
    let schema = read(store, path, ids, Some(rows), |batch| {
        batches.push(batch);
        Ok(())
    })
    .await?;
    // The stream's own schema has the projected columns only.
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    concat_batches(&schema, &batches).map_err(|e| Error::bug(format!("joining rows of {path}"), e))
}

/// Reads the columns `ids` of a data file from front to back.
pub(crate) async fn read(
    store: &Store,
    path: &Path,
    ids: Vec<i32>,
    rows: Option<Vec<u32>>,
    mut each: impl FnMut(RecordBatch) -> Result<(), Error> + Send,
) -> Result<SchemaRef, Error> {
    let corrupt = |e: parquet::errors::ParquetError| Error::corrupt(format!("the data file {}", store.location(path)), e);
    let builder = ParquetRecordBatchStreamBuilder::new(ParquetObjectReader::new(store.objects(), path.clone())).await.map_err(corrupt)?;
    let schema = builder.schema().clone();
    let roots: Vec<usize> = ids.iter().filter_map(|&id| position(&schema, Some(id))).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(rows) = rows {
        builder = builder.with_row_selection(selection(&rows));
    }
    let mut stream = builder.build().map_err(corrupt)?;
    while let Some(batch) = stream.next().await {
        each(batch.map_err(corrupt)?)?;
    }
    Ok(schema)
}

/// A selection of single rows.
fn selection(rows: &[u32]) -> RowSelection {
    let mut selectors = Vec::new();
    let mut next = 0;
    for chunk in rows.chunk_by(|a, b| a + 1 == *b) {
        let first = chunk[0] as usize;
        if first > next {
            selectors.push(RowSelector::skip(first - next));
        }
        selectors.push(RowSelector::select(chunk.len()));
        next = first + chunk.len();
    }
    selectors.into()
}

/// The columns `ids` of a batch in that order, under the types `types`; none where one is missing.
pub(crate) fn columns(batch: &RecordBatch, ids: &[i32], types: &[DataType]) -> Result<Option<Vec<ArrayRef>>, Error> {
    let schema = batch.schema();
    let found = ids.iter().zip(types).map(|(&id, to)| position(&schema, Some(id)).map(|at| widen(batch.column(at), to)));
    found.collect::<Option<Result<Vec<_>, _>>>().transpose()
}
