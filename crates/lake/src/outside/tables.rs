use super::{
    Outside, apply, guard,
    purge::purge,
    readable,
    request::{CommitTable, CreateTable},
};
use crate::{
    Error, Kind, TableState,
    commit::{GC_ENABLED, metadata, metadata::REFUSED_PROPERTIES, snapshot::metadata_version},
    store::names,
    table::{
        Parts,
        load::{self, Pointer},
    },
};
use bytes::Bytes;
use catalog::PointerSwap;
use iceberg::{
    TableRequirement,
    spec::{FormatVersion, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec},
};
use model::{LakeTable, Layer};
use object_store::path::Path;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// Property that keeps metadata files that fell out of the log.
const DELETE_METADATA: &str = "write.metadata.delete-after-commit.enabled";

/// A table as the Iceberg REST protocol hands it out.
#[derive(Debug, Clone)]
pub struct LoadedTable {
    /// Its current metadata file; absent for a table that is only staged.
    pub metadata_location: Option<String>,
    /// Where its files are.
    pub location: String,
    /// Its metadata, as the specification writes it.
    pub metadata: Value,
}

/// One table's part of a commit, ready to be made visible.
struct Ready {
    expected: Option<String>,
    state: TableState,
    /// The new metadata file, where one has to be written.
    file: Option<(Path, Bytes)>,
    /// Metadata files that fell out of the log.
    dropped: Vec<String>,
}

impl Outside {
    /// The tables of a namespace, ordered by name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for the namespace, or where the catalog can't be read.
    pub async fn tables(&self, layer: Layer) -> Result<Vec<LakeTable>, Error> {
        self.namespace(layer).await?;
        let all = self.lake.tables().all();
        Ok(all.iter().map(|s| s.table()).filter(|t| t.layer == layer).cloned().collect())
    }

    /// The current metadata file of a table.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn metadata_location(&self, table: &LakeTable) -> Result<String, Error> {
        self.state(table).map(|s| s.metadata_location().to_owned())
    }

    /// A table as last committed.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn table(&self, table: &LakeTable) -> Result<LoadedTable, Error> {
        loaded(&*self.state(table)?)
    }

    fn state(&self, table: &LakeTable) -> Result<Arc<TableState>, Error> {
        let missing = || Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table);
        self.lake.tables().state(table).ok_or_else(missing)
    }

    /// Makes an empty table, or says how one would look that a commit will make (`stage-create`).
    ///
    /// # Errors
    /// [`Kind::NotFound`] for the namespace, [`Kind::Exists`], [`Kind::Owned`] in lakebox's layers, [`Kind::Invalid`] or [`Kind::Schema`] where
    /// lakebox could not read it, or where it can't be written.
    pub async fn create_table(&self, layer: Layer, request: CreateTable) -> Result<LoadedTable, Error> {
        let table = LakeTable::new(layer, request.name.clone());
        let _names = self.lake.names().lock().await;
        self.check_new(&table).await?;
        let staged = request.stage_create;
        let metadata = self.new_metadata(&table, request)?;
        readable::check(self.lake.warehouse(), &table, &metadata)?;
        if staged {
            let home = self.lake.warehouse().path(metadata.location())?;
            // Some engines write into the table's folders before the commit makes it, and expect to find them.
            self.lake
                .warehouse()
                .make_folders(&[Path::from(format!("{home}/metadata")), Path::from(format!("{home}/data"))])
                .await?;
            return Ok(LoadedTable {
                metadata_location: None,
                location: metadata.location().to_owned(),
                metadata: document(&table, &metadata)?,
            });
        }
        let _writers = self.lake.tables().lock(std::slice::from_ref(&table)).await?;
        let ready = self.ready(&table, None, metadata, Vec::new()).await?;
        self.finish(vec![ready]).await?.pop().ok_or_else(|| Error::new(Kind::Bug, "a table was made and is not there"))
    }

    fn new_metadata(&self, table: &LakeTable, request: CreateTable) -> Result<TableMetadata, Error> {
        let mut properties = request.properties;
        let version = match properties.get("format-version").map(String::as_str) {
            None | Some("2") => FormatVersion::V2,
            Some("1") => FormatVersion::V1,
            Some("3") => FormatVersion::V3,
            Some(other) => {
                let message =
                    format!("{table} is to have Iceberg format version {other}, and lakebox keeps tables of versions 2 and 3");
                return Err(Error::new(Kind::Invalid, message)
                    .with_table(table)
                    .with_hint("Leave the property `format-version` out, or set it to 2 or 3."));
            }
        };
        properties.retain(|name, _| !REFUSED_PROPERTIES.contains(&name.as_str()));
        let spec = request.partition_spec.unwrap_or_default();
        let spec = UnboundPartitionSpec::builder().add_partition_fields(spec.fields().to_vec()).map(|b| b.build());
        let order = request.write_order.unwrap_or_else(SortOrder::unsorted_order);
        let location = self.place(table, request.location);
        spec.and_then(|spec| TableMetadataBuilder::new(request.schema, spec, order, location, version, properties))
            .and_then(TableMetadataBuilder::build)
            .map(|built| built.metadata)
            .map_err(|e| apply::wrong(table, e))
    }

    /// Commits to any number of tables, all or none, and makes the result visible to everyone at once. Each table may be named once. A table
    /// that a commit requires not to exist is made.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where a requirement does not hold, [`Kind::Owned`] for a table that a pipeline or a model keeps, [`Kind::Invalid`] or
    /// [`Kind::Schema`] where lakebox could not read the result; nothing happened then. After [`Kind::Catalog`] only the catalog knows.
    pub async fn commit(&self, commits: Vec<(LakeTable, CommitTable)>) -> Result<Vec<LoadedTable>, Error> {
        let names: BTreeSet<LakeTable> = commits.iter().map(|(t, _)| t.clone()).collect();
        if names.len() < commits.len() {
            return Err(Error::new(Kind::Invalid, "one transaction names a table twice"));
        }
        let creates = commits.iter().any(|(_, c)| c.creates());
        let _names = if creates { Some(self.lake.names().lock().await) } else { None };
        let names: Vec<LakeTable> = names.into_iter().collect();
        let _writers = self.lake.tables().lock(&names).await?;
        self.lake.tables().clear_doubt(&names).await?;
        let mut ready = Vec::with_capacity(commits.len());
        for (table, commit) in commits {
            ready.push(self.prepare(&table, commit).await?);
        }
        self.finish(ready).await
    }

    async fn prepare(&self, table: &LakeTable, commit: CommitTable) -> Result<Ready, Error> {
        let former = self.lake.tables().state(table);
        // Said first: a table that a pipeline writes has always changed meanwhile, and the client would try again for nothing.
        if let Some(kept) = former.as_ref().filter(|_| table.layer.is_kept()) {
            guard::harmless(kept, &commit.updates)?;
        }
        apply::check(table, &commit.requirements, former.as_ref().map(|f| f.parts.metadata.as_ref()))?;
        let Some(former) = former else {
            if !commit.requirements.iter().any(|r| matches!(r, TableRequirement::NotExist)) {
                return Err(Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table));
            }
            self.check_new(table).await?;
            let now_ms = self.lake.clock().now_us() / 1000;
            let first = apply::first_metadata(table, &commit, &self.place(table, None), now_ms)?;
            let built = apply::update(table, first, None, commit.updates)?;
            return self.ready(table, None, built.metadata, Vec::new()).await;
        };
        let parts = &former.parts;
        let built = apply::update(table, parts.metadata.as_ref().clone(), Some(parts.metadata_location.clone()), commit.updates)?;
        if built.changes.is_empty() {
            let state = TableState::new(parts.clone(), former.spec().clone());
            return Ok(Ready { expected: Some(parts.metadata_location.clone()), state, file: None, dropped: Vec::new() });
        }
        let dropped = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file).collect();
        self.ready(table, Some(&former), built.metadata, dropped).await
    }

    /// Reads the table as it will be and encodes its metadata file.
    async fn ready(
        &self,
        table: &LakeTable,
        former: Option<&TableState>,
        metadata: TableMetadata,
        dropped: Vec<String>,
    ) -> Result<Ready, Error> {
        let store = self.lake.warehouse();
        readable::check(store, table, &metadata)?;
        let version = former.map_or(0, |f| metadata_version(f.metadata_location()) + 1);
        let home = store.path(metadata.location())?;
        let path = Path::from(format!("{home}/metadata/{version:05}-{}.metadata.json", uuid::Uuid::new_v4()));
        let json = serde_json::to_vec(&metadata).map_err(|e| Error::bug(format!("writing the metadata of {table}"), e))?;
        let path = names::with_digest(&path, &json);
        let keeps = metadata.properties().get(DELETE_METADATA).is_some_and(|v| v == "false");
        let writer = former.and_then(|f| f.writer().map(str::to_owned));
        let location = store.location(&path);
        let state = match former.filter(|f| same_files(&f.parts.metadata, &metadata)) {
            Some(former) => {
                let parts = Parts { metadata: Arc::new(metadata), metadata_location: location, ..former.parts.clone() };
                TableState::new(parts, former.spec().clone())
            }
            None => {
                let pointer = Pointer { table, writer, metadata_location: location };
                let state = load::assemble(store, pointer, metadata).await.map_err(|e| unreadable(table, e))?;
                former.map_or(Ok(()), |former| guard::keeps_deletes(former, &state))?;
                state
            }
        };
        Ok(Ready {
            expected: former.map(|f| f.metadata_location().to_owned()),
            state,
            file: Some((path, json.into())),
            dropped: if keeps { Vec::new() } else { dropped },
        })
    }

    /// Writes what is new, moves all pointers in one catalog transaction, and shows it. The caller holds the tables' locks until this returns, so
    /// that a later commit can't be shown before an earlier one.
    async fn finish(&self, mut ready: Vec<Ready>) -> Result<Vec<LoadedTable>, Error> {
        let (tables, store) = (self.lake.tables(), self.lake.warehouse());
        store.put_all(ready.iter_mut().filter_map(|r| r.file.take()).collect()).await?;
        let moved = |r: &&Ready| r.expected.as_deref() != Some(r.state.metadata_location());
        let swap = |r: &Ready| PointerSwap {
            table: r.state.table().clone(),
            expected: r.expected.clone(),
            new: Some(r.state.metadata_location().to_owned()),
            writer: None,
        };
        let swaps: Vec<PointerSwap> = ready.iter().filter(moved).map(swap).collect();
        let dropped: Vec<String> = ready.iter_mut().flat_map(|r| std::mem::take(&mut r.dropped)).collect();
        let states: Vec<Arc<TableState>> = ready.into_iter().map(|r| Arc::new(r.state)).collect();
        let names: Vec<LakeTable> = swaps.iter().map(|s| s.table.clone()).collect();
        if !swaps.is_empty() {
            tables.settle(swaps, states.clone()).await?;
        }
        // What is seen of a kept table is its pipeline's to publish, and only properties changed.
        let shown = states.iter().filter(|s| names.contains(s.table()) && !s.table().layer.is_kept());
        self.lake.show(shown.map(|s| Arc::clone(s.view())).collect(), &[]);
        store.delete_all(dropped.iter().filter_map(|m| store.path(m).ok()).collect()).await;
        states.iter().map(|s| loaded(s)).collect()
    }

    /// Takes a table that exists as files into the catalog.
    ///
    /// # Errors
    /// As [`Self::create_table`]; [`Kind::Exists`] unless `overwrite`.
    pub async fn register_table(&self, table: &LakeTable, location: &str, overwrite: bool) -> Result<LoadedTable, Error> {
        let _names = self.lake.names().lock().await;
        let former = self.lake.tables().state(table).filter(|_| overwrite);
        match &former {
            Some(_) => guard::own(table)?,
            None => self.check_new(table).await?,
        }
        let _writers = self.lake.tables().lock(std::slice::from_ref(table)).await?;
        let store = self.lake.warehouse();
        let metadata = load::read_metadata(store, location).await.map_err(|e| unreadable(table, e))?;
        readable::check(store, table, &metadata)?;
        // From here on the file is named as every other file of the warehouse is.
        let metadata_location = store.location(&store.path(location)?);
        let pointer = Pointer { table, writer: None, metadata_location };
        let state = load::assemble(store, pointer, metadata).await.map_err(|e| unreadable(table, e))?;
        let expected = former.map(|f| f.metadata_location().to_owned());
        let ready = Ready { expected, state, file: None, dropped: Vec::new() };
        self.finish(vec![ready]).await?.pop().ok_or_else(|| Error::new(Kind::Bug, "a table was registered and is not there"))
    }

    /// Gives a table another name. Its files stay where they are.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Exists`], [`Kind::Owned`], [`Kind::Invalid`], or where the catalog can't be written.
    pub async fn rename_table(&self, from: &LakeTable, to: &LakeTable) -> Result<(), Error> {
        let _names = self.lake.names().lock().await;
        self.state(from)?;
        guard::own(from)?;
        self.check_new(to).await?;
        let names = [from.clone(), to.clone()];
        let _writers = self.lake.tables().lock(&names).await?;
        self.lake.tables().clear_doubt(&names).await?;
        let former = self.state(from)?;
        let location = former.metadata_location().to_owned();
        let parts = Parts { table: to.clone(), ..former.parts.clone() };
        let state = Arc::new(TableState::new(parts, former.spec().clone()));
        let old = PointerSwap { table: from.clone(), expected: Some(location.clone()), new: None, writer: None };
        let new = PointerSwap { table: to.clone(), expected: None, new: Some(location), writer: None };
        self.lake.tables().settle(vec![old, new], vec![Arc::clone(&state)]).await?;
        self.lake.show(vec![Arc::clone(state.view())], std::slice::from_ref(from));
        Ok(())
    }

    /// Forgets a table, and removes its files where `purge` says so.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Owned`], [`Kind::Invalid`] where its files are to be removed and it says that they may not, or where the
    /// catalog can't be written.
    pub async fn drop_table(&self, table: &LakeTable, purged: bool) -> Result<(), Error> {
        let _names = self.lake.names().lock().await;
        // A table that could not be read when the lake was opened is in the catalog alone.
        let record = self.lake.tables().catalog().table(table).await?;
        let Some(record) = record else { return self.state(table).map(drop) };
        guard::own(table)?;
        let _writers = self.lake.tables().lock(std::slice::from_ref(table)).await?;
        let state = self.lake.tables().state(table);
        if purged && state.as_ref().and_then(|s| s.property(GC_ENABLED)) == Some("false") {
            let message = format!("{table} says {GC_ENABLED}=false, so its files can't be removed");
            return Err(Error::new(Kind::Invalid, message).with_table(table).with_hint("Drop it without purging."));
        }
        let location = state.map_or(record.metadata_location, |s| s.metadata_location().to_owned());
        let swap = PointerSwap { table: table.clone(), expected: Some(location.clone()), new: None, writer: None };
        self.lake.tables().settle(vec![swap], Vec::new()).await?;
        self.lake.show(Vec::new(), std::slice::from_ref(table));
        if purged {
            purge(&self.lake, &location, &self.lake.tables().all()).await;
        }
        Ok(())
    }
}

/// Whether the files of a table, and what is known of them, stay as they are.
fn same_files(former: &TableMetadata, new: &TableMetadata) -> bool {
    let spec = |m: &TableMetadata| metadata::spec_of(m).ok();
    former.current_snapshot().map(|s| s.manifest_list()) == new.current_snapshot().map(|s| s.manifest_list())
        && spec(former) == spec(new)
}

/// A table that lakebox could not read is no commit to be made: it is the client who can mend it. Trouble with the disk is not.
fn unreadable(table: &LakeTable, error: Error) -> Error {
    if !matches!(error.kind, Kind::Corrupt | Kind::Schema) {
        return error;
    }
    let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
    let message = format!("lakebox could not read {table} after this commit, so it is refused: {error}{cause}");
    let refused = Error::new(Kind::Invalid, message).with_table(table);
    match error.hint.clone() {
        Some(hint) => refused.with_hint(hint).with_source(error),
        None => refused.with_source(error),
    }
}

fn loaded(state: &TableState) -> Result<LoadedTable, Error> {
    Ok(LoadedTable {
        metadata_location: Some(state.metadata_location().to_owned()),
        location: state.parts.metadata.location().to_owned(),
        metadata: document(state.table(), &state.parts.metadata)?,
    })
}

fn document(table: &LakeTable, metadata: &TableMetadata) -> Result<Value, Error> {
    serde_json::to_value(metadata).map_err(|e| Error::bug(format!("writing the metadata of {table}"), e))
}
