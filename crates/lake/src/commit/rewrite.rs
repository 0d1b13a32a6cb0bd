//! The manifests of a commit: new files join, files that leave are marked, and many small manifests become one.

use super::{
    manifests::{self, EncodedManifest, Listing, Stamp},
    plan::Plan,
};
use crate::{
    Error,
    error::Kind,
    partition::{self, Home, NewHome},
    store::Store,
    table::{DeleteRecord, FileRecord, Parts, WrittenFile, deletes::EncodedDeletes},
};
use bytes::Bytes;
use hashbrown::HashSet;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, ManifestContentType, ManifestEntry, ManifestFile,
    ManifestStatus, TableMetadata,
};
use model::LakeTable;
use object_store::path::Path;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

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

/// What the manifests of a commit come to.
#[derive(Debug)]
pub(super) struct Made {
    pub files: Files,
    /// What has to be written.
    pub written: Vec<(Path, Bytes)>,
    /// The row id that is free then.
    pub next_row_id: u64,
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
    pub table: &'a LakeTable,
    /// The table as it will be.
    pub metadata: &'a TableMetadata,
    /// The table's sort order, which files that were written sorted follow.
    pub sort_order: Option<i32>,
    pub stamp: Stamp,
    /// Whether small manifests become one, however few they are.
    pub merges: bool,
}

/// The manifests of one kind and partition spec after a commit.
struct Rewritten {
    spec_id: i32,
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
}

/// A file, and where in it what an entry is about begins, for vectors.
type Place = (Path, Option<i64>);

/// Where an entry is listed that was listed in `manifest`.
fn now_in(made: &[Rewritten], manifest: &Arc<str>) -> Arc<str> {
    made.iter().find(|m| m.replaced.contains(manifest)).map_or_else(|| Arc::clone(manifest), Rewritten::location)
}

/// Where new files of a partition spec are listed.
fn listed_in(made: &[Rewritten], spec_id: i32) -> Arc<str> {
    made.iter().find(|m| m.spec_id == spec_id).map_or_else(|| Arc::from(""), Rewritten::location)
}

impl Rewrite<'_> {
    /// Encodes the new manifests; gives the table's files after the commit, and what has to be written.
    ///
    /// From format version 3 on, manifests without row ids, which a table has that was upgraded, are written anew and get some.
    pub(super) async fn run(&self, former: &[ManifestFile], plan: Plan, new: Vec<EncodedDeletes>) -> Result<Made, Error> {
        let live: Vec<&ManifestFile> = former.iter().filter(|m| manifests::is_live(m)).collect();
        let of = |content| live.iter().copied().filter(|m| m.content == content).collect::<Vec<_>>();
        let ids: HashSet<i32> = self.metadata.current_schema().field_id_to_name_map().keys().copied().collect();
        let homes = plan.appended.iter().map(|(w, _)| NewHome::resolve(w.home.as_ref(), self.metadata, self.table));
        let homes: Vec<Home> = homes.collect::<Result<_, _>>()?;
        let added = plan.appended.iter().zip(&homes).map(|((w, _), home)| {
            let file = describe(self.store, w, &ids, self.sort_order, home)?;
            Ok::<_, Error>((home.spec_id, file))
        });
        let added = added.collect::<Result<Vec<_>, _>>()?;
        let leaving = plan.removed.iter().map(|f| Arc::clone(&f.manifest)).collect();
        let gone = plan.removed.iter().map(|f| (f.view.path.clone(), None)).collect();
        let mut data = self.of_kind(&of(ManifestContentType::Data), ManifestContentType::Data, added, leaving, gone).await?;

        let mut next_row_id = self.stamp.next_row_id;
        let mut first_ids = HashMap::new();
        if self.stamp.has_lineage() {
            for new in data.iter_mut().filter_map(|part| part.new.as_mut()) {
                next_row_id = new.number(next_row_id, &mut first_ids);
            }
        }
        let first_ids = first_ids.into_iter().map(|(location, id)| Ok((self.store.path(&location)?, id)));
        let first_ids: HashMap<Path, i64> = first_ids.collect::<Result<_, Error>>()?;

        let added = new.iter().flat_map(|d| &d.entries).map(|e| (e.spec_id, e.file.clone())).collect();
        let leaving = plan.removed_deletes.iter().map(|d| Arc::clone(&d.manifest)).collect();
        let gone = plan.removed_deletes.iter().map(|d| self.place(&d.entry)).collect::<Result<_, _>>()?;
        let hides = self.of_kind(&of(ManifestContentType::Deletes), ManifestContentType::Deletes, added, leaving, gone).await?;

        let appended = plan.appended.into_iter().zip(homes).collect();
        let records = self.data_records(plan.kept, appended, &data, &first_ids);
        let mut files = Files { manifests: Vec::new(), data: records, deletes: Vec::new() };
        files.deletes = self.delete_records(plan.kept_deletes, &new, &hides);
        let mut written: Vec<(Path, Bytes)> = new.into_iter().map(|e| (e.path, e.bytes)).collect();
        for part in data.into_iter().chain(hides) {
            if let Some(new) = part.new {
                files.manifests.push(new.file);
                written.push((new.path, new.bytes));
            }
            files.manifests.extend(part.kept);
        }
        Ok(Made { files, written, next_row_id })
    }

    /// Where a manifest entry leads: by place, since an outside engine may spell it in another way, and, for a vector, where in its file it is.
    fn place(&self, entry: &ManifestEntry) -> Result<Place, Error> {
        Ok((self.store.path(entry.file_path())?, entry.data_file.content_offset()))
    }

    /// Writes the new manifests of a kind, one for each partition spec at most: a manifest lists files of one spec.
    async fn of_kind(
        &self,
        live: &[&ManifestFile],
        content: ManifestContentType,
        added: Vec<(i32, DataFile)>,
        leaving: HashSet<Arc<str>>,
        gone: HashSet<Place>,
    ) -> Result<Vec<Rewritten>, Error> {
        let mut by_spec: BTreeMap<i32, (Vec<&ManifestFile>, Vec<DataFile>)> = BTreeMap::new();
        for manifest in live {
            by_spec.entry(manifest.partition_spec_id).or_default().0.push(manifest);
        }
        for (spec_id, file) in added {
            by_spec.entry(spec_id).or_default().1.push(file);
        }
        let mut all = Vec::with_capacity(by_spec.len());
        for (spec_id, (live, added)) in by_spec {
            all.push(self.of_spec(spec_id, live, content, added, &leaving, &gone).await?);
        }
        Ok(all)
    }

    /// Writes the one new manifest of a kind and spec: new files, and what is live in manifests that lose a file or are merged.
    async fn of_spec(
        &self,
        spec_id: i32,
        live: Vec<&ManifestFile>,
        content: ManifestContentType,
        added: Vec<DataFile>,
        leaving: &HashSet<Arc<str>>,
        gone: &HashSet<Place>,
    ) -> Result<Rewritten, Error> {
        let merge = live.len() >= MANIFESTS_MOST || (self.merges && live.len() > 1);
        let lacks_ids =
            |m: &ManifestFile| self.stamp.has_lineage() && m.content == ManifestContentType::Data && m.first_row_id.is_none();
        let is_replaced = |m: &&ManifestFile| {
            leaving.contains(m.manifest_path.as_str()) || (merge && m.manifest_length < MANIFEST_BYTES_FULL) || lacks_ids(m)
        };
        let (replaced, kept): (Vec<&ManifestFile>, Vec<&ManifestFile>) = live.into_iter().partition(is_replaced);
        let read = futures::future::try_join_all(replaced.iter().map(|m| manifests::read(self.store, m))).await?;
        let mut listing = Listing { added, ..Listing::default() };
        for entry in read.into_iter().flatten().filter(|e| e.status != ManifestStatus::Deleted) {
            let list = if gone.contains(&self.place(&entry)?) { &mut listing.removed } else { &mut listing.carried };
            list.push(entry);
        }
        let mut new = None;
        if !listing.is_empty() {
            let Some(spec) = self.metadata.partition_spec_by_id(spec_id) else {
                let message =
                    format!("files of {} are in the partition spec {spec_id}, which its metadata does not have", self.table);
                return Err(Error::new(Kind::Corrupt, message).with_table(self.table));
            };
            let schema = Arc::clone(partition::schema_of(self.metadata, spec));
            let path = Path::from(format!("{}/{}.avro", self.directory, uuid::Uuid::new_v4()));
            let spec = spec.as_ref().clone();
            new = Some(manifests::encode(self.store, path, content, schema, spec, self.stamp, listing).await?);
        }
        let replaced = replaced.into_iter().map(|m| Arc::from(m.manifest_path.as_str())).collect();
        Ok(Rewritten { spec_id, kept: kept.into_iter().cloned().collect(), replaced, new })
    }

    fn data_records(
        &self,
        kept: Vec<FileRecord>,
        appended: Vec<((Arc<WrittenFile>, FileRecord), Home)>,
        made: &[Rewritten],
        first_ids: &HashMap<Path, i64>,
    ) -> Vec<FileRecord> {
        let kept = kept.into_iter().map(|mut record| {
            record.manifest = now_in(made, &record.manifest);
            record.first_row_id = record.first_row_id.or_else(|| first_ids.get(&record.view.path).copied());
            record
        });
        let new = appended.into_iter().map(|((_, mut record), home)| {
            record.manifest = listed_in(made, home.spec_id);
            record.sequence = self.stamp.sequence;
            record.home = home.kept();
            record.first_row_id = first_ids.get(&record.view.path).copied();
            record
        });
        kept.chain(new).collect()
    }

    fn delete_records(&self, kept: Vec<DeleteRecord>, new: &[EncodedDeletes], made: &[Rewritten]) -> Vec<DeleteRecord> {
        let kept = kept.into_iter().map(|mut record| {
            record.manifest = now_in(made, &record.manifest);
            record
        });
        let new = new.iter().flat_map(|d| &d.entries).map(|e| DeleteRecord {
            entry: Arc::new(ManifestEntry {
                status: ManifestStatus::Added,
                snapshot_id: Some(self.stamp.snapshot_id),
                sequence_number: Some(self.stamp.sequence),
                file_sequence_number: Some(self.stamp.sequence),
                data_file: e.file.clone(),
            }),
            manifest: listed_in(made, e.spec_id),
            scope: e.scope.clone(),
        });
        kept.chain(new).collect()
    }
}

/// The manifest entry of a data file, with the metrics of the columns that this table has.
fn describe(
    store: &Store,
    written: &WrittenFile,
    ids: &HashSet<i32>,
    sort_order: Option<i32>,
    home: &Home,
) -> Result<DataFile, Error> {
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
        .partition_spec_id(home.spec_id)
        .partition(home.values.clone())
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
