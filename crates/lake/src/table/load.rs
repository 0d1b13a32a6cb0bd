//! From the catalog's pointer to a table in memory.

use super::{DeleteRecord, FileRecord, Parts, TableState, bounds::Metrics, deletes, vectors};
use crate::{
    Error,
    commit::{manifests, metadata},
    partition::{self, Home},
    store::Store,
    view::ViewFile,
};
use arrow::datatypes::Schema;
use catalog::TableRecord;
use iceberg::spec::{DataContentType, DataFileFormat, ManifestEntry, ManifestFile, ManifestStatus, Struct, TableMetadata};
use model::LakeTable;
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Reads the metadata that `record` points to, its current manifests and its delete files.
///
/// # Errors
/// [`crate::Kind::Corrupt`] where a file is missing or is not what it should be, [`crate::Kind::Storage`] where it can't be read.
pub(crate) async fn load(store: &Store, record: TableRecord) -> Result<TableState, Error> {
    read(store, &record).await.map_err(|e| e.with_table(&record.table))
}

async fn read(store: &Store, record: &TableRecord) -> Result<TableState, Error> {
    let metadata = read_metadata(store, &record.metadata_location).await?;
    let pointer =
        Pointer { table: &record.table, writer: record.writer.clone(), metadata_location: record.metadata_location.clone() };
    assemble(store, pointer, metadata).await
}

/// Reads a metadata file.
///
/// # Errors
/// As [`load`].
pub(crate) async fn read_metadata(store: &Store, location: &str) -> Result<TableMetadata, Error> {
    let json = store.get(&store.path(location)?).await?;
    serde_json::from_slice(&json).map_err(|e| Error::corrupt(format!("the metadata {location}"), e))
}

/// What the catalog says of a table.
#[derive(Debug)]
pub(crate) struct Pointer<'a> {
    pub table: &'a LakeTable,
    pub writer: Option<String>,
    pub metadata_location: String,
}

/// A table in memory from its metadata: reads the manifests and delete files of the current snapshot.
///
/// # Errors
/// As [`load`].
pub(crate) async fn assemble(store: &Store, pointer: Pointer<'_>, metadata: TableMetadata) -> Result<TableState, Error> {
    let table = pointer.table;
    let spec = metadata::spec_of(&metadata)?;
    let list = metadata.current_snapshot().map(|s| s.manifest_list().to_owned());
    let Contents { manifests, mut files, deletes } =
        contents(store, table, list.as_deref(), &spec.schema, sort_order(table, &metadata)).await?;
    note_partitions(&metadata, &spec.schema, files.iter_mut());
    let parts = Parts {
        table: table.clone(),
        writer: pointer.writer,
        warehouse: store.root().into(),
        metadata: Arc::new(metadata),
        metadata_location: pointer.metadata_location,
        manifests,
        files,
        deletes,
    };
    Ok(TableState::new(parts, spec))
}

/// Notes in the statistics of files what their partitions say of their columns.
pub(crate) fn note_partitions<'a>(metadata: &TableMetadata, columns: &Schema, files: impl Iterator<Item = &'a mut FileRecord>) {
    for file in files {
        let Some(home) = file.home.as_deref() else { continue };
        let Some(spec) = metadata.partition_spec_by_id(home.spec_id).filter(|s| !s.fields().is_empty()) else { continue };
        partition::note(Arc::make_mut(&mut file.view.stats), spec, &home.values, columns, file.view.rows);
    }
}

/// What the manifest list of a snapshot leads to.
pub(crate) struct Contents {
    pub manifests: Vec<ManifestFile>,
    pub files: Vec<FileRecord>,
    pub deletes: Vec<DeleteRecord>,
}

/// The sort order that files of a table are believed to follow when they say so. What outside engines may have written is not believed.
pub(crate) fn sort_order(table: &LakeTable, metadata: &TableMetadata) -> Option<i32> {
    i32::try_from(metadata.default_sort_order_id()).ok().filter(|order| *order != 0 && table.layer.is_kept())
}

/// Reads a manifest list, its manifests and its delete files; without a list there is nothing.
pub(crate) async fn contents(
    store: &Store,
    table: &LakeTable,
    list: Option<&str>,
    schema: &Schema,
    sort_order: Option<i32>,
) -> Result<Contents, Error> {
    let manifests = match list {
        Some(location) => manifests::read_list(store, location).await?,
        None => Vec::new(),
    };
    let listed =
        futures::future::try_join_all(manifests.iter().filter(|m| manifests::is_live(m)).map(|m| entries(store, m))).await?;
    let mut files = Vec::new();
    let mut hides = Vec::new();
    let mut homes = HashMap::new();
    for Listed { manifest, spec_id, entry } in listed.into_iter().flatten() {
        if entry.data_file.key_metadata().is_some() {
            let message = format!("{} is a file of {table} that is encrypted, which lakebox can't read", entry.file_path());
            return Err(Error::new(crate::Kind::Corrupt, message));
        }
        let is_vector = entry.file_format() == DataFileFormat::Puffin && entry.content_type() == DataContentType::PositionDeletes;
        if entry.file_format() != DataFileFormat::Parquet && !is_vector {
            let message = format!("{} is a file of {table} in {}", entry.file_path(), entry.file_format());
            return Err(Error::new(crate::Kind::Corrupt, format!("{message}, which lakebox can't read"))
                .with_hint("Write Parquet: set the table property `write.format.default` to `parquet`."));
        }
        match entry.content_type() {
            DataContentType::Data => {
                let mut record = file_record(store, table, &entry, manifest, schema)?;
                record.view.sorted = sort_order.is_some() && entry.data_file.sort_order_id() == sort_order;
                record.home = Home { spec_id, values: entry.data_file.partition().clone() }.kept();
                if let Some(home) = &record.home {
                    homes.insert(record.view.path.clone(), Arc::clone(home));
                }
                files.push(record);
            }
            DataContentType::PositionDeletes => hides.push(Listed { manifest, spec_id, entry }),
            DataContentType::EqualityDeletes => {
                let message = format!("{table} has equality deletes, which lakebox neither writes nor reads");
                return Err(Error::new(crate::Kind::Corrupt, message)
                    .with_hint("Let the engine write position deletes, or copy on write."));
            }
        }
    }
    let deletes = hide(store, table, &mut files, &homes, hides).await?;
    Ok(Contents { manifests, files, deletes })
}

/// A live entry, the manifest that lists it, and the partition spec of that manifest.
struct Listed {
    manifest: Arc<str>,
    spec_id: i32,
    entry: Arc<ManifestEntry>,
}

/// Partitions of data files; those of unpartitioned tables are left out.
type Homes = HashMap<Path, Arc<Home>>;

async fn entries(store: &Store, manifest: &ManifestFile) -> Result<Vec<Listed>, Error> {
    let name: Arc<str> = Arc::from(manifest.manifest_path.as_str());
    let entries = manifests::read(store, manifest).await?;
    let listed = |entry| Listed { manifest: Arc::clone(&name), spec_id: manifest.partition_spec_id, entry };
    Ok(entries.into_iter().filter(|e| e.status != ManifestStatus::Deleted).map(listed).collect())
}

fn file_record(
    store: &Store,
    table: &LakeTable,
    entry: &ManifestEntry,
    manifest: Arc<str>,
    schema: &Schema,
) -> Result<FileRecord, Error> {
    let mut stats = Metrics::from_entry(&entry.data_file).stats(schema);
    if !table.layer.is_kept() {
        // How long other writers leave their bounds is not known, so a short one may be cut short as well.
        stats.values_mut().for_each(|s| s.exact = false);
    }
    let stats = Arc::new(stats);
    let path = store.path(entry.file_path())?;
    let spelling = (store.location(&path) != entry.file_path()).then(|| Arc::from(entry.file_path()));
    let view =
        ViewFile { path, bytes: entry.file_size_in_bytes(), rows: entry.record_count(), deleted: None, stats, sorted: false };
    Ok(FileRecord {
        view,
        sequence: entry.sequence_number().unwrap_or(0),
        manifest,
        in_wide: None,
        spelling,
        home: None,
        first_row_id: entry.data_file.first_row_id(),
    })
}

/// By the specification a position delete only hides rows of files in its own partition. Some readers go by that and others by the path
/// alone, so that a delete file in another partition hides rows from some of them.
fn misplaced(table: &LakeTable, entry: &ManifestEntry, path: &Path) -> Error {
    let deletes = entry.file_path();
    let message =
        format!("{deletes} deletes rows of {path}, which is in another partition of {table}, so engines would not agree on them");
    Error::new(crate::Kind::Corrupt, message).with_hint(
        "The engine wrote its deletes under the newest partition spec. Let another engine rewrite the older files first, or delete with another engine.",
    )
}

/// What one file of deletes, which several entries may lead to, says about each of them.
type Hidden = Vec<(Listed, BTreeMap<Path, RoaringBitmap>)>;

/// Reads a file of deletes: all its positions, or the vectors that entries name.
async fn read_deletes(store: &Store, path: Path, entries: Vec<Listed>) -> Result<Hidden, Error> {
    let bytes = store.get(&path).await?;
    let store = store.clone();
    let decode = move |listed: Listed| {
        let file = &listed.entry.data_file;
        let positions = match file.file_format() {
            DataFileFormat::Puffin => BTreeMap::from([vectors::decode(&store, file, &bytes)?]),
            _ => deletes::decode(&store, &path, bytes.clone())?,
        };
        Ok((listed, positions))
    };
    runtime::blocking("reading deletes", move || entries.into_iter().map(decode).collect()).await?
}

/// Reads all deletes and notes their positions at the data files.
async fn hide(
    store: &Store,
    table: &LakeTable,
    files: &mut [FileRecord],
    homes: &Homes,
    hides: Vec<Listed>,
) -> Result<Vec<DeleteRecord>, Error> {
    let mut by_file: BTreeMap<Path, Vec<Listed>> = BTreeMap::new();
    for listed in hides {
        by_file.entry(store.path(listed.entry.file_path())?).or_default().push(listed);
    }
    let read = by_file.into_iter().map(|(path, entries)| read_deletes(store, path, entries));
    let mut all: BTreeMap<Path, RoaringBitmap> = BTreeMap::new();
    let mut wide: BTreeMap<Path, RoaringBitmap> = BTreeMap::new();
    let mut by_vector: BTreeMap<Path, RoaringBitmap> = BTreeMap::new();
    let mut records = Vec::new();
    let plain = Arc::new(Home { spec_id: 0, values: Struct::empty() });
    let live: HashSet<Path> = files.iter().map(|f| f.view.path.clone()).collect();
    for (Listed { manifest, spec_id, entry }, positions) in futures::future::try_join_all(read).await?.into_iter().flatten() {
        let is_vector = entry.file_format() == DataFileFormat::Puffin;
        let scope = entry.data_file.referenced_data_file().map(|location| store.path(&location)).transpose()?;
        for (path, rows) in positions {
            let home = homes.get(&path).unwrap_or(&plain);
            if live.contains(&path) && (home.spec_id != spec_id || home.values != *entry.data_file.partition()) {
                return Err(misplaced(table, &entry, &path));
            }
            if is_vector {
                if by_vector.insert(path.clone(), rows).is_some() {
                    let message =
                        format!("{path} of {table} has two deletion vectors, and engines would not agree on which counts");
                    return Err(Error::new(crate::Kind::Corrupt, message));
                }
                continue;
            }
            if scope.is_none() {
                *wide.entry(path.clone()).or_default() |= &rows;
            }
            *all.entry(path).or_default() |= rows;
        }
        records.push(DeleteRecord { entry, manifest, scope });
    }
    for file in files {
        let path = &file.view.path;
        // Beside a vector no other delete file of a data file counts: who wrote it took them in.
        let vector = by_vector.remove(path);
        file.in_wide = wide.remove(path).filter(|_| vector.is_none()).map(Arc::new);
        file.view.deleted = vector.or_else(|| all.remove(path)).map(Arc::new);
    }
    Ok(records)
}
