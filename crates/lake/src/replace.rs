//! Whole tables swapped in at once: what gold models write.

use crate::upkeep::SNAPSHOTS_KEPT_MOST;
use crate::{
    DataFileWriter, Error, FileSettings, Kind, Lake, PartitionField, TableChange, TableSpec, WriterOptions, WrittenFile,
    can_bloom,
    partition::{NewHome, Splitter},
    table::{
        marked_data_path,
        schema::{self, normal},
    },
    upkeep::{LAYOUT, mark},
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::{
        CastOptions, SortColumn, SortOptions, cast_with_options, concat, concat_batches, lexsort_to_indices, take_record_batch,
    },
    datatypes::{Schema, SchemaRef},
    row::{OwnedRow, RowConverter, SortField},
};
use futures::{Stream, StreamExt};
use hashbrown::{HashMap, HashSet};
use model::LakeTable;
use std::{collections::BTreeMap, pin::Pin, sync::Arc};

/// Rows as they arrive, with whatever error their maker has.
pub type SendableBatches = Pin<Box<dyn Stream<Item = Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// A file ends once it has this size, about.
const FILE_BYTES: u64 = 128 << 20;
/// Rows are gathered up to this many bytes and sorted together; rows that arrive sorted stay sorted over all.
const SORT_BYTES: usize = 64 << 20;
/// Partitions of a table at most.
const PARTITIONS_MOST: usize = 10_000;
/// Files of different partitions that are written at once.
const OPEN_MOST: usize = 100;
/// Encoded bytes that files under way may hold together.
const HELD_BYTES_MOST: usize = 256 << 20;
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
        self.replace_partitioned(table, rows, options, &[]).await
    }

    /// As [`Self::replace`], with rows in files by partition. Where the table was partitioned otherwise, its partition spec evolves: former snapshots keep
    /// the spec they were written under.
    ///
    /// # Errors
    /// As [`Self::replace`], and [`Kind::Schema`] where a column can't be partitioned by what is asked, or there would be more than 10,000 partitions.
    pub async fn replace_partitioned(
        &self,
        table: LakeTable,
        rows: SendableBatches,
        options: ReplaceOptions,
        partition_by: &[PartitionField],
    ) -> Result<Replaced, Error> {
        let spec = self.spec_for(&table, &options)?;
        let written = self.write_rows(&table, rows, &spec, partition_by).await.map_err(|e| e.with_table(&table))?;
        let mut change = TableChange::new(table);
        change.partition_by = Some(partition_by.to_vec());
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
        partition_by: &[PartitionField],
    ) -> Result<Vec<Arc<WrittenFile>>, Error> {
        let options = self.writer_options(table, spec)?;
        let mut files = Files {
            lake: self.clone(),
            table: table.clone(),
            spec: spec.clone(),
            splitter: Splitter::new(table, &spec.schema, partition_by)?,
            mark: self.mark_of_replacement(table, spec, &options),
            options,
            open: HashMap::new(),
            partitions: HashSet::new(),
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

/// The files of a replacement: one at a time, or, where it is partitioned, one of each partition.
struct Files {
    lake: Lake,
    table: LakeTable,
    spec: TableSpec,
    splitter: Option<Splitter>,
    options: WriterOptions,
    /// What names of files end with, where they need no rewrite to be as the table declares.
    mark: String,
    open: HashMap<Option<OwnedRow>, Open>,
    /// Every partition so far.
    partitions: HashSet<OwnedRow>,
    done: Vec<Arc<WrittenFile>>,
}

/// A file under way.
struct Open {
    writer: DataFileWriter,
    home: Option<NewHome>,
    /// Whether its rows follow the sort order so far, across chunks too.
    in_order: bool,
    /// Its last row, as bytes that compare like the sort order.
    last: Option<OwnedRow>,
}

impl Files {
    /// Sorts a chunk and appends it.
    async fn write(mut self, chunk: Vec<RecordBatch>) -> Result<Self, Error> {
        runtime::blocking("writing rows", move || {
            let Some(rows) = sorted(&chunk, &self.spec)? else { return Ok(self) };
            let Some(splitter) = &self.splitter else {
                self.append(None, None, &rows)?;
                return Ok(self);
            };
            for part in splitter.split(&conformed(&rows, &self.spec)?)? {
                self.append(Some(part.key), Some(NewHome { spec_id: None, values: part.values }), &part.rows)?;
            }
            Ok(self)
        })
        .await?
    }

    /// Appends sorted rows of one partition.
    fn append(&mut self, key: Option<OwnedRow>, home: Option<NewHome>, rows: &RecordBatch) -> Result<(), Error> {
        if let Some(key) = &key
            && self.partitions.insert(key.clone())
            && self.partitions.len() > PARTITIONS_MOST
        {
            let message = format!("{} would have more than {PARTITIONS_MOST} partitions", self.table);
            return Err(
                Error::new(Kind::Schema, message).with_hint("Partition by less: a month instead of a day, or fewer buckets.")
            );
        }
        let mut open = match self.open.remove(&key) {
            Some(open) => open,
            None => {
                self.make_room()?;
                let path = marked_data_path(&self.table, &self.mark);
                let (store, schema) = (self.lake.warehouse(), &self.spec.schema);
                Open {
                    writer: DataFileWriter::create(store, path, schema, self.options.clone())?,
                    home,
                    in_order: true,
                    last: None,
                }
            }
        };
        open.watch_order(rows, &self.spec)?;
        open.writer.write(rows)?;
        if open.writer.bytes() >= FILE_BYTES {
            self.finish(open)
        } else {
            drop(self.open.insert(key, open));
            Ok(())
        }
    }

    /// Ends files where too many are open or they hold too much, those that hold most first.
    fn make_room(&mut self) -> Result<(), Error> {
        loop {
            let held: usize = self.open.values().map(|o| o.writer.held_bytes()).sum();
            if self.open.len() < OPEN_MOST && held < HELD_BYTES_MOST {
                return Ok(());
            }
            let largest = self.open.iter().max_by_key(|(_, o)| o.writer.held_bytes()).map(|(key, _)| key.clone());
            let Some(open) = largest.and_then(|key| self.open.remove(&key)) else { return Ok(()) };
            self.finish(open)?;
        }
    }

    fn finish(&mut self, open: Open) -> Result<(), Error> {
        let mut file = open.writer.finish()?;
        file.sorted = open.in_order && !self.spec.sort_order.is_empty();
        file.home = open.home;
        self.done.push(Arc::new(file));
        Ok(())
    }

    async fn end(mut self) -> Result<Vec<Arc<WrittenFile>>, Error> {
        runtime::blocking("writing rows", move || {
            for (_, open) in std::mem::take(&mut self.open) {
                self.finish(open)?;
            }
            Ok(self.done)
        })
        .await?
    }
}

impl Open {
    /// Notes whether sorted rows go on where the former ones ended, so that a file only claims an order that it has.
    fn watch_order(&mut self, rows: &RecordBatch, spec: &TableSpec) -> Result<(), Error> {
        if spec.sort_order.is_empty() {
            return Ok(());
        }
        let failed = |e| Error::bug("comparing rows", e);
        let columns = sort_columns(rows, spec)?;
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
}

/// Rows under the names and types of the table, which partitions are told by.
fn conformed(rows: &RecordBatch, spec: &TableSpec) -> Result<RecordBatch, Error> {
    let columns = rows.columns().iter().zip(spec.schema.fields());
    let columns = columns.map(|(column, field)| {
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        if column.data_type() == field.data_type() || field.data_type().is_nested() {
            Ok(Arc::clone(column))
        } else {
            cast_with_options(column, field.data_type(), &exact)
        }
    });
    let failed = |e| Error::bug("matching rows to their schema", e);
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let fields = spec.schema.fields().iter().zip(&columns).map(|(f, c)| f.as_ref().clone().with_data_type(c.data_type().clone()));
    let schema = Schema::new(fields.map(|f| f.with_nullable(true)).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).map_err(failed)
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
