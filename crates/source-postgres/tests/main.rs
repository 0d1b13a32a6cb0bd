//! The source against a real PostgreSQL.

mod model_sink;
mod refusals;
mod server;
mod snapshot;
mod stream;
mod workload;
