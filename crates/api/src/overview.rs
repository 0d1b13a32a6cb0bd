use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everything the first page needs (`GET /api/v1/overview`); also the payload of the `overview` event of `GET /api/v1/events` (server-sent,
/// once a second, beside `pipelines` with the list of pipelines).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// `ok`, `degraded` or `failing`.
    pub health: String,
    /// What is wrong, worst first; empty where nothing is.
    pub issues: Vec<Issue>,
    /// Freshness of each layer.
    pub layers: Vec<LayerHealth>,
    /// Changes per second over all pipelines.
    pub rows_per_s: f64,
    /// Changes made durable since the lake exists.
    pub rows_total: u64,
    /// Throughput of all pipelines, one point a second for the last ten minutes, oldest first. In server-sent events only the newest two.
    pub throughput: Vec<crate::ThroughputPoint>,
    /// Pipelines by state.
    pub pipelines: Vec<StateCount>,
    /// What the lake holds.
    pub storage: Storage,
    /// The process.
    pub process: Process,
    /// Now, on the server.
    pub at_us: i64,
}

/// Something that wants attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Issue {
    /// `error` or `warning`.
    pub severity: String,
    /// What it is about: `pipeline`, `table`, `transform`, `model` or `process`.
    pub about: String,
    /// Which one.
    pub name: String,
    /// What happened and where.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Since when.
    pub since_us: i64,
}

/// How a layer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LayerHealth {
    /// `bronze`, `silver` or `gold`.
    pub layer: String,
    /// Tables in it.
    pub tables: u64,
    /// Rows in it.
    pub rows: u64,
    /// Bytes in it. Files that bronze and silver share count in both.
    pub bytes: u64,
    /// Age of what queries see; absent where nothing flowed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness_ms: Option<u64>,
    /// Tables that fail.
    pub failing: u64,
}

/// How many are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateCount {
    /// The state.
    pub state: String,
    /// How many.
    pub count: u64,
}

/// What the lake holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Storage {
    /// Where.
    pub warehouse: String,
    /// Bytes of live files, each counted once.
    pub bytes: u64,
    /// Live files.
    pub files: u64,
    /// Requests to the object store since the process began.
    pub requests: u64,
    /// Free bytes, where the lake is on a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Process {
    /// lakebox's version.
    pub version: String,
    /// When it started.
    pub started_us: i64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// CPU seconds used.
    pub cpu_s: f64,
    /// Queries running now.
    pub queries_running: u64,
}

/// `GET /api/v1/about`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// lakebox's version.
    pub version: String,
    /// The licence.
    pub license: String,
    /// Where the PostgreSQL wire listens.
    pub pgwire: String,
    /// Where the lake is.
    pub warehouse: String,
    /// The configuration file; absent for the demo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// Whether this is the demo.
    pub demo: bool,
}
