use super::TableSpec;
use crate::partition::{self, Home, PartitionField};
use crate::view::{TableView, ViewFile};
use arrow::datatypes::SchemaRef;
use iceberg::spec::{FormatVersion, ManifestEntry, ManifestFile, TableMetadata, Transform};
use model::LakeTable;
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A table as the catalog's pointer says it is: immutable, shared, and replaced as a whole by the next commit.
#[derive(Debug)]
pub struct TableState {
    pub(crate) parts: Parts,
    spec: TableSpec,
    view: Arc<TableView>,
    by_path: HashMap<Path, usize>,
}

/// What a [`TableState`] is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub table: LakeTable,
    pub writer: Option<String>,
    /// How the warehouse is spelt in metadata.
    pub warehouse: Arc<str>,
    pub metadata: Arc<TableMetadata>,
    pub metadata_location: String,
    /// Manifests of the current snapshot, in the order of its manifest list.
    pub manifests: Vec<ManifestFile>,
    pub files: Vec<FileRecord>,
    pub deletes: Vec<DeleteRecord>,
}

/// A live data file.
#[derive(Debug, Clone)]
pub(crate) struct FileRecord {
    pub view: ViewFile,
    /// Data sequence number.
    pub sequence: i64,
    /// The manifest that lists it.
    pub manifest: Arc<str>,
    /// Of its deleted positions, those that delete files with many scopes hold.
    pub in_wide: Option<Arc<RoaringBitmap>>,
    /// How the metadata spells its place, where an outside engine did so in another way than lakebox: deletes must name it in the same words.
    pub spelling: Option<Arc<str>>,
    /// Its partition; none in tables that never had any.
    pub home: Option<Arc<Home>>,
    /// The id of its first row, from which the others count up; none before format version 3.
    pub first_row_id: Option<i64>,
}

/// A live delete file.
#[derive(Debug, Clone)]
pub(crate) struct DeleteRecord {
    pub entry: Arc<ManifestEntry>,
    /// The manifest that lists it.
    pub manifest: Arc<str>,
    /// Its data file, where it has only one; absent for a wide one.
    pub scope: Option<Path>,
}

/// A snapshot that the metadata still names.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotInfo {
    /// Its id.
    pub id: i64,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// `append`, `overwrite`, `replace` or `delete`.
    pub operation: String,
    /// The summary, by Iceberg's and lakebox's keys.
    pub summary: HashMap<String, String>,
    /// Whether the table points at it.
    pub current: bool,
}

/// A table as API and system tables show it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    /// Its name.
    pub table: LakeTable,
    /// The pipeline or model that writes it.
    pub writer: Option<String>,
    /// Where its files are.
    pub location: String,
    /// Its current metadata file.
    pub metadata_location: String,
    /// Iceberg format version.
    pub format_version: u8,
    /// Snapshots, newest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// Live files.
    pub files: Vec<FileInfo>,
    /// How new files are partitioned, as it is written: `day(created_at), bucket(16, id)`. Empty where they are not.
    pub partition_by: String,
    /// Table properties by name.
    pub properties: Vec<(String, String)>,
    /// Up to which source position the committed table is true, as people read it.
    pub cursor: Option<String>,
    /// When the metadata last changed, in microseconds since 1970.
    pub updated_us: i64,
}

/// A live file as API and system tables show it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileInfo {
    /// Full path, as metadata spells it.
    pub location: String,
    /// Whether it holds position deletes rather than rows.
    pub is_deletes: bool,
    /// Whether it is a deletion vector, of which a file holds several.
    pub is_vector: bool,
    /// Rows or positions in it.
    pub rows: u64,
    /// Of the rows, those that are deleted.
    pub deleted_rows: u64,
    /// Size; of a vector, without the others in its file.
    pub bytes: u64,
    /// Data sequence number.
    pub sequence: i64,
    /// The partition spec that it was written under.
    pub spec_id: i32,
    /// Its partition: each field of the spec with its value as JSON. None where the spec has no fields.
    pub partition: Option<String>,
}

impl TableState {
    pub(crate) fn new(parts: Parts, spec: TableSpec) -> Self {
        let current = parts.metadata.current_snapshot_id();
        Self::of_snapshot(parts, spec, current)
    }

    /// As [`Self::new`], for files that are those of another snapshot than the current one.
    pub(crate) fn of_snapshot(mut parts: Parts, spec: TableSpec, snapshot_id: Option<i64>) -> Self {
        // One order, whether files were committed by this process or found on disk.
        parts.files.sort_by(|a, b| (a.sequence, &a.view.path).cmp(&(b.sequence, &b.view.path)));
        parts.deletes.sort_by(|a, b| {
            (a.entry.sequence_number(), a.entry.file_path()).cmp(&(b.entry.sequence_number(), b.entry.file_path()))
        });
        let files: Arc<[ViewFile]> = parts.files.iter().map(|f| f.view.clone()).collect();
        let by_path = files.iter().enumerate().map(|(i, f)| (f.path.clone(), i)).collect();
        let view = Arc::new(TableView {
            table: parts.table.clone(),
            schema: Arc::clone(&spec.schema),
            key: spec.key.clone(),
            sort_order: spec.sort_order.clone(),
            snapshot_id,
            files,
            hot: Arc::default(),
            lookup: None,
        });
        Self { parts, spec, view, by_path }
    }

    /// Its name.
    pub fn table(&self) -> &LakeTable {
        &self.parts.table
    }

    /// Its shape. Required columns, key and sort order are those of the metadata.
    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// Its columns with field ids.
    pub fn schema(&self) -> &SchemaRef {
        &self.spec.schema
    }

    /// The Iceberg format version.
    pub fn format_version(&self) -> u8 {
        self.parts.metadata.format_version() as u8
    }

    /// Whether rows have ids that outlast rewrites, and deletes are vectors: from format version 3 on.
    pub(crate) fn has_lineage(&self) -> bool {
        self.parts.metadata.format_version() >= FormatVersion::V3
    }

    /// The highest field id that the table has ever used.
    pub fn last_field_id(&self) -> i32 {
        self.parts.metadata.last_column_id()
    }

    /// The committed table as queries see it, without a hot tail.
    pub fn view(&self) -> &Arc<TableView> {
        &self.view
    }

    /// Live data files with their committed deletes.
    pub fn files(&self) -> &Arc<[ViewFile]> {
        &self.view.files
    }

    /// A live data file by its path.
    pub fn file(&self, path: &Path) -> Option<&ViewFile> {
        self.by_path.get(path).map(|i| &self.view.files[*i])
    }

    /// The current metadata file, which any Iceberg engine can read.
    pub fn metadata_location(&self) -> &str {
        &self.parts.metadata_location
    }

    /// Manifests that list live files.
    pub(crate) fn live_manifests(&self) -> usize {
        self.parts.manifests.iter().filter(|m| crate::commit::manifests::is_live(m)).count()
    }

    /// Whether lakebox may lay the table's files out anew.
    pub(crate) fn is_ours(&self) -> bool {
        self.foreign().is_none()
    }

    /// Whether outside engines write it: then upkeep waits for them to pause.
    pub fn is_written_outside(&self) -> bool {
        !self.parts.table.layer.is_kept() && self.writer() != Some(crate::SQL_WRITER)
    }

    /// When its metadata last changed, in microseconds since 1970.
    pub fn updated_us(&self) -> i64 {
        self.parts.metadata.last_updated_ms() * 1000
    }

    /// Why lakebox can't write files of the table itself, where it can't: it writes format versions 2 and 3, in partitions by transforms that it knows of types that
    /// it can tell them by.
    pub fn foreign(&self) -> Option<String> {
        let metadata = &self.parts.metadata;
        if metadata.format_version() == FormatVersion::V1 {
            return Some("it has Iceberg format version 1".to_owned());
        }
        let homes = self.parts.files.iter().filter_map(|f| f.home.as_deref());
        partition::unwritable(metadata, self.schema()).or_else(|| partition::widened(metadata, homes))
    }

    /// How the table is partitioned; empty where it is not. None where this version does not know one of its transforms.
    pub fn partition_by(&self) -> Option<Vec<PartitionField>> {
        partition::of_metadata(&self.parts.metadata)
    }

    /// By what of the column of this field id the table, or one of its files, is partitioned.
    pub(crate) fn transforms_of(&self, column: Option<i32>) -> Vec<Transform> {
        let metadata = &self.parts.metadata;
        let homes = self.parts.files.iter().filter_map(|f| f.home.as_ref().map(|home| home.spec_id));
        let specs: HashSet<i32> = homes.chain([metadata.default_partition_spec_id()]).collect();
        let fields = specs.into_iter().filter_map(|id| metadata.partition_spec_by_id(id)).flat_map(|s| s.fields());
        fields.filter(|f| Some(f.source_id) == column).map(|f| f.transform).collect()
    }

    /// How files of a partition spec are partitioned, as it is written: `day(created_at), bucket(16, id)`. Empty where they are not.
    pub fn partitioned_by(&self, spec_id: i32) -> String {
        let metadata = &self.parts.metadata;
        let Some(spec) = metadata.partition_spec_by_id(spec_id) else { return String::new() };
        let schema = partition::schema_of(metadata, spec);
        let field = |f: &iceberg::spec::PartitionField| {
            let column = schema.name_by_field_id(f.source_id).unwrap_or("?").to_owned();
            match partition::PartitionTransform::of_iceberg(f.transform) {
                Some(transform) => PartitionField { column, transform }.to_string(),
                None => format!("{}({column})", f.transform),
            }
        };
        spec.fields().iter().map(field).collect::<Vec<_>>().join(", ")
    }

    /// The partition spec of new files.
    pub fn spec_id(&self) -> i32 {
        self.parts.metadata.default_partition_spec_id()
    }

    /// The files of each partition, as positions in [`Self::files`]. All are of one partition where there are none.
    pub(crate) fn partitions(&self) -> Vec<Vec<usize>> {
        if self.parts.files.iter().all(|f| f.home.is_none()) {
            return vec![(0..self.parts.files.len()).collect()];
        }
        let mut places: HashMap<Option<&Home>, usize> = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (i, file) in self.parts.files.iter().enumerate() {
            let place = *places.entry(file.home.as_deref()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(i);
        }
        groups
    }

    /// The partition of a file, by its position in [`Self::files`].
    pub(crate) fn home(&self, file: usize) -> Option<&Arc<Home>> {
        self.parts.files.get(file)?.home.as_ref()
    }

    /// A table property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.parts.metadata.properties().get(name).map(String::as_str)
    }

    /// The pipeline or model that writes the table.
    pub fn writer(&self) -> Option<&str> {
        self.parts.writer.as_deref()
    }

    /// An entry of the current snapshot's summary.
    pub fn summary(&self, name: &str) -> Option<&str> {
        let snapshot = self.parts.metadata.current_snapshot()?;
        snapshot.summary().additional_properties.get(name).map(String::as_str)
    }

    /// Its snapshots, newest first.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let metadata = &self.parts.metadata;
        let current = metadata.current_snapshot_id();
        let mut snapshots: Vec<SnapshotInfo> = metadata
            .snapshots()
            .map(|s| SnapshotInfo {
                id: s.snapshot_id(),
                at_us: s.timestamp_ms() * 1000,
                operation: s.summary().operation.as_str().to_owned(),
                summary: s.summary().additional_properties.clone(),
                current: Some(s.snapshot_id()) == current,
            })
            .collect();
        snapshots.sort_by_key(|s| (std::cmp::Reverse(s.at_us), !s.current));
        snapshots
    }

    /// What API and system tables show. It copies all of it, so it is no way to list many tables.
    pub fn info(&self) -> TableInfo {
        let metadata = &self.parts.metadata;
        let mut properties: Vec<_> = metadata.properties().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        properties.sort();
        TableInfo {
            table: self.parts.table.clone(),
            writer: self.parts.writer.clone(),
            location: metadata.location().to_owned(),
            metadata_location: self.parts.metadata_location.clone(),
            format_version: self.format_version(),
            snapshots: self.snapshots(),
            files: self.file_infos(),
            partition_by: self.partitioned_by(self.spec_id()),
            properties,
            cursor: self.summary(crate::commit::SUMMARY_POSITION).map(str::to_owned),
            updated_us: self.updated_us(),
        }
    }

    /// The same table under another name.
    pub(crate) fn renamed(&self, table: LakeTable) -> Self {
        Self::new(Parts { table, ..self.parts.clone() }, self.spec.clone())
    }

    /// Its live files, data and deletes.
    pub fn file_infos(&self) -> Vec<FileInfo> {
        let warehouse = &self.parts.warehouse;
        let data = self.parts.files.iter().map(|f| FileInfo {
            location: format!("{warehouse}/{}", f.view.path),
            is_deletes: false,
            is_vector: false,
            rows: f.view.rows,
            deleted_rows: f.view.deleted.as_ref().map_or(0, |d| d.len()),
            bytes: f.view.bytes,
            sequence: f.sequence,
            spec_id: f.home.as_ref().map_or(0, |h| h.spec_id),
            partition: f.home.as_ref().and_then(|h| partition::shown(&self.parts.metadata, h.spec_id, &h.values)),
        });
        let specs: HashMap<&str, i32> =
            self.parts.manifests.iter().map(|m| (m.manifest_path.as_str(), m.partition_spec_id)).collect();
        let spec_of = |d: &DeleteRecord| specs.get(d.manifest.as_ref()).copied().unwrap_or(0);
        let deletes = self.parts.deletes.iter().map(|d| FileInfo {
            location: d.entry.file_path().to_owned(),
            is_deletes: true,
            is_vector: d.entry.data_file.content_offset().is_some(),
            rows: d.entry.record_count(),
            deleted_rows: 0,
            bytes: d.entry.data_file.content_size_in_bytes().map_or(d.entry.file_size_in_bytes(), i64::unsigned_abs),
            sequence: d.entry.sequence_number().unwrap_or(0),
            spec_id: spec_of(d),
            partition: partition::shown(&self.parts.metadata, spec_of(d), d.entry.data_file.partition()),
        });
        data.chain(deletes).collect()
    }
}
