//! Rows in order that do not fit into memory: sorted runs in files of this machine, merged as they are read back.

use super::order::Comparer;
use crate::{Error, Kind};
use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::interleave_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
    ipc::{reader::StreamReader, writer::StreamWriter},
    row::Rows,
};
use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    fs::File,
    io::{BufReader, BufWriter},
    sync::Arc,
};

/// Rows of a batch in a run and out of the merge.
const BATCH_ROWS: usize = 8192;

/// Sorted runs of one rewrite. The files have no names, so they are gone with the process.
#[derive(Debug)]
pub(crate) struct Runs {
    schema: SchemaRef,
    files: Vec<File>,
}

fn failed(doing: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let hint = "A rewrite in a declared order keeps rows in the folder for temporary files; see that it has room.";
    Error::new(Kind::Storage, format!("{doing} temporary files failed: {error}")).with_hint(hint).with_source(error)
}

impl Runs {
    /// For rows of `schema`.
    pub(crate) fn new(schema: &Schema) -> Self {
        let mut fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(["file", "row"].map(|name| Field::new(format!("__{name}"), DataType::UInt32, false)));
        Self { schema: Arc::new(Schema::new(fields)), files: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Keeps rows that are in order, each with its file and row.
    pub(crate) fn add(&mut self, rows: &RecordBatch, places: &[(usize, u32)]) -> Result<(), Error> {
        let file = tempfile::tempfile().map_err(|e| failed("making", e))?;
        let places_of: [ArrayRef; 2] = [
            Arc::new(places.iter().map(|(file, _)| *file as u32).collect::<UInt32Array>()),
            Arc::new(places.iter().map(|(_, row)| *row).collect::<UInt32Array>()),
        ];
        let columns = rows.columns().iter().cloned().chain(places_of).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| Error::bug("keeping sorted rows", e))?;
        let target = BufWriter::with_capacity(1 << 20, file);
        let mut writer = StreamWriter::try_new(target, &self.schema).map_err(|e| failed("writing", e))?;
        for start in (0..rows.num_rows()).step_by(BATCH_ROWS) {
            let part = rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start));
            writer.write(&part).map_err(|e| failed("writing", e))?;
        }
        let target = writer.into_inner().map_err(|e| failed("writing", e))?;
        self.files.push(target.into_inner().map_err(|e| failed("writing", e.into_error()))?);
        Ok(())
    }

    /// Gives all rows in order, batch by batch.
    pub(crate) fn merge(
        self,
        comparer: &Comparer,
        mut each: impl FnMut(RecordBatch, Vec<(usize, u32)>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut runs = Vec::with_capacity(self.files.len());
        for file in self.files {
            runs.push(Run::open(file)?);
        }
        let mut merge = Merge { heap: BinaryHeap::new(), batches: Vec::new(), picked: Vec::new() };
        for (number, run) in runs.iter_mut().enumerate() {
            merge.pull(number, run, comparer)?;
        }
        while let Some(head) = merge.heap.pop() {
            merge.picked.push((head.batch, head.at));
            let (number, next) = (head.run, head.at + 1);
            if next < head.rows.num_rows() {
                merge.heap.push(Head { at: next, ..head });
            } else {
                // Batches that are read up must not pile up, and what is picked needs them.
                if merge.picked.len() >= BATCH_ROWS || merge.batches.len() > runs.len() * 4 {
                    merge.emit(&mut each)?;
                }
                merge.pull(number, &mut runs[number], comparer)?;
                continue;
            }
            if merge.picked.len() >= BATCH_ROWS {
                merge.emit(&mut each)?;
            }
        }
        merge.emit(&mut each)
    }
}

struct Run {
    reader: StreamReader<BufReader<File>>,
}

impl Run {
    fn open(mut file: File) -> Result<Self, Error> {
        std::io::Seek::rewind(&mut file).map_err(|e| failed("reading", e))?;
        let reader = StreamReader::try_new(BufReader::with_capacity(1 << 20, file), None).map_err(|e| failed("reading", e))?;
        Ok(Self { reader })
    }
}

/// The next row of a run.
struct Head {
    run: usize,
    /// Its batch among those of the merge, and its row in it.
    batch: usize,
    at: usize,
    rows: Arc<Rows>,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    /// The least row is the greatest head, so that the heap gives it first; of equal rows that of the earlier run.
    fn cmp(&self, other: &Self) -> Ordering {
        other.rows.row(other.at).cmp(&self.rows.row(self.at)).then(other.run.cmp(&self.run))
    }
}

struct Merge {
    heap: BinaryHeap<Head>,
    /// Batches that heads or picked rows are of.
    batches: Vec<RecordBatch>,
    picked: Vec<(usize, usize)>,
}

impl Merge {
    /// Takes the next batch of a run, if it has one.
    fn pull(&mut self, run: usize, from: &mut Run, comparer: &Comparer) -> Result<(), Error> {
        for batch in from.reader.by_ref() {
            let batch = batch.map_err(|e| failed("reading", e))?;
            if batch.num_rows() > 0 {
                let rows = Arc::new(comparer.rows(&batch)?);
                self.batches.push(batch);
                self.heap.push(Head { run, batch: self.batches.len() - 1, at: 0, rows });
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives what is picked, and forgets batches that no head is of.
    fn emit(&mut self, each: &mut impl FnMut(RecordBatch, Vec<(usize, u32)>) -> Result<(), Error>) -> Result<(), Error> {
        if !self.picked.is_empty() {
            let batches: Vec<&RecordBatch> = self.batches.iter().collect();
            let merged = interleave_record_batch(&batches, &self.picked).map_err(|e| Error::bug("merging sorted rows", e))?;
            self.picked.clear();
            let width = merged.num_columns() - 2;
            let number = |i: usize| merged.column(width + i).as_primitive::<UInt32Type>().values();
            let places = number(0).iter().zip(number(1)).map(|(file, row)| (*file as usize, *row)).collect();
            let data = merged.project(&(0..width).collect::<Vec<_>>()).map_err(|e| Error::bug("merging sorted rows", e))?;
            each(data, places)?;
        }
        let mut heads: Vec<Head> = std::mem::take(&mut self.heap).into_vec();
        let mut kept = Vec::with_capacity(heads.len());
        for head in &mut heads {
            kept.push(self.batches[head.batch].clone());
            head.batch = kept.len() - 1;
        }
        self.batches = kept;
        self.heap = heads.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clustering;
    use arrow::array::Int64Array;

    #[test]
    fn runs_are_merged_in_order_and_every_row_keeps_its_place() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let comparer = Comparer::new(&Clustering::Sort(vec![("a".into(), false)]), &schema).unwrap();
        let mut runs = Runs::new(&schema);
        let mut all = Vec::new();
        for run in 0..7usize {
            let values: Vec<i64> = (0..20_000).map(|i| (i * 7 + run as i64 * 3) % 50_021).collect();
            let mut sorted: Vec<(i64, u32)> = values.iter().copied().zip(0..).collect();
            sorted.sort_unstable();
            let batch = Int64Array::from(sorted.iter().map(|(v, _)| *v).collect::<Vec<_>>());
            let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(batch)]).unwrap();
            runs.add(&batch, &sorted.iter().map(|(_, row)| (run, *row)).collect::<Vec<_>>()).unwrap();
            all.extend(sorted.into_iter().map(|(value, row)| (value, run, row)));
        }
        let mut merged = Vec::new();
        runs.merge(&comparer, |batch, places| {
            let values = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
            merged.extend(values.into_iter().zip(places).map(|(value, (file, row))| (value, file, row)));
            Ok(())
        })
        .unwrap();
        assert!(merged.is_sorted_by_key(|(value, ..)| *value));
        merged.sort_unstable();
        all.sort_unstable();
        assert_eq!(merged, all);
    }
}
