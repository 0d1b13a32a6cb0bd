use super::error::IndexError;
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    },
};
use xxhash_rust::xxh3::xxh3_128;

/// The key of a row whose only key column is NULL. No integer has it.
const NULL_KEY: u128 = 1 << 127;

/// Turns key columns into 128-bit keys, one per row.
///
/// A single integer, date or time column keeps its value, so two keys never collide. Everything else becomes the xxh3 hash of a canonical
/// encoding, which stays the same when a column is promoted (`int` to `long`, `float` to `double`, more decimal digits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEncoder {
    classes: Vec<Class>,
}

/// What types share one encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Class {
    Integer,
    Float,
    Decimal(i8),
    Bool,
    Bytes,
    List(Box<Class>),
}

impl Class {
    fn of(data_type: &DataType) -> Result<Self, IndexError> {
        Ok(match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::Integer,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Self::Integer,
            DataType::Date32 | DataType::Time64(TimeUnit::Microsecond) | DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Integer
            }
            DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Decimal128(_, scale) => Self::Decimal(*scale),
            DataType::Boolean => Self::Bool,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Bytes,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::List(item) => Self::List(Box::new(Self::of(item.data_type())?)),
            other => return Err(IndexError::unsupported(format!("a column of type {other} can't be part of a key"))),
        })
    }

    fn word(&self) -> String {
        match self {
            Self::Integer => "integer".into(),
            Self::Float => "float".into(),
            Self::Decimal(scale) => format!("decimal.{scale}"),
            Self::Bool => "bool".into(),
            Self::Bytes => "bytes".into(),
            Self::List(item) => format!("list<{}>", item.word()),
        }
    }
}

impl KeyEncoder {
    /// An encoder for key columns of these types.
    ///
    /// # Errors
    /// [`super::IndexErrorKind::Unsupported`] names a type that has no canonical form here.
    pub fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, IndexError> {
        Ok(Self { classes: types.into_iter().map(Class::of).collect::<Result<_, _>>()? })
    }

    /// Tells encoders apart whose keys can't be compared. Part of what an index on disk is valid for.
    pub fn signature(&self) -> String {
        let words: Vec<_> = self.classes.iter().map(Class::word).collect();
        format!("1:{}", words.join(","))
    }

    /// The keys of the rows of `columns`, which are the key columns in order.
    ///
    /// # Errors
    /// When a column's type is of another class than the encoder was made for.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Vec<u128>, IndexError> {
        if columns.len() != self.classes.len() {
            return Err(IndexError::unsupported(format!(
                "{} key columns were given, {} are known",
                columns.len(),
                self.classes.len()
            )));
        }
        for (column, class) in columns.iter().zip(&self.classes) {
            let given = Class::of(column.data_type())?;
            if given != *class {
                let message = format!("a key column of type {} was given where {} is known", column.data_type(), class.word());
                return Err(IndexError::unsupported(message));
            }
        }
        if let ([column], [Class::Integer]) = (columns, self.classes.as_slice()) {
            return integers(column);
        }
        let rows = columns.first().map_or(0, |c| c.len());
        let encoded = RowBytes::of(columns, rows)?;
        Ok(encoded.offsets.windows(2).map(|w| xxh3_128(&encoded.bytes[w[0]..w[1]])).collect())
    }
}

/// The key of the `n`th of several equal rows.
pub fn occurrence(row: u128, n: u32) -> u128 {
    if n == 0 {
        return row;
    }
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&row.to_le_bytes());
    bytes[16..].copy_from_slice(&n.to_le_bytes());
    xxh3_128(&bytes)
}

/// Runs `$body` with `$array` as the primitive array of an integer-like column.
macro_rules! with_integers {
    ($column:expr, |$array:ident| $body:expr) => {
        match $column.data_type() {
            DataType::Int8 => with_integers!(@ $column, Int8Type, $array, $body),
            DataType::Int16 => with_integers!(@ $column, Int16Type, $array, $body),
            DataType::Int32 => with_integers!(@ $column, Int32Type, $array, $body),
            DataType::Int64 => with_integers!(@ $column, Int64Type, $array, $body),
            DataType::UInt8 => with_integers!(@ $column, UInt8Type, $array, $body),
            DataType::UInt16 => with_integers!(@ $column, UInt16Type, $array, $body),
            DataType::UInt32 => with_integers!(@ $column, UInt32Type, $array, $body),
            DataType::Date32 => with_integers!(@ $column, Date32Type, $array, $body),
            DataType::Time64(_) => with_integers!(@ $column, Time64MicrosecondType, $array, $body),
            DataType::Timestamp(_, _) => with_integers!(@ $column, TimestampMicrosecondType, $array, $body),
            other => return Err(IndexError::unsupported(format!("a column of type {other} is not an integer"))),
        }
    };
    (@ $column:expr, $type:ty, $array:ident, $body:expr) => {{
        let $array = $column.as_primitive::<$type>();
        $body
    }};
}

/// The values, moved so that unsigned order is the values' order.
fn integers(column: &ArrayRef) -> Result<Vec<u128>, IndexError> {
    fn keys<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Vec<u128>
    where
        T::Native: Into<i64>,
    {
        let key = |v: T::Native| u128::from(v.into().cast_unsigned() ^ (1 << 63));
        if array.null_count() == 0 {
            return array.values().iter().map(|&v| key(v)).collect();
        }
        array.iter().map(|v| v.map_or(NULL_KEY, key)).collect()
    }
    Ok(with_integers!(column, |array| keys(array)))
}

/// The canonical bytes of rows: for every column one byte that says NULL or not, then the value.
struct RowBytes {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl RowBytes {
    fn of(columns: &[ArrayRef], rows: usize) -> Result<Self, IndexError> {
        let lists: Vec<Option<Self>> = columns.iter().map(Self::of_items).collect::<Result<_, _>>()?;
        let mut lengths = vec![0; rows];
        for (column, items) in columns.iter().zip(&lists) {
            add_lengths(column, items.as_ref(), &mut lengths)?;
        }
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut end = 0;
        offsets.push(0);
        for length in &lengths {
            end += length;
            offsets.push(end);
        }
        let mut sheet = Sheet { bytes: vec![0; end], at: offsets[..rows].to_vec() };
        for (column, items) in columns.iter().zip(&lists) {
            fill(column, items.as_ref(), &mut sheet)?;
        }
        Ok(Self { bytes: sheet.bytes, offsets })
    }

    /// The items of a list column, encoded.
    fn of_items(column: &ArrayRef) -> Result<Option<Self>, IndexError> {
        let DataType::List(_) = column.data_type() else { return Ok(None) };
        let values = column.as_list::<i32>().values();
        Self::of(std::slice::from_ref(values), values.len()).map(Some)
    }
}

/// Bytes of all rows, each with the place where its next column goes.
struct Sheet {
    bytes: Vec<u8>,
    at: Vec<usize>,
}

impl Sheet {
    #[inline]
    fn put(&mut self, row: usize, value: &[u8]) {
        let at = self.at[row];
        self.bytes[at..at + value.len()].copy_from_slice(value);
        self.at[row] = at + value.len();
    }

    /// Values of one width; NULL is a zero byte alone.
    fn fixed<const N: usize>(&mut self, values: impl Iterator<Item = Option<[u8; N]>>) {
        for (row, value) in values.enumerate() {
            match value {
                None => self.put(row, &[0]),
                Some(value) => {
                    self.put(row, &[1]);
                    self.put(row, &value);
                }
            }
        }
    }

    fn varying<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>) {
        for (row, value) in values.enumerate() {
            match value {
                None => self.put(row, &[0]),
                Some(value) => {
                    self.put(row, &[1]);
                    self.put(row, &(value.len() as u64).to_le_bytes());
                    self.put(row, value);
                }
            }
        }
    }
}

fn add_lengths(column: &ArrayRef, items: Option<&RowBytes>, lengths: &mut [usize]) -> Result<(), IndexError> {
    let width = match Class::of(column.data_type())? {
        Class::Integer | Class::Float => 8,
        Class::Decimal(_) => 16,
        Class::Bool => 1,
        Class::Bytes => {
            let values = byte_lengths(column);
            lengths.iter_mut().zip(values).for_each(|(length, value)| *length += value.map_or(1, |v| 9 + v));
            return Ok(());
        }
        Class::List(_) => {
            let list = column.as_list::<i32>();
            let Some(items) = items else { return Ok(()) };
            for (row, length) in lengths.iter_mut().enumerate() {
                let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
                *length += if list.is_null(row) { 1 } else { 9 + items.offsets[range.end] - items.offsets[range.start] };
            }
            return Ok(());
        }
    };
    if column.null_count() == 0 {
        lengths.iter_mut().for_each(|l| *l += 1 + width);
    } else {
        lengths.iter_mut().enumerate().for_each(|(row, l)| *l += 1 + if column.is_null(row) { 0 } else { width });
    }
    Ok(())
}

fn byte_lengths(column: &ArrayRef) -> Box<dyn Iterator<Item = Option<usize>> + '_> {
    match column.data_type() {
        DataType::LargeUtf8 => Box::new(column.as_string::<i64>().iter().map(|v| v.map(str::len))),
        DataType::Utf8View => Box::new(column.as_string_view().iter().map(|v| v.map(str::len))),
        DataType::Binary => Box::new(column.as_binary::<i32>().iter().map(|v| v.map(<[u8]>::len))),
        DataType::LargeBinary => Box::new(column.as_binary::<i64>().iter().map(|v| v.map(<[u8]>::len))),
        DataType::BinaryView => Box::new(column.as_binary_view().iter().map(|v| v.map(<[u8]>::len))),
        _ => Box::new(column.as_string::<i32>().iter().map(|v| v.map(str::len))),
    }
}

fn fill(column: &ArrayRef, items: Option<&RowBytes>, sheet: &mut Sheet) -> Result<(), IndexError> {
    match column.data_type() {
        DataType::Float32 => sheet.fixed(column.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| float_bytes(v.into())))),
        DataType::Float64 => sheet.fixed(column.as_primitive::<Float64Type>().iter().map(|v| v.map(float_bytes))),
        DataType::Decimal128(_, _) => {
            sheet.fixed(column.as_primitive::<Decimal128Type>().iter().map(|v| v.map(i128::to_le_bytes)))
        }
        DataType::Boolean => sheet.fixed(column.as_boolean().iter().map(|v| v.map(|v| [u8::from(v)]))),
        DataType::Utf8 => sheet.varying(column.as_string::<i32>().iter().map(|v| v.map(str::as_bytes))),
        DataType::LargeUtf8 => sheet.varying(column.as_string::<i64>().iter().map(|v| v.map(str::as_bytes))),
        DataType::Utf8View => sheet.varying(column.as_string_view().iter().map(|v| v.map(str::as_bytes))),
        DataType::Binary => sheet.varying(column.as_binary::<i32>().iter()),
        DataType::LargeBinary => sheet.varying(column.as_binary::<i64>().iter()),
        DataType::BinaryView => sheet.varying(column.as_binary_view().iter()),
        DataType::List(_) => fill_lists(column, items, sheet),
        _ => {
            let values = with_integers!(column, |array| longs(array));
            sheet.fixed(values.into_iter());
        }
    }
    Ok(())
}

fn fill_lists(column: &ArrayRef, items: Option<&RowBytes>, sheet: &mut Sheet) {
    let list = column.as_list::<i32>();
    let Some(items) = items else { return };
    for row in 0..list.len() {
        if list.is_null(row) {
            sheet.put(row, &[0]);
            continue;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        sheet.put(row, &[1]);
        sheet.put(row, &((end - start) as u64).to_le_bytes());
        sheet.put(row, &items.bytes[items.offsets[start]..items.offsets[end]]);
    }
}

fn longs<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Vec<Option<[u8; 8]>>
where
    T::Native: Into<i64>,
{
    array.iter().map(|v| v.map(|v| v.into().to_le_bytes())).collect()
}

/// Equal floats have equal bytes: one zero, one NaN.
fn float_bytes(value: f64) -> [u8; 8] {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    value.to_bits().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray, StringViewArray,
    };
    use std::{collections::HashSet, sync::Arc};

    fn encode(columns: Vec<ArrayRef>) -> Vec<u128> {
        let types: Vec<_> = columns.iter().map(|c| c.data_type().clone()).collect();
        KeyEncoder::new(&types).unwrap().encode(&columns).unwrap()
    }

    #[test]
    fn a_promoted_column_keeps_its_keys() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(-5), Some(0), Some(i32::MAX), None]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(-5), Some(0), Some(i32::MAX.into()), None]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
        let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "c", "d"]));
        assert_eq!(encode(vec![narrow.clone()]), encode(vec![wide.clone()]));
        assert_eq!(encode(vec![narrow, text]), encode(vec![wide, view]));
        let single: ArrayRef = Arc::new(Float32Array::from(vec![1.5, -0.0, f32::NAN]));
        let double: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 0.0, -f64::NAN]));
        assert_eq!(encode(vec![single]), encode(vec![double]));
    }

    #[test]
    fn integer_keys_keep_their_order() {
        let keys = encode(vec![Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, 1, i64::MAX]))]);
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|&k| k <= u128::from(u64::MAX)));
    }

    #[test]
    fn neighbouring_columns_and_nulls_are_not_confused() {
        let left: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("a"), Some(""), None, Some("")]));
        let right: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), Some("bc"), None, Some(""), Some("")]));
        let keys: HashSet<_> = encode(vec![left, right]).into_iter().collect();
        assert_eq!(keys.len(), 5);
    }

    #[test]
    fn lists_and_booleans_take_part_in_whole_rows() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            Some(vec![Some(1)]),
            Some(vec![]),
            None,
            Some(vec![Some(1), None]),
        ]);
        let flag: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(true), Some(true), Some(true)]));
        let keys = encode(vec![Arc::new(list), flag]);
        assert_eq!(keys[0], keys[4]);
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 4);
    }

    #[test]
    fn a_slice_has_the_keys_of_its_rows() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
        let list: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..4).map(|i| Some(vec![Some(i); i as usize]))));
        let all = encode(vec![text.clone(), list.clone()]);
        assert_eq!(encode(vec![text.slice(1, 2), list.slice(1, 2)]), all[1..3]);
    }

    #[test]
    fn equal_rows_have_a_key_for_each_occurrence() {
        let keys: HashSet<_> = (0..100).map(|n| occurrence(42, n)).collect();
        assert_eq!(keys.len(), 100);
        assert_eq!(occurrence(42, 0), 42);
    }
}
