//! Metadata that nothing names any more, collected after the commit that made it so.

use super::manifests;
use crate::{Error, store::Store};
use hashbrown::HashSet;
use iceberg::spec::{ManifestContentType, ManifestFile, ManifestStatus};
use object_store::path::Path;

/// What a commit left behind.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Metadata files that fell out of the log.
    pub metadata: Vec<String>,
    /// Manifest lists of expired snapshots.
    pub lists: Vec<String>,
    /// The manifest list of the oldest snapshot that is kept. Since history is a line, what it lacks no later snapshot has.
    pub oldest_list: Option<String>,
    /// Whether data files may belong to another table too, so that only delete files are ours to remove.
    pub keep_data_files: bool,
}

impl Garbage {
    /// Removes it. A failure is logged and leaves files that upkeep will find; the commit stands.
    pub(super) async fn collect(self, store: &Store) {
        match self.find(store).await {
            Ok(dead) => store.delete_all(dead).await,
            Err(error) => tracing::warn!(%error, "metadata that expired could not be collected"),
        }
    }

    async fn find(self, store: &Store) -> Result<Vec<Path>, Error> {
        let mut dead = self.metadata.iter().map(|m| store.path(m)).collect::<Result<Vec<_>, _>>()?;
        let (false, Some(oldest)) = (self.lists.is_empty(), &self.oldest_list) else { return Ok(dead) };
        let kept = manifests::read_list(store, oldest).await?;
        let names: HashSet<&str> = kept.iter().map(|m| m.manifest_path.as_str()).collect();
        let mut gone: Vec<ManifestFile> = Vec::new();
        let mut seen = HashSet::new();
        for list in &self.lists {
            for manifest in manifests::read_list(store, list).await? {
                if !names.contains(manifest.manifest_path.as_str()) && seen.insert(manifest.manifest_path.clone()) {
                    gone.push(manifest);
                }
            }
            dead.push(store.path(list)?);
        }
        dead.extend(self.files(store, &gone, &kept).await?);
        for manifest in &gone {
            dead.push(store.path(&manifest.manifest_path)?);
        }
        Ok(dead)
    }

    /// Files that only expired snapshots see.
    async fn files(&self, store: &Store, gone: &[ManifestFile], kept: &[ManifestFile]) -> Result<Vec<Path>, Error> {
        let ours = |m: &&ManifestFile| m.content == ManifestContentType::Deletes || !self.keep_data_files;
        let mut dead = HashSet::new();
        for manifest in gone.iter().filter(ours) {
            let entries = manifests::read(store, manifest).await?;
            dead.extend(entries.iter().filter(|e| e.status != ManifestStatus::Deleted).map(|e| e.file_path().to_owned()));
        }
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        for manifest in kept.iter().filter(ours) {
            for entry in manifests::read(store, manifest).await? {
                if entry.status != ManifestStatus::Deleted {
                    dead.remove(entry.file_path());
                }
            }
        }
        dead.iter().map(|location| store.path(location)).collect()
    }
}
