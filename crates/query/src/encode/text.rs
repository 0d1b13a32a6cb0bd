use super::temporal::{self, Years};
use ::arrow::{
    array::{Array, AsArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DecimalType,
        DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
        IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use std::{fmt::Display, io::Write};

/// For whom text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// ISO 8601 times, `true` and `false`, JSON for lists.
    Iso,
    /// As PostgreSQL prints values.
    Postgres,
}

/// Writes one value of a column; never called for a row that is NULL.
pub(crate) type Cell<'a> = Box<dyn Fn(&mut Vec<u8>, usize) + Send + 'a>;

fn show(out: &mut Vec<u8>, value: impl Display) {
    // Writing to memory does not fail.
    write!(out, "{value}").unwrap_or_default();
}

fn plain<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> Cell<'a>
where
    T::Native: Display,
{
    let array = array.as_primitive::<T>();
    Box::new(move |out, row| show(out, array.value(row)))
}

fn decimal<'a, T: DecimalType>(array: &'a dyn Array, precision: u8, scale: i8) -> Cell<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |out, row| out.extend_from_slice(T::format_decimal(array.value(row), precision, scale).as_bytes()))
}

fn with<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, write: impl Fn(&mut Vec<u8>, T::Native) + Send + 'a) -> Cell<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |out, row| write(out, array.value(row)))
}

/// Writes the values of a column as text.
pub(crate) fn text_cell(array: &dyn Array, style: Style) -> Cell<'_> {
    match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            let (yes, no) = if style == Style::Postgres { ("t", "f") } else { ("true", "false") };
            Box::new(move |out, row| out.extend_from_slice(if array.value(row) { yes } else { no }.as_bytes()))
        }
        DataType::Int8 => plain::<Int8Type>(array),
        DataType::Int16 => plain::<Int16Type>(array),
        DataType::Int32 => plain::<Int32Type>(array),
        DataType::Int64 => plain::<Int64Type>(array),
        DataType::UInt8 => plain::<UInt8Type>(array),
        DataType::UInt16 => plain::<UInt16Type>(array),
        DataType::UInt32 => plain::<UInt32Type>(array),
        DataType::UInt64 => plain::<UInt64Type>(array),
        DataType::Float16 => with::<Float16Type>(array, |out, v| float(out, f64::from(v.to_f32()), v, 1e6)),
        DataType::Float32 => with::<Float32Type>(array, |out, v| float(out, f64::from(v), v, 1e6)),
        DataType::Float64 => with::<Float64Type>(array, |out, v| float(out, v, v, 1e15)),
        DataType::Decimal128(p, s) => decimal::<Decimal128Type>(array, *p, *s),
        DataType::Decimal256(p, s) => decimal::<Decimal256Type>(array, *p, *s),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |out, row| out.extend_from_slice(array.value(row).as_bytes()))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |out, row| hex(out, array.value(row)))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Box::new(move |out, row| hex(out, array.value(row)))
        }
        DataType::List(_) => list(array, style),
        DataType::Interval(unit) => interval(array, *unit),
        _ => time_cell(array, style),
    }
}

fn time_cell(array: &dyn Array, style: Style) -> Cell<'_> {
    let years = if style == Style::Postgres { Years::Postgres } else { Years::Iso };
    let stamp = move |units: i64, zone: bool| move |out: &mut Vec<u8>, v: i64| temporal::timestamp(out, v, units, zone, years);
    let span = |unit_ns: i128| move |out: &mut Vec<u8>, v: i64| temporal::interval(out, 0, 0, i128::from(v) * unit_ns);
    match array.data_type() {
        DataType::Date32 => with::<Date32Type>(array, move |out, v| temporal::date(out, i64::from(v), years)),
        DataType::Date64 => with::<Date64Type>(array, move |out, v| temporal::date(out, v.div_euclid(86_400_000), years)),
        DataType::Time32(TimeUnit::Second) => with::<Time32SecondType>(array, |out, v| temporal::time(out, i64::from(v), 1)),
        DataType::Time32(_) => with::<Time32MillisecondType>(array, |out, v| temporal::time(out, i64::from(v), 1000)),
        DataType::Time64(TimeUnit::Microsecond) => {
            with::<Time64MicrosecondType>(array, |out, v| temporal::time(out, v, 1_000_000))
        }
        DataType::Time64(_) => with::<Time64NanosecondType>(array, |out, v| temporal::time(out, v, 1_000_000_000)),
        DataType::Timestamp(TimeUnit::Second, tz) => with::<TimestampSecondType>(array, stamp(1, tz.is_some())),
        DataType::Timestamp(TimeUnit::Millisecond, tz) => with::<TimestampMillisecondType>(array, stamp(1000, tz.is_some())),
        DataType::Timestamp(TimeUnit::Microsecond, tz) => with::<TimestampMicrosecondType>(array, stamp(1_000_000, tz.is_some())),
        DataType::Timestamp(TimeUnit::Nanosecond, tz) => {
            with::<TimestampNanosecondType>(array, stamp(1_000_000_000, tz.is_some()))
        }
        DataType::Duration(TimeUnit::Second) => with::<DurationSecondType>(array, span(1_000_000_000)),
        DataType::Duration(TimeUnit::Millisecond) => with::<DurationMillisecondType>(array, span(1_000_000)),
        DataType::Duration(TimeUnit::Microsecond) => with::<DurationMicrosecondType>(array, span(1000)),
        DataType::Duration(TimeUnit::Nanosecond) => with::<DurationNanosecondType>(array, span(1)),
        _ => {
            const OPTIONS: FormatOptions<'static> = FormatOptions::new();
            // The formatter is not Send, so it is made for each value of such rare types (maps, records).
            Box::new(move |out, row| {
                if let Ok(formatter) = ArrayFormatter::try_new(array, &OPTIONS) {
                    show(out, formatter.value(row));
                }
            })
        }
    }
}

fn interval(array: &dyn Array, unit: IntervalUnit) -> Cell<'_> {
    match unit {
        IntervalUnit::YearMonth => with::<IntervalYearMonthType>(array, |out, v| temporal::interval(out, i64::from(v), 0, 0)),
        IntervalUnit::DayTime => with::<IntervalDayTimeType>(array, |out, v| {
            temporal::interval(out, 0, i64::from(v.days), i128::from(v.milliseconds) * 1_000_000);
        }),
        IntervalUnit::MonthDayNano => with::<IntervalMonthDayNanoType>(array, |out, v| {
            temporal::interval(out, i64::from(v.months), i64::from(v.days), i128::from(v.nanoseconds));
        }),
    }
}

/// The shortest digits that read back as the same number; with an exponent where PostgreSQL writes one.
fn float(out: &mut Vec<u8>, value: f64, shortest: impl Display + std::fmt::LowerExp, large: f64) {
    let size = value.abs();
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if size != 0.0 && (size >= large || size < 1e-4) {
        let text = format!("{shortest:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        show(out, format_args!("{digits}e{sign}{exponent:0>2}"));
    } else {
        show(out, shortest);
    }
}

/// `\x` and two digits per byte.
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    out.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

/// A list: `{1,NULL,"a b"}` for PostgreSQL, JSON otherwise.
fn list(array: &dyn Array, style: Style) -> Cell<'_> {
    if style == Style::Iso {
        return super::json::json_cell(array);
    }
    let array = array.as_list::<i32>();
    let values = text_cell(array.values().as_ref(), style);
    Box::new(move |out, row| {
        let offsets = array.value_offsets();
        let (from, to) = (index(offsets[row]), index(offsets[row + 1]));
        out.push(b'{');
        let mut item = Vec::new();
        for i in from..to {
            if i > from {
                out.push(b',');
            }
            if array.values().is_null(i) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            item.clear();
            values(&mut item, i);
            quote_item(out, &item, matches!(array.values().data_type(), DataType::List(_)));
        }
        out.push(b'}');
    })
}

fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

fn quote_item(out: &mut Vec<u8>, item: &[u8], nested: bool) {
    let special = |b: &u8| matches!(b, b'{' | b'}' | b',' | b'"' | b'\\') || b.is_ascii_whitespace();
    if nested || !(item.is_empty() || item.eq_ignore_ascii_case(b"null") || item.iter().any(special)) {
        out.extend_from_slice(item);
        return;
    }
    out.push(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::arrow::{
        array::{ArrayRef, BinaryArray, Float32Array, Float64Array, Int32Builder, ListBuilder, StringBuilder},
        datatypes::Int32Type as I32,
    };
    use std::sync::Arc;

    fn texts(array: ArrayRef, style: Style) -> Vec<String> {
        let cell = text_cell(array.as_ref(), style);
        let one = |row| {
            let mut out = Vec::new();
            cell(&mut out, row);
            String::from_utf8(out).unwrap()
        };
        (0..array.len()).filter(|r| array.is_valid(*r)).map(one).collect()
    }

    #[test]
    fn floats_are_written_as_postgresql_writes_them() {
        let values = vec![0.1, 1.0, -0.0, 1e15, 1.5e300, 1e-5, 0.0001, 123_456_789_012_345.0, f64::NAN, f64::NEG_INFINITY];
        let got = texts(Arc::new(Float64Array::from(values)), Style::Postgres);
        assert_eq!(got, ["0.1", "1", "-0", "1e+15", "1.5e+300", "1e-05", "0.0001", "123456789012345", "NaN", "-Infinity"]);
        assert_eq!(texts(Arc::new(Float32Array::from(vec![0.1, 1e6, 3.4e38])), Style::Postgres), ["0.1", "1e+06", "3.4e+38"]);
    }

    #[test]
    fn lists_are_quoted_as_postgresql_quotes_them() {
        let mut builder = ListBuilder::new(StringBuilder::new());
        builder.append_value([Some("a"), None, Some(""), Some("NULL"), Some("a \"b\"\\"), Some("x,y")]);
        builder.append_value(Vec::<Option<&str>>::new());
        let array: ArrayRef = Arc::new(builder.finish());
        assert_eq!(texts(Arc::clone(&array), Style::Postgres), [r#"{a,NULL,"","NULL","a \"b\"\\","x,y"}"#, "{}"]);
        assert_eq!(texts(array, Style::Iso)[1], "[]");
        let mut nested = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
        nested.append_value([Some([Some(1), None]), Some([Some(3), Some(4)])]);
        let array: ArrayRef = Arc::new(nested.finish());
        assert_eq!(array.as_list::<i32>().value(0).as_list::<i32>().value(0).as_primitive::<I32>().value(0), 1);
        assert_eq!(texts(array, Style::Postgres), ["{{1,NULL},{3,4}}"]);
    }

    #[test]
    fn bytes_are_hex() {
        assert_eq!(texts(Arc::new(BinaryArray::from_vec(vec![&[0, 255, 16]])), Style::Iso), ["\\x00ff10"]);
    }
}
