//! What SQL makes and changes: schemas, views, and tables in the schemas that users made.

mod execute;
mod rows;
mod statement;

pub(crate) use execute::{Executor, commit, lake_error, typed_values};
pub(crate) use rows::{fitted, places};
pub(crate) use statement::{Ddl, ObjectPath, ddl_of, identifier, path_of};
