//! Tables as they were, and what their metadata says of how they came to be.

use super::{Parts, TableState, load};
use crate::{Error, Kind, commit::metadata, store::Store};
use iceberg::spec::{ManifestContentType, Snapshot, SnapshotReference, SnapshotRetention};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// A snapshot as a point to travel to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPoint {
    /// Its id.
    pub id: i64,
    /// The snapshot it followed, which may have expired.
    pub parent: Option<i64>,
    /// The table's sequence number.
    pub sequence: i64,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// `append`, `overwrite`, `replace` or `delete`.
    pub operation: String,
    /// Where its manifest list is.
    pub manifest_list: String,
    /// The summary, sorted by key.
    pub summary: Vec<(String, String)>,
    /// Whether it is an ancestor of the current snapshot, or that snapshot itself.
    pub ancestor: bool,
}

impl SnapshotPoint {
    /// An entry of its summary.
    pub fn summary(&self, key: &str) -> Option<&str> {
        self.summary.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// A name for a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefPoint {
    /// The name; `main` is what queries read.
    pub name: String,
    /// Whether it moves with commits.
    pub is_branch: bool,
    /// Its snapshot.
    pub snapshot_id: i64,
    /// Snapshots that expiry keeps on it at least; branches only.
    pub snapshots_kept: Option<i32>,
    /// The age up to which expiry keeps its snapshots, in milliseconds; branches only.
    pub snapshot_age_ms: Option<i64>,
    /// The age up to which expiry keeps the name itself, in milliseconds.
    pub ref_age_ms: Option<i64>,
}

/// When a snapshot became the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPoint {
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Which.
    pub snapshot_id: i64,
}

/// A manifest of the snapshot that a state shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPoint {
    /// Its path, as the metadata spells it.
    pub location: String,
    /// Size in bytes.
    pub bytes: i64,
    /// Whether it lists delete files rather than data files.
    pub is_deletes: bool,
    /// The snapshot that added it.
    pub snapshot_id: i64,
    /// Its sequence number.
    pub sequence: i64,
    /// Files that it adds.
    pub added_files: u32,
    /// Files that it carries.
    pub existing_files: u32,
    /// Files that it takes away.
    pub removed_files: u32,
    /// Rows in the files that it adds.
    pub added_rows: u64,
}

impl TableState {
    /// Its snapshots that have not expired, oldest first.
    pub fn points(&self) -> Vec<SnapshotPoint> {
        let metadata = &self.parts.metadata;
        let mut line = HashSet::new();
        let mut next = metadata.current_snapshot_id();
        while let Some(snapshot) = next.and_then(|id| metadata.snapshot_by_id(id)) {
            line.insert(snapshot.snapshot_id());
            next = snapshot.parent_snapshot_id();
        }
        let mut points: Vec<SnapshotPoint> = metadata.snapshots().map(|s| point(s, line.contains(&s.snapshot_id()))).collect();
        points.sort_by_key(|p| (p.sequence, p.at_us, p.id));
        points
    }

    /// Its branches and tags, sorted by name.
    ///
    /// # Errors
    /// [`Kind::Bug`] where the metadata does not survive its own form, which never happened.
    pub fn refs(&self) -> Result<Vec<RefPoint>, Error> {
        // The crate hands out a reference by name but no list of them; the JSON of the metadata has it.
        let failed = |e| Error::bug(format!("listing the branches and tags of {}", self.table()), e);
        let mut json = serde_json::to_value(self.parts.metadata.as_ref()).map_err(failed)?;
        let refs = json.get_mut("refs").map(serde_json::Value::take).unwrap_or_default();
        let refs: Option<BTreeMap<String, SnapshotReference>> = serde_json::from_value(refs).map_err(failed)?;
        Ok(refs.unwrap_or_default().into_iter().map(|(name, reference)| named(name, &reference)).collect())
    }

    /// Which snapshot was the current one from when on, oldest first, as far as the metadata remembers.
    pub fn history(&self) -> Vec<HistoryPoint> {
        let log = self.parts.metadata.history();
        log.iter().map(|l| HistoryPoint { at_us: l.timestamp_ms() * 1000, snapshot_id: l.snapshot_id }).collect()
    }

    /// The manifests of the snapshot that this state shows.
    pub fn manifests(&self) -> Vec<ManifestPoint> {
        let manifests = self.parts.manifests.iter().map(|m| ManifestPoint {
            location: m.manifest_path.clone(),
            bytes: m.manifest_length,
            is_deletes: m.content == ManifestContentType::Deletes,
            snapshot_id: m.added_snapshot_id,
            sequence: m.sequence_number,
            added_files: m.added_files_count.unwrap_or(0),
            existing_files: m.existing_files_count.unwrap_or(0),
            removed_files: m.deleted_files_count.unwrap_or(0),
            added_rows: m.added_rows_count.unwrap_or(0),
        });
        manifests.collect()
    }
}

fn named(name: String, reference: &SnapshotReference) -> RefPoint {
    let (is_branch, snapshots_kept, snapshot_age_ms, ref_age_ms) = match &reference.retention {
        SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, max_ref_age_ms } => {
            (true, *min_snapshots_to_keep, *max_snapshot_age_ms, *max_ref_age_ms)
        }
        SnapshotRetention::Tag { max_ref_age_ms } => (false, None, None, *max_ref_age_ms),
    };
    RefPoint { name, is_branch, snapshot_id: reference.snapshot_id, snapshots_kept, snapshot_age_ms, ref_age_ms }
}

fn point(snapshot: &Arc<Snapshot>, ancestor: bool) -> SnapshotPoint {
    let summary = snapshot.summary();
    let mut entries: Vec<_> = summary.additional_properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    entries.sort();
    SnapshotPoint {
        id: snapshot.snapshot_id(),
        parent: snapshot.parent_snapshot_id(),
        sequence: snapshot.sequence_number(),
        at_us: snapshot.timestamp_ms() * 1000,
        operation: summary.operation.as_str().to_owned(),
        manifest_list: snapshot.manifest_list().to_owned(),
        summary: entries,
        ancestor,
    }
}

/// `now` as it was in `snapshot_id`, with the columns it had then.
///
/// # Errors
/// [`Kind::NotFound`] where the metadata does not name the snapshot, or where it expired while it was read.
pub(crate) async fn at(store: &Store, now: &TableState, snapshot_id: i64) -> Result<TableState, Error> {
    let metadata = &now.parts.metadata;
    let table = now.table();
    let gone = || Error::new(Kind::NotFound, format!("{table} has no snapshot {snapshot_id}")).with_table(table);
    let snapshot = metadata.snapshot_by_id(snapshot_id).ok_or_else(gone)?;
    let mut spec = metadata::spec_of(metadata)?;
    let schema = snapshot.schema(metadata).map_err(|e| Error::corrupt(format!("the schema of snapshot {snapshot_id}"), e))?;
    spec.schema = super::schema::to_arrow(&schema)?;
    let has = |name: &str| spec.schema.field_with_name(name).is_ok();
    if !spec.key.iter().all(|name| has(name)) {
        spec.key = Vec::new();
    }
    let sorted = spec.sort_order.iter().take_while(|(name, _)| has(name)).count();
    spec.sort_order.truncate(sorted);
    let mut contents =
        load::contents(store, table, Some(snapshot.manifest_list()), &spec.schema, load::sort_order(table, metadata))
            .await
            .map_err(|e| {
                // Expiry removes the files of a snapshot after the metadata has let it go.
                let message = format!("snapshot {snapshot_id} of {table} can't be read any more; has it expired meanwhile?");
                Error::new(Kind::NotFound, message).with_table(table).with_source(e)
            })?;
    load::note_partitions(metadata, &spec.schema, contents.files.iter_mut());
    let parts = Parts {
        table: table.clone(),
        writer: now.parts.writer.clone(),
        warehouse: now.parts.warehouse.clone(),
        metadata: Arc::clone(metadata),
        metadata_location: now.parts.metadata_location.clone(),
        manifests: contents.manifests,
        files: contents.files,
        deletes: contents.deletes,
    };
    Ok(TableState::of_snapshot(parts, spec, Some(snapshot_id)))
}
