//! Reads rows back from data files: single rows by position, and the key columns of whole files.

use super::shape::position;
use crate::{Error, Store};
use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowReaderOptions, RowSelection, RowSelector},
        async_reader::{AsyncFileReader, ParquetRecordBatchStream},
    },
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};
use std::{ops::Range, sync::Arc};

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
    let mut batches = open(store, path, ids, rows).await?;
    while let Some(batch) = batches.next().await {
        each(batch?)?;
    }
    Ok(batches.schema)
}

/// A data file that is being read.
pub(crate) struct Batches {
    store: Store,
    path: Path,
    /// All columns of the file.
    schema: SchemaRef,
    stream: ParquetRecordBatchStream<StoredFile>,
}

impl Batches {
    /// The next rows, in the file's order; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        Some(self.stream.next().await?.map_err(|e| unreadable(&self.store, &self.path, e)))
    }
}

/// Begins to read the columns `ids` of a data file; of `rows`, where some are named.
pub(crate) async fn open(store: &Store, path: &Path, ids: Vec<i32>, rows: Option<Vec<u32>>) -> Result<Batches, Error> {
    let unreadable = |e| unreadable(store, path, e);
    let file = StoredFile { objects: store.objects(), path: path.clone() };
    // With the page index a selection of few rows reads few pages.
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(file, options).await.map_err(unreadable)?;
    let schema = builder.schema().clone();
    // A file that was not written for Iceberg has no ids: its columns go by name, so all are read.
    let nameless = schema.fields().iter().all(|f| crate::field_id(f).is_none());
    let roots: Vec<usize> = match nameless {
        true => (0..schema.fields().len()).collect(),
        false => ids.iter().filter_map(|&id| position(&schema, Some(id))).collect(),
    };
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(rows) = rows {
        builder = builder.with_row_selection(selection(&rows));
    }
    let stream = builder.build().map_err(unreadable)?;
    Ok(Batches { store: store.clone(), path: path.clone(), schema, stream })
}

fn unreadable(store: &Store, path: &Path, error: ParquetError) -> Error {
    let damaged = |e| Error::corrupt(format!("the data file {}", store.location(path)), e);
    match error {
        // The bytes were not had, which says nothing of them.
        ParquetError::External(cause) => match cause.downcast::<object_store::Error>() {
            Ok(cause) => store.failed("reading", path, *cause),
            Err(cause) => damaged(ParquetError::External(cause)),
        },
        e => damaged(e),
    }
}

/// A Parquet file in an object store.
#[derive(Debug)]
pub(crate) struct StoredFile {
    objects: Arc<dyn ObjectStore>,
    path: Path,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.objects.get_range(&self.path, range).await.map_err(|e| ParquetError::External(e.into())) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.objects.get_ranges(&self.path, &ranges).await.map_err(|e| ParquetError::External(e.into())) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.objects.head(&self.path).await.map_err(|e| ParquetError::External(e.into()))?.size;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
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
