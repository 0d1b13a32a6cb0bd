use crate::layout::kind;
use arrow::datatypes::{DataType, TimeUnit};
use model::{Key, TableSchema};

/// Generated from the contract itself, so that the two can't differ.
mod generated {
    wasmtime::component::bindgen!({ path: "../../plugins/contract/transform.wit", world: "transform", additional_derives: [PartialEq] });
}

pub(crate) use generated::{
    Transform as Bindings, TransformPre as BindingsPre,
    exports::lakebox::transform::plugin::{Column, DataType as WireType, DecimalType, Info, Plan as WirePlan, Table},
};

/// The contract's interface, without its version.
pub(crate) const INTERFACE: &str = "lakebox:transform/plugin";
/// The version spoken here.
pub(crate) const VERSION: &str = "0.1.0";

/// How a type's values lie in a packed buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// One of [`kind`].
    pub kind: u8,
    /// Of decimals.
    pub precision: u8,
    /// Of decimals.
    pub scale: i8,
}

impl Shape {
    const fn plain(kind: u8) -> Self {
        Self { kind, precision: 0, scale: 0 }
    }

    /// The layout of an Arrow type; types without one are opaque.
    pub(crate) fn of(data_type: &DataType) -> Self {
        Self::plain(match data_type {
            DataType::Boolean => kind::BOOLEAN,
            DataType::Int32 => kind::INT32,
            DataType::Int64 => kind::INT64,
            DataType::Float32 => kind::FLOAT32,
            DataType::Float64 => kind::FLOAT64,
            DataType::Decimal128(precision, scale) => return Self { kind: kind::DECIMAL, precision: *precision, scale: *scale },
            DataType::Date32 => kind::DATE,
            DataType::Time64(TimeUnit::Microsecond) => kind::TIME,
            DataType::Timestamp(TimeUnit::Microsecond, None) => kind::TIMESTAMP,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => kind::TIMESTAMP_UTC,
            DataType::Binary => kind::BINARY,
            DataType::Utf8 => kind::TEXT,
            _ => kind::OPAQUE,
        })
    }
}

/// An Arrow type as the contract words it.
pub(crate) fn to_wire(data_type: &DataType) -> WireType {
    let shape = Shape::of(data_type);
    match shape.kind {
        kind::BOOLEAN => WireType::Boolean,
        kind::INT32 => WireType::Int32,
        kind::INT64 => WireType::Int64,
        kind::FLOAT32 => WireType::Float32,
        kind::FLOAT64 => WireType::Float64,
        kind::DECIMAL => WireType::Decimal(DecimalType { precision: shape.precision, scale: shape.scale }),
        kind::DATE => WireType::Date,
        kind::TIME => WireType::Time,
        kind::TIMESTAMP => WireType::Timestamp,
        kind::TIMESTAMP_UTC => WireType::TimestampUtc,
        kind::BINARY => WireType::Binary,
        kind::TEXT => WireType::Text,
        _ => WireType::Opaque(data_type.to_string()),
    }
}

/// The Arrow type of a worded one; `None` for opaque types, which only their input column knows.
pub(crate) fn from_wire(wire: &WireType) -> Option<DataType> {
    Some(match wire {
        WireType::Boolean => DataType::Boolean,
        WireType::Int32 => DataType::Int32,
        WireType::Int64 => DataType::Int64,
        WireType::Float32 => DataType::Float32,
        WireType::Float64 => DataType::Float64,
        WireType::Decimal(d) => DataType::Decimal128(d.precision, d.scale),
        WireType::Date => DataType::Date32,
        WireType::Time => DataType::Time64(TimeUnit::Microsecond),
        WireType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        WireType::TimestampUtc => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        WireType::Binary => DataType::Binary,
        WireType::Text => DataType::Utf8,
        WireType::Opaque(_) => return None,
    })
}

/// A table as the contract words it.
pub(crate) fn table_to_wire(schema: &TableSchema) -> Table {
    let column = |c: &model::Column| Column { name: c.name.clone(), data_type: to_wire(&c.data_type), nullable: c.nullable };
    let key = if let Key::Columns(names) = &schema.key { names.clone() } else { Vec::new() };
    let (schema_name, name) = (schema.id.schema.clone(), schema.id.name.clone());
    Table { schema: schema_name, name, key, columns: schema.columns.iter().map(column).collect() }
}
