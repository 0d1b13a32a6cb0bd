use super::{errors::refused, numeric};
use arrow::{
    array::{Array, ArrayRef, ListArray, StringArray},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, TimeUnit},
};
use bytes::Buf;
use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::{
    api::{
        Type,
        portal::{Format, Portal},
        results::FieldFormat,
    },
    error::{PgWireError, PgWireResult},
};
use std::sync::Arc;

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// The values that a client bound to a statement's parameters. `types` are what the client was told, `wanted` what the plan needs.
pub(super) fn bound<S>(portal: &Portal<S>, types: &[Type], wanted: &[Option<DataType>]) -> PgWireResult<Vec<ScalarValue>> {
    if portal.parameters.len() != wanted.len() {
        let message = format!(
            "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
            portal.parameters.len(),
            portal.statement.id,
            wanted.len()
        );
        return Err(refused("08P01", message));
    }
    if let Format::Individual(codes) = &portal.parameter_format
        && codes.len() != portal.parameters.len()
    {
        return Err(refused("08P01", "bind message has a wrong number of parameter formats"));
    }
    let value = |i: usize| {
        let wire = types.get(i).cloned().unwrap_or(Type::TEXT);
        let needs = wanted.get(i).cloned().flatten();
        let Some(bytes) = portal.parameters.get(i).and_then(Option::as_ref) else {
            let needs = needs.unwrap_or(DataType::Null);
            return ScalarValue::try_from(&needs).map_err(|_| invalid(i, &wire));
        };
        let scalar = match portal.parameter_format.format_for(i) {
            FieldFormat::Text => from_text(bytes, &wire, needs.as_ref()),
            FieldFormat::Binary => from_binary(bytes, &wire),
        };
        let scalar = scalar.ok_or_else(|| invalid(i, &wire))?;
        match needs {
            Some(needs) if needs != scalar.data_type() && needs != DataType::Null => {
                scalar.cast_to(&needs).map_err(|_| invalid(i, &wire))
            }
            _ => Ok(scalar),
        }
    };
    (0..wanted.len()).map(value).collect()
}

fn invalid(i: usize, wire: &Type) -> PgWireError {
    refused("22P02", format!("parameter ${} is not a valid {}", i + 1, wire.name()))
}

/// The Arrow type of a type that a client may send.
pub(super) fn arrow_type(wire: &Type) -> Option<DataType> {
    let list = |item: Type| Some(DataType::List(Arc::new(Field::new("item", arrow_type(&item)?, true))));
    Some(match *wire {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => DataType::Decimal128(38, 10),
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::JSONB | Type::UUID | Type::UNKNOWN => {
            DataType::Utf8
        }
        Type::BOOL_ARRAY => return list(Type::BOOL),
        Type::INT2_ARRAY => return list(Type::INT2),
        Type::INT4_ARRAY => return list(Type::INT4),
        Type::INT8_ARRAY => return list(Type::INT8),
        Type::FLOAT8_ARRAY => return list(Type::FLOAT8),
        Type::NUMERIC_ARRAY => return list(Type::NUMERIC),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => return list(Type::TEXT),
        Type::DATE_ARRAY => return list(Type::DATE),
        Type::TIMESTAMP_ARRAY => return list(Type::TIMESTAMP),
        Type::TIMESTAMPTZ_ARRAY => return list(Type::TIMESTAMPTZ),
        _ => return None,
    })
}

pub(super) fn from_text(bytes: &[u8], wire: &Type, needs: Option<&DataType>) -> Option<ScalarValue> {
    let text = std::str::from_utf8(bytes).ok()?;
    let target = needs.cloned().or_else(|| arrow_type(wire)).unwrap_or(DataType::Utf8);
    match &target {
        DataType::List(item) | DataType::LargeList(item) => list_of(array_items(text)?, item.data_type()),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => Some(ScalarValue::Binary(Some(unhex(text)?))),
        // A decimal without a place that fixes its digits keeps those it came with.
        DataType::Decimal128(_, _) if needs.is_none() => decimal(text),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Some(ScalarValue::Utf8(Some(text.to_owned()))),
        other => ScalarValue::Utf8(Some(text.trim().to_owned())).cast_to(other).ok().filter(|v| !v.is_null()),
    }
}

fn decimal(text: &str) -> Option<ScalarValue> {
    let text = text.trim();
    let scale = text.split_once('.').map_or(0, |(_, f)| f.len()).min(38);
    let target = DataType::Decimal128(38, i8::try_from(scale).ok()?);
    ScalarValue::Utf8(Some(text.to_owned())).cast_to(&target).ok().filter(|v| !v.is_null())
}

/// Bytes from `\x00ff`, or as they are where they are not written so.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("\\x") else { return Some(text.as_bytes().to_vec()) };
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}

/// The items of `{a,NULL,"b c"}`; none where it is nested or broken.
fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut chars = inner.chars().peekable();
    loop {
        let mut item = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        loop {
            match chars.next() {
                Some('\\') => item.push(chars.next()?),
                Some('"') if quoted => break,
                Some('{') if !quoted => return None,
                Some(',') if !quoted => {
                    items.push(unquoted(item));
                    item = String::new();
                    if chars.peek() == Some(&'"') {
                        break;
                    }
                }
                Some(c) => item.push(c),
                None if quoted => return None,
                None => {
                    items.push(unquoted(item));
                    return Some(items);
                }
            }
        }
        if quoted {
            items.push(Some(item));
            match chars.next() {
                None => return Some(items),
                Some(',') => {}
                Some(_) => return None,
            }
        }
    }
}

fn unquoted(item: String) -> Option<String> {
    let item = item.trim();
    (!item.eq_ignore_ascii_case("null")).then(|| item.to_owned())
}

fn list_of(items: Vec<Option<String>>, item: &DataType) -> Option<ScalarValue> {
    let values: ArrayRef = Arc::new(items.into_iter().collect::<StringArray>());
    let nulls = values.null_count();
    let values = cast(&values, item).ok().filter(|v| v.null_count() == nulls)?;
    Some(list_scalar(values))
}

fn list_scalar(values: ArrayRef) -> ScalarValue {
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(ListArray::new(field, offsets, values, None)))
}

pub(super) fn from_binary(mut bytes: &[u8], wire: &Type) -> Option<ScalarValue> {
    let has = |n: usize| (bytes.len() == n).then_some(());
    Some(match *wire {
        Type::BOOL => has(1).map(|()| ScalarValue::Boolean(Some(bytes[0] != 0)))?,
        Type::INT2 => has(2).map(|()| ScalarValue::Int16(Some(bytes.get_i16())))?,
        Type::INT4 => has(4).map(|()| ScalarValue::Int32(Some(bytes.get_i32())))?,
        Type::OID => has(4).map(|()| ScalarValue::Int64(Some(i64::from(bytes.get_u32()))))?,
        Type::INT8 => has(8).map(|()| ScalarValue::Int64(Some(bytes.get_i64())))?,
        Type::FLOAT4 => has(4).map(|()| ScalarValue::Float32(Some(bytes.get_f32())))?,
        Type::FLOAT8 => has(8).map(|()| ScalarValue::Float64(Some(bytes.get_f64())))?,
        Type::NUMERIC => decimal(&numeric::decode(bytes)?)?,
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::DATE => has(4).map(|()| ScalarValue::Date32(bytes.get_i32().checked_add(EPOCH_DAYS)))?,
        Type::TIME => has(8).map(|()| ScalarValue::Time64Microsecond(Some(bytes.get_i64())))?,
        Type::TIMESTAMP => has(8).map(|()| ScalarValue::TimestampMicrosecond(bytes.get_i64().checked_add(EPOCH_US), None))?,
        Type::TIMESTAMPTZ => {
            has(8).map(|()| ScalarValue::TimestampMicrosecond(bytes.get_i64().checked_add(EPOCH_US), Some("UTC".into())))?
        }
        Type::UUID => ScalarValue::Utf8(Some(uuid::Uuid::from_slice(bytes).ok()?.to_string())),
        Type::JSONB => ScalarValue::Utf8(Some(std::str::from_utf8(bytes.get(1..)?).ok()?.to_owned())),
        _ => match arrow_type(wire) {
            Some(DataType::List(item)) => binary_array(bytes, item.data_type())?,
            _ => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
        },
    })
}

/// A one-dimensional array: how many dimensions, whether NULLs, the items' type, length and lower bound, then items with their lengths.
fn binary_array(mut bytes: &[u8], item: &DataType) -> Option<ScalarValue> {
    if bytes.len() < 12 {
        return None;
    }
    let (dimensions, _, wire) = (bytes.get_i32(), bytes.get_i32(), Type::from_oid(bytes.get_u32())?);
    let empty = || ScalarValue::new_list(&[], item, true);
    if dimensions == 0 {
        return Some(ScalarValue::List(empty()));
    }
    if dimensions != 1 || bytes.len() < 8 {
        return None;
    }
    let count = usize::try_from(bytes.get_i32()).ok()?;
    bytes.advance(4);
    let mut items = Vec::new();
    for _ in 0..count {
        if bytes.len() < 4 {
            return None;
        }
        match usize::try_from(bytes.get_i32()) {
            Err(_) => items.push(ScalarValue::try_from(item).ok()?),
            Ok(length) => {
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                items.push(from_binary(value, &wire)?.cast_to(item).ok()?);
            }
        }
    }
    Some(ScalarValue::List(ScalarValue::new_list(&items, item, true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn array_text_is_read_item_by_item() {
        let some = |items: &[Option<&str>]| Some(items.iter().map(|i| i.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(array_items("{}"), some(&[]));
        assert_eq!(array_items("{1,2, 3}"), some(&[Some("1"), Some("2"), Some("3")]));
        assert_eq!(array_items(r#"{"a,b",NULL,"NULL","x\"y"}"#), some(&[Some("a,b"), None, Some("NULL"), Some("x\"y")]));
        assert_eq!(array_items(r#"{x,"y",z}"#), some(&[Some("x"), Some("y"), Some("z")]));
        assert_eq!(array_items("{{1},{2}}"), None);
        assert_eq!(array_items("{\"a"), None);
    }

    #[test]
    fn text_values_keep_every_digit() {
        let numeric = from_text(b"12345678901234567890.123456789", &Type::NUMERIC, None).unwrap();
        assert_eq!(numeric.to_string(), "12345678901234567890.123456789");
        assert_eq!(from_text(b"t", &Type::BOOL, None), Some(ScalarValue::Boolean(Some(true))));
        assert_eq!(from_text(b"\\x00ff", &Type::BYTEA, None), Some(ScalarValue::Binary(Some(vec![0, 255]))));
        assert_eq!(from_text(b"x", &Type::INT4, None), None);
    }

    proptest! {
        #[test]
        fn strange_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for wire in [Type::BOOL, Type::INT4, Type::NUMERIC, Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::UUID, Type::TIMESTAMPTZ, Type::JSONB] {
                from_binary(&bytes, &wire);
                from_text(&bytes, &wire, None);
            }
        }
    }
}
