//! Where every live row of a table stands: a map from its key to (data file, row), on local disk, rebuildable from the table.
//!
//! An entry is true for ever, because data files never change: "this key was written at that place". Whether the row still lives is asked of
//! the table's delete bitmaps, so the index has no tombstones and a stale entry does no harm. What must hold is only that the newest entry
//! of a key is there: entries wait in a hash table, move to immutable sorted runs, and the manifest names those runs alone that hold
//! nothing but committed rows. After a crash the files whose entries were not in a named run are read again.
//!
//! This module knows Arrow columns and local files, no Iceberg and no source.

mod bloom;
mod error;
mod hot;
mod key;
mod location;
mod manifest;
mod merge;
mod run;
mod store;

#[cfg(test)]
mod tests;

pub use error::{IndexError, IndexErrorKind};
pub use key::{KeyEncoder, occurrence};
pub use location::Location;
pub use store::{IndexJob, IndexSettings, JobDone, KeyIndex, ManifestDraft};
