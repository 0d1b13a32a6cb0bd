//! Column metrics: from Parquet footers to Iceberg bounds, and from bounds to the statistics that queries prune by.

use super::schema::field_id;
use crate::ColumnStats;
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
        StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, Schema, TimeUnit},
};
use iceberg::spec::{DataFile, Datum, PrimitiveLiteral, PrimitiveType, Schema as IcebergSchema};
use parquet::{
    basic::Type as Physical,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        statistics::Statistics,
    },
};
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// Bounds of text keep this many characters, bounds of bytes this many bytes, as Iceberg's default `truncate(16)` does.
const BOUND_CHARS: usize = 16;

/// What a manifest entry says of the columns of a data file, by field id.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metrics {
    pub columns: BTreeMap<i32, ColumnMetrics>,
}

/// What a manifest entry says of one column.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ColumnMetrics {
    pub bytes: Option<u64>,
    pub values: Option<u64>,
    pub nulls: Option<u64>,
    pub lower: Option<Datum>,
    pub upper: Option<Datum>,
}

impl Metrics {
    /// The metrics that a Parquet footer holds.
    pub(crate) fn from_footer(footer: &ParquetMetaData, schema: &IcebergSchema) -> Self {
        let mut found: BTreeMap<i32, Gathered> = BTreeMap::new();
        for group in footer.row_groups() {
            for chunk in group.columns() {
                let info = chunk.column_descr().self_type().get_basic_info();
                if info.has_id() {
                    found.entry(info.id()).or_default().add(chunk, schema);
                }
            }
        }
        Self { columns: found.into_iter().map(|(id, g)| (id, g.finish())).collect() }
    }

    /// The metrics of a manifest entry.
    pub(crate) fn from_entry(file: &DataFile) -> Self {
        let mut columns: BTreeMap<i32, ColumnMetrics> = BTreeMap::new();
        for (id, bytes) in file.column_sizes() {
            columns.entry(*id).or_default().bytes = Some(*bytes);
        }
        for (id, values) in file.value_counts() {
            columns.entry(*id).or_default().values = Some(*values);
        }
        for (id, nulls) in file.null_value_counts() {
            columns.entry(*id).or_default().nulls = Some(*nulls);
        }
        for (id, lower) in file.lower_bounds() {
            columns.entry(*id).or_default().lower = Some(lower.clone());
        }
        for (id, upper) in file.upper_bounds() {
            columns.entry(*id).or_default().upper = Some(upper.clone());
        }
        Self { columns }
    }

    /// The statistics that queries prune by, for the columns of `schema` and in their types.
    pub(crate) fn stats(&self, schema: &Schema) -> BTreeMap<i32, ColumnStats> {
        let of = |field: &arrow::datatypes::FieldRef| {
            let id = field_id(field)?;
            let metrics = self.columns.get(&id)?;
            let (min, max) = match (&metrics.lower, &metrics.upper) {
                (lower, upper) if !field.data_type().is_nested() => (
                    lower.as_ref().and_then(|d| array_of(d.literal(), field.data_type())),
                    upper.as_ref().and_then(|d| array_of(d.literal(), field.data_type())),
                ),
                _ => (None, None),
            };
            let exact = [&metrics.lower, &metrics.upper].into_iter().flatten().all(is_exact);
            Some((id, ColumnStats { min, max, exact, nulls: metrics.nulls, bytes: metrics.bytes, ..ColumnStats::default() }))
        };
        schema.fields().iter().filter_map(of).collect()
    }
}

/// Statistics in the types that `schema` has now; the bounds of columns that were not widened stay as they are.
pub(crate) fn retype(stats: &BTreeMap<i32, ColumnStats>, schema: &Schema) -> BTreeMap<i32, ColumnStats> {
    let of = |field: &arrow::datatypes::FieldRef| {
        let id = field_id(field)?;
        let mut known = stats.get(&id)?.clone();
        let to = |bound: Option<ArrayRef>| {
            bound.and_then(|b| if b.data_type() == field.data_type() { Some(b) } else { cast(&b, field.data_type()).ok() })
        };
        known.min = to(known.min);
        known.max = to(known.max);
        known.constant = to(known.constant);
        Some((id, known))
    };
    schema.fields().iter().filter_map(of).collect()
}

/// One column over the row groups of a file.
#[derive(Default)]
struct Gathered {
    bytes: u64,
    values: u64,
    nulls: Option<u64>,
    lower: Option<Datum>,
    upper: Option<Datum>,
    /// Set once a row group with values has no usable bound, so that the file has none.
    no_lower: bool,
    no_upper: bool,
    seen: bool,
}

impl Gathered {
    fn add(&mut self, chunk: &ColumnChunkMetaData, schema: &IcebergSchema) {
        let stats = chunk.statistics();
        let nulls = stats.and_then(Statistics::null_count_opt);
        let values = u64::try_from(chunk.num_values()).unwrap_or(0);
        self.nulls = if self.seen { self.nulls.zip(nulls).map(|(a, b)| a + b) } else { nulls };
        self.seen = true;
        self.bytes += u64::try_from(chunk.compressed_size()).unwrap_or(0);
        self.values += values;
        if nulls == Some(values) {
            return;
        }
        let (lower, upper) = match (stats, primitive_of(chunk, schema)) {
            (Some(stats), Some(primitive)) if chunk.column_descr().max_rep_level() == 0 => {
                let at = |bytes: Option<&[u8]>| bytes.and_then(|b| datum(b, chunk.column_type(), &primitive));
                (at(stats.min_bytes_opt()).map(truncate_lower), at(stats.max_bytes_opt()).and_then(truncate_upper))
            }
            _ => (None, None),
        };
        self.no_lower |= lower.is_none();
        self.no_upper |= upper.is_none();
        keep(&mut self.lower, lower, Ordering::Less);
        keep(&mut self.upper, upper, Ordering::Greater);
    }

    fn finish(self) -> ColumnMetrics {
        ColumnMetrics {
            bytes: Some(self.bytes),
            values: Some(self.values),
            nulls: self.nulls,
            lower: self.lower.filter(|_| !self.no_lower),
            upper: self.upper.filter(|_| !self.no_upper),
        }
    }
}

fn primitive_of(chunk: &ColumnChunkMetaData, schema: &IcebergSchema) -> Option<PrimitiveType> {
    let id = chunk.column_descr().self_type().get_basic_info().id();
    schema.field_by_id(id)?.field_type.as_primitive_type().cloned()
}

fn keep(best: &mut Option<Datum>, found: Option<Datum>, if_it_is: Ordering) {
    if let Some(found) = found
        && best.as_ref().is_none_or(|b| found.partial_cmp(b) == Some(if_it_is))
    {
        *best = Some(found);
    }
}

/// A Parquet bound as an Iceberg value; NaN is no bound.
fn datum(bytes: &[u8], physical: Physical, primitive: &PrimitiveType) -> Option<Datum> {
    let made = match (primitive, physical) {
        (PrimitiveType::Decimal { .. }, Physical::INT32 | Physical::INT64) => {
            let big_endian: Vec<u8> = bytes.iter().rev().copied().collect();
            Datum::try_from_bytes(&big_endian, primitive.clone())
        }
        _ => Datum::try_from_bytes(bytes, primitive.clone()),
    };
    made.ok().filter(|d| !d.is_nan())
}

fn truncate_lower(bound: Datum) -> Datum {
    match bound.literal() {
        PrimitiveLiteral::String(s) => match s.char_indices().nth(BOUND_CHARS) {
            Some((end, _)) => Datum::string(&s[..end]),
            None => bound,
        },
        PrimitiveLiteral::Binary(b) if b.len() > BOUND_CHARS => Datum::binary(b[..BOUND_CHARS].iter().copied()),
        _ => bound,
    }
}

/// A bound cut short must still be above every value, so its end is counted up; where that is impossible there is none.
fn truncate_upper(bound: Datum) -> Option<Datum> {
    match bound.literal() {
        PrimitiveLiteral::String(s) => match s.char_indices().nth(BOUND_CHARS) {
            Some((end, _)) => count_up_text(&s[..end]).map(Datum::string),
            None => Some(bound),
        },
        PrimitiveLiteral::Binary(b) if b.len() > BOUND_CHARS => count_up_bytes(&b[..BOUND_CHARS]).map(Datum::binary),
        _ => Some(bound),
    }
}

fn count_up_text(text: &str) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn count_up_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|b| *b != u8::MAX)?;
    let mut up = bytes[..=last].to_vec();
    up[last] += 1;
    Some(up)
}

/// Whether a bound is a value that occurs. Text and bytes of the full length may be cut short, and floating point bounds leave NaN out.
fn is_exact(bound: &Datum) -> bool {
    match bound.literal() {
        PrimitiveLiteral::String(s) => s.chars().count() < BOUND_CHARS,
        PrimitiveLiteral::Binary(b) => b.len() < BOUND_CHARS,
        PrimitiveLiteral::Float(_) | PrimitiveLiteral::Double(_) => false,
        _ => true,
    }
}

/// A value of metadata as an array of length one in the column's type, widened where the column was.
pub(crate) fn array_of(value: &PrimitiveLiteral, data_type: &DataType) -> Option<ArrayRef> {
    let narrow: ArrayRef = match (value, data_type) {
        (PrimitiveLiteral::Boolean(v), _) => Arc::new(BooleanArray::from(vec![*v])),
        (PrimitiveLiteral::Int(v), DataType::Date32) => Arc::new(Date32Array::from(vec![*v])),
        (PrimitiveLiteral::Int(v), _) => Arc::new(Int32Array::from(vec![*v])),
        (PrimitiveLiteral::Long(v), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*v]).with_timezone_opt(zone.clone()))
        }
        (PrimitiveLiteral::Long(v), DataType::Time64(TimeUnit::Microsecond)) => Arc::new(Time64MicrosecondArray::from(vec![*v])),
        (PrimitiveLiteral::Long(v), _) => Arc::new(Int64Array::from(vec![*v])),
        (PrimitiveLiteral::Float(v), _) => Arc::new(Float32Array::from(vec![v.0])),
        (PrimitiveLiteral::Double(v), _) => Arc::new(Float64Array::from(vec![v.0])),
        (PrimitiveLiteral::Int128(v), DataType::Decimal128(precision, scale)) => {
            Arc::new(Decimal128Array::from(vec![*v]).with_precision_and_scale(*precision, *scale).ok()?)
        }
        (PrimitiveLiteral::String(v), _) => Arc::new(StringArray::from(vec![v.as_str()])),
        (PrimitiveLiteral::Binary(v), _) => Arc::new(BinaryArray::from(vec![v.as_slice()])),
        _ => return None,
    };
    if narrow.data_type() == data_type { Some(narrow) } else { cast(&narrow, data_type).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

        #[test]
        fn bounds_of_text_enclose_the_text_however_they_are_cut(text in "\\PC{0,40}") {
            let PrimitiveLiteral::String(lower) = truncate_lower(Datum::string(&text)).literal().clone() else { unreachable!() };
            prop_assert!(lower <= text && lower.chars().count() <= BOUND_CHARS);
            if let Some(upper) = truncate_upper(Datum::string(&text)) {
                let PrimitiveLiteral::String(upper) = upper.literal().clone() else { unreachable!() };
                prop_assert!(upper >= text, "{upper:?} < {text:?}");
                prop_assert!(upper.chars().count() <= BOUND_CHARS);
            }
        }

        #[test]
        fn bounds_of_bytes_enclose_the_bytes_however_they_are_cut(bytes in prop::collection::vec(prop_oneof![Just(u8::MAX), any::<u8>()], 0..40)) {
            let PrimitiveLiteral::Binary(lower) = truncate_lower(Datum::binary(bytes.clone())).literal().clone() else { unreachable!() };
            prop_assert!(lower <= bytes);
            match truncate_upper(Datum::binary(bytes.clone())) {
                Some(upper) => {
                    let PrimitiveLiteral::Binary(upper) = upper.literal().clone() else { unreachable!() };
                    prop_assert!(upper >= bytes);
                }
                None => prop_assert!(bytes.iter().take(BOUND_CHARS).all(|b| *b == u8::MAX)),
            }
        }

        #[test]
        fn a_decimal_bound_is_the_same_from_every_physical_type(value in -999_999_999i32..=999_999_999) {
            let primitive = PrimitiveType::Decimal { precision: 9, scale: 2 };
            let small = datum(&value.to_le_bytes(), Physical::INT32, &primitive);
            let middle = datum(&i64::from(value).to_le_bytes(), Physical::INT64, &primitive);
            let large = datum(&i128::from(value).to_be_bytes(), Physical::FIXED_LEN_BYTE_ARRAY, &primitive);
            prop_assert_eq!(&small, &middle);
            prop_assert_eq!(&small, &large);
            let back = Datum::try_from_bytes(&small.clone().unwrap().to_bytes().unwrap(), primitive).unwrap();
            prop_assert_eq!(back.literal(), &PrimitiveLiteral::Int128(i128::from(value)));
            let array = array_of(back.literal(), &DataType::Decimal128(12, 2)).unwrap();
            prop_assert_eq!(array.as_any().downcast_ref::<Decimal128Array>().unwrap().value(0), i128::from(value));
        }
    }

    #[test]
    fn nan_is_no_bound_and_floating_bounds_are_never_exact() {
        assert_eq!(datum(&f64::NAN.to_le_bytes(), Physical::DOUBLE, &PrimitiveType::Double), None);
        assert!(!is_exact(&Datum::double(1.0)));
        assert!(is_exact(&Datum::long(1)) && is_exact(&Datum::string("short")) && !is_exact(&Datum::string("sixteen letters!")));
    }

    #[test]
    fn an_old_bound_is_widened_with_its_column() {
        let wide = array_of(Datum::int(7).literal(), &DataType::Int64).unwrap();
        assert_eq!(wide.as_any().downcast_ref::<Int64Array>().unwrap().value(0), 7);
    }
}
