use super::numeric;
use crate::{
    encode::{Cell, Style, text_cell},
    sql_types::{type_modifier, wire_type},
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Field, Float32Type, Float64Type, Int64Type, IntervalMonthDayNanoType, Schema,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    },
};
use bytes::{BufMut, BytesMut};
use datafusion_postgres::pgwire::{
    api::{
        Type,
        results::{FieldFormat, FieldInfo},
    },
    messages::data::DataRow,
};
use std::sync::Arc;

/// Days and microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// How columns are described to the client. `formats` yields the format asked for at each place.
pub(super) fn describe(schema: &Schema, formats: impl Fn(usize) -> FieldFormat) -> Vec<FieldInfo> {
    let describe = |(i, field): (usize, &Arc<Field>)| {
        let wire = wire_type(field);
        let size = match wire {
            Type::BOOL => 1,
            Type::INT2 => 2,
            Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
            Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
            Type::INTERVAL => 16,
            _ => -1,
        };
        let modifier = type_modifier(field.data_type());
        FieldInfo::new(field.name().clone(), None, None, wire, formats(i)).with_type_size(size).with_type_modifier(modifier)
    };
    schema.fields().iter().enumerate().map(describe).collect()
}

/// The rows of a batch as the protocol carries them.
pub(super) fn rows(batch: &RecordBatch, fields: &[FieldInfo]) -> Vec<DataRow> {
    let columns: Vec<Arc<dyn Array>> = batch.columns().iter().zip(fields).map(|(c, f)| prepared(c, f)).collect();
    let cells: Vec<(&dyn Array, Cell<'_>)> = columns.iter().zip(fields).map(|(c, f)| (c.as_ref(), cell(c.as_ref(), f))).collect();
    let width = i16::try_from(cells.len()).unwrap_or(i16::MAX);
    let mut value = Vec::new();
    (0..batch.num_rows())
        .map(|row| {
            let mut data = BytesMut::new();
            for (array, cell) in &cells {
                if array.is_null(row) || *array.data_type() == DataType::Null {
                    data.put_i32(-1);
                    continue;
                }
                value.clear();
                cell(&mut value, row);
                data.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                data.put_slice(&value);
            }
            DataRow::new(data, width)
        })
        .collect()
}

/// The Arrow type whose values have the binary form of a PostgreSQL type; none where that is text.
fn binary_base(wire: &Type) -> Option<DataType> {
    Some(match *wire {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::INTERVAL => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

/// The column in the one Arrow type that its binary form is made from.
fn prepared(column: &Arc<dyn Array>, field: &FieldInfo) -> Arc<dyn Array> {
    let base = if field.format() == FieldFormat::Binary { binary_base(field.datatype()) } else { None };
    match base {
        Some(base) if base != *column.data_type() => cast(column, &base).unwrap_or_else(|_| Arc::clone(column)),
        _ => Arc::clone(column),
    }
}

fn cell<'a>(array: &'a dyn Array, field: &FieldInfo) -> Cell<'a> {
    match field.format() {
        FieldFormat::Text => text_cell(array, Style::Postgres),
        FieldFormat::Binary => binary_cell(array, field.datatype()),
    }
}

fn binary_cell<'a>(array: &'a dyn Array, wire: &Type) -> Cell<'a> {
    let text = || text_cell(array, Style::Postgres);
    match *wire {
        Type::BOOL => {
            let Some(values) = array.as_boolean_opt() else { return text() };
            Box::new(move |out, row| out.push(u8::from(values.value(row))))
        }
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => {
            let Some(values) = array.as_primitive_opt::<Int64Type>() else { return text() };
            let width = match *wire {
                Type::INT2 => 2,
                Type::INT8 => 8,
                _ => 4,
            };
            Box::new(move |out, row| out.extend_from_slice(&values.value(row).to_be_bytes()[8 - width..]))
        }
        Type::FLOAT4 => {
            let Some(values) = array.as_primitive_opt::<Float32Type>() else { return text() };
            Box::new(move |out, row| out.put_f32(values.value(row)))
        }
        Type::FLOAT8 => {
            let Some(values) = array.as_primitive_opt::<Float64Type>() else { return text() };
            Box::new(move |out, row| out.put_f64(values.value(row)))
        }
        Type::NUMERIC => {
            let text = text();
            Box::new(move |out, row| {
                let mut digits = Vec::new();
                text(&mut digits, row);
                numeric::encode(out, &String::from_utf8_lossy(&digits));
            })
        }
        Type::BYTEA => match array.data_type() {
            DataType::Binary => Box::new(move |out, row| out.extend_from_slice(array.as_binary::<i32>().value(row))),
            DataType::FixedSizeBinary(_) => {
                Box::new(move |out, row| out.extend_from_slice(array.as_fixed_size_binary().value(row)))
            }
            _ => text(),
        },
        Type::DATE => {
            let Some(values) = array.as_primitive_opt::<Date32Type>() else { return text() };
            Box::new(move |out, row| out.put_i32(values.value(row).saturating_sub(EPOCH_DAYS)))
        }
        Type::TIME => {
            let Some(values) = array.as_primitive_opt::<Time64MicrosecondType>() else { return text() };
            Box::new(move |out, row| out.put_i64(values.value(row)))
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let Some(values) = array.as_primitive_opt::<TimestampMicrosecondType>() else { return text() };
            Box::new(move |out, row| out.put_i64(values.value(row).saturating_sub(EPOCH_US)))
        }
        Type::INTERVAL => {
            let Some(values) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else { return text() };
            Box::new(move |out, row| {
                let value = values.value(row);
                out.put_i64(value.nanoseconds / 1000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            })
        }
        _ => match array.data_type() {
            DataType::List(item) if *wire != Type::TEXT => array_cell(array, &wire_type(item)),
            _ => text(),
        },
    }
}

/// A one-dimensional array: its items with their lengths, after a head that names their type.
fn array_cell<'a>(array: &'a dyn Array, item: &Type) -> Cell<'a> {
    let list = array.as_list::<i32>();
    let (oid, item) = (item.oid(), item.clone());
    Box::new(move |out, row| {
        let values = list.value(row);
        let field = FieldInfo::new(String::new(), None, None, item.clone(), FieldFormat::Binary);
        let values = prepared(&values, &field);
        let cell = binary_cell(values.as_ref(), &item);
        let count = i32::try_from(values.len()).unwrap_or(i32::MAX);
        out.put_i32(i32::from(count > 0));
        out.put_i32(i32::from(values.null_count() > 0));
        out.put_u32(oid);
        if count > 0 {
            out.put_i32(count);
            out.put_i32(1);
        }
        let mut value = Vec::new();
        for i in 0..values.len() {
            if values.is_null(i) {
                out.put_i32(-1);
                continue;
            }
            value.clear();
            cell(&mut value, i);
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(&value);
        }
    })
}
