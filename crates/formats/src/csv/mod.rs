//! Rows of text between delimiters (RFC 4180 and what is written in its place).

mod columns;
mod records;
mod sniff;

pub(crate) use columns::fitted;
pub use columns::{Reader, Wanted};
pub use records::{Dialect, Records, Rows};
pub use sniff::{Asked, Sniffed, sniff};
