use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file that somebody uploaded (`GET /api/v1/uploads`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// How SQL names it: `uploads/name`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified_us: i64,
}

/// What looks for tables among files (`GET /api/v1/crawlers`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Crawler {
    /// Its name, which is the schema of its tables.
    pub name: String,
    /// The folder or the bucket's prefix below which it looks.
    pub url: String,
    /// The one format that it takes; every one where unset.
    #[serde(default)]
    pub format: Option<String>,
    /// From the end of one crawl to the beginning of the next.
    pub every_ms: f64,
    /// `crawling`, `ok`, `failing` (the last crawl failed, or a table can't be read) or `new` (nothing was found yet).
    pub state: String,
    /// Since when it crawls; none while it rests.
    #[serde(default)]
    pub crawling_since_us: Option<i64>,
    /// When the last crawl ended.
    #[serde(default)]
    pub crawled_us: Option<i64>,
    /// How long it took.
    #[serde(default)]
    pub elapsed_ms: Option<f64>,
    /// Why the last crawl failed.
    #[serde(default)]
    pub error: Option<String>,
    /// What to do then.
    #[serde(default)]
    pub hint: Option<String>,
    /// What it found.
    pub tables: Vec<CrawledTable>,
    /// The newest changes that it saw, newest first.
    pub drift: Vec<Drift>,
}

/// A table that a crawler found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CrawledTable {
    /// Its name in the crawler's schema.
    pub name: String,
    /// Where its files are.
    pub path: String,
    /// `csv`, `json`, `parquet`, `avro`, `delta` or `iceberg`.
    pub format: String,
    /// Its columns, partitions last.
    pub columns: Vec<crate::SqlColumn>,
    /// Names of the columns that folders say (`year=2026/`).
    pub partitions: Vec<String>,
    /// Files at the last crawl.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows at the last crawl, where its metadata tells.
    #[serde(default)]
    pub rows: Option<u64>,
    /// Why it can't be read.
    #[serde(default)]
    pub error: Option<String>,
    /// What to do then.
    #[serde(default)]
    pub hint: Option<String>,
}

/// A change that a crawl saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// When it was seen.
    pub seen_us: i64,
    /// The crawler.
    pub crawler: String,
    /// The table.
    pub table: String,
    /// `table_added`, `table_removed`, `column_added`, `column_removed`, `column_missing` (in the newest file), `type_changed` or `broken`.
    pub kind: String,
    /// The column; empty where it is about the whole table.
    pub column: String,
    /// The type it had.
    #[serde(default)]
    pub was: Option<String>,
    /// The type it has; for a broken table, why.
    #[serde(default)]
    pub becomes: Option<String>,
    /// A file that shows it.
    #[serde(default)]
    pub file: Option<String>,
}

/// How to crawl (`POST /api/v1/crawlers/{name}/run`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CrawlRequest {
    /// Whether to answer when the crawl has ended, rather than at once.
    #[serde(default)]
    pub wait: bool,
}
