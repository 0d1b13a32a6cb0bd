//! Requests of the Iceberg REST protocol, as far as their meaning is the lake's.

use crate::{Error, Kind};
use iceberg::{
    TableRequirement, TableUpdate, ViewUpdate,
    spec::{Schema, SortOrder, UnboundPartitionSpec, ViewVersion},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::HashMap;

/// `CreateTableRequest` of the specification.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CreateTable {
    /// The table's name inside its namespace.
    pub name: String,
    pub(super) location: Option<String>,
    pub(super) schema: Schema,
    pub(super) partition_spec: Option<UnboundPartitionSpec>,
    pub(super) write_order: Option<SortOrder>,
    #[serde(default)]
    pub(super) stage_create: bool,
    #[serde(default)]
    pub(super) properties: HashMap<String, String>,
}

/// `CommitTableRequest` of the specification: what must hold, and what is done then.
#[derive(Debug, Deserialize)]
pub struct CommitTable {
    #[serde(default)]
    pub(super) requirements: Vec<TableRequirement>,
    #[serde(default)]
    pub(super) updates: Vec<TableUpdate>,
}

/// `CreateViewRequest` of the specification.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CreateView {
    /// The view's name inside its namespace.
    pub name: String,
    pub(super) location: Option<String>,
    pub(super) schema: Schema,
    pub(super) view_version: ViewVersion,
    #[serde(default)]
    pub(super) properties: HashMap<String, String>,
}

/// `CommitViewRequest` of the specification.
#[derive(Debug, Deserialize)]
pub struct CommitView {
    #[serde(default)]
    pub(super) requirements: Vec<ViewRequirement>,
    #[serde(default)]
    pub(super) updates: Vec<ViewUpdate>,
}

/// What must hold of a view.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum ViewRequirement {
    /// It is still the view that was read.
    #[serde(rename = "assert-view-uuid")]
    Uuid { uuid: uuid::Uuid },
}

macro_rules! parse {
    ($($request:ty),+) => {$(
        impl $request {
            /// Reads the request from its JSON.
            ///
            /// # Errors
            /// [`Kind::Invalid`], with what could not be understood.
            pub fn parse(json: Value) -> Result<Self, Error> {
                parse(json)
            }
        }
    )+};
}

parse!(CreateTable, CommitTable, CreateView, CommitView);

impl CommitTable {
    /// Whether the table is to be made by this commit.
    pub(super) fn creates(&self) -> bool {
        self.requirements.iter().any(|r| matches!(r, TableRequirement::NotExist))
    }
}

fn parse<T: DeserializeOwned>(json: Value) -> Result<T, Error> {
    serde_json::from_value(without_nulls(json))
        .map_err(|e| Error::new(Kind::Invalid, format!("the request can't be understood: {e}")).with_source(e))
}

/// Some clients send `null` for what they leave out.
fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(map) => map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
