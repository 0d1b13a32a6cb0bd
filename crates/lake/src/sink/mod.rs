//! The sink of the change path: from change batches to row deltas, as rows arrive.
//!
//! Each table's rows go into data files whose paths and row positions are chosen on arrival ([`segment`]), so that the key index and the
//! deletes of later rows are final at once ([`applier`]). Files are encoded meanwhile ([`encoder`]). At a boundary what has arrived becomes
//! visible ([`ledger`]); a commit makes files, deletes and cursor durable together ([`commit`]), after which the same rows come from files.
//!
//! Nothing is visible beyond the last boundary, and nothing here tells a source anything.

mod applier;
mod commit;
mod context;
mod counters;
mod dead;
mod encoder;
mod fill;
pub(crate) mod former;
mod hot;
mod lake_sink;
mod ledger;
mod lookup;
mod opening;
mod relocate;
mod segment;
mod settings;
pub(crate) mod shape;
mod trail;

#[cfg(test)]
mod tests;

pub use counters::{SinkCounters, TableCounters};
pub use lake_sink::LakeSink;
pub use lookup::{FoundRows, KeyLookup};
pub use settings::SinkSettings;
