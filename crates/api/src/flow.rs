use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A pipeline (`GET /api/v1/pipelines`, `GET /api/v1/pipelines/{name}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pipeline {
    /// The source's name in the configuration.
    pub name: String,
    /// The source's type, for example `postgres`.
    pub source: String,
    /// `starting`, `snapshot`, `streaming`, `paused`, `retrying`, `failed` or `stopped`.
    pub state: String,
    /// The durable cursor as people read it.
    #[serde(default)]
    pub cursor: Option<String>,
    /// The source's end as people read it.
    #[serde(default)]
    pub head: Option<String>,
    /// Bytes at the source that are not durable here yet.
    #[serde(default)]
    pub lag_bytes: Option<u64>,
    /// Age of the newest change that queries can't see yet; 0 where they see all.
    #[serde(default)]
    pub lag_ms: Option<u64>,
    /// Changes made durable since the pipeline exists.
    pub rows_total: u64,
    /// Changes per second, over the last ten seconds.
    pub rows_per_s: f64,
    /// When the last commit was.
    #[serde(default)]
    pub last_commit_at: Option<i64>,
    /// How long it took.
    #[serde(default)]
    pub last_commit_ms: Option<f64>,
    /// The last error, if it still matters.
    #[serde(default)]
    pub last_error: Option<FlowError>,
    /// What endangers the source's system if nobody does anything, for example a log that grows.
    #[serde(default)]
    pub warning: Option<String>,
    /// The first copy, while it runs.
    #[serde(default)]
    pub snapshot: Option<Snapshot>,
    /// Per table.
    pub tables: Vec<PipelineTable>,
    /// Names of the transforms, in order.
    pub transforms: Vec<String>,
    /// Dead letters so far.
    pub dead_letters: u64,
    /// Times it was restarted since the process began.
    pub restarts: u64,
}

/// An error as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowError {
    /// A stable word, for example `unreachable`.
    pub code: String,
    /// What and where.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When it was seen last.
    pub at_us: i64,
    /// When the next try is, if there will be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at_us: Option<i64>,
}

/// Progress of a first copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Tables to copy.
    pub tables_total: u64,
    /// Tables copied.
    pub tables_done: u64,
    /// Rows copied.
    pub rows_done: u64,
    /// Rows expected.
    #[serde(default)]
    pub rows_estimate: Option<u64>,
    /// Bytes read.
    pub bytes_done: u64,
}

/// A table of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PipelineTable {
    /// The table at the source.
    pub source_table: String,
    /// Its name in bronze and silver.
    pub lake_name: String,
    /// `streaming` or `failed`.
    pub state: String,
    /// Changes since the process began.
    pub rows: u64,
    /// How silver follows it: `by key`, `by whole row` or `append only`.
    pub mode: String,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// Throughput over time (`GET /api/v1/pipelines/{name}/throughput`): one point a second for the last ten minutes, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Throughput {
    /// The points.
    pub points: Vec<ThroughputPoint>,
}

/// One second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ThroughputPoint {
    /// When.
    pub at_us: i64,
    /// Changes accepted in that second.
    pub rows: u64,
    /// Bytes they held in memory.
    pub bytes: u64,
    /// Lag at that time.
    #[serde(default)]
    pub lag_ms: Option<u64>,
}

/// A transform (`GET /api/v1/transforms`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transform {
    /// The name in the configuration.
    pub name: String,
    /// The plugin's file.
    pub path: String,
    /// What the plugin says of itself.
    pub description: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of its bytes.
    pub hash: String,
    /// `ready` or `failed`.
    pub state: String,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// Memory limit.
    pub memory_bytes_max: u64,
    /// Time limit for one batch.
    pub batch_ms_max: u64,
    /// What happens to rows it can't take: `dead_letter`, `skip`, `pass` or `stop`.
    pub on_error: String,
    /// Its configuration as JSON, secrets left out.
    pub config: serde_json::Value,
    /// Pipelines that use it.
    pub used_by: Vec<String>,
    /// Rows in.
    pub rows_in: u64,
    /// Rows out.
    pub rows_out: u64,
    /// Rows that became dead letters.
    pub dead: u64,
    /// Calls that ended in a trap or ran out of time or memory.
    pub traps: u64,
    /// Mean time per row.
    pub ns_per_row: f64,
}

/// A dead letter (`GET /api/v1/dead-letters?limit=&transform=&source=`), newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The source.
    pub source: String,
    /// Its table.
    pub table: String,
    /// The transform.
    pub transform: String,
    /// Plugin version and hash.
    pub plugin_version: String,
    /// Why.
    pub error: String,
    /// Position at the source.
    pub position: String,
    /// The operation's letter.
    pub op: String,
    /// The row as JSON text.
    pub row: String,
    /// Commit time at the source.
    #[serde(default)]
    pub commit_ts_us: Option<i64>,
}

/// A gold model (`GET /api/v1/models`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its name, which is the gold table's.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The statement as written.
    pub sql: String,
    /// `on commit`, a cron expression, or `manual`.
    pub schedule: String,
    /// `pending`, `running`, `ok` or `failed`.
    pub state: String,
    /// The last run.
    #[serde(default)]
    pub last_run: Option<ModelRun>,
    /// When it runs next, where that is by schedule.
    #[serde(default)]
    pub next_run_us: Option<i64>,
    /// Tables it reads.
    pub upstream: Vec<String>,
    /// Sort order of the table it makes.
    pub sort_order: String,
    /// How its table is partitioned (`day(paid_at)`); empty where it is not.
    pub partition_by: String,
    /// Rows of the table now.
    pub rows: u64,
}

/// A run of a model (`GET /api/v1/models/{name}/runs`), newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelRun {
    /// Its id.
    pub id: String,
    /// The model.
    pub model: String,
    /// When it began.
    pub started_us: i64,
    /// How long it took or has taken.
    pub elapsed_ms: f64,
    /// `running`, `ok` or `failed`.
    pub state: String,
    /// Rows written.
    pub rows: u64,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// What started it: `commit`, `schedule` or `request`.
    pub trigger: String,
    /// Up to which cursors its inputs stood.
    #[serde(default)]
    pub as_of: Vec<crate::AsOf>,
}
