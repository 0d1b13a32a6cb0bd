//! One statement from text to rows: parsed, checked to be read-only, planned against one view of the lake, run on threads of its own.

mod admission;
mod catalog;
mod estimate;
mod history;
mod labels;
mod params;
mod plain;
mod request;
mod runner;
mod session;
mod settings;
mod statement;
mod threads;

pub use estimate::{Estimate, ScanEstimate, cost_usd};
pub use history::{QueryRecord, QueryState};
pub use request::{Counters, QueryRequest, QueryRunning, RowStream};
pub use settings::QuerySettings;

pub(crate) use catalog::{PG_CATALOG, SYSTEM};
pub(crate) use history::Queries;
pub(crate) use labels::Labels;
pub(crate) use params::{json_params, plain_scalars};
pub(crate) use plain::plain_batch;
pub(crate) use session::{CATALOG, SERVER_VERSION, SERVER_VERSION_NUMBER, Session};
pub(crate) use statement::{check_read_only, parse, parse_all};

use crate::{
    Error, Kind,
    accesses::{AccessKind, AccessSum, Accesses},
    error::nearest,
    explain,
    sql_types::sql_type_name,
    system::{SystemTable, SystemTables},
    travel,
};
use admission::Admission;
use datafusion::{common::ScalarValue, execution::FunctionRegistry, logical_expr::LogicalPlan};

use arrow::datatypes::DataType;
use lake::{Lake, LakeView};
use model::Layer;
use object_store::ObjectStore;
use runtime::SharedClock;
use std::{future::Future, pin::Pin, sync::Arc};
use tokio::sync::Semaphore;

/// Where views of the lake come from. Called once per statement; it must be cheap, and each view must be consistent in itself.
pub trait ViewSource: Send + Sync {
    /// The lake as it is now.
    fn view(&self) -> Arc<LakeView>;

    /// The lake itself, for what views don't hold: former snapshots and metadata, and to make and change things in. Without it SQL only reads what is
    /// there now.
    fn lake(&self) -> Option<&lake::Lake> {
        None
    }
}

impl<F: Fn() -> Arc<LakeView> + Send + Sync> ViewSource for F {
    fn view(&self) -> Arc<LakeView> {
        self()
    }
}

impl ViewSource for lake::Lake {
    fn view(&self) -> Arc<LakeView> {
        lake::Lake::view(self)
    }

    fn lake(&self) -> Option<&lake::Lake> {
        Some(self)
    }
}

/// The query engine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) views: Arc<dyn ViewSource>,
    pub(crate) settings: QuerySettings,
    pub(crate) clock: SharedClock,
    pub(crate) system: Arc<SystemTables>,
    queries: Arc<Queries>,
    accesses: Accesses,
    base: Arc<session::Base>,
    /// Statements that are planned at once.
    planners: Semaphore,
    admission: Arc<Admission>,
    threads: threads::Threads,
    /// Who runs what is called.
    pub(crate) keeper: std::sync::OnceLock<crate::Keeper>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("running", &self.inner.queries.running().len()).finish_non_exhaustive()
    }
}

/// What [`Engine::schema_tree`] knows, for completion in editors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaTree {
    /// Tables of all layers, and those of `system`.
    pub tables: Vec<SchemaTable>,
    /// Names of all functions, sorted.
    pub functions: Vec<String>,
}

/// A table in a [`SchemaTree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaTable {
    /// `bronze`, `silver`, `gold`, a namespace of one's own, or `system`.
    pub schema: String,
    /// The name.
    pub name: String,
    /// Columns: name and SQL type.
    pub columns: Vec<(String, String)>,
}

/// A statement that was understood: what it returns and which parameters it takes, without any rows read.
pub(crate) struct Prepared {
    pub session: Session,
    pub plan: LogicalPlan,
    /// What its columns are called, where the plan calls them otherwise.
    pub labels: Labels,
}

/// How the plan of a statement comes to be, on the engine's own threads.
pub(crate) type Planning = Pin<Box<dyn Future<Output = Result<Prepared, Error>> + Send>>;

impl Engine {
    /// An engine over the tables that `views` shows, whose files are in `store`. It starts threads of its own, which end with its last clone.
    ///
    /// # Errors
    /// [`Kind::Internal`] where the threads or the folder for spilled data can't be had.
    pub fn new(
        views: Arc<dyn ViewSource>,
        store: Arc<dyn ObjectStore>,
        settings: QuerySettings,
        clock: SharedClock,
    ) -> Result<Self, Error> {
        let limits = admission::Limits {
            running_max: settings.running_max,
            light_bytes_max: settings.light_bytes_max,
            wait_max: settings.wait_max,
        };
        let admission = Admission::new(limits, Arc::clone(&clock));
        let queries = Arc::new(Queries::new(settings.history_max, Arc::clone(&clock), Arc::clone(&admission)));
        let system = Arc::new(SystemTables::new(Arc::clone(&queries)));
        let store_url = session::store_url()?;
        let base = Arc::new(session::Base::new(&settings, &store_url, store, Arc::clone(&views), Arc::clone(&system))?);
        let inner = Inner {
            threads: threads::Threads::start(settings.threads())?,
            planners: Semaphore::new(settings.running_max.max(1)),
            admission,
            views,
            settings,
            clock,
            system,
            queries,
            accesses: Accesses::default(),
            base,
            keeper: std::sync::OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Plans and starts one statement. Returns when its columns are known; rows come through the stream, planned and read against one view of
    /// the lake. Dropping the future or the stream cancels the query.
    ///
    /// # Errors
    /// Everything that can be known before the first row, [`Kind::Timeout`] and [`Kind::Cancelled`] included.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryRunning, Error> {
        let engine = self.clone();
        let (sql, params) = (request.sql.clone(), request.params.clone());
        let planning = Box::pin(async move {
            let prepared = engine.prepare(&sql).await?;
            let plan = json_params(prepared.plan, &params)?;
            Ok(Prepared { plan, ..prepared })
        });
        self.start(request, planning).await
    }

    /// Plans a statement, and tells what it would read at most, without reading a row of it. Planning reads metadata alone.
    ///
    /// # Errors
    /// As [`Self::query`], as far as planning finds out.
    pub async fn estimate(&self, request: QueryRequest) -> Result<Estimate, Error> {
        let engine = self.clone();
        let planning = async move {
            let prepared = engine.prepare(&request.sql).await?;
            let plan = json_params(prepared.plan, &request.params)?;
            let plan = explain::unwrap(plan).map_or_else(|plan| *plan, |explained| explained.plan);
            let plan = runner::limited(plan, request.max_rows)?;
            let physical = prepared.session.state.create_physical_plan(&plan).await?;
            let schema = prepared.labels.apply(crate::sql_types::plain_schema(&physical.schema()));
            let as_of = prepared.session.view.sources.iter().map(|(s, c)| (s.clone(), c.clone())).collect();
            Ok(Estimate::of(physical.as_ref(), schema, as_of, engine.inner.settings.price_per_tb))
        };
        self.on_threads(planning).await
    }

    /// Starts the statement that `planning` yields. Planning runs on the engine's threads and inside the query's time.
    pub(crate) async fn start(&self, request: QueryRequest, planning: Planning) -> Result<QueryRunning, Error> {
        runner::start(Arc::clone(&self.inner), request, planning).await
    }

    /// Parses and plans one statement against the lake as it is now.
    pub(crate) async fn prepare(&self, sql: &str) -> Result<Prepared, Error> {
        let statement = parse(sql)?;
        self.plan(self.session(), statement).await
    }

    /// Plans a parsed statement in a session.
    pub(crate) async fn plan(&self, session: Session, statement: datafusion::sql::parser::Statement) -> Result<Prepared, Error> {
        if let datafusion::sql::parser::Statement::Statement(sql) = &statement
            && let datafusion::sql::sqlparser::ast::Statement::Call(call) = sql.as_ref()
        {
            return Ok(Prepared { plan: self.call(call)?, session, labels: Labels::default() });
        }
        check_read_only(&statement)?;
        self.check_tables(&session, &statement)?;
        let mut statement = statement;
        let labels = Labels::take(&mut statement);
        let plan = session.state.statement_to_plan(statement).await?;
        statement::check_plan(&plan)?;
        let plan = explain::mark(plan)?;
        Ok(Prepared { session, plan, labels })
    }

    /// A session on the lake as it is now.
    pub(crate) fn session(&self) -> Session {
        self.session_on(self.inner.views.view(), Arc::from([Layer::Gold, Layer::Silver]))
    }

    /// A session on a view of the lake, in which names without a schema are looked for along `path`.
    pub(crate) fn session_on(&self, view: Arc<LakeView>, path: Arc<[Layer]>) -> Session {
        self.inner.base.session(view, path, 0)
    }

    /// The lake as it is now.
    pub(crate) fn view(&self) -> Arc<LakeView> {
        self.inner.views.view()
    }

    /// Tables that crawlers found.
    pub(crate) fn crawled(&self) -> &crate::files::CrawledTables {
        &self.inner.base.files().crawled
    }

    /// Names and columns of the system tables.
    pub(crate) fn system_schemas(&self, view: &LakeView) -> Vec<(String, arrow::datatypes::SchemaRef)> {
        self.inner.system.schemas(view)
    }

    /// The lake to make and change things in.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where SQL only reads.
    pub(crate) fn lake(&self) -> Result<&Lake, Error> {
        self.inner.views.lake().ok_or_else(|| Error::new(Kind::Unsupported, "SQL only reads here"))
    }

    /// The type that a column declared so has: in the resolution and width that tables keep.
    pub(crate) async fn sql_type(&self, declared: &datafusion::sql::sqlparser::ast::DataType) -> Result<DataType, Error> {
        let statement = parse(&format!("SELECT CAST(NULL AS {declared})"))?;
        let session = self.session();
        let plan = session.state.statement_to_plan(statement).await?;
        Ok(crate::sql_types::stored_type(plan.schema().field(0).data_type()))
    }

    /// Runs `work` on the engine's threads and waits for it.
    pub(crate) async fn on_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.threads.run(work).await
    }

    /// Starts `work` on the engine's threads; none where they are gone.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<T>> {
        self.inner.threads.spawn(work)
    }

    /// Says which table is unknown, and which was likely meant, before planning says it worse.
    fn check_tables(&self, session: &Session, statement: &datafusion::sql::parser::Statement) -> Result<(), Error> {
        for reference in session.state.resolve_table_references(statement)? {
            if session.knows(&reference) || session.state.table_functions().contains_key(reference.table()) {
                continue;
            }
            // The name without what the statement asks of the table, such as the moment of FOR VERSION AS OF.
            let name = reference.to_string().replace(reference.table(), travel::named(reference.table()).base);
            let error = Error::new(Kind::UnknownTable, format!("table `{name}` does not exist"));
            let near = nearest(&name, session.table_names().iter().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned);
            let bare = travel::named(reference.table()).base.to_owned();
            let near = near.or_else(|| {
                let names = session.table_names();
                let bare_names = names.iter().map(|n| n.split_once('.').map_or(n.as_str(), |(_, t)| t)).collect::<Vec<_>>();
                let near = nearest(&bare, bare_names)?;
                names.iter().find(|n| n.ends_with(&format!(".{near}"))).cloned()
            });
            return Err(match near {
                Some(near) => error.with_hint(format!("Did you mean `{near}`?")),
                None => error.with_hint("`SELECT * FROM system.tables` lists all tables."),
            });
        }
        Ok(())
    }

    /// Queries that run or wait now, newest first.
    pub fn running(&self) -> Vec<QueryRecord> {
        self.inner.queries.running()
    }

    /// Queries that ended, newest first, as many as the settings keep.
    pub fn history(&self) -> Vec<QueryRecord> {
        self.inner.queries.history()
    }

    /// How queries that ended since the last time reached into tables, summed by kind. One asks for all: what was taken is not told again.
    pub fn take_accesses(&self) -> Vec<(AccessKind, AccessSum)> {
        self.inner.accesses.take()
    }

    /// Cancels a running query. Says whether there was one of that id.
    pub fn cancel(&self, id: &str) -> bool {
        self.inner.queries.cancel(id)
    }

    /// Says where files may be read from. To be called once, before the first statement.
    pub fn set_file_places(&self, places: crate::FilePlaces) {
        self.inner.base.files().routes.set(places);
    }

    /// Finds the tables that files below a prefix make.
    ///
    /// # Errors
    /// Where the prefix is not where files may be read, or can't be listed. What is wrong with one table is told of that table.
    pub async fn crawl(&self, url: &str, format: Option<crate::FileFormat>) -> Result<Vec<crate::FoundTable>, Error> {
        let (url, files, env) = (url.to_owned(), self.inner.base.files().clone(), self.inner.base.env());
        self.on_threads(async move { crate::files::crawl(&url, format, &files.routes, &env).await }).await
    }

    /// Replaces the tables of a schema that crawlers keep.
    pub fn set_crawled(&self, schema: &str, tables: std::collections::BTreeMap<String, crate::CrawledTable>) {
        self.crawled().set(schema, tables);
    }

    /// Adds a table to the schema `system`, or replaces the one of that name.
    pub fn register_system_table(&self, table: Arc<dyn SystemTable>) {
        self.inner.system.register(table);
    }

    /// Tables, columns and functions, for completion.
    pub fn schema_tree(&self) -> SchemaTree {
        let view = self.inner.views.view();
        let columns = |schema: &arrow::datatypes::Schema| {
            schema.fields().iter().map(|f| (f.name().clone(), sql_type_name(f.data_type()))).collect()
        };
        let lake = view.tables.iter().map(|(table, view)| SchemaTable {
            schema: table.layer.to_string(),
            name: table.name.clone(),
            columns: columns(&view.schema),
        });
        let views = view.views.values().map(|v| SchemaTable {
            schema: v.view.layer.to_string(),
            name: v.view.name.clone(),
            columns: columns(&v.schema),
        });
        let system = self.inner.system.schemas(&view).into_iter().map(|(name, schema)| SchemaTable {
            schema: "system".to_owned(),
            name,
            columns: columns(&schema),
        });
        let state = self.inner.base.state();
        let mut functions: Vec<String> = state.udfs().into_iter().chain(state.udafs()).chain(state.udwfs()).collect();
        functions.sort_unstable();
        functions.dedup();
        let crawled = self.crawled().all();
        let crawled = crawled.into_iter().map(|(schema, name, of)| SchemaTable { schema, name, columns: columns(&of) });
        SchemaTree { tables: lake.chain(views).chain(crawled).chain(system).collect(), functions }
    }

    /// The engine's settings.
    pub fn settings(&self) -> &QuerySettings {
        &self.inner.settings
    }
}

/// Values for a plan's `$1`, `$2`, …
pub(crate) fn with_params(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan, Error> {
    Ok(plan.with_param_values(values)?)
}
