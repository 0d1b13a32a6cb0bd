use crate::{
    contract::Shape,
    failure::tame,
    layout::{
        ANSWER_MAGIC, DESCRIPTOR_BYTES, Descriptor, ERROR_BYTES, FLAG_SAME, FLAG_VALIDITY, HEADER_BYTES, Header, Region,
        bitmap_bytes, kind, read_u32,
    },
};
use arrow::{
    array::{Array, ArrayData, ArrayRef, AsArray, make_array},
    buffer::{BooleanBuffer, Buffer, NullBuffer},
    datatypes::{DataType, Date32Type, Decimal128Type, Time64MicrosecondType},
};

/// What an answer must look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// The shape's number.
    pub shape: u32,
    /// Rows of the batch.
    pub rows: usize,
    /// Types of the plan's columns.
    pub types: &'a [DataType],
    /// Names of the plan's columns, for messages.
    pub names: &'a [String],
    /// Types of the batch's columns, change columns included.
    pub inputs: &'a [DataType],
}

/// An answer that keeps to the contract.
#[derive(Debug)]
pub(crate) struct Answer {
    /// One for each column of the plan.
    pub columns: Vec<AnswerColumn>,
    /// Rows that stay; `None` keeps all.
    pub keep: Option<BooleanBuffer>,
    /// Refused rows and why, in the plugin's order.
    pub errors: Vec<(usize, String)>,
}

/// A column of an answer.
#[derive(Debug)]
pub(crate) enum AnswerColumn {
    /// The batch's column of this index.
    Same(usize),
    /// New values, one for each row of the batch.
    New(ArrayRef),
}

/// Reads an answer and checks everything about it. Never panics, whatever the bytes, and never holds more than twice their size.
///
/// # Errors
/// What rule of the contract the answer breaks, for people.
pub(crate) fn unpack(bytes: &[u8], expected: Expected<'_>) -> Result<Answer, String> {
    let header = Header::read(bytes).ok_or("it is shorter than its header")?;
    check_header(&header, bytes.len(), &expected)?;
    // Columns may not share bytes: else a small answer could stand for a huge one.
    let mut room = bytes.len();
    let mut columns = Vec::with_capacity(expected.types.len());
    for (i, data_type) in expected.types.iter().enumerate() {
        let name = expected.names.get(i).map_or("", String::as_str);
        let column = unpack_column(bytes, i, data_type, &expected, &mut room).map_err(|e| format!("column `{name}`: {e}"))?;
        columns.push(column);
    }
    let keep = match header.keep {
        0 => None,
        offset => {
            let length = u32::try_from(bitmap_bytes(expected.rows)).map_err(|_| "too many rows")?;
            let bits = Region { offset, length }.of(bytes).ok_or("the keep bitmap lies outside of it")?;
            Some(BooleanBuffer::new(Buffer::from(bits), 0, expected.rows))
        }
    };
    Ok(Answer { columns, keep, errors: unpack_errors(bytes, &header, expected.rows)? })
}

fn check_header(header: &Header, length: usize, expected: &Expected<'_>) -> Result<(), String> {
    if header.magic != ANSWER_MAGIC {
        return Err("it does not begin with `LBa1`".to_owned());
    }
    let claims = [
        ("shape", header.shape as usize, expected.shape as usize),
        ("rows", header.rows as usize, expected.rows),
        ("columns", header.columns as usize, expected.types.len()),
        ("bytes", header.total as usize, length),
    ];
    for (what, claimed, right) in claims {
        if claimed != right {
            return Err(format!("its header says {claimed} for {what}, and {right} is right"));
        }
    }
    if length < HEADER_BYTES + expected.types.len() * DESCRIPTOR_BYTES {
        return Err("it is shorter than its column descriptors".to_owned());
    }
    Ok(())
}

fn unpack_column(
    bytes: &[u8],
    i: usize,
    data_type: &DataType,
    expected: &Expected<'_>,
    room: &mut usize,
) -> Result<AnswerColumn, String> {
    let descriptor = Descriptor::read(bytes, i).ok_or("its descriptor is missing")?;
    if descriptor.flags & FLAG_SAME != 0 {
        let source = descriptor.source as usize;
        return match expected.inputs.get(source) {
            Some(input) if input == data_type => Ok(AnswerColumn::Same(source)),
            Some(input) => Err(format!("it is declared as {data_type} and handed on from a column of type {input}")),
            None => Err(format!("it is handed on from column {source}, and there is none")),
        };
    }
    let shape = Shape::of(data_type);
    if (descriptor.kind, descriptor.precision, descriptor.scale) != (shape.kind, shape.precision, shape.scale) {
        return Err(format!("it is declared as {data_type}, and its descriptor says type {}", descriptor.kind));
    }
    if shape.kind == kind::OPAQUE {
        return Err(format!("values of type {data_type} can be handed on, but not made"));
    }
    let mut take = |region: Region, what: &str, length: Option<usize>| -> Result<Buffer, String> {
        let found = region.of(bytes).ok_or_else(|| format!("its {what} lie outside of the answer"))?;
        if let Some(length) = length.filter(|l| *l != found.len()) {
            return Err(format!("its {what} have {} bytes, and {length} are right", found.len()));
        }
        *room = room.checked_sub(found.len()).ok_or("it shares bytes with other columns")?;
        Ok(Buffer::from(found))
    };
    let rows = expected.rows;
    let nulls = if descriptor.flags & FLAG_VALIDITY == 0 {
        None
    } else {
        let bits = take(descriptor.validity, "validity bits", Some(bitmap_bytes(rows)))?;
        Some(NullBuffer::new(BooleanBuffer::new(bits, 0, rows)))
    };
    let mut data = ArrayData::builder(data_type.clone()).len(rows).nulls(nulls);
    data = match shape.kind {
        kind::TEXT | kind::BINARY => {
            let offsets = take(descriptor.offsets, "offsets", Some((rows + 1) * 4))?;
            let values = take(descriptor.values, "values", None)?;
            check_offsets(&offsets, values.len())?;
            data.add_buffer(offsets).add_buffer(values)
        }
        kind::BOOLEAN => data.add_buffer(take(descriptor.values, "values", Some(bitmap_bytes(rows)))?),
        fixed => data.add_buffer(take(descriptor.values, "values", Some(kind::width(fixed).unwrap_or(0) * rows))?),
    };
    // Arrow checks the rest, UTF-8 among it.
    let array = make_array(data.build().map_err(|e| tame(&e.to_string()))?);
    check_values(&array)?;
    Ok(AnswerColumn::New(array))
}

fn check_offsets(offsets: &Buffer, values: usize) -> Result<(), String> {
    let offsets = offsets.typed_data::<i32>();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    if first != 0 {
        return Err("its first offset is not 0".to_owned());
    }
    if usize::try_from(last) != Ok(values) {
        return Err(format!("its last offset is {last}, and its values have {values} bytes"));
    }
    match offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(row) => Err(format!("its offsets go backwards at row {row}")),
        None => Ok(()),
    }
}

/// Days and microseconds within which every reader of the lake can print a date.
const DAYS_MAX: i32 = 95_000_000;
const MICROS_MAX: i64 = DAYS_MAX as i64 * 86_400_000_000;

fn check_values(array: &ArrayRef) -> Result<(), String> {
    let bad = |row: usize, what: &str| Err(format!("row {row}: {what}"));
    match array.data_type() {
        DataType::Decimal128(precision, _) => {
            let values = array.as_primitive::<Decimal128Type>();
            values.validate_decimal_precision(*precision).map_err(|e| tame(&e.to_string()))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            let wrong = |(row, v): (usize, &i32)| values.is_valid(row) && v.unsigned_abs() > DAYS_MAX.unsigned_abs();
            match values.values().iter().enumerate().position(wrong) {
                Some(row) => bad(row, "the date is more than 260 000 years away"),
                None => Ok(()),
            }
        }
        DataType::Time64(_) => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            let wrong = |(row, v): (usize, &i64)| values.is_valid(row) && !(0..=86_400_000_000).contains(v);
            match values.values().iter().enumerate().position(wrong) {
                Some(row) => bad(row, "the time is not within a day"),
                None => Ok(()),
            }
        }
        DataType::Timestamp(..) => {
            let values = array.to_data();
            let values = values.buffers().first().map_or(&[][..], |b| b.typed_data::<i64>());
            let wrong = |(row, v): (usize, &i64)| array.is_valid(row) && v.unsigned_abs() > MICROS_MAX.unsigned_abs();
            match values.iter().enumerate().position(wrong) {
                Some(row) => bad(row, "the timestamp is more than 260 000 years away"),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn unpack_errors(bytes: &[u8], header: &Header, rows: usize) -> Result<Vec<(usize, String)>, String> {
    let count = header.count as usize;
    if count > rows {
        return Err(format!("it refuses {count} rows of {rows}"));
    }
    let mut errors = Vec::with_capacity(count);
    for i in 0..count {
        let at = (header.errors as usize).saturating_add(i * ERROR_BYTES);
        let word = |k: usize| read_u32(bytes, at.saturating_add(k * 4)).ok_or("its error table lies outside of it");
        let (row, text) = (word(0)? as usize, Region { offset: word(1)?, length: word(2)? });
        if row >= rows {
            return Err(format!("it refuses row {row} of {rows}"));
        }
        let text = text.of(bytes).ok_or("the message of an error lies outside of it")?;
        // No more than a message may be long is looked at.
        let text = String::from_utf8_lossy(text.get(..4096).unwrap_or(text));
        errors.push((row, tame(&text)));
    }
    Ok(errors)
}
