//! What SQL makes: schemas, views, and tables that no pipeline or model writes. Changes are gathered in a transaction and take effect together.

use crate::{Error, Kind, Lake, LakeView, ReplaceOptions, SendableBatches, TableChange, TableState};
use arrow::{
    datatypes::SchemaRef,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use catalog::{ObjectChange, ViewRecord};
use model::LakeTable;
use std::{collections::BTreeMap, sync::Arc};

/// The writer that the catalog records for tables that SQL made.
pub const SQL_WRITER: &str = "sql";

/// A view: a statement with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlView {
    /// Its schema and name.
    pub view: LakeTable,
    /// The statement, as written.
    pub definition: String,
    /// The columns that it had when it was made.
    pub schema: SchemaRef,
}

impl SqlView {
    pub(crate) fn from_record(record: ViewRecord) -> Result<Self, Error> {
        let schema = schema_from_hex(&record.columns_ipc)
            .ok_or_else(|| Error::new(Kind::Corrupt, format!("the columns of view {} can't be read", record.view)))?;
        Ok(Self { view: record.view, definition: record.definition, schema })
    }

    fn record(&self) -> Result<ViewRecord, Error> {
        let mut bytes = Vec::new();
        StreamWriter::try_new(&mut bytes, &self.schema)
            .and_then(|mut writer| writer.finish())
            .map_err(|e| Error::bug(format!("writing the columns of view {}", self.view), e))?;
        let columns_ipc = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Ok(ViewRecord { view: self.view.clone(), definition: self.definition.clone(), columns_ipc })
    }
}

fn schema_from_hex(hex: &str) -> Option<SchemaRef> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    Some(StreamReader::try_new(bytes.as_slice(), None).ok()?.schema())
}

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
    schemas: BTreeMap<String, Change<()>>,
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
        let mut out = LakeView::clone(view);
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
        for (name, change) in &self.schemas {
            match change.after {
                Some(()) => drop(out.schemas.insert(name.clone())),
                None => drop(out.schemas.remove(name)),
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

    fn schema(&mut self, lake: &Lake, name: &str) -> &mut Change<()> {
        self.schemas.entry(name.to_owned()).or_insert_with(|| {
            let now = lake.view().schemas.contains(name).then_some(());
            Change { before: now, after: now }
        })
    }

    /// Makes a schema. The caller has seen that there is none of that name.
    pub fn add_schema(&mut self, lake: &Lake, name: &str) {
        self.schema(lake, name).after = Some(());
    }

    /// Drops a schema, which must be empty.
    pub fn remove_schema(&mut self, lake: &Lake, name: &str) {
        self.schema(lake, name).after = None;
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
        let written = lake.write_rows(&table, rows, &spec).await.map_err(|e| e.with_table(&table))?;
        let count = written.iter().map(|f| f.rows).sum();
        let mut change = TableChange::new(table.clone());
        change.spec = Some(spec);
        change.append = written;
        change.summary = options.summary;
        change.writer = options.writer;
        let state = lake.tables().stage(change).await?;
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
        let written = lake.write_rows(table, rows, former.spec()).await.map_err(|e| e.with_table(table))?;
        let count = written.iter().map(|f| f.rows).sum();
        let mut change = TableChange::new(table.clone());
        change.append = written;
        if let Some(state) = lake.tables().stage_over(&former, change).await? {
            self.table(lake, table).after = Some(state);
        }
        Ok(count)
    }

    /// Makes everything durable and visible at once.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where another writer changed one of the names meanwhile: nothing happened then. Else why the catalog can't be written.
    pub async fn commit(self, lake: &Lake) -> Result<(), Error> {
        let location = |s: &Option<Arc<TableState>>| s.as_ref().map(|s| s.metadata_location().to_owned());
        let moved = |c: &Change<Arc<TableState>>| location(&c.before) != location(&c.after);
        let swaps = self.tables.into_iter().filter(|(_, c)| moved(c)).map(|(name, c)| (name, location(&c.before), c.after));
        let mut objects = Vec::new();
        for (name, change) in &self.schemas {
            match (change.before, change.after) {
                (None, Some(())) => objects.push(ObjectChange::AddSchema(name.clone())),
                (Some(()), None) => objects.push(ObjectChange::RemoveSchema(name.clone())),
                _ => {}
            }
        }
        for (name, change) in &self.views {
            match (&change.before, &change.after) {
                (None, Some(view)) => objects.push(ObjectChange::AddView(view.record()?)),
                (Some(before), Some(view)) if before != view => objects.push(ObjectChange::SetView(view.record()?)),
                (Some(_), None) => objects.push(ObjectChange::RemoveView(name.clone())),
                _ => {}
            }
        }
        lake.commit_objects(swaps.collect(), objects).await
    }
}
