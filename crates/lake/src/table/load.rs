//! From the catalog's pointer to a table in memory.

use super::{DeleteRecord, FileRecord, Parts, TableState, bounds::Metrics, deletes};
use crate::{
    Error,
    commit::{manifests, metadata},
    store::Store,
    view::ViewFile,
};
use arrow::datatypes::Schema;
use catalog::TableRecord;
use iceberg::spec::{DataContentType, ManifestEntry, ManifestFile, ManifestStatus, TableMetadata};
use model::LakeTable;
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// Reads the metadata that `record` points to, its current manifests and its delete files.
///
/// # Errors
/// [`crate::Kind::Corrupt`] where a file is missing or is not what it should be, [`crate::Kind::Storage`] where it can't be read.
pub(crate) async fn load(store: &Store, record: TableRecord) -> Result<TableState, Error> {
    read(store, &record).await.map_err(|e| e.with_table(&record.table))
}

async fn read(store: &Store, record: &TableRecord) -> Result<TableState, Error> {
    let json = store.get(&store.path(&record.metadata_location)?).await?;
    let metadata: TableMetadata =
        serde_json::from_slice(&json).map_err(|e| Error::corrupt(format!("the metadata {}", record.metadata_location), e))?;
    let spec = metadata::spec_of(&metadata)?;
    let list = metadata.current_snapshot().map(|s| s.manifest_list().to_owned());
    let Contents { manifests, files, deletes } = contents(store, &record.table, list.as_deref(), &spec.schema).await?;
    let parts = Parts {
        table: record.table.clone(),
        writer: record.writer.clone(),
        metadata: Arc::new(metadata),
        metadata_location: record.metadata_location.clone(),
        manifests,
        files,
        deletes,
    };
    Ok(TableState::new(parts, spec))
}

/// What the manifest list of a snapshot leads to.
pub(crate) struct Contents {
    pub manifests: Vec<ManifestFile>,
    pub files: Vec<FileRecord>,
    pub deletes: Vec<DeleteRecord>,
}

/// Reads a manifest list, its manifests and its delete files; without a list there is nothing.
pub(crate) async fn contents(store: &Store, table: &LakeTable, list: Option<&str>, schema: &Schema) -> Result<Contents, Error> {
    let manifests = match list {
        Some(location) => manifests::read_list(store, location).await?,
        None => Vec::new(),
    };
    let listed =
        futures::future::try_join_all(manifests.iter().filter(|m| manifests::is_live(m)).map(|m| entries(store, m))).await?;
    let mut files = Vec::new();
    let mut hides = Vec::new();
    for (manifest, entry) in listed.into_iter().flatten() {
        match entry.content_type() {
            DataContentType::Data => files.push(file_record(store, &entry, manifest, schema)?),
            DataContentType::PositionDeletes => hides.push((manifest, entry)),
            DataContentType::EqualityDeletes => {
                let message = format!("{table} has equality deletes, which lakebox neither writes nor reads");
                return Err(Error::new(crate::Kind::Corrupt, message));
            }
        }
    }
    let deletes = hide(store, &mut files, hides).await?;
    Ok(Contents { manifests, files, deletes })
}

async fn entries(store: &Store, manifest: &ManifestFile) -> Result<Vec<(Arc<str>, Arc<ManifestEntry>)>, Error> {
    let name: Arc<str> = Arc::from(manifest.manifest_path.as_str());
    let entries = manifests::read(store, manifest).await?;
    Ok(entries.into_iter().filter(|e| e.status != ManifestStatus::Deleted).map(|e| (Arc::clone(&name), e)).collect())
}

fn file_record(store: &Store, entry: &ManifestEntry, manifest: Arc<str>, schema: &Schema) -> Result<FileRecord, Error> {
    let stats = Arc::new(Metrics::from_entry(&entry.data_file).stats(schema));
    let path = store.path(entry.file_path())?;
    let view = ViewFile { path, bytes: entry.file_size_in_bytes(), rows: entry.record_count(), deleted: None, stats };
    Ok(FileRecord { view, sequence: entry.sequence_number().unwrap_or(0), manifest, in_wide: None })
}

/// Reads all delete files and notes their positions at the data files.
async fn hide(
    store: &Store,
    files: &mut [FileRecord],
    hides: Vec<(Arc<str>, Arc<ManifestEntry>)>,
) -> Result<Vec<DeleteRecord>, Error> {
    let read = hides.into_iter().map(|(manifest, entry)| async move {
        let path = store.path(entry.file_path())?;
        let bytes = store.get(&path).await?;
        let store = store.clone();
        let positions = runtime::blocking("reading a delete file", move || deletes::decode(&store, &path, bytes)).await??;
        Ok::<_, Error>((manifest, entry, positions))
    });
    let mut all: BTreeMap<Path, RoaringBitmap> = BTreeMap::new();
    let mut wide: BTreeMap<Path, RoaringBitmap> = BTreeMap::new();
    let mut records = Vec::new();
    for (manifest, entry, positions) in futures::future::try_join_all(read).await? {
        let scope = entry.data_file.referenced_data_file().map(|location| store.path(&location)).transpose()?;
        for (path, rows) in positions {
            if scope.is_none() {
                *wide.entry(path.clone()).or_default() |= &rows;
            }
            *all.entry(path).or_default() |= rows;
        }
        records.push(DeleteRecord { entry, manifest, scope });
    }
    for file in files {
        file.view.deleted = all.remove(&file.view.path).map(Arc::new);
        file.in_wide = wide.remove(&file.view.path).map(Arc::new);
    }
    Ok(records)
}
