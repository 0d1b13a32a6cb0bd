//! Whole tables swapped in at once: what gold models write.

use crate::upkeep::SNAPSHOTS_KEPT_MOST;
use crate::{
    DataFileWriter, Error, FileSettings, Kind, Lake, TableChange, TableSpec, WriterOptions, WrittenFile, can_bloom,
    table::{
        marked_data_path,
        schema::{self, normal},
    },
    upkeep::{LAYOUT, mark},
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::{SortColumn, SortOptions, concat, concat_batches, lexsort_to_indices, take_record_batch},
    datatypes::{Schema, SchemaRef},
    row::{OwnedRow, RowConverter, SortField},
};
use futures::{Stream, StreamExt};
use model::LakeTable;
use object_store::path::Path;
use std::{collections::BTreeMap, pin::Pin, sync::Arc};

/// Rows as they arrive, with whatever error their maker has.
pub type SendableBatches = Pin<Box<dyn Stream<Item = Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// A file ends once it has this size, about.
const FILE_BYTES: u64 = 128 << 20;
/// Rows are gathered up to this many bytes and sorted together; rows that arrive sorted stay sorted over all.
const SORT_BYTES: usize = 64 << 20;
/// Former contents that stay readable by snapshot.
const FORMER_KEPT: &str = "5";

/// How a table is replaced.
#[derive(Debug, Clone)]
pub struct ReplaceOptions {
    /// The columns of the rows. Field ids are given by name: a column keeps its id while its type stays.
    pub schema: SchemaRef,
    /// Names of the columns that identify a row; empty where none do.
    pub key: Vec<String>,
    /// Sort order as (column, descending); empty where unsorted.
    pub sort_order: Vec<(String, bool)>,
    /// Entries of the snapshot's summary.
    pub summary: BTreeMap<String, String>,
    /// The model that writes the table.
    pub writer: Option<String>,
}

/// What a replacement wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The new snapshot; absent where the table was empty before and after.
    pub snapshot_id: Option<i64>,
    /// Rows of the table now.
    pub rows: u64,
    /// Files of the table now.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Lake {
    /// Replaces the whole content of `table`, and its columns if they differ, in one snapshot. Queries see the former content until the
    /// last row is durable, then the new one. The table is made where it does not exist. An error leaves it as it was.
    ///
    /// # Errors
    /// The error of `rows`, as [`Kind::Schema`]; else where a column's type can't be held or the rows can't be written or committed.
    pub async fn replace(&self, table: LakeTable, rows: SendableBatches, options: ReplaceOptions) -> Result<Replaced, Error> {
        let spec = self.spec_for(&table, &options)?;
        let written = self.write_rows(&table, rows, &spec).await.map_err(|e| e.with_table(&table))?;
        let mut change = TableChange::new(table);
        change.spec = Some(spec);
        change.append = written;
        change.drop_all_rows = true;
        change.summary = options.summary;
        change.writer = options.writer;
        change.properties.insert(SNAPSHOTS_KEPT_MOST.to_owned(), Some(FORMER_KEPT.to_owned()));
        let states = self.commit(vec![change], None).await?;
        let Some(state) = states.first() else { return Err(Error::new(Kind::Bug, "a replacement has no table")) };
        self.publish(None, vec![Arc::clone(state.view())]);
        let files = state.files();
        Ok(Replaced {
            snapshot_id: state.view().snapshot_id,
            rows: files.iter().map(|f| f.rows).sum(),
            files: files.len() as u64,
            bytes: files.iter().map(|f| f.bytes).sum(),
        })
    }

    /// The shape of a table that does not exist yet.
    pub(crate) fn new_spec(&self, table: &LakeTable, options: &ReplaceOptions) -> Result<TableSpec, Error> {
        let plain = options.schema.fields().iter().map(|f| schema::without_ids(f));
        let (fields, _) = schema::number(&plain.collect(), 0);
        let schema = normal(&Schema::new(fields)).map_err(|e| e.with_table(table))?;
        Ok(TableSpec { schema, key: options.key.clone(), sort_order: options.sort_order.clone() })
    }

    /// The new shape: columns of the same name and type keep their ids, all others get ids that were never used.
    fn spec_for(&self, table: &LakeTable, options: &ReplaceOptions) -> Result<TableSpec, Error> {
        let former = self.tables().state(table);
        let last_id = former.as_ref().map_or(0, |f| f.last_field_id());
        let known = |field: &arrow::datatypes::Field| {
            let old = former.as_ref()?.schema().field_with_name(field.name()).ok()?.clone();
            schema::same_type(old.data_type(), field.data_type()).then(|| old.with_nullable(field.is_nullable()))
        };
        let plain = options.schema.fields().iter().map(|f| known(f).unwrap_or_else(|| schema::without_ids(f)));
        let (fields, _) = schema::number(&plain.collect(), last_id);
        let schema = normal(&Schema::new(fields)).map_err(|e| e.with_table(table))?;
        Ok(TableSpec { schema, key: options.key.clone(), sort_order: options.sort_order.clone() })
    }

    /// How files are written: as the table asks for, where it still has the columns.
    fn writer_options(&self, table: &LakeTable, spec: &TableSpec) -> Result<WriterOptions, Error> {
        let mut files = self.tables().state(table).map(|state| FileSettings::of(&state)).transpose()?.unwrap_or_default();
        let fits = |c: &String| spec.schema.field_with_name(c).is_ok_and(|f| can_bloom(f.data_type()));
        files.bloom.retain(fits);
        Ok(WriterOptions { sorted: false, files, laid_out_by: spec.sort_order.iter().map(|(c, _)| c.clone()).collect() })
    }

    /// Rows are not sorted over all of a replacement, so only files that need no order are as declared at once.
    fn mark_of_replacement(&self, table: &LakeTable, spec: &TableSpec, options: &WriterOptions) -> String {
        let ordered = self.tables().state(table).is_some_and(|s| s.property(LAYOUT).is_some()) || !spec.sort_order.is_empty();
        if ordered { String::new() } else { mark(None, &options.files).unwrap_or_default() }
    }

    pub(crate) async fn write_rows(
        &self,
        table: &LakeTable,
        mut rows: SendableBatches,
        spec: &TableSpec,
    ) -> Result<Vec<Arc<WrittenFile>>, Error> {
        let options = self.writer_options(table, spec)?;
        let mut files = Files {
            lake: self.clone(),
            table: table.clone(),
            spec: spec.clone(),
            mark: self.mark_of_replacement(table, spec, &options),
            options,
            open: None,
            in_order: true,
            last: None,
            done: Vec::new(),
        };
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch
                .map_err(|e| Error::new(Kind::Schema, format!("the rows of {table} can't be computed: {e}")).with_source(e))?;
            bytes += batch.get_array_memory_size();
            chunk.push(batch);
            if bytes >= SORT_BYTES {
                files = files.write(std::mem::take(&mut chunk)).await?;
                bytes = 0;
            }
        }
        files.write(chunk).await?.end().await
    }
}

/// The files of a replacement, one after the other.
struct Files {
    lake: Lake,
    table: LakeTable,
    spec: TableSpec,
    options: WriterOptions,
    /// What names of files end with, where they need no rewrite to be as the table declares.
    mark: String,
    open: Option<DataFileWriter>,
    /// Whether the rows of the open file follow the sort order so far, across chunks too.
    in_order: bool,
    /// The last row of the former chunk, as bytes that compare like the sort order.
    last: Option<OwnedRow>,
    done: Vec<Arc<WrittenFile>>,
}

impl Files {
    /// Sorts a chunk and appends it.
    async fn write(mut self, chunk: Vec<RecordBatch>) -> Result<Self, Error> {
        runtime::blocking("writing rows", move || {
            let Some(rows) = sorted(&chunk, &self.spec)? else { return Ok(self) };
            let mut writer = match self.open.take() {
                Some(writer) => writer,
                None => self.create(marked_data_path(&self.table, &self.mark))?,
            };
            self.watch_order(&rows)?;
            writer.write(&rows)?;
            if writer.bytes() >= FILE_BYTES {
                self.finish(writer)?;
            } else {
                self.open = Some(writer);
            }
            Ok(self)
        })
        .await?
    }

    fn create(&self, path: Path) -> Result<DataFileWriter, Error> {
        DataFileWriter::create(self.lake.warehouse(), path, &self.spec.schema, self.options.clone())
    }

    /// Notes whether a sorted chunk goes on where the former one ended, so that a file only claims an order that it has.
    fn watch_order(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        if self.spec.sort_order.is_empty() {
            return Ok(());
        }
        let failed = |e| Error::bug("comparing rows", e);
        let columns = sort_columns(rows, &self.spec)?;
        let fields = columns
            .iter()
            .map(|c| SortField::new_with_options(c.values.data_type().clone(), c.options.unwrap_or_default()))
            .collect();
        let ends_of = |c: &SortColumn| concat(&[&c.values.slice(0, 1), &c.values.slice(rows.num_rows() - 1, 1)]);
        let ends: Vec<ArrayRef> = columns.iter().map(ends_of).collect::<Result<_, _>>().map_err(failed)?;

        let compared = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&ends)).map_err(failed)?;
        self.in_order &= self.last.as_ref().is_none_or(|last| last.row() <= compared.row(0));
        self.last = Some(compared.row(1).owned());
        Ok(())
    }

    fn finish(&mut self, writer: DataFileWriter) -> Result<(), Error> {
        let mut file = writer.finish()?;
        file.sorted = self.in_order && !self.spec.sort_order.is_empty();
        self.done.push(Arc::new(file));
        (self.in_order, self.last) = (true, None);
        Ok(())
    }

    async fn end(mut self) -> Result<Vec<Arc<WrittenFile>>, Error> {
        runtime::blocking("writing rows", move || {
            if let Some(writer) = self.open.take() {
                self.finish(writer)?;
            }
            Ok(self.done)
        })
        .await?
    }
}

/// The rows of a chunk in the table's sort order; nothing where there are none.
fn sorted(chunk: &[RecordBatch], spec: &TableSpec) -> Result<Option<RecordBatch>, Error> {
    let Some(first) = chunk.iter().find(|b| b.num_rows() > 0) else { return Ok(None) };
    let failed = |e| Error::bug("sorting rows", e);
    let rows = concat_batches(&first.schema(), chunk.iter().filter(|b| b.num_rows() > 0)).map_err(failed)?;
    if spec.sort_order.is_empty() {
        return Ok(Some(rows));
    }
    let order = lexsort_to_indices(&sort_columns(&rows, spec)?, None).map_err(failed)?;
    take_record_batch(&rows, &order).map(Some).map_err(failed)
}

/// The columns that rows are sorted by.
fn sort_columns(rows: &RecordBatch, spec: &TableSpec) -> Result<Vec<SortColumn>, Error> {
    let column = |(name, descending): &(String, bool)| {
        let values = spec.schema.index_of(name).ok().and_then(|i| rows.columns().get(i)).cloned();
        let options = SortOptions { descending: *descending, nulls_first: *descending };
        values.map(|values| SortColumn { values, options: Some(options) })
    };
    let columns = spec.sort_order.iter().map(column).collect::<Option<Vec<_>>>();
    columns.ok_or_else(|| Error::new(Kind::Schema, "the sort order names a column that the rows don't have"))
}
