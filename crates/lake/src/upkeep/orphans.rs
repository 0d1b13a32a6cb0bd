//! Files in the warehouse that no metadata names: what a crash, a failed commit or a dropped table left behind.

use crate::{Error, Lake, SQL_WRITER, TableState, commit::manifests, store::Store};
use futures::StreamExt;
use model::Layer;
use object_store::path::Path;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// What a search for orphans found and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Files looked at.
    pub looked_at: u64,
    /// Files removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Removes files of the warehouse that no table names, that nobody is writing, and that are older than `safety`: other engines write files before
    /// they commit them, and lakebox does not know theirs.
    ///
    /// # Errors
    /// Where the warehouse can't be listed or metadata can't be read; nothing is removed then.
    pub async fn remove_orphans(&self, safety: Duration) -> Result<Orphans, Error> {
        self.remove_orphans_from_before(self.clock().now_us() - i64::try_from(safety.as_micros()).unwrap_or(i64::MAX)).await
    }

    /// As [`Self::remove_orphans`], for files that were last written before a time in microseconds.
    pub(crate) async fn remove_orphans_from_before(&self, before_us: i64) -> Result<Orphans, Error> {
        let store = self.warehouse();
        let mut found = Orphans::default();
        let mut old = Vec::new();
        let layers = Layer::ALL.iter().map(|layer| Path::from(layer.as_str()));
        let prefixes: Vec<Path> = layers.chain(self.made_by_sql().await?).collect();
        for prefix in prefixes {
            let objects = store.objects();
            let mut listed = objects.list(Some(&prefix));
            while let Some(object) = listed.next().await {
                let object = object.map_err(|e| store.failed("listing", &prefix, e))?;
                found.looked_at += 1;
                if is_table_file(&object.location) && object.last_modified.timestamp_micros() < before_us {
                    old.push((object.location, object.size));
                }
            }
        }
        // In this order: what was held is named by now, or is held still.
        let held = store.held();
        let named = named(store, &self.tables().all()).await?;
        let unread = self.unreadable().await?;
        let of_unreadable = |path: &Path| unread.iter().any(|table| path.prefix_matches(table));
        old.retain(|(path, _)| !held.contains(path) && !named.contains(path) && !of_unreadable(path));
        let unread: HashSet<Path> =
            self.tables().pins().unread(old.iter().map(|(p, _)| p.clone()).collect()).into_iter().collect();
        old.retain(|(path, _)| unread.contains(path));
        found.files = old.len() as u64;
        found.bytes = old.iter().map(|(_, bytes)| bytes).sum();
        store.delete_all(old.into_iter().map(|(path, _)| path).collect()).await;
        Ok(found)
    }
}

impl Lake {
    /// Where tables of users' schemas are that SQL made. What else lies in these schemas is of outside engines, which may keep files there that no table
    /// names, and none of it is looked at while a table there can't be read: after a rename its files may be anywhere.
    async fn made_by_sql(&self) -> Result<Vec<Path>, Error> {
        let records = self.tables().catalog().tables().await?;
        let mut users = records.iter().filter(|record| !record.table.layer.is_kept());
        if users.any(|record| self.tables().state(&record.table).is_none()) {
            return Ok(Vec::new());
        }
        let states = self.tables().all();
        let made = states.iter().filter(|s| !s.table().layer.is_kept() && s.writer() == Some(SQL_WRITER));
        Ok(made.map(|s| Path::from(format!("{}/{}", s.table().layer, s.table().name))).collect())
    }

    /// Where tables have their files that the catalog knows and that could not be loaded: what they name is not known.
    async fn unreadable(&self) -> Result<Vec<Path>, Error> {
        let records = self.tables().catalog().tables().await?;
        let missing = records.into_iter().map(|record| record.table).filter(|table| self.tables().state(table).is_none());
        Ok(missing.map(|table| Path::from(format!("{}/{}", table.layer, table.name))).collect())
    }
}

/// Whether a path is where tables keep files: `layer/table/data/…` or `layer/table/metadata/…`.
fn is_table_file(path: &Path) -> bool {
    let part = path.parts().nth(2);
    part.is_some_and(|part| matches!(part.as_ref(), "data" | "metadata")) && path.parts().count() == 4
}

/// Every file that some snapshot of some table names.
async fn named(store: &Store, states: &[Arc<TableState>]) -> Result<HashSet<Path>, Error> {
    let mut named = HashSet::new();
    let mut lists: Vec<String> = Vec::new();
    for state in states {
        let metadata = &state.parts.metadata;
        let log = metadata.metadata_log().iter().map(|entry| entry.metadata_file.as_str());
        for location in log.chain([state.metadata_location()]) {
            named.insert(store.path(location)?);
        }
        let statistics = metadata.statistics_iter().map(|s| s.statistics_path.as_str());
        named.extend(statistics.filter_map(|location| store.path(location).ok()));
        lists.extend(metadata.snapshots().map(|s| s.manifest_list().to_owned()));
    }
    for manifest in manifests::read_lists(store, &lists).await? {
        if named.insert(store.path(&manifest.manifest_path)?) {
            // One at a time: a lake may have more entries than fit into memory at once, and their paths must.
            for entry in manifests::read(store, &manifest).await? {
                named.insert(store.path(entry.file_path())?);
            }
        }
    }
    for list in &lists {
        named.insert(store.path(list)?);
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_tables_are_looked_at() {
        assert!(is_table_file(&Path::from("silver/t/data/a.parquet")) && is_table_file(&Path::from("gold/t/metadata/v1.json")));
        assert!(!is_table_file(&Path::from("catalog.db")) && !is_table_file(&Path::from("silver/t/notes/a.txt")));
        assert!(!is_table_file(&Path::from("silver/t/data/deep/er.parquet")));
    }
}
