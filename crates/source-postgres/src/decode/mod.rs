//! Bytes to columns: the text and binary forms of PostgreSQL's types, and the builders that become change batches. Pure functions over bytes;
//! malformed input is refused or kept as text, never a panic.

mod batch;
mod calendar;
mod decimal;
mod kind;
mod shape;
mod text;
mod values;

pub(crate) use batch::{BatchBuilder, Origin};
pub(crate) use kind::Kind;
pub(crate) use shape::{Shape, ShapeColumn};
