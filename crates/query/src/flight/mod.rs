//! Arrow Flight SQL: ADBC and JDBC drivers ask the engine and get Arrow batches as they are computed.
//!
//! A statement is planned once, when its columns are asked for; the ticket that the client gets stands for the plan, which then runs on the
//! lake as it was planned on. All state is bounded and forgotten after a while.

mod kept;
mod metadata;
mod server;
mod service;
mod status;

pub use server::serve_flight;
