//! The source against a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]

mod model_sink;
mod refusals;
mod server;
mod snapshot;
mod stream;
mod workload;
