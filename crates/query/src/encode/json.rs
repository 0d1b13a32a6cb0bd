use super::{Cell, Encoder, End, Style, text_cell, unique_names};
use crate::{Error, sql_type_name};
use ::arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int64Type, SchemaRef, UInt64Type},
};
use serde_json::json;

/// The largest whole number that every JSON reader holds exactly.
const EXACT: u64 = 1 << 53;

/// JSON as one document with rows as lists, or as lines with rows as objects.
pub(super) struct Json {
    lines: bool,
    /// What goes before each value: a comma, and in lines the column's name.
    before: Vec<Vec<u8>>,
    first: bool,
}

impl Json {
    pub(super) fn document() -> Self {
        Self { lines: false, before: Vec::new(), first: true }
    }

    pub(super) fn lines() -> Self {
        Self { lines: true, ..Self::document() }
    }
}

impl Encoder for Json {
    fn start(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        self.before = unique_names(schema)
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let mut text = if i > 0 { vec![b','] } else { Vec::new() };
                if self.lines {
                    string(&mut text, name);
                    text.push(b':');
                }
                text
            })
            .collect();
        if !self.lines {
            let column = |f: &::arrow::datatypes::FieldRef| json!({"name": f.name(), "type": sql_type_name(f.data_type())});
            let columns: Vec<_> = schema.fields().iter().map(column).collect();
            out.extend_from_slice(b"{\"columns\":");
            out.extend_from_slice(json!(columns).to_string().as_bytes());
            out.extend_from_slice(b",\"rows\":[");
        }
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let cells: Vec<(&dyn Array, Cell<'_>)> = batch.columns().iter().map(|c| (c.as_ref(), json_cell(c.as_ref()))).collect();
        let (open, close) = if self.lines { (b'{', b'}') } else { (b'[', b']') };
        for row in 0..batch.num_rows() {
            if !self.lines && !self.first {
                out.push(b',');
            }
            self.first = false;
            out.push(open);
            for ((array, cell), before) in cells.iter().zip(&self.before) {
                out.extend_from_slice(before);
                if array.is_null(row) || *array.data_type() == DataType::Null {
                    out.extend_from_slice(b"null")
                } else {
                    cell(out, row)
                }
            }
            out.push(close);
            if self.lines {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.lines {
            return Ok(());
        }
        let as_of: Vec<api::AsOf> = end
            .running
            .as_of
            .iter()
            .map(|(source, cursor)| api::AsOf {
                source: source.clone(),
                cursor: cursor.display.clone(),
                commit_ts_us: cursor.commit_ts_us,
            })
            .collect();
        let rest = json!({
            "row_count": end.rows,
            "truncated": end.running.counters.truncated(),
            "elapsed_ms": (end.elapsed.as_secs_f64() * 1e6).round() / 1e3,
            "bytes_scanned": end.running.counters.bytes_scanned(),
            "cost_usd": end.running.cost_usd(),
            "query_id": end.running.id,
            "as_of": as_of,
        });
        out.extend_from_slice(b"],");
        out.extend_from_slice(&rest.to_string().as_bytes()[1..]);
        Ok(())
    }
}

/// Writes the values of a column as JSON. Whole numbers beyond 2^53 and decimals are strings, so that no reader rounds them.
pub(super) fn json_cell(array: &dyn Array) -> Cell<'_> {
    let text = text_cell_of(array);
    match array.data_type() {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => text,
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>();
            Box::new(move |out, row| quoted_unless(out, values.value(row).unsigned_abs() <= EXACT, |out| text(out, row)))
        }
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>();
            Box::new(move |out, row| quoted_unless(out, values.value(row) <= EXACT, |out| text(out, row)))
        }
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>();
            Box::new(move |out, row| quoted_unless(out, values.value(row).is_finite(), |out| text(out, row)))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |out, row| quoted_unless(out, values.value(row).is_finite(), |out| text(out, row)))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(move |out, row| quoted_unless(out, values.value(row).is_finite(), |out| text(out, row)))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(move |out, row| string(out, values.value(row)))
        }
        DataType::List(_) => list(array),
        DataType::Struct(_) => record(array),
        DataType::Null => Box::new(|out, _| out.extend_from_slice(b"null")),
        DataType::Binary | DataType::FixedSizeBinary(_) => Box::new(move |out, row| {
            // The backslash of `\x` is the only byte that JSON escapes.
            out.extend_from_slice(b"\"\\");
            text(out, row);
            out.push(b'"');
        }),
        _ => Box::new(move |out, row| {
            let mut value = Vec::new();
            text(&mut value, row);
            string(out, &String::from_utf8_lossy(&value));
        }),
    }
}

/// Text for values that JSON wraps; lists and records are not text, so they have none.
fn text_cell_of(array: &dyn Array) -> Cell<'_> {
    match array.data_type() {
        DataType::List(_) | DataType::Struct(_) | DataType::Null => Box::new(|_, _| ()),
        _ => text_cell(array, Style::Iso),
    }
}

fn quoted_unless(out: &mut Vec<u8>, bare: bool, write: impl FnOnce(&mut Vec<u8>)) {
    if bare {
        return write(out);
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// A JSON string.
fn string(out: &mut Vec<u8>, value: &str) {
    // Writing a string to memory does not fail.
    serde_json::to_writer(out, value).unwrap_or_default();
}

fn list(array: &dyn Array) -> Cell<'_> {
    let array = array.as_list::<i32>();
    let values = json_cell(array.values().as_ref());
    Box::new(move |out, row| {
        let offsets = array.value_offsets();
        let (from, to) = (usize::try_from(offsets[row]).unwrap_or(0), usize::try_from(offsets[row + 1]).unwrap_or(0));
        out.push(b'[');
        for i in from..to {
            if i > from {
                out.push(b',');
            }
            if array.values().is_null(i) { out.extend_from_slice(b"null") } else { values(out, i) }
        }
        out.push(b']');
    })
}

fn record(array: &dyn Array) -> Cell<'_> {
    let array = array.as_struct();
    let parts: Vec<(&str, &dyn Array, Cell<'_>)> = array
        .fields()
        .iter()
        .zip(array.columns())
        .map(|(field, column)| (field.name().as_str(), column.as_ref(), json_cell(column.as_ref())))
        .collect();
    Box::new(move |out, row| {
        out.push(b'{');
        for (i, (name, column, cell)) in parts.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            string(out, name);
            out.push(b':');
            if column.is_null(row) { out.extend_from_slice(b"null") } else { cell(out, row) }
        }
        out.push(b'}');
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::arrow::array::{
        ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    fn values(array: ArrayRef) -> Vec<String> {
        let cell = json_cell(array.as_ref());
        let one = |row| {
            let mut out = Vec::new();
            cell(&mut out, row);
            String::from_utf8(out).unwrap()
        };
        (0..array.len()).map(one).collect()
    }

    #[test]
    fn no_value_loses_a_digit() {
        let big = 1_i64 << 53;
        assert_eq!(
            values(Arc::new(Int64Array::from(vec![1, big, big + 1, i64::MIN]))),
            ["1", "9007199254740992", "\"9007199254740993\"", "\"-9223372036854775808\""]
        );
        let decimals =
            Decimal128Array::from(vec![i128::from(i64::MAX) * 1_000_000_007, -5]).with_precision_and_scale(38, 10).unwrap();
        assert_eq!(values(Arc::new(decimals)), ["\"922337210141838006.4983430649\"", "\"-0.0000000005\""]);
        assert_eq!(values(Arc::new(Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY]))), ["0.1", "\"NaN\"", "\"Infinity\""]);
    }

    #[test]
    fn other_values_are_strings_that_json_can_hold() {
        assert_eq!(values(Arc::new(StringArray::from(vec!["a\"\n\u{1}é"]))), ["\"a\\\"\\n\\u0001é\""]);
        assert_eq!(values(Arc::new(BinaryArray::from_vec(vec![&[255]]))), ["\"\\\\xff\""]);
        let times = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC");
        assert_eq!(values(Arc::new(times)), ["\"1970-01-01T00:00:01.5Z\""]);
    }
}
