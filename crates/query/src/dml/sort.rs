//! Sorts what the query of a [`super::RowChange`] yields into rows that go and rows that come.

use super::select::Effect;
use crate::{Error, Kind, RowStream, ddl::fitted};
use arrow::{
    array::{Array, AsArray, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{Int32Type, Int64Type, SchemaRef},
};
use datafusion::error::DataFusionError;
use futures::StreamExt;
use lake::{SendableBatches, ViewFile};
use object_store::path::Path;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Takes the rows of the query one batch at a time.
#[derive(Debug)]
pub(crate) struct Sorter {
    table: SchemaRef,
    effects: Vec<Effect>,
    /// Whether it is an error that a row is changed twice; else the first time counts.
    once: bool,
    /// Positions that go, by file.
    gone: Vec<RoaringBitmap>,
    changed: u64,
}

impl Sorter {
    /// For a table with these columns and so many files.
    pub(crate) fn new(table: SchemaRef, effects: Vec<Effect>, once: bool, files: usize) -> Self {
        Self { table, effects, once, gone: vec![RoaringBitmap::new(); files], changed: 0 }
    }

    /// The rows that come, out of those of the query. Rows that go are noted on the way.
    pub(crate) fn incoming(sorter: &Arc<Mutex<Self>>, rows: RowStream) -> SendableBatches {
        let sorter = Arc::clone(sorter);
        let sorted = rows.map(move |batch| match batch.and_then(|batch| sorter.lock().take(&batch)) {
            Ok(batches) => batches.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error.into())],
        });
        Box::pin(sorted.flat_map(futures::stream::iter))
    }

    /// Positions that go, and how many rows were changed, once all rows were taken.
    pub(crate) fn end(&mut self, files: &[ViewFile]) -> (Vec<(Path, RoaringBitmap)>, u64) {
        let gone = std::mem::take(&mut self.gone).into_iter().zip(files).filter(|(rows, _)| !rows.is_empty());
        (gone.map(|(rows, file)| (file.path.clone(), rows)).collect(), self.changed)
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, Error> {
        let broken = || Error::new(Kind::Internal, "the query of a change has other columns than it should");
        let [file, row, branch, ..] = batch.columns() else { return Err(broken()) };
        let files = file.as_primitive_opt::<Int32Type>().ok_or_else(broken)?;
        let rows = row.as_primitive_opt::<Int64Type>().ok_or_else(broken)?;
        let branches = branch.as_primitive_opt::<Int64Type>().ok_or_else(broken)?;
        let mut picked: Vec<Vec<u32>> = vec![Vec::new(); self.effects.len()];
        for i in 0..batch.num_rows() {
            if branches.is_null(i) {
                continue;
            }
            let which = usize::try_from(branches.value(i)).map_err(|_| broken())?;
            let effect = self.effects.get(which).ok_or_else(broken)?;
            match effect {
                Effect::Nothing => continue,
                Effect::Refuse => return Err(twice()),
                Effect::Delete | Effect::Update(_) => {
                    if files.is_null(i) || rows.is_null(i) {
                        return Err(broken());
                    }
                    let at = usize::try_from(files.value(i)).ok().and_then(|file| self.gone.get_mut(file)).ok_or_else(broken)?;
                    if !at.insert(u32::try_from(rows.value(i)).map_err(|_| broken())?) {
                        if self.once {
                            return Err(twice());
                        }
                        continue;
                    }
                }
                Effect::Insert(_) => {}
            }
            self.changed += 1;
            picked[which].push(u32::try_from(i).map_err(|_| broken())?);
        }
        let mut out = Vec::new();
        for (effect, picked) in self.effects.iter().zip(picked) {
            let (Effect::Update(places) | Effect::Insert(places)) = effect else { continue };
            if picked.is_empty() {
                continue;
            }
            let rows = take_record_batch(batch, &UInt32Array::from(picked)).map_err(|e| Error::from(DataFusionError::from(e)))?;
            out.push(fitted(&rows, &self.table, places)?);
        }
        Ok(out)
    }
}

fn twice() -> Error {
    Error::new(Kind::Invalid, "the statement cannot affect row a second time")
        .with_hint("Two rows of its source fit one row of the table: make the source's rows distinct in what ON compares.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{ArrayRef, Int32Array, Int64Array},
        datatypes::{DataType, Field, Schema},
    };

    fn sorter(once: bool) -> Sorter {
        let table = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        Sorter::new(table, vec![Effect::Delete, Effect::Update(vec![Some(3)]), Effect::Insert(vec![Some(4)])], once, 2)
    }

    fn batch(rows: &[(Option<i32>, Option<i64>, Option<i64>)]) -> RecordBatch {
        let values = || Arc::new((0..rows.len() as i64).collect::<Int64Array>()) as ArrayRef;
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("file", Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>())),
            ("row", Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>())),
            ("branch", Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>())),
            ("a", values()),
            ("b", values()),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn rows_go_and_come_and_those_without_a_branch_stay() {
        let mut sorter = sorter(true);
        let rows =
            batch(&[(Some(0), Some(5), Some(0)), (Some(1), Some(5), Some(1)), (None, None, Some(2)), (Some(1), Some(6), None)]);
        let come: Vec<i64> =
            sorter.take(&rows).unwrap().iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(come, [1, 2]);
        let file = |name: &str| ViewFile {
            path: Path::from(name),
            bytes: 1,
            rows: 9,
            deleted: None,
            stats: Arc::default(),
            sorted: false,
        };
        let (gone, changed) = sorter.end(&[file("a"), file("b")]);
        let five = RoaringBitmap::from([5]);
        assert_eq!((gone, changed), (vec![(Path::from("a"), five.clone()), (Path::from("b"), five)], 3));
    }

    #[test]
    fn a_row_that_is_meant_twice_is_an_error_or_counts_once() {
        let rows = batch(&[(Some(0), Some(5), Some(1)), (Some(0), Some(5), Some(1))]);
        assert!(sorter(true).take(&rows).unwrap_err().message.contains("affect row a second time"));
        let mut lenient = sorter(false);
        assert_eq!(lenient.take(&rows).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        assert_eq!(lenient.changed, 1);
    }
}
