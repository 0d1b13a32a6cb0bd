//! What SQL makes and changes: schemas, views, and tables in the schemas that users made.

mod alone;
mod columns;
mod execute;
mod options;
mod partitions;
mod rows;
mod statement;

pub(crate) use alone::{Alone, alone};
pub(crate) use execute::{Done, Executor, commit, lake_error, typed_values};
pub(crate) use partitions::rewrite as partitioned;
pub(crate) use rows::{fitted, places};
pub(crate) use statement::{Ddl, ObjectPath, ddl_of, identifier, path_of};
