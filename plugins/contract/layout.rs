// The packed layout of batches and answers, as README.md describes it. One file, compiled into the host and into the Rust SDK, so that
// the two can't drift apart. Plain numbers and byte access only.

/// First four bytes of a batch, as a little-endian number.
pub const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"LBb1");
/// First four bytes of an answer.
pub const ANSWER_MAGIC: u32 = u32::from_le_bytes(*b"LBa1");
/// Bytes of the header of either.
pub const HEADER_BYTES: usize = 32;
/// Bytes of one column descriptor.
pub const DESCRIPTOR_BYTES: usize = 32;
/// Bytes of one entry of an answer's error table.
pub const ERROR_BYTES: usize = 12;
/// Every region begins at a multiple of this.
pub const ALIGN: usize = 8;

/// Descriptor flag: the column has a validity bitmap.
pub const FLAG_VALIDITY: u8 = 1;
/// Descriptor flag of batches: the column has no buffers, because it is opaque or the plan does not read it.
pub const FLAG_ABSENT: u8 = 2;
/// Descriptor flag of answers: the values are those of the batch's column `source`, unchanged.
pub const FLAG_SAME: u8 = 4;

/// Type codes of descriptors.
pub mod kind {
    /// No buffers.
    pub const OPAQUE: u8 = 0;
    /// One bit a row.
    pub const BOOLEAN: u8 = 1;
    /// 4 bytes a row.
    pub const INT32: u8 = 2;
    /// 8 bytes a row.
    pub const INT64: u8 = 3;
    /// 4 bytes a row.
    pub const FLOAT32: u8 = 4;
    /// 8 bytes a row.
    pub const FLOAT64: u8 = 5;
    /// 16 bytes a row, two's complement.
    pub const DECIMAL: u8 = 6;
    /// 4 bytes a row.
    pub const DATE: u8 = 7;
    /// 8 bytes a row.
    pub const TIME: u8 = 8;
    /// 8 bytes a row.
    pub const TIMESTAMP: u8 = 9;
    /// 8 bytes a row.
    pub const TIMESTAMP_UTC: u8 = 10;
    /// Offsets and bytes.
    pub const BINARY: u8 = 11;
    /// Offsets and UTF-8.
    pub const TEXT: u8 = 12;

    /// Bytes a row of a type of fixed width; `None` for booleans, binary, text and opaque.
    pub const fn width(kind: u8) -> Option<usize> {
        match kind {
            INT32 | FLOAT32 | DATE => Some(4),
            INT64 | FLOAT64 | TIME | TIMESTAMP | TIMESTAMP_UTC => Some(8),
            DECIMAL => Some(16),
            _ => None,
        }
    }
}

/// A region of the packed buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Region {
    /// Where it begins, from the start of the buffer.
    pub offset: u32,
    /// Its bytes.
    pub length: u32,
}

impl Region {
    /// The region's bytes in `buffer`, if they lie inside it.
    pub fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.length).ok()?)?;
        buffer.get(start..end)
    }
}

/// The header of a batch or an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// [`BATCH_MAGIC`] or [`ANSWER_MAGIC`].
    pub magic: u32,
    /// The number that `schema` was called with.
    pub shape: u32,
    /// Rows of the batch; an answer repeats it.
    pub rows: u32,
    /// Descriptors that follow the header.
    pub columns: u32,
    /// In batches: how many of the columns are data columns (change columns follow). In answers: entries of the error table.
    pub count: u32,
    /// In answers: where the keep bitmap begins, or 0 to keep every row. In batches: 0.
    pub keep: u32,
    /// In answers: where the error table begins, or 0 where there is none. In batches: 0.
    pub errors: u32,
    /// Bytes of the whole buffer.
    pub total: u32,
}

impl Header {
    /// Reads the header of `buffer`; `None` where it is too short.
    pub fn read(buffer: &[u8]) -> Option<Self> {
        let at = |i: usize| read_u32(buffer, i * 4);
        Some(Self {
            magic: at(0)?,
            shape: at(1)?,
            rows: at(2)?,
            columns: at(3)?,
            count: at(4)?,
            keep: at(5)?,
            errors: at(6)?,
            total: at(7)?,
        })
    }

    /// The header's bytes.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let words = [self.magic, self.shape, self.rows, self.columns, self.count, self.keep, self.errors, self.total];
        let mut out = [0; HEADER_BYTES];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// One column of a batch or an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// One of [`kind`].
    pub kind: u8,
    /// `FLAG_*` bits.
    pub flags: u8,
    /// Of decimals.
    pub precision: u8,
    /// Of decimals.
    pub scale: i8,
    /// With [`FLAG_SAME`]: the batch's column.
    pub source: u32,
    /// One bit a row, 1 = has a value.
    pub validity: Region,
    /// Of binary and text: one 32-bit offset a row, and one more.
    pub offsets: Region,
    /// The values.
    pub values: Region,
}

impl Descriptor {
    /// Reads the descriptor of column `index`; `None` where the buffer is too short.
    pub fn read(buffer: &[u8], index: usize) -> Option<Self> {
        let start = HEADER_BYTES.checked_add(index.checked_mul(DESCRIPTOR_BYTES)?)?;
        let bytes = buffer.get(start..start.checked_add(DESCRIPTOR_BYTES)?)?;
        let word = |i: usize| read_u32(bytes, i * 4);
        let region = |i: usize| Some(Region { offset: word(i)?, length: word(i + 1)? });
        Some(Self {
            kind: *bytes.first()?,
            flags: *bytes.get(1)?,
            precision: *bytes.get(2)?,
            scale: i8::from_le_bytes([*bytes.get(3)?]),
            source: word(1)?,
            validity: region(2)?,
            offsets: region(4)?,
            values: region(6)?,
        })
    }

    /// The descriptor's bytes.
    pub fn bytes(&self) -> [u8; DESCRIPTOR_BYTES] {
        let [scale] = self.scale.to_le_bytes();
        let first = u32::from_le_bytes([self.kind, self.flags, self.precision, scale]);
        let (v, o, d) = (self.validity, self.offsets, self.values);
        let words = [first, self.source, v.offset, v.length, o.offset, o.length, d.offset, d.length];
        let mut out = [0; DESCRIPTOR_BYTES];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// A little-endian number at `offset`.
pub fn read_u32(buffer: &[u8], offset: usize) -> Option<u32> {
    let bytes = buffer.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Bytes of a bitmap of `rows` bits.
pub const fn bitmap_bytes(rows: usize) -> usize {
    rows.div_ceil(8)
}
