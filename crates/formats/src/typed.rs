//! Texts as values: which type a text looks like, which type holds several texts, and columns from texts, strictly.

use crate::{Error, error::quoted};
use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, LargeStringBuilder,
        StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, TimeUnit},
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use std::sync::Arc;

/// Digits of a decimal column.
pub const DECIMAL_DIGITS: u8 = 38;

/// More decimals than this are not those of money; a number that has them and that a double holds exactly is one.
const MONEY_DECIMALS_MAX: u8 = 9;
/// Decimals that every double keeps.
const DOUBLE_DIGITS: u8 = 15;

/// What texts look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// Nothing seen but NULL.
    Nothing,
    /// `true` or `false`.
    Boolean,
    /// A whole number or one with a fixed point.
    Number {
        /// Digits before the point.
        whole: u8,
        /// Digits behind it.
        decimals: u8,
        /// Whether each fits 64 bits, as far as they are whole.
        long: bool,
        /// Whether doubles hold each of them to the last digit.
        double: bool,
    },
    /// A number with an exponent, an infinity or NaN.
    Float,
    /// `2026-01-31`.
    Date,
    /// `18:30:00`, with up to six decimals.
    Time,
    /// A date and a time of day.
    Timestamp,
    /// A date and a time of day at an offset from UTC.
    TimestampUtc,
    /// Anything else.
    Text,
}

/// How far types are told from texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// All types.
    Everything,
    /// Dates and times alone: in JSON, numbers and booleans have a form of their own.
    Times,
}

impl Guess {
    /// What `text` looks like. Blanks around it count: ` 1` is text.
    pub fn of(text: &str, look: Look) -> Self {
        let bytes = text.as_bytes();
        let Some(first) = bytes.first() else { return Self::Text };
        // Most texts are told by their first byte.
        let numeric = first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.');
        if look == Look::Everything {
            if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
                return Self::Boolean;
            }
            if let Some(number) = Self::number(text) {
                return number;
            }
            if is_special_float(text) {
                return Self::Float;
            }
        }
        if !numeric || bytes.len() < 8 {
            return Self::Text;
        }
        if date(text).is_some() {
            return Self::Date;
        }
        if time(text).is_some() {
            return Self::Time;
        }
        match timestamp(text) {
            Some((_, true)) => Self::TimestampUtc,
            Some((_, false)) => Self::Timestamp,
            None => Self::Text,
        }
    }

    /// The number that `text` is. `007` is none: what has leading zeros is a code, and would lose them.
    pub fn number(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').or_else(|| text.strip_prefix('+')).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || (whole.is_empty() && decimals.is_empty()) {
            return None;
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        if let Some(exponent) = exponent {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            return (!exponent.is_empty() && digits(exponent)).then_some(Self::Float);
        }
        let (whole_len, decimals_len) = (whole.trim_start_matches('0').len(), decimals.len());
        if whole_len + decimals_len > usize::from(DECIMAL_DIGITS) {
            return Some(Self::Text);
        }
        let significant = if whole_len == 0 { decimals.trim_start_matches('0').len() } else { whole_len + decimals_len };
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        Some(Self::Number {
            whole: small(whole_len),
            decimals: small(decimals_len),
            long: decimals.is_empty() && text.parse::<i64>().is_ok(),
            double: small(significant) <= DOUBLE_DIGITS || shortest(text),
        })
    }

    /// What holds both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        use Guess::{Float, Nothing, Number, Text, Timestamp, TimestampUtc};
        match (self, other) {
            (Nothing, any) | (any, Nothing) => any,
            (
                Number { whole, decimals, long, double },
                Number { whole: other_whole, decimals: other_decimals, long: other_long, double: other_double },
            ) => Number {
                whole: whole.max(other_whole),
                decimals: decimals.max(other_decimals),
                long: long && other_long,
                double: double && other_double,
            },
            // A double would lose digits of a number that has more than it holds.
            (Number { double, .. }, Float) | (Float, Number { double, .. }) => {
                if double {
                    Float
                } else {
                    Text
                }
            }
            (Self::Date, Timestamp) | (Timestamp, Self::Date) => Timestamp,
            (TimestampUtc, TimestampUtc) => TimestampUtc,
            (a, b) if a == b => a,
            _ => Text,
        }
    }

    /// The column's type. `sampled` says that there are texts that were not looked at: they may have more decimals.
    pub fn data_type(self, sampled: bool) -> DataType {
        match self {
            Self::Nothing | Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Number { long: true, .. } => DataType::Int64,
            Self::Number { whole, decimals, double, .. } => {
                if decimals > MONEY_DECIMALS_MAX && double {
                    return DataType::Float64;
                }
                let wide = if sampled && decimals > 0 { decimals.max(4) } else { decimals };
                let scale = if whole + wide <= DECIMAL_DIGITS { wide } else { decimals };
                if whole + scale > DECIMAL_DIGITS {
                    return DataType::Utf8;
                }
                DataType::Decimal128(DECIMAL_DIGITS, i8::try_from(scale).unwrap_or(0))
            }
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampUtc => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// Whether the double nearest to `text` is written with the same digits.
fn shortest(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    text.parse::<f64>().is_ok_and(|value| value.to_string() == trimmed)
}

fn is_special_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word))
}

/// `YYYY-MM-DD`, or with slashes where the year comes first. Other orders are guesses, and stay text.
fn date(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let separator = *bytes.get(4)?;
    if bytes.len() != 10 || !matches!(separator, b'-' | b'/') || bytes[7] != separator || !text.is_ascii() {
        return None;
    }
    let part = |range: std::ops::Range<usize>| {
        let part = &text[range];
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
    };
    NaiveDate::from_ymd_opt(i32::try_from(part(0..4)?).ok()?, part(5..7)?, part(8..10)?)
}

/// `HH:MM:SS` with up to six decimals.
fn time(text: &str) -> Option<NaiveTime> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' || !text.is_ascii() {
        return None;
    }
    let part = |range: std::ops::Range<usize>| {
        let part = &text[range];
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes, seconds) = (part(0..2)?, part(3..5)?, part(6..8)?);
    let micros = match &text[8..] {
        "" => 0,
        rest => {
            let decimals = rest.strip_prefix('.')?;
            if decimals.is_empty() || decimals.len() > 6 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            decimals.parse::<u32>().ok()? * 10_u32.pow(6 - u32::try_from(decimals.len()).ok()?)
        }
    };
    NaiveTime::from_hms_micro_opt(hours, minutes, seconds, micros)
}

/// A date, `T` or a blank, a time of day (seconds may be left out), and maybe an offset: microseconds since 1970, and whether there was an offset.
fn timestamp(text: &str) -> Option<(i64, bool)> {
    if !text.is_ascii() || text.len() < 16 || !matches!(text.as_bytes()[10], b'T' | b' ' | b't') {
        return None;
    }
    let day = date(&text[..10])?;
    let (clock, offset) = match text[11..].find(['Z', 'z', '+', '-']) {
        Some(at) => (text[11..11 + at].trim_end(), Some(&text[11 + at..])),
        None => (&text[11..], None),
    };
    let clock = if clock.len() == 5 { time(&format!("{clock}:00"))? } else { time(clock)? };
    let micros = NaiveDateTime::new(day, clock).and_utc().timestamp_micros();
    let Some(offset) = offset else { return Some((micros, false)) };
    if offset.eq_ignore_ascii_case("z") {
        return Some((micros, true));
    }
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits: String = offset[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    (hours <= 18 && minutes < 60).then(|| (micros - sign * (hours * 3600 + minutes * 60) * 1_000_000, true))
}

/// A number with a fixed point as a whole number of units of `10^-scale`; none where it is no number or does not fit without loss.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let scale = usize::try_from(scale).ok()?;
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    // Zeros at the end say nothing.
    let decimals = if decimals.len() > scale { decimals.trim_end_matches('0') } else { decimals };
    if decimals.len() > scale {
        return None;
    }
    let zeros = std::iter::repeat_n(b'0', scale - decimals.len());
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(decimals.bytes()).chain(zeros) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    (value < 10_i128.checked_pow(u32::from(precision))?).then_some(if negative { -value } else { value })
}

/// The name of a type as SQL has it, for errors.
fn named(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(p, s) => format!("numeric({p},{s})"),
        DataType::Date32 => "date".into(),
        DataType::Time64(_) => "time".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".into(),
        _ => "text".into(),
    }
}

/// Whether [`column`] makes columns of this type.
pub fn is_readable(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int64
            | DataType::Float64
            | DataType::Decimal128(_, 0..)
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8
            | DataType::LargeUtf8
    )
}

/// Which value could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its place among the values.
    pub index: usize,
    /// Why.
    pub error: Error,
}

/// A column of `data_type` from texts, `None` being NULL. Texts are kept as large strings, so that no column is too large for one array.
///
/// # Errors
/// The first text that is no value of the type, or a value that the type would change.
pub fn column<'a>(data_type: &DataType, texts: impl Iterator<Item = Option<&'a str>>) -> Result<ArrayRef, Unreadable> {
    macro_rules! filled {
        ($builder:expr, $parse:expr) => {{
            let mut builder = $builder;
            for (index, text) in texts.enumerate() {
                match text {
                    None => builder.append_null(),
                    Some(text) => match $parse(text) {
                        Some(value) => builder.append_value(value),
                        None => return Err(unreadable(index, text, data_type)),
                    },
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match data_type {
        DataType::Boolean => filled!(BooleanBuilder::new(), boolean),
        DataType::Int64 => filled!(Int64Builder::new(), |t: &str| t.parse::<i64>().ok()),
        DataType::Float64 => filled!(Float64Builder::new(), double),
        DataType::Decimal128(precision, scale) => {
            let builder = Decimal128Builder::new().with_data_type(data_type.clone());
            filled!(builder, |t: &str| decimal(t, *precision, *scale))
        }
        DataType::Date32 => filled!(Date32Builder::new(), |t: &str| date(t).map(days)),
        DataType::Time64(TimeUnit::Microsecond) => filled!(Time64MicrosecondBuilder::new(), |t: &str| time(t).map(micros)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let builder = TimestampMicrosecondBuilder::new().with_data_type(data_type.clone());
            filled!(builder, |t: &str| instant(t, zone.is_some()))
        }
        DataType::Utf8View => filled!(StringViewBuilder::new(), Some),
        DataType::Utf8 | DataType::LargeUtf8 => filled!(LargeStringBuilder::new(), Some),
        other => Err(Unreadable { index: 0, error: Error::new(format!("texts can't be read as {other}")) }),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("t") || text == "1" => Some(true),
        _ if text.eq_ignore_ascii_case("false") || text.eq_ignore_ascii_case("f") || text == "0" => Some(false),
        _ => None,
    }
}

fn double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    // A number beyond every double becomes infinite, which it is not.
    (value.is_finite() || is_special_float(text)).then_some(value)
}

fn days(date: NaiveDate) -> i32 {
    let since = date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days();
    i32::try_from(since).unwrap_or(i32::MAX)
}

fn micros(time: NaiveTime) -> i64 {
    time.signed_duration_since(NaiveTime::MIN).num_microseconds().unwrap_or(0)
}

/// A moment: without an offset where the column has none, with one where it is in UTC. A date is midnight.
fn instant(text: &str, utc: bool) -> Option<i64> {
    match timestamp(text) {
        Some((micros, offset)) => (offset == utc).then_some(micros),
        None => date(text).filter(|_| !utc).map(|d| i64::from(days(d)) * 86_400_000_000),
    }
}

fn unreadable(index: usize, text: &str, data_type: &DataType) -> Unreadable {
    let name = named(data_type);
    let message = match (data_type, Guess::number(text)) {
        (DataType::Decimal128(_, scale), Some(Guess::Number { decimals, .. })) if i16::from(decimals) > i16::from(*scale) => {
            format!("{} has more decimals than {name} holds", quoted(text))
        }
        (DataType::Int64 | DataType::Decimal128(..), Some(_)) => format!("{} does not fit {name}", quoted(text)),
        _ => format!("{} is no value of the type {name}", quoted(text)),
    };
    Unreadable { index, error: Error::new(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use proptest::prelude::*;

    fn of(texts: &[&str]) -> DataType {
        texts.iter().map(|t| Guess::of(t, Look::Everything)).fold(Guess::Nothing, Guess::join).data_type(false)
    }

    #[test]
    fn types_are_told_from_texts() {
        let decimal = |s| DataType::Decimal128(38, s);
        let timestamp = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (texts, expected) in [
            (&["1", "-2", "+3"][..], DataType::Int64),
            (&["9223372036854775807", "9223372036854775808"], decimal(0)),
            (&["1.10", "2"], decimal(2)),
            (&["0.30000000000000004", "1"], DataType::Float64),
            (&["1.000000000000000001"], decimal(18)),
            (&["1e5", "2"], DataType::Float64),
            (&["nan", "1.5"], DataType::Float64),
            (&["1e5", "0.1234567890123456789"], DataType::Utf8),
            (&["007", "8"], DataType::Utf8),
            (&["1", "x"], DataType::Utf8),
            (&[" 1"], DataType::Utf8),
            (&["1,5"], DataType::Utf8),
            (&["true", "FALSE"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2026-02-28", "1999/12/31"], DataType::Date32),
            (&["2026-02-30"], DataType::Utf8),
            (&["31/12/2026"], DataType::Utf8),
            (&["18:30:00", "00:00:00.123456"], DataType::Time64(TimeUnit::Microsecond)),
            (&["2026-01-01 10:00:00", "2026-01-01T10:00", "2026-01-01"], timestamp(None)),
            (&["2026-01-01T10:00:00Z", "2026-01-01 10:00:00.5+05:30"], timestamp(Some("UTC"))),
            (&["2026-01-01T10:00:00Z", "2026-01-01 10:00:00"], DataType::Utf8),
            (&["2026-01-01 10:00:00.1234567"], DataType::Utf8),
            (&["99999999999999999999999999999999999999.9"], DataType::Utf8),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_value_that_the_type_would_change_is_refused() {
        let decimal = DataType::Decimal128(38, 2);
        for (data_type, text, message) in [
            (&DataType::Int64, "1.5", "`1.5` does not fit bigint"),
            (&DataType::Int64, "x", "`x` is no value of the type bigint"),
            (&decimal, "1.234", "`1.234` has more decimals than numeric(38,2) holds"),
            (&DataType::Float64, "1e999", "`1e999` is no value of the type double precision"),
            (&DataType::Date32, "2026-13-01", "`2026-13-01` is no value of the type date"),
        ] {
            let error = column(data_type, [Some(text)].into_iter()).unwrap_err();
            assert_eq!(error.error.to_string(), message);
        }
        assert!(column(&decimal, [Some("1.200"), Some("-.5"), None].into_iter()).is_ok());
    }

    #[test]
    fn an_offset_moves_a_time_to_utc() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let array = column(&utc, [Some("2026-01-01T00:30:00+02:00"), Some("2025-12-31 22:30:00Z")].into_iter()).unwrap();
        let options = FormatOptions::default();
        let shown = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
        assert_eq!(shown.value(0).to_string(), shown.value(1).to_string());
    }

    proptest! {
        /// What is guessed of texts can hold every one of them.
        #[test]
        fn a_guess_holds_what_it_was_made_from(texts in proptest::collection::vec(
            "([+-]?[0-9]{0,20}(\\.[0-9]{0,12})?([eE][+-]?[0-9]{1,3})?|true|nan|-inf|[0-9]{4}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,7})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?|\\PC{0,12})", 1..6)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for sampled in [false, true] {
                let guess = texts.iter().map(|t| Guess::of(t, Look::Everything)).fold(Guess::Nothing, Guess::join);
                let data_type = guess.data_type(sampled);
                prop_assume!(data_type != DataType::Float64 || !texts.iter().any(|t| t.parse::<f64>().is_ok_and(f64::is_infinite)));
                let read = column(&data_type, texts.iter().map(|t| Some(*t)));
                prop_assert!(read.is_ok(), "{texts:?} as {data_type}: {read:?}");
            }
        }

        /// Decimals come back with the digits that they had.
        #[test]
        fn decimals_keep_their_digits(value in -10_i64.pow(15)..10_i64.pow(15), scale in 0_u32..9) {
            let whole = value.abs() / 10_i64.pow(scale);
            let rest = value.abs() % 10_i64.pow(scale);
            let sign = if value < 0 { "-" } else { "" };
            let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:0width$}", width = scale as usize) };
            prop_assert_eq!(decimal(&text, 38, i8::try_from(scale).unwrap()), Some(i128::from(value)));
        }
    }
}
