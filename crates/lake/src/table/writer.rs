use super::{
    FileSettings, WrittenFile,
    bounds::Metrics,
    schema::{normal, to_iceberg},
};
use crate::{
    Error,
    error::Kind,
    store::{FileSink, Held, Sealing, Store, names},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, LargeListArray, ListArray, RecordBatch, RecordBatchOptions, StructArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, FieldRef, SchemaRef},
};
use hashbrown::HashSet;
use iceberg::spec::Schema as IcebergSchema;
use model::LakeTable;
use object_store::path::Path;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion},
    schema::types::ColumnPath,
};
use std::sync::Arc;

/// Rows of a row group at most.
const GROUP_ROWS: usize = 128 << 10;
/// Encoded bytes of a row group at most; also what a writer holds in memory at most, beside one batch.
const GROUP_BYTES: usize = 64 << 20;
/// Bytes of a page before compression, about. To read one row means to decompress a page of each column.
const PAGE_BYTES: usize = 256 << 10;
/// Rows that are looked at before encodings are chosen.
const SAMPLE_ROWS: usize = 4096;
/// Share of the values which are not there that a bloom filter takes for being there.
const BLOOM_FALSE: f64 = 0.01;
/// A text column gets a dictionary where at most one value in this many is new.
const DICTIONARY_REPEATS: usize = 4;

/// The place of a new data file of `table`; nothing is created yet.
pub fn new_data_path(table: &LakeTable) -> Path {
    marked_data_path(table, "")
}

/// As [`new_data_path`], with what names of files end with that are as the table declares.
pub(crate) fn marked_data_path(table: &LakeTable, mark: &str) -> Path {
    let name = names::sealed(&format!("{}{mark}", uuid::Uuid::now_v7()));
    Path::from(format!("{}/{}/data/{name}", table.layer, table.name))
}

/// How a data file is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriterOptions {
    /// Whether the rows arrive in the sort order of the table they are for.
    pub sorted: bool,
    /// What the table asks of its files.
    pub files: FileSettings,
    /// Columns that rows are laid out by: they get statistics for each page, text too.
    pub laid_out_by: Vec<String>,
}

/// Writes one Parquet data file, front to back. It computes and blocks, so it belongs on a thread that may.
///
/// Memory is bounded by one row group (64 MB of encoded columns) and the batch at hand. Dropping it unfinished leaves an orphan file at most.
#[derive(Debug)]
pub struct DataFileWriter {
    path: Path,
    schema: SchemaRef,
    iceberg: IcebergSchema,
    options: WriterOptions,
    rows: u64,
    state: State,
    store: Store,
    held: Held,
}

#[derive(Debug)]
enum State {
    /// Rows that wait until there are enough to choose encodings by.
    Sampling {
        sink: FileSink,
        held: Vec<RecordBatch>,
        rows: usize,
    },
    Writing(Box<ArrowWriter<Sealing>>),
    /// An error happened; the file is good for nothing.
    Broken,
}

impl DataFileWriter {
    /// Opens a new file at `path` for rows of `schema`, whose fields carry field ids.
    ///
    /// # Errors
    /// [`Kind::Schema`] for columns that Iceberg can't hold, [`Kind::Storage`] where the file can't be made.
    pub fn create(store: &Store, path: Path, schema: &SchemaRef, options: WriterOptions) -> Result<Self, Error> {
        let iceberg = to_iceberg(schema, &[])?;
        let schema = unrequired(&normal(schema)?);
        let held = store.hold(&path);
        let sink = store.create(&path)?;
        Ok(Self {
            path,
            schema,
            iceberg,
            options,
            rows: 0,
            state: State::Sampling { sink, held: Vec::new(), rows: 0 },
            store: store.clone(),
            held,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows written so far; the position of the next row.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that the file would have if it ended now, about.
    pub fn bytes(&self) -> u64 {
        match &self.state {
            State::Sampling { held, .. } => held.iter().map(|b| b.get_array_memory_size() as u64).sum(),
            State::Writing(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            State::Broken => 0,
        }
    }

    /// Bytes that are held in memory, about.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Sampling { held, .. } => held.iter().map(RecordBatch::get_array_memory_size).sum(),
            State::Writing(writer) => writer.memory_size(),
            State::Broken => 0,
        }
    }

    /// Appends rows: the columns of the schema in its order. Names don't matter, types must agree.
    ///
    /// # Errors
    /// [`Kind::Storage`] where the disk or bucket fails, [`Kind::Bug`] where the columns are not those of the schema. The file is lost then.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let conformed = conform(rows, &self.schema)?;
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Sampling { sink, mut held, rows: mut count } => {
                count += conformed.num_rows();
                held.push(conformed);
                self.state = if count < SAMPLE_ROWS {
                    State::Sampling { sink, held, rows: count }
                } else {
                    State::Writing(Box::new(self.begin(sink, &held)?))
                };
            }
            State::Writing(mut writer) => {
                writer.write(&conformed).map_err(|e| self.failed(e))?;
                self.state = State::Writing(writer);
            }
            State::Broken => return Err(Error::new(Kind::Bug, format!("{} was written to after an error", self.path))),
        }
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    fn begin(&self, sink: FileSink, held: &[RecordBatch]) -> Result<ArrowWriter<Sealing>, Error> {
        let properties = properties(&self.schema, held, &self.options);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Sealing::new(sink), Arc::clone(&self.schema), options)
            .map_err(|e| self.failed(e))?;
        for batch in held {
            writer.write(batch).map_err(|e| self.failed(e))?;
        }
        Ok(writer)
    }

    /// Ends the file and makes its bytes durable (a commit makes its directory entry durable too).
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(mut self) -> Result<WrittenFile, Error> {
        let mut writer = match std::mem::replace(&mut self.state, State::Broken) {
            State::Sampling { sink, held, .. } => self.begin(sink, &held)?,
            State::Writing(writer) => *writer,
            State::Broken => return Err(Error::new(Kind::Bug, format!("{} was finished after an error", self.path))),
        };
        // All row groups, down to the sink: what follows is the tail.
        writer.flush().map_err(|e| self.failed(e))?;
        writer.sync().map_err(|e| self.store.write_failed(&self.path, e))?;
        let checksums = writer.inner_mut().begin_tail();
        writer.append_key_value_metadata(checksums);
        let footer = writer.finish().map_err(|e| self.failed(e))?;
        let bytes = writer.inner_mut().finish()?;
        let metrics = Metrics::from_footer(&footer, &self.iceberg);
        let stats = Arc::new(metrics.stats(&self.schema));
        let split_offsets =
            footer.row_groups().iter().map(|g| g.columns().first().map_or(0, |c| c.byte_range().0.cast_signed())).collect();
        Ok(WrittenFile {
            path: self.path,
            bytes,
            rows: self.rows,
            metrics,
            stats,
            split_offsets,
            sorted: self.options.sorted,
            home: None,
            _held: self.held,
        })
    }

    fn failed(&self, error: ParquetError) -> Error {
        let bug =
            |error: ParquetError| Error::new(Kind::Bug, format!("writing {} failed: {error}", self.path)).with_source(error);
        match error {
            ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(cause) => self.store.write_failed(&self.path, *cause),
                Err(cause) => bug(ParquetError::External(cause)),
            },
            other => bug(other),
        }
    }
}

/// Encodings measured to be cheap: zstd level 1, delta for whole numbers and times, dictionaries only on text that repeats.
fn properties(schema: &SchemaRef, sample: &[RecordBatch], options: &WriterOptions) -> WriterProperties {
    let files = &options.files;
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("lakebox version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(Some(files.row_group_rows.unwrap_or(GROUP_ROWS)))
        .set_max_row_group_bytes(Some(GROUP_BYTES));
    if let Some(rows) = files.page_rows {
        // Limits are looked at after each piece that is written, so pieces are no larger than pages.
        builder = builder.set_data_page_row_count_limit(rows).set_write_batch_size(rows.min(1024));
    }
    for (index, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::from(field.name().as_str());
        builder = match field.data_type() {
            DataType::Utf8 => builder.set_column_dictionary_enabled(path.clone(), repeats(sample, index)),
            DataType::Binary => builder,
            other => delta_where_whole(builder, path.clone(), other),
        };
        let long = matches!(field.data_type(), DataType::Utf8 | DataType::Binary);
        if long && !options.laid_out_by.contains(field.name()) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        }
        if files.dictionary.contains(field.name()) || files.no_dictionary.contains(field.name()) {
            builder = builder.set_column_dictionary_enabled(path.clone(), files.dictionary.contains(field.name()));
        }
        if files.bloom.contains(field.name()) {
            // Sized for a row group of different values while it is made, and folded to what it holds.
            builder = builder.set_column_bloom_filter_enabled(path.clone(), true).set_column_bloom_filter_fpp(path, BLOOM_FALSE);
        }
    }
    builder.build()
}

fn delta_where_whole(builder: WriterPropertiesBuilder, path: ColumnPath, data_type: &DataType) -> WriterPropertiesBuilder {
    let whole = match data_type {
        DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(_, _) => true,
        DataType::Decimal128(precision, _) => *precision <= 18,
        _ => false,
    };
    if whole { builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED) } else { builder }
}

/// Whether a text column of the sample repeats its values enough for a dictionary.
fn repeats(sample: &[RecordBatch], column: usize) -> bool {
    let mut distinct = HashSet::new();
    let mut seen = 0;
    for batch in sample {
        let values = batch.column(column).as_string::<i32>();
        for value in values.iter().flatten().take(SAMPLE_ROWS - seen) {
            distinct.insert(value);
            seen += 1;
        }
    }
    distinct.len() * DICTIONARY_REPEATS <= seen
}

/// The same columns under the writer's schema: types that differ only in names of list items or in width are made equal.
fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    if rows.num_columns() != schema.fields().len() {
        let message =
            format!("a batch of {} columns can't be written under a schema of {}", rows.num_columns(), schema.fields().len());
        return Err(Error::new(Kind::Bug, message));
    }
    let columns = rows.columns().iter().zip(schema.fields()).map(|(c, f)| conform_column(c, f)).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| Error::bug("matching rows to their schema", e))
}

/// Data files hold rows that are deleted, too, and those may lack required values: in files every column is optional.
fn unrequired(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|f| f.is_nullable()) {
        return Arc::clone(schema);
    }
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Arc::new(arrow::datatypes::Schema::new(fields))
}

fn conform_column(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, Error> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let wrong = |e| Error::bug(format!("matching column `{}` to its type {}", field.name(), field.data_type()), e);
    match (column.data_type(), field.data_type()) {
        (DataType::List(_), DataType::List(item)) => {
            let list: &ListArray = column.as_list();
            let values = conform_column(list.values(), item)?;
            Ok(Arc::new(
                ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned()).map_err(wrong)?,
            ))
        }
        (DataType::LargeList(_), DataType::List(item)) => {
            let list: &LargeListArray = column.as_list();
            let values = conform_column(list.values(), item)?;
            let large = LargeListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())
                .map_err(wrong)?;
            exact(&large, field.data_type()).map_err(wrong)
        }
        (DataType::Struct(_), DataType::Struct(inner)) => {
            let parts = column.as_struct();
            let columns = parts.columns().iter().zip(inner).map(|(c, f)| conform_column(c, f)).collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(inner.clone(), columns, parts.nulls().cloned()).map_err(wrong)?))
        }
        _ => exact(column, field.data_type()).map_err(wrong),
    }
}

/// A cast that fails rather than turn a value into NULL.
fn exact(column: &dyn Array, to: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
}
