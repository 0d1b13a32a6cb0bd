use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Layouts that would let queries read less, and those that were applied (`GET /api/v1/advice`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Advices {
    /// What is advised, the most saving first.
    pub advice: Vec<Advice>,
    /// What was applied and is in force.
    pub applied: Vec<AppliedLayout>,
}

/// A layout that would let queries read less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Advice {
    /// Names it, for `POST /api/v1/advice/{id}/apply`.
    pub id: String,
    /// The table, as `layer.name`.
    pub table: String,
    /// `sort`, `zorder` or `bloom`.
    pub kind: String,
    /// The columns to sort by, to lay out by, or to give bloom filters.
    pub columns: Vec<String>,
    /// Queries of the last seven days that would have read less.
    pub queries: u64,
    /// Bytes of the table's files that all queries of the last seven days read.
    pub read_bytes: u64,
    /// Bytes that they would read, by estimate.
    pub expected_bytes: u64,
    /// The difference.
    pub saved_bytes: u64,
    /// All of it as a sentence.
    pub text: String,
}

/// A layout that was applied to a table, beside the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppliedLayout {
    /// The table, as `layer.name`.
    pub table: String,
    /// What it is, as people read it.
    pub layout: String,
    /// When it was applied.
    pub applied_us: i64,
}
