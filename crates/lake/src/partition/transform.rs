//! Partition transforms as the Iceberg specification defines them, on columns of Arrow.

use crate::{Error, Kind};
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, StringArray, new_null_array},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    },
};
use iceberg::spec::Transform;
use std::{fmt, str::FromStr, sync::Arc};

/// What a partition is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionTransform {
    /// The value itself.
    Identity,
    /// One of so many buckets, by the value's hash.
    Bucket(u32),
    /// The value cut: whole numbers to a multiple of the width, text to so many characters.
    Truncate(u32),
    /// The year of a date or time.
    Year,
    /// The month of a year.
    Month,
    /// The day.
    Day,
    /// The hour of a day.
    Hour,
    /// Nothing: every row is in one partition.
    Void,
}

/// A column of a table and what of it tells partitions. As text, `day(paid_at)`, `bucket(16, customer_id)`, or the column alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionField {
    /// The column.
    pub column: String,
    /// What of it.
    pub transform: PartitionTransform,
}

impl fmt::Display for PartitionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use PartitionTransform as P;
        let column = &self.column;
        match self.transform {
            P::Identity => write!(f, "{column}"),
            P::Bucket(n) => write!(f, "bucket({n}, {column})"),
            P::Truncate(n) => write!(f, "truncate({n}, {column})"),
            P::Year => write!(f, "year({column})"),
            P::Month => write!(f, "month({column})"),
            P::Day => write!(f, "day({column})"),
            P::Hour => write!(f, "hour({column})"),
            P::Void => write!(f, "void({column})"),
        }
    }
}

impl PartitionField {
    /// Whether a column of that type can be partitioned so.
    ///
    /// # Errors
    /// Why not, beginning with the field, and what is allowed instead.
    pub fn check(&self, data_type: &DataType) -> Result<(), String> {
        if self.transform.accepts(data_type) {
            return Ok(());
        }
        let allowed = PartitionTransform::allowed(data_type);
        Err(format!("`{self}`: the column is {data_type}, which takes {allowed}"))
    }
}

impl FromStr for PartitionField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |what: &str| format!("`{text}` {what}; {ALLOWED}");
        let Some(inside) = text.strip_suffix(')') else {
            if text.is_empty() || text.contains(['(', ',']) {
                return Err(wrong("names no column"));
            }
            return Self::called("identity", None, text).map_err(|what| wrong(&what));
        };
        let (word, inside) = inside.split_once('(').ok_or_else(|| wrong("has no opening bracket"))?;
        let (number, column) = match inside.split_once(',') {
            Some((number, column)) => (Some(number.trim()), column.trim()),
            None => (None, inside.trim()),
        };
        // What is no number is none that a transform takes.
        let number = number.map(|n| n.parse().unwrap_or(0));
        Self::called(word, number, column).map_err(|what| wrong(&what))
    }
}

const ALLOWED: &str =
    "write a column, or year, month, day, hour, identity or void of one, or bucket(16, column) or truncate(10, column)";

impl PartitionField {
    /// The field that a transform's name, its number and a column make; `days` and so on, as Spark calls them, are the same as `day`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn called(word: &str, number: Option<u64>, column: &str) -> Result<Self, String> {
        use PartitionTransform as P;
        let width = || match number.map(u32::try_from) {
            Some(Ok(n)) if (1..=i32::MAX.unsigned_abs()).contains(&n) => Ok(n),
            _ => Err("needs a number above 0 before the column".to_owned()),
        };
        let transform = match word.trim().to_ascii_lowercase().as_str() {
            "bucket" => P::Bucket(width()?),
            "truncate" => P::Truncate(width()?),
            "identity" => P::Identity,
            "year" | "years" => P::Year,
            "month" | "months" => P::Month,
            "day" | "days" => P::Day,
            "hour" | "hours" => P::Hour,
            "void" => P::Void,
            _ => return Err("is no partition transform".to_owned()),
        };
        if number.is_some() && !matches!(transform, P::Bucket(_) | P::Truncate(_)) {
            return Err("takes no number".to_owned());
        }
        if column.is_empty() {
            return Err("names no column".to_owned());
        }
        Ok(Self { column: column.to_owned(), transform })
    }

    /// What is allowed, in words that go behind a semicolon.
    pub const fn allowed() -> &'static str {
        ALLOWED
    }
}

impl PartitionTransform {
    /// The transform of Iceberg's metadata.
    pub(crate) const fn to_iceberg(self) -> Transform {
        match self {
            Self::Identity => Transform::Identity,
            Self::Bucket(n) => Transform::Bucket(n),
            Self::Truncate(n) => Transform::Truncate(n),
            Self::Year => Transform::Year,
            Self::Month => Transform::Month,
            Self::Day => Transform::Day,
            Self::Hour => Transform::Hour,
            Self::Void => Transform::Void,
        }
    }

    /// The transform that metadata names; none where this version does not know it.
    pub(crate) const fn of_iceberg(transform: Transform) -> Option<Self> {
        Some(match transform {
            Transform::Identity => Self::Identity,
            Transform::Bucket(n) => Self::Bucket(n),
            Transform::Truncate(n) => Self::Truncate(n),
            Transform::Year => Self::Year,
            Transform::Month => Self::Month,
            Transform::Day => Self::Day,
            Transform::Hour => Self::Hour,
            Transform::Void => Self::Void,
            Transform::Unknown => return None,
        })
    }

    /// What a partition field on `column` is called in metadata, as other engines call it.
    pub(crate) fn field_name(self, column: &str) -> String {
        match self {
            Self::Identity => column.to_owned(),
            Self::Bucket(n) => format!("{column}_bucket_{n}"),
            Self::Truncate(n) => format!("{column}_trunc_{n}"),
            Self::Year => format!("{column}_year"),
            Self::Month => format!("{column}_month"),
            Self::Day => format!("{column}_day"),
            Self::Hour => format!("{column}_hour"),
            Self::Void => format!("{column}_null"),
        }
    }

    /// Whether tables can be partitioned by this of a column of that type. Floats are left out: their equal values differ in bits.
    pub(crate) fn accepts(self, data_type: &DataType) -> bool {
        use DataType as D;
        let time = matches!(data_type, D::Timestamp(TimeUnit::Microsecond, _));
        let plain = matches!(data_type, D::Int32 | D::Int64 | D::Utf8 | D::Binary | D::Decimal128(_, _));
        let clock = matches!(data_type, D::Time64(TimeUnit::Microsecond));
        match self {
            Self::Identity => time || clock || plain || matches!(data_type, D::Boolean | D::Date32),
            Self::Bucket(_) => time || clock || plain || matches!(data_type, D::Date32),
            Self::Truncate(_) => plain,
            Self::Year | Self::Month | Self::Day => time || matches!(data_type, D::Date32),
            Self::Hour => time,
            Self::Void => !data_type.is_nested(),
        }
    }

    /// What a column of that type can be partitioned by, in words.
    pub fn allowed(data_type: &DataType) -> String {
        let all = [
            (Self::Identity, "the column itself"),
            (Self::Year, "year(…)"),
            (Self::Month, "month(…)"),
            (Self::Day, "day(…)"),
            (Self::Hour, "hour(…)"),
            (Self::Bucket(1), "bucket(16, …)"),
            (Self::Truncate(1), "truncate(10, …)"),
        ];
        let words: Vec<&str> = all.into_iter().filter(|(t, _)| t.accepts(data_type)).map(|(_, word)| word).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    }

    /// The type of what [`Self::apply`] gives for a column of that type.
    pub(crate) fn result_type(self, data_type: &DataType) -> DataType {
        match self {
            Self::Identity | Self::Truncate(_) | Self::Void => data_type.clone(),
            Self::Day => DataType::Date32,
            Self::Bucket(_) | Self::Year | Self::Month | Self::Hour => DataType::Int32,
        }
    }

    /// The transform of every value: dates for days, whole numbers for other parts of time and for buckets, else of the column's own type. NULL of NULL.
    ///
    /// # Errors
    /// [`Kind::Schema`] where the type does not fit.
    pub(crate) fn apply(self, column: &ArrayRef) -> Result<ArrayRef, Error> {
        let data_type = column.data_type();
        if !self.accepts(data_type) {
            return Err(Error::new(Kind::Schema, format!("a column of type {data_type} has no {self:?} to partition by")));
        }
        let failed = |e| Error::bug("computing partitions", e);
        Ok(match self {
            Self::Identity => Arc::clone(column),
            Self::Void => new_null_array(data_type, column.len()),
            Self::Bucket(n) => Arc::new(hashes(column)?.unary::<_, Int32Type>(|hash| bucket(hash, n))),
            Self::Truncate(width) => truncated(column, width)?,
            Self::Day => cast(&Int32Array::from_iter(days(column)?), &DataType::Date32).map_err(failed)?,
            Self::Month => Arc::new(months(column)?),
            Self::Year => Arc::new(months(column)?.unary::<_, Int32Type>(|month| month.div_euclid(12))),
            Self::Hour => {
                let hour = |us: i64| i32::try_from(us.div_euclid(3_600_000_000)).unwrap_or(i32::MAX);
                Arc::new(column.as_primitive::<TimestampMicrosecondType>().unary::<_, Int32Type>(hour))
            }
        })
    }
}

/// The bucket of a hash.
fn bucket(hash: i32, buckets: u32) -> i32 {
    (hash & i32::MAX) % i32::try_from(buckets).unwrap_or(i32::MAX).max(1)
}

/// For each value of a column, in which of so many buckets it is; NULL of NULL. None where values of the type have no buckets.
pub fn buckets_of(column: &ArrayRef, buckets: u32) -> Option<Int32Array> {
    let plain = match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => cast(column, &DataType::Utf8).ok()?,
        DataType::BinaryView | DataType::LargeBinary => cast(column, &DataType::Binary).ok()?,
        _ => Arc::clone(column),
    };
    let transform = PartitionTransform::Bucket(buckets);
    transform.accepts(plain.data_type()).then(|| hashes(&plain).ok()).flatten().map(|h| h.unary(|hash| bucket(hash, buckets)))
}

/// The days since 1970.
fn days(column: &ArrayRef) -> Result<Vec<Option<i32>>, Error> {
    const DAY_US: i64 = 86_400_000_000;
    Ok(match column.data_type() {
        DataType::Date32 => column.as_primitive::<Date32Type>().iter().collect(),
        _ => {
            let day = |us: i64| i32::try_from(us.div_euclid(DAY_US)).unwrap_or(i32::MAX);
            column.as_primitive::<TimestampMicrosecondType>().iter().map(|us| us.map(day)).collect()
        }
    })
}

/// The months since January 1970.
fn months(column: &ArrayRef) -> Result<Int32Array, Error> {
    Ok(days(column)?.into_iter().map(|day| day.map(month_of_day)).collect())
}

/// The month of a day since 1970, both counted from there, in the proleptic Gregorian calendar. The year is taken to begin in March, so that leap days
/// come last.
fn month_of_day(day: i32) -> i32 {
    let days = i64::from(day) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let since_march = (5 * of_year + 2) / 153;
    let (year, month) = if since_march < 10 { (year, since_march + 2) } else { (year + 1, since_march - 10) };
    i32::try_from((era * 400 + year - 1970) * 12 + month).unwrap_or(i32::MAX)
}

fn truncated(column: &ArrayRef, width: u32) -> Result<ArrayRef, Error> {
    Ok(match column.data_type() {
        DataType::Int32 => {
            let width = i32::try_from(width).unwrap_or(i32::MAX);
            Arc::new(column.as_primitive::<Int32Type>().unary::<_, Int32Type>(|v| v.wrapping_sub(v.rem_euclid(width))))
        }
        DataType::Int64 => {
            let width = i64::from(width);
            Arc::new(column.as_primitive::<Int64Type>().unary::<_, Int64Type>(|v| v.wrapping_sub(v.rem_euclid(width))))
        }
        DataType::Decimal128(precision, scale) => {
            let width = i128::from(width);
            let cut = column.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(|v| v.wrapping_sub(v.rem_euclid(width)));
            let failed = |e| Error::bug("computing partitions", e);
            Arc::new(cut.with_precision_and_scale(*precision, *scale).map_err(failed)?)
        }
        DataType::Binary => {
            let cut = |bytes: &[u8]| bytes[..bytes.len().min(width as usize)].to_vec();
            Arc::new(column.as_binary::<i32>().iter().map(|bytes| bytes.map(cut)).collect::<BinaryArray>())
        }
        _ => {
            let cut = |text: &str| text.char_indices().nth(width as usize).map_or(text.len(), |(at, _)| at);
            let texts = column.as_string::<i32>().iter().map(|text| text.map(|t| t[..cut(t)].to_owned()));
            Arc::new(texts.collect::<StringArray>())
        }
    })
}

/// The hash of every value (appendix B of the specification): 32-bit Murmur3 of the value's bytes.
fn hashes(column: &ArrayRef) -> Result<Int32Array, Error> {
    let long = |v: i64| murmur3(&v.to_le_bytes());
    Ok(match column.data_type() {
        DataType::Int32 => column.as_primitive::<Int32Type>().unary(|v| long(i64::from(v))),
        DataType::Date32 => column.as_primitive::<Date32Type>().unary(|v| long(i64::from(v))),
        DataType::Int64 => column.as_primitive::<Int64Type>().unary(long),
        DataType::Timestamp(TimeUnit::Microsecond, _) => column.as_primitive::<TimestampMicrosecondType>().unary(long),
        DataType::Time64(TimeUnit::Microsecond) => column.as_primitive::<Time64MicrosecondType>().unary(long),
        DataType::Decimal128(_, _) => column.as_primitive::<Decimal128Type>().unary(|v| murmur3(shortest(&v.to_be_bytes()))),
        DataType::Utf8 => column.as_string::<i32>().iter().map(|v| v.map(|v| murmur3(v.as_bytes()))).collect(),
        DataType::Binary => column.as_binary::<i32>().iter().map(|v| v.map(murmur3)).collect(),
        other => return Err(Error::new(Kind::Schema, format!("values of type {other} have no buckets"))),
    })
}

/// The fewest bytes that still say the same two's-complement number.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let sign = if bytes[0] & 0x80 == 0 { 0x00 } else { 0xff };
    let mut start = 0;
    while start < 15 && bytes[start] == sign && (bytes[start + 1] ^ sign) & 0x80 == 0 {
        start += 1;
    }
    &bytes[start..]
}

/// Murmur3, x86, 32 bits, seed 0 (A. Appleby).
fn murmur3(bytes: &[u8]) -> i32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mixed = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let mut hash: u32 = 0;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = (hash ^ mixed(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        hash ^= mixed(word);
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, Int64Array, Time64MicrosecondArray, TimestampMicrosecondArray};
    use iceberg::{spec::Datum, transform::create_transform_function};
    use proptest::prelude::*;

    /// Whole numbers of another array.
    fn longs(array: &ArrayRef) -> Vec<Option<i64>> {
        cast(array, &DataType::Int64).unwrap().as_primitive::<Int64Type>().iter().collect()
    }

    fn hash(column: impl Array + 'static) -> i32 {
        hashes(&(Arc::new(column) as ArrayRef)).unwrap().value(0)
    }

    #[test]
    fn hashes_are_those_of_the_specification() {
        assert_eq!(hash(Int32Array::from(vec![34])), 2_017_239_379);
        assert_eq!(hash(Int64Array::from(vec![34])), 2_017_239_379);
        assert_eq!(hash(Decimal128Array::from(vec![1420]).with_precision_and_scale(9, 2).unwrap()), -500_754_589);
        assert_eq!(hash(Date32Array::from(vec![17_486])), -653_330_422);
        assert_eq!(hash(Time64MicrosecondArray::from(vec![81_068_000_000])), -662_762_989);
        assert_eq!(hash(TimestampMicrosecondArray::from(vec![1_510_871_468_000_000])), -2_047_944_441);
        assert_eq!(hash(TimestampMicrosecondArray::from(vec![1_510_871_468_000_000]).with_timezone("UTC")), -2_047_944_441);
        assert_eq!(hash(StringArray::from(vec!["iceberg"])), 1_210_000_089);
        assert_eq!(hash(BinaryArray::from(vec![&[0u8, 1, 2, 3][..]])), -188_683_207);
    }

    #[test]
    fn values_are_cut_as_the_specification_says() {
        let cut = |width, values: &[i64]| {
            let values = Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
            longs(&PartitionTransform::Truncate(width).apply(&values).unwrap())
        };
        assert_eq!(cut(10, &[1, -1, 10, -11]), [Some(0), Some(-10), Some(10), Some(-20)]);
        let texts = Arc::new(StringArray::from(vec![Some("iceberg"), Some("ü€x"), Some("a"), None])) as ArrayRef;
        let cut = PartitionTransform::Truncate(2).apply(&texts).unwrap();
        assert_eq!(cut.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ic"), Some("ü€"), Some("a"), None]);
        // The width of a decimal counts in its last digit: 10.65 and 50 make 10.50.
        let decimals = Decimal128Array::from(vec![1065, -1, -1065]).with_precision_and_scale(9, 2).unwrap();
        let cut = PartitionTransform::Truncate(50).apply(&(Arc::new(decimals) as ArrayRef)).unwrap();
        assert_eq!(cut.as_primitive::<Decimal128Type>().values().to_vec(), [1050, -50, -1100]);
        assert_eq!(cut.data_type(), &DataType::Decimal128(9, 2));
        let bytes = Arc::new(BinaryArray::from(vec![&[0u8, 1, 2, 3][..], &[7]])) as ArrayRef;
        let cut = PartitionTransform::Truncate(3).apply(&bytes).unwrap();
        assert_eq!(cut.as_binary::<i32>().iter().flatten().collect::<Vec<_>>(), [&[0u8, 1, 2][..], &[7]]);
    }

    #[test]
    fn parts_of_time_count_from_1970_and_down_before_it() {
        const HOUR_US: i64 = 3_600_000_000;
        // 2017-11-16T22:31:08, the epoch, and a microsecond before it.
        let times =
            Arc::new(TimestampMicrosecondArray::from(vec![1_510_871_468_000_000, 0, -1, -24 * HOUR_US, -24 * HOUR_US - 1]))
                as ArrayRef;
        let of = |transform: PartitionTransform, column: &ArrayRef| -> Vec<i64> {
            longs(&transform.apply(column).unwrap()).into_iter().map(Option::unwrap).collect()
        };
        assert_eq!(of(PartitionTransform::Year, &times), [47, 0, -1, -1, -1]);
        assert_eq!(of(PartitionTransform::Month, &times), [574, 0, -1, -1, -1]);
        assert_eq!(of(PartitionTransform::Day, &times), [17_486, 0, -1, -1, -2]);
        assert_eq!(of(PartitionTransform::Hour, &times), [419_686, 0, -1, -24, -25]);
        // 1969-12-31, 1969-01-01, 1968-12-31, 2000-02-29.
        let dates = Arc::new(Date32Array::from(vec![-1, -365, -366, 11_016])) as ArrayRef;
        assert_eq!(of(PartitionTransform::Year, &dates), [-1, -1, -2, 30]);
        assert_eq!(of(PartitionTransform::Month, &dates), [-1, -12, -13, 361]);
        assert_eq!(of(PartitionTransform::Day, &dates), [-1, -365, -366, 11_016]);
    }

    #[test]
    fn fields_are_written_as_they_are_read() {
        for text in ["day(paid_at)", "bucket(16, customer_id)", "truncate(3, name)", "country", "year(d)", "void(x)"] {
            assert_eq!(text.parse::<PartitionField>().unwrap().to_string(), text);
        }
        assert_eq!(" Identity( a ) ".parse::<PartitionField>().unwrap().to_string(), "a");
        for text in ["", "week(a)", "bucket(a)", "bucket(0, a)", "day(2, a)", "day()", "day(a", "a, b"] {
            let said = text.parse::<PartitionField>().unwrap_err();
            assert!(said.contains("write a column, or year"), "{text}: {said}");
        }
    }

    /// What the Iceberg library makes of one value, as a number.
    fn library(transform: PartitionTransform, value: &Datum) -> i64 {
        use iceberg::spec::PrimitiveLiteral as L;
        let function = create_transform_function(&transform.to_iceberg()).unwrap();
        match function.transform_literal(value).unwrap().unwrap().literal() {
            L::Int(v) => i64::from(*v),
            L::Long(v) => *v,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn transforms_agree_with_the_iceberg_library(
            us in -100_000_000_000_000_000i64..100_000_000_000_000_000,
            day in -1_000_000i32..1_000_000,
            long in any::<i64>(),
            width in 1u32..1000,
        ) {
            use PartitionTransform as P;
            let times = Arc::new(TimestampMicrosecondArray::from(vec![us])) as ArrayRef;
            let dates = Arc::new(Date32Array::from(vec![day])) as ArrayRef;
            let longs_in = Arc::new(Int64Array::from(vec![long])) as ArrayRef;
            for transform in [P::Year, P::Month, P::Day, P::Hour, P::Bucket(width)] {
                let ours = longs(&transform.apply(&times).unwrap());
                prop_assert_eq!(ours, vec![Some(library(transform, &Datum::timestamp_micros(us)))], "{:?} of {}", transform, us);
            }
            for transform in [P::Year, P::Month, P::Bucket(width)] {
                let ours = longs(&transform.apply(&dates).unwrap());
                prop_assert_eq!(ours, vec![Some(library(transform, &Datum::date(day)))], "{:?} of day {}", transform, day);
            }
            // The library overflows where a multiple of the width is below the smallest number.
            let cuts = (long > i64::MIN + 1000).then_some(P::Truncate(width));
            for transform in [P::Bucket(width)].into_iter().chain(cuts) {
                let ours = longs(&transform.apply(&longs_in).unwrap());
                prop_assert_eq!(ours, vec![Some(library(transform, &Datum::long(long)))], "{:?} of {}", transform, long);
            }
        }

        #[test]
        fn text_and_decimals_fall_into_the_librarys_buckets(text in ".{0,12}", unscaled in any::<i64>(), buckets in 1u32..500) {
            let transform = PartitionTransform::Bucket(buckets);
            let texts = Arc::new(StringArray::from(vec![text.clone()])) as ArrayRef;
            prop_assert_eq!(longs(&transform.apply(&texts).unwrap()), vec![Some(library(transform, &Datum::string(&text)))]);
            let bytes = shortest(&i128::from(unscaled).to_be_bytes()).to_vec();
            let wide = i128::from(unscaled);
            let sign = if wide < 0 { 0xff } else { 0 };
            let mut whole = vec![sign; 16 - bytes.len()];
            whole.extend(&bytes);
            prop_assert_eq!(i128::from_be_bytes(whole.try_into().unwrap()), wide);
            if bytes.len() > 1 {
                // One byte less would say another number.
                let cut_sign = if bytes[1] & 0x80 != 0 { 0xff } else { 0 };
                prop_assert!(bytes[0] != cut_sign);
            }
        }
    }
}
