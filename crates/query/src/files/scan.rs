use super::{
    broken,
    sample::{compression_of, unpacked},
    table::{FilesSpec, Reading, TableFile, TextOptions},
    unreachable,
};
use crate::{Error, Kind, provider::ScanSize};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use bytes::Bytes;
use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use formats::{csv, json};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt};
use std::{fmt, sync::Arc};

/// The largest Avro file that is read: it is held in memory as a whole.
const AVRO_BYTES_MAX: u64 = 512 << 20;

/// Reads files of text and Avro, one after the other in each partition.
#[derive(Debug, Clone)]
pub(super) struct TextScan {
    spec: Arc<FilesSpec>,
    groups: Arc<[Vec<TableFile>]>,
    store: Arc<dyn ObjectStore>,
    /// Columns of the table that are returned.
    projection: Vec<usize>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TextScan {
    pub(super) fn try_new(
        spec: Arc<FilesSpec>,
        groups: Vec<Vec<TableFile>>,
        store: Arc<dyn ObjectStore>,
        projection: Vec<usize>,
        limit: Option<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(spec.table_schema().project(&projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { spec, groups: groups.into(), store, projection, schema, limit, properties: Arc::new(properties), metrics })
    }

    /// How much is read of what there is.
    pub(super) fn size(&self) -> ScanSize {
        let files = || self.groups.iter().flatten();
        ScanSize {
            table: self.spec.shown.clone(),
            files: files().count(),
            files_total: self.spec.files.len(),
            bytes: files().map(|f| f.meta.size).sum(),
            bytes_total: self.spec.bytes(),
            key_rows: None,
        }
    }
}

impl DisplayAs for TextScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.groups.iter().map(Vec::len).sum();
        let columns: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        write!(
            f,
            "FileScan: format={}, path={}, files={files}, projection=[{}]",
            self.spec.reading.name(),
            self.spec.shown,
            columns.join(", ")
        )?;
        self.limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for TextScan {
    fn name(&self) -> &'static str {
        "FileScan"
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
        let files = self.groups.get(partition).cloned().unwrap_or_default();
        let scanned = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let reader = Arc::new(FileReader {
            spec: Arc::clone(&self.spec),
            store: Arc::clone(&self.store),
            projection: self.projection.clone(),
            schema: Arc::clone(&self.schema),
            rows_max: context.session_config().batch_size().max(1),
            scanned,
        });
        let mut left = self.limit.unwrap_or(usize::MAX);
        let batches = futures::stream::iter(files).map(Ok).and_then(move |file| {
            let reader = Arc::clone(&reader);
            async move { reader.open(file).await }
        });
        let batches = batches.try_flatten().try_take_while(move |batch: &RecordBatch| {
            let wanted = left > 0;
            left = left.saturating_sub(batch.num_rows());
            rows.add(batch.num_rows());
            futures::future::ready(Ok(wanted))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct FileReader {
    spec: Arc<FilesSpec>,
    store: Arc<dyn ObjectStore>,
    projection: Vec<usize>,
    schema: SchemaRef,
    rows_max: usize,
    scanned: Count,
}

/// Reads the bytes of one file as they come.
enum Decoder {
    Csv(Box<csv::Reader>),
    Json(Box<json::Reader>),
}

impl Decoder {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> std::result::Result<(), formats::Error> {
        match self {
            Self::Csv(reader) => reader.feed(bytes, out),
            Self::Json(reader) => reader.feed(bytes, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> std::result::Result<(), formats::Error> {
        match self {
            Self::Csv(reader) => reader.finish(out),
            Self::Json(reader) => reader.finish(out),
        }
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl FileReader {
    /// Columns of the files that are asked for, as the files' columns count.
    fn in_files(&self) -> Vec<usize> {
        let kept = self.spec.kept();
        self.projection.iter().filter_map(|column| kept.get(*column).copied()).collect()
    }

    async fn open(self: Arc<Self>, file: TableFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (schema, projection, rows_max) = (Arc::clone(&self.spec.schema), self.in_files(), self.rows_max);
        match self.spec.reading.clone() {
            Reading::Csv { dialect, header, asked, options } => {
                let ignore_unknown = options.ignore_unknown;
                let wanted = csv::Wanted { schema, projection, dialect, header, asked: *asked, ignore_unknown, rows_max };
                self.text(file, options, Decoder::Csv(Box::new(csv::Reader::new(wanted)))).await
            }
            Reading::Json { form, whole, options } => {
                let ignore_unknown = options.ignore_unknown;
                let wanted = json::Wanted { schema, projection, form, whole, ignore_unknown, rows_max };
                self.text(file, options, Decoder::Json(Box::new(json::Reader::new(wanted)))).await
            }
            Reading::Avro { .. } => self.avro(file, projection).await,
            Reading::Parquet { .. } => Err(DataFusionError::Internal("Parquet is not read as text".into())),
        }
    }

    async fn bytes(&self, file: &TableFile) -> Result<BoxStream<'static, Result<Bytes>>> {
        let shown = file.shown.clone();
        let got = self.store.get(&file.meta.location).await.map_err(|e| external(unreachable(&shown, e)))?;
        // The file may have been written anew since it was looked at; half of each must not pass for a table.
        if got.meta.size != file.meta.size
            || (got.meta.e_tag.is_some() && file.meta.e_tag.is_some() && got.meta.e_tag != file.meta.e_tag)
        {
            return Err(external(
                Error::new(Kind::Storage, format!("{shown} changed while it was read")).with_hint("Run the query again."),
            ));
        }
        let scanned = self.scanned.clone();
        let bytes = got.into_stream().map_err(move |e| external(unreachable(&shown, e)));
        Ok(bytes.inspect_ok(move |bytes| scanned.add(bytes.len())).boxed())
    }

    async fn text(
        self: Arc<Self>,
        file: TableFile,
        options: TextOptions,
        decoder: Decoder,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let like = super::options::Options { compression: options.compression, ..Default::default() };
        let bytes = unpacked(self.bytes(&file).await?, compression_of(&file.meta, &like))?;
        let file = Arc::new(file);
        let shown = file.shown.clone();
        let reader = Arc::clone(&self);
        Ok(decoded(bytes, decoder, shown).map(move |batch| reader.with_partitions(&batch?, &file)).boxed())
    }

    async fn avro(self: Arc<Self>, file: TableFile, projection: Vec<usize>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        if file.meta.size > AVRO_BYTES_MAX {
            let message =
                format!("{} is larger than {} MiB, the most that is read of one Avro file", file.shown, AVRO_BYTES_MAX >> 20);
            return Err(external(Error::new(Kind::Unsupported, message).with_hint("Write smaller files, or Parquet.")));
        }
        let bytes: Vec<Bytes> = self.bytes(&file).await?.try_collect().await?;
        let (whole, schema, rows_max) = (bytes.concat(), Arc::clone(&self.spec.schema), self.rows_max);
        let (out, batches) = tokio::sync::mpsc::channel(2);
        let shown = file.shown.clone();
        let read = runtime::blocking("reading Avro", move || {
            let send = |batch: RecordBatch| out.blocking_send(Ok(batch)).is_ok();
            if let Err(error) = formats::avro::read(&whole, &schema, &projection, rows_max, send) {
                // Nobody waits any more where sending fails.
                drop(out.blocking_send(Err(external(broken(&shown, error)))));
            }
        });
        // The reading goes on beside what takes its batches, and ends with it: nobody takes them then.
        let done = futures::stream::once(read)
            .filter_map(|end| async move { end.err().map(|e| Err(external(Error::new(Kind::Internal, e.to_string())))) });
        let batches = futures::stream::unfold(batches, |mut rx| async move { rx.recv().await.map(|batch| (batch, rx)) });
        let reader = Arc::clone(&self);
        let merged = futures::stream::select(batches, done);
        Ok(merged.map(move |batch: Result<RecordBatch>| reader.with_partitions(&batch?, &file)).boxed())
    }

    /// The batch with the columns that directories say, in the order that is asked for.
    fn with_partitions(&self, batch: &RecordBatch, file: &TableFile) -> Result<RecordBatch> {
        let kept = self.spec.kept().len();
        let mut own = batch.columns().iter();
        let columns = self.projection.iter().map(|column| -> Result<ArrayRef> {
            match column.checked_sub(kept) {
                None => own.next().cloned().ok_or_else(|| DataFusionError::Internal("a column was not read".into())),
                Some(partition) => file.partition[partition].to_array_of_size(batch.num_rows()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect::<Result<_>>()?, &options)?)
    }
}

/// Batches from bytes as they come. Ends at the first error.
fn decoded(
    bytes: BoxStream<'static, Result<Bytes>>,
    decoder: Decoder,
    shown: String,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    struct State {
        bytes: BoxStream<'static, Result<Bytes>>,
        decoder: Decoder,
        ready: std::collections::VecDeque<RecordBatch>,
        done: bool,
        shown: String,
    }
    let state = State { bytes, decoder, ready: Default::default(), done: false, shown };
    futures::stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(batch) = state.ready.pop_front() {
                return Ok(Some((batch, state)));
            }
            if state.done {
                return Ok(None);
            }
            let mut out = Vec::new();
            let read = match state.bytes.next().await {
                Some(bytes) => {
                    let bytes = bytes.map_err(|e| match e {
                        // What unpacks the bytes knows no names.
                        DataFusionError::IoError(e) => {
                            external(broken(&state.shown, formats::Error::new(format!("it can't be unpacked: {e}"))))
                        }
                        other => other,
                    })?;
                    // Large pieces would make large batches wait for each other.
                    let fed: std::result::Result<(), formats::Error> =
                        bytes.chunks(1 << 20).try_for_each(|piece| state.decoder.feed(piece, &mut out));
                    fed
                }
                None => {
                    state.done = true;
                    state.decoder.finish(&mut out)
                }
            };
            read.map_err(|e| external(broken(&state.shown, e)))?;
            state.ready.extend(out);
        }
    })
}
