//! What the scans of a plan that has run did.

use super::{AccessKind, AccessSum, Bounds, COLUMNS_MOST, FilterKind, Filtered, filtered};
use crate::provider::{FILES_LOOKED_AT, ScanFacts, scan_facts};
use arrow::array::ArrayRef;
use datafusion::{
    datasource::{
        physical_plan::{FileSource, ParquetSource},
        source::DataSourceExec,
    },
    physical_plan::{
        ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, coop::CooperativeExec, filter::FilterExec,
        repartition::RepartitionExec,
    },
    scalar::ScalarValue,
};

/// What each scan of the lake in `plan` did, summed by kind. Scans that never began are left out.
pub(crate) fn accesses(plan: &dyn ExecutionPlan) -> Vec<(AccessKind, AccessSum)> {
    let mut all = Vec::new();
    gather(plan, None, &mut all);
    all
}

/// `passed`: rows that came out of the filter above, where there is one and nothing but moving of rows in between.
fn gather(plan: &dyn ExecutionPlan, passed: Option<u64>, all: &mut Vec<(AccessKind, AccessSum)>) {
    if let Some(access) = access(plan, passed) {
        all.push(access);
        return;
    }
    let out = || plan.metrics().and_then(|m| m.output_rows()).map(|n| n as u64);
    let below = if plan.is::<FilterExec>() {
        passed.or_else(out)
    } else if plan.is::<CoalescePartitionsExec>() || plan.is::<CooperativeExec>() || plan.is::<RepartitionExec>() {
        passed
    } else {
        None
    };
    for child in plan.children() {
        gather(child.as_ref(), below, all);
    }
}

fn access(plan: &dyn ExecutionPlan, passed: Option<u64>) -> Option<(AccessKind, AccessSum)> {
    let facts = scan_facts(plan)?;
    let metrics = plan.metrics()?;
    let read_bytes = metrics.sum_by_name("bytes_scanned")?.as_usize() as u64;
    let (_, source) = plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
    let found = source.filter().map(|f| filtered(&f)).unwrap_or_default();
    let mut found: Vec<(String, Filtered)> = found.into_iter().collect();
    found.truncate(COLUMNS_MOST);
    let passed = passed.or_else(|| metrics.output_rows().map(|n| n as u64)).unwrap_or(facts.rows);
    let shares = shares(&found, &facts, passed);
    let columns = found.into_iter().map(|(name, f)| (name, f.kind)).collect();
    let sum = AccessSum { queries: 1, read_bytes, full_bytes: facts.full_bytes.max(read_bytes), shares };
    Some((AccessKind { table: facts.table, columns }, sum))
}

/// The share of rows that each filter alone lets through.
fn shares(found: &[(String, Filtered)], facts: &ScanFacts, passed: u64) -> Vec<f64> {
    let all = passed as f64 / facts.rows.max(1) as f64;
    let ranges: Vec<Option<f64>> = found.iter().map(|(_, f)| range_share(f, facts)).collect();
    let known: f64 = ranges.iter().flatten().product();
    let open = ranges.iter().filter(|r| r.is_none()).count();
    // What the ranges don't explain is the doing of the others, in equal parts.
    let rest = if known > 0.0 { (all / known).clamp(0.0, 1.0) } else { 1.0 };
    let each = rest.powf(1.0 / open.max(1) as f64);
    ranges.into_iter().map(|r| r.unwrap_or(each).max(all).min(1.0)).collect()
}

/// The share of the table's rows in a range, as if values were spread evenly between the bounds of each file.
fn range_share(filter: &Filtered, facts: &ScanFacts) -> Option<f64> {
    if filter.kind != FilterKind::Range {
        return None;
    }
    let id = facts.field_id(filter.index)?;
    let (mut inside, mut rows) = (0.0, 0.0);
    for file in facts.files.iter().take(FILES_LOOKED_AT) {
        let stats = file.stats.get(&id)?;
        let (low, high) = (number(stats.min.as_ref())?, number(stats.max.as_ref())?);
        rows += file.rows as f64;
        inside += file.rows as f64 * overlap(&filter.bounds, low, high)?;
    }
    (rows > 0.0).then(|| inside / rows)
}

/// The part of `low..=high` that is within the bounds.
fn overlap(bounds: &Bounds, low: f64, high: f64) -> Option<f64> {
    let limit = |bound: &Option<ScalarValue>, or: f64| bound.as_ref().map_or(Some(or), scalar);
    let (from, to) = (limit(&bounds.from, low)?, limit(&bounds.to, high)?);
    if to < low || from > high {
        return Some(0.0);
    }
    let whole = high - low;
    if whole <= 0.0 {
        return Some(1.0);
    }
    Some(((to.min(high) - from.max(low)) / whole).clamp(0.0, 1.0))
}

fn number(bound: Option<&ArrayRef>) -> Option<f64> {
    scalar(&ScalarValue::try_from_array(bound?, 0).ok()?)
}

/// A value as a number that grows with it. None for text and other types that have no distances. A literal of a scan's filter has the column's type.
fn scalar(value: &ScalarValue) -> Option<f64> {
    use ScalarValue as V;
    match value {
        V::Int8(v) => v.map(f64::from),
        V::Int16(v) => v.map(f64::from),
        V::Int32(v) | V::Date32(v) => v.map(f64::from),
        V::Int64(v) | V::TimestampMicrosecond(v, _) | V::Time64Microsecond(v) => v.map(|v| v as f64),
        V::Float64(v) => *v,
        V::Float32(v) => v.map(f64::from),
        V::Decimal128(v, _, scale) => v.map(|v| v as f64 / 10f64.powi(i32::from(*scale))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_files_in_part() {
        let bounds = |from: Option<i64>, to: Option<i64>| Bounds {
            from: from.map(|v| ScalarValue::Int64(Some(v))),
            to: to.map(|v| ScalarValue::Int64(Some(v))),
        };
        for (of, expected) in [
            (bounds(Some(0), Some(50)), 0.5),
            (bounds(None, Some(25)), 0.25),
            (bounds(Some(90), None), 0.1),
            (bounds(Some(200), None), 0.0),
            (bounds(None, None), 1.0),
        ] {
            let found = overlap(&of, 0.0, 100.0).unwrap();
            assert!((found - expected).abs() < 1e-9, "{of:?}: {found}");
        }
        let text = Bounds { from: Some(ScalarValue::from("x")), to: None };
        assert_eq!(overlap(&text, 0.0, 1.0), None);
    }
}
