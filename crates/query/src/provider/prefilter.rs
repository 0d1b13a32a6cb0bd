use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::{BatchCoalescer, prep_null_mask_filter},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Statistics, cast::as_boolean_array, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        execution_plan::CardinalityEffect,
        metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{Stream, StreamExt};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Batches that are looked at before it is decided whether the filter pays.
const TRIED: usize = 16;
/// Batches that pass untouched after a trial that did not pay; doubled each time up to the most.
const SKIPPED: usize = 64;
const SKIPPED_MOST: usize = 4096;
/// Of the rows that were tried, the share in percent that may pass for the filter to pay: evaluating it costs about as much as hashing a row
/// once more further up.
const PASSING_MOST: usize = 70;

/// Drops rows at a scan that a join above it would drop anyway, as long as that pays.
///
/// A hash join knows, once its smaller side is read, which keys can find a partner. The scan of the larger side uses that to skip files and row
/// groups; this node uses it for single rows, before they are repartitioned, aggregated or joined with others. Every row it lets through is
/// still looked at by the join, so it may stop filtering at any time: where most rows pass it does, and tries again later.
#[derive(Debug, Clone)]
pub(crate) struct PrefilterExec {
    input: Arc<dyn ExecutionPlan>,
    predicate: Arc<dyn PhysicalExpr>,
    metrics: ExecutionPlanMetricsSet,
}

impl PrefilterExec {
    /// `predicate` over the columns of `input`; it must be implied by what is above.
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, predicate: Arc<dyn PhysicalExpr>) -> Self {
        Self { input, predicate, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for PrefilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrefilterExec: {}", self.predicate)
    }
}

impl ExecutionPlan for PrefilterExec {
    fn name(&self) -> &'static str {
        "PrefilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        f(&self.predicate)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self { input, ..Self::clone(&self) })),
            None => Ok(self),
        }
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self { input, ..Self::clone(&self) })),
            None => Ok(self),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = context.session_config().batch_size().max(1);
        let schema = self.input.schema();
        let out = BatchCoalescer::new(Arc::clone(&schema), rows).with_biggest_coalesce_batch_size(Some(rows / 2));
        Ok(Box::pin(PrefilterStream {
            input: self.input.execute(partition, context)?,
            predicate: Arc::clone(&self.predicate),
            schema,
            out,
            trial: Trial::default(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            dropped: MetricBuilder::new(&self.metrics).counter("rows_dropped", partition),
            ended: false,
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let input = inputs.first().map(|s| Statistics::clone(s).to_inexact());
        Ok(Arc::new(input.unwrap_or_else(|| Statistics::new_unknown(&self.schema()))))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }
}

/// Whether the filter pays: tried for some batches, then kept or left out for some more.
#[derive(Debug, Default)]
struct Trial {
    batches: usize,
    seen: usize,
    passed: usize,
    /// Batches that still go through untouched.
    skip: usize,
    /// How many went through untouched after the last trial.
    skipped: usize,
}

impl Trial {
    /// Whether the next batch is to be filtered.
    fn filters(&mut self) -> bool {
        if self.skip == 0 {
            return true;
        }
        self.skip -= 1;
        false
    }

    fn note(&mut self, seen: usize, passed: usize) {
        self.batches += 1;
        self.seen += seen;
        self.passed += passed;
        if self.batches < TRIED {
            return;
        }
        if self.passed.saturating_mul(100) > self.seen.saturating_mul(PASSING_MOST) {
            self.skipped = (self.skipped * 2).clamp(SKIPPED, SKIPPED_MOST);
            self.skip = self.skipped;
        } else {
            self.skipped = 0;
        }
        (self.batches, self.seen, self.passed) = (0, 0, 0);
    }
}

struct PrefilterStream {
    input: SendableRecordBatchStream,
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    out: BatchCoalescer,
    trial: Trial,
    baseline: BaselineMetrics,
    dropped: Count,
    ended: bool,
}

impl PrefilterStream {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let _timer = self.baseline.elapsed_compute().timer();
        if !self.trial.filters() {
            return Ok(self.out.push_batch(batch)?);
        }
        let rows = batch.num_rows();
        let mask = self.predicate.evaluate(&batch)?.into_array(rows)?;
        let mask = as_boolean_array(&mask)?;
        let mask: BooleanArray = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
        let passed = mask.true_count();
        self.trial.note(rows, passed);
        self.dropped.add(rows - passed);
        match passed {
            0 => {}
            n if n == rows => self.out.push_batch(batch)?,
            _ => self.out.push_batch_with_filter(batch, &mask)?,
        }
        Ok(())
    }
}

impl Stream for PrefilterStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(batch) = self.out.next_completed_batch() {
                return self.baseline.record_poll(Poll::Ready(Some(Ok(batch))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match futures::ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) => {
                    if let Err(error) = self.push(batch) {
                        self.ended = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ended = true;
                    if let Err(error) = self.out.finish_buffered_batch() {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
        }
    }
}

impl RecordBatchStream for PrefilterStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_lets_most_rows_through_is_left_out_and_tried_again_ever_less_often() {
        let mut trial = Trial::default();
        let mut filtered = 0;
        for _ in 0..20_000 {
            if trial.filters() {
                filtered += 1;
                trial.note(100, 95);
            }
        }
        assert!((TRIED * 4..TRIED * 12).contains(&filtered), "{filtered}");
    }

    #[test]
    fn a_filter_that_drops_rows_stays() {
        let mut trial = Trial::default();
        for _ in 0..1000 {
            assert!(trial.filters());
            trial.note(100, 10);
        }
    }

    #[test]
    fn a_filter_that_begins_to_drop_rows_is_taken_up_again() {
        let mut trial = Trial::default();
        for _ in 0..TRIED {
            trial.filters();
            trial.note(100, 100);
        }
        assert!(!trial.filters());
        let waited = (0..2 * SKIPPED).take_while(|_| !trial.filters()).count();
        assert_eq!(waited, SKIPPED - 1);
        for _ in 0..10 * TRIED {
            trial.note(100, 1);
            assert!(trial.filters());
        }
    }
}
