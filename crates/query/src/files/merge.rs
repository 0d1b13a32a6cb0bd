//! One schema from those of several files: columns by name, each in a type that holds every file's values.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::{collections::HashMap, sync::Arc};

/// Two files whose columns of one name have types that nothing holds both of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash {
    pub column: String,
    /// The file and its type of the column.
    pub first: (String, DataType),
    pub second: (String, DataType),
}

/// The union of schemas; columns come in the order in which they are seen first.
pub(super) fn union<'a>(schemas: impl Iterator<Item = (&'a str, &'a SchemaRef)>) -> Result<Schema, Box<Clash>> {
    let mut fields: Vec<Field> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut seen_in: Vec<&str> = Vec::new();
    for (file, schema) in schemas {
        for field in schema.fields() {
            let data_type = plain(field.data_type());
            let Some(place) = places.get(field.name()).copied() else {
                places.insert(field.name().clone(), fields.len());
                fields.push(Field::new(field.name(), data_type, true));
                seen_in.push(file);
                continue;
            };
            let known = fields[place].data_type().clone();
            let Some(wide) = widened(&known, &data_type) else {
                let column = field.name().clone();
                return Err(Box::new(Clash {
                    column,
                    first: (seen_in[place].to_owned(), known),
                    second: (file.to_owned(), data_type),
                }));
            };
            fields[place] = Field::new(field.name(), wide, true);
        }
    }
    Ok(Schema::new(fields))
}

/// The type without how its values are packed in memory.
fn plain(data_type: &DataType) -> DataType {
    crate::sql_types::plain_type(data_type)
}

/// Decimal digits that a whole number of a type may have.
fn digits(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(3),
        DataType::Int16 | DataType::UInt16 => Some(5),
        DataType::Int32 | DataType::UInt32 => Some(10),
        DataType::Int64 => Some(19),
        DataType::UInt64 => Some(20),
        _ => None,
    }
}

/// A type that holds all values of both, exactly; none where there is none.
pub(super) fn widened(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, List, Null, Struct, UInt8, UInt16, UInt32};
    if a == b {
        return Some(a.clone());
    }
    let rank = |t: &DataType| [Int8, Int16, Int32, Int64].iter().position(|x| x == t);
    let unsigned = |t: &DataType| [UInt8, UInt16, UInt32].iter().position(|x| x == t);
    Some(match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (a, b) if rank(a).is_some() && rank(b).is_some() => {
            if rank(a) > rank(b) {
                a.clone()
            } else {
                b.clone()
            }
        }
        (a, b) if unsigned(a).is_some() && unsigned(b).is_some() => {
            if unsigned(a) > unsigned(b) {
                a.clone()
            } else {
                b.clone()
            }
        }
        (a, b) if (rank(a).is_some() && unsigned(b).is_some()) || (unsigned(a).is_some() && rank(b).is_some()) => Int64,
        (Float32, Float64) | (Float64, Float32) => Float64,
        // A double holds every whole number of 32 bits.
        (Float64, whole) | (whole, Float64) if digits(whole).is_some_and(|d| d <= 10) => Float64,
        (Float32, whole) | (whole, Float32) if digits(whole).is_some_and(|d| d <= 10) => Float64,
        (Decimal128(p, s), Decimal128(q, t)) => {
            let scale = (*s).max(*t);
            let whole = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
            decimal(whole, scale)?
        }
        (Decimal128(p, s), whole) | (whole, Decimal128(p, s)) => {
            let digits = digits(whole)?;
            decimal((i16::from(*p) - i16::from(*s)).max(i16::from(digits)), *s)?
        }
        (List(x), List(y)) => List(Arc::new(Field::new("item", widened(x.data_type(), y.data_type())?, true))),
        (Struct(x), Struct(y)) => {
            let (x, y) = (Arc::new(Schema::new(x.clone())), Arc::new(Schema::new(y.clone())));
            Struct(union([("", &x), ("", &y)].into_iter()).ok()?.fields().clone())
        }
        _ => return None,
    })
}

fn decimal(whole: i16, scale: i8) -> Option<DataType> {
    let precision = whole + i16::from(scale);
    (precision <= 38).then_some(DataType::Decimal128(u8::try_from(precision).ok()?.max(1), scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen_only_where_no_value_changes() {
        use DataType::{Decimal128, Float64, Int32, Int64, UInt32, Utf8};
        for (a, b, expected) in [
            (Int32, Int64, Some(Int64)),
            (Int64, Int32, Some(Int64)),
            (Int32, UInt32, Some(Int64)),
            (Int32, Float64, Some(Float64)),
            (Int64, Float64, None),
            (Int64, Decimal128(10, 2), Some(Decimal128(21, 2))),
            (Decimal128(10, 2), Decimal128(8, 4), Some(Decimal128(12, 4))),
            (Decimal128(38, 2), Decimal128(8, 4), None),
            (Int64, Utf8, None),
            (DataType::Utf8View, DataType::LargeUtf8, None),
        ] {
            assert_eq!(widened(&a, &b), expected, "{a} {b}");
            assert_eq!(widened(&b, &a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_clash_names_both_files() {
        let schema = |t: DataType| Arc::new(Schema::new(vec![Field::new("a", t, false)]));
        let (a, b) = (schema(DataType::Int64), schema(DataType::Utf8View));
        let clash = union([("x", &a), ("y", &b)].into_iter()).unwrap_err();
        assert_eq!((clash.first, clash.second), (("x".to_owned(), DataType::Int64), ("y".to_owned(), DataType::Utf8)));
    }
}
