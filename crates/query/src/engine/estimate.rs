use crate::provider::{ScanSize, scan_size};
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::{
    ExecutionPlan,
    joins::{CrossJoinExec, NestedLoopJoinExec},
    statistics::{StatisticsArgs, StatisticsContext},
};
use model::Cursor;
use std::sync::Arc;

/// What a statement would read at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The columns it would return.
    pub schema: SchemaRef,
    /// The scans of tables of the lake, in the order of the plan.
    pub scans: Vec<ScanEstimate>,
    /// What all that would cost, in US dollars, at the price of the settings.
    pub cost_usd: f64,
    /// Up to which cursor it would see each source.
    pub as_of: Vec<(String, Cursor)>,
}

/// What is read of one table. A table that a statement names twice has two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEstimate {
    /// The table, as `layer.name`.
    pub table: String,
    /// Files that have to be looked at.
    pub files: u64,
    /// Files that the table has.
    pub files_total: u64,
    /// Bytes of the needed columns in these files. What row groups and pages are skipped is only known once it runs.
    pub bytes: u64,
    /// Bytes of all files of the table.
    pub bytes_total: u64,
}

impl Estimate {
    pub(super) fn of(plan: &dyn ExecutionPlan, schema: SchemaRef, as_of: Vec<(String, Cursor)>, price_per_tb: f64) -> Self {
        let mut scans = Vec::new();
        gather(plan, &mut scans);
        let bytes = scans.iter().map(|s: &ScanEstimate| s.bytes).sum();
        Self { schema, scans, cost_usd: cost_usd(bytes, price_per_tb), as_of }
    }

    /// Files that have to be looked at, of all scans.
    pub fn files(&self) -> u64 {
        self.scans.iter().map(|s| s.files).sum()
    }

    /// Files of the tables, of all scans.
    pub fn files_total(&self) -> u64 {
        self.scans.iter().map(|s| s.files_total).sum()
    }

    /// Bytes that are read at most, of all scans.
    pub fn bytes(&self) -> u64 {
        self.scans.iter().map(|s| s.bytes).sum()
    }
}

/// What reading so many bytes costs where a terabyte (10^12 bytes) costs `price_per_tb`.
pub fn cost_usd(bytes: u64, price_per_tb: f64) -> f64 {
    bytes as f64 / 1e12 * price_per_tb
}

/// Bytes that a plan reads at most.
pub(super) fn bytes_of(plan: &dyn ExecutionPlan) -> u64 {
    let mut scans = Vec::new();
    gather(plan, &mut scans);
    scans.iter().map(|s| s.bytes).sum()
}

/// Pairs of rows that a join may look at and still be light.
const PAIRS_LIGHT: usize = 1_000_000;

/// Whether a plan compares each row of one input with each of another, and they are many or nobody knows how many.
pub(super) fn compares_many(plan: &dyn ExecutionPlan) -> bool {
    let children = plan.children();
    let pairs = || {
        let statistics = StatisticsContext::new();
        let rows = |child: &&Arc<dyn ExecutionPlan>| {
            let known = statistics.compute(child.as_ref(), &StatisticsArgs::default()).ok()?;
            known.num_rows.get_value().copied()
        };
        children.iter().map(rows).try_fold(1, |product: usize, rows| product.checked_mul(rows?))
    };
    ((plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>()) && pairs().is_none_or(|pairs| pairs > PAIRS_LIGHT))
        || children.iter().any(|child| compares_many(child.as_ref()))
}

fn gather(plan: &dyn ExecutionPlan, scans: &mut Vec<ScanEstimate>) {
    if let Some(ScanSize { table, files, files_total, bytes, bytes_total, .. }) = scan_size(plan) {
        scans.push(ScanEstimate { table, files: files as u64, files_total: files_total as u64, bytes, bytes_total });
    }
    for child in plan.children() {
        gather(child.as_ref(), scans);
    }
}
