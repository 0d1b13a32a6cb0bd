use crate::layout::{BATCH_MAGIC, Descriptor, FLAG_ABSENT, FLAG_VALIDITY, Header, kind};
use std::marker::PhantomData;

/// A packed batch, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    header: Header,
}

/// A text column, read in place.
#[derive(Debug, Clone, Copy)]
pub struct TextColumn<'a> {
    validity: Option<&'a [u8]>,
    offsets: &'a [u8],
    text: &'a str,
    rows: usize,
}

/// A column of fixed width, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a, T> {
    validity: Option<&'a [u8]>,
    bytes: &'a [u8],
    rows: usize,
    value: PhantomData<T>,
}

/// A value of fixed width.
pub trait Value: Copy {
    /// Its bytes.
    const WIDTH: usize;
    /// Whether columns of this type code hold such values.
    fn fits(kind: u8) -> bool;
    /// From little-endian bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// To little-endian bytes.
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! values {
    ($($value:ty => $($kind:ident)|+;)+) => {
        $(impl Value for $value {
            const WIDTH: usize = size_of::<Self>();
            fn fits(kind: u8) -> bool {
                matches!(kind, $(kind::$kind)|+)
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        })+
    };
}

values! {
    i32 => INT32 | DATE;
    i64 => INT64 | TIME | TIMESTAMP | TIMESTAMP_UTC;
    f32 => FLOAT32;
    f64 => FLOAT64;
    i128 => DECIMAL;
}

impl<'a> Batch<'a> {
    /// Reads the header.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let header = Header::read(bytes).filter(|h| h.magic == BATCH_MAGIC && h.total as usize == bytes.len());
        Ok(Self { bytes, header: header.ok_or("this is not a packed batch")? })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.header.rows as usize
    }

    /// How many data columns; the change columns follow them.
    pub fn data_columns(&self) -> usize {
        self.header.count as usize
    }

    /// The number of its shape.
    pub fn shape(&self) -> u32 {
        self.header.shape
    }

    /// The operations' letters (`_op`), if the plan reads them.
    pub fn ops(&self) -> Result<TextColumn<'a>, String> {
        self.text(self.data_columns())
    }

    /// The descriptor of a column.
    pub fn descriptor(&self, column: usize) -> Result<Descriptor, String> {
        let inside = column < self.header.columns as usize;
        Descriptor::read(self.bytes, column).filter(|_| inside).ok_or_else(|| format!("the batch has no column {column}"))
    }

    /// A text column.
    pub fn text(&self, column: usize) -> Result<TextColumn<'a>, String> {
        let descriptor = self.present(column, |k| k == kind::TEXT, "text")?;
        let part = |region: crate::layout::Region| {
            region.of(self.bytes).ok_or_else(|| format!("column {column} lies outside of the batch"))
        };
        let offsets = part(descriptor.offsets)?;
        let text = core::str::from_utf8(part(descriptor.values)?).map_err(|_| format!("column {column} is not UTF-8"))?;
        if offsets.len() != (self.rows() + 1) * 4 {
            return Err(format!("column {column} has too few offsets"));
        }
        Ok(TextColumn { validity: self.validity(&descriptor), offsets, text, rows: self.rows() })
    }

    /// A column of fixed width: `i32` also for dates, `i64` also for times, `i128` for decimals.
    pub fn values<T: Value>(&self, column: usize) -> Result<Values<'a, T>, String> {
        let descriptor = self.present(column, T::fits, core::any::type_name::<T>())?;
        let bytes = descriptor.values.of(self.bytes).filter(|b| b.len() == self.rows() * T::WIDTH);
        let bytes = bytes.ok_or_else(|| format!("column {column} lies outside of the batch"))?;
        Ok(Values { validity: self.validity(&descriptor), bytes, rows: self.rows(), value: PhantomData })
    }

    fn present(&self, column: usize, fits: impl Fn(u8) -> bool, wanted: &str) -> Result<Descriptor, String> {
        let descriptor = self.descriptor(column)?;
        if descriptor.flags & FLAG_ABSENT != 0 {
            return Err(format!("column {column} came without values: the plan does not read it"));
        }
        if !fits(descriptor.kind) {
            return Err(format!("column {column} has type code {}, not {wanted}", descriptor.kind));
        }
        Ok(descriptor)
    }

    fn validity(&self, descriptor: &Descriptor) -> Option<&'a [u8]> {
        if descriptor.flags & FLAG_VALIDITY == 0 { None } else { descriptor.validity.of(self.bytes) }
    }
}

fn is_valid(validity: Option<&[u8]>, row: usize) -> bool {
    validity.is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1))
}

impl<'a> TextColumn<'a> {
    /// The value of a row; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if !is_valid(self.validity, row) {
            return None;
        }
        let at = |i: usize| crate::layout::read_u32(self.offsets, i * 4).map(|o| o as usize);
        self.text.get(at(row)?..at(row + 1)?)
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let column = *self;
        (0..column.rows).map(move |row| column.get(row))
    }

    /// Bytes of all values together.
    pub fn byte_len(&self) -> usize {
        self.text.len()
    }
}

impl<T: Value> Values<'_, T> {
    /// The value of a row; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<T> {
        if !is_valid(self.validity, row) {
            return None;
        }
        T::read(self.bytes.get(row * T::WIDTH..(row + 1) * T::WIDTH)?)
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> {
        (0..self.rows).map(|row| self.get(row))
    }
}
