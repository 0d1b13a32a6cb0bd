//! Tables as files: Iceberg metadata, data files, position deletes, the key index, the sink of the change path, and consistent views for readers.
//!
//! The only crate that knows the `iceberg` crate. It never asks a source anything and never runs SQL.

pub mod index;
mod view;

pub use view::{ColumnStats, HotBatch, LakeView, TableView, ViewFile};
