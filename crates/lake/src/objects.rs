//! What SQL makes: schemas, views, and tables that no pipeline or model writes. Changes are gathered in a transaction and take effect together.

use crate::{
    Error, Kind, Lake, LakeView, ReplaceOptions, SendableBatches, SqlView, TableChange, TableState, WrittenFile, commit::Staged,
    outside::purge::purge, store::Held,
};
use model::{LakeTable, Layer};
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

/// Changes to schemas, views and users' tables that nobody sees before [`ObjectTransaction::commit`], and everybody at once after it.
///
/// Dropping it gives them up; files of tables that were written for it are orphans then, which upkeep removes.
#[derive(Debug, Default, Clone)]
pub struct ObjectTransaction {
    tables: BTreeMap<LakeTable, Change<Arc<TableState>>>,
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

    fn table(&mut self, lake: &Lake, name: &LakeTable) -> &mut Change<Arc<TableState>> {
        self.tables.entry(name.clone()).or_insert_with(|| {
            let now = lake.tables().state(name);
            Change { before: now.clone(), after: now }
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
        self.table(lake, name).after = None;
    }

    /// Gives a table another name. Its files stay where they are.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn rename_table(&mut self, lake: &Lake, from: &LakeTable, to: &LakeTable) -> Result<(), Error> {
        let state = self.table(lake, from).after.take();
        let state = state.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no table {from}")).with_table(from))?;
        self.table(lake, to).after = Some(Arc::new(state.renamed(to.clone())));
        Ok(())
    }

    /// Makes a table of `rows`: they are written and synced when this returns, and seen once the transaction is committed. A table of that name
    /// is replaced.
    ///
    /// # Errors
    /// The error of `rows`, as [`Kind::Schema`]; else where a column's type can't be held or the rows can't be written.
    pub async fn put_table(
        &mut self,
        lake: &Lake,
        table: LakeTable,
        rows: SendableBatches,
        options: ReplaceOptions,
    ) -> Result<u64, Error> {
        let spec = lake.new_spec(&table, &options)?;
        let written = lake.write_rows(&table, rows, &spec, &[]).await.map_err(|e| e.with_table(&table))?;
        let count = written.iter().map(|f| f.rows).sum();
        let mut change = TableChange::new(table.clone());
        change.spec = Some(spec);
        change.append.clone_from(&written);
        change.summary = options.summary;
        change.writer = options.writer;
        let staged = lake.tables().stage(change).await?;
        self.written.extend(written);
        let state = self.staged(staged);
        self.table(lake, &table).after = Some(state);
        Ok(count)
    }

    /// Adds `rows` to a users' table, seen once the transaction is committed.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; else as [`Self::put_table`].
    pub async fn append(&mut self, lake: &Lake, table: &LakeTable, rows: SendableBatches) -> Result<u64, Error> {
        let slot = self.table(lake, table);
        let missing = || Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table);
        let former = slot.after.clone().ok_or_else(missing)?;
        let unknown = || Error::new(Kind::Schema, format!("{table} is partitioned in a way that lakebox can't write")).with_table(table);
        let partition_by = former.partition_by().ok_or_else(unknown)?;
        let written = lake.write_rows(table, rows, former.spec(), &partition_by).await.map_err(|e| e.with_table(table))?;
        let count = written.iter().map(|f| f.rows).sum();
        let mut change = TableChange::new(table.clone());
        change.append.clone_from(&written);
        if let Some(staged) = lake.tables().stage_over(&former, change).await? {
            self.written.extend(written);
            let state = self.staged(staged);
            self.table(lake, table).after = Some(state);
        }
        Ok(count)
    }

    /// Makes everything durable and visible at once.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where another writer changed one of the names meanwhile: nothing happened then. Else why the catalog can't be written.
    pub async fn commit(self, lake: &Lake) -> Result<(), Error> {
        let _names = lake.names().lock().await;
        self.check_names(lake)?;
        let location = |s: &Option<Arc<TableState>>| s.as_ref().map(|s| s.metadata_location().to_owned());
        let moved = |c: &Change<Arc<TableState>>| location(&c.before) != location(&c.after);
        let formers: Vec<Arc<TableState>> = self.tables.values().filter_map(|c| c.before.clone()).collect();
        let tables = self.tables.into_iter().filter(|(_, c)| moved(c));
        let tables = tables.map(|(name, c)| (name, location(&c.before), c.after)).collect();
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
