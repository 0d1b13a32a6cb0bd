//! Partitions: which part of a table a data file holds.
//!
//! A file is in one partition of one partition spec. When the partitioning changes, files keep the spec that they were written under.

mod known;
mod shown;
mod split;
mod transform;

pub(crate) use known::{filled, note};
pub(crate) use shown::shown;
pub(crate) use split::Splitter;
pub use transform::{PartitionField, PartitionTransform, buckets_of};

use crate::{Error, Kind, field_id};
use iceberg::spec::{
    Literal, PartitionSpec, PrimitiveLiteral, PrimitiveType, Schema, Struct, TableMetadata, Transform, UnboundPartitionSpec,
};
use model::LakeTable;

/// The partition spec of a file and its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Home {
    pub spec_id: i32,
    pub values: Struct,
}

/// Where a new file belongs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewHome {
    /// The spec; none for the one that the table has when the file is committed.
    pub spec_id: Option<i32>,
    /// The values of its partition, in the order of the spec's fields.
    pub values: Struct,
}

impl NewHome {
    /// The home of a file that joins a table of this metadata. A file without one fits unpartitioned tables alone.
    ///
    /// # Errors
    /// [`Kind::Schema`] where the table is partitioned otherwise.
    pub(crate) fn resolve(of: Option<&Self>, metadata: &TableMetadata, table: &LakeTable) -> Result<Home, Error> {
        let spec_id = of.and_then(|h| h.spec_id).unwrap_or_else(|| metadata.default_partition_spec_id());
        let values = of.map_or_else(Struct::empty, |h| h.values.clone());
        let fields = metadata.partition_spec_by_id(spec_id).map(|spec| spec.fields().len());
        if fields != Some(values.fields().len()) {
            let message = format!("rows for {table} were not written for its partitions");
            return Err(Error::new(Kind::Schema, message)
                .with_table(table)
                .with_hint("Write to it with INSERT, a model that says partition_by, or another engine."));
        }
        Ok(Home { spec_id, values })
    }
}

impl Home {
    /// As files keep it: those of tables that never had a partition keep nothing.
    pub(crate) fn kept(self) -> Option<std::sync::Arc<Self>> {
        (self.spec_id != 0 || !self.values.fields().is_empty()).then(|| std::sync::Arc::new(self))
    }
}

/// How a table is partitioned now; none where one of its transforms or columns is not known to this version.
pub(crate) fn of_metadata(metadata: &TableMetadata) -> Option<Vec<PartitionField>> {
    let schema = metadata.current_schema();
    let fields = metadata.default_partition_spec().fields().iter();
    let field = |f: &iceberg::spec::PartitionField| {
        let column = schema.field_by_id(f.source_id)?.name.clone();
        Some(PartitionField { column, transform: PartitionTransform::of_iceberg(f.transform)? })
    };
    fields.map(field).collect()
}

/// Why lakebox can't split rows of such a table into its partitions, where it can't.
pub(crate) fn unwritable(metadata: &TableMetadata, columns: &arrow::datatypes::Schema) -> Option<String> {
    let schema = metadata.current_schema();
    metadata.default_partition_spec().fields().iter().find_map(|field| {
        let name = schema.name_by_field_id(field.source_id).unwrap_or("?");
        let Some(transform) = PartitionTransform::of_iceberg(field.transform) else {
            return Some(format!("it is partitioned by {} of `{name}`, a transform that lakebox does not know", field.transform));
        };
        let of = PartitionField { column: name.to_owned(), transform };
        match columns.field_with_name(name) {
            Ok(column) if field_id(column) != Some(field.source_id) => {
                Some(format!("it is partitioned by `{of}`, and that is a part of a column"))
            }
            Err(_) => Some(format!("it is partitioned by `{of}`, and that is a part of a column")),
            Ok(column) if transform.accepts(column.data_type()) => None,
            Ok(column) => Some(format!("it is partitioned by `{of}`, a column of type {}", column.data_type())),
        }
    })
}

/// Why lakebox can't list files of these partitions anew, where it can't: a column was widened by whose values they are told, and manifests of now would hold
/// them in the former type.
pub(crate) fn widened<'a>(metadata: &TableMetadata, homes: impl Iterator<Item = &'a Home>) -> Option<String> {
    let schema = metadata.current_schema();
    let narrow = |field: &iceberg::spec::PartitionField, value: &Option<Literal>| {
        let now = schema.field_by_id(field.source_id)?.field_type.as_primitive_type()?;
        let is = matches!(
            (value, now),
            (Some(Literal::Primitive(PrimitiveLiteral::Int(_))), PrimitiveType::Long)
                | (Some(Literal::Primitive(PrimitiveLiteral::Float(_))), PrimitiveType::Double)
        );
        let told = matches!(field.transform, Transform::Identity | Transform::Truncate(_));
        (is && told).then(|| format!("it is partitioned by values of `{}`, whose type was widened", field.name))
    };
    homes.into_iter().find_map(|home| {
        let spec = metadata.partition_spec_by_id(home.spec_id)?;
        spec.fields().iter().zip(home.values.fields()).find_map(|(field, value)| narrow(field, value))
    })
}

/// The spec of Iceberg's metadata.
///
/// # Errors
/// [`Kind::Schema`] where the table does not have a column, or it can't be partitioned by that.
pub(crate) fn to_unbound(
    table: &LakeTable,
    fields: &[PartitionField],
    schema: &Schema,
    columns: &arrow::datatypes::Schema,
) -> Result<UnboundPartitionSpec, Error> {
    let wrong = |message: String| Error::new(Kind::Schema, message).with_table(table);
    let mut builder = UnboundPartitionSpec::builder();
    for field in fields {
        let (Some(id), Ok(column)) = (schema.field_id_by_name(&field.column), columns.field_with_name(&field.column)) else {
            return Err(wrong(format!("{table} is to be partitioned by `{field}`, but has no column `{}`", field.column)));
        };
        field.check(column.data_type()).map_err(|e| wrong(format!("{table} can't be partitioned by {e}")))?;
        let name = field.transform.field_name(&field.column);
        builder = builder
            .add_partition_field(id, name, field.transform.to_iceberg())
            .map_err(|e| wrong(format!("{table} can't be partitioned by `{field}`: {e}")).with_source(e))?;
    }
    Ok(builder.build())
}

/// A schema under which the fields of a spec have their types: that of now, or, where their columns are gone, a former one.
pub(crate) fn schema_of<'a>(metadata: &'a TableMetadata, spec: &PartitionSpec) -> &'a iceberg::spec::SchemaRef {
    let has_all = |schema: &&iceberg::spec::SchemaRef| spec.fields().iter().all(|f| schema.field_by_id(f.source_id).is_some());
    let now = metadata.current_schema();
    if has_all(&now) {
        return now;
    }
    metadata.schemas_iter().filter(has_all).max_by_key(|s| s.schema_id()).unwrap_or(now)
}
