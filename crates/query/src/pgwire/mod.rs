//! The PostgreSQL wire protocol: psql, drivers and BI tools ask the engine. Each statement sees the lake as it is when it runs, prepared or not.

mod bulk;
mod changing;
mod command;
mod copy;
mod cursors;
mod declared;
mod errors;
mod handlers;
mod nothing;
mod numeric;
mod params;
mod planning;
mod server;
mod session;
mod transaction;
mod translate;
mod wire;

pub use server::{Access, serve_pgwire};

/// Who runs a statement that came over the wire, in lists of queries.
const CLIENT: &str = "pgwire";
