use super::{
    QuerySettings, ViewSource,
    catalog::{LakeCatalogs, World},
};
use crate::{
    Error, Kind,
    files::{self, Files},
    join_order::JoinOrder,
    pg_catalog::{self, PgCatalog},
    provider::ScanFilters,
    system::SystemTables,
    travel::TableChanges,
};
use arrow::datatypes::DataType;
use datafusion::{
    common::{ScalarValue, TableReference},
    execution::{
        FunctionRegistry, SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, TrackConsumersPool},
        object_store::ObjectStoreUrl,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
    prelude::{SessionConfig, SessionContext},
};
use datafusion_postgres::datafusion_pg_catalog::{pg_catalog::context::EmptyContextProvider, setup_pg_catalog};
use lake::LakeView;
use model::Layer;
use object_store::ObjectStore;
use std::{num::NonZeroUsize, sync::Arc};

/// The catalog's name in SQL.
pub(crate) const CATALOG: &str = "lakebox";
/// The schema that unqualified names are looked up in: it holds nothing itself and finds gold first, then silver.
pub(crate) const SEARCH_PATH: &str = "public";

/// The version that clients are told: the PostgreSQL whose dialect is spoken. Drivers decide by it what they may ask.
pub(crate) const SERVER_VERSION: &str = "16.6 (lakebox)";
/// The same as a number.
pub(crate) const SERVER_VERSION_NUMBER: &str = "160006";

/// Memory of a query from which on it gets large batches; merging spilled runs holds several batches at once.
const LARGE_BATCHES_FROM: usize = 256 << 20;

/// Spilled runs that one merge reads at once. Unbounded, the merges below take all memory there is and leave none for the one on top.
const SPILLED_RUNS_AT_ONCE: usize = 8;

/// The name under which the lake's object store is registered.
pub(super) fn store_url() -> Result<ObjectStoreUrl, Error> {
    Ok(ObjectStoreUrl::parse("lake://warehouse")?)
}

/// What all sessions share: functions, optimizer rules, caches, the spill folder.
pub(super) struct Base {
    state: SessionState,
    env: RuntimeEnv,
    memory_bytes_max: usize,
    store: ObjectStoreUrl,
    system: Arc<SystemTables>,
    postgres: Arc<PgCatalog>,
    views: Arc<dyn ViewSource>,
    files: Files,
}

/// One statement's world: one view of the lake, and memory of its own.
pub(crate) struct Session {
    pub(crate) view: Arc<LakeView>,
    pub(crate) state: SessionState,
    catalogs: Arc<LakeCatalogs>,
    env: Arc<RuntimeEnv>,
}

impl Base {
    pub(super) fn new(
        settings: &QuerySettings,
        url: &ObjectStoreUrl,
        store: Arc<dyn ObjectStore>,
        views: Arc<dyn ViewSource>,
        system: Arc<SystemTables>,
    ) -> Result<Self, Error> {
        let spill = match &settings.spill_dir {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|e| {
                    let message = format!("the folder {} for spilled data can't be made: {e}", dir.display());
                    Error::new(Kind::Storage, message)
                        .with_hint("Check that the user who runs lakebox may write there.")
                        .with_source(e)
                })?;
                DiskManagerMode::Directories(vec![dir.clone()])
            }
            None => DiskManagerMode::OsTmpDirectory,
        };
        let disk = DiskManagerBuilder::default()
            .with_mode(spill)
            .with_max_temp_directory_size(settings.spill_bytes_max)
            .with_max_spill_merge_fan_in(SPILLED_RUNS_AT_ONCE);
        let env = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(settings.metadata_cache_bytes_max)
            .build()?;
        env.register_object_store(url.as_ref(), store);
        let files = Files::default();
        env.register_object_store(files::store_url()?.as_ref(), Arc::new(files.routes.clone()));

        let state = SessionStateBuilder::new().with_config(config(settings)).with_runtime_env(Arc::new(env.clone()));
        let context = SessionContext::new_with_state(
            state
                .with_default_features()
                .with_optimizer_rule(Arc::new(JoinOrder))
                .with_physical_optimizer_rule(Arc::new(ScanFilters))
                .build(),
        );
        let postgres = Arc::new(PgCatalog::new(Arc::clone(&views), Arc::clone(&system), files.crawled.clone())?);
        install_functions(&context, &postgres)?;
        Ok(Self {
            state: context.state(),
            env,
            memory_bytes_max: settings.memory_bytes_max,
            store: url.clone(),
            system,
            postgres,
            views,
            files,
        })
    }

    /// Files that are read as tables.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// What runs plans, beside the memory of a query.
    pub(super) fn env(&self) -> Arc<RuntimeEnv> {
        Arc::new(self.env.clone())
    }

    /// A session on `view`, in which names without a schema are looked for along `path`. `depth` counts the views above.
    pub(super) fn session(self: &Arc<Self>, view: Arc<LakeView>, path: Arc<[Layer]>, depth: usize) -> Session {
        let world = World {
            views: Arc::clone(&self.views),
            store: self.store.clone(),
            system: Arc::clone(&self.system),
            postgres: Arc::clone(&self.postgres),
            path,
            depth,
        };
        let catalogs = Arc::new(LakeCatalogs::new(Arc::clone(&view), Arc::clone(self), world));
        // Each query has its own pool, so one that needs too much fails alone; the pool shares it fairly among the query's own operators.
        let three = NonZeroUsize::MIN.saturating_add(2);
        let pool = TrackConsumersPool::new(FairSpillPool::new(self.memory_bytes_max), three);
        let env = RuntimeEnv { memory_pool: Arc::new(pool), ..self.env.clone() };
        // Not built anew: that registers hundreds of functions, which costs more than to plan a lookup.
        let mut state = self.state.clone();
        state.register_catalog_list(Arc::clone(&catalogs) as _);
        if let Some(lake) = self.views.lake() {
            let changes = TableChanges { lake: lake.clone(), view: Arc::clone(&view), store: self.store.clone() };
            state.register_udtf("table_changes", Arc::new(changes));
        }
        state.mark_start_execution();
        Session { view, state, catalogs, env: Arc::new(env) }
    }

    pub(super) fn state(&self) -> &SessionState {
        &self.state
    }
}

/// Rows that operators hand on at once: with twice DataFusion's own number what each batch costs matters less.
fn batch_rows(memory_bytes_max: usize) -> usize {
    if memory_bytes_max < LARGE_BATCHES_FROM { 8 << 10 } else { 16 << 10 }
}

fn config(settings: &QuerySettings) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SEARCH_PATH)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(settings.threads())
        .with_batch_size(batch_rows(settings.memory_bytes_max));
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    options.sql_parser.collect_spans = true;
    // `0.1` is a decimal as in PostgreSQL: sums of money come out exact.
    options.sql_parser.parse_float_as_decimal = true;
    // A hash table up to this size is built once and probed by all threads: cheaper than to move the rows of both sides between threads.
    options.optimizer.hash_join_single_partition_threshold = 128 << 20;
    options.optimizer.hash_join_single_partition_threshold_rows = 3_000_000;
    // Without a zone, `timestamptz` and now() would lose theirs.
    options.execution.time_zone = Some("UTC".to_owned());
    // DataFusion 55.2 builds the filter that min() and max() push into a scan from those bounds alone that are not NULL yet: in `min(a), min(b)`
    // a row with a new smallest `b` is dropped while `b` has only been NULL. Wrong answers cost more than the rows it saves.
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // Small budgets must leave room to sort in.
    options.execution.sort_spill_reservation_bytes =
        options.execution.sort_spill_reservation_bytes.min(settings.memory_bytes_max / (8 * settings.threads().max(1)));
    config
}

/// Registers what PostgreSQL clients and JSON columns need.
fn install_functions(context: &SessionContext, postgres: &Arc<PgCatalog>) -> Result<(), Error> {
    let mut state = context.state();
    datafusion_functions_json::register_all(&mut state)?;
    *context.state_ref().write() = state;
    // The library can only install itself into a catalog that takes schemas, so it is given one that is not used afterwards.
    let scratch = Arc::new(datafusion::catalog::MemoryCatalogProvider::new());
    context.register_catalog(CATALOG, scratch);
    setup_pg_catalog(context, CATALOG, EmptyContextProvider).map_err(|e| Error::from(*e))?;
    context.register_udf(version());
    pg_catalog::register(context, postgres);
    Ok(())
}

/// `version()`, in the words that drivers look for.
fn version() -> ScalarUDF {
    let text = format!("PostgreSQL {SERVER_VERSION} {}", env!("CARGO_PKG_VERSION"));
    let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text.clone()))));
    create_udf("version", Vec::new(), DataType::Utf8, Volatility::Stable, Arc::new(answer))
}

impl Session {
    /// What a plan of this session runs in: caches and spill folder of all, memory of its own. Plans carry their functions, so it has none.
    pub(crate) fn task_context(&self) -> Arc<TaskContext> {
        let (id, config) = (self.state.session_id().to_owned(), self.state.config().clone());
        let env = Arc::clone(&self.env);
        Arc::new(TaskContext::new(
            None,
            id,
            config,
            Default::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            env,
        ))
    }

    /// Whether a table of this name exists.
    pub(crate) fn knows(&self, reference: &TableReference) -> bool {
        let resolved = reference.clone().resolve(CATALOG, SEARCH_PATH);
        if resolved.catalog.as_ref() != CATALOG {
            return false;
        }
        match self.state.schema_for_ref(resolved.clone()) {
            Ok(schema) => schema.table_exist(&resolved.table),
            Err(_) => false,
        }
    }

    /// All tables as `schema.table`.
    pub(crate) fn table_names(&self) -> Vec<String> {
        self.catalogs.table_names()
    }
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("functions", &self.state.udfs().len()).finish_non_exhaustive()
    }
}
