//! Avro object container files (specification 1.12), whole in memory.

use crate::Error;
use apache_avro::{Reader, Schema as Avro, types::Value};
use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
        ListArray, NullArray, RecordBatch, RecordBatchOptions, StringArray, StructArray, Time64MicrosecondArray,
        TimestampMicrosecondArray, TimestampNanosecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
};
use std::{collections::HashMap, sync::Arc};

/// Records inside of each other.
const DEPTH_MAX: usize = 32;

/// The columns of a file, from its beginning.
///
/// # Errors
/// Where it is no Avro file, or has types that no column holds.
pub fn schema(bytes: &[u8]) -> Result<Schema, Error> {
    let reader = open(bytes)?;
    let Avro::Record(record) = reader.writer_schema() else {
        return Err(Error::new("the file holds no records").hint("Only files whose schema is a record make a table."));
    };
    let mut names = Names::default();
    let fields = record.fields.iter().map(|f| names.field(&f.name, &f.schema, 0)).collect::<Result<Vec<_>, _>>()?;
    Ok(Schema::new(fields))
}

fn open(bytes: &[u8]) -> Result<Reader<'static, &[u8]>, Error> {
    Reader::new(bytes).map_err(|e| Error::new(format!("this is no Avro file: {e}")).hint("Check that it is whole."))
}

/// Types that were given names, for where they are used again.
#[derive(Default)]
struct Names {
    known: HashMap<String, DataType>,
}

impl Names {
    fn field(&mut self, name: &str, avro: &Avro, depth: usize) -> Result<Field, Error> {
        let data_type = self.data_type(avro, depth).map_err(|e| e.column(name))?;
        Ok(Field::new(name, data_type, true))
    }

    fn data_type(&mut self, avro: &Avro, depth: usize) -> Result<DataType, Error> {
        if depth > DEPTH_MAX {
            return Err(Error::new(format!("records are more than {DEPTH_MAX} deep inside of each other")));
        }
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let nanos = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Into::into));
        Ok(match avro {
            Avro::Null => DataType::Null,
            Avro::Boolean => DataType::Boolean,
            Avro::Int => DataType::Int32,
            Avro::Long => DataType::Int64,
            Avro::Float => DataType::Float32,
            Avro::Double => DataType::Float64,
            Avro::String | Avro::Uuid => DataType::Utf8,
            Avro::Bytes => DataType::Binary,
            Avro::Date => DataType::Date32,
            Avro::TimeMillis | Avro::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
            Avro::TimestampMillis | Avro::TimestampMicros => micros(Some("UTC")),
            Avro::LocalTimestampMillis | Avro::LocalTimestampMicros => micros(None),
            Avro::TimestampNanos => nanos(Some("UTC")),
            Avro::LocalTimestampNanos => nanos(None),
            Avro::Enum(named) => self.named(&named.name.fullname(None), DataType::Utf8),
            Avro::Fixed(named) => self.named(&named.name.fullname(None), DataType::Binary),
            Avro::Decimal(decimal) => {
                let (precision, scale) = (u8::try_from(decimal.precision), i8::try_from(decimal.scale));
                match (precision, scale) {
                    (Ok(precision @ 1..=38), Ok(scale)) if i16::from(scale) <= i16::from(precision) => {
                        DataType::Decimal128(precision, scale)
                    }
                    _ => return Err(Error::new(format!("decimals of {} digits are more than 38", decimal.precision))),
                }
            }
            Avro::Array(array) => DataType::List(Arc::new(Field::new("item", self.data_type(&array.items, depth + 1)?, true))),
            Avro::Map(map) => {
                let value = self.data_type(&map.types, depth + 1)?;
                let entry = Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", value, true)]);
                DataType::List(Arc::new(Field::new("item", DataType::Struct(entry), true)))
            }
            Avro::Record(record) => {
                let fields = record.fields.iter().map(|f| self.field(&f.name, &f.schema, depth + 1));
                let data_type = DataType::Struct(fields.collect::<Result<Fields, _>>()?);
                self.named(&record.name.fullname(None), data_type)
            }
            Avro::Union(union) => {
                let mut real = union.variants().iter().filter(|v| !matches!(v, Avro::Null));
                match (real.next(), real.next()) {
                    (None, _) => DataType::Null,
                    (Some(one), None) => self.data_type(one, depth)?,
                    _ => return Err(Error::new("a union of several types is no type of a column")),
                }
            }
            Avro::Ref { name } => match self.known.get(&name.fullname(None)) {
                Some(data_type) => data_type.clone(),
                None => return Err(Error::new(format!("the type {} holds itself", name.fullname(None)))),
            },
            Avro::BigDecimal => return Err(Error::new("the type big-decimal is not supported")),
            Avro::Duration => return Err(Error::new("the type duration is not supported")),
        })
    }

    fn named(&mut self, name: &str, data_type: DataType) -> DataType {
        self.known.insert(name.to_owned(), data_type.clone());
        data_type
    }
}

/// The records of a file in batches of at most `rows_max` rows: the columns of `table` that `projection` names; those that the file does not
/// have are NULL.
///
/// # Errors
/// Where the file is broken, or holds a column in another type than the table.
pub fn read(
    bytes: &[u8],
    table: &SchemaRef,
    projection: &[usize],
    rows_max: usize,
    mut out: impl FnMut(RecordBatch) -> bool,
) -> Result<(), Error> {
    let own = schema(bytes)?;
    let wanted = Arc::new(table.project(projection).map_err(|e| Error::new(e.to_string()))?);
    let mut places = Vec::with_capacity(projection.len());
    for field in wanted.fields() {
        places.push(match own.index_of(field.name()) {
            Ok(place) => Some((place, own.field(place).data_type().clone())),
            Err(_) => None,
        });
    }
    let mut rows: Vec<Value> = Vec::with_capacity(rows_max.min(8192));
    let mut done = 0_u64;
    let batch = |rows: &[Value], done: u64| -> Result<RecordBatch, Error> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(places.len());
        for (field, place) in wanted.fields().iter().zip(&places) {
            let Some((place, data_type)) = place else {
                columns.push(arrow::array::new_null_array(field.data_type(), rows.len()));
                continue;
            };
            let cells: Vec<Option<&Value>> = rows.iter().map(|row| cell(row, *place)).collect();
            let made = column(data_type, &cells).map_err(|e| e.column(field.name().clone()).line(done + 1))?;
            columns.push(crate::csv::fitted(made, field.data_type())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&wanted), columns, &options).map_err(|e| Error::new(e.to_string()))
    };
    for record in open(bytes)? {
        let failed = |e: apache_avro::Error| Error::new(format!("record {} can't be read: {e}", done + rows.len() as u64 + 1));
        let record = record.map_err(failed)?;
        rows.push(record);
        if rows.len() >= rows_max.max(1) {
            if !out(batch(&rows, done)?) {
                return Ok(());
            }
            done += rows.len() as u64;
            rows.clear();
        }
    }
    if !rows.is_empty() {
        out(batch(&rows, done)?);
    }
    Ok(())
}

/// A field of a record; NULL as none.
fn cell(row: &Value, place: usize) -> Option<&Value> {
    match row {
        Value::Record(fields) => present(&fields.get(place)?.1),
        _ => None,
    }
}

fn present(value: &Value) -> Option<&Value> {
    match value {
        Value::Null => None,
        Value::Union(_, inner) => present(inner),
        other => Some(other),
    }
}

/// A column from values of the type that the file's schema gives it.
fn column(data_type: &DataType, cells: &[Option<&Value>]) -> Result<ArrayRef, Error> {
    macro_rules! filled {
        ($array:ty, $($pattern:pat => $value:expr),+) => {{
            let values = cells.iter().map(|cell| match cell {
                None => Ok(None),
                $(Some($pattern) => Ok(Some($value)),)+
                Some(_) => Err(Error::new(format!("a value is no {data_type}"))),
            });
            values.collect::<Result<$array, Error>>()?
        }};
    }
    let whole = |millis: i64| millis.checked_mul(1000).ok_or_else(|| Error::new("a time is beyond every calendar"));
    Ok(match data_type {
        DataType::Null => Arc::new(NullArray::new(cells.len())),
        DataType::Boolean => Arc::new(filled!(BooleanArray, Value::Boolean(b) => *b)),
        DataType::Int32 => Arc::new(filled!(Int32Array, Value::Int(n) => *n)),
        DataType::Int64 => Arc::new(filled!(Int64Array, Value::Long(n) => *n, Value::Int(n) => i64::from(*n))),
        DataType::Float32 => Arc::new(filled!(Float32Array, Value::Float(n) => *n)),
        DataType::Float64 => Arc::new(filled!(Float64Array, Value::Double(n) => *n, Value::Float(n) => f64::from(*n))),
        DataType::Utf8 => Arc::new(
            filled!(StringArray, Value::String(t) => t.clone(), Value::Enum(_, t) => t.clone(), Value::Uuid(u) => u.to_string()),
        ),
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            for cell in cells {
                match cell {
                    None => builder.append_null(),
                    Some(Value::Bytes(bytes) | Value::Fixed(_, bytes)) => builder.append_value(bytes),
                    Some(_) => return Err(Error::new("a value is no bytes")),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Date32 => Arc::new(filled!(Date32Array, Value::Date(days) => *days)),
        DataType::Time64(_) => Arc::new(
            filled!(Time64MicrosecondArray, Value::TimeMicros(us) => *us, Value::TimeMillis(ms) => i64::from(*ms) * 1000),
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let made = filled!(TimestampNanosecondArray, Value::TimestampNanos(ns) => *ns, Value::LocalTimestampNanos(ns) => *ns);
            Arc::new(made.with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(_, zone) => {
            let made = filled!(
                TimestampMicrosecondArray,
                Value::TimestampMicros(us) => *us,
                Value::LocalTimestampMicros(us) => *us,
                Value::TimestampMillis(ms) => whole(*ms)?,
                Value::LocalTimestampMillis(ms) => whole(*ms)?
            );
            Arc::new(made.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let made = filled!(Decimal128Array, Value::Decimal(decimal) => unscaled(decimal, *precision)?);
            let made = made.with_precision_and_scale(*precision, *scale);
            Arc::new(made.map_err(|e| Error::new(e.to_string()))?)
        }
        DataType::List(item) => list(item, cells)?,
        DataType::Struct(fields) => structs(fields, cells)?,
        other => return Err(Error::new(format!("{other} is no type of Avro"))),
    })
}

/// The number without its point, from two's complement with the highest byte first.
fn unscaled(decimal: &apache_avro::Decimal, precision: u8) -> Result<i128, Error> {
    let bytes = Vec::<u8>::try_from(decimal).map_err(|e| Error::new(format!("a decimal can't be read: {e}")))?;
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let fill = if negative { 0xFF } else { 0 };
    let spare = bytes.len().saturating_sub(16);
    if bytes[..spare].iter().any(|b| *b != fill) {
        return Err(Error::new("a decimal has more than 38 digits"));
    }
    let mut wide = [fill; 16];
    wide[16 - (bytes.len() - spare)..].copy_from_slice(&bytes[spare..]);
    let value = i128::from_be_bytes(wide);
    let most = 10_u128.pow(u32::from(precision));
    if (value < 0) != negative || value.unsigned_abs() >= most {
        return Err(Error::new(format!("a decimal has more than {precision} digits")));
    }
    Ok(value)
}

fn list(item: &Arc<Field>, cells: &[Option<&Value>]) -> Result<ArrayRef, Error> {
    let nulls: NullBuffer = cells.iter().map(Option::is_some).collect();
    let mut lengths = Vec::with_capacity(cells.len());
    // Maps have no order of their own, so their entries go by key.
    let mut entries: Vec<Value> = Vec::new();
    let mut items: Vec<Option<&Value>> = Vec::new();
    let mut maps = false;
    for cell in cells {
        match cell {
            Some(Value::Array(values)) => {
                lengths.push(values.len());
                items.extend(values.iter().map(present));
            }
            Some(Value::Map(map)) => {
                maps = true;
                lengths.push(map.len());
                let mut sorted: Vec<_> = map.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(b.0));
                entries.extend(
                    sorted
                        .into_iter()
                        .map(|(k, v)| Value::Record(vec![("key".into(), Value::String(k.clone())), ("value".into(), v.clone())])),
                );
            }
            Some(_) => return Err(Error::new("a value is no array")),
            None => lengths.push(0),
        }
    }
    if maps {
        items = entries.iter().map(Some).collect();
    }
    let values = column(item.data_type(), &items)?;
    let made = ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, Some(nulls));
    Ok(Arc::new(made.map_err(|e| Error::new(e.to_string()))?))
}

fn structs(fields: &Fields, cells: &[Option<&Value>]) -> Result<ArrayRef, Error> {
    let nulls: NullBuffer = cells.iter().map(Option::is_some).collect();
    if fields.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(cells.len(), Some(nulls))));
    }
    let children = fields.iter().enumerate().map(|(i, field)| {
        let inner: Vec<Option<&Value>> = cells.iter().map(|c| c.and_then(|row| cell(row, i))).collect();
        column(field.data_type(), &inner).map_err(|e| e.column(field.name().clone()))
    });
    let made = StructArray::try_new(fields.clone(), children.collect::<Result<_, _>>()?, Some(nulls));
    Ok(Arc::new(made.map_err(|e| Error::new(e.to_string()))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::{Writer, types::Record};
    use arrow::util::pretty::pretty_format_batches;
    use proptest::prelude::*;

    fn file() -> Vec<u8> {
        let schema = Avro::parse_str(
            r#"{"type":"record","name":"r","fields":[
                {"name":"id","type":"long"},
                {"name":"name","type":["null","string"]},
                {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
                {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"tags","type":{"type":"array","items":"string"}},
                {"name":"more","type":{"type":"map","values":"int"}}]}"#,
        )
        .unwrap();
        let mut writer = Writer::new(&schema, Vec::new());
        for i in 0..3_i64 {
            let mut record = Record::new(&schema).unwrap();
            record.put("id", i);
            record.put("name", (i != 1).then(|| format!("n{i}")));
            record.put("amount", Value::Decimal(apache_avro::Decimal::from((i * 100 - 150).to_be_bytes())));
            record.put("at", Value::TimestampMillis(i));
            record.put("tags", Value::Array(vec![Value::String(i.to_string())]));
            record.put("more", Value::Map([("k".to_owned(), Value::Int(7))].into()));
            writer.append(record).unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn records_become_columns() {
        let bytes = file();
        let schema = Arc::new(schema(&bytes).unwrap());
        let mut batches = Vec::new();
        read(&bytes, &schema, &[0, 1, 2, 3, 4, 5], 2, |b| {
            batches.push(b);
            true
        })
        .unwrap();
        assert_eq!(batches.len(), 2);
        let shown = pretty_format_batches(&batches).unwrap().to_string();
        let lines: Vec<&str> = shown.lines().filter(|l| l.starts_with("| ")).collect();
        assert_eq!(lines[1], "| 0  | n0   | -1.50  | 1970-01-01T00:00:00Z     | [0]  | [{key: k, value: 7}] |");
        assert_eq!(lines[2], "| 1  |      | -0.50  | 1970-01-01T00:00:00.001Z | [1]  | [{key: k, value: 7}] |");
    }

    proptest! {
        /// Bytes that were changed or cut make an error or other values, never a panic.
        #[test]
        fn broken_files_do_not_make_it_panic(at in 0_usize..600, to in any::<u8>(), cut in 0_usize..600) {
            let whole = file();
            let columns = Arc::new(schema(&whole).unwrap());
            let mut bytes = whole.clone();
            let at = at % bytes.len();
            bytes[at] = to;
            bytes.truncate(bytes.len() - cut % 40);
            if schema(&bytes).is_ok_and(|s| s == *columns) {
                let _ = read(&bytes, &columns, &[0, 1, 2, 3, 4, 5], 2, |_| true);
            }
        }
    }
}
