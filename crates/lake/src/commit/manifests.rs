//! Manifests and manifest lists, to bytes and back. The `iceberg` crate encodes them into memory; our store makes them last.

use crate::{
    Error,
    store::{Store, names},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashSet;
use iceberg::{
    io::FileIO,
    spec::{
        DataFile, DataFileBuilder, FormatVersion, Manifest, ManifestContentType, ManifestEntry, ManifestFile, ManifestList,
        ManifestListWriter, ManifestStatus, ManifestWriterBuilder, PartitionSpec, SchemaRef, UNASSIGNED_SEQUENCE_NUMBER,
    },
};
use object_store::path::Path;
use std::{collections::HashMap, sync::Arc};

/// Manifest lists that are read at once.
const LISTS_AT_ONCE: usize = 16;

/// The snapshot that new metadata belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub snapshot_id: i64,
    pub parent: Option<i64>,
    pub sequence: i64,
    /// The format version that the table has from this snapshot on.
    pub version: FormatVersion,
    /// The table's next row id; it means something from format version 3 on.
    pub next_row_id: u64,
}

impl Stamp {
    /// Whether rows have ids, and deletes are vectors.
    pub(crate) fn has_lineage(&self) -> bool {
        self.version >= FormatVersion::V3
    }
}

/// What a new manifest lists.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub added: Vec<DataFile>,
    /// Live entries of manifests that this one replaces.
    pub carried: Vec<Arc<ManifestEntry>>,
    /// Entries that this snapshot removes.
    pub removed: Vec<Arc<ManifestEntry>>,
}

impl Listing {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.carried.is_empty() && self.removed.is_empty()
    }
}

/// A manifest, encoded.
#[derive(Debug)]
pub(crate) struct EncodedManifest {
    pub path: Path,
    pub bytes: Bytes,
    pub file: ManifestFile,
    /// Data files in it whose rows have no ids of their own, with their rows: they get theirs from the manifest's, in this order.
    pub unnumbered: Vec<(String, u64)>,
}

impl EncodedManifest {
    /// Gives rows without ids those from `next` on, and tells which is the first of each file. Returns the next id that is free.
    ///
    /// After "First Row ID Assignment" of the specification: a manifest takes as many ids as it has rows, also where some have ids already.
    pub(crate) fn number(&mut self, next: u64, first_ids: &mut HashMap<String, i64>) -> u64 {
        self.file.first_row_id = Some(next);
        let mut first = next;
        for (location, rows) in self.unnumbered.drain(..) {
            first_ids.insert(location, first.cast_signed());
            first = first.saturating_add(rows);
        }
        let rows = self.file.added_rows_count.unwrap_or(0).saturating_add(self.file.existing_rows_count.unwrap_or(0));
        next.saturating_add(rows)
    }
}

/// Encodes one manifest at `path`, whose name gets the digest of what is inside: files of one partition spec; `schema` has the columns that the spec is about.
pub(crate) async fn encode(
    store: &Store,
    path: Path,
    content: ManifestContentType,
    schema: SchemaRef,
    spec: PartitionSpec,
    stamp: Stamp,
    listing: Listing,
) -> Result<EncodedManifest, Error> {
    let location = store.location(&path);
    let failed = |e: iceberg::Error| Error::bug(format!("encoding the manifest {location}"), e);
    let memory = FileIO::new_with_memory();
    let output = memory.new_output(&location).map_err(failed)?;
    let builder = ManifestWriterBuilder::new(output, Some(stamp.snapshot_id), schema, spec);
    let mut writer = match (content, stamp.has_lineage()) {
        (ManifestContentType::Data, false) => builder.build_v2_data(),
        (ManifestContentType::Deletes, false) => builder.build_v2_deletes(),
        (ManifestContentType::Data, true) => builder.build_v3_data(),
        (ManifestContentType::Deletes, true) => builder.build_v3_deletes(),
    };
    let listed = listing.added.iter().chain(listing.carried.iter().map(|e| &e.data_file));
    let unnumbered =
        listed.filter(|f| f.first_row_id().is_none()).map(|f| (f.file_path().to_owned(), f.record_count())).collect();
    for file in listing.added {
        writer.add_file(file, -1).map_err(failed)?;
    }
    for entry in listing.carried {
        let (sequence, file_sequence) =
            (entry.sequence_number.unwrap_or(0), entry.file_sequence_number.or(entry.sequence_number));
        writer
            .add_existing_file(entry.data_file.clone(), entry.snapshot_id.unwrap_or(0), sequence, file_sequence)
            .map_err(failed)?;
    }
    for entry in listing.removed {
        let (sequence, file_sequence) =
            (entry.sequence_number.unwrap_or(0), entry.file_sequence_number.or(entry.sequence_number));
        writer.add_delete_file(entry.data_file.clone(), sequence, file_sequence).map_err(failed)?;
    }
    let mut file = writer.write_manifest_file().await.map_err(failed)?;
    file.sequence_number = stamp.sequence;
    if file.min_sequence_number == UNASSIGNED_SEQUENCE_NUMBER {
        file.min_sequence_number = stamp.sequence;
    }
    let bytes = memory.new_input(&location).map_err(failed)?.read().await.map_err(failed)?;
    let path = names::with_digest(&path, &bytes);
    file.manifest_path = store.location(&path);
    Ok(EncodedManifest { path, bytes, file, unnumbered })
}

/// Encodes the manifest list at `path`, whose name gets the digest of what is inside.
pub(crate) async fn encode_list(
    store: &Store,
    path: &Path,
    stamp: Stamp,
    manifests: &[ManifestFile],
) -> Result<(Path, Bytes), Error> {
    let location = store.location(path);
    let failed = |e: iceberg::Error| Error::bug(format!("encoding the manifest list {location}"), e);
    let memory = FileIO::new_with_memory();
    let output = memory.new_output(&location).map_err(failed)?.writer().await.map_err(failed)?;
    let mut writer = if stamp.has_lineage() {
        ManifestListWriter::v3(output, stamp.snapshot_id, stamp.parent, stamp.sequence, Some(stamp.next_row_id))
    } else {
        ManifestListWriter::v2(output, stamp.snapshot_id, stamp.parent, stamp.sequence)
    };
    writer.add_manifests(manifests.iter().cloned()).map_err(failed)?;
    writer.close().await.map_err(failed)?;
    let bytes = memory.new_input(&location).map_err(failed)?.read().await.map_err(failed)?;
    Ok((names::with_digest(path, &bytes), bytes))
}

/// Reads a manifest list.
pub(crate) async fn read_list(store: &Store, location: &str) -> Result<Vec<ManifestFile>, Error> {
    let bytes = store.get(&store.path(location)?).await?;
    // A list of version 2 is one of version 3 that lacks the row ids; a table of version 3 may have been one of version 2.
    let list = ManifestList::parse_with_version(&bytes, FormatVersion::V3);
    let list = list.map_err(|e| Error::corrupt(format!("the manifest list {location}"), e))?;
    Ok(list.consume_entries().into_iter().collect())
}

/// Every manifest of several lists, once.
pub(crate) async fn read_lists(store: &Store, locations: &[String]) -> Result<Vec<ManifestFile>, Error> {
    let one = |location: String| async move { read_list(store, &location).await };
    let reads = futures::stream::iter(locations.to_vec()).map(one).buffer_unordered(LISTS_AT_ONCE);
    let read: Vec<Vec<ManifestFile>> = reads.try_collect().await?;
    let mut seen = HashSet::new();
    let mut all: Vec<ManifestFile> = read.into_iter().flatten().collect();
    all.retain(|m| seen.insert(m.manifest_path.clone()));
    Ok(all)
}

/// Reads a manifest; its entries carry the sequence numbers, snapshot and row ids that they inherit from the list.
pub(crate) async fn read(store: &Store, file: &ManifestFile) -> Result<Vec<Arc<ManifestEntry>>, Error> {
    let bytes = store.get(&store.path(&file.manifest_path)?).await?;
    let manifest = Manifest::parse_avro(&bytes).map_err(|e| Error::corrupt(format!("the manifest {}", file.manifest_path), e))?;
    let (entries, _) = manifest.into_parts();
    let mut next_row_id = file.first_row_id.filter(|_| file.content == ManifestContentType::Data);
    let entries = entries.into_iter().map(|entry| {
        let entry = inherit(entry, file);
        // By "First Row ID Inheritance" of the specification: rows without ids get the manifest's, file after file.
        let unnumbered = entry.status != ManifestStatus::Deleted && entry.data_file.first_row_id().is_none();
        let Some(first) = next_row_id.filter(|_| unnumbered) else { return Ok(entry) };
        next_row_id = Some(first.saturating_add(entry.record_count()));
        numbered(&entry, file.partition_spec_id, first.cast_signed()).map(Arc::new)
    });
    entries.collect()
}

/// The same entry with the id of its first row. The crate lets no field of a data file be set but while one is built.
fn numbered(entry: &ManifestEntry, spec_id: i32, first_row_id: i64) -> Result<ManifestEntry, Error> {
    let file = &entry.data_file;
    let mut builder = DataFileBuilder::default();
    builder
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(spec_id)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(Some(first_row_id));
    if let Some(order) = file.sort_order_id() {
        builder.sort_order_id(order);
    }
    let data_file = builder.build().map_err(|e| Error::bug("giving rows their ids", e))?;
    Ok(ManifestEntry { data_file, ..entry.clone() })
}

fn inherit(entry: Arc<ManifestEntry>, file: &ManifestFile) -> Arc<ManifestEntry> {
    let mut entry = Arc::unwrap_or_clone(entry);
    entry.snapshot_id = entry.snapshot_id.or(Some(file.added_snapshot_id));
    if entry.status == ManifestStatus::Added {
        entry.sequence_number = entry.sequence_number.or(Some(file.sequence_number));
        entry.file_sequence_number = entry.file_sequence_number.or(Some(file.sequence_number));
    }
    Arc::new(entry)
}

/// Whether a manifest still lists a live file.
pub(crate) fn is_live(file: &ManifestFile) -> bool {
    file.has_added_files() || file.has_existing_files()
}
