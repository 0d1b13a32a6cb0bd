//! One table: its columns, its live files, and how rows become files.

pub(crate) mod bounds;
pub(crate) mod deletes;
pub(crate) mod encoding;
mod evolve;
pub(crate) mod load;
pub(crate) mod moved;
pub(crate) mod schema;
mod spec;
mod state;
pub(crate) mod travel;
pub(crate) mod vectors;
mod writer;
mod written;

pub use encoding::{FILES, FileSettings, GROUP_ROWS_ALLOWED, PAGE_ROWS_ALLOWED, can_bloom};
pub use evolve::{Evolution, evolve};
pub use schema::{FIELD_ID, field_id, with_field_id};
pub use spec::TableSpec;
pub(crate) use state::{DeleteRecord, FileRecord, Parts};
pub use state::{FileInfo, SnapshotInfo, TableInfo, TableState};
pub use travel::{HistoryPoint, ManifestPoint, RefPoint, SnapshotPoint};
pub(crate) use writer::marked_data_path;
pub use writer::{DataFileWriter, WriterOptions, new_data_path};
pub use written::WrittenFile;
