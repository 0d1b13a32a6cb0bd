//! The manifests of a commit: new files join, files that leave are marked, and many small manifests become one.

use super::{
    manifests::{self, EncodedManifest, Listing, Stamp},
    plan::Plan,
};
use crate::{
    Error,
    store::Store,
    table::{DeleteRecord, FileRecord, Parts, WrittenFile, deletes::EncodedDeletes},
};
use bytes::Bytes;
use hashbrown::HashSet;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, ManifestContentType, ManifestEntry, ManifestFile,
    ManifestStatus, SchemaRef,
};
use object_store::path::Path;
use std::{collections::HashMap, sync::Arc};

/// Once a table has so many manifests of one kind, a commit merges the small ones.
const MANIFESTS_MOST: usize = 30;
/// Manifests of this size are full: merging leaves them alone.
const MANIFEST_BYTES_FULL: i64 = 4 << 20;

/// The files of a table in one snapshot.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub manifests: Vec<ManifestFile>,
    pub data: Vec<FileRecord>,
    pub deletes: Vec<DeleteRecord>,
}

impl Files {
    /// The files that a table has.
    pub(super) fn of(parts: &Parts) -> Self {
        Self { manifests: parts.manifests.clone(), data: parts.files.clone(), deletes: parts.deletes.clone() }
    }
}

/// What the manifests of one commit have in common.
pub(super) struct Rewrite<'a> {
    pub store: &'a Store,
    pub directory: &'a str,
    pub schema: SchemaRef,
    /// The table's sort order, which files that were written sorted follow.
    pub sort_order: Option<i32>,
    pub stamp: Stamp,
    /// Whether small manifests become one, however few they are.
    pub merges: bool,
}

/// The manifests of one kind after a commit.
struct Rewritten {
    kept: Vec<ManifestFile>,
    /// Manifests whose live entries moved into the new one.
    replaced: HashSet<Arc<str>>,
    new: Option<EncodedManifest>,
}

impl Rewritten {
    /// The new manifest's location.
    fn location(&self) -> Arc<str> {
        Arc::from(self.new.as_ref().map_or("", |n| n.file.manifest_path.as_str()))
    }

    /// Where an entry is listed that was listed in `manifest`.
    fn now_in(&self, manifest: &Arc<str>) -> Arc<str> {
        if self.replaced.contains(manifest) { self.location() } else { Arc::clone(manifest) }
    }
}

impl Rewrite<'_> {
    /// Encodes the new manifests; gives the table's files after the commit, and what has to be written.
    pub(super) async fn run(
        &self,
        former: &[ManifestFile],
        plan: Plan,
        new: Vec<EncodedDeletes>,
    ) -> Result<(Files, Vec<(Path, Bytes)>), Error> {
        let live: Vec<&ManifestFile> = former.iter().filter(|m| manifests::is_live(m)).collect();
        let of = |content| live.iter().copied().filter(|m| m.content == content).collect::<Vec<_>>();
        let ids: HashSet<i32> = self.schema.field_id_to_name_map().keys().copied().collect();
        let added =
            plan.appended.iter().map(|(w, _)| describe(self.store, w, &ids, self.sort_order)).collect::<Result<Vec<_>, _>>()?;
        let leaving = plan.removed.iter().map(|f| Arc::clone(&f.manifest)).collect();
        let gone = plan.removed.iter().map(|f| f.view.path.clone()).collect();
        let data = self.of_kind(of(ManifestContentType::Data), ManifestContentType::Data, added, leaving, gone).await?;

        let added: Vec<DataFile> = new.iter().map(|e| e.file.clone()).collect();
        let leaving = plan.removed_deletes.iter().map(|d| Arc::clone(&d.manifest)).collect();
        let gone = plan.removed_deletes.iter().map(|d| self.store.path(d.entry.file_path())).collect::<Result<_, _>>()?;
        let hides = self.of_kind(of(ManifestContentType::Deletes), ManifestContentType::Deletes, added, leaving, gone).await?;

        let mut files =
            Files { manifests: Vec::new(), data: self.data_records(plan.kept, plan.appended, &data), deletes: Vec::new() };
        files.deletes = self.delete_records(plan.kept_deletes, &new, &hides);
        let mut written: Vec<(Path, Bytes)> = new.into_iter().map(|e| (e.path, e.bytes)).collect();
        for part in [data, hides] {
            if let Some(new) = part.new {
                files.manifests.push(new.file);
                written.push((new.path, new.bytes));
            }
            files.manifests.extend(part.kept);
        }
        Ok((files, written))
    }

    /// Writes the one new manifest of a kind: new files, and what is live in manifests that lose a file or are merged.
    async fn of_kind(
        &self,
        live: Vec<&ManifestFile>,
        content: ManifestContentType,
        added: Vec<DataFile>,
        leaving: HashSet<Arc<str>>,
        gone: HashSet<Path>,
    ) -> Result<Rewritten, Error> {
        let merge = live.len() >= MANIFESTS_MOST || (self.merges && live.len() > 1);
        let is_replaced =
            |m: &&ManifestFile| leaving.contains(m.manifest_path.as_str()) || (merge && m.manifest_length < MANIFEST_BYTES_FULL);
        let (replaced, kept): (Vec<&ManifestFile>, Vec<&ManifestFile>) = live.into_iter().partition(is_replaced);
        let read = futures::future::try_join_all(replaced.iter().map(|m| manifests::read(self.store, m))).await?;
        let mut listing = Listing { added, ..Listing::default() };
        for entry in read.into_iter().flatten().filter(|e| e.status != ManifestStatus::Deleted) {
            // By place: an outside engine may spell it in another way.
            let list =
                if gone.contains(&self.store.path(entry.file_path())?) { &mut listing.removed } else { &mut listing.carried };
            list.push(entry);
        }
        let mut new = None;
        if !listing.is_empty() {
            let path = Path::from(format!("{}/{}.avro", self.directory, uuid::Uuid::new_v4()));
            new = Some(manifests::encode(self.store, path, content, Arc::clone(&self.schema), self.stamp, listing).await?);
        }
        let replaced = replaced.into_iter().map(|m| Arc::from(m.manifest_path.as_str())).collect();
        Ok(Rewritten { kept: kept.into_iter().cloned().collect(), replaced, new })
    }

    fn data_records(
        &self,
        kept: Vec<FileRecord>,
        appended: Vec<(Arc<WrittenFile>, FileRecord)>,
        made: &Rewritten,
    ) -> Vec<FileRecord> {
        let kept = kept.into_iter().map(|mut record| {
            record.manifest = made.now_in(&record.manifest);
            record
        });
        let new = appended.into_iter().map(|(_, mut record)| {
            record.manifest = made.location();
            record.sequence = self.stamp.sequence;
            record
        });
        kept.chain(new).collect()
    }

    fn delete_records(&self, kept: Vec<DeleteRecord>, new: &[EncodedDeletes], made: &Rewritten) -> Vec<DeleteRecord> {
        let kept = kept.into_iter().map(|mut record| {
            record.manifest = made.now_in(&record.manifest);
            record
        });
        let new = new.iter().map(|e| DeleteRecord {
            entry: Arc::new(ManifestEntry {
                status: ManifestStatus::Added,
                snapshot_id: Some(self.stamp.snapshot_id),
                sequence_number: Some(self.stamp.sequence),
                file_sequence_number: Some(self.stamp.sequence),
                data_file: e.file.clone(),
            }),
            manifest: made.location(),
            scope: e.scope.clone(),
        });
        kept.chain(new).collect()
    }
}

/// The manifest entry of a data file, with the metrics of the columns that this table has.
fn describe(store: &Store, written: &WrittenFile, ids: &HashSet<i32>, sort_order: Option<i32>) -> Result<DataFile, Error> {
    let columns = || written.metrics.columns.iter().filter(|(id, _)| ids.contains(*id));
    let counts = |of: fn(&crate::table::bounds::ColumnMetrics) -> Option<u64>| -> HashMap<i32, u64> {
        columns().filter_map(|(id, m)| Some((*id, of(m)?))).collect()
    };
    let bounds = |of: fn(&crate::table::bounds::ColumnMetrics) -> Option<&Datum>| -> HashMap<i32, Datum> {
        columns().filter_map(|(id, m)| Some((*id, of(m)?.clone()))).collect()
    };
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(store.location(&written.path))
        .file_format(DataFileFormat::Parquet)
        .record_count(written.rows)
        .file_size_in_bytes(written.bytes)
        .column_sizes(counts(|m| m.bytes))
        .value_counts(counts(|m| m.values))
        .null_value_counts(counts(|m| m.nulls))
        .lower_bounds(bounds(|m| m.lower.as_ref()))
        .upper_bounds(bounds(|m| m.upper.as_ref()))
        .split_offsets(Some(written.split_offsets.clone()));
    if let Some(order) = sort_order.filter(|order| written.sorted && *order != 0) {
        builder.sort_order_id(order);
    }
    builder.build().map_err(|e| Error::bug(format!("describing the data file {}", written.path), e))
}
