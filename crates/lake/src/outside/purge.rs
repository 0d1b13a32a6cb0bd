//! The files of a table that was dropped with its data.

use crate::{
    Error, Lake, Store, TableState,
    commit::manifests::{self},
    table::load::read_metadata,
};
use hashbrown::HashSet;
use iceberg::spec::{ManifestStatus, TableMetadata};
use object_store::path::Path;
use std::sync::Arc;

/// Removes every file that the metadata at `location` leads to, is under the table's own location, and that none of `others` has. What can't be
/// removed is logged: the table is gone already.
pub(crate) async fn purge(lake: &Lake, location: &str, others: &[Arc<TableState>]) {
    let store = lake.warehouse();
    let found = async {
        let metadata = read_metadata(store, location).await?;
        reach(store, &metadata, location).await.map(|files| (metadata.location().to_owned(), files))
    };
    match found.await {
        Ok((home, files)) => {
            let Ok(home) = store.path(&home) else { return };
            let kept = named_by(store, others);
            let dead = files.into_iter().filter(|f| f.prefix_matches(&home) && !kept.contains(f)).collect();
            lake.remove_unread(dead).await;
        }
        Err(error) => tracing::warn!(%error, %location, "the files of a dropped table could not be removed"),
    }
}

/// Everything that some snapshot of the table can see, and the metadata itself.
async fn reach(store: &Store, metadata: &TableMetadata, location: &str) -> Result<HashSet<Path>, Error> {
    let mut found = HashSet::from([store.path(location)?]);
    for log in metadata.metadata_log() {
        found.insert(store.path(&log.metadata_file)?);
    }
    for statistics in metadata.statistics_iter() {
        found.insert(store.path(&statistics.statistics_path)?);
    }
    for statistics in metadata.partition_statistics_iter() {
        found.insert(store.path(&statistics.statistics_path)?);
    }
    for snapshot in metadata.snapshots() {
        if !found.insert(store.path(snapshot.manifest_list())?) {
            continue;
        }
        for manifest in manifests::read_list(store, snapshot.manifest_list()).await? {
            if !found.insert(store.path(&manifest.manifest_path)?) {
                continue;
            }
            for entry in manifests::read(store, &manifest).await? {
                if entry.status != ManifestStatus::Deleted {
                    found.insert(store.path(entry.file_path())?);
                }
            }
        }
    }
    Ok(found)
}

fn named_by(store: &Store, others: &[Arc<TableState>]) -> HashSet<Path> {
    let mut kept = HashSet::new();
    for state in others {
        let parts = &state.parts;
        kept.extend(parts.files.iter().map(|f| f.view.path.clone()));
        let deletes = parts.deletes.iter().map(|d| d.entry.file_path());
        let manifests = parts.manifests.iter().map(|m| m.manifest_path.as_str());
        let list = parts.metadata.current_snapshot().map(|s| s.manifest_list());
        let named = deletes.chain(manifests).chain(list).chain([parts.metadata_location.as_str()]);
        kept.extend(named.filter_map(|location| store.path(location).ok()));
    }
    kept
}
