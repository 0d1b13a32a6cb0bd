use crate::{
    contract::Shape,
    layout::{
        ALIGN, BATCH_MAGIC, DESCRIPTOR_BYTES, Descriptor, FLAG_ABSENT, FLAG_VALIDITY, HEADER_BYTES, Header, Region, bitmap_bytes,
        kind,
    },
};
use arrow::{
    array::{Array, RecordBatch},
    buffer::Buffer,
};

/// Bytes that [`pack`] will make of `rows`, or a little more.
pub(crate) fn packed_bytes(rows: &RecordBatch, reads: &[bool]) -> usize {
    let n = rows.num_rows();
    let columns = rows.columns().iter().zip(reads).map(|(column, read)| {
        let kind = Shape::of(column.data_type()).kind;
        let values = match kind {
            _ if !read => return DESCRIPTOR_BYTES,
            kind::OPAQUE => return DESCRIPTOR_BYTES,
            kind::BOOLEAN => bitmap_bytes(n),
            kind::TEXT | kind::BINARY => text_bytes(offsets(&**column)) + (n + 1) * 4,
            fixed => kind::width(fixed).unwrap_or(0) * n,
        };
        DESCRIPTOR_BYTES + values + bitmap_bytes(n) + 3 * ALIGN
    });
    HEADER_BYTES + columns.sum::<usize>()
}

/// Packs the columns that `reads` names, as plugins/contract/README.md lays them out, into `out`, which is cleared first.
///
/// # Errors
/// Where the whole would not fit the layout's 32-bit offsets.
pub(crate) fn pack(
    rows: &RecordBatch,
    data_columns: usize,
    shape: u32,
    reads: &[bool],
    out: &mut Vec<u8>,
) -> Result<(), TooLarge> {
    let columns = rows.num_columns();
    out.clear();
    out.reserve(packed_bytes(rows, reads));
    out.resize(HEADER_BYTES + columns * DESCRIPTOR_BYTES, 0);
    for (i, column) in rows.columns().iter().enumerate() {
        let descriptor = pack_column(&**column, reads.get(i).copied().unwrap_or(false), out)?;
        let at = HEADER_BYTES + i * DESCRIPTOR_BYTES;
        out[at..at + DESCRIPTOR_BYTES].copy_from_slice(&descriptor.bytes());
    }
    let header = Header {
        magic: BATCH_MAGIC,
        shape,
        rows: number(rows.num_rows())?,
        columns: number(columns)?,
        count: number(data_columns)?,
        keep: 0,
        errors: 0,
        total: number(out.len())?,
    };
    out[..HEADER_BYTES].copy_from_slice(&header.bytes());
    Ok(())
}

/// A batch that the layout can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

fn number(n: usize) -> Result<u32, TooLarge> {
    u32::try_from(n).map_err(|_| TooLarge)
}

fn pack_column(column: &dyn Array, read: bool, out: &mut Vec<u8>) -> Result<Descriptor, TooLarge> {
    let shape = Shape::of(column.data_type());
    let mut descriptor = Descriptor { kind: shape.kind, precision: shape.precision, scale: shape.scale, ..Descriptor::default() };
    if !read || shape.kind == kind::OPAQUE {
        descriptor.flags = FLAG_ABSENT;
        return Ok(descriptor);
    }
    let rows = column.len();
    if let Some(nulls) = column.nulls().filter(|n| n.null_count() > 0) {
        descriptor.flags = FLAG_VALIDITY;
        descriptor.validity = bitmap(&nulls.inner().sliced(), rows, out)?;
    }
    let data = column.to_data();
    match (shape.kind, data.buffers()) {
        (kind::BOOLEAN, [values, ..]) => descriptor.values = bitmap(&values.bit_slice(data.offset(), rows), rows, out)?,
        (kind::TEXT | kind::BINARY, [_, values, ..]) => {
            let offsets = offsets(column);
            let first = offsets.first().copied().unwrap_or(0);
            descriptor.offsets = if first == 0 {
                region(offsets_bytes(&data, rows), out)?
            } else {
                let rebased: Vec<u8> = offsets.iter().flat_map(|o| (o - first).to_le_bytes()).collect();
                region(&rebased, out)?
            };
            let start = usize::try_from(first).unwrap_or(0);
            let text = values.get(start..start + text_bytes(offsets)).unwrap_or_default();
            descriptor.values = region(text, out)?;
        }
        (fixed, [values, ..]) => {
            let width = kind::width(fixed).unwrap_or(0);
            let bytes = values.get(data.offset() * width..(data.offset() + rows) * width).unwrap_or_default();
            descriptor.values = region(bytes, out)?;
        }
        _ => {}
    }
    Ok(descriptor)
}

fn offsets(column: &dyn Array) -> &[i32] {
    use arrow::{array::AsArray, datatypes::DataType};
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value_offsets(),
        DataType::Binary => column.as_binary::<i32>().value_offsets(),
        _ => &[],
    }
}

fn offsets_bytes(data: &arrow::array::ArrayData, rows: usize) -> &[u8] {
    let start = data.offset() * 4;
    data.buffers().first().and_then(|b| b.get(start..start + (rows + 1) * 4)).unwrap_or_default()
}

fn text_bytes(offsets: &[i32]) -> usize {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => usize::try_from(last - first).unwrap_or(0),
        _ => 0,
    }
}

fn bitmap(bits: &Buffer, rows: usize, out: &mut Vec<u8>) -> Result<Region, TooLarge> {
    region(bits.get(..bitmap_bytes(rows)).unwrap_or_default(), out)
}

fn region(bytes: &[u8], out: &mut Vec<u8>) -> Result<Region, TooLarge> {
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    let region = Region { offset: number(out.len())?, length: number(bytes.len())? };
    out.extend_from_slice(bytes);
    Ok(region)
}
