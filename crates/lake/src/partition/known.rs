//! What the partition of a file says of the values in it.

use crate::{ColumnStats, field_id, table::bounds::array_of, view::ViewFile};
use arrow::{
    array::{Array, ArrayRef, Date32Array, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array, new_null_array},
    compute::{cast, take},
    datatypes::{DataType, Schema, TimeUnit},
    error::ArrowError,
};
use iceberg::spec::{Literal, PartitionSpec, PrimitiveLiteral, Struct, Transform};
use std::{collections::BTreeMap, sync::Arc};

const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// Notes in a file's statistics what its partition says of its columns, where the file's own metrics say less: the buckets that they are in, bounds, NULLs, and
/// values of columns that the file may not have.
pub(crate) fn note(stats: &mut BTreeMap<i32, ColumnStats>, spec: &PartitionSpec, values: &Struct, columns: &Schema, rows: u64) {
    for (field, value) in spec.fields().iter().zip(values.fields()) {
        let value = match value {
            Some(Literal::Primitive(value)) => Some(value),
            Some(_) => continue,
            None => None,
        };
        if matches!(field.transform, Transform::Void | Transform::Unknown) {
            continue;
        }
        let Some(column) = columns.fields().iter().find(|c| field_id(c) == Some(field.source_id)) else { continue };
        let measured = stats.contains_key(&field.source_id);
        let known = stats.entry(field.source_id).or_default();
        let Some(value) = value else {
            // Transforms give NULL for NULL alone.
            known.nulls = known.nulls.or(Some(rows));
            match field.transform {
                Transform::Bucket(buckets) => known.bucket = Some((buckets, None)),
                Transform::Identity if !measured => known.constant = Some(new_null_array(column.data_type(), 1)),
                _ => {}
            }
            continue;
        };
        known.nulls = known.nulls.or(Some(0));
        match (field.transform, value) {
            (Transform::Bucket(buckets), PrimitiveLiteral::Int(bucket)) => known.bucket = Some((buckets, Some(*bucket))),
            (Transform::Bucket(_), _) => {}
            (Transform::Identity, value) => {
                let array = array_of(value, column.data_type());
                if !measured {
                    known.constant.clone_from(&array);
                }
                bound(known, array.clone(), array);
            }
            (transform, value) => {
                if let Some((lower, upper)) = range(transform, value, column.data_type()) {
                    bound(known, lower, upper);
                }
            }
        }
    }
}

/// Bounds are set where there are none yet. They need not be values that occur.
fn bound(known: &mut ColumnStats, lower: Option<ArrayRef>, upper: Option<ArrayRef>) {
    if known.min.is_none() && known.max.is_none() {
        (known.min, known.max, known.exact) = (lower, upper, false);
    }
}

/// Between which values of a column all are that a transform turns into `value`.
fn range(transform: Transform, value: &PrimitiveLiteral, data_type: &DataType) -> Option<(Option<ArrayRef>, Option<ArrayRef>)> {
    let number = match value {
        PrimitiveLiteral::Int(v) => i64::from(*v),
        PrimitiveLiteral::Long(v) => *v,
        PrimitiveLiteral::String(_) if matches!(transform, Transform::Truncate(_)) => {
            return Some((array_of(value, data_type), None));
        }
        _ => return None,
    };
    if let Transform::Truncate(width) = transform {
        return match data_type {
            DataType::Int32 | DataType::Int64 => {
                let last = number.checked_add(i64::from(width) - 1)?;
                let array = |v: i64| cast(&Int64Array::from(vec![v]), data_type).ok().filter(|a| a.is_valid(0));
                Some((array(number), array(last)))
            }
            _ => None,
        };
    }
    // Writers of old counted times before 1970 towards it, so that their partition is one too late (the specification's note on Iceberg 0.11).
    let first = if number <= 0 { number.checked_sub(1)? } else { number };
    let (first, end) = (start(transform, first)?, start(transform, number.checked_add(1)?)?);
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let array =
                |us: i64| Some(Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone_opt(zone.clone())) as ArrayRef);
            Some((array(first), array(end.checked_sub(1)?)))
        }
        DataType::Date32 => {
            let array = |us: i64| Some(Arc::new(Date32Array::from(vec![i32::try_from(us.div_euclid(DAY_US)).ok()?])) as ArrayRef);
            Some((array(first), array(end.checked_sub(1)?)))
        }
        _ => None,
    }
}

/// The first microsecond of a year, month, day or hour, counted from 1970.
fn start(transform: Transform, number: i64) -> Option<i64> {
    let days = match transform {
        Transform::Hour => return number.checked_mul(HOUR_US),
        Transform::Day => number,
        Transform::Month => day_of_month(number)?,
        Transform::Year => day_of_month(number.checked_mul(12)?)?,
        _ => return None,
    };
    days.checked_mul(DAY_US)
}

/// The first day of a month, both counted from January 1970, in the proleptic Gregorian calendar.
fn day_of_month(month: i64) -> Option<i64> {
    // Years are taken to begin in March, so that leap days come last.
    let since_march = month.checked_add(1970 * 12)?.checked_sub(2)?;
    let (year, month) = (since_march.div_euclid(12), since_march.rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    Some(era.checked_mul(146_097)? + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468)
}

/// Rows of a file with the columns that it lacks, and that its partition says the value of; `has` says which field ids the file has.
pub(crate) fn filled(rows: RecordBatch, file: &ViewFile, has: impl Fn(i32) -> bool) -> Result<RecordBatch, ArrowError> {
    let constant = |id: i32| file.stats.get(&id).and_then(|s| s.constant.as_ref()).filter(|_| !has(id));
    let schema = rows.schema();
    if !schema.fields().iter().filter_map(|f| field_id(f)).any(|id| constant(id).is_some()) {
        return Ok(rows);
    }
    let first = UInt32Array::from(vec![0; rows.num_rows()]);
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let Some(value) = field_id(field).and_then(constant) else { return Ok(Arc::clone(column)) };
        cast(&take(value, &first, None)?, field.data_type())
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::PartitionTransform;
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::{Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
    use proptest::prelude::*;

    fn bounds(transform: PartitionTransform, column: &ArrayRef) -> (Option<ArrayRef>, Option<ArrayRef>) {
        let value = transform.apply(column).unwrap();
        let value = match value.data_type() {
            DataType::Int64 => PrimitiveLiteral::Long(value.as_primitive::<Int64Type>().value(0)),
            DataType::Date32 => PrimitiveLiteral::Int(value.as_primitive::<Date32Type>().value(0)),
            _ => PrimitiveLiteral::Int(value.as_primitive::<Int32Type>().value(0)),
        };
        range(transform.to_iceberg(), &value, column.data_type()).unwrap_or((None, None))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

        #[test]
        fn a_value_lies_between_the_bounds_of_its_own_partition(
            us in prop_oneof![-100_000_000_000_000i64..100_000_000_000_000, -100_000_000_000_000_000i64..100_000_000_000_000_000],
            day in -1_000_000i32..1_000_000,
            long in any::<i64>(),
            width in 1u32..1000,
        ) {
            use PartitionTransform as P;
            let times = Arc::new(TimestampMicrosecondArray::from(vec![us])) as ArrayRef;
            for transform in [P::Year, P::Month, P::Day, P::Hour] {
                let (lower, upper) = bounds(transform, &times);
                let at = |a: Option<ArrayRef>| a.unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
                let (lower, upper) = (at(lower), at(upper));
                prop_assert!(lower <= us && us <= upper, "{:?} of {}: {} to {}", transform, us, lower, upper);
                // No wider than two of its kind.
                let most = match transform { P::Year => 732, P::Month => 62, P::Day => 2, _ => 1 } * DAY_US;
                prop_assert!(upper - lower < most, "{:?} of {}: {} to {}", transform, us, lower, upper);
            }
            let dates = Arc::new(Date32Array::from(vec![day])) as ArrayRef;
            for transform in [P::Year, P::Month, P::Day] {
                let (lower, upper) = bounds(transform, &dates);
                let at = |a: Option<ArrayRef>| a.unwrap().as_primitive::<Date32Type>().value(0);
                prop_assert!(at(lower) <= day && day <= at(upper));
            }
            let longs = Arc::new(Int64Array::from(vec![long])) as ArrayRef;
            // The smallest and largest numbers have no partition of the full width.
            if (i64::MIN + 1000..i64::MAX - 1000).contains(&long) {
                let (lower, upper) = bounds(P::Truncate(width), &longs);
                let at = |a: Option<ArrayRef>| a.unwrap().as_primitive::<Int64Type>().value(0);
                prop_assert!(at(lower) <= long && long <= at(upper));
            }
            let ints = Arc::new(Int32Array::from(vec![day])) as ArrayRef;
            let (lower, upper) = bounds(P::Truncate(width), &ints);
            let at = |a: Option<ArrayRef>| a.unwrap().as_primitive::<Int32Type>().value(0);
            prop_assert!(at(lower) <= day && day <= at(upper));
        }
    }
}
