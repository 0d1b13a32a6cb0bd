//! What keeps tables fast and small for years: small files and deleted rows are folded into larger, sorted files ([`rewrite`]), snapshots expire and take
//! their files with them ([`retention`]), and files that nothing names are found and removed ([`orphans`]).
//!
//! Everything here moves rows and changes none. It runs beside ingestion and gives way to it: a rewrite whose files left the table meanwhile is thrown
//! away, deletes that came meanwhile are carried over.

mod choose;
mod lineage;
mod order;
mod orphans;
mod retention;
mod rewrite;
mod run;
mod spill;

pub use choose::Thresholds;
pub(crate) use order::mark;
pub use order::{Clustering, LAYOUT};
pub use orphans::Orphans;
pub use retention::{Retention, SNAPSHOTS_KEPT_MOST};
pub use run::{Done, Policy, Step};
