use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /api/v1/sql`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlRequest {
    /// One statement.
    pub query: String,
    /// Values for `$1`, `$2`, … in order.
    #[serde(default)]
    pub params: Vec<serde_json::Value>,
    /// An id of the caller's choice (UUID), by which `DELETE /api/v1/queries/{id}` cancels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// At most this many rows are returned; the answer says whether there were more. Without it, all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Cancels the query after this time; never more than the server's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Only plans it: the answer has the columns, no rows, and `estimate`. Always JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What a statement would read at most: bounds of files are used, those of row groups and pages are only known once it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlEstimate {
    /// Files that have to be looked at.
    pub files: u64,
    /// Files of the tables that are named.
    pub files_total: u64,
    /// Bytes of the needed columns in these files.
    pub bytes: u64,
    /// Bytes of all files of these tables.
    pub bytes_total: u64,
    /// What reading these bytes costs in US dollars, at `server.query_price_per_tb`.
    pub cost_usd: f64,
    /// The same per scan; a table that is named twice has two.
    pub scans: Vec<SqlScan>,
}

/// What a statement would read of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SqlScan {
    /// The table, as `layer.name`.
    pub table: String,
    /// Files that have to be looked at.
    pub files: u64,
    /// Files of the table.
    pub files_total: u64,
    /// Bytes of the needed columns in these files.
    pub bytes: u64,
    /// Bytes of all files of the table.
    pub bytes_total: u64,
}

/// A result column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SqlColumn {
    /// The name.
    pub name: String,
    /// The SQL type, for example `bigint`, `numeric(12,2)`, `timestamp with time zone`.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A JSON result. 64-bit integers beyond 2^53 and decimals are strings, so that no reader rounds them; binary is hex after `\x`.
///
/// With `Accept: application/vnd.apache.arrow.stream`, `text/csv` or `application/x-ndjson` the rows come in that form instead, and these
/// facts in the headers `x-lakebox-query-id`, `x-lakebox-elapsed-ms` (planning only), `x-lakebox-as-of`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlResponse {
    /// The columns.
    pub columns: Vec<SqlColumn>,
    /// The rows, each a list of values in column order.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// How many rows are here.
    pub row_count: u64,
    /// Whether `max_rows` cut the result.
    #[serde(default)]
    pub truncated: bool,
    /// From arrival to the last row.
    pub elapsed_ms: f64,
    /// Bytes of data files that were read.
    pub bytes_scanned: u64,
    /// What reading these bytes costs in US dollars, at `server.query_price_per_tb`.
    #[serde(default)]
    pub cost_usd: f64,
    /// The id by which it could be cancelled; empty for a dry run.
    pub query_id: String,
    /// Up to which cursor each source was seen.
    #[serde(default)]
    pub as_of: Vec<AsOf>,
    /// What it would read: dry runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<SqlEstimate>,
}

/// How far a query saw one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOf {
    /// The source.
    pub source: String,
    /// Its cursor as people read it.
    pub cursor: String,
    /// Commit time at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_ts_us: Option<i64>,
}

/// A query that ran or runs (`GET /api/v1/queries?limit=`), newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryRun {
    /// Its id.
    pub id: String,
    /// The statement.
    pub query: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Its number among those that wait, from 1, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<usize>,
    /// Who asked: `http`, `pgwire` or `model:<name>`.
    pub client: String,
    /// When it began.
    pub started_us: i64,
    /// How long it took or has taken.
    pub elapsed_ms: f64,
    /// Rows returned.
    pub rows: u64,
    /// Bytes read.
    pub bytes_scanned: u64,
    /// What reading these bytes costs in US dollars, at `server.query_price_per_tb`.
    #[serde(default)]
    pub cost_usd: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the editor completes from (`GET /api/v1/schema`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchemaTree {
    /// Tables of all layers, and `system`.
    pub tables: Vec<SchemaTable>,
    /// Function names.
    pub functions: Vec<String>,
}

/// A table the editor knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchemaTable {
    /// `bronze`, `silver`, `gold`, a namespace of one's own, or `system`.
    pub layer: String,
    /// The name.
    pub name: String,
    /// Columns with their SQL types.
    pub columns: Vec<SqlColumn>,
}

/// A query that somebody kept (`GET`/`POST /api/v1/saved-queries`, `PUT`/`DELETE /api/v1/saved-queries/{id}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SavedQuery {
    /// Given by the server; empty in a `POST`.
    #[serde(default)]
    pub id: String,
    /// The title.
    pub name: String,
    /// The statement.
    pub query: String,
    /// When it was last changed.
    #[serde(default)]
    pub updated_us: i64,
}
