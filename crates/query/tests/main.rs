//! The query engine from outside: tables made by hand, asked through SQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]

mod disk;
mod dml;
mod encode;
mod engine;
mod errors;
mod explain;
mod files;
mod flat;
mod join_order;
mod joins;
mod keys;
mod layout;
mod partitions;
mod pgwire;
mod provider;
mod sorted;
mod support;
mod travel;
