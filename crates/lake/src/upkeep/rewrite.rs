//! Reads the live rows of some files of a table and writes them anew: without deleted rows, into files of the right size, in the declared order.

use super::{
    choose::Thresholds,
    lineage::{self, Origin},
    order::{Clustering, Comparer, mark},
    spill::Runs,
};
use crate::{
    DataFileWriter, Error, FileSettings, Store, TableState, WriterOptions, WrittenFile, field_id,
    partition::{self, Home, NewHome},
    sink::{former, shape},
    table::{
        marked_data_path,
        moved::{Moved, NOWHERE, OldFile},
    },
    view::ViewFile,
    with_field_id,
};
use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch, take_record_batch},
    datatypes::{Schema, SchemaRef},
};
use iceberg::spec::Struct;
use object_store::path::Path;
use roaring::RoaringBitmap;
use runtime::CancellationToken;
use std::{collections::HashMap, sync::Arc};

/// Rows are gathered up to this many bytes and brought into order together.
const ORDER_BYTES: usize = 192 << 20;

/// Rows that are written at a time.
const WRITE_ROWS: usize = 8192;

/// Files written from others, and where each row went.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub files: Vec<Arc<WrittenFile>>,
    pub moved: Arc<Moved>,
}

/// Files of one partition, which those that they are rewritten into are in as well.
pub(crate) type OfPartition = (Option<Arc<Home>>, Vec<ViewFile>);

/// Rewrites files of the table as `state` has it, one partition after the other. Nothing names the new files until they are committed; where that never
/// happens they are orphans.
///
/// # Errors
/// [`crate::Kind::Corrupt`] or [`crate::Kind::Storage`] where a file can't be read or written; [`crate::Kind::Conflict`] where `stop` was given.
pub(crate) async fn rewrite(
    store: &Store,
    state: &TableState,
    partitions: Vec<OfPartition>,
    thresholds: &Thresholds,
    stop: &CancellationToken,
) -> Result<Rewritten, Error> {
    let clustering = Clustering::of(state)?;
    let mut work = Work::new(store, state, clustering.as_ref())?;
    let file_bytes = thresholds.file_bytes;
    let mut ids: Vec<i32> = state.schema().fields().iter().filter_map(|f| field_id(f)).collect();
    if state.has_lineage() {
        ids.extend(lineage::COLUMNS);
    }
    let handle = tokio::runtime::Handle::current();
    let stop = stop.clone();
    runtime::blocking("rewriting files", move || {
        for (home, files) in partitions {
            (work.home, work.rows_per_file) = (home, rows_per_file(&files, file_bytes));
            for file in files {
                work.begin(&file);
                let store = work.store.clone();
                let read = former::read(&store, &file.path, ids.clone(), None, |batch| {
                    if stop.is_cancelled() {
                        return Err(Error::new(crate::Kind::Conflict, "the rewrite was stopped"));
                    }
                    work.take(&file, &batch)
                });
                handle.block_on(read)?;
            }
            work.end_partition()?;
        }
        Ok(work.end())
    })
    .await?
}

/// A rewrite under way.
struct Work {
    store: Store,
    table: model::LakeTable,
    /// The table's columns.
    schema: SchemaRef,
    /// What is written: the table's columns, and those of row lineage where it has that.
    written: SchemaRef,
    /// Where rows come from, by file; empty where the table has no row lineage.
    origins: HashMap<Path, Origin>,
    order: Option<Comparer>,
    /// Whether the order is the table's own, so that files may claim it.
    claims_order: bool,
    /// What names of the files end with.
    mark: String,
    /// Rows in order that did not fit into memory.
    runs: Runs,
    options: WriterOptions,
    /// The partition of the rows that are taken now.
    home: Option<Arc<Home>>,
    rows_per_file: u64,
    old: HashMap<Path, OldFile>,
    /// Rows that wait to be brought into order, each with its file and row.
    waiting: Vec<(RecordBatch, Vec<(usize, u32)>)>,
    waiting_bytes: usize,
    /// Files that were begun, by number.
    names: Vec<Path>,
    open: Option<DataFileWriter>,
    done: Vec<Arc<WrittenFile>>,
    /// Rows written so far over all files.
    next: u32,
}

impl Work {
    fn new(store: &Store, state: &TableState, clustering: Option<&Clustering>) -> Result<Self, Error> {
        let order = clustering.map(|c| Comparer::new(c, state.schema())).transpose()?;
        let files = FileSettings::of(state)?;
        let (written, origins) = if state.has_lineage() {
            let origins = state.parts.files.iter().map(|f| (f.view.path.clone(), Origin::of(f)));
            (lineage::schema(state.schema()), origins.collect())
        } else {
            (Arc::clone(state.schema()), HashMap::new())
        };
        let laid_out_by = clustering.into_iter().flat_map(Clustering::columns).map(str::to_owned).collect();
        Ok(Self {
            store: store.clone(),
            table: state.table().clone(),
            schema: Arc::clone(state.schema()),
            order,
            origins,
            mark: mark(clustering, &files).unwrap_or_default(),
            home: None,
            options: WriterOptions { files, laid_out_by, ..WriterOptions::default() },
            runs: Runs::new(&written),
            written,
            claims_order: clustering.is_some_and(|c| c.is_sort_order(&state.spec().sort_order)),
            rows_per_file: 1,
            old: HashMap::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            names: Vec::new(),
            open: None,
            done: Vec::new(),
            next: 0,
        })
    }

    fn begin(&mut self, file: &ViewFile) {
        let to = Vec::with_capacity(file.rows as usize);
        self.old.insert(file.path.clone(), OldFile { deleted: file.deleted.clone(), to });
        self.names.push(file.path.clone());
    }

    /// Takes the next rows of the file that was begun last.
    fn take(&mut self, file: &ViewFile, batch: &RecordBatch) -> Result<(), Error> {
        let number = self.names.len() - 1;
        let Some(old) = self.old.get_mut(&file.path) else { return Err(bug("a file was read before it was begun")) };
        let first = old.to.len() as u32;
        old.to.resize(old.to.len() + batch.num_rows(), NOWHERE);
        // Deleted rows first: they may lack values that every live row has.
        let (rows, places) = live(batch, first, file.deleted.as_deref())?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let found = identified(&rows.schema(), &self.schema);
        let read = rows;
        let rows = shape::project(&read, &found, &self.schema)?;
        let has = |id| shape::position(&found, Some(id)).is_some();
        let rows = partition::filled(rows, file, has).map_err(|e| Error::bug("filling in what partitions say", e))?;
        let rows = match self.origins.get(&file.path) {
            Some(origin) => lineage::added(&self.written, &rows, &read, &found, &places, *origin)?,
            None => rows,
        };
        let places = places.into_iter().map(|row| (number, row)).collect();
        if self.order.is_none() {
            return self.write(&rows, places);
        }
        self.waiting_bytes += rows.get_array_memory_size();
        self.waiting.push((rows, places));
        if self.waiting_bytes >= ORDER_BYTES { self.order_waiting(true) } else { Ok(()) }
    }

    /// Brings what waits into order, and writes it, or, where more is to come, keeps it until all is there.
    fn order_waiting(&mut self, more: bool) -> Result<(), Error> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let Some(order) = &self.order else { return Ok(()) };
        if waiting.is_empty() {
            return Ok(());
        }
        let failed = |e| Error::bug("bringing rows into order", e);
        let rows = concat_batches(&self.written, waiting.iter().map(|(rows, _)| rows)).map_err(failed)?;
        let places: Vec<(usize, u32)> = waiting.into_iter().flat_map(|(_, places)| places).collect();
        let sorted = order.sorted(&rows)?;
        let rows = take_record_batch(&rows, &sorted).map_err(failed)?;
        let places: Vec<_> = sorted.values().iter().map(|&i| places[i as usize]).collect();
        if more || !self.runs.is_empty() {
            return self.runs.add(&rows, &places);
        }
        for start in (0..rows.num_rows()).step_by(WRITE_ROWS) {
            let length = WRITE_ROWS.min(rows.num_rows() - start);
            self.write(&rows.slice(start, length), places[start..start + length].to_vec())?;
        }
        Ok(())
    }

    /// Writes everything that is in order by now.
    fn write_runs(&mut self) -> Result<(), Error> {
        self.order_waiting(false)?;
        if self.runs.is_empty() {
            return Ok(());
        }
        let runs = std::mem::replace(&mut self.runs, Runs::new(&self.written));
        let Some(order) = self.order.take() else { return Err(bug("rows were sorted without an order")) };
        runs.merge(&order, |rows, places| {
            let columns = rows.columns().to_vec();
            let rows =
                RecordBatch::try_new(Arc::clone(&self.written), columns).map_err(|e| Error::bug("merging sorted rows", e))?;
            self.write(&rows, places)
        })?;
        self.order = Some(order);
        Ok(())
    }

    fn write(&mut self, rows: &RecordBatch, places: Vec<(usize, u32)>) -> Result<(), Error> {
        for (file, row) in places {
            let old = self.names.get(file).and_then(|path| self.old.get_mut(path));
            let Some(to) = old.and_then(|old| old.to.get_mut(row as usize)) else {
                return Err(bug("a row of no file was written"));
            };
            *to = self.next;
            self.next += 1;
        }
        let mut writer = match self.open.take() {
            Some(writer) => writer,
            None => DataFileWriter::create(
                &self.store,
                marked_data_path(&self.table, &self.mark),
                &self.written,
                self.options.clone(),
            )?,
        };
        writer.write(rows)?;
        if writer.rows() >= self.rows_per_file {
            self.finish(writer)
        } else {
            self.open = Some(writer);
            Ok(())
        }
    }

    fn finish(&mut self, writer: DataFileWriter) -> Result<(), Error> {
        let mut file = writer.finish()?;
        // All rows of a partition are in one order, from its first file to its last.
        file.sorted = self.claims_order;
        // Rows stay in the spec they are in, also where it is that of no partitions and the table has got some since.
        file.home = Some(self.home.as_deref().map_or_else(
            || NewHome { spec_id: Some(0), values: Struct::empty() },
            |h| NewHome { spec_id: Some(h.spec_id), values: h.values.clone() },
        ));
        self.done.push(Arc::new(file));
        Ok(())
    }

    /// Writes what is left of a partition: no file holds rows of two.
    fn end_partition(&mut self) -> Result<(), Error> {
        self.write_runs()?;
        match self.open.take() {
            Some(writer) => self.finish(writer),
            None => Ok(()),
        }
    }

    fn end(self) -> Rewritten {
        let new: Vec<_> = self.done.iter().map(|f| f.view()).collect();
        Rewritten { moved: Arc::new(Moved::new(self.schema, self.old, new)), files: self.done }
    }
}

/// Rows of each new file, so that all are of about one size and as large as wanted. The old files say how many bytes a row takes; what a writer says of
/// itself before its end does not.
fn rows_per_file(files: &[ViewFile], file_bytes: u64) -> u64 {
    let live = |f: &ViewFile| f.rows - f.deleted.as_ref().map_or(0, |d| d.len());
    let rows: u64 = files.iter().map(live).sum();
    let bytes: u64 = files.iter().map(|f| f.bytes.saturating_mul(live(f)) / f.rows.max(1)).sum();
    rows.div_ceil((bytes / file_bytes.max(1)).max(1)).max(1)
}

/// The live rows of a batch that begins at row `first` of its file, and which rows they are.
fn live(batch: &RecordBatch, first: u32, deleted: Option<&RoaringBitmap>) -> Result<(RecordBatch, Vec<u32>), Error> {
    let all = first..first + batch.num_rows() as u32;
    let gone = deleted.filter(|d| d.range_cardinality(all.clone()) > 0);
    let Some(gone) = gone else { return Ok((batch.clone(), all.collect())) };
    let keep: BooleanArray = all.clone().map(|row| Some(!gone.contains(row))).collect();
    let rows = filter_record_batch(batch, &keep).map_err(|e| Error::bug("leaving deleted rows out", e))?;
    Ok((rows, all.filter(|row| !gone.contains(*row)).collect()))
}

/// The columns of a file with the table's ids: a file that was added to the table without being written for it has none, and its columns go by name.
fn identified(file: &SchemaRef, table: &Schema) -> SchemaRef {
    if file.fields().iter().any(|f| field_id(f).is_some()) {
        return Arc::clone(file);
    }
    let fields = file.fields().iter().map(|field| {
        let known = table.field_with_name(field.name()).ok().and_then(field_id);
        known.map_or_else(|| field.as_ref().clone(), |id| with_field_id(field, id))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn bug(what: &str) -> Error {
    Error::new(crate::Kind::Bug, what)
}
