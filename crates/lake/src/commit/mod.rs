//! The snapshot producer: from changes to Iceberg metadata, and the one catalog transaction that makes them visible.

mod change;
mod garbage;
pub(crate) mod manifests;
pub(crate) mod metadata;
pub(crate) mod moves;
mod pins;
mod plan;
mod rewrite;
pub(crate) mod snapshot;
mod summary;
mod tables;
mod touched;

pub use change::{GC_ENABLED, SUMMARY_CURSOR, SUMMARY_POSITION, SUMMARY_SOURCE, TableChange};
pub(crate) use tables::Staged;
pub use tables::Tables;
pub(crate) use touched::Touched;
