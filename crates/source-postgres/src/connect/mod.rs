//! The wire: addresses, TLS, login, simple queries and the messages of copy streams. Knows no tables and no types.

mod address;
mod auth;
mod client;
mod lsn;
mod refusal;
mod tls;
mod wire;

pub use address::server_of;

pub(crate) use address::Address;
pub(crate) use client::{Client, Mode, Row};
pub(crate) use lsn::Lsn;
pub(crate) use refusal::{Refusal, lost_hint};
pub(crate) use wire::message;

/// An identifier in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string in SQL.
pub(crate) fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    if escaped.contains('\\') { format!("E'{}'", escaped.replace('\\', "\\\\")) } else { format!("'{escaped}'") }
}
