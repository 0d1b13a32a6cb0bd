//! The nouns every room uses: positions and cursors, table schemas, change batches, names of lake tables, faults.
//!
//! This crate does no I/O, knows no source, no file format and no engine, and is never async.

mod change;
mod fault;
mod naming;
mod position;
mod schema;

pub use change::{
    CHANGE_COLUMNS, COMMIT_TS, ChangeBatch, ChangeError, INGEST_TS, OP, Op, POS, SEQ, UNCHANGED, XID, change_fields, column,
};
pub use fault::Fault;
pub use naming::{LakeTable, Layer, NameError, Namespace, is_plain_name, lake_name};
pub use position::{Cursor, Position};
pub use schema::{Column, Key, TableId, TableSchema};
