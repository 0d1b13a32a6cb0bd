//! Rows that SQL changes: DELETE, UPDATE, MERGE and INSERT … ON CONFLICT.
//!
//! Each becomes one query over the table, joined with what the statement names beside it, whose rows say which row of which file is meant, what happens
//! to it and what its new values are ([`select`]). What comes out is sorted into positions to hide and rows to write ([`Sorter`]).

mod select;
mod sort;
mod statement;

pub(crate) use select::{cast_parameter, select};
pub(crate) use sort::Sorter;
pub(crate) use statement::{RowChange, row_change};
