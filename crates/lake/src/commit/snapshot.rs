//! One table's part of a commit: everything that has to be written before the catalog may point to it.

use super::{
    TableChange,
    garbage::Garbage,
    manifests::{self, Stamp},
    metadata::{self, NewMetadata, NewSnapshot},
    plan::{Plan, plan},
    rewrite::{Files, Made, Rewrite},
    summary,
};
use crate::{
    Error,
    error::Kind,
    partition::{Home, NewHome},
    store::{Store, names},
    table::{
        FileRecord, Parts, TableSpec, TableState,
        bounds::retype,
        deletes::{self, EncodedDeletes, Positions},
        vectors,
    },
};
use bytes::Bytes;
use iceberg::spec::{FormatVersion, TableMetadata, TableMetadataBuilder};
use model::LakeTable;
use object_store::path::Path;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// One table's part of a commit, ready to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    pub table: LakeTable,
    pub expected: Option<String>,
    pub writer: Option<String>,
    pub files: Vec<(Path, Bytes)>,
    /// Data files whose directory entries are to be made durable.
    pub data: Vec<Path>,
    pub state: TableState,
    pub garbage: Garbage,
}

/// Prepares `change` on the table as `former` has it. `None`: nothing changes.
pub(super) async fn prepare(
    store: &Store,
    former: Option<&Arc<TableState>>,
    change: TableChange,
    now_us: i64,
) -> Result<Option<Prepared>, Error> {
    let (files, deletes) = former.map_or((&[][..], &[][..]), |f| (&f.parts.files[..], &f.parts.deletes[..]));
    let vectors = change.upgrade || former.is_some_and(|f| f.has_lineage());
    let planned = plan(files, deletes, &change, vectors)?;
    let reshapes = former.is_none_or(|f| {
        let repartitions = change.partition_by.is_some() && change.partition_by != f.partition_by();
        let upgrades = change.upgrade && !f.has_lineage();
        change.spec.as_ref().is_some_and(|s| s != f.spec()) || repartitions || upgrades || properties_change(f, &change)
    });
    if let (Some(moved), Some(former)) = (&change.moved, former)
        && !moved.is_of(former.schema())
    {
        let message = format!("the columns of {} changed while its files were rewritten", change.table);
        return Err(Error::new(Kind::Conflict, message).with_table(&change.table));
    }
    if planned.is_empty() && !reshapes && change.expire.is_empty() && !change.merge_manifests {
        return Ok(None);
    }
    let table = change.table.clone();
    let work = Work::new(store, former, change, now_us);
    work.run(planned).await.map(Some).map_err(|e| e.with_table(&table))
}

fn properties_change(former: &TableState, change: &TableChange) -> bool {
    change.properties.iter().any(|(name, value)| former.property(name) != value.as_deref())
}

struct Work<'a> {
    store: &'a Store,
    former: Option<&'a Parts>,
    former_schema: Option<arrow::datatypes::SchemaRef>,
    change: TableChange,
    stamp: Stamp,
    at_ms: i64,
    /// Where metadata files go.
    directory: String,
}

impl<'a> Work<'a> {
    fn new(store: &'a Store, former: Option<&'a Arc<TableState>>, change: TableChange, now_us: i64) -> Self {
        let former_schema = former.map(|f| Arc::clone(f.schema()));
        let former = former.map(|f| &f.parts);
        let metadata = former.map(|f| f.metadata.as_ref());
        let stamp = Stamp {
            snapshot_id: new_snapshot_id(),
            parent: metadata.and_then(TableMetadata::current_snapshot_id),
            sequence: metadata.map_or(1, TableMetadata::next_sequence_number),
            version: match metadata.map_or(FormatVersion::V2, TableMetadata::format_version) {
                _ if change.upgrade => FormatVersion::V3,
                version => version,
            },
            next_row_id: metadata.map_or(0, TableMetadata::next_row_id),
        };
        let at_ms = (now_us / 1000).max(metadata.map_or(0, TableMetadata::last_updated_ms));
        let directory = format!("{}/{}/metadata", change.table.layer, change.table.name);
        Self { store, former, former_schema, change, stamp, at_ms, directory }
    }

    async fn run(self, planned: Plan) -> Result<Prepared, Error> {
        let location = self.store.location(&Path::from(format!("{}/{}", self.change.table.layer, self.change.table.name)));
        let former = self.former.map(|f| (f.metadata.as_ref(), f.metadata_location.as_str()));
        let builder = metadata::reshape(former, &self.change, &location)?;
        let data = planned.appended.iter().map(|(w, _)| w.path.clone()).collect();
        if planned.is_empty() && !self.change.merge_manifests {
            let new = metadata::finish(builder, former.map(|f| f.0), None, &self.change.expire, self.at_ms, &self.change.table)?;
            let files = self.former.map(Files::of).unwrap_or_default();
            return self.end(new, files, Vec::new(), data);
        }
        let (new, files, written) = self.snapshot(builder, planned).await?;
        self.end(new, files, written, data)
    }

    /// Encodes delete files, manifests and the manifest list, and adds the snapshot that names them.
    async fn snapshot(
        &self,
        builder: TableMetadataBuilder,
        mut planned: Plan,
    ) -> Result<(NewMetadata, Files, Vec<(Path, Bytes)>), Error> {
        let former = self.former.map(|f| f.metadata.as_ref());
        let shaped = metadata::preview(&builder, &self.change.table)?;
        let homes = partitions(&planned, &shaped, &self.change.table)?;
        let new_deletes = self.encode_deletes(std::mem::take(&mut planned.new_deletes), homes).await?;
        planned.moves |= planned.is_empty();
        let operation = summary::operation(&planned, &new_deletes);
        let mut counts = summary::Counts::of(&planned, &new_deletes);
        let rewrite = Rewrite {
            store: self.store,
            directory: &self.directory,
            table: &self.change.table,
            metadata: &shaped,
            sort_order: i32::try_from(shaped.default_sort_order_id()).ok(),
            stamp: self.stamp,
            merges: self.change.merge_manifests,
        };
        let made = rewrite.run(self.former.map_or(&[], |f| &f.manifests), planned, new_deletes).await?;
        let Made { mut files, mut written, next_row_id } = made;
        let new = files.data.iter_mut().filter(|f| f.sequence == self.stamp.sequence);
        crate::table::load::note_partitions(&shaped, &metadata::spec_of(&shaped)?.schema, new);
        counts.total(&files);

        let list = Path::from(format!("{}/snap-{}-{}.avro", self.directory, self.stamp.snapshot_id, uuid::Uuid::new_v4()));
        let (list, bytes) = manifests::encode_list(self.store, &list, self.stamp, &files.manifests).await?;
        written.push((list.clone(), bytes));
        let snapshot = NewSnapshot {
            stamp: self.stamp,
            at_ms: self.at_ms,
            list_location: self.store.location(&list),
            operation,
            summary: counts.summary(&self.change.summary),
            new_rows: next_row_id - self.stamp.next_row_id,
            schema_id: shaped.current_schema_id(),
        };
        let new = metadata::finish(builder, former, Some(snapshot), &self.change.expire, self.at_ms, &self.change.table)?;
        Ok((new, files, written))
    }

    async fn encode_deletes(&self, new: Vec<Positions>, homes: HashMap<Path, Home>) -> Result<Vec<EncodedDeletes>, Error> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let (store, table) = (self.store.clone(), self.change.table.clone());
        let former = self.former.map_or(&[][..], |f| &f.files);
        let spellings: deletes::Spellings =
            former.iter().filter_map(|f| Some((f.view.path.clone(), Arc::clone(f.spelling.as_ref()?)))).collect();
        if self.stamp.has_lineage() {
            // DuckDB 1.5 replaces a vector by taking all of its file away, and with it those of other data files: in tables that outside engines write, each
            // vector has a file of its own.
            let new: Vec<Positions> = match table.layer.is_kept() {
                true => new,
                false => new.into_iter().flatten().map(|one| Positions::from([one])).collect(),
            };
            let mut all = Vec::with_capacity(new.len());
            for positions in &new {
                let path = Path::from(format!("{}/{}/data/{}-vectors.puffin", table.layer, table.name, uuid::Uuid::now_v7()));
                all.push(vectors::encode(&store, path, positions, &spellings, &homes).await?);
            }
            return Ok(all);
        }
        runtime::blocking("encoding delete files", move || {
            let path = || Path::from(format!("{}/{}/data/{}-deletes.parquet", table.layer, table.name, uuid::Uuid::now_v7()));
            let home = |positions: &Positions| positions.keys().next().and_then(|file| homes.get(file));
            new.iter().map(|positions| deletes::encode(&store, path(), positions, &spellings, home(positions))).collect()
        })
        .await?
    }

    fn end(self, new: NewMetadata, made: Files, mut files: Vec<(Path, Bytes)>, data: Vec<Path>) -> Result<Prepared, Error> {
        let table = self.change.table;
        let version = self.former.map_or(0, |f| metadata_version(&f.metadata_location) + 1);
        let path = Path::from(format!("{}/{version:05}-{}.metadata.json", self.directory, uuid::Uuid::new_v4()));
        let json = serde_json::to_vec(&new.metadata).map_err(|e| Error::bug(format!("writing the metadata of {table}"), e))?;
        let path = names::with_digest(&path, &json);
        files.push((path.clone(), json.into()));
        let spec = metadata::spec_of(&new.metadata)?;
        let garbage = Garbage {
            metadata: new.dropped_metadata,
            kept_lists: lists(&new.metadata),
            shares_files: new.metadata.properties().get(super::GC_ENABLED).is_some_and(|v| v == "false"),
            lists: new.expired_lists,
            homes: if table.layer.is_kept() { Vec::new() } else { homes(self.store, &table, new.metadata.location()) },
        };
        let parts = Parts {
            table: table.clone(),
            warehouse: self.store.root().into(),
            writer: self.change.writer.clone().or_else(|| self.former.and_then(|f| f.writer.clone())),
            metadata: Arc::new(new.metadata),
            metadata_location: self.store.location(&path),
            manifests: made.manifests,
            files: restate(made.data, self.former_schema.as_deref(), &spec),
            deletes: made.deletes,
        };
        let expected = self.former.map(|f| f.metadata_location.clone());
        Ok(Prepared { table, expected, writer: self.change.writer, files, data, state: TableState::new(parts, spec), garbage })
    }
}

/// The partitions of the files whose rows are deleted; those of unpartitioned tables are left out.
fn partitions(planned: &Plan, shaped: &TableMetadata, table: &LakeTable) -> Result<HashMap<Path, Home>, Error> {
    let touched: HashSet<&Path> = planned.new_deletes.iter().flat_map(|positions| positions.keys()).collect();
    let mut homes = HashMap::new();
    for record in planned.kept.iter().filter(|r| touched.contains(&r.view.path)) {
        homes.extend(record.home.as_deref().map(|home| (record.view.path.clone(), home.clone())));
    }
    for (written, _) in planned.appended.iter().filter(|(w, _)| touched.contains(&w.path)) {
        homes.insert(written.path.clone(), NewHome::resolve(written.home.as_ref(), shaped, table)?);
    }
    Ok(homes)
}

/// Where a users' table has its files: where its metadata says, and, once it was renamed, under its name.
fn homes(store: &Store, table: &LakeTable, location: &str) -> Vec<Path> {
    let named = Path::from(format!("{}/{}", table.layer, table.name));
    store.path(location).into_iter().chain([named]).collect()
}

/// The manifest lists of all snapshots.
pub(super) fn lists(metadata: &TableMetadata) -> Vec<String> {
    metadata.snapshots().map(|s| s.manifest_list().to_owned()).collect()
}

/// Where columns changed, the statistics of former files follow them.
fn restate(mut files: Vec<FileRecord>, former: Option<&arrow::datatypes::Schema>, spec: &TableSpec) -> Vec<FileRecord> {
    let changed = former.is_none_or(|f| f != spec.schema.as_ref());
    if changed {
        for file in &mut files {
            file.view.stats = Arc::new(retype(&file.view.stats, &spec.schema));
        }
    }
    files
}

/// A snapshot id as Iceberg makes them: positive and random.
fn new_snapshot_id() -> i64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    ((high ^ low) >> 1).cast_signed()
}

/// The version in the name of a metadata file (`00012-….metadata.json`).
pub(crate) fn metadata_version(location: &str) -> u64 {
    let name = location.rsplit('/').next().unwrap_or_default();
    name.split('-').next().and_then(|v| v.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_files_count_up() {
        assert_eq!(metadata_version("file:///lake/silver/t/metadata/00041-0190.metadata.json"), 41);
        assert_eq!(metadata_version("file:///lake/odd.json"), 0);
    }

    #[test]
    fn snapshot_ids_are_positive() {
        assert!((0..1000).all(|_| new_snapshot_id() >= 0));
    }
}
