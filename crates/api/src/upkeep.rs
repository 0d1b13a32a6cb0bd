use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What keeps tables in shape (`GET /api/v1/upkeep`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Upkeep {
    /// Whether it works by itself.
    pub enabled: bool,
    /// What is under way.
    #[serde(default)]
    pub doing: Option<UpkeepDoing>,
    /// Bytes written to the warehouse since the process began: data, deletes and metadata, by whomever.
    pub written_bytes: u64,
    /// Of them, bytes of files that upkeep wrote in place of others.
    pub rewritten_bytes: u64,
    /// How often each byte was written: all that was written, over what was not upkeep's. 1 where upkeep wrote nothing.
    pub write_amplification: f64,
    /// Bytes of all live files.
    pub live_bytes: u64,
    /// The newest runs, newest first.
    pub runs: Vec<UpkeepRun>,
}

/// What upkeep is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpkeepDoing {
    /// The table, as `layer.name`; none for the whole warehouse.
    #[serde(default)]
    pub table: Option<String>,
    /// `rewrite`, `manifests`, `expire` or `orphans`.
    pub step: String,
    /// When it began.
    pub since_us: i64,
}

/// A step of upkeep that did something, was asked for, or failed (`GET /api/v1/tables/{layer}/{name}/upkeep`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpkeepRun {
    /// Its id.
    pub id: String,
    /// The table, as `layer.name`; none for the whole warehouse.
    #[serde(default)]
    pub table: Option<String>,
    /// `rewrite`, `manifests`, `expire` or `orphans`.
    pub step: String,
    /// When it began.
    pub started_us: i64,
    /// How long it took.
    pub elapsed_ms: f64,
    /// Whether somebody asked for it.
    pub asked: bool,
    /// Files that were rewritten or removed.
    pub files_before: u64,
    /// Files that took their place.
    pub files_after: u64,
    /// Bytes of the former.
    pub bytes_before: u64,
    /// Bytes of the latter.
    pub bytes_after: u64,
    /// Rows that were moved.
    pub rows: u64,
    /// Deleted rows that are gone for good.
    pub deleted_rows: u64,
    /// Snapshots that were let go.
    pub snapshots: u64,
    /// Why it changed nothing.
    #[serde(default)]
    pub error: Option<String>,
}

/// What to do (`POST /api/v1/upkeep`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpkeepRequest {
    /// The table, as `layer.name`; without it every table.
    #[serde(default)]
    pub table: Option<String>,
    /// `rewrite`, `manifests`, `expire`, `orphans`; without it the first three.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Whether to answer only when everything is done.
    #[serde(default)]
    pub wait: bool,
}

/// What was done, or put in line (`POST /api/v1/upkeep`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpkeepAnswer {
    /// Whether everything is done.
    pub done: bool,
    /// What was done, oldest first; empty where it was only put in line.
    pub runs: Vec<UpkeepRun>,
}
