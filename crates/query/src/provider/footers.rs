//! How the footers of Parquet files are read, and what is believed of them.
//!
//! Bounds of floating point columns are not: Parquet leaves NaN out of them, and SQL sorts NaN above every number, so that `f > 1e9` and the filter of a
//! `order by f desc limit` would rule out pages and row groups that hold the very rows. Such bounds are taken out of what was read, once for each file,
//! before it goes into the cache.

use bytes::Bytes;
use datafusion::{
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            ParquetFileReaderFactory,
            parquet::{CachedParquetFileReaderFactory, CachedParquetMetaData},
        },
    },
    error::Result,
    execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore};
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    basic::Type as PhysicalType,
    file::{
        metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData},
        page_index::column_index::ColumnIndexMetaData,
    },
};
use std::{fmt, ops::Range, sync::Arc};

/// Opens the files of a scan.
pub(crate) struct Footers {
    inner: CachedParquetFileReaderFactory,
    cache: Arc<FileMetadataCache>,
    /// Whether page indexes are read along, which then stay in the cache beside the footers. DataFusion reads the page index anew for every query; for one
    /// row that is as much work as the row.
    with_page_index: bool,
}

impl Footers {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, cache: Arc<FileMetadataCache>) -> Self {
        Self { inner: CachedParquetFileReaderFactory::new(store, Arc::clone(&cache)), cache, with_page_index: false }
    }

    pub(crate) fn with_page_index(self) -> Self {
        Self { with_page_index: true, ..self }
    }
}

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Footers").field("with_page_index", &self.with_page_index).finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for Footers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let place = file.object_meta.clone();
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { inner, place, cache: Arc::clone(&self.cache), with_page_index: self.with_page_index }))
    }
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    place: ObjectMeta,
    cache: Arc<FileMetadataCache>,
    with_page_index: bool,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let options = match self.with_page_index {
            true => Some(options.cloned().unwrap_or_default().with_page_index_policy(PageIndexPolicy::Optional)),
            false => options.cloned(),
        };
        async move {
            let read = self.inner.get_metadata(options.as_ref()).await?;
            let Some(believed) = without_float_bounds(&read) else { return Ok(read) };
            let believed = Arc::new(believed);
            let entry = Arc::new(CachedParquetMetaData::new(Arc::clone(&believed)));
            self.cache.put(&self.place.location, CachedFileMetadataEntry::new(self.place.clone(), entry));
            Ok(believed)
        }
        .boxed()
    }
}

fn is_float(column: &ColumnChunkMetaData) -> bool {
    use parquet::basic::LogicalType;
    matches!(column.column_type(), PhysicalType::FLOAT | PhysicalType::DOUBLE)
        || matches!(column.column_descr().logical_type_ref(), Some(LogicalType::Float16))
}

/// The same without bounds of floating point columns; none where there are none.
fn without_float_bounds(read: &ParquetMetaData) -> Option<ParquetMetaData> {
    let is_bounded = |c: &ColumnChunkMetaData| is_float(c) && (c.statistics().is_some() || c.column_index_offset().is_some());
    let in_pages = read.column_index().into_iter().flatten().flatten();
    let in_pages = in_pages.into_iter().any(|c| matches!(c, ColumnIndexMetaData::FLOAT(_) | ColumnIndexMetaData::DOUBLE(_)));
    if !in_pages && !read.row_groups().iter().flat_map(|g| g.columns()).any(is_bounded) {
        return None;
    }
    let mut builder = read.clone().into_builder();
    let groups = builder.take_row_groups().into_iter().map(|group| {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().map(|column| {
            if !is_float(&column) {
                return Ok(column);
            }
            column.into_builder().clear_statistics().set_column_index_offset(None).set_column_index_length(None).build()
        });
        group.set_column_metadata(columns.collect::<parquet::errors::Result<_>>()?).build()
    });
    // Only a column without its type fails to be built, and these have been.
    let groups: Vec<_> = groups.collect::<parquet::errors::Result<_>>().ok()?;
    let index = read.column_index().map(|index| {
        let of_group = |(columns, group): (&Vec<ColumnIndexMetaData>, &parquet::file::metadata::RowGroupMetaData)| {
            let believed = columns.iter().zip(group.columns()).map(|(index, column)| match is_float(column) {
                true => ColumnIndexMetaData::NONE,
                false => index.clone(),
            });
            believed.collect()
        };
        index.iter().zip(read.row_groups()).map(of_group).collect()
    });
    Some(builder.set_row_groups(groups).set_column_index(index).build())
}
