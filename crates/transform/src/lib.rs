//! Runs plugins that nobody trusts, safely, as a [`pipeline::Transform`]: WebAssembly components in a box of limited memory and time.
//!
//! The only door to wasmtime. A plugin imports nothing, so it can compute and nothing else; one that traps, loops, eats memory or
//! lies about its answer costs the rows it was given and no more. `plugins/contract` is what it is held to.

mod breaker;
mod config;
mod contract;
mod error;
mod failure;
mod host;
mod instance;
mod pack;
#[cfg(test)]
mod packing_tests;
mod plan;
mod plugin;
mod row_json;
mod settle;
mod stats;
mod ticker;
mod transform;
mod unpack;

/// The packed layout, shared with the plugins' SDK.
#[path = "../../../plugins/contract/layout.rs"]
pub mod layout;

pub use config::{OnError, TransformConfig};
pub use error::{Error, Kind};
pub use host::{Host, HostSettings};
pub use plugin::{Plugin, PluginInfo};
pub use row_json::row_json;
pub use stats::{TransformCounts, TransformStats};
pub use transform::PluginTransform;
