//! Files that nothing names any more, collected after the commit that made it so.

use super::{manifests, pins::Pins};
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
    /// The manifest lists of all snapshots that are kept.
    pub kept_lists: Vec<String>,
    /// Whether data files may belong to another table too.
    pub shares_files: bool,
    /// Where the files are that may be removed; everywhere where empty. An outside engine may have added files to its table that are somebody else's.
    pub homes: Vec<Path>,
}

impl Garbage {
    /// Removes it. `sharing` are the manifest lists of all tables that may have the same data files. A failure is logged and leaves files that upkeep
    /// finds later; the commit stands.
    pub(super) async fn collect(self, store: &Store, pins: &Pins, sharing: &[String]) {
        match self.find(store, pins, sharing).await {
            Ok(dead) => store.delete_all(dead).await,
            Err(error) => tracing::warn!(%error, "files of expired snapshots could not be collected"),
        }
    }

    async fn find(self, store: &Store, pins: &Pins, sharing: &[String]) -> Result<Vec<Path>, Error> {
        let mut dead = self.metadata.iter().map(|m| store.path(m)).collect::<Result<Vec<_>, _>>()?;
        if self.lists.is_empty() {
            return Ok(dead);
        }
        let kept = manifests::read_lists(store, &self.kept_lists).await?;
        let names: HashSet<&str> = kept.iter().map(|m| m.manifest_path.as_str()).collect();
        let mut gone = manifests::read_lists(store, &self.lists).await?;
        gone.retain(|m| !names.contains(m.manifest_path.as_str()));
        let (gone_hides, gone_data): (Vec<_>, Vec<_>) = gone.iter().partition(is_deletes);
        let (kept_hides, kept_data): (Vec<_>, Vec<_>) = kept.iter().partition(is_deletes);
        let hides = only_in(store, &gone_hides, &kept_hides).await?;
        let mut data = only_in(store, &gone_data, &kept_data).await?;
        if self.shares_files && !data.is_empty() {
            let others = manifests::read_lists(store, sharing).await?;
            let others: Vec<_> = others.iter().filter(|m| !is_deletes(m)).collect();
            take_out(store, &mut data, &others).await?;
        }
        for location in hides.iter().chain(gone.iter().map(|m| &m.manifest_path)).chain(&self.lists) {
            dead.push(store.path(location)?);
        }
        let data = data.iter().map(|location| store.path(location)).collect::<Result<Vec<_>, _>>()?;
        let at_home = |path: &Path| self.homes.is_empty() || self.homes.iter().any(|home| path.prefix_matches(home));
        dead.retain(at_home);
        let data: Vec<Path> = data.into_iter().filter(at_home).collect();
        // What a query still reads is found by the next search for orphans.
        dead.extend(pins.unread(data));
        Ok(dead)
    }
}

fn is_deletes(manifest: &&ManifestFile) -> bool {
    manifest.content == ManifestContentType::Deletes
}

/// Files that `gone` lists and `kept` does not.
async fn only_in(store: &Store, gone: &[&ManifestFile], kept: &[&ManifestFile]) -> Result<HashSet<String>, Error> {
    let mut found = HashSet::new();
    for manifest in gone {
        let entries = manifests::read(store, manifest).await?;
        found.extend(entries.iter().filter(|e| e.status != ManifestStatus::Deleted).map(|e| e.file_path().to_owned()));
    }
    take_out(store, &mut found, kept).await?;
    Ok(found)
}

/// Takes out of `found` what `manifests` list as live.
async fn take_out(store: &Store, found: &mut HashSet<String>, manifests: &[&ManifestFile]) -> Result<(), Error> {
    for manifest in manifests.iter().filter(|m| manifests::is_live(m)) {
        if found.is_empty() {
            return Ok(());
        }
        for entry in manifests::read(store, manifest).await? {
            if entry.status != ManifestStatus::Deleted {
                found.remove(entry.file_path());
            }
        }
    }
    Ok(())
}
