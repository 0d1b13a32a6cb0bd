//! The lake's tables as DataFusion sees them: files with deleted rows hidden, rows that are not committed yet, statistics that stay true.

mod fields;
mod files;
mod hot;
mod origin;
mod prefilter;
mod scans;
mod stats;
mod table;

pub(crate) use fields::reading_schema;
pub(crate) use hot::HotExec;
pub(crate) use origin::{ScanSize, scan_size};
pub(crate) use prefilter::PrefilterExec;
pub(crate) use scans::ScanFilters;
pub use table::LakeTableProvider;
pub(crate) use table::{FILE, LOCATED, ROW};
