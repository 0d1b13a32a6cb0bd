use crate::{
    Batch, DataType, Value,
    layout::{
        ALIGN, ANSWER_MAGIC, DESCRIPTOR_BYTES, Descriptor, ERROR_BYTES, FLAG_SAME, FLAG_VALIDITY, HEADER_BYTES, Header, Region,
        bitmap_bytes, kind,
    },
};

/// What becomes of a batch.
#[derive(Debug)]
pub struct Answer {
    shape: u32,
    rows: usize,
    columns: Vec<Column>,
    keep: Option<Vec<u8>>,
    errors: Vec<(u32, String)>,
}

/// A column of an answer.
#[derive(Debug)]
pub enum Column {
    /// The batch's column of this index, as it came.
    Same(usize),
    /// New values.
    Packed(Packed),
}

/// New values, ready to be packed.
#[derive(Debug, Default)]
pub struct Packed {
    kind: u8,
    precision: u8,
    scale: i8,
    validity: Option<Vec<u8>>,
    offsets: Vec<u8>,
    values: Vec<u8>,
}

/// Builds a text column row by row.
#[derive(Debug)]
pub struct TextBuilder {
    rows: usize,
    validity: Option<Vec<u8>>,
    offsets: Vec<u8>,
    values: Vec<u8>,
}

impl From<Packed> for Column {
    fn from(packed: Packed) -> Self {
        Self::Packed(packed)
    }
}

impl TextBuilder {
    /// An empty builder with room for so many rows and bytes.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity((rows + 1) * 4);
        offsets.extend_from_slice(&0_u32.to_le_bytes());
        Self { rows: 0, validity: None, offsets, values: Vec::with_capacity(bytes) }
    }

    /// Appends a value; `None` is NULL.
    pub fn push(&mut self, value: Option<&str>) {
        self.push_parts(value.map(|v| [v]));
    }

    /// Appends a value made of parts, without putting them together first; `None` is NULL.
    pub fn push_parts<const N: usize>(&mut self, parts: Option<[&str; N]>) {
        if let Some(parts) = parts {
            parts.iter().for_each(|part| self.values.extend_from_slice(part.as_bytes()));
            if let Some(bits) = &mut self.validity {
                set_bit(bits, self.rows);
            }
        } else {
            let rows = self.rows;
            let bits = self.validity.get_or_insert_with(|| {
                let mut bits = Vec::new();
                (0..rows).for_each(|row| set_bit(&mut bits, row));
                bits
            });
            bits.resize(bits.len().max(bitmap_bytes(rows + 1)), 0);
        }
        self.rows += 1;
        self.offsets.extend_from_slice(&(self.values.len() as u32).to_le_bytes());
    }

    /// The finished column.
    pub fn finish(self) -> Packed {
        Packed { kind: kind::TEXT, validity: self.validity, offsets: self.offsets, values: self.values, ..Packed::default() }
    }
}

/// A column of fixed width. `data_type` must be of the values' width; `i32` serves dates, `i64` times, `i128` decimals.
pub fn column_of<T: Value>(data_type: &DataType, values: impl IntoIterator<Item = Option<T>>) -> Packed {
    let mut packed = Packed { kind: kind_of(data_type), ..Packed::default() };
    if let DataType::Decimal(decimal) = data_type {
        packed.precision = decimal.precision;
        packed.scale = decimal.scale;
    }
    let mut bits = Vec::new();
    for (row, value) in values.into_iter().enumerate() {
        bits.resize(bitmap_bytes(row + 1), 0);
        match value {
            Some(value) => {
                set_bit(&mut bits, row);
                value.write(&mut packed.values);
            }
            None => packed.values.resize(packed.values.len() + T::WIDTH, 0),
        }
    }
    packed.validity = Some(bits);
    packed
}

fn kind_of(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Boolean => kind::BOOLEAN,
        DataType::Int32 => kind::INT32,
        DataType::Int64 => kind::INT64,
        DataType::Float32 => kind::FLOAT32,
        DataType::Float64 => kind::FLOAT64,
        DataType::Decimal(_) => kind::DECIMAL,
        DataType::Date => kind::DATE,
        DataType::Time => kind::TIME,
        DataType::Timestamp => kind::TIMESTAMP,
        DataType::TimestampUtc => kind::TIMESTAMP_UTC,
        DataType::Binary => kind::BINARY,
        DataType::Text => kind::TEXT,
        DataType::Opaque(_) => kind::OPAQUE,
    }
}

fn set_bit(bits: &mut Vec<u8>, row: usize) {
    if bits.len() <= row / 8 {
        bits.resize(row / 8 + 1, 0);
    }
    bits[row / 8] |= 1 << (row % 8);
}

impl Answer {
    /// An answer that leaves the batch as it is, for a plan of `columns` columns.
    pub fn new(batch: &Batch<'_>, columns: usize) -> Self {
        let columns = (0..columns).map(Column::Same).collect();
        Self { shape: batch.shape(), rows: batch.rows(), columns, keep: None, errors: Vec::new() }
    }

    /// Replaces a column of the plan.
    pub fn set(&mut self, column: usize, values: impl Into<Column>) {
        if let Some(place) = self.columns.get_mut(column) {
            *place = values.into();
        }
    }

    /// Leaves a row out for good.
    pub fn drop_row(&mut self, row: usize) {
        let rows = self.rows;
        let keep = self.keep.get_or_insert_with(|| vec![0xff; bitmap_bytes(rows)]);
        if let Some(byte) = keep.get_mut(row / 8) {
            *byte &= !(1 << (row % 8));
        }
    }

    /// Refuses a row and says why.
    pub fn refuse(&mut self, row: usize, why: impl Into<String>) {
        self.errors.push((row as u32, why.into()));
    }

    /// The packed answer.
    pub fn pack(self) -> Result<Vec<u8>, String> {
        let sizes = self.columns.iter().map(|c| match c {
            Column::Same(_) => 0,
            Column::Packed(p) => p.values.len() + p.offsets.len() + p.validity.as_ref().map_or(0, Vec::len) + 3 * ALIGN,
        });
        let start = HEADER_BYTES + self.columns.len() * DESCRIPTOR_BYTES;
        let mut out = Vec::with_capacity(start + sizes.sum::<usize>() + bitmap_bytes(self.rows) + 2 * ALIGN);
        out.resize(start, 0);
        for (i, column) in self.columns.iter().enumerate() {
            let descriptor = match column {
                Column::Same(source) => Descriptor { flags: FLAG_SAME, source: *source as u32, ..Descriptor::default() },
                Column::Packed(packed) => packed.write(&mut out),
            };
            out[HEADER_BYTES + i * DESCRIPTOR_BYTES..][..DESCRIPTOR_BYTES].copy_from_slice(&descriptor.bytes());
        }
        let keep = self.keep.as_ref().map_or(0, |bits| region(bits, &mut out).offset);
        let errors = if self.errors.is_empty() { 0 } else { write_errors(&self.errors, &mut out) };
        let header = Header {
            magic: ANSWER_MAGIC,
            shape: self.shape,
            rows: self.rows as u32,
            columns: self.columns.len() as u32,
            count: self.errors.len() as u32,
            keep,
            errors,
            total: u32::try_from(out.len()).map_err(|_| "the answer is larger than 4 GiB")?,
        };
        out[..HEADER_BYTES].copy_from_slice(&header.bytes());
        Ok(out)
    }
}

impl Packed {
    fn write(&self, out: &mut Vec<u8>) -> Descriptor {
        let mut descriptor =
            Descriptor { kind: self.kind, precision: self.precision, scale: self.scale, ..Descriptor::default() };
        if let Some(bits) = &self.validity {
            descriptor.flags = FLAG_VALIDITY;
            descriptor.validity = region(bits, out);
        }
        if !self.offsets.is_empty() {
            descriptor.offsets = region(&self.offsets, out);
        }
        descriptor.values = region(&self.values, out);
        descriptor
    }
}

fn region(bytes: &[u8], out: &mut Vec<u8>) -> Region {
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    let region = Region { offset: out.len() as u32, length: bytes.len() as u32 };
    out.extend_from_slice(bytes);
    region
}

fn write_errors(errors: &[(u32, String)], out: &mut Vec<u8>) -> u32 {
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    let table = out.len();
    out.resize(table + errors.len() * ERROR_BYTES, 0);
    for (i, (row, why)) in errors.iter().enumerate() {
        let text = (out.len() as u32, why.len() as u32);
        out.extend_from_slice(why.as_bytes());
        for (k, word) in [*row, text.0, text.1].into_iter().enumerate() {
            out[table + i * ERROR_BYTES + k * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
    }
    table as u32
}
