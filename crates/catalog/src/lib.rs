//! Everything lakebox remembers: table pointers, source cursors, what pipelines are meant to do, model runs, namespaces and views, saved queries, settings.
//!
//! The heart is [`Catalog::commit`]: one database transaction moves any number of table pointers and a source's cursor, each by
//! compare-and-set, and is durable when it returns. The catalog is SQLite in a file, or PostgreSQL where several processes share it.
//!
//! This crate knows no file format, never reads a data or metadata file, and never gives a cursor away that a commit has not stored.

mod catalog;
mod claim;
mod commit;
mod crawls;
mod cursors;
mod database;
mod error;
mod layouts;
mod model_runs;
mod model_states;
mod namespaces;
mod objects;
mod open;
mod pipelines;
mod saved_queries;
mod settings;
mod tables;
mod upkeep_runs;
mod views;

pub use catalog::{Catalog, Snapshot};
pub use claim::Claim;
pub use commit::{Commit, CursorSwap, PointerSwap};
pub use crawls::{CrawlRecord, CrawledRecord, DriftRecord};
pub use cursors::StoredCursor;
pub use error::{Error, Kind, Moved};
pub use layouts::{AccessRecord, LayoutRecord};
pub use model_runs::{ModelRun, RunEnd, RunState};
pub use model_states::ModelState;
pub use namespaces::{NamespaceDrop, NamespaceRecord, Properties};
pub use objects::{ObjectChange, ViewSwap};
pub use pipelines::{Desired, PipelineRecord};
pub use saved_queries::SavedQuery;
pub use tables::TableRecord;
pub use upkeep_runs::{UpkeepRun, UpkeepTotals};
pub use views::ViewRecord;
