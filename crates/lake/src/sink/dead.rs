//! The table of rows that a transform could not take.

use super::shape::{KeyRule, Shape};
use crate::{Error, TableSpec, with_field_id};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use model::{LakeTable, Layer, TableId};
use pipeline::DeadLetter;
use std::sync::Arc;

/// What stands for the table among a source's tables. No source has a table without a schema and with this name.
pub(crate) fn id() -> TableId {
    TableId::new("", "_dead_letters")
}

/// The dead letters of a source: `bronze.<source>__dead_letters`.
pub(crate) fn table(source: &str) -> LakeTable {
    LakeTable::new(Layer::Bronze, format!("{source}__dead_letters"))
}

/// The shape of every dead letter table.
pub(crate) fn shape() -> Shape {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        ("source", DataType::Utf8, false),
        ("table", DataType::Utf8, false),
        ("transform", DataType::Utf8, false),
        ("plugin_version", DataType::Utf8, false),
        ("error", DataType::Utf8, false),
        ("pos", DataType::Int64, false),
        ("seq", DataType::Int64, false),
        ("commit_ts", time.clone(), true),
        ("op", DataType::Utf8, false),
        ("row", DataType::Utf8, false),
        ("ingest_ts", time, false),
    ];
    let fields = fields
        .into_iter()
        .zip(1..)
        .map(|((name, data_type, nullable), id)| with_field_id(&Field::new(name, data_type, nullable), id));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Shape { source: None, bronze: TableSpec::new(Arc::clone(&schema)), silver: None, file: schema, key: KeyRule::None }
}

/// Letters as rows of the table.
pub(crate) fn rows(source: &str, letters: &[DeadLetter], now_us: i64) -> Result<RecordBatch, Error> {
    fn text<'a>(letters: &'a [DeadLetter], of: impl Fn(&'a DeadLetter) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(letters.iter().map(of)))
    }
    let long = |of: &dyn Fn(&DeadLetter) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(letters.iter().map(|l| of(l).cast_signed())))
    };
    let commit_ts: TimestampMicrosecondArray = letters.iter().map(|l| l.commit_ts_us).collect();
    let tables = StringArray::from_iter_values(letters.iter().map(|l| l.table.to_string()));
    let columns: Vec<ArrayRef> = vec![
        text(letters, |_| source),
        Arc::new(tables),
        text(letters, |l| &l.transform),
        text(letters, |l| &l.plugin_version),
        text(letters, |l| &l.error),
        long(&|l| l.position.pos),
        long(&|l| l.position.seq),
        Arc::new(commit_ts.with_timezone("UTC")),
        text(letters, |l| &l.op),
        text(letters, |l| &l.row),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, letters.len()).with_timezone("UTC")),
    ];
    RecordBatch::try_new(shape().file, columns).map_err(|e| Error::bug("gathering dead letters", e))
}
