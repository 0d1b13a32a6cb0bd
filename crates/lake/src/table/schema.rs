use crate::{Error, error::Kind};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use iceberg::spec::{ListType, NestedField, NestedFieldRef, PrimitiveType, Schema as IcebergSchema, StructType, Type};
use std::{collections::HashMap, sync::Arc};

/// Metadata key of a field that holds its Iceberg field id; the Parquet writer and reader know it too.
pub const FIELD_ID: &str = "PARQUET:field_id";
const DOC: &str = "doc";
const LIST_ITEM: &str = "element";

/// The Iceberg field id of a field.
pub fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(FIELD_ID)?.parse().ok()
}

/// A field with this Iceberg field id; other metadata stays.
pub fn with_field_id(field: &Field, id: i32) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(FIELD_ID.to_owned(), id.to_string());
    field.clone().with_metadata(metadata)
}

/// The Iceberg schema of Arrow columns that carry field ids.
///
/// # Errors
/// [`Kind::Schema`] where a field has no id or a type that Iceberg version 2 has not.
pub(crate) fn to_iceberg(schema: &Schema, key: &[String]) -> Result<IcebergSchema, Error> {
    let fields = schema.fields().iter().map(|f| nested(f)).collect::<Result<Vec<_>, _>>()?;
    let identifiers = identifier_ids(schema, key);
    IcebergSchema::builder()
        .with_fields(fields)
        .with_identifier_field_ids(identifiers)
        .build()
        .map_err(|e| Error::new(Kind::Schema, format!("the columns don't form an Iceberg schema: {e}")).with_source(e))
}

/// Ids of the key columns where Iceberg accepts all of them as identifiers: required, and neither floating point nor nested.
fn identifier_ids(schema: &Schema, key: &[String]) -> Vec<i32> {
    let id = |name: &String| {
        let field = schema.field_with_name(name).ok()?;
        let fits = !field.is_nullable() && !field.data_type().is_floating() && !field.data_type().is_nested();
        if fits { field_id(field) } else { None }
    };
    key.iter().map(id).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn nested(field: &Field) -> Result<NestedFieldRef, Error> {
    let id = field_id(field).ok_or_else(|| Error::new(Kind::Schema, format!("column `{}` has no field id", field.name())))?;
    let mut made = NestedField::new(id, field.name(), iceberg_type(field)?, !field.is_nullable());
    if let Some(doc) = field.metadata().get(DOC) {
        made = made.with_doc(doc);
    }
    Ok(Arc::new(made))
}

fn iceberg_type(field: &Field) -> Result<Type, Error> {
    let primitive = match field.data_type() {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => PrimitiveType::Int,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            PrimitiveType::Decimal { precision: u32::from(*precision), scale: u32::from(scale.unsigned_abs()) }
        }
        DataType::Date32 => PrimitiveType::Date,
        DataType::Time64(TimeUnit::Microsecond) => PrimitiveType::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::List(item) | DataType::LargeList(item) => return list(field, item),
        DataType::Struct(fields) => {
            return Ok(Type::Struct(StructType::new(fields.iter().map(|f| nested(f)).collect::<Result<Vec<_>, _>>()?)));
        }
        other => {
            return Err(Error::new(
                Kind::Schema,
                format!("column `{}` has the type {other}, which an Iceberg table can't hold", field.name()),
            )
            .with_hint("Cast it in the model or transform to a type that exists in Iceberg version 2, or to text."));
        }
    };
    Ok(Type::Primitive(primitive))
}

fn list(field: &Field, item: &Field) -> Result<Type, Error> {
    let id = field_id(item)
        .ok_or_else(|| Error::new(Kind::Schema, format!("the items of list column `{}` have no field id", field.name())))?;
    Ok(Type::List(ListType::new(Arc::new(NestedField::list_element(id, iceberg_type(item)?, !item.is_nullable())))))
}

/// The Arrow columns of an Iceberg schema, with field ids.
///
/// # Errors
/// [`Kind::Schema`] for types that lakebox never writes.
pub(crate) fn to_arrow(schema: &IcebergSchema) -> Result<SchemaRef, Error> {
    let fields = schema.as_struct().fields().iter().map(|f| arrow_field(f, &f.name)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn arrow_field(field: &NestedField, name: &str) -> Result<Field, Error> {
    let data_type = arrow_type(&field.field_type).ok_or_else(|| {
        Error::new(Kind::Schema, format!("column `{name}` has the Iceberg type {}, which lakebox can't read", field.field_type))
    })?;
    let mut metadata = HashMap::from([(FIELD_ID.to_owned(), field.id.to_string())]);
    if let Some(doc) = &field.doc {
        metadata.insert(DOC.to_owned(), doc.clone());
    }
    Ok(Field::new(name, data_type, !field.required).with_metadata(metadata))
}

/// The Arrow type of an Iceberg type; none of those that lakebox can't read.
pub(crate) fn arrow_type(from: &Type) -> Option<DataType> {
    Some(match from {
        Type::Primitive(primitive) => arrow_primitive(primitive)?,
        Type::List(list) => DataType::List(Arc::new(arrow_field(&list.element_field, LIST_ITEM).ok()?)),
        Type::Struct(fields) => {
            DataType::Struct(fields.fields().iter().map(|f| arrow_field(f, &f.name)).collect::<Result<Vec<_>, _>>().ok()?.into())
        }
        Type::Map(_) => return None,
    })
}

fn arrow_primitive(from: &PrimitiveType) -> Option<DataType> {
    Some(match from {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => {
            DataType::Decimal128(u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
        }
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Binary => DataType::Binary,
        PrimitiveType::Uuid | PrimitiveType::Fixed(_) | PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs => return None,
    })
}

/// The one form of a schema that tables keep: types that Iceberg gives back, list items called `element`.
///
/// # Errors
/// As [`to_iceberg`].
pub(crate) fn normal(schema: &Schema) -> Result<SchemaRef, Error> {
    to_arrow(&to_iceberg(schema, &[])?)
}

/// Gives every field, and the item of every list, that has no id yet the next free one. Returns the highest id used.
pub(crate) fn number(fields: &Fields, last_id: i32) -> (Vec<Field>, i32) {
    let mut last = fields.iter().filter_map(|f| highest_id(f)).fold(last_id, i32::max);
    let numbered = fields.iter().map(|f| number_field(f, &mut last)).collect();
    (numbered, last)
}

fn number_field(field: &Field, last: &mut i32) -> Field {
    let id = field_id(field).unwrap_or_else(|| next(last));
    let data_type = match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) => {
            DataType::List(Arc::new(number_field(&item.as_ref().clone().with_name(LIST_ITEM), last)))
        }
        DataType::Struct(inner) => {
            DataType::Struct(inner.iter().map(|f| Arc::new(number_field(f, last))).collect::<Vec<FieldRef>>().into())
        }
        other => other.clone(),
    };
    with_field_id(&field.clone().with_data_type(data_type), id)
}

fn next(last: &mut i32) -> i32 {
    *last += 1;
    *last
}

/// A field as it was before anything gave it ids.
pub(crate) fn without_ids(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(FIELD_ID);
    let data_type = match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) => DataType::List(Arc::new(without_ids(item))),
        DataType::Struct(inner) => {
            DataType::Struct(inner.iter().map(|f| Arc::new(without_ids(f))).collect::<Vec<FieldRef>>().into())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(data_type).with_metadata(metadata)
}

/// Whether two types are the same once tables have given them their one form.
pub(crate) fn same_type(a: &DataType, b: &DataType) -> bool {
    let form = |t: &DataType| {
        let (fields, _) = number(&vec![without_ids(&Field::new("x", t.clone(), true))].into(), 0);
        normal(&Schema::new(fields)).ok()
    };
    matches!((form(a), form(b)), (Some(a), Some(b)) if a == b)
}

/// The highest id of a field and what is inside it.
pub(crate) fn highest_id(field: &Field) -> Option<i32> {
    let inner = match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) => highest_id(item),
        DataType::Struct(fields) => fields.iter().filter_map(|f| highest_id(f)).max(),
        _ => None,
    };
    field_id(field).max(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> Schema {
        let types = [
            DataType::Boolean,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(12, 2),
            DataType::Decimal128(38, 18),
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Binary,
            DataType::Utf8,
            DataType::List(Arc::new(Field::new("item", DataType::Int64, true))),
        ];
        let fields: Fields = types.into_iter().enumerate().map(|(i, t)| Field::new(format!("c{i}"), t, true)).collect();
        Schema::new(number(&fields, 100).0)
    }

    #[test]
    fn every_type_of_a_source_survives_the_way_through_iceberg() {
        let schema = every_type();
        let back = to_arrow(&to_iceberg(&schema, &[]).unwrap()).unwrap();
        assert_eq!(back.fields(), schema.fields());
    }

    #[test]
    fn ids_count_up_from_the_last_and_list_items_have_their_own() {
        let schema = every_type();
        let ids: Vec<_> = schema.fields().iter().filter_map(|f| field_id(f)).collect();
        assert_eq!(ids, (101..=114).collect::<Vec<_>>());
        assert_eq!(highest_id(schema.field(13)), Some(115));
        let (again, last) = number(schema.fields(), 0);
        assert_eq!((again, last), (schema.fields().iter().map(|f| f.as_ref().clone()).collect(), 115));
    }

    #[test]
    fn a_type_that_iceberg_has_not_names_the_column() {
        let schema = Schema::new(vec![with_field_id(&Field::new("odd", DataType::UInt64, true), 1)]);
        let error = to_iceberg(&schema, &[]).unwrap_err();
        assert_eq!(error.kind, Kind::Schema);
        assert!(error.message.contains("`odd`") && error.message.contains("UInt64"), "{error}");
    }

    #[test]
    fn only_required_plain_columns_become_identifiers() {
        let field = |name: &str, t: DataType, nullable: bool, id| with_field_id(&Field::new(name, t, nullable), id);
        let schema = Schema::new(vec![
            field("a", DataType::Int32, false, 1),
            field("b", DataType::Int32, true, 2),
            field("c", DataType::Float64, false, 3),
        ]);
        let ids = |key: &[&str]| {
            let key: Vec<String> = key.iter().map(|s| (*s).to_owned()).collect();
            to_iceberg(&schema, &key).unwrap().identifier_field_ids().collect::<Vec<_>>()
        };
        assert_eq!(ids(&["a"]), [1]);
        assert!(ids(&["a", "b"]).is_empty());
        assert!(ids(&["c"]).is_empty());
    }
}
