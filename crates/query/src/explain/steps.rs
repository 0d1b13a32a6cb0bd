use crate::provider::{HotExec, PrefilterExec, ScanSize, scan_size};
use datafusion::{
    common::{JoinType, stats::Precision},
    datasource::{
        physical_plan::{FileSource, ParquetSource},
        source::DataSourceExec,
    },
    physical_expr::{expressions::DynamicFilterPhysicalExpr, split_conjunction},
    physical_plan::{
        ExecutionPlan, PhysicalExpr,
        aggregates::{AggregateExec, AggregateMode},
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        empty::EmptyExec,
        filter::FilterExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec},
        limit::{GlobalLimitExec, LocalLimitExec},
        metrics::{MetricValue, MetricsSet},
        placeholder_row::PlaceholderRowExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        statistics::{StatisticsArgs, StatisticsContext},
        union::UnionExec,
    },
};

/// Letters of an expression that are shown.
const SHOWN: usize = 160;

/// One thing that is done to rows.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// What is done.
    pub title: String,
    /// More of it, one line each.
    pub details: Vec<String>,
    /// Rows that come out: counted, or expected.
    pub rows: Option<u64>,
    /// Time of all threads, in nanoseconds.
    pub nanos: u64,
    /// Bytes of data files that were read, or will be at most.
    pub bytes: Option<u64>,
    /// Bytes that went to disk for want of memory.
    pub spilled: u64,
    /// Where the rows come from.
    pub inputs: Vec<Self>,
}

impl Step {
    /// This step and all below it.
    pub(super) fn total<T: std::iter::Sum>(&self, of: &dyn Fn(&Self) -> T) -> T {
        let below: T = self.inputs.iter().map(|i| i.total(of)).sum();
        [of(self), below].into_iter().sum()
    }
}

/// The tree of what `plan` does. What only moves rows between threads goes with the step that it serves.
pub(super) fn steps(plan: &dyn ExecutionPlan, ran: bool) -> Step {
    let metrics = plan.metrics().unwrap_or_default();
    let nanos = own_time(&metrics);
    let mut inputs: Vec<Step> = plan.children().into_iter().map(|c| steps(c.as_ref(), ran)).collect();
    if passes(plan)
        && let Some(mut only) = inputs.pop()
    {
        only.nanos += nanos;
        return only;
    }
    if merges(plan)
        && let Some(mut first) = inputs.pop()
    {
        // The second half of an aggregation says how many groups there are; the first is the greater part of the work.
        first.rows = rows(plan, &metrics, ran);
        first.nanos += nanos;
        first.spilled += metrics.spilled_bytes().unwrap_or(0) as u64;
        return first;
    }
    let mut step = Step {
        title: title(plan),
        rows: rows(plan, &metrics, ran),
        nanos,
        spilled: metrics.spilled_bytes().unwrap_or(0) as u64,
        inputs,
        ..Step::default()
    };
    detail(plan, &metrics, ran, &mut step);
    step
}

/// Time that an operator itself computed. Scans count theirs apart, and reading is a part of it.
fn own_time(metrics: &MetricsSet) -> u64 {
    let named = |name: &str| metrics.sum_by_name(name).map_or(0, |v| v.as_usize() as u64);
    let scanned = named("time_elapsed_processing");
    if scanned > 0 {
        return scanned;
    }
    metrics.elapsed_compute().unwrap_or(0) as u64 + named("repartition_time")
}

fn rows(plan: &dyn ExecutionPlan, metrics: &MetricsSet, ran: bool) -> Option<u64> {
    if ran {
        return metrics.output_rows().map(|n| n as u64);
    }
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::default()).ok()?;
    match statistics.num_rows {
        Precision::Exact(n) | Precision::Inexact(n) => Some(n as u64),
        Precision::Absent => None,
    }
}

/// Whether an operator only moves rows, or renames columns.
fn passes(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<CoalescePartitionsExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<LocalLimitExec>()
}

/// Whether an operator is the second half of what is below it.
fn merges(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<AggregateExec>()
        .is_some_and(|a| matches!(a.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned))
}

fn title(plan: &dyn ExecutionPlan) -> String {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return aggregated(aggregate);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let on: Vec<String> = join.on().iter().map(|(l, r)| format!("{} = {}", shown(l), shown(r))).collect();
        return format!("Hash join ({}) on {}", join_name(*join.join_type()), on.join(" and "));
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return format!("Compare each row with each ({})", join_name(*join.join_type()));
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let by: Vec<String> = sort.expr().iter().map(|e| clean(&e.to_string())).collect();
        let top = sort.fetch().map_or_else(String::new, |n| format!(", keep the first {n}"));
        return short(&format!("Sort by {}{top}", by.join(", ")));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return format!("Filter {}", shown(filter.predicate()));
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let most = limit.fetch().map_or_else(String::new, |n| format!("Limit {n}"));
        return if limit.skip() > 0 { format!("{most} after skipping {}", limit.skip()).trim().to_owned() } else { most };
    }
    if plan.is::<PrefilterExec>() {
        return "Drop rows that the joins above have no partner for".to_owned();
    }
    if let Some(size) = scan_size(plan) {
        return format!("Scan {}", size.table);
    }
    match plan {
        p if p.downcast_ref::<HotExec>().is_some_and(HotExec::is_of_keys) => "Rows by key that are not committed yet".to_owned(),
        p if p.is::<HotExec>() => "Scan rows that are not committed yet".to_owned(),
        p if p.is::<DataSourceExec>() => "Rows in memory".to_owned(),
        p if p.is::<UnionExec>() => "Append".to_owned(),
        p if p.is::<CrossJoinExec>() => "Pair each row with each".to_owned(),
        p if p.is::<EmptyExec>() => "Nothing to read".to_owned(),
        p if p.is::<PlaceholderRowExec>() => "One row".to_owned(),
        other => words(other.name()),
    }
}

fn aggregated(aggregate: &AggregateExec) -> String {
    let groups: Vec<String> = aggregate.group_expr().expr().iter().map(|(e, _)| shown(e)).collect();
    let functions: Vec<&str> = aggregate.aggr_expr().iter().map(|a| a.human_display().unwrap_or_else(|| a.name())).collect();
    let by = if groups.is_empty() { String::new() } else { format!(" by {}", groups.join(", ")) };
    let what = if functions.is_empty() { "Distinct values".to_owned() } else { format!("Aggregate {}", functions.join(", ")) };
    short(&clean(&format!("{what}{by}")))
}

fn join_name(join: JoinType) -> &'static str {
    match join {
        JoinType::Inner => "inner",
        JoinType::Left => "left",
        JoinType::Right => "right",
        JoinType::Full => "full",
        JoinType::LeftSemi | JoinType::RightSemi => "rows with a partner",
        JoinType::LeftAnti | JoinType::RightAnti => "rows without a partner",
        JoinType::LeftMark | JoinType::RightMark => "marks rows with a partner",
    }
}

fn detail(plan: &dyn ExecutionPlan, metrics: &MetricsSet, ran: bool, step: &mut Step) {
    if let Some(filter) = plan.downcast_ref::<HashJoinExec>().and_then(HashJoinExec::filter) {
        step.details.push(format!("and {}", shown(filter.expression())));
    }
    if plan.is::<HashJoinExec>() {
        for (input, role) in step.inputs.iter_mut().zip(["in memory: ", ""]) {
            input.title.insert_str(0, role);
        }
    }
    if plan.is::<PrefilterExec>() && ran {
        let dropped = metrics.sum_by_name("rows_dropped").map_or(0, |v| v.as_usize());
        step.details.push(format!("{} rows dropped", super::text::count(dropped as u64)));
    }
    let Some(size) = scan_size(plan) else { return };
    let source = plan.downcast_ref::<DataSourceExec>().and_then(|e| e.downcast_to_file_source::<ParquetSource>());
    if let Some((config, source)) = source {
        let columns = config.projected_schema().map_or(0, |s| s.fields().len());
        step.details.push(if columns == 1 { "1 column".to_owned() } else { format!("{columns} columns") });
        let own: Vec<String> = source.filter().map(|f| static_parts(&f)).unwrap_or_default();
        if !own.is_empty() {
            step.details.push(short(&format!("looks for {}", own.join(" and "))));
        }
    }
    step.bytes = Some(if ran { metrics.sum_by_name("bytes_scanned").map_or(0, |v| v.as_usize() as u64) } else { size.bytes });
    step.details.push(pruned(&size, metrics, ran));
}

/// The conditions of the statement, without those that joins add while they run.
fn static_parts(filter: &std::sync::Arc<dyn PhysicalExpr>) -> Vec<String> {
    split_conjunction(filter)
        .into_iter()
        .filter(|f| !f.is::<DynamicFilterPhysicalExpr>())
        .map(|f| clean(&f.to_string()))
        .collect()
}

/// How much of a table was read.
fn pruned(size: &ScanSize, metrics: &MetricsSet, ran: bool) -> String {
    let files = format!("{} of {} files", size.files, size.files_total);
    if let Some(rows) = size.key_rows {
        return format!("key index: {files}, {}", if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") });
    }
    let mut parts = vec![files];
    if ran {
        let of = |name: &str| pruning(metrics, name);
        // Whole files may still fall to what a join learnt after planning; row groups fall to statistics, then to bloom filters.
        let (lost_files, kept_files) = of("files_ranges_pruned_statistics");
        if lost_files > 0 {
            parts.push(format!("{lost_files} of {} parts of files skipped by joins", lost_files + kept_files));
        }
        let (by_statistics, kept) = of("row_groups_pruned_statistics");
        let (by_bloom, _) = of("row_groups_pruned_bloom_filter");
        let (by_limit, _) = of("limit_pruned_row_groups");
        let by_joins = metrics.sum_by_name("row_groups_pruned_dynamic_filter").map_or(0, |v| v.as_usize());
        let all = by_statistics + kept;
        if all > 0 {
            let read = all.saturating_sub(by_statistics + by_bloom + by_limit + by_joins);
            parts.push(format!("{read} of {all} row groups"));
        }
        let (lost, kept) = of("page_index_pages_pruned");
        if lost > 0 {
            parts.push(format!("{kept} of {} pages", lost + kept));
        }
    }
    parts.join(", ")
}

fn pruning(metrics: &MetricsSet, wanted: &str) -> (usize, usize) {
    let mut out = (0, 0);
    for metric in metrics.iter() {
        if let MetricValue::PruningMetrics { name, pruning_metrics } = metric.value()
            && name == wanted
        {
            out = (out.0 + pruning_metrics.pruned(), out.1 + pruning_metrics.matched());
        }
    }
    out
}

fn shown(expr: &std::sync::Arc<dyn PhysicalExpr>) -> String {
    short(&clean(&expr.to_string()))
}

/// An expression without the places of its columns (`a@3`), which mean nothing to its writer.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let after_name = out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ')' || c == '"');
        if letter == '@' && after_name && letters.peek().is_some_and(char::is_ascii_digit) {
            while letters.peek().is_some_and(char::is_ascii_digit) {
                letters.next();
            }
            continue;
        }
        out.push(letter);
    }
    out.replace("count(Int64(1))", "count(*)").replace("count(1)", "count(*)")
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN).collect();
    format!("{kept} …")
}

/// `BoundedWindowAggExec` as `Bounded window agg`.
fn words(name: &str) -> String {
    let mut out = String::new();
    for (i, letter) in name.trim_end_matches("Exec").chars().enumerate() {
        if i > 0 && letter.is_uppercase() {
            out.push(' ');
            out.extend(letter.to_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_columns_are_left_out_and_addresses_stay() {
        assert_eq!(
            clean("l_orderkey@0 = o_orderkey@12 AND mail@3 = a@b.example"),
            "l_orderkey = o_orderkey AND mail = a@b.example"
        );
        assert_eq!(clean("sum(lineitem.l_quantity)@1 > 300"), "sum(lineitem.l_quantity) > 300");
    }

    #[test]
    fn names_of_operators_become_words() {
        assert_eq!(words("BoundedWindowAggExec"), "Bounded window agg");
    }
}
