use arrow::{
    array::{Array, AsArray},
    datatypes::{
        DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use model::{ChangeBatch, UNCHANGED};
use serde_json::{Map, Number, Value};

/// A row's data columns as a JSON object, exactly: decimals, dates, times and floats without a JSON form as strings, binary in hex (`\x…`). Columns
/// that the source did not send are left out and named under `_unchanged`.
pub fn row_json(batch: &ChangeBatch, row: usize) -> String {
    let unchanged = batch.unchanged(row);
    let mut object = Map::new();
    for (column, array) in batch.schema().columns.iter().zip(batch.rows().columns()) {
        if !unchanged.contains(&column.name) {
            object.insert(column.name.clone(), value(&**array, row));
        }
    }
    if !unchanged.is_empty() {
        object.insert(UNCHANGED.to_owned(), unchanged.into());
    }
    Value::Object(object).to_string()
}

fn value(array: &dyn Array, row: usize) -> Value {
    if row >= array.len() || array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => {
            let float = array.as_primitive::<Float32Type>().value(row);
            // The shortest text of the 32-bit value, not the long one of its 64-bit neighbour.
            let wide = float.to_string().parse().ok().filter(|_| float.is_finite());
            wide.and_then(Number::from_f64).map_or_else(|| float.to_string().into(), Value::Number)
        }
        DataType::Float64 => {
            let float = array.as_primitive::<Float64Type>().value(row);
            Number::from_f64(float).map_or_else(|| float.to_string().into(), Value::Number)
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)).into(),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row)).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| value(&*items, i)).collect())
        }
        _ => printed(array, row).into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::from("\\x"), |mut out, byte| {
        // Writing to a String can't fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn printed(array: &dyn Array, row: usize) -> String {
    let options = FormatOptions::new().with_display_error(true);
    ArrayFormatter::try_new(array, &options).map_or_else(|e| format!("({e})"), |f| f.value(row).to_string())
}
