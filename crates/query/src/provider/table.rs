use super::{
    fields::{FieldIdAdapterFactory, reading_schema, source_schema},
    files::{enough, groups},
    hot::HotExec,
    origin::Origin,
    stats::{FileStatistics, live_rows, scan_statistics},
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Statistics, config::TableParquetOptions, stats::Precision},
    datasource::{
        TableType,
        physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
    },
    error::Result,
    execution::object_store::ObjectStoreUrl,
    logical_expr::{TableProviderFilterPushDown, utils::conjunction},
    physical_expr::{
        expressions::Column,
        projection::{ProjectionExpr, ProjectionExprs},
    },
    physical_optimizer::pruning::PruningPredicateBuilder,
    physical_plan::{ExecutionPlan, empty::EmptyExec, union::UnionExec},
    prelude::Expr,
};
use lake::{TableView, ViewFile};
use std::sync::Arc;

/// One table of one view of the lake. Two scans of the same provider see the same rows, whatever is committed in between.
#[derive(Debug)]
pub struct LakeTableProvider {
    view: Arc<TableView>,
    schema: SchemaRef,
    store: ObjectStoreUrl,
}

impl LakeTableProvider {
    /// The table of `view`, whose files are found in the object store registered under `store`.
    pub fn new(view: Arc<TableView>, store: ObjectStoreUrl) -> Self {
        let schema = reading_schema(&view.schema);
        Self { view, schema, store }
    }

    /// The files that may hold rows for which all `filters` are true. A file whose rows are all deleted is never among them.
    fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<ViewFile>> {
        let files: Vec<ViewFile> = self.view.files.iter().filter(|f| live_rows(f) > 0).cloned().collect();
        let Some(filter) = conjunction(filters.iter().cloned()).filter(|_| !files.is_empty()) else { return Ok(files) };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let Ok(filter) = state.create_physical_expr(filter, &schema) else { return Ok(files) };
        let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).try_build(filter) else {
            return Ok(files);
        };
        let kept = predicate.prune(&FileStatistics { files: &files, schema: &self.schema })?;
        Ok(files.into_iter().zip(kept).filter_map(|(file, kept)| kept.then_some(file)).collect())
    }

    fn file_scan(
        &self,
        state: &dyn Session,
        files: &[ViewFile],
        projection: &[usize],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = source_schema(&self.schema);
        let options = TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let store = state.runtime_env().object_store(&self.store)?;
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let source = ParquetSource::new(Arc::clone(&schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, cache)));
        let columns = projection.iter().map(|&i| ProjectionExpr {
            expr: Arc::new(Column::new(schema.field(i).name(), i)),
            alias: self.schema.field(i).name().clone(),
        });
        let source = source.try_pushdown_projection(&ProjectionExprs::new(columns))?.unwrap_or_else(|| Arc::new(source.clone()));
        let origin = Arc::new(Origin {
            table: self.view.table.to_string(),
            files: self.view.files.len(),
            bytes: self.view.files.iter().map(|f| f.bytes).sum(),
            all: Arc::clone(&self.view.files),
        });
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups(files, &schema, state.config().target_partitions(), &origin))
            .with_statistics(scan_statistics(files, &self.view, &self.schema))
            .with_expr_adapter(Some(Arc::new(FieldIdAdapterFactory)))
            .with_limit(limit)
            .build();
        // No order is declared: a table's sort order is an aim of its writer, and a view does not say of each file whether it was reached.
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[async_trait]
impl TableProvider for LakeTableProvider {
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
        let projection: Arc<[usize]> = match projection {
            Some(columns) => columns.as_slice().into(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&projection)?);
        // Filters are applied above the scan, so a limit beside them says nothing of how many rows to read.
        let limit = limit.filter(|_| filters.is_empty());
        let mut files = self.files(state, filters)?;
        if let Some(limit) = limit {
            files = enough(files, limit);
        }
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.is_empty() {
            plans.push(self.file_scan(state, &files, &projection, limit)?);
        }
        if self.view.hot_rows() > 0 {
            let partitions = state.config().target_partitions();
            let hot = HotExec::new(Arc::clone(&self.view.hot), projection, Arc::clone(&schema), partitions);
            plans.push(match limit {
                Some(limit) => hot.with_fetch(Some(limit)).unwrap_or_else(|| Arc::new(hot)),
                None => Arc::new(hot),
            });
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(schema))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // The physical plan pushes them on into Parquet; what can't be pushed is filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let files: Vec<ViewFile> = self.view.files.iter().filter(|f| live_rows(f) > 0).cloned().collect();
        let mut statistics = scan_statistics(&files, &self.view, &self.schema);
        if self.view.hot_rows() > 0 {
            statistics = statistics.to_inexact();
            statistics.num_rows = Precision::Exact(usize::try_from(self.view.live_rows()).unwrap_or(usize::MAX));
        }
        Some(statistics)
    }
}
