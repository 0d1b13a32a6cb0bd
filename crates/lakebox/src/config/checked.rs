use super::secret::Secret;
use lake::RemoteSettings;
use medallion::{CrawlerSettings, UpkeepSettings};
use serde_json::Value as Json;
use source_simulator::SimulatorConfig;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use transform::TransformConfig;

/// Checked settings of one lakebox. Every path is absolute, every name that is referred to exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the lake is and how it commits.
    pub lake: Lake,
    /// Where lakebox listens, and the limits of queries.
    pub server: Server,
    /// What keeps tables in shape.
    pub upkeep: UpkeepSettings,
    /// Systems to follow, in the file's order.
    pub sources: Vec<Source>,
    /// What looks for tables among files, in the file's order.
    pub crawlers: Vec<CrawlerSettings>,
    /// Plugins, in the file's order.
    pub transforms: Vec<Transform>,
    /// The folder of the models, if there is one.
    pub models: Option<PathBuf>,
}

/// Where the lake is.
#[derive(Debug, Clone, PartialEq)]
pub struct Lake {
    /// An absolute folder, or the URL of an object store.
    pub warehouse: String,
    /// The catalog's URL; an SQLite path in it is absolute.
    pub catalog: Secret,
    /// Options of the object store.
    pub options: BTreeMap<String, Secret>,
    /// How long the object store is waited for, and the cache. Its environment is filled in when the lake is opened.
    pub store: RemoteSettings,
    /// Memory for rows that are not committed yet, in bytes.
    pub memory_bytes_max: usize,
}

impl Lake {
    /// Whether the warehouse is an object store, where requests cost time and money.
    pub fn is_remote(&self) -> bool {
        self.warehouse.contains("://")
    }
}

/// When changes are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The longest time between a change and its commit.
    pub every: Duration,
    /// Changes in a commit.
    pub rows_max: u64,
    /// Bytes in a commit.
    pub bytes_max: u64,
}

/// Where lakebox listens, and the limits of queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The dashboard and the HTTP API.
    pub http: SocketAddr,
    /// The PostgreSQL wire.
    pub pgwire: SocketAddr,
    /// Flight SQL.
    pub flight: SocketAddr,
    /// Who may connect over the PostgreSQL wire and Flight SQL; whoever can where there are none.
    pub users: Vec<(String, Secret)>,
    /// Files of the certificate and of its key, if connections are to be encrypted.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The longest a query may take.
    pub query_timeout: Duration,
    /// Memory that one query may hold before it spills.
    pub query_memory_bytes_max: usize,
    /// Disk that all queries may use for what they spill.
    pub query_spill_bytes_max: u64,
    /// Bytes of data files that one query may read; 0 for any number.
    pub query_bytes_scanned_max: u64,
    /// What reading a terabyte is worth, in US dollars.
    pub query_price_per_tb: f64,
    /// Queries that run at once.
    pub queries_running_max: usize,
    /// The longest that a query waits for a place.
    pub queue_wait: Duration,
    /// Bytes that a light query reads at most.
    pub query_light_bytes_max: u64,
    /// Where SQL may read files, beside what was uploaded: absolute folders and URLs of buckets.
    pub files: Vec<String>,
    /// Bytes of the largest file that may be uploaded.
    pub upload_bytes_max: u64,
    /// Host names under which browsers may reach the server, besides `localhost` and addresses.
    pub hosts: Vec<String>,
    /// The Iceberg REST catalog.
    pub iceberg: Iceberg,
}

/// The Iceberg REST catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iceberg {
    /// Names and passwords of the programs that may use it.
    pub clients: Vec<(String, Secret)>,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// Whether anybody may use it without a token.
    pub open: bool,
    /// Whether clients are given the credentials of the object store.
    pub vend_credentials: bool,
}

/// A system to follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Names of the transforms its rows pass, in order.
    pub transforms: Vec<String>,
    /// When its changes are committed.
    pub commit: Commit,
    /// What it is.
    pub kind: SourceKind,
}

/// The types of sources that this version has.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// A PostgreSQL database.
    Postgres(PostgresSource),
    /// The bank that lakebox makes up.
    Simulator(SimulatorConfig),
}

impl SourceKind {
    /// The word in `type`.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Simulator(_) => "simulator",
        }
    }
}

/// A PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSource {
    /// Where it is.
    pub url: Secret,
    /// Patterns of the tables to follow.
    pub tables: Vec<String>,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Connections of the first copy.
    pub snapshot_connections: usize,
    /// Write-ahead log that the server may keep before lakebox warns, in bytes; 0 for never.
    pub wal_budget_bytes: u64,
    /// Memory for changes read ahead of the lake.
    pub read_ahead_bytes: usize,
}

/// A plugin.
#[derive(Clone, PartialEq)]
pub struct Transform {
    /// Its name.
    pub name: String,
    /// Its file, what it is told, and its limits. What it is told may hold secrets: show [`Transform::config_shown`] instead.
    pub config: TransformConfig,
    /// What it is told, with values from the environment masked.
    pub config_shown: Json,
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transform")
            .field("name", &self.name)
            .field("wasm", &self.config.wasm)
            .field("config", &self.config_shown)
            .finish_non_exhaustive()
    }
}
