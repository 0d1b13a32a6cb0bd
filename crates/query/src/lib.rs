//! SQL over the lake: the table provider, the engine with its own threads and limits, system tables, result encoders, PostgreSQL wire, Flight SQL.
//!
//! The only crate that knows DataFusion. It reads everything and moves no cursor; what SQL makes (schemas, views, tables in users' own schemas) it
//! hands to the lake, and it keeps nothing on disk itself but spilled data.

mod access;
mod accesses;
mod call;
mod ddl;
mod dml;
mod encode;
mod engine;
mod error;
mod explain;
mod files;
mod flight;
mod join_order;
mod pg_catalog;
mod pgwire;
mod provider;
mod sql_types;
mod system;
mod travel;

pub use access::Users;
pub use accesses::{AccessKind, AccessSum, FilterKind};
pub use call::{Keeper, Keeping};
pub use encode::{Body, Form, encode};
pub use engine::{
    Counters, Engine, Estimate, QueryRecord, QueryRequest, QueryRunning, QuerySettings, QueryState, RowStream, ScanEstimate,
    SchemaTable, SchemaTree, ViewSource, cost_usd,
};
pub use error::{Error, Kind};
pub use files::{CrawledTable, FilePlaces, Format as FileFormat, FoundTable};
pub use flight::serve_flight;
pub use pgwire::{Access, serve_pgwire};
pub use sql_types::sql_type_name;
pub use system::{SystemTable, advice, crawlers, drift, from_rows, pipelines, snapshots, upkeep};
