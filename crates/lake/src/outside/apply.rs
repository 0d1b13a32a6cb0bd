//! Updates of the Iceberg REST protocol, applied to metadata.

use super::request::CommitTable;
use crate::{Error, Kind, commit::metadata::REFUSED_PROPERTIES};
use iceberg::{
    TableRequirement, TableUpdate,
    spec::{SortOrder, TableMetadata, TableMetadataBuildResult, TableMetadataBuilder, UnboundPartitionSpec},
};
use model::LakeTable;
use serde_json::{Value, json};

/// Partition fields are numbered from here, by the specification.
const FIRST_PARTITION_FIELD: i32 = 1000;

/// Holds the requirements against the table as it is; `None` where it does not exist.
///
/// # Errors
/// [`Kind::Conflict`] where one does not hold, [`Kind::Exists`] where a table is to be made that is there, [`Kind::NotFound`].
pub(super) fn check(table: &LakeTable, requirements: &[TableRequirement], metadata: Option<&TableMetadata>) -> Result<(), Error> {
    for requirement in requirements {
        if let Err(error) = requirement.check(metadata) {
            let (kind, message) = match (requirement, metadata) {
                (_, None) => (Kind::NotFound, format!("there is no table {table}")),
                (TableRequirement::NotExist, _) => (Kind::Exists, format!("the table {table} exists already")),
                _ => (Kind::Conflict, format!("{table} changed meanwhile: {}", error.message())),
            };
            return Err(Error::new(kind, message).with_table(table).with_source(error));
        }
    }
    Ok(())
}

/// Applies updates in their order to the metadata that is in the file `former`.
///
/// # Errors
/// [`Kind::Invalid`] where an update makes no sense there.
pub(super) fn update(
    table: &LakeTable,
    metadata: TableMetadata,
    former: Option<String>,
    updates: Vec<TableUpdate>,
) -> Result<TableMetadataBuildResult, Error> {
    let failed = |e| wrong(table, e);
    let mut builder: TableMetadataBuilder = metadata.into_builder(former);
    for update in updates {
        builder = without_reserved(update).apply(builder).map_err(failed)?;
    }
    builder.build().map_err(failed)
}

/// Clients repeat what the metadata says elsewhere as a property (`format-version`); it is no property.
fn without_reserved(update: TableUpdate) -> TableUpdate {
    match update {
        TableUpdate::SetProperties { mut updates } => {
            updates.retain(|name, _| !REFUSED_PROPERTIES.contains(&name.as_str()));
            TableUpdate::SetProperties { updates }
        }
        other => other,
    }
}

/// The metadata of a table that a commit makes, before its updates.
///
/// The ids of columns, partition fields and orders are those of the updates: files that were written before the commit have them. The
/// builder of the `iceberg` crate would number them anew, so the first metadata is put together as the document that it is.
///
/// # Errors
/// [`Kind::Invalid`] where the commit has no schema, or one that makes no sense.
pub(super) fn first_metadata(
    table: &LakeTable,
    commit: &CommitTable,
    location: &str,
    now_ms: i64,
) -> Result<TableMetadata, Error> {
    let mut schema = None;
    let (mut spec, mut order) = (UnboundPartitionSpec::default(), SortOrder::unsorted_order());
    for update in commit.updates.iter().rev() {
        match update {
            TableUpdate::AddSchema { schema: added } => schema = Some(added),
            TableUpdate::AddSpec { spec: added } => spec = added.clone(),
            TableUpdate::AddSortOrder { sort_order } => order = sort_order.clone(),
            _ => {}
        }
    }
    let schema =
        schema.ok_or_else(|| Error::new(Kind::Invalid, format!("{table} is to be made without a schema")).with_table(table))?;
    let (spec, last_partition_id) = numbered(&spec);
    let (version, uuid) = identity(commit);
    let mut document = json!({
        "format-version": version,
        "table-uuid": uuid,
        "location": location,
        "last-sequence-number": 0,
        "last-updated-ms": now_ms,
        "last-column-id": schema.highest_field_id(),
        "current-schema-id": schema.schema_id(),
        "schemas": [schema],
        "default-spec-id": spec["spec-id"],
        "partition-specs": [spec],
        "last-partition-id": last_partition_id,
        "sort-orders": [order],
        "default-sort-order-id": order.order_id,
    });
    if version >= 3 {
        document["next-row-id"] = 0.into();
    }
    serde_json::from_value(document).map_err(|e| {
        Error::new(Kind::Invalid, format!("{table} can't be made as the commit describes it: {e}"))
            .with_table(table)
            .with_source(e)
    })
}

fn identity(commit: &CommitTable) -> (u8, uuid::Uuid) {
    let mut identity = (2, uuid::Uuid::now_v7());
    for update in &commit.updates {
        match update {
            TableUpdate::UpgradeFormatVersion { format_version } => identity.0 = *format_version as u8,
            TableUpdate::AssignUuid { uuid } => identity.1 = *uuid,
            _ => {}
        }
    }
    identity
}

/// A partition spec whose fields all have ids, and the highest id.
fn numbered(spec: &UnboundPartitionSpec) -> (Value, i32) {
    let mut last = spec.fields().iter().filter_map(|f| f.field_id).max().unwrap_or(FIRST_PARTITION_FIELD - 1);
    let mut number = |id: Option<i32>| {
        id.unwrap_or_else(|| {
            last += 1;
            last
        })
    };
    let fields: Vec<Value> = spec
        .fields()
        .iter()
        .map(|f| json!({"source-id": f.source_id, "field-id": number(f.field_id), "name": f.name, "transform": f.transform}))
        .collect();
    (json!({"spec-id": spec.spec_id().unwrap_or(0), "fields": fields}), last)
}

pub(super) fn wrong(table: &LakeTable, error: iceberg::Error) -> Error {
    Error::new(Kind::Invalid, format!("{table} can't be changed like this: {}", error.message()))
        .with_table(table)
        .with_source(error)
}
