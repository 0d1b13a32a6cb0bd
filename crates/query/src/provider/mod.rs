//! The lake's tables as DataFusion sees them: files with deleted rows hidden, rows that are not committed yet, statistics that stay true.

mod fields;
mod files;
mod hot;
mod stats;
mod table;

pub(crate) use fields::reading_schema;
pub use table::LakeTableProvider;
