use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;

/// What the values of a column are and how their bytes are read. One kind is one Arrow type and one way to read text and binary values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric {
        precision: u8,
        scale: i8,
    },
    Date,
    Timestamp,
    TimestampTz,
    Time,
    Bytea,
    Uuid,
    /// Text whose binary form is its text form.
    Text,
    /// Like text, with a version byte before the binary form.
    Jsonb,
    /// Everything else, as the type's output function prints it.
    Printed,
    /// A one-dimensional array.
    List(Box<Kind>),
}

/// The widest decimal that Arrow's 128 bits hold.
pub(crate) const DECIMAL_DIGITS: u8 = 38;
/// The scale that a numeric without precision gets.
const FREE_SCALE: i8 = 18;

impl Kind {
    /// The kind of a built-in scalar type; `None` where the catalog must be asked (arrays included).
    pub(crate) fn of_builtin(oid: u32, typmod: i32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            26 => Self::Oid,
            25 | 19 | 114 | 1042 | 1043 => Self::Text,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1700 => Self::numeric(typmod),
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }

    /// The kind of `numeric` under a type modifier (-1: without precision).
    pub(crate) fn numeric(typmod: i32) -> Self {
        let free = Self::Numeric { precision: DECIMAL_DIGITS, scale: FREE_SCALE };
        if typmod < 4 {
            return free;
        }
        let precision = ((typmod - 4) >> 16) & 0xffff;
        // Eleven bits, signed: scales may be negative or larger than the precision since PostgreSQL 15.
        let scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
        let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision), Ok(scale)) if precision <= DECIMAL_DIGITS => Self::Numeric { precision, scale },
            _ => free,
        }
    }

    /// The Arrow type of the column.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 | Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Bytea => DataType::Binary,
            Self::Uuid | Self::Text | Self::Jsonb | Self::Printed => DataType::Utf8,
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
        }
    }

    /// Whether COPY sends this kind in a binary form that [`super::values::Values::try_binary`] reads; the others are asked for as text.
    pub(crate) fn has_binary_form(&self) -> bool {
        !matches!(self, Self::Printed | Self::List(_))
    }

    /// Whether the Arrow type is Utf8.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Uuid | Self::Text | Self::Jsonb | Self::Printed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_modifiers_become_decimals_that_hold_every_value() {
        let modifier = |p: i32, s: i32| ((p << 16) | (s & 0x7ff)) + 4;
        let cases = [
            (-1, (38, 18)),
            (modifier(12, 2), (12, 2)),
            (modifier(38, 38), (38, 38)),
            (modifier(39, 2), (38, 18)),
            (modifier(1000, 0), (38, 18)),
            (modifier(5, -2), (7, 0)),
            (modifier(3, 5), (5, 5)),
        ];
        for (typmod, (precision, scale)) in cases {
            assert_eq!(Kind::numeric(typmod), Kind::Numeric { precision, scale }, "{typmod}");
        }
    }
}
