//! Takes a table up as it is committed: its shape, its files, and an index that knows every live row.

use super::{
    applier::{Applier, Index},
    context::{Context, index_failed},
    former,
    ledger::TableLedger,
    shape::{KeyRule, Shape, columns_as},
};
use crate::{
    Error, Evolution, Kind, TableState, evolve,
    index::{IndexError, KeyEncoder, KeyIndex, Location, occurrence},
    view::ViewFile,
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::Field,
};
use model::{LakeTable, Layer, TableId, TableSchema, lake_name};
use object_store::path::Path;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// A table's names in the lake.
pub(crate) fn names(source: &str, table: &TableId) -> (LakeTable, LakeTable) {
    let name = lake_name(source, table);
    (LakeTable::new(Layer::Bronze, name.clone()), LakeTable::new(Layer::Silver, name))
}

/// What the shapes of `schema`'s tables become, from the shapes they have.
pub(crate) fn evolution(cx: &Context, former: Option<&Shape>, schema: &TableSchema) -> Result<Evolution, Error> {
    let (bronze, silver) = names(&cx.source, &schema.id);
    let [bronze, silver] = [bronze, silver].map(|name| cx.tables.state(&name));
    let last_id = [&bronze, &silver].into_iter().flatten().map(|s| s.last_field_id()).max().unwrap_or(0);
    let bronze_spec = former.map(|f| &f.bronze).or(bronze.as_ref().map(|s| s.spec()));
    let silver_spec = former.and_then(|f| f.silver.as_ref()).or(silver.as_ref().map(|s| s.spec()));
    evolve(bronze_spec, silver_spec, last_id, schema)
}

/// The property of a bronze or silver table that says which source table it is of.
pub(crate) const SOURCE_TABLE: &str = "lakebox.source-table";

/// Refuses a table whose name in the lake is another's: `billing.invoices` and `public.billing_invoices` have the same one.
fn check_name(cx: &Context, id: &TableId, bronze: &LakeTable) -> Result<(), Error> {
    let open =
        cx.ledger.lock().tables.iter().find(|(other, t)| *other != id && t.bronze == *bronze).map(|(other, _)| other.to_string());
    let known = cx.tables.state(bronze).and_then(|state| {
        let of = state.property(SOURCE_TABLE).filter(|of| *of != id.to_string()).map(str::to_owned);
        of.or_else(|| state.writer().filter(|w| **w != *cx.source).map(|w| format!("source {w}")))
    });
    let Some(owner) = open.or(known) else { return Ok(()) };
    Err(Error::new(Kind::Schema, format!("table {id} can't be kept as {bronze}, because {owner} is kept under that name"))
        .with_table(bronze)
        .with_hint("Leave one of the two out of the source's `tables:` (`!schema.table`), or read one of them through a source with another name."))
}

/// Takes up a source table.
pub(crate) async fn open_table(cx: &Context, schema: &Arc<TableSchema>) -> Result<(Applier, TableLedger), Error> {
    let (bronze, silver) = names(&cx.source, &schema.id);
    check_name(cx, &schema.id, &bronze)?;
    let evolution = evolution(cx, None, schema)?;
    let changed = evolution.changed;
    let shape = Arc::new(Shape::new(schema, evolution)?);
    let states = [cx.tables.state(&bronze), cx.tables.state(&silver)];
    let files: Vec<ViewFile> = states[1].iter().flat_map(|s| s.files().iter().cloned()).collect();
    let (index, ordinals) = match &shape.key {
        KeyRule::None => (None, (0..).take(files.len()).collect::<Vec<u32>>()),
        KeyRule::Columns { .. } | KeyRule::WholeRow { .. } => {
            let snapshot_id = states[1].as_ref().and_then(|s: &Arc<TableState>| s.view().snapshot_id);
            let index = open_index(cx, &schema.id, &silver, &shape, &files, snapshot_id).await?;
            let mut keys = index.keys.lock();
            let ordinals = files.iter().map(|f| keys.file(f.path.as_ref())).collect();
            drop(keys);
            (Some(index), ordinals)
        }
    };
    let mut ledger = TableLedger::new(bronze.clone(), Some(silver), Arc::clone(&shape), states, &ordinals);
    let mut applier = Applier::new(schema.id.clone(), bronze, shape, index, files.len() as u32);
    applier.shape_is_uncommitted = changed;
    ledger.lookup = applier.lookup();
    ledger.horizon = applier.next_file();
    Ok((applier, ledger))
}

/// Opens the index of a table and reads the keys of the files that it does not know.
pub(crate) async fn open_index(
    cx: &Context,
    table: &TableId,
    silver: &LakeTable,
    shape: &Shape,
    files: &[ViewFile],
    snapshot_id: Option<i64>,
) -> Result<Index, Error> {
    let dir = Arc::new(index_dir(cx, silver));
    let live: HashSet<String> = files.iter().map(|f| f.path.as_ref().to_owned()).collect();
    let (signature, settings, opened) = (shape.index_signature(), cx.settings.index, Arc::clone(&dir));
    let open = move || KeyIndex::open(&opened, &signature, &live, settings);
    let keys = runtime::blocking("opening a key index", open).await?.map_err(|e| index_failed(table, Some(&dir), e))?;
    let missing: HashSet<String> = keys.missing(files.iter().map(|f| f.path.as_ref())).into_iter().map(str::to_owned).collect();
    let index = Index { keys: Arc::new(Mutex::new(keys)), dir };
    if !missing.is_empty() {
        tracing::info!(%table, files = missing.len(), "a key index catches up with its table");
    }
    let deleted = files.iter().map(|f| (index.keys.lock().file(f.path.as_ref()), f.deleted.clone().unwrap_or_default()));
    let deleted: Deleted = Arc::new(deleted.collect());
    for file in files.iter().filter(|f| missing.contains(f.path.as_ref())) {
        catch_up(cx, table, &index, shape, &file.path, &deleted).await?;
        cx.tend(table, &index);
        cx.wait_while_crowded(&index).await?;
    }
    index.keys.lock().caught_up(snapshot_id);
    cx.tend(table, &index);
    Ok(index)
}

fn index_dir(cx: &Context, silver: &LakeTable) -> PathBuf {
    cx.settings.index_dir.join(&silver.name)
}

/// A file of silver that may not be committed yet.
pub(crate) struct PresentFile {
    pub path: Path,
    pub ordinal: u32,
    pub committed: bool,
    /// Rows that are gone by now.
    pub deleted: Arc<RoaringBitmap>,
}

/// Makes a new index over files that keep their ordinals, where rows are told apart by something else from now on. All files are finished.
pub(crate) async fn reindex(
    cx: &Context,
    table: &TableId,
    silver: &LakeTable,
    shape: &Shape,
    next_file: u32,
    files: Vec<PresentFile>,
) -> Result<Index, Error> {
    let dir = Arc::new(index_dir(cx, silver));
    let (signature, settings, opened) = (shape.index_signature(), cx.settings.index, Arc::clone(&dir));
    let open = move || KeyIndex::discard(&opened).and_then(|()| KeyIndex::open(&opened, &signature, &HashSet::new(), settings));
    let mut keys = runtime::blocking("opening a key index", open).await?.map_err(|e| index_failed(table, Some(&dir), e))?;
    keys.reserve_files(next_file);
    let index = Index { keys: Arc::new(Mutex::new(keys)), dir };
    let deleted: Deleted = Arc::new(files.iter().map(|f| (f.ordinal, Arc::clone(&f.deleted))).collect());
    let (committed, pending): (Vec<_>, Vec<_>) = files.into_iter().partition(|f| f.committed);
    for (files, are_committed) in [(committed, true), (pending, false)] {
        for file in &files {
            index.keys.lock().adopt(file.path.as_ref(), file.ordinal);
            catch_up(cx, table, &index, shape, &file.path, &deleted).await?;
            cx.tend(table, &index);
            cx.wait_while_crowded(&index).await?;
        }
        if are_committed {
            index.keys.lock().caught_up(None);
        }
    }
    Ok(index)
}

/// Reads the keys of a file's live rows.
async fn catch_up(
    cx: &Context,
    table: &TableId,
    index: &Index,
    shape: &Shape,
    path: &Path,
    deleted: &Deleted,
) -> Result<(), Error> {
    let (KeyRule::Columns { encoder, .. } | KeyRule::WholeRow { encoder, .. }) = &shape.key else { return Ok(()) };
    let reader = KeyReader {
        encoder: encoder.clone(),
        counts_equal_rows: matches!(shape.key, KeyRule::WholeRow { .. }),
        fields: shape.key_columns(),
        keys: Arc::clone(&index.keys),
        ordinal: index.keys.lock().file(path.as_ref()),
        deleted: Arc::clone(deleted),
        next: 0,
    };
    let (store, path, ids) = (cx.store.clone(), path.clone(), shape.key_ids());
    let (dir, id) = (Arc::clone(&index.dir), table.clone());
    let handle = tokio::runtime::Handle::current();
    let read = move || {
        let mut reader = reader;
        let each = |batch: RecordBatch| reader.take(&batch)?.map_err(|e| index_failed(&id, Some(&dir), e));
        handle.block_on(former::read(&store, &path, ids, None, each))
    };
    runtime::blocking("reading keys", read).await??;
    Ok(())
}

/// Rows that are gone, by the ordinal of their file; every live file is in it.
type Deleted = Arc<HashMap<u32, Arc<RoaringBitmap>>>;

/// Puts the keys of one file's live rows into an index.
struct KeyReader {
    encoder: KeyEncoder,
    counts_equal_rows: bool,
    fields: Vec<Field>,
    keys: Arc<Mutex<KeyIndex>>,
    ordinal: u32,
    deleted: Deleted,
    next: u32,
}

impl KeyReader {
    fn take(&mut self, batch: &RecordBatch) -> Result<Result<(), IndexError>, Error> {
        let first = self.next;
        self.next += batch.num_rows() as u32;
        let columns = columns_as(&self.fields, batch, &batch.schema())?;
        Ok(self.put(first, &columns))
    }

    fn put(&self, first: u32, columns: &[ArrayRef]) -> Result<(), IndexError> {
        let all = self.encoder.encode(columns)?;
        let gone = self.deleted.get(&self.ordinal).cloned().unwrap_or_default();
        let live = (first..).zip(all).filter(|(row, _)| !gone.contains(*row));
        let (places, keys): (Vec<_>, Vec<_>) = live.map(|(row, key)| (Location::new(self.ordinal, row), key)).unzip();
        let mut index = self.keys.lock();
        if !self.counts_equal_rows {
            return index.apply(&keys, &places).map(|_| ());
        }
        for (key, place) in keys.into_iter().zip(places) {
            let lives = |place: Location| self.deleted.get(&place.file()).is_some_and(|gone| !gone.contains(place.row()));
            let (count, _) = index.occurrences(key, lives)?;
            index.apply(&[occurrence(key, count)], &[place])?;
        }
        Ok(())
    }
}
