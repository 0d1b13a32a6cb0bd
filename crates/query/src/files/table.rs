use super::{Compression, adapter::StrictAdapterFactory, scan::TextScan};
use crate::{
    provider::{Footers, ScanSize, reading_schema},
    sql_types::plain_schema,
};
use arrow::{
    array::{ArrayRef, BooleanArray},
    datatypes::{FieldRef, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Column, DFSchema, ScalarValue, Statistics, config::TableParquetOptions, stats::Precision},
    datasource::{
        TableType,
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::Result,
    execution::object_store::ObjectStoreUrl,
    logical_expr::{TableProviderFilterPushDown, utils::conjunction},
    physical_optimizer::pruning::{PruningPredicateBuilder, PruningStatistics},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
    prelude::Expr,
};
use formats::{
    csv::{Asked, Dialect},
    json::Form,
};
use object_store::ObjectMeta;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// How files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    Csv { dialect: Dialect, header: bool, asked: Box<Asked>, options: TextOptions },
    Json { form: Form, whole: bool, options: TextOptions },
    Avro { options: TextOptions },
    Parquet { finer_times: bool },
}

impl Reading {
    /// The word for the format.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Json { .. } => "json",
            Self::Avro { .. } => "avro",
            Self::Parquet { .. } => "parquet",
        }
    }
}

/// What holds for every format but Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextOptions {
    /// How files are packed; see [`super::options::Options`].
    pub compression: Option<Option<Compression>>,
    /// Whether columns that the table does not have are left out.
    pub ignore_unknown: bool,
}

/// A file of a table.
#[derive(Debug, Clone)]
pub(super) struct TableFile {
    /// Its path as people would write it.
    pub shown: String,
    pub meta: ObjectMeta,
    /// Rows, where known.
    pub rows: Option<u64>,
    /// Values of the partition columns.
    pub partition: Vec<ScalarValue>,
}

/// Files that make a table.
#[derive(Debug, Clone)]
pub(super) struct FilesSpec {
    /// How the path is written that they were found under.
    pub shown: String,
    pub files: Vec<TableFile>,
    /// The columns of the files.
    pub schema: SchemaRef,
    /// Columns that are not in the files: directories say them.
    pub partitions: Vec<FieldRef>,
    pub reading: Reading,
    /// The files that were looked at with the columns that each has, the latest written last.
    pub each: Vec<(String, SchemaRef)>,
}

impl FilesSpec {
    /// The columns of the files that are columns of the table: a partition hides a column of its name.
    pub(super) fn kept(&self) -> Vec<usize> {
        let hidden = |name: &str| self.partitions.iter().any(|p| p.name() == name);
        self.schema.fields().iter().enumerate().filter(|(_, f)| !hidden(f.name())).map(|(i, _)| i).collect()
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.meta.size).sum()
    }

    /// The columns of the table: those of the files, then the partitions.
    pub(super) fn table_schema(&self) -> SchemaRef {
        let kept = self.kept().into_iter().map(|i| Arc::clone(&self.schema.fields()[i]));
        Arc::new(Schema::new(kept.chain(self.partitions.iter().cloned()).collect::<Vec<_>>()))
    }
}

/// What a scan was chosen from; each of its files carries it.
#[derive(Debug)]
struct Origin {
    shown: String,
    files: usize,
    bytes: u64,
}

/// The size of a scan of files; nothing where `plan` is none.
pub(crate) fn scan_size(plan: &dyn ExecutionPlan) -> Option<ScanSize> {
    if let Some(scan) = plan.downcast_ref::<TextScan>() {
        return Some(scan.size());
    }
    let (config, _) = plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
    let files = || config.file_groups.iter().flat_map(|g| g.iter());
    let origin = files().find_map(|f| f.extension::<Origin>())?;
    // A large file is read in several parts.
    let sizes: HashMap<_, _> = files().map(|f| (&f.object_meta.location, f.object_meta.size)).collect();
    Some(ScanSize {
        table: origin.shown.clone(),
        files: sizes.len(),
        files_total: origin.files,
        bytes: sizes.values().sum(),
        bytes_total: origin.bytes,
        key_rows: None,
    })
}

/// Files as a table. They were listed when it was made; two scans read the same files.
#[derive(Debug)]
pub(super) struct FilesTable {
    spec: Arc<FilesSpec>,
    schema: SchemaRef,
}

/// The name under which the places of files are registered.
pub(crate) fn store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("files://places")
}

impl FilesTable {
    pub(super) fn new(spec: FilesSpec) -> Self {
        // Text is read as views; partitions and files agree on it.
        let reading = |schema: &Schema| reading_schema(&plain_schema(schema));
        let partitions = reading(&Schema::new(spec.partitions.clone()));
        let spec = FilesSpec { schema: reading(&spec.schema), partitions: partitions.fields().to_vec(), ..spec };
        let casted = |value: &ScalarValue, field: &FieldRef| value.cast_to(field.data_type()).unwrap_or_else(|_| value.clone());
        let files = spec.files.into_iter().map(|file| {
            let partition = file.partition.iter().zip(&spec.partitions).map(|(v, f)| casted(v, f)).collect();
            TableFile { partition, ..file }
        });
        let spec = FilesSpec { files: files.collect(), ..spec };
        Self { schema: spec.table_schema(), spec: Arc::new(spec) }
    }

    /// The files that may hold rows for which all `filters` are true, by their partitions.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<TableFile>> {
        let all = || self.spec.files.clone();
        let partitions: HashSet<&str> = self.spec.partitions.iter().map(|f| f.name().as_str()).collect();
        let about = |e: &&Expr| e.column_refs().iter().all(|c| partitions.contains(c.name.as_str()));
        let filters: Vec<Expr> = filters.iter().filter(about).cloned().collect();
        let Some(filter) = conjunction(filters).filter(|_| !partitions.is_empty()) else { return Ok(all()) };
        let schema = Arc::new(Schema::new(self.spec.partitions.clone()));
        let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
        let Ok(filter) = state.create_physical_expr(filter, &df_schema) else { return Ok(all()) };
        let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&schema)).try_build(filter) else {
            return Ok(all());
        };
        let kept = predicate.prune(&Partitions { files: &self.spec.files, schema: &schema })?;
        Ok(self.spec.files.iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| file.clone()).collect())
    }

    fn parquet(
        &self,
        state: &dyn Session,
        files: Vec<TableFile>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        finer_times: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let url = store_url()?;
        let options = TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let store = state.runtime_env().object_store(&url)?;
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let kept: Vec<FieldRef> = self.spec.kept().into_iter().map(|i| Arc::clone(&self.spec.schema.fields()[i])).collect();
        let table =
            TableSchema::builder(Arc::new(Schema::new(kept))).with_table_partition_cols(self.spec.partitions.clone()).build();
        let source = ParquetSource::new(table)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(Footers::new(store, cache)));
        let groups = groups(files, state.config().target_partitions(), |f| f.meta.size);
        let group = |files: Vec<TableFile>| {
            let origin = || Origin { shown: self.spec.shown.clone(), files: self.spec.files.len(), bytes: self.spec.bytes() };
            let file =
                |f: TableFile| PartitionedFile::new_from_meta(f.meta).with_partition_values(f.partition).with_extension(origin());
            FileGroup::new(files.into_iter().map(file).collect())
        };
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(group).collect())
            .with_projection_indices(projection.cloned())?
            .with_expr_adapter(Some(Arc::new(StrictAdapterFactory { finer_times })))
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// `items` in at most `partitions` groups of about equal weight.
pub(super) fn groups<T>(items: Vec<T>, partitions: usize, weight: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let count = partitions.clamp(1, items.len().max(1));
    let mut groups: Vec<(u64, Vec<T>)> = (0..count).map(|_| (0, Vec::new())).collect();
    for item in items {
        if let Some((total, group)) = groups.iter_mut().min_by_key(|(total, _)| *total) {
            *total += weight(&item).max(1);
            group.push(item);
        }
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| !group.is_empty()).collect()
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Filters are applied above the scan, so a limit beside them says nothing of how many rows to read.
        let limit = limit.filter(|_| filters.is_empty());
        let files = self.pruned(state, filters)?;
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        if let Reading::Parquet { finer_times } = self.spec.reading {
            return self.parquet(state, files, projection, limit, finer_times);
        }
        let groups = groups(files, state.config().target_partitions(), |f| f.meta.size);
        let store = state.runtime_env().object_store(&store_url()?)?;
        let all = (0..self.schema.fields().len()).collect();
        let projection = projection.cloned().unwrap_or(all);
        Ok(Arc::new(TextScan::try_new(Arc::clone(&self.spec), groups, store, projection, limit)?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.total_byte_size = Precision::Inexact(usize::try_from(self.spec.bytes()).unwrap_or(usize::MAX));
        let rows: Option<u64> = self.spec.files.iter().map(|f| f.rows).sum();
        if let Some(rows) = rows {
            statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        Some(statistics)
    }
}

/// The partitions of files, as bounds that are both the one value.
struct Partitions<'a> {
    files: &'a [TableFile],
    schema: &'a SchemaRef,
}

impl Partitions<'_> {
    fn values(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        ScalarValue::iter_to_array(self.files.iter().map(|f| f.partition[index].clone())).ok()
    }
}

impl PruningStatistics for Partitions<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
