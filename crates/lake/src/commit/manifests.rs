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
        DataFile, Manifest, ManifestContentType, ManifestEntry, ManifestFile, ManifestList, ManifestListWriter, ManifestStatus,
        ManifestWriterBuilder, PartitionSpec, SchemaRef, UNASSIGNED_SEQUENCE_NUMBER,
    },
};
use object_store::path::Path;
use std::sync::Arc;

/// Manifest lists that are read at once.
const LISTS_AT_ONCE: usize = 16;

/// The snapshot that new metadata belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub snapshot_id: i64,
    pub parent: Option<i64>,
    pub sequence: i64,
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
    let mut writer = match content {
        ManifestContentType::Data => builder.build_v2_data(),
        ManifestContentType::Deletes => builder.build_v2_deletes(),
    };
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
    Ok(EncodedManifest { path, bytes, file })
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
    let mut writer = ManifestListWriter::v2(output, stamp.snapshot_id, stamp.parent, stamp.sequence);
    writer.add_manifests(manifests.iter().cloned()).map_err(failed)?;
    writer.close().await.map_err(failed)?;
    let bytes = memory.new_input(&location).map_err(failed)?.read().await.map_err(failed)?;
    Ok((names::with_digest(path, &bytes), bytes))
}

/// Reads a manifest list.
pub(crate) async fn read_list(store: &Store, location: &str) -> Result<Vec<ManifestFile>, Error> {
    let bytes = store.get(&store.path(location)?).await?;
    let list = ManifestList::parse_with_version(&bytes, iceberg::spec::FormatVersion::V2);
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

/// Reads a manifest; its entries carry the sequence numbers and snapshot that they inherit from the list.
pub(crate) async fn read(store: &Store, file: &ManifestFile) -> Result<Vec<Arc<ManifestEntry>>, Error> {
    let bytes = store.get(&store.path(&file.manifest_path)?).await?;
    let manifest = Manifest::parse_avro(&bytes).map_err(|e| Error::corrupt(format!("the manifest {}", file.manifest_path), e))?;
    let (entries, _) = manifest.into_parts();
    Ok(entries.into_iter().map(|entry| inherit(entry, file)).collect())
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
