//! Files of others as columns: CSV, JSON and Avro, with types found by looking; names of files as patterns and as partitions; the log of a Delta table.
//!
//! It works on bytes that it is given and does no input or output itself. Whatever the bytes are, it answers with columns or with an error that says
//! where in the file something is wrong: no value is changed on its way, none becomes NULL because it could not be read.

pub mod avro;
pub mod csv;
pub mod delta;
mod error;
pub mod json;
pub mod paths;
pub mod typed;

pub use error::{Error, Place};
