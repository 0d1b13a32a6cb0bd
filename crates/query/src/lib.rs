//! SQL over the lake: the table provider, the engine with its own threads and limits, system tables, result encoders, PostgreSQL wire.
//!
//! The only crate that knows DataFusion. It only ever reads: it writes no table, moves no cursor and keeps nothing on disk but spilled data.

mod encode;
mod engine;
mod error;
mod explain;
mod pgwire;
mod provider;
mod sql_types;
mod system;
mod travel;

pub use encode::{Body, Form, encode};
pub use engine::{
    Counters, Engine, Estimate, QueryRecord, QueryRequest, QueryRunning, QuerySettings, QueryState, RowStream, ScanEstimate,
    SchemaTable, SchemaTree, ViewSource, cost_usd,
};
pub use error::{Error, Kind};
pub use pgwire::serve_pgwire;
pub use sql_types::sql_type_name;
pub use system::{SystemTable, from_rows, pipelines, snapshots, upkeep};
