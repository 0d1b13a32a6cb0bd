use arrow::{
    array::{BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions},
    compute::{cast, filter_record_batch},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Statistics, stats::Precision, tree_node::TreeNodeRecursion},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use lake::HotBatch;
use std::{fmt, sync::Arc};

/// Rows that are not committed yet, read from memory. Rows are masked and projected when they are asked for, not when the query is planned.
#[derive(Debug, Clone)]
pub(crate) struct HotExec {
    batches: Arc<[HotBatch]>,
    /// Indexes into the batches' columns.
    projection: Arc<[usize]>,
    schema: SchemaRef,
    partitions: usize,
    limit: Option<usize>,
    /// Whether the batches are single rows that the key index found.
    of_keys: bool,
    properties: Arc<PlanProperties>,
}

impl HotExec {
    /// A plan over `batches` whose columns, cast to `schema`, are those of `projection`.
    pub(super) fn new(batches: Arc<[HotBatch]>, projection: Arc<[usize]>, schema: SchemaRef, partitions: usize) -> Self {
        let partitions = partitions.min(batches.len()).max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { batches, projection, schema, partitions, limit: None, of_keys: false, properties: Arc::new(properties) }
    }

    /// Says that the batches are rows that the key index found.
    pub(super) fn of_keys(self) -> Self {
        Self { of_keys: true, ..self }
    }

    /// Whether its rows were found by the key index.
    pub(crate) fn is_of_keys(&self) -> bool {
        self.of_keys
    }

    fn of_partition(&self, partition: usize) -> impl Iterator<Item = &HotBatch> {
        self.batches.iter().skip(partition).step_by(self.partitions)
    }
}

/// Rows of a batch that queries see.
pub(super) fn live_rows(batch: &HotBatch) -> usize {
    let deleted = batch.deleted.as_ref().map_or(0, |d| d.len());
    batch.rows.num_rows().saturating_sub(usize::try_from(deleted).unwrap_or(usize::MAX))
}

/// The visible rows of a batch, projected and in the types queries run on.
fn visible(batch: &HotBatch, projection: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = projection
        .iter()
        .zip(schema.fields())
        .map(|(&i, field)| {
            let column = batch.rows.column(i);
            if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let rows = batch.rows.num_rows();
    let Some(deleted) = batch.deleted.as_ref().filter(|d| !d.is_empty()) else {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?);
    };
    let mut mask = BooleanBufferBuilder::new(rows);
    mask.append_n(rows, true);
    for row in deleted.iter().map(|r| r as usize).take_while(|r| *r < rows) {
        mask.set_bit(row, false);
    }
    // Hidden rows may hold NULL where the schema has none (a delete event keeps the key alone), so they are dropped before it is checked.
    let loose =
        arrow::datatypes::Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let all = RecordBatch::try_new_with_options(Arc::new(loose), columns, &options)?;
    let kept = filter_record_batch(&all, &BooleanArray::new(mask.finish(), None))?;
    let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), kept.columns().to_vec(), &options)?)
}

impl DisplayAs for HotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "HotExec: batches={}, projection=[{}]", self.batches.len(), columns.join(", "))?;
        self.limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for HotExec {
    fn name(&self) -> &'static str {
        "HotExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches: Vec<HotBatch> = self.of_partition(partition).cloned().collect();
        let (projection, schema) = (Arc::clone(&self.projection), Arc::clone(&self.schema));
        let size = context.session_config().batch_size().max(1);
        let mut left = self.limit.unwrap_or(usize::MAX);
        let pieces = batches
            .into_iter()
            .flat_map(move |batch| {
                let rows = batch.rows.num_rows();
                (0..rows).step_by(size).map(move |from| slice(&batch, from, size.min(rows - from))).collect::<Vec<_>>()
            })
            .map(move |piece| visible(&piece, &projection, &schema))
            .map_while(move |piece| match piece {
                _ if left == 0 => None,
                Ok(piece) => {
                    let piece = piece.slice(0, piece.num_rows().min(left));
                    left -= piece.num_rows();
                    Some(Ok(piece))
                }
                Err(error) => Some(Err(error)),
            })
            .filter(|piece| piece.as_ref().map_or(true, |p| p.num_rows() > 0));
        let stream = futures::stream::iter(pieces);
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &datafusion::physical_plan::statistics::StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows: usize = match args.partition() {
            None => self.batches.iter().map(live_rows).sum(),
            Some(partition) => self.of_partition(partition).map(live_rows).sum(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = match self.limit {
            Some(limit) if limit < rows => Precision::Exact(limit),
            _ => Precision::Exact(rows),
        };
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { limit, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }
}

/// A part of a batch with its part of the mask.
fn slice(batch: &HotBatch, from: usize, rows: usize) -> HotBatch {
    let deleted = batch.deleted.as_ref().map(|deleted| {
        let (start, end) = (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(from + rows).unwrap_or(u32::MAX));
        Arc::new(deleted.range(start..end).map(|row| row - start).collect::<roaring::RoaringBitmap>())
    });
    HotBatch { rows: batch.rows.slice(from, rows), deleted }
}
