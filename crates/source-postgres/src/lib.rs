//! PostgreSQL as a source: first a copy of all tables from one snapshot, then their changes from exactly there, columnar from the socket on.
//!
//! This crate never decides what is durable: it resumes where a cursor says, and tells the server only what was acknowledged.

mod config;
mod connect;
mod cursor;
mod decode;
mod discover;
mod outlet;
mod snapshot;
mod source;
mod stream;
mod watcher;

pub use config::PostgresConfig;
pub use connect::server_of;
pub use source::PostgresSource;
