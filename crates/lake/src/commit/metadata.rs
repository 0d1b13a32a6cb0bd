//! Table metadata: made, reshaped, given a snapshot, and kept small.

use super::{TableChange, manifests::Stamp};
use crate::{
    Error, PartitionField,
    error::Kind,
    partition,
    table::{TableSpec, schema},
    upkeep::SNAPSHOTS_KEPT_MOST,
};
use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, NullOrder, Operation, Schema as IcebergSchema, Snapshot, SnapshotRef, SortDirection, SortField,
    SortOrder, Summary, TableMetadata, TableMetadataBuilder, Transform, UnboundPartitionSpec,
};
use model::LakeTable;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Property with the names of the key columns as a JSON array.
const KEY: &str = "lakebox.key";
/// Iceberg's property for how many former metadata files the log names.
const PREVIOUS_VERSIONS: (&str, &str) = ("write.metadata.previous-versions-max", "20");
/// Snapshots that a table has at most before commits let the oldest go, whatever upkeep does: metadata is written anew by every commit.
const SNAPSHOTS_MOST: usize = 1000;
/// How many go then, so that most commits have nothing to collect.
const EXPIRE_AT_ONCE: usize = 100;

/// Names that Iceberg keeps for itself: they are no properties, though clients send some as such.
pub(crate) const REFUSED_PROPERTIES: [&str; 9] = iceberg::spec::TableProperties::RESERVED_PROPERTIES;

/// New metadata, and what it no longer names.
#[derive(Debug)]
pub(crate) struct NewMetadata {
    pub metadata: TableMetadata,
    /// Metadata files that fell out of the log.
    pub dropped_metadata: Vec<String>,
    /// Manifest lists of expired snapshots.
    pub expired_lists: Vec<String>,
}

/// The shape that the metadata describes.
pub(crate) fn spec_of(metadata: &TableMetadata) -> Result<TableSpec, Error> {
    let iceberg = metadata.current_schema();
    let key = metadata.properties().get(KEY).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let sorted = |f: &SortField| {
        let name = iceberg.field_by_id(f.source_id)?.name.clone();
        (f.transform == Transform::Identity).then_some((name, f.direction == SortDirection::Descending))
    };
    let sort_order = metadata.default_sort_order().fields.iter().map_while(sorted).collect();
    Ok(TableSpec { schema: schema::to_arrow(iceberg)?, key, sort_order })
}

/// Metadata after `change`, without its snapshot. `former` is the metadata and its file where the table exists.
pub(crate) fn reshape(
    former: Option<(&TableMetadata, &str)>,
    change: &TableChange,
    location: &str,
) -> Result<TableMetadataBuilder, Error> {
    let mut builder = match former {
        Some((metadata, file)) => metadata.clone().into_builder(Some(file.to_owned())),
        None => create(change, location)?,
    };
    if change.upgrade {
        builder = builder.upgrade_format_version(FormatVersion::V3).map_err(|e| bad(&change.table, e))?;
    }
    if let (Some(spec), Some(_)) = (&change.spec, former) {
        builder = wear(builder, spec, &change.table)?;
    }
    if let Some(by) = &change.partition_by {
        builder = partitioned(builder, by, change)?;
    }
    let set: HashMap<String, String> = change.properties.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect();
    let unset: Vec<String> = change.properties.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect();
    let failed = |e| bad(&change.table, e);
    if !set.is_empty() {
        builder = builder.set_properties(set).map_err(failed)?;
    }
    if !unset.is_empty() {
        builder = builder.remove_properties(&unset).map_err(failed)?;
    }
    Ok(builder)
}

/// The table with another partitioning, if it is another one.
fn partitioned(
    builder: TableMetadataBuilder,
    by: &[PartitionField],
    change: &TableChange,
) -> Result<TableMetadataBuilder, Error> {
    let table = &change.table;
    // Columns as they are to be; ids that the builder gave out itself are not used.
    let Some(spec) = &change.spec else {
        return Err(Error::new(Kind::Bug, format!("{table} is partitioned anew without its columns")).with_table(table));
    };
    let schema = schema::to_iceberg(&spec.schema, &spec.key)?;
    let unbound = partition::to_unbound(table, by, &schema, &spec.schema)?;
    builder.add_default_partition_spec(unbound).map_err(|e| bad(table, e))
}

fn bad(table: &LakeTable, error: iceberg::Error) -> Error {
    Error::new(Kind::Schema, format!("the shape of {table} can't become Iceberg metadata: {error}"))
        .with_table(table)
        .with_source(error)
}

fn create(change: &TableChange, location: &str) -> Result<TableMetadataBuilder, Error> {
    let table = &change.table;
    let Some(spec) = &change.spec else {
        return Err(Error::new(Kind::Bug, format!("table {table} is written to before its shape is known")).with_table(table));
    };
    let failed = |e| bad(table, e);
    let iceberg = schema::to_iceberg(&spec.schema, &spec.key)?;
    let unsorted = SortOrder::unsorted_order();
    let properties = HashMap::from([
        (PREVIOUS_VERSIONS.0.to_owned(), PREVIOUS_VERSIONS.1.to_owned()),
        ("write.parquet.compression-codec".to_owned(), "zstd".to_owned()),
    ]);
    let partitions = UnboundPartitionSpec::builder().build();
    let builder = TableMetadataBuilder::new(iceberg, partitions, unsorted, location.to_owned(), FormatVersion::V2, properties)
        .map_err(failed)?;
    // The builder has numbered the fields anew. The schema with our numbers comes second, and the first one goes unless they are the same.
    let worn = wear(builder, spec, table)?;
    Ok(worn.clone().remove_schemas(&[0]).unwrap_or(worn))
}

fn wear(builder: TableMetadataBuilder, spec: &TableSpec, table: &LakeTable) -> Result<TableMetadataBuilder, Error> {
    let iceberg = schema::to_iceberg(&spec.schema, &spec.key)?;
    let order = sort_order(spec, &iceberg, table)?;
    let key = serde_json::to_string(&spec.key).unwrap_or_default();
    builder
        .add_schema(iceberg)
        .and_then(|b| b.set_current_schema(TableMetadataBuilder::LAST_ADDED))
        .and_then(|b| b.add_sort_order(order))
        .and_then(|b| b.set_default_sort_order(i64::from(TableMetadataBuilder::LAST_ADDED)))
        .and_then(|b| b.set_properties(HashMap::from([(KEY.to_owned(), key)])))
        .map_err(|e| bad(table, e))
}

fn sort_order(spec: &TableSpec, iceberg: &IcebergSchema, table: &LakeTable) -> Result<SortOrder, Error> {
    let mut fields = Vec::with_capacity(spec.sort_order.len());
    for (column, descending) in &spec.sort_order {
        let Some(source_id) = iceberg.field_id_by_name(column) else {
            return Err(Error::new(Kind::Schema, format!("{table} is to be sorted by `{column}`, which it does not have"))
                .with_table(table));
        };
        let (direction, null_order) =
            if *descending { (SortDirection::Descending, NullOrder::First) } else { (SortDirection::Ascending, NullOrder::Last) };
        fields.push(
            SortField::builder()
                .source_id(source_id)
                .transform(Transform::Identity)
                .direction(direction)
                .null_order(null_order)
                .build(),
        );
    }
    SortOrder::builder().with_fields(fields).build_unbound().map_err(|e| bad(table, e))
}

/// The metadata as it would be without a snapshot; the builder resolves ids only when it ends.
pub(crate) fn preview(builder: &TableMetadataBuilder, table: &LakeTable) -> Result<TableMetadata, Error> {
    Ok(builder.clone().build().map_err(|e| bad(table, e))?.metadata)
}

/// A snapshot to add.
#[derive(Debug)]
pub(crate) struct NewSnapshot {
    pub stamp: Stamp,
    pub at_ms: i64,
    pub list_location: String,
    pub operation: Operation,
    pub summary: HashMap<String, String>,
    pub schema_id: i32,
    /// How many row ids it gives out, from format version 3 on.
    pub new_rows: u64,
}

/// Ends the metadata of the time `at_ms`: adds the snapshot if there is one, and lets go of `expire` and of what is too much.
pub(crate) fn finish(
    builder: TableMetadataBuilder,
    former: Option<&TableMetadata>,
    new: Option<NewSnapshot>,
    expire: &[i64],
    at_ms: i64,
    table: &LakeTable,
) -> Result<NewMetadata, Error> {
    let failed = |e| bad(table, e);
    let mut builder = builder;
    let stamped = new.is_some();
    let mut gone: HashMap<i64, String> = HashMap::new();
    if let Some(former) = former {
        let surplus = if new.is_some() { surplus(former) } else { Vec::new() };
        let named = if expire.is_empty() && surplus.is_empty() { HashSet::new() } else { named(former)? };
        let asked = expire.iter().filter_map(|id| former.snapshot_by_id(*id));
        for snapshot in asked.chain(surplus.iter()).filter(|s| !named.contains(&s.snapshot_id())) {
            gone.insert(snapshot.snapshot_id(), snapshot.manifest_list().to_owned());
        }
    }
    if let Some(new) = new {
        let lineage = new.stamp.has_lineage().then_some((new.stamp.next_row_id, new.new_rows));
        let snapshot = Snapshot::builder()
            .with_snapshot_id(new.stamp.snapshot_id)
            .with_parent_snapshot_id(new.stamp.parent)
            .with_sequence_number(new.stamp.sequence)
            .with_timestamp_ms(new.at_ms)
            .with_manifest_list(new.list_location)
            .with_summary(Summary { operation: new.operation, additional_properties: new.summary })
            .with_schema_id(new.schema_id);
        let snapshot = match lineage {
            Some((first, rows)) => snapshot.with_row_range(first, rows).build(),
            None => snapshot.build(),
        };
        builder = builder.set_branch_snapshot(snapshot, MAIN_BRANCH).map_err(failed)?;
    }
    if !gone.is_empty() {
        builder = builder.remove_snapshots(&gone.keys().copied().collect::<Vec<_>>());
    }
    let built = builder.build().map_err(failed)?;
    let dropped_metadata = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file).collect();
    let metadata = if stamped { built.metadata } else { dated(&built.metadata, at_ms)? };
    Ok(NewMetadata { metadata, dropped_metadata, expired_lists: gone.into_values().collect() })
}

/// The metadata with its time. The builder takes it from the snapshot, and from the machine's clock where there is none: the next snapshot would be
/// refused, or dated wrongly, where that one is ahead of ours. Only the JSON lets it be set.
fn dated(metadata: &TableMetadata, at_ms: i64) -> Result<TableMetadata, Error> {
    let failed = |e| Error::bug("the time of table metadata", e);
    let mut json = serde_json::to_value(metadata).map_err(failed)?;
    json["last-updated-ms"] = at_ms.into();
    serde_json::from_value(json).map_err(failed)
}

/// The snapshots that a branch or tag names. The `iceberg` crate tells of one name at a time only, so its JSON is asked.
pub(crate) fn named(metadata: &TableMetadata) -> Result<HashSet<i64>, Error> {
    let failed = |e| Error::bug("reading the names of snapshots", e);
    let json = serde_json::to_value(metadata).map_err(failed)?;
    let refs = json.get("refs").and_then(|refs| refs.as_object()).into_iter().flatten();
    let named = refs.filter_map(|(_, r)| r.get("snapshot-id")?.as_i64());
    Ok(named.chain(metadata.current_snapshot_id()).collect())
}

/// The oldest snapshots, where there are too many.
fn surplus(former: &TableMetadata) -> Vec<SnapshotRef> {
    let count = former.snapshots().len() + 1;
    let most = former.properties().get(SNAPSHOTS_KEPT_MOST).and_then(|v| v.parse::<usize>().ok());
    let (most, at_once) = most.map_or((SNAPSHOTS_MOST, EXPIRE_AT_ONCE), |most| (most.max(1) + 10, 10));
    if count <= most {
        return Vec::new();
    }
    let mut all: Vec<_> = former.snapshots().map(Arc::clone).collect();
    all.sort_by_key(|s| s.sequence_number());
    let current = former.current_snapshot_id();
    all.into_iter().filter(|s| Some(s.snapshot_id()) != current).take(at_once + count - most - 1).collect()
}
