//! What lakebox knows of itself, as tables of the schema `system`. Each table has the same shape: a name, a schema, and rows made when asked.

mod advice;
mod columns;
mod crawlers;
mod dead_letters;
mod files;
mod pipelines;
mod queries;
mod snapshots;
mod tables;
mod upkeep;

pub use advice::advice;
pub use crawlers::{crawlers, drift};
pub use pipelines::pipelines;
pub use snapshots::snapshots;
pub use upkeep::upkeep;
pub(crate) use upkeep::{run_schema, runs};

use crate::{Error, engine::Queries};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider, memory::MemorySourceConfig},
    datasource::TableType,
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    physical_plan::ExecutionPlan,
    prelude::Expr,
};
use lake::LakeView;
use parking_lot::RwLock;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// A table of the schema `system`.
#[async_trait]
pub trait SystemTable: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Its columns. Never changes.
    fn schema(&self) -> SchemaRef;

    /// Its rows now. `view` is what the rest of the statement sees. Called once for each time a statement names the table.
    async fn rows(&self, view: &LakeView) -> std::result::Result<RecordBatch, Error>;
}

/// A system table made of a function that yields all rows.
pub fn from_rows(
    name: impl Into<String>,
    schema: SchemaRef,
    rows: impl Fn() -> std::result::Result<RecordBatch, Error> + Send + Sync + 'static,
) -> Arc<dyn SystemTable> {
    Arc::new(FromRows { name: name.into(), schema, rows: Box::new(rows) })
}

type MakeRows = Box<dyn Fn() -> std::result::Result<RecordBatch, Error> + Send + Sync>;

struct FromRows {
    name: String,
    schema: SchemaRef,
    rows: MakeRows,
}

impl fmt::Debug for FromRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromRows").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl SystemTable for FromRows {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn rows(&self, _: &LakeView) -> std::result::Result<RecordBatch, Error> {
        (self.rows)()
    }
}

/// All system tables by name.
#[derive(Debug)]
pub(crate) struct SystemTables {
    tables: RwLock<BTreeMap<String, Arc<dyn SystemTable>>>,
}

impl SystemTables {
    /// The tables that the engine fills by itself. Others are registered by who knows their rows.
    pub(crate) fn new(history: Arc<Queries>) -> Self {
        let out = Self { tables: RwLock::default() };
        out.register(Arc::new(tables::Tables));
        out.register(Arc::new(columns::Columns));
        out.register(Arc::new(files::Files));
        out.register(Arc::new(queries::QueryHistory(history)));
        out
    }

    pub(crate) fn register(&self, table: Arc<dyn SystemTable>) {
        self.tables.write().insert(table.name().to_owned(), table);
    }

    /// Names of all tables, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tables.read().keys().cloned().collect();
        names.push(dead_letters::NAME.to_owned());
        names.sort_unstable();
        names
    }

    /// Names and columns of all tables.
    pub(crate) fn schemas(&self, view: &LakeView) -> Vec<(String, SchemaRef)> {
        let mut out: Vec<_> = self.tables.read().values().map(|t| (t.name().to_owned(), t.schema())).collect();
        out.push((dead_letters::NAME.to_owned(), dead_letters::schema(view)));
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// The table as DataFusion reads it.
    pub(crate) fn provider(
        &self,
        name: &str,
        view: &Arc<LakeView>,
        store: &ObjectStoreUrl,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == dead_letters::NAME {
            return dead_letters::provider(view, store).map(Some);
        }
        let table = self.tables.read().get(name).cloned();
        Ok(table.map(|table| Arc::new(SystemProvider { table, view: Arc::clone(view) }) as Arc<dyn TableProvider>))
    }
}

#[derive(Debug)]
struct SystemProvider {
    table: Arc<dyn SystemTable>,
    view: Arc<LakeView>,
}

#[async_trait]
impl TableProvider for SystemProvider {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.table.rows(&self.view).await.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], self.table.schema(), projection.cloned())?;
        Ok(plan)
    }
}

/// A column with a value in every row.
pub(crate) fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// A column that may be NULL.
pub(crate) fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// The type of all times in system tables.
pub(crate) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Times from microseconds since 1970.
pub(crate) fn times(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A count as SQL has it.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn schema_of(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

pub(crate) fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> std::result::Result<RecordBatch, Error> {
    let rows = columns.first().map_or(0, |c| c.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|e| Error::from(DataFusionError::from(e)))
}
