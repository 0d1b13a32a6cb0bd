use crate::{IcebergSettings, routes};
use catalog::Catalog;
use lake::Lake;
use medallion::{Advisor, Crawlers, Models, Upkeep};
use model::LakeTable;
use pipeline::Handle;
use query::Engine;
use runtime::{CancellationToken, SharedClock};
use std::{path::PathBuf, sync::Arc};
use transform::{PluginInfo, TransformConfig, TransformStats};

/// Everything the handlers answer from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) parts: Arc<AppParts>,
}

/// What the binary hands to the server.
#[derive(Debug)]
pub struct AppParts {
    /// Tables.
    pub lake: Lake,
    /// What lakebox remembers.
    pub catalog: Catalog,
    /// SQL.
    pub engine: Engine,
    /// Every pipeline of the configuration, by name.
    pub pipelines: Vec<Handle>,
    /// Every transform of the configuration, by name.
    pub transforms: Vec<TransformEntry>,
    /// Gold.
    pub models: Models,
    /// What keeps tables in shape.
    pub upkeep: Upkeep,
    /// What finds tables among files of others.
    pub crawlers: Crawlers,
    /// Bytes of the largest file that may be uploaded.
    pub uploads_bytes_max: u64,
    /// What proposes layouts.
    pub advisor: Advisor,
    /// Time.
    pub clock: SharedClock,
    /// What `GET /api/v1/about` answers.
    pub about: api::About,
    /// When the process started.
    pub started_us: i64,
    /// The folder of the warehouse, where it is on a disk of this machine.
    pub warehouse_dir: Option<PathBuf>,
    /// Host names besides addresses and `localhost` under which the server may be asked.
    pub hosts: Vec<String>,
    /// The Iceberg REST catalog.
    pub iceberg: IcebergSettings,
    /// Ends endless answers when the process goes down.
    pub stopping: CancellationToken,
}

/// A transform as configured, and how it does.
#[derive(Debug)]
pub struct TransformEntry {
    /// The name in the configuration.
    pub name: String,
    /// How it was configured.
    pub config: TransformConfig,
    /// What the plugin says of itself and the hash of its bytes, or why it could not be loaded.
    pub plugin: Result<(PluginInfo, String), String>,
    /// Counters, shared with every instance.
    pub stats: Arc<TransformStats>,
}

impl App {
    /// The handlers' state.
    pub fn new(parts: AppParts) -> Self {
        let app = Self { parts: Arc::new(parts) };
        app.register_system_tables();
        app
    }

    /// `system.pipelines` and `system.snapshots` are what the API shows of the same things.
    fn register_system_tables(&self) {
        let handles = self.pipelines.clone();
        self.engine.register_system_table(query::pipelines(move || routes::pipelines::wire_all(&handles)));
        let upkeep = self.upkeep.clone();
        self.engine.register_system_table(query::upkeep(move || upkeep.recent().iter().map(routes::upkeep::wire).collect()));
        let crawlers = self.crawlers.clone();
        let all = move || crawlers.all().into_iter().map(|c| routes::crawlers::crawler(c, Vec::new())).collect();
        self.engine.register_system_table(query::crawlers(all));
        let crawlers = self.crawlers.clone();
        self.engine
            .register_system_table(query::drift(move || crawlers.recent_drift().iter().map(routes::crawlers::drift).collect()));
        let advisor = self.advisor.clone();
        self.engine.register_system_table(query::advice(move || advisor.advice().iter().map(routes::advice::wire).collect()));
        self.engine.set_keeper(routes::upkeep::keeper(self.upkeep.clone(), self.clock.clone()));
        let lake = self.lake.clone();
        self.engine.register_system_table(query::snapshots(move || {
            let tables: Vec<_> = lake.view().tables.keys().cloned().collect();
            let snapshots = |table: LakeTable| {
                let found = lake.tables().state(&table).map(|state| state.snapshots()).unwrap_or_default();
                found.into_iter().map(move |info| (table.clone(), routes::tables::snapshot(&info)))
            };
            tables.into_iter().flat_map(snapshots).collect()
        }));
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;
    fn deref(&self) -> &AppParts {
        &self.parts
    }
}
