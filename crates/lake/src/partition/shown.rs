//! Partitions as people read them.

use super::schema_of;
use crate::table::{bounds::array_of, schema};
use arrow::{
    array::{ArrayRef, Date32Array},
    util::display::{ArrayFormatter, FormatOptions},
};
use iceberg::spec::{Literal, PrimitiveLiteral, Struct, TableMetadata, Transform, Type};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A partition as JSON: each field of its spec with its value. None where the spec has no fields.
pub(crate) fn shown(metadata: &TableMetadata, spec_id: i32, values: &Struct) -> Option<String> {
    let spec = metadata.partition_spec_by_id(spec_id).filter(|s| !s.fields().is_empty())?;
    let schema = schema_of(metadata, spec);
    let field = |(field, value): (&iceberg::spec::PartitionField, Option<&Literal>)| {
        let of = schema.field_by_id(field.source_id).map(|f| f.field_type.as_ref());
        let value = match value {
            Some(Literal::Primitive(value)) => of_transform(field.transform, value, of),
            _ => Value::Null,
        };
        (field.name.clone(), value)
    };
    let fields = spec.fields().iter().zip(values.fields().iter().map(Option::as_ref)).map(field);
    Some(Value::Object(fields.collect::<Map<_, _>>()).to_string())
}

fn of_transform(transform: Transform, value: &PrimitiveLiteral, source: Option<&Type>) -> Value {
    let number = match value {
        PrimitiveLiteral::Int(v) => i64::from(*v),
        PrimitiveLiteral::Long(v) => *v,
        _ => 0,
    };
    match transform {
        Transform::Year => Value::from(format!("{:04}", 1970 + number)),
        Transform::Month => Value::from(format!("{:04}-{:02}", 1970 + number.div_euclid(12), number.rem_euclid(12) + 1)),
        Transform::Day => text(&day(number)),
        Transform::Hour => {
            let shown = text(&day(number.div_euclid(24)));
            Value::from(format!("{}-{:02}", shown.as_str().unwrap_or_default(), number.rem_euclid(24)))
        }
        Transform::Bucket(_) => Value::from(number),
        _ => plain(value, source),
    }
}

fn plain(value: &PrimitiveLiteral, source: Option<&Type>) -> Value {
    match (value, source) {
        (PrimitiveLiteral::Boolean(v), _) => Value::from(*v),
        (PrimitiveLiteral::String(v), _) => Value::from(v.as_str()),
        (
            PrimitiveLiteral::Int(v),
            Some(Type::Primitive(iceberg::spec::PrimitiveType::Int | iceberg::spec::PrimitiveType::Long)),
        ) => Value::from(*v),
        (PrimitiveLiteral::Long(v), Some(Type::Primitive(iceberg::spec::PrimitiveType::Long))) => Value::from(*v),
        (value, source) => {
            let data_type = source.and_then(schema::arrow_type);
            data_type.and_then(|t| array_of(value, &t)).map_or(Value::Null, |array| text(&array))
        }
    }
}

fn day(number: i64) -> ArrayRef {
    Arc::new(Date32Array::from(vec![i32::try_from(number).ok()]))
}

fn text(array: &ArrayRef) -> Value {
    let shown = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default());
    shown.map_or(Value::Null, |shown| Value::from(shown.value(0).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_read_like_what_they_hold() {
        let int = PrimitiveLiteral::Int;
        for (transform, value, expected) in [
            (Transform::Year, int(-1), "1969"),
            (Transform::Month, int(574), "2017-11"),
            (Transform::Month, int(-1), "1969-12"),
            (Transform::Day, int(17_486), "2017-11-16"),
            (Transform::Hour, int(-1), "1969-12-31-23"),
        ] {
            assert_eq!(of_transform(transform, &value, None), Value::from(expected), "{transform} {value:?}");
        }
        assert_eq!(of_transform(Transform::Bucket(16), &int(7), None), Value::from(7));
        let date = Type::Primitive(iceberg::spec::PrimitiveType::Date);
        assert_eq!(of_transform(Transform::Identity, &int(17_486), Some(&date)), Value::from("2017-11-16"));
        let text = PrimitiveLiteral::String("Köln".to_owned());
        assert_eq!(of_transform(Transform::Truncate(4), &text, None), Value::from("Köln"));
    }
}
