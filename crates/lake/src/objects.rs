//! What SQL makes: schemas, views, and tables that no pipeline or model writes. Changes are gathered in a transaction and take effect together.

use crate::{
    Error, Kind, Lake, LakeView, PartitionField, ReplaceOptions, SendableBatches, SqlView, TableChange, TableState, ViewFile,
    WrittenFile,
    commit::{Staged, Touched},
    outside::purge::purge,
    store::Held,
};
use model::{LakeTable, Layer};
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, sync::Arc};

/// The writer that the catalog records for tables that SQL made.
pub const SQL_WRITER: &str = "sql";

/// One name's way through a transaction.
#[derive(Debug, Clone)]
struct Change<T> {
    /// What the lake had when the transaction first touched the name.
    before: Option<T>,
    /// What it shall have.
    after: Option<T>,
}

/// A table's way through a transaction.
#[derive(Debug, Clone)]
struct Slot {
    /// What the lake had when the transaction first touched the name.
    before: Option<Arc<TableState>>,
    /// What it shall have.
    after: Option<Arc<TableState>>,
    /// What each statement did, as long as rows are all that changed: it can be done again on what the table is by then.
    steps: Option<Vec<Arc<RowDelta>>>,
    /// Keeps upkeep away.
    touched: Option<Arc<Touched>>,
}

impl Slot {
    /// It becomes something that only follows from what was there before.
    fn set(&mut self, after: Option<Arc<TableState>>) {
        self.after = after;
        self.steps = None;
    }

    fn moved(&self) -> bool {
        location(self.before.as_ref()) != location(self.after.as_ref())
    }
}

/// Rows of a users' table that change together, in one snapshot.
#[derive(Debug, Clone, Default)]
pub struct RowDelta {
    /// Rows that go: positions in files that [`ObjectTransaction::touch`] told of.
    pub deletes: Vec<(Path, RoaringBitmap)>,
    /// Files with rows that come, from [`ObjectTransaction::write`].
    pub append: Vec<Arc<WrittenFile>>,
    /// Whether it is only right if nobody else changed the table meanwhile, because it looked for rows that are not there. Otherwise it is a conflict if
    /// somebody else changed the same rows.
    pub exclusive: bool,
}

fn location(state: Option<&Arc<TableState>>) -> Option<String> {
    state.map(|s| s.metadata_location().to_owned())
}

/// Changes to schemas, views and users' tables that nobody sees before [`ObjectTransaction::commit`], and everybody at once after it.
///
/// Dropping it gives them up; files of tables that were written for it are orphans then, which upkeep removes.
#[derive(Debug, Default, Clone)]
pub struct ObjectTransaction {
    tables: BTreeMap<LakeTable, Slot>,
    views: BTreeMap<LakeTable, Change<Arc<SqlView>>>,
    schemas: BTreeMap<Layer, Change<()>>,
    /// Files that are written and that nothing names yet: upkeep leaves them alone.
    held: Vec<Arc<Held>>,
    written: Vec<Arc<WrittenFile>>,
    /// Metadata files that are not needed once it is committed.
    dropped: Vec<String>,
}

impl ObjectTransaction {
    /// Whether nothing was changed yet.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.views.is_empty() && self.schemas.is_empty()
    }

    /// `view` as it would be if the transaction were committed: what its own statements see.
    pub fn over(&self, view: &Arc<LakeView>) -> Arc<LakeView> {
        if self.is_empty() {
            return Arc::clone(view);
        }
        let mut out = LakeView { base: Some(Arc::clone(view)), ..LakeView::clone(view) };
        for (name, change) in &self.tables {
            match &change.after {
                Some(state) => drop(out.tables.insert(name.clone(), Arc::clone(state.view()))),
                None => drop(out.tables.remove(name)),
            }
        }
        for (name, change) in &self.views {
            match &change.after {
                Some(view) => drop(out.views.insert(name.clone(), Arc::clone(view))),
                None => drop(out.views.remove(name)),
            }
        }
        for (layer, change) in &self.schemas {
            match change.after {
                Some(()) => out.schemas.extend([*layer]),
                None => out.schemas.retain(|other| other != layer),
            }
        }
        Arc::new(out)
    }

    fn table(&mut self, lake: &Lake, name: &LakeTable) -> &mut Slot {
        self.tables.entry(name.clone()).or_insert_with(|| {
            let now = lake.tables().state(name);
            Slot { before: now.clone(), after: now, steps: Some(Vec::new()), touched: None }
        })
    }

    fn view(&mut self, lake: &Lake, name: &LakeTable) -> &mut Change<Arc<SqlView>> {
        self.views.entry(name.clone()).or_insert_with(|| {
            let now = lake.view().views.get(name).cloned();
            Change { before: now.clone(), after: now }
        })
    }

    fn schema(&mut self, lake: &Lake, layer: Layer) -> &mut Change<()> {
        self.schemas.entry(layer).or_insert_with(|| {
            let now = lake.view().schemas.contains(&layer).then_some(());
            Change { before: now, after: now }
        })
    }

    fn staged(&mut self, staged: Staged) -> Arc<TableState> {
        self.held.extend(staged.held.into_iter().map(Arc::new));
        self.dropped.extend(staged.dropped);
        staged.state
    }

    /// Makes a schema. The caller has seen that there is none of that name.
    pub fn add_schema(&mut self, lake: &Lake, layer: Layer) {
        self.schema(lake, layer).after = Some(());
    }

    /// Drops a schema, which must be empty.
    pub fn remove_schema(&mut self, lake: &Lake, layer: Layer) {
        self.schema(lake, layer).after = None;
    }

    /// Makes a view, or gives the one of that name another statement.
    pub fn set_view(&mut self, lake: &Lake, view: SqlView) {
        let name = view.view.clone();
        self.view(lake, &name).after = Some(Arc::new(view));
    }

    /// Drops a view.
    pub fn remove_view(&mut self, lake: &Lake, name: &LakeTable) {
        self.view(lake, name).after = None;
    }

    /// Gives a view another name.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn rename_view(&mut self, lake: &Lake, from: &LakeTable, to: &LakeTable) -> Result<(), Error> {
        let view = self.view(lake, from).after.take();
        let view = view.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no view {from}")))?;
        self.view(lake, to).after = Some(Arc::new(SqlView { view: to.clone(), ..SqlView::clone(&view) }));
        Ok(())
    }

    /// Drops a table. Its files stay until upkeep collects them.
    pub fn remove_table(&mut self, lake: &Lake, name: &LakeTable) {
        self.table(lake, name).set(None);
    }

    /// Gives a table another name. Its files stay where they are.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn rename_table(&mut self, lake: &Lake, from: &LakeTable, to: &LakeTable) -> Result<(), Error> {
        let slot = self.table(lake, from);
        let state = slot.after.clone();
        slot.set(None);
        let state = state.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no table {from}")).with_table(from))?;
        self.table(lake, to).set(Some(Arc::new(state.renamed(to.clone()))));
        Ok(())
    }

    /// Makes a table of `rows`, in files by partition where `partition_by` says so: they are written and synced when this returns, and seen once the transaction is committed. A table of that name
    /// is replaced. `format_version` is Iceberg's, 2 or 3.
    ///
    /// # Errors
    /// The error of `rows`, as [`Kind::Schema`]; else where a column's type can't be held or the rows can't be written.
    pub async fn put_table(
        &mut self,
        lake: &Lake,
        table: LakeTable,
        rows: SendableBatches,
        options: ReplaceOptions,
        partition_by: &[PartitionField],
        format_version: u8,
    ) -> Result<u64, Error> {
        let spec = lake.new_spec(&table, &options)?;
        let written = lake.write_rows(&table, rows, &spec, partition_by).await.map_err(|e| e.with_table(&table))?;
        let count = written.iter().map(|f| f.rows).sum();
        let mut change = TableChange::new(table.clone());
        change.spec = Some(spec);
        change.partition_by = (!partition_by.is_empty()).then(|| partition_by.to_vec());
        change.upgrade = format_version > 2;
        change.append.clone_from(&written);
        change.summary = options.summary;
        change.writer = options.writer;
        let staged = lake.tables().stage(change).await?;
        self.written.extend(written);
        let state = self.staged(staged);
        self.table(lake, &table).set(Some(state));
        Ok(count)
    }

    /// Begins to change rows of a users' table: yields the table as the transaction sees it. From here on upkeep leaves it alone, and what others commit
    /// to it is a conflict.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Invalid`] where lakebox can't write such a table.
    pub async fn touch(&mut self, lake: &Lake, table: &LakeTable) -> Result<Arc<TableState>, Error> {
        if self.tables.get(table).is_none_or(|slot| slot.touched.is_none()) {
            let (now, touched) = lake.tables().touch(table).await?;
            let new = Slot { before: now.clone(), after: now, steps: Some(Vec::new()), touched: None };
            self.tables.entry(table.clone()).or_insert(new).touched = Some(Arc::new(touched));
        }
        let missing = || Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table);
        let state = self.table(lake, table).after.clone().ok_or_else(missing)?;
        match state.foreign() {
            None => Ok(state),
            Some(reason) => Err(Error::new(Kind::Invalid, format!("rows of {table} can't be changed by SQL here: {reason}"))
                .with_table(table)
                .with_hint("Change it with the engine that made it, or copy it: CREATE TABLE … AS SELECT.")),
        }
    }

    /// Adds `rows` to a users' table, seen once the transaction is committed.
    ///
    /// # Errors
    /// As [`Self::touch`] and [`Self::put_table`].
    pub async fn append(&mut self, lake: &Lake, table: &LakeTable, rows: SendableBatches) -> Result<u64, Error> {
        let append = self.write(lake, table, rows).await?;
        let count = append.iter().map(|f| f.rows).sum();
        self.change_rows(lake, table, RowDelta { append, ..RowDelta::default() }).await?;
        Ok(count)
    }

    /// Writes rows for a users' table into files that nothing names yet; [`Self::change_rows`] does.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn write(&mut self, lake: &Lake, table: &LakeTable, rows: SendableBatches) -> Result<Vec<Arc<WrittenFile>>, Error> {
        let state = self.touch(lake, table).await?;
        let partition_by = state.partition_by().unwrap_or_default();
        lake.write_rows(table, rows, state.spec(), &partition_by).await.map_err(|e| e.with_table(table))
    }

    /// Changes rows of a users' table, seen once the transaction is committed.
    ///
    /// # Errors
    /// As [`Self::touch`], and where the files can't be written.
    pub async fn change_rows(&mut self, lake: &Lake, table: &LakeTable, delta: RowDelta) -> Result<(), Error> {
        let former = self.touch(lake, table).await?;
        let Some(staged) = lake.tables().stage_over(&former, delta.change(table)).await? else { return Ok(()) };
        self.written.extend(delta.append.iter().cloned());
        let state = self.staged(staged);
        let slot = self.table(lake, table);
        slot.after = Some(state);
        if let Some(steps) = &mut slot.steps {
            steps.push(Arc::new(delta));
        }
        Ok(())
    }

    /// Changes what a table looks like.
    pub(crate) async fn reshape(
        &mut self,
        lake: &Lake,
        table: &LakeTable,
        former: &Arc<TableState>,
        change: TableChange,
    ) -> Result<(), Error> {
        if let Some(staged) = lake.tables().stage_over(former, change).await? {
            let state = self.staged(staged);
            self.table(lake, table).set(Some(state));
        }
        Ok(())
    }

    /// Makes everything durable and visible at once.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where another writer changed one of the names meanwhile: nothing happened then. Else why the catalog can't be written.
    pub async fn commit(mut self, lake: &Lake) -> Result<(), Error> {
        let _names = lake.names().lock().await;
        self.check_names(lake)?;
        let moved: Vec<LakeTable> = self.tables.iter().filter(|(_, slot)| slot.moved()).map(|(name, _)| name.clone()).collect();
        let _writers = lake.tables().lock(&moved).await?;
        lake.tables().clear_doubt(&moved).await?;
        for name in &moved {
            self.follow(lake, name).await?;
        }
        let formers: Vec<Arc<TableState>> = self.tables.values().filter_map(|c| c.before.clone()).collect();
        let tables = std::mem::take(&mut self.tables).into_iter().filter(|(_, slot)| slot.moved());
        let tables = tables.map(|(name, slot)| (name, location(slot.before.as_ref()), slot.after)).collect();
        let mut changes = Changes { tables, ..Changes::default() };
        for (name, Change { before, after }) in self.views {
            let former = before.and_then(|v| v.metadata_location.clone());
            let after = match after {
                Some(view) if view.metadata_location.is_none() => {
                    Some(Arc::new(lake.write_sql_view(&view, former.as_deref()).await?))
                }
                after => after,
            };
            if former != after.as_ref().and_then(|v| v.metadata_location.clone()) {
                changes.views.push((name, former, after));
            }
        }
        for (layer, change) in self.schemas {
            match (change.before, change.after) {
                (None, Some(())) => changes.made.push(layer),
                (Some(()), None) => changes.dropped.push(layer),
                _ => {}
            }
        }
        lake.commit_objects(changes).await?;
        clean_up(lake, formers, self.dropped).await;
        Ok(())
    }

    /// Where somebody else changed a table meanwhile: does what was done to it on what it is now, unless both changed the same rows, or more than rows
    /// changed. The caller holds the table's lock.
    async fn follow(&mut self, lake: &Lake, name: &LakeTable) -> Result<(), Error> {
        let now = lake.tables().state(name);
        let Some(slot) = self.tables.get(name).cloned() else { return Ok(()) };
        if location(now.as_ref()) == location(slot.before.as_ref()) {
            return Ok(());
        }
        let (Some(now), Some(before), Some(steps)) = (now, &slot.before, slot.steps) else { return Err(overtaken(name)) };
        let partitions = |of: &TableState| of.parts.metadata.default_partition_spec_id();
        let same = now.parts.metadata.uuid() == before.parts.metadata.uuid()
            && now.spec() == before.spec()
            && partitions(&now) == partitions(before);
        if !same || now.foreign().is_some() || steps.iter().any(|step| step.exclusive) {
            return Err(overtaken(name));
        }
        let mut state = Arc::clone(&now);
        for step in steps {
            if !step.deletes.iter().all(|(path, rows)| state.file(path).is_some_and(|file| are_there(file, rows))) {
                return Err(overtaken(name));
            }
            if let Some(staged) = lake.tables().stage_over(&state, step.change(name)).await? {
                state = self.staged(staged);
            }
        }
        if let Some(slot) = self.tables.get_mut(name) {
            (slot.before, slot.after) = (Some(now), Some(state));
        }
        Ok(())
    }

    /// Whether what is new still has a schema to be in, and a name that nothing else got meanwhile. The caller holds the lock of names.
    fn check_names(&self, lake: &Lake) -> Result<(), Error> {
        let now = lake.view();
        let new_tables = self.tables.iter().filter(|(_, c)| c.before.is_none() && c.after.is_some()).map(|(name, _)| name);
        let new_views = self.views.iter().filter(|(_, c)| c.before.is_none() && c.after.is_some()).map(|(name, _)| name);
        for name in new_tables.clone().chain(new_views.clone()) {
            let schema = self.schemas.get(&name.layer).map_or_else(|| now.schemas.contains(&name.layer), |c| c.after.is_some());
            if !schema {
                return Err(
                    Error::new(Kind::Conflict, format!("the schema {} was dropped meanwhile", name.layer)).with_table(name)
                );
            }
        }
        let taken = |name: &LakeTable, what: &str| {
            Error::new(Kind::Conflict, format!("a {what} {name} was made by somebody else meanwhile")).with_table(name)
        };
        for name in new_tables {
            let gone = self.views.get(name).is_some_and(|c| c.after.is_none());
            if now.views.contains_key(name) && !gone {
                return Err(taken(name, "view"));
            }
        }
        for name in new_views {
            let gone = self.tables.get(name).is_some_and(|c| c.after.is_none());
            if now.tables.contains_key(name) && !gone {
                return Err(taken(name, "table"));
            }
        }
        Ok(())
    }
}

impl RowDelta {
    fn change(&self, table: &LakeTable) -> TableChange {
        let mut change = TableChange::new(table.clone());
        change.append.clone_from(&self.append);
        change.deletes.clone_from(&self.deletes);
        change
    }
}

/// Whether none of these rows is deleted yet.
fn are_there(file: &ViewFile, rows: &RoaringBitmap) -> bool {
    file.deleted.as_ref().is_none_or(|deleted| deleted.is_disjoint(rows))
}

fn overtaken(table: &LakeTable) -> Error {
    Error::new(Kind::Conflict, format!("could not serialize access due to concurrent update of {table}"))
        .with_table(table)
        .with_hint("Nothing of the transaction took place: run it again.")
}

/// Removes the files of tables that SQL made and that are gone now, and metadata files that fell out of logs. What can't be removed is logged.
async fn clean_up(lake: &Lake, formers: Vec<Arc<TableState>>, dropped: Vec<String>) {
    let all = lake.tables().all();
    let lives = |s: &TableState| all.iter().any(|other| other.parts.metadata.uuid() == s.parts.metadata.uuid());
    for gone in formers.iter().filter(|s| s.writer() == Some(SQL_WRITER) && !lives(s)) {
        purge(lake, gone.metadata_location(), &all).await;
    }
    let store = lake.warehouse();
    store.delete_all(dropped.iter().filter_map(|m| store.path(m).ok()).collect()).await;
}

/// What the end of an [`ObjectTransaction`] changes, each with where its pointer must be now.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub tables: Vec<(LakeTable, Option<String>, Option<Arc<TableState>>)>,
    pub views: Vec<(LakeTable, Option<String>, Option<Arc<SqlView>>)>,
    /// Schemas that are made, and that are dropped.
    pub made: Vec<Layer>,
    pub dropped: Vec<Layer>,
}
