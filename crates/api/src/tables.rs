use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A table in the list (`GET /api/v1/tables`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableSummary {
    /// `bronze`, `silver`, `gold` or a namespace of one's own.
    pub layer: String,
    /// The name inside the layer.
    pub name: String,
    /// The pipeline or model that writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// Live rows, rows not committed yet included.
    pub rows: u64,
    /// Bytes of live data files.
    pub bytes: u64,
    /// Live data files.
    pub files: u64,
    /// Rows that are not committed yet but visible to queries here.
    pub hot_rows: u64,
    /// When the last commit was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_commit_us: Option<i64>,
    /// What is wrong with it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One table (`GET /api/v1/tables/{layer}/{name}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableDetail {
    /// What the list says.
    #[serde(flatten)]
    pub summary: TableSummary,
    /// Where its files are.
    pub location: String,
    /// Its current metadata file, which any Iceberg engine can read.
    pub metadata_location: String,
    /// Iceberg format version.
    pub format_version: u8,
    /// The columns.
    pub columns: Vec<TableColumn>,
    /// Columns that identify a row; empty where none do.
    pub key: Vec<String>,
    /// The sort order as SQL (`customer_id, paid_at desc`); empty where unsorted.
    pub sort_order: String,
    /// How files are partitioned now (`day(paid_at), bucket(16, customer_id)`); empty where they are not.
    pub partition_by: String,
    /// Up to which source cursor the committed table is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows hidden by position deletes.
    pub deleted_rows: u64,
    /// Bytes of live delete files.
    pub delete_bytes: u64,
    /// Tables it is made from (`layer.name` or a source's table).
    pub upstream: Vec<String>,
    /// Tables made from it.
    pub downstream: Vec<String>,
    /// Table properties.
    pub properties: Vec<Property>,
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Property {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableColumn {
    /// Iceberg field id.
    pub id: i32,
    /// The name.
    pub name: String,
    /// SQL type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether every row has a value.
    pub required: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
}

/// A snapshot (`GET /api/v1/tables/{layer}/{name}/snapshots`), newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableSnapshot {
    /// Iceberg snapshot id, as text because it has 64 bits.
    pub id: String,
    /// When.
    pub at_us: i64,
    /// `append`, `overwrite` or `delete`.
    pub operation: String,
    /// Rows added.
    pub added_rows: u64,
    /// Rows deleted.
    pub deleted_rows: u64,
    /// Data files added.
    pub added_files: u64,
    /// Bytes added.
    pub added_bytes: u64,
    /// Rows in the table after it.
    pub total_rows: u64,
    /// The source cursor it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether the table points at it now.
    pub current: bool,
}

/// A live file (`GET /api/v1/tables/{layer}/{name}/files`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableFile {
    /// Full path.
    pub path: String,
    /// `data`, `position deletes`, or `deletion vector`, of which a file holds several.
    pub content: String,
    /// Rows in it.
    pub rows: u64,
    /// Of these, hidden by position deletes.
    pub deleted_rows: u64,
    /// Size.
    pub bytes: u64,
    /// The data sequence number.
    pub sequence: i64,
    /// Its partition as JSON, each field with its value; none where it is in no partition.
    pub partition: Option<String>,
}
