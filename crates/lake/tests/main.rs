//! The lake's lower half against what outside engines read: PyIceberg and DuckDB must return exactly the rows that were written and not deleted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]

mod buckets;
mod commits;
mod failures;
mod lies;
mod objects;
mod outside;
mod partitions;
mod replaced;
mod shapes;
mod upkeep;
mod version3;
mod world;
