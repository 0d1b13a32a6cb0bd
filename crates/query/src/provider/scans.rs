use super::{origin::is_of_keys, prefilter::PrefilterExec};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::{
    common::{
        Statistics,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    datasource::{
        physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource},
        source::DataSourceExec,
    },
    error::Result,
    physical_expr::{
        AnalysisContext, analyze, conjunction,
        expressions::{Column, DynamicFilterPhysicalExpr},
        intervals::utils::check_support,
        split_conjunction,
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        coop::CooperativeExec,
        filter::FilterExec,
        joins::{HashJoinExec, PartitionMode},
        recursive_query::RecursiveQueryExec,
    },
};
use std::sync::Arc;

/// How many times more the columns that are only returned must cost to decode than those that are filtered by, for rows to be filtered inside of
/// the Parquet reader. There the filter's columns are decoded first and the others only for rows that pass; but skipping single rows costs, too,
/// and a filter that lets many rows through makes a narrow scan half as fast.
const LATE_RATIO: usize = 8;
/// Of the rows, the share that may pass for it to be worth it, where statistics tell.
const LATE_PASSING_MOST: f64 = 0.5;

/// The last rule over a plan: decides for each scan how the filters that reached it are applied to single rows.
///
/// All of them already skip files, row groups and pages. Filters of the statement are applied above the scan, or inside of the reader where the
/// scan is wide ([`LATE_RATIO`]). Filters that joins make while they run are applied where rows would otherwise be copied, hashed or aggregated
/// before they meet that join ([`PrefilterExec`]).
#[derive(Debug)]
pub(crate) struct ScanFilters;

impl PhysicalOptimizerRule for ScanFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        // Each turn of a recursive query makes its joins' filters anew, and a scan keeps those of the first.
        if plan.exists(|node| Ok(node.is::<RecursiveQueryExec>()))? {
            return Ok(plan);
        }
        let plan = plan.transform_up(|node| {
            Ok(match in_order(&node) {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(node),
            })
        });
        let late = plan.data()?.transform_up(|node| {
            Ok(match late(&node)? {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(node),
            })
        });
        early(late.data()?, false)
    }

    fn name(&self) -> &'static str {
        "scan_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan with each partition reading its own files in their order, where it says that its rows are in order. DataFusion 55.2 forgets that when it pushes a
/// limit into a scan whose sort it has left out, and lets partitions take files from one another: other rows than the first come first.
fn in_order(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let exec = plan.downcast_ref::<DataSourceExec>()?;
    let (config, _) = exec.downcast_to_file_source::<ParquetSource>()?;
    if config.output_ordering.is_empty() || config.preserve_order {
        return None;
    }
    let config = FileScanConfigBuilder::from(config.clone()).with_preserve_order(true).build();
    Some(Arc::new(exec.clone().with_data_source(Arc::new(config))))
}

/// What a column costs to decode, in columns of whole numbers.
fn cost(data_type: &DataType) -> usize {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView => 3,
        other if other.is_nested() => 6,
        _ => 1,
    }
}

fn costs<'a>(schema: &Schema, names: impl Iterator<Item = &'a str>) -> usize {
    names.filter_map(|name| schema.field_with_name(name).ok()).map(|f| cost(f.data_type())).sum()
}

/// The scan with its filters inside of the reader, where it is wide enough.
fn late(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(exec) = plan.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let Some((config, source)) = exec.downcast_to_file_source::<ParquetSource>() else { return Ok(None) };
    let Some(predicate) = source.filter() else { return Ok(None) };
    // Rows that the key index found pass the filter anyway.
    if is_of_keys(config) {
        return Ok(None);
    }
    let filtered = collect_columns(&predicate);
    let schema = config.file_source().table_schema().table_schema();
    let returned = config.projected_schema()?;
    let only_returned = returned.fields().iter().map(|f| f.name().as_str()).filter(|n| !filtered.iter().any(|c| c.name() == *n));
    let (rest, first) = (costs(&returned, only_returned), costs(schema, filtered.iter().map(Column::name)));
    if first == 0 || rest < first * LATE_RATIO || passing(&predicate, schema, &config.statistics()) > LATE_PASSING_MOST {
        return Ok(None);
    }
    // Conditions on narrow columns go first: the limit that a sort of few rows has found by then leaves little of wide texts to be read.
    let source = Arc::new(source.clone().with_pushdown_filters(true).with_reorder_filters(true));
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    Ok(Some(Arc::new(exec.clone().with_data_source(Arc::new(config)))))
}

/// The share of rows that pass, as far as bounds of columns tell; conditions that they say nothing of are taken to let none through.
fn passing(predicate: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, statistics: &Statistics) -> f64 {
    let told: Vec<_> = split_conjunction(predicate).into_iter().filter(|e| check_support(e, schema)).cloned().collect();
    if told.is_empty()
        || told.len() < split_conjunction(predicate).len()
        || statistics.column_statistics.len() != schema.fields().len()
    {
        return 0.0;
    }
    let context = AnalysisContext::try_from_statistics(schema, &statistics.column_statistics);
    let analyzed = context.and_then(|context| analyze(&conjunction(told), context, schema));
    analyzed.ok().and_then(|found| found.selectivity).unwrap_or(0.0)
}

/// Puts a [`PrefilterExec`] above each scan of `plan` whose rows have a way to go to the join that filters them. `straight` says that the
/// next join above takes rows as they come from the scan.
fn early(plan: Arc<dyn ExecutionPlan>, straight: bool) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(filters) = joins_filters(&plan) {
        // A lone filter of a join that is next anyway would be the same work twice.
        if straight && filters.len() < 2 {
            return Ok(plan);
        }
        let schema = plan.schema();
        let known = |filter: &Arc<dyn PhysicalExpr>| collect_columns(filter).iter().all(|c| schema.index_of(c.name()).is_ok());
        let filters = filters.into_iter().filter(known).map(|f| reassign_expr_columns(f, &schema)).collect::<Result<Vec<_>>>()?;
        return Ok(if filters.is_empty() { plan } else { Arc::new(PrefilterExec::new(plan, conjunction(filters))) });
    }
    let join = plan.downcast_ref::<HashJoinExec>().map(|j| *j.partition_mode() == PartitionMode::CollectLeft);
    let passes = plan.is::<CooperativeExec>() || plan.is::<FilterExec>();
    let children: Vec<_> = plan.children().into_iter().cloned().collect();
    if children.is_empty() {
        return Ok(plan);
    }
    let mut changed = false;
    let mut next = Vec::with_capacity(children.len());
    for (side, child) in children.into_iter().enumerate() {
        let straight = match join {
            Some(collects) => collects && side == 1,
            None => straight && passes,
        };
        let new = early(Arc::clone(&child), straight)?;
        changed |= !Arc::ptr_eq(&new, &child);
        next.push(new);
    }
    if changed { datafusion::physical_plan::replace_children_if_necessary(plan, next) } else { Ok(plan) }
}

/// The filters that joins make for the scan that `plan` is, or that it only passes rows on from, in terms of the table's columns.
fn joins_filters(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    let mut node = plan;
    while node.is::<CooperativeExec>() || node.is::<FilterExec>() {
        node = node.children().first().copied()?;
    }
    let (_, source) = node.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
    let filters = source.filter().map(|p| split_conjunction(&p).into_iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
    Some(filters.into_iter().filter(|f| f.is::<DynamicFilterPhysicalExpr>()).collect())
}
