use super::{
    constants::Constants,
    fields::{FieldIdAdapterFactory, reading_schema, source_schema},
    files::{ChosenFile, enough, groups},
    footers::Footers,
    hot::HotExec,
    keys::pinned,
    origin::Origin,
    sorted::ordering,
    stats::{FileStatistics, live_rows, scan_statistics},
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Statistics, config::TableParquetOptions, stats::Precision},
    datasource::{
        TableType,
        physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchemaBuilder,
    },
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{TableProviderFilterPushDown, utils::conjunction},
    physical_expr::{
        expressions::Column,
        projection::{ProjectionExpr, ProjectionExprs},
    },
    physical_optimizer::pruning::PruningPredicateBuilder,
    physical_plan::{ExecutionPlan, PhysicalExpr, empty::EmptyExec, union::UnionExec},
    prelude::Expr,
    scalar::ScalarValue,
};
use lake::{FoundRows, HotBatch, TableView, ViewFile};
use object_store::path::Path;
use parquet::arrow::RowNumber;
use std::{collections::HashMap, sync::Arc};

/// What follows a table's name where its rows are read with their places. No name in the lake holds it.
pub(crate) const LOCATED: &str = "\u{0}located";
/// The column with the number of a row's file, counted in the order of the view.
pub(crate) const FILE: &str = "\u{0}file";
/// The column with the number of a row in its file.
pub(crate) const ROW: &str = "\u{0}row";

/// One table of one view of the lake. Two scans of the same provider see the same rows, whatever is committed in between.
#[derive(Debug)]
pub struct LakeTableProvider {
    view: Arc<TableView>,
    /// The table's own columns.
    columns: SchemaRef,
    /// What the plan sees: also where each row is, if that is asked for.
    schema: SchemaRef,
    store: ObjectStoreUrl,
}

fn file_field() -> FieldRef {
    Arc::new(Field::new(FILE, DataType::Int32, false))
}

fn row_field() -> FieldRef {
    Arc::new(Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber))
}

impl LakeTableProvider {
    /// The table of `view`, whose files are found in the object store registered under `store`.
    pub fn new(view: Arc<TableView>, store: ObjectStoreUrl) -> Self {
        let schema = reading_schema(&view.schema);
        Self { view, columns: Arc::clone(&schema), schema, store }
    }

    /// As [`Self::new`], with the columns [`FILE`] and [`ROW`] behind the table's own. The table has no rows outside of files.
    pub(crate) fn located(view: Arc<TableView>, store: ObjectStoreUrl) -> Self {
        let columns = reading_schema(&view.schema);
        let fields = columns.fields().iter().cloned().chain([file_field(), row_field()]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { view, columns, schema, store }
    }

    fn is_located(&self) -> bool {
        self.schema.fields().len() > self.columns.fields().len()
    }

    /// `groups` with the number of each file.
    fn numbered(&self, groups: Vec<FileGroup>) -> Result<Vec<FileGroup>> {
        let numbers: HashMap<&Path, usize> = self.view.files.iter().enumerate().map(|(i, f)| (&f.path, i)).collect();
        let numbered = |group: FileGroup| {
            let files = group.into_inner().into_iter().map(|file| {
                let number = numbers.get(&file.object_meta.location).and_then(|i| i32::try_from(*i).ok());
                let number = number.ok_or_else(|| DataFusionError::Internal("a file of no view is scanned".to_owned()))?;
                let mut file = file.with_partition_values(vec![ScalarValue::Int32(Some(number))]);
                // They cover other columns than the scan has now, and its bounds have left files out already.
                file.statistics = None;
                Ok(file)
            });
            Ok(FileGroup::new(files.collect::<Result<Vec<_>>>()?))
        };
        groups.into_iter().map(numbered).collect()
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
        files: &[ChosenFile],
        statistics: Statistics,
        projection: &[usize],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let constants = Constants::of(files, &self.columns, projection)?;
        let columns = source_schema(&constants.as_ref().map_or_else(|| Arc::clone(&self.columns), |c| c.relaxed(&self.columns)));
        let mut source_columns = TableSchemaBuilder::new(Arc::clone(&columns));
        let of_files: Vec<FieldRef> = self.is_located().then(file_field).into_iter().collect();
        let first = columns.fields().len() + of_files.len();
        let of_files = of_files.into_iter().chain(constants.iter().flat_map(|c| c.fields().iter().cloned())).collect::<Vec<_>>();
        if !of_files.is_empty() {
            source_columns = source_columns.with_table_partition_cols(of_files);
        }
        if self.is_located() {
            source_columns = source_columns.with_virtual_columns(vec![row_field()]);
        }
        let table_schema = source_columns.build();
        let schema = Arc::clone(table_schema.table_schema());
        let key_rows = files.iter().map(|f| f.rows.as_ref().map(|rows| rows.len())).sum::<Option<u64>>();
        let mut options = TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let store = state.runtime_env().object_store(&self.store)?;
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let mut footers = Footers::new(store, cache);
        if key_rows.is_some() {
            // Which rows to read is known, so nothing is to be ruled out.
            let global = &mut options.global;
            (global.pruning, global.enable_page_index, global.bloom_filter_on_read) = (false, false, false);
            footers = footers.with_page_index();
        }
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(footers));
        let projected = projection.iter().map(|&i| {
            // Numbers of rows come last.
            let at = if i < first { i } else { schema.fields().len() - 1 };
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(at).name(), at));
            let expr = constants.as_ref().map_or_else(|| Ok(Arc::clone(&column)), |c| c.read(Arc::clone(&column), i, first))?;
            Ok(ProjectionExpr { expr, alias: self.schema.field(i).name().clone() })
        });
        let projected = projected.collect::<Result<Vec<_>>>()?;
        let source =
            source.try_pushdown_projection(&ProjectionExprs::new(projected))?.unwrap_or_else(|| Arc::new(source.clone()));
        let origin = Arc::new(Origin {
            table: self.view.table.to_string(),
            files: self.view.files.len(),
            bytes: self.view.files.iter().map(|f| f.bytes).sum(),
            key_rows,
            all: Arc::clone(&self.view.files),
        });
        let mut groups = groups(files, &columns, state.config().target_partitions(), &origin);
        if self.is_located() {
            groups = self.numbered(groups)?;
        }
        let mut statistics = statistics;
        if let Some(constants) = &constants {
            groups = constants.valued(groups);
            statistics = Constants::statistics(files, &schema);
        }
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_expr_adapter(Some(Arc::new(FieldIdAdapterFactory)))
            .with_limit(limit);
        // Places are asked for to change rows, in whatever order.
        let ordering = if self.is_located() { None } else { ordering(&self.view, files, &self.columns) };
        Ok(DataSourceExec::from_data_source(config.with_output_ordering(ordering.into_iter().collect()).build()))
    }
}

impl LakeTableProvider {
    /// The rows that can satisfy all `filters`, where these name keys and the key index knows where their rows are in this view.
    fn found(&self, filters: &[Expr]) -> Option<FoundRows> {
        // Rows with their places are asked for tables that users own, and those have no key index.
        let lookup = self.view.lookup.as_ref().filter(|_| !self.is_located())?;
        lookup.find(&pinned(filters, &self.schema, lookup.key_ids())?)
    }

    /// Reads these rows and no others.
    fn rows(
        &self,
        state: &dyn Session,
        projection: &Arc<[usize]>,
        schema: SchemaRef,
        found: FoundRows,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        let unknown =
            || DataFusionError::Internal(format!("the key index of {} names rows that its view does not have", self.view.table));
        let file = |(at, rows)| Some(ChosenFile { file: self.view.files.get(at).cloned()?, rows: Some(rows) });
        let files: Vec<ChosenFile> = found.files.into_iter().map(file).collect::<Option<_>>().ok_or_else(unknown)?;
        if !files.is_empty() {
            plans.push(self.file_scan(state, &files, self.statistics_of(&files), projection, None)?);
        }
        let mut hot = Vec::new();
        for (at, rows) in &found.hot {
            let batch = &self.view.hot.get(*at).ok_or_else(unknown)?.rows;
            hot.extend(rows.iter().map(|row| HotBatch { rows: batch.slice(row as usize, 1), deleted: None }));
        }
        if !hot.is_empty() {
            plans.push(Arc::new(HotExec::new(hot.into(), Arc::clone(projection), Arc::clone(&schema), 1).of_keys()));
        }
        together(plans, schema)
    }

    /// The statistics of some rows of `files`. Bounds that nobody needs to choose among few rows are left out.
    fn statistics_of(&self, files: &[ChosenFile]) -> Statistics {
        let rows: u64 = files.iter().map(|f| f.rows.as_ref().map_or_else(|| live_rows(&f.file), |rows| rows.len())).sum();
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        statistics
    }
}

/// All rows of all plans.
fn together(mut plans: Vec<Arc<dyn ExecutionPlan>>, schema: SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    match plans.len() {
        0 => Ok(Arc::new(EmptyExec::new(schema))),
        1 => Ok(plans.remove(0)),
        _ => UnionExec::try_new(plans),
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
        if let Some(found) = self.found(filters) {
            return self.rows(state, &projection, schema, found);
        }
        let mut files = self.files(state, filters)?;
        if let Some(limit) = limit {
            files = enough(files, limit);
        }
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.is_empty() {
            let statistics = scan_statistics(&files, &self.view, &self.schema);
            let files: Vec<ChosenFile> = files.into_iter().map(ChosenFile::from).collect();
            plans.push(self.file_scan(state, &files, statistics, &projection, limit)?);
        }
        if self.view.hot_rows() > 0 {
            let partitions = state.config().target_partitions();
            let hot = HotExec::new(Arc::clone(&self.view.hot), projection, Arc::clone(&schema), partitions);
            plans.push(match limit {
                Some(limit) => hot.with_fetch(Some(limit)).unwrap_or_else(|| Arc::new(hot)),
                None => Arc::new(hot),
            });
        }
        together(plans, schema)
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
