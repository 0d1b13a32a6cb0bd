use catalog::Catalog;
use lake::Lake;
use medallion::Models;
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
        Self { parts: Arc::new(parts) }
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;
    fn deref(&self) -> &AppParts {
        &self.parts
    }
}
