//! The lake's tables as DataFusion sees them: files with deleted rows hidden, rows that are not committed yet, statistics that stay true.

mod constants;
mod fields;
mod files;
mod footers;
mod hot;
mod keys;
mod origin;
mod prefilter;
mod scans;
mod sorted;
mod stats;
mod table;

pub(crate) use fields::reading_schema;
pub(crate) use footers::Footers;
pub(crate) use hot::HotExec;
pub(crate) use origin::{FILES_LOOKED_AT, ScanFacts, ScanSize, scan_facts, scan_size};
pub(crate) use prefilter::PrefilterExec;
pub(crate) use scans::ScanFilters;
pub use table::LakeTableProvider;
pub(crate) use table::{FILE, LOCATED, ROW};
