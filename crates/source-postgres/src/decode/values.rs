use super::{calendar, decimal, kind::Kind, text};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int32Array, Int64Array, ListArray, NullBufferBuilder, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    },
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::Field,
    error::ArrowError,
};
use std::sync::Arc;

/// The values of one column as plain vectors, until they become an Arrow array.
///
/// `try_text` and `try_binary` push exactly one value or nothing: false means that the typed column can't hold it exactly.
pub(crate) struct Values {
    kind: Kind,
    store: Store,
    nulls: NullBufferBuilder,
}

enum Store {
    Bool(BooleanBufferBuilder),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    Bytes { ends: Vec<i32>, data: Vec<u8> },
    List { ends: Vec<i32>, items: Box<Values>, scratch: Vec<u8> },
}

/// Reserved for each row of a text column; a guess that growing mends.
const TEXT_BYTES_GUESS: usize = 16;

impl Values {
    pub(crate) fn new(kind: Kind, capacity: usize) -> Self {
        let ends = || {
            let mut ends = Vec::with_capacity(capacity + 1);
            ends.push(0);
            ends
        };
        let store = match &kind {
            Kind::Bool => Store::Bool(BooleanBufferBuilder::new(capacity)),
            Kind::Int2 | Kind::Int4 | Kind::Date => Store::I32(Vec::with_capacity(capacity)),
            Kind::Int8 | Kind::Oid | Kind::Timestamp | Kind::TimestampTz | Kind::Time => Store::I64(Vec::with_capacity(capacity)),
            Kind::Float4 => Store::F32(Vec::with_capacity(capacity)),
            Kind::Float8 => Store::F64(Vec::with_capacity(capacity)),
            Kind::Numeric { .. } => Store::I128(Vec::with_capacity(capacity)),
            Kind::Bytea | Kind::Uuid | Kind::Text | Kind::Jsonb | Kind::Printed => {
                Store::Bytes { ends: ends(), data: Vec::with_capacity(capacity * TEXT_BYTES_GUESS) }
            }
            Kind::List(item) => {
                Store::List { ends: ends(), items: Box::new(Self::new((**item).clone(), capacity)), scratch: Vec::new() }
            }
        };
        Self { kind, store, nulls: NullBufferBuilder::new(capacity) }
    }

    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.store {
            Store::Bool(v) => v.append(false),
            Store::I32(v) => v.push(0),
            Store::I64(v) => v.push(0),
            Store::F32(v) => v.push(0.0),
            Store::F64(v) => v.push(0.0),
            Store::I128(v) => v.push(0),
            Store::Bytes { ends, .. } | Store::List { ends, .. } => ends.push(last(ends)),
        }
        self.nulls.append_null();
    }

    /// Pushes a value from its text form.
    pub(crate) fn try_text(&mut self, bytes: &[u8]) -> bool {
        let pushed = match (&mut self.store, &self.kind) {
            (Store::Bool(v), _) => match bytes {
                b"t" => put(Some(true), |b| v.append(b)),
                b"f" => put(Some(false), |b| v.append(b)),
                _ => false,
            },
            (Store::I32(v), Kind::Date) => put(calendar::date(bytes), |x| v.push(x)),
            (Store::I32(v), _) => put(lexical_core::parse(bytes).ok(), |x| v.push(x)),
            (Store::I64(v), Kind::Timestamp) => put(calendar::timestamp(bytes, false), |x| v.push(x)),
            (Store::I64(v), Kind::TimestampTz) => put(calendar::timestamp(bytes, true), |x| v.push(x)),
            (Store::I64(v), Kind::Time) => put(calendar::time(bytes), |x| v.push(x)),
            (Store::I64(v), _) => put(lexical_core::parse(bytes).ok(), |x| v.push(x)),
            (Store::F32(v), _) => put(float(bytes), |x| v.push(x)),
            (Store::F64(v), _) => put(float(bytes), |x| v.push(x)),
            (Store::I128(v), Kind::Numeric { precision, scale }) => {
                put(decimal::from_text(bytes, *precision, *scale), |x| v.push(x))
            }
            (Store::I128(_), _) => false,
            (Store::Bytes { ends, data }, Kind::Bytea) => text::bytea(bytes, data).is_some() && close(ends, data.len()),
            (Store::Bytes { ends, data }, _) => {
                data.extend_from_slice(bytes);
                close(ends, data.len())
            }
            (Store::List { ends, items, scratch }, _) => list(bytes, items, scratch) && close(ends, items.len()),
        };
        if pushed {
            self.nulls.append_non_null();
        }
        pushed
    }

    /// Pushes a value from the binary form of COPY.
    pub(crate) fn try_binary(&mut self, bytes: &[u8]) -> bool {
        let pushed = match (&mut self.store, &self.kind) {
            (Store::Bool(v), _) => match bytes {
                [b] => put(Some(*b != 0), |b| v.append(b)),
                _ => false,
            },
            (Store::I32(v), Kind::Int2) => put(bytes.try_into().ok().map(i16::from_be_bytes), |x| v.push(i32::from(x))),
            (Store::I32(v), Kind::Date) => put(binary_date(bytes), |x| v.push(x)),
            (Store::I32(v), _) => put(bytes.try_into().ok().map(i32::from_be_bytes), |x| v.push(x)),
            (Store::I64(v), Kind::Oid) => put(bytes.try_into().ok().map(u32::from_be_bytes), |x| v.push(i64::from(x))),
            (Store::I64(v), Kind::Timestamp | Kind::TimestampTz) => put(binary_timestamp(bytes), |x| v.push(x)),
            (Store::I64(v), Kind::Time) => {
                let micros = bytes.try_into().ok().map(i64::from_be_bytes).filter(|x| (0..calendar::MICROS_PER_DAY).contains(x));
                put(micros, |x| v.push(x))
            }
            (Store::I64(v), _) => put(bytes.try_into().ok().map(i64::from_be_bytes), |x| v.push(x)),
            (Store::F32(v), _) => put(bytes.try_into().ok().map(f32::from_be_bytes), |x| v.push(x)),
            (Store::F64(v), _) => put(bytes.try_into().ok().map(f64::from_be_bytes), |x| v.push(x)),
            (Store::I128(v), Kind::Numeric { precision, scale }) => {
                put(decimal::from_binary(bytes, *precision, *scale), |x| v.push(x))
            }
            (Store::I128(_), _) => false,
            (Store::Bytes { ends, data }, Kind::Uuid) => match text::print_uuid(bytes) {
                Some(uuid) => {
                    data.extend_from_slice(uuid.as_bytes());
                    close(ends, data.len())
                }
                None => false,
            },
            (Store::Bytes { ends, data }, Kind::Jsonb) => match bytes {
                [1, json @ ..] => {
                    data.extend_from_slice(json);
                    close(ends, data.len())
                }
                _ => false,
            },
            (Store::Bytes { ends, data }, _) => {
                data.extend_from_slice(bytes);
                close(ends, data.len())
            }
            // Arrays are asked for as text.
            (Store::List { ends, items, scratch }, _) => list(bytes, items, scratch) && close(ends, items.len()),
        };
        if pushed {
            self.nulls.append_non_null();
        }
        pushed
    }

    /// What PostgreSQL prints for a binary value that `try_binary` refused.
    pub(crate) fn print_binary(&self, bytes: &[u8]) -> Vec<u8> {
        let eight = || bytes.try_into().ok().map(i64::from_be_bytes);
        let text = match &self.kind {
            Kind::Numeric { .. } => decimal::print_binary(bytes),
            Kind::Timestamp => eight().map(|x| calendar::print_timestamp(x, false)),
            Kind::TimestampTz => eight().map(|x| calendar::print_timestamp(x, true)),
            Kind::Time => eight().filter(|x| *x == calendar::MICROS_PER_DAY).map(|_| "24:00:00".to_owned()),
            Kind::Date => match bytes {
                [0x7f, 0xff, 0xff, 0xff] => Some("infinity".to_owned()),
                [0x80, 0, 0, 0] => Some("-infinity".to_owned()),
                _ => None,
            },
            Kind::List(_) => return bytes.to_vec(),
            _ => None,
        };
        text.unwrap_or_else(|| text::print_bytes(bytes)).into_bytes()
    }

    fn truncate(&mut self, len: usize) {
        match &mut self.store {
            Store::Bool(v) => v.truncate(len),
            Store::I32(v) => v.truncate(len),
            Store::I64(v) => v.truncate(len),
            Store::F32(v) => v.truncate(len),
            Store::F64(v) => v.truncate(len),
            Store::I128(v) => v.truncate(len),
            Store::Bytes { ends, data } => {
                ends.truncate(len + 1);
                data.truncate(usize::try_from(last(ends)).unwrap_or(0));
            }
            Store::List { ends, items, .. } => {
                ends.truncate(len + 1);
                items.truncate(usize::try_from(last(ends)).unwrap_or(0));
            }
        }
        self.nulls.truncate(len);
    }

    /// The Arrow array of all values. Text that is not UTF-8 is NULL in it and handed to `odd` with its row.
    pub(crate) fn finish(mut self, odd: &mut dyn FnMut(usize, &[u8])) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        let array: ArrayRef = match self.store {
            Store::Bool(mut v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Store::I32(v) if self.kind == Kind::Date => Arc::new(Date32Array::try_new(v.into(), nulls)?),
            Store::I32(v) => Arc::new(Int32Array::try_new(v.into(), nulls)?),
            Store::I64(v) => match self.kind {
                Kind::Timestamp => Arc::new(TimestampMicrosecondArray::try_new(v.into(), nulls)?),
                Kind::TimestampTz => Arc::new(TimestampMicrosecondArray::try_new(v.into(), nulls)?.with_timezone("UTC")),
                Kind::Time => Arc::new(Time64MicrosecondArray::try_new(v.into(), nulls)?),
                _ => Arc::new(Int64Array::try_new(v.into(), nulls)?),
            },
            Store::F32(v) => Arc::new(Float32Array::try_new(v.into(), nulls)?),
            Store::F64(v) => Arc::new(Float64Array::try_new(v.into(), nulls)?),
            Store::I128(v) => {
                let array = Decimal128Array::try_new(v.into(), nulls)?;
                match self.kind {
                    Kind::Numeric { precision, scale } => Arc::new(array.with_precision_and_scale(precision, scale)?),
                    _ => Arc::new(array),
                }
            }
            Store::Bytes { ends, data } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                let data = Buffer::from_vec(data);
                if self.kind.is_text() {
                    // One check for the whole batch; only where it fails are the values looked at one by one.
                    match StringArray::try_new(offsets.clone(), data.clone(), nulls.clone()) {
                        Ok(array) => Arc::new(array),
                        Err(_) => Arc::new(without_broken_text(&BinaryArray::try_new(offsets, data, nulls)?, odd)),
                    }
                } else {
                    Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
                }
            }
            Store::List { ends, items, .. } => {
                let field = Arc::new(Field::new_list_field(items.kind.data_type(), true));
                let items = items.finish(&mut |_, _| {})?;
                Arc::new(ListArray::try_new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), items, nulls)?)
            }
        };
        Ok(array)
    }
}

fn put<T>(value: Option<T>, push: impl FnOnce(T)) -> bool {
    value.map(push).is_some()
}

fn last(ends: &[i32]) -> i32 {
    ends.last().copied().unwrap_or(0)
}

/// Ends a value of variable length.
fn close(ends: &mut Vec<i32>, end: usize) -> bool {
    put(i32::try_from(end).ok(), |end| ends.push(end))
}

fn list(bytes: &[u8], items: &mut Values, scratch: &mut Vec<u8>) -> bool {
    let start = items.len();
    let text_items = items.kind.is_text();
    let whole = text::array_elements(bytes, scratch, |element| match element {
        None => {
            items.push_null();
            true
        }
        // Elements are checked here, so that an array with broken text is kept whole as odd.
        Some(element) => (!text_items || std::str::from_utf8(element).is_ok()) && items.try_text(element),
    });
    if !whole {
        items.truncate(start);
    }
    whole
}

fn float<T: lexical_core::FromLexical + From<f32>>(bytes: &[u8]) -> Option<T> {
    match bytes {
        b"NaN" => Some(T::from(f32::NAN)),
        b"Infinity" => Some(T::from(f32::INFINITY)),
        b"-Infinity" => Some(T::from(f32::NEG_INFINITY)),
        _ => lexical_core::parse(bytes).ok(),
    }
}

fn binary_date(bytes: &[u8]) -> Option<i32> {
    let days = bytes.try_into().ok().map(i32::from_be_bytes)?;
    if days == i32::MAX || days == i32::MIN {
        return None;
    }
    i32::try_from(i64::from(days) + calendar::EPOCH_DAYS).ok()
}

fn binary_timestamp(bytes: &[u8]) -> Option<i64> {
    let micros = bytes.try_into().ok().map(i64::from_be_bytes)?;
    if micros == i64::MAX || micros == i64::MIN {
        return None;
    }
    micros.checked_add(calendar::EPOCH_DAYS * calendar::MICROS_PER_DAY)
}

fn without_broken_text(array: &BinaryArray, odd: &mut dyn FnMut(usize, &[u8])) -> StringArray {
    array
        .iter()
        .enumerate()
        .map(|(row, value)| {
            let value = value?;
            let text = std::str::from_utf8(value).ok();
            if text.is_none() {
                odd(row, value);
            }
            text
        })
        .collect()
}
