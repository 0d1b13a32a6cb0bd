//! Values that the source did not send (unchanged TOAST) are taken from the row's former image before the row is stored.

use super::{applier::Applier, context::Context, former, shape::position};
use crate::{field_id, index::Location};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::interleave,
};
use pipeline::{Error, Kind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A row that takes values over, and the place of the image that has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    pub row: usize,
    pub from: Location,
}

/// The batches that values come from: the rows being filled themselves, rows in memory, rows read back.
struct Images {
    batches: Vec<RecordBatch>,
    /// Which batch and row in it holds the image at a place.
    at: HashMap<Location, (usize, usize)>,
}

/// For every row of one column, the array and the row in it that its value comes from.
struct Sources {
    column: usize,
    arrays: Vec<ArrayRef>,
    by_image: HashMap<usize, usize>,
    rows: Vec<(usize, usize)>,
}

impl Applier {
    /// `rows`, which go to `place`, with every value filled in. Fills are in the order of rows, so an image may be an earlier row of the same batch
    /// that was itself filled.
    pub(crate) async fn fill(
        &mut self,
        cx: &Context,
        rows: RecordBatch,
        fills: &[Fill],
        place: (u32, u32),
    ) -> Result<RecordBatch, Error> {
        let wanted = self.unchanged_columns(&rows, fills)?;
        let images = self.images(cx, fills, place).await?;
        let mut sources: BTreeMap<usize, Sources> = BTreeMap::new();
        for (fill, columns) in fills.iter().zip(&wanted) {
            for &column in columns {
                let of_column = sources.entry(column).or_insert_with(|| Sources::new(&rows, column));
                if fill.from.file() == place.0 && fill.from.row() >= place.1 {
                    of_column.rows[fill.row] = of_column.rows[(fill.from.row() - place.1) as usize];
                    continue;
                }
                let &(image, row) = images.at.get(&fill.from).ok_or_else(|| self.bug("a former image was not read"))?;
                of_column.rows[fill.row] = (self.source_array(of_column, image, &images.batches[image], &rows)?, row);
            }
        }
        let mut columns = rows.columns().to_vec();
        for (column, source) in sources {
            let arrays: Vec<&dyn Array> = source.arrays.iter().map(|a| a.as_ref()).collect();
            columns[column] =
                interleave(&arrays, &source.rows).map_err(|e| self.bug("gathering unchanged values failed").with_source(e))?;
        }
        RecordBatch::try_new(rows.schema(), columns).map_err(|e| self.bug("a filled batch does not fit its shape").with_source(e))
    }

    /// The columns that each filled row lacks.
    fn unchanged_columns(&self, rows: &RecordBatch, fills: &[Fill]) -> Result<Vec<Vec<usize>>, Error> {
        let lists = rows.column(rows.num_columns() - 1).as_string::<i32>();
        let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut wanted = Vec::with_capacity(fills.len());
        for fill in fills {
            let list = lists.value(fill.row);
            if let Some(columns) = known.get(list) {
                wanted.push(columns.clone());
                continue;
            }
            let names: Vec<String> =
                serde_json::from_str(list).map_err(|e| self.bug("a list of unchanged columns is not JSON").with_source(e))?;
            // A transform may have dropped the column, and then nobody misses its value.
            let columns: Vec<usize> = names.iter().filter_map(|name| self.shape.file.index_of(name).ok()).collect();
            known.insert(list, columns.clone());
            wanted.push(columns);
        }
        Ok(wanted)
    }

    /// Which of the arrays of a column is the image's; it is added where it is new.
    fn source_array(&self, sources: &mut Sources, image: usize, batch: &RecordBatch, rows: &RecordBatch) -> Result<usize, Error> {
        if let Some(&at) = sources.by_image.get(&image) {
            return Ok(at);
        }
        let schema = rows.schema();
        let field = schema.field(sources.column);
        let Some(at) = position(&batch.schema(), field_id(field)) else {
            let message = format!(
                "the former image of a row of {} has no column `{}`, whose value the source did not send",
                self.id,
                field.name()
            );
            return Err(Error::new(Kind::Table, message).with_hint("Resync the table, so that it is copied anew."));
        };
        sources.arrays.push(super::shape::widen(batch.column(at), field.data_type())?);
        sources.by_image.insert(image, sources.arrays.len() - 1);
        Ok(sources.arrays.len() - 1)
    }

    /// Finds the images: in memory, or else in their data files, each of which is read once.
    async fn images(&mut self, cx: &Context, fills: &[Fill], place: (u32, u32)) -> Result<Images, Error> {
        let mut images = Images { batches: Vec::new(), at: HashMap::new() };
        let mut cold: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        {
            let ledger = cx.ledger.lock();
            let table = ledger.tables.get(&self.id);
            let mut batch_of: HashMap<(u32, u32), usize> = HashMap::new();
            for from in fills.iter().map(|f| f.from) {
                let in_this_batch = from.file() == place.0 && from.row() >= place.1;
                if in_this_batch || images.at.contains_key(&from) {
                    continue;
                }
                let fresh = self.segments.iter().find(|s| s.ordinal == from.file()).and_then(|s| s.row(from.row()));
                match fresh.or_else(|| table.and_then(|t| t.row(from.file(), from.row()))) {
                    None => drop(cold.entry(from.file()).or_default().insert(from.row())),
                    Some((rows, at)) => {
                        let image = *batch_of.entry((from.file(), rows.first)).or_insert_with(|| {
                            images.batches.push(rows.rows.clone());
                            images.batches.len() - 1
                        });
                        images.at.insert(from, (image, at));
                    }
                }
            }
        }
        for (file, rows) in cold {
            let rows: Vec<u32> = rows.into_iter().collect();
            let batch = self.read_back(cx, file, rows.clone()).await?;
            if batch.num_rows() != rows.len() {
                return Err(self.bug("a data file has fewer rows than its table says"));
            }
            let image = images.batches.len();
            images.batches.push(batch);
            images.at.extend(rows.into_iter().enumerate().map(|(at, row)| (Location::new(file, row), (image, at))));
        }
        Ok(images)
    }

    /// Rows of a data file that is no longer, or not any more, in memory.
    async fn read_back(&mut self, cx: &Context, file: u32, rows: Vec<u32>) -> Result<RecordBatch, Error> {
        let path = self.index.as_ref().and_then(|i| i.keys.lock().path(file).map(str::to_owned));
        let path = path.ok_or_else(|| self.bug("a former image is in a file that is not known"))?;
        if let Some(segment) = self.segments.iter_mut().find(|s| s.ordinal == file) {
            segment.finish(&cx.encoder)?;
        }
        // The file may still be with the encoder, which works in the order in which it is asked.
        cx.encoder.sync().await?;
        let ids = self.shape.file.fields().iter().filter_map(|f| field_id(f)).collect();
        let store = cx.store.clone();
        let handle = tokio::runtime::Handle::current();
        let path = object_store::path::Path::from(path);
        let read = move || handle.block_on(former::rows_at(&store, &path, rows, ids));
        Ok(runtime::blocking("reading former images", read).await.map_err(crate::Error::from)??)
    }
}

impl Sources {
    fn new(rows: &RecordBatch, column: usize) -> Self {
        let arrays = vec![rows.column(column).clone()];
        Self { column, arrays, by_image: HashMap::new(), rows: (0..rows.num_rows()).map(|row| (0, row)).collect() }
    }
}
