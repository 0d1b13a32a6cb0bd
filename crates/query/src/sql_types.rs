use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion_postgres::{arrow_pg::datatypes::field_into_pg_type, pgwire::api::Type};
use std::sync::Arc;

/// The name of a type as PostgreSQL spells it, which is what people and drivers know.
pub fn sql_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "unknown".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            format!("numeric({p},{s})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(unit, None) => timestamp(*unit, "timestamp"),
        DataType::Timestamp(unit, Some(_)) => timestamp(*unit, "timestamp with time zone"),
        DataType::Duration(_) => "interval".to_owned(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month".to_owned(),
        DataType::Interval(_) => "interval".to_owned(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", sql_type_name(item.data_type())),
        DataType::Dictionary(_, value) => sql_type_name(value),
        DataType::RunEndEncoded(_, value) => sql_type_name(value.data_type()),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name(), sql_type_name(f.data_type()))).collect();
            format!("record({})", fields.join(", "))
        }
        DataType::Map(_, _) => "map".to_owned(),
        DataType::Union(_, _) => "json".to_owned(),
    }
}

/// Microseconds are PostgreSQL's own resolution, so only nanoseconds are worth saying.
fn timestamp(unit: TimeUnit, name: &str) -> String {
    match unit {
        TimeUnit::Nanosecond => name.replacen("timestamp", "timestamp(9)", 1),
        _ => name.to_owned(),
    }
}

/// PostgreSQL's type for a column; text for what it has no type for.
pub(crate) fn wire_type(field: &Arc<Field>) -> Type {
    field_into_pg_type(field).ok().filter(|t| *t != Type::UNKNOWN).unwrap_or(Type::TEXT)
}

/// PostgreSQL's modifier of a type: precision and scale. Without it clients show as many digits as they like.
pub(crate) fn type_modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal128(p, s) if *s >= 0 => ((i32::from(*p) << 16) | i32::from(*s)) + 4,
        _ => -1,
    }
}

/// The type in which results leave the engine: the plain one of each family, so that no reader must know views, dictionaries or run-ends.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    let plain_field = |f: &Arc<Field>| Arc::new(f.as_ref().clone().with_data_type(plain_type(f.data_type())));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Union(_, _) => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(plain_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

/// The type in which a table that SQL makes keeps what has this one: microseconds, and numbers that Iceberg has.
pub(crate) fn stored_type(data_type: &DataType) -> DataType {
    match plain_type(data_type) {
        DataType::Null => DataType::Utf8,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.map(|_| "UTC".into())),
        DataType::List(item) => DataType::List(Arc::new(item.as_ref().clone().with_data_type(stored_type(item.data_type())))),
        other => other,
    }
}

/// A schema with every type plain.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_data_type(plain_type(f.data_type())));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_postgresql_names() {
        let utc = || Some("UTC".into());
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        for (data_type, name) in [
            (DataType::Int32, "integer"),
            (DataType::Utf8View, "text"),
            (DataType::Decimal128(12, 2), "numeric(12,2)"),
            (DataType::Timestamp(TimeUnit::Microsecond, utc()), "timestamp with time zone"),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), "timestamp(9)"),
            (list, "integer[]"),
        ] {
            assert_eq!(sql_type_name(&data_type), name);
        }
    }

    #[test]
    fn results_have_plain_types() {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        assert_eq!(plain_type(&list(DataType::Utf8View)), list(DataType::Utf8));
        assert_eq!(plain_type(&DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))), DataType::Utf8);
    }
}
