//! The PostgreSQL wire protocol: psql, drivers and BI tools ask the engine. Each statement sees the lake as it is when it runs, prepared or not.

mod command;
mod cursors;
mod declared;
mod errors;
mod handlers;
mod numeric;
mod params;
mod planning;
mod server;
mod session;
mod wire;

pub use server::serve_pgwire;
