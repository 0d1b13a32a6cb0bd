use crate::decode::{BatchBuilder, Origin};
use model::Op;
use std::fmt;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Bytes that are no binary COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Where rows of a copy stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    pub(crate) ingest_us: i64,
}

/// Pushes the whole tuples of one CopyData message. The server never cuts a tuple; its header comes with the first.
pub(crate) fn push_tuples(
    payload: &[u8],
    columns: usize,
    place: Place,
    seq: &mut u64,
    out: &mut BatchBuilder,
) -> Result<usize, Malformed> {
    let mut rest = payload;
    if let Some(after) = rest.strip_prefix(SIGNATURE) {
        let (_flags, after) = after.split_first_chunk::<4>().ok_or(Malformed("a cut header"))?;
        let (length, after) = after.split_first_chunk::<4>().ok_or(Malformed("a cut header"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        rest = after.get(length..).ok_or(Malformed("a cut header extension"))?;
    }
    let mut rows = 0;
    while let Some((count, after)) = rest.split_first_chunk::<2>() {
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            return Ok(rows);
        }
        if usize::try_from(count) != Ok(columns) {
            return Err(Malformed("a tuple with another number of columns than asked for"));
        }
        out.begin(Op::Read, place.origin, place.ingest_us, *seq, payload.len());
        *seq += 1;
        rest = after;
        for column in 0..columns {
            let (length, after) = rest.split_first_chunk::<4>().ok_or(Malformed("a cut tuple"))?;
            match usize::try_from(i32::from_be_bytes(*length)) {
                Err(_) => {
                    out.push_null(column);
                    rest = after;
                }
                Ok(length) => {
                    let (value, after) = after.split_at_checked(length).ok_or(Malformed("a cut value"))?;
                    out.push_binary(column, value);
                    rest = after;
                }
            }
        }
        rows += 1;
    }
    if rest.is_empty() { Ok(rows) } else { Err(Malformed("a cut tuple")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Kind, Shape, ShapeColumn};
    use arrow::{array::AsArray, datatypes::Int32Type};
    use model::{Key, TableId};
    use proptest::prelude::*;

    const PLACE: Place = Place { origin: Origin { pos: 1, commit_ts_us: None, xid: None }, ingest_us: 5 };

    fn shape() -> Shape {
        let column = |name: &str, kind| ShapeColumn { name: name.into(), kind, nullable: true, source_type: String::new() };
        let kinds = [Kind::Int4, Kind::Text, Kind::numeric(-1), Kind::Timestamp, Kind::Uuid, Kind::List(Box::new(Kind::Int4))];
        Shape::new(
            TableId::new("s", "t"),
            kinds.into_iter().enumerate().map(|(i, k)| column(&format!("c{i}"), k)).collect(),
            Key::None,
            vec![],
            1,
        )
    }

    fn message() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        bytes.extend([0, 6]);
        for value in [
            Some(&[0, 0, 0, 7][..]),
            Some("é".as_bytes()),
            None,
            Some(&[0x7f, 255, 255, 255, 255, 255, 255, 255]),
            None,
            Some(b"{1,NULL}"),
        ] {
            match value {
                None => bytes.extend([255; 4]),
                Some(v) => {
                    bytes.extend(u32::try_from(v.len()).unwrap().to_be_bytes());
                    bytes.extend(v);
                }
            }
        }
        bytes.extend([255, 255]);
        bytes
    }

    #[test]
    fn a_tuple_becomes_a_row_and_what_does_not_fit_its_sibling() {
        let mut shape = shape();
        let mut builder = BatchBuilder::new(&shape, 1);
        assert_eq!(push_tuples(&message(), 6, PLACE, &mut 0, &mut builder), Ok(1));
        let (batch, grown) = builder.finish(&mut shape).unwrap();
        assert!(grown);
        let rows = batch.rows();
        assert_eq!(rows.column(0).as_primitive::<Int32Type>().value(0), 7);
        assert_eq!(rows.column(1).as_string::<i32>().value(0), "é");
        assert!(rows.column(3).is_null(0));
        assert_eq!(rows.column_by_name("c3__text").unwrap().as_string::<i32>().value(0), "infinity");
        assert_eq!(batch.op(0), Op::Read);
    }

    #[test]
    fn every_cut_of_a_message_is_refused_or_a_whole_number_of_rows() {
        let whole = message();
        for end in 0..whole.len() {
            let mut builder = BatchBuilder::new(&shape(), 1);
            let _ = push_tuples(&whole[..end], 6, PLACE, &mut 0, &mut builder);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_tuples_panic(bytes: Vec<u8>, cut in 0_usize..60, values: Vec<u8>) {
            let mut builder = BatchBuilder::new(&shape(), 1);
            let _ = push_tuples(&bytes, 6, PLACE, &mut 0, &mut builder);
            let mut damaged = message();
            for (at, b) in values.iter().enumerate() {
                if let Some(old) = damaged.get_mut(cut + at) { *old = *b; }
            }
            let mut builder = BatchBuilder::new(&shape(), 1);
            if push_tuples(&damaged, 6, PLACE, &mut 0, &mut builder).is_ok() {
                prop_assert!(builder.finish(&mut shape()).is_ok());
            }
        }
    }
}
