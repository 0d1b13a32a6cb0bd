//! Tables as files: Iceberg metadata, data files, position deletes, the key index, the sink of the change path, and consistent views for readers.
//!
//! The only crate that knows the `iceberg` crate. It never asks a source anything and never runs SQL.

mod columns;
mod commit;
mod error;
pub mod index;
mod lake;
mod objects;
mod outside;
mod partition;
mod replace;
mod sink;
mod sql_view;
mod store;
mod table;
mod upkeep;
mod view;

pub use columns::{COMMENT, ColumnChange, column_comment};
pub use commit::{GC_ENABLED, SUMMARY_CURSOR, SUMMARY_POSITION, SUMMARY_SOURCE, TableChange, Tables};
pub use error::{Error, Kind};
pub use lake::{Committed, Lake, LakeSettings, LakeStats};
pub use objects::{ObjectTransaction, RowDelta, SQL_WRITER};
pub use outside::{
    CommitTable, CommitView, CreateTable, CreateView, LoadedTable, LoadedView, NamespaceInfo, Outside, PropertyChange,
    read_elsewhere,
};
pub use partition::{PartitionField, PartitionTransform, buckets_of};
pub use replace::{ReplaceOptions, Replaced, SendableBatches};
pub use sink::{FoundRows, KeyLookup, LakeSink, SinkCounters, SinkSettings, TableCounters};
pub use sql_view::{DIALECT, SqlView};
pub use store::{CacheCounts, CacheSettings, FileSink, RemoteSettings, Store, StoreCounts};
pub use table::{
    DataFileWriter, Evolution, FIELD_ID, FILES, FileInfo, FileSettings, GROUP_ROWS_ALLOWED, HistoryPoint, ManifestPoint,
    PAGE_ROWS_ALLOWED, RefPoint, SnapshotInfo, SnapshotPoint, TableInfo, TableSpec, TableState, WriterOptions, WrittenFile,
    can_bloom, evolve, field_id, new_data_path, with_field_id,
};
pub use upkeep::{Clustering, Done, LAYOUT, Orphans, Policy, Retention, SNAPSHOTS_KEPT_MOST, Step, Thresholds};
pub use view::{ColumnStats, HotBatch, LakeView, TableView, ViewFile};
