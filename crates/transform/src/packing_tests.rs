//! What is packed comes out again, and nothing that comes out is trusted.

use crate::{
    layout::{ANSWER_MAGIC, Descriptor, ERROR_BYTES, FLAG_SAME, HEADER_BYTES, Header, kind},
    pack::{pack, packed_bytes},
    unpack::{Answer, AnswerColumn, Expected, unpack},
};
use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
        Int64Array, RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema},
};
use proptest::prelude::*;
use std::sync::Arc;

type Seed = (Option<i32>, Option<String>, bool);

/// One column of every type that has a layout.
fn batch(rows: &[Seed]) -> RecordBatch {
    let number = || rows.iter().map(|r| r.0);
    let long = || number().map(|n| n.map(|n| i64::from(n) * 1_000_003));
    let time = || number().map(|n| n.map(|n| i64::from(n.unsigned_abs() % 86_400) * 1_000_000));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0.map(|_| r.2)).collect::<BooleanArray>()),
        Arc::new(number().collect::<Int32Array>()),
        Arc::new(long().collect::<Int64Array>()),
        #[expect(clippy::cast_precision_loss, reason = "any float will do")]
        Arc::new(number().map(|n| n.map(|n| n as f32)).collect::<Float32Array>()),
        Arc::new(number().map(|n| n.map(f64::from)).collect::<Float64Array>()),
        Arc::new(
            number()
                .map(|n| n.map(|n| i128::from(n) * 7))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(20, 4)
                .expect("it fits"),
        ),
        Arc::new(number().map(|n| n.map(|n| n % 90_000_000)).collect::<Date32Array>()),
        Arc::new(time().collect::<Time64MicrosecondArray>()),
        Arc::new(long().collect::<TimestampMicrosecondArray>()),
        Arc::new(long().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(rows.iter().map(|r| r.1.as_ref().map(|t| t.as_bytes())).collect::<BinaryArray>()),
        Arc::new(rows.iter().map(|r| r.1.as_deref()).collect::<StringArray>()),
    ];
    let fields: Vec<Field> =
        columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("one schema")
}

fn packed(rows: &RecordBatch) -> Vec<u8> {
    let reads = vec![true; rows.num_columns()];
    let mut out = Vec::new();
    pack(rows, rows.num_columns(), 5, &reads, &mut out).expect("it is small");
    assert!(out.len() <= packed_bytes(rows, &reads), "the estimate is an upper bound");
    out
}

/// A packed batch as if a plugin had answered with all its columns anew.
fn answered(rows: &RecordBatch) -> Vec<u8> {
    let mut out = packed(rows);
    let header = Header { magic: ANSWER_MAGIC, count: 0, ..Header::read(&out).expect("a header") };
    out[..HEADER_BYTES].copy_from_slice(&header.bytes());
    out
}

fn read(bytes: &[u8], rows: &RecordBatch) -> Result<Answer, String> {
    let types: Vec<DataType> = rows.columns().iter().map(|c| c.data_type().clone()).collect();
    let names: Vec<String> = (0..types.len()).map(|i| format!("c{i}")).collect();
    unpack(bytes, Expected { shape: 5, rows: rows.num_rows(), types: &types, names: &names, inputs: &types })
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    prop::collection::vec((any::<Option<i32>>(), prop::option::of(".{0,12}"), any::<bool>()), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_comes_out_again_from_any_slice(rows in seeds(), from in 0..40_usize, length in 0..40_usize) {
        let whole = batch(&rows);
        let from = from.min(whole.num_rows());
        let slice = whole.slice(from, length.min(whole.num_rows() - from));
        let answer = read(&answered(&slice), &slice).expect("it is a good answer");
        for (column, original) in answer.columns.iter().zip(slice.columns()) {
            match column {
                AnswerColumn::New(array) => prop_assert_eq!(array, original),
                AnswerColumn::Same(_) => prop_assert!(false, "nothing was handed on"),
            }
        }
    }

    #[test]
    fn random_bytes_are_never_more_than_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let rows = batch(&[(Some(1), Some("a".to_owned()), true)]);
        prop_assert!(read(&bytes, &rows).is_err());
    }

    #[test]
    fn a_good_answer_with_some_bytes_changed_is_refused_or_still_well_formed(
        rows in seeds(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let rows = batch(&rows);
        let mut bytes = answered(&rows);
        // Most changes go where the structure is.
        let structure = bytes.len().min(HEADER_BYTES + rows.num_columns() * 32);
        for (i, (at, value)) in changes.iter().enumerate() {
            let within = if i % 3 == 2 { bytes.len() } else { structure };
            bytes[at.index(within)] = *value;
        }
        if let Ok(answer) = read(&bytes, &rows) {
            for column in answer.columns {
                if let AnswerColumn::New(array) = column {
                    prop_assert_eq!(array.len(), rows.num_rows());
                    prop_assert!(array.to_data().validate_full().is_ok());
                }
            }
            prop_assert!(answer.keep.is_none_or(|k| k.len() == rows.num_rows()));
            prop_assert!(answer.errors.iter().all(|(row, _)| *row < rows.num_rows()));
        }
    }
}

#[test]
fn columns_that_nobody_reads_are_not_packed() {
    let rows = batch(&[(Some(1), Some("a long text that would be seen".to_owned()), true)]);
    let mut out = Vec::new();
    pack(&rows, rows.num_columns(), 1, &vec![false; rows.num_columns()], &mut out).expect("it is small");
    assert_eq!(out.len(), HEADER_BYTES + rows.num_columns() * 32);
}

#[test]
fn values_out_of_their_types_range_are_refused() {
    let rows = batch(&[(Some(1), None, true)]);
    let cases: [(usize, &[u8], &str); 4] = [
        (5, &(i128::MAX).to_le_bytes(), "c5"),
        (6, &i32::MAX.to_le_bytes(), "260 000 years"),
        (7, &86_400_000_001_i64.to_le_bytes(), "not within a day"),
        (8, &i64::MIN.to_le_bytes(), "260 000 years"),
    ];
    for (column, value, complaint) in cases {
        let mut bytes = answered(&rows);
        let values = Descriptor::read(&bytes, column).expect("a descriptor").values.offset as usize;
        bytes[values..values + value.len()].copy_from_slice(value);
        let error = read(&bytes, &rows).expect_err("it is out of range");
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn a_column_is_handed_on_only_under_its_own_type() {
    let rows = batch(&[(Some(1), None, true)]);
    let mut bytes = answered(&rows);
    let same = |source: u32| Descriptor { kind: kind::OPAQUE, flags: FLAG_SAME, source, ..Descriptor::default() }.bytes();
    bytes[HEADER_BYTES..HEADER_BYTES + 32].copy_from_slice(&same(0));
    assert!(matches!(read(&bytes, &rows).expect("it is allowed").columns[0], AnswerColumn::Same(0)));
    bytes[HEADER_BYTES..HEADER_BYTES + 32].copy_from_slice(&same(1));
    assert!(read(&bytes, &rows).expect_err("another type").contains("handed on from a column of type Int32"));
}

#[test]
fn the_messages_of_refused_rows_come_with_their_rows() {
    let rows = batch(&[(Some(1), None, true), (Some(2), None, true)]);
    let mut bytes = answered(&rows);
    let table = bytes.len();
    let text = u32::try_from(table + ERROR_BYTES).expect("small");
    for word in [1, text, 3] {
        bytes.extend_from_slice(&u32::to_le_bytes(word));
    }
    bytes.extend_from_slice(b"no\xff");
    let total = u32::try_from(bytes.len()).expect("small");
    let header =
        Header { count: 1, errors: u32::try_from(table).expect("small"), total, ..Header::read(&bytes).expect("a header") };
    bytes[..HEADER_BYTES].copy_from_slice(&header.bytes());
    assert_eq!(read(&bytes, &rows).expect("it is a good answer").errors, [(1, "no\u{fffd}".to_owned())]);
}
