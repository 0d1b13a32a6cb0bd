use super::{kind::Kind, shape::Shape, text, values::Values};
use arrow::{
    array::{ArrayRef, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
};
use model::{ChangeBatch, Op};
use pipeline::{Error, Kind as ErrorKind};
use std::{mem, sync::Arc};

/// What all changes of one transaction share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Commit LSN, or the snapshot's position.
    pub(crate) pos: u64,
    pub(crate) commit_ts_us: Option<i64>,
    pub(crate) xid: Option<u32>,
}

struct Run {
    origin: Origin,
    ingest_us: i64,
    rows: usize,
}

struct ColumnBuilder {
    values: Values,
    /// Rows whose value the typed column can't hold, with the exact text.
    odd: Vec<(usize, String)>,
}

impl ColumnBuilder {
    fn push_odd(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).map_or_else(|_| text::print_bytes(bytes), str::to_owned);
        self.odd.push((self.values.len(), text));
        self.values.push_null();
    }
}

/// Rows of one table on their way into a [`ChangeBatch`].
///
/// A row is begun with [`Self::begin`]; then exactly one value is pushed into each column, left to right.
pub(crate) struct BatchBuilder {
    columns: Vec<ColumnBuilder>,
    ops: Vec<u8>,
    seqs: Vec<i64>,
    runs: Vec<Run>,
    unchanged: Vec<(usize, String)>,
    bytes: usize,
}

impl BatchBuilder {
    pub(crate) fn new(shape: &Shape, capacity: usize) -> Self {
        let column = |kind: &Kind| ColumnBuilder { values: Values::new(kind.clone(), capacity), odd: Vec::new() };
        Self {
            columns: shape.columns.iter().map(|c| column(&c.kind)).collect(),
            ops: Vec::with_capacity(capacity),
            seqs: Vec::with_capacity(capacity),
            runs: Vec::new(),
            unchanged: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.ops.len()
    }

    /// Bytes received for these rows, with a little for the change columns.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins a row. `wire_bytes` is what it took on the wire.
    pub(crate) fn begin(&mut self, op: Op, origin: Origin, ingest_us: i64, seq: u64, wire_bytes: usize) {
        self.ops.push(op.code().as_bytes().first().copied().unwrap_or(b'u'));
        self.seqs.push(i64::try_from(seq).unwrap_or(i64::MAX));
        self.bytes += wire_bytes + 40;
        match self.runs.last_mut() {
            Some(run) if run.origin == origin && run.ingest_us == ingest_us => run.rows += 1,
            _ => self.runs.push(Run { origin, ingest_us, rows: 1 }),
        }
    }

    pub(crate) fn push_null(&mut self, column: usize) {
        if let Some(column) = self.columns.get_mut(column) {
            column.values.push_null();
        }
    }

    pub(crate) fn push_text(&mut self, column: usize, bytes: &[u8]) {
        if let Some(column) = self.columns.get_mut(column)
            && !column.values.try_text(bytes)
        {
            column.push_odd(bytes);
        }
    }

    pub(crate) fn push_binary(&mut self, column: usize, bytes: &[u8]) {
        if let Some(column) = self.columns.get_mut(column)
            && !column.values.try_binary(bytes)
        {
            let text = column.values.print_binary(bytes);
            column.push_odd(&text);
        }
    }

    /// The row begun last lacks the values of these columns.
    pub(crate) fn mark_unchanged(&mut self, names: &[&str]) {
        let json = serde_json::Value::from(names.to_vec()).to_string();
        self.unchanged.push((self.ops.len().saturating_sub(1), json));
    }

    /// Makes the batch and leaves an empty builder. Columns that met values they can't hold get a sibling in `shape`, which then has a new
    /// version; true says so, and that its schema must be told before the batch.
    pub(crate) fn finish(&mut self, shape: &mut Shape) -> Result<(ChangeBatch, bool), Error> {
        let rows = self.rows();
        let fresh = Self::new(shape, rows);
        let full = mem::replace(self, fresh);
        let id = shape.id.clone();
        let broken =
            |e: &dyn std::fmt::Display| Error::new(ErrorKind::Bug, format!("the columns of table {id} do not form a batch: {e}"));
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(full.columns.len() + 9);
        let mut odd: Vec<Vec<(usize, String)>> = Vec::with_capacity(full.columns.len());
        for column in full.columns {
            let mut texts = column.odd;
            let array =
                column.values.finish(&mut |row, bytes| texts.push((row, text::print_bytes(bytes)))).map_err(|e| broken(&e))?;
            arrays.push(array);
            odd.push(texts);
        }
        let grown = shape.add_siblings(odd.iter().enumerate().filter(|(_, texts)| !texts.is_empty()).map(|(i, _)| i));
        for index in shape.siblings() {
            arrays.push(sparse_text(rows, odd.get(index).map_or(&[][..], Vec::as_slice)));
        }
        arrays.extend(change_arrays(&full.ops, full.seqs, &full.runs, &full.unchanged).map_err(|e| broken(&e))?);
        let batch = ChangeBatch::try_new(Arc::clone(shape.schema()), arrays).map_err(|e| broken(&e))?;
        Ok((batch, grown))
    }
}

fn change_arrays(
    ops: &[u8],
    seqs: Vec<i64>,
    runs: &[Run],
    unchanged: &[(usize, String)],
) -> Result<[ArrayRef; 7], arrow::error::ArrowError> {
    let rows = ops.len();
    let spread = |value: &dyn Fn(&Run) -> i64| {
        let mut out = Vec::with_capacity(rows);
        for run in runs {
            out.resize(out.len() + run.rows, value(run));
        }
        out
    };
    let spread_some = |value: &dyn Fn(&Run) -> Option<i64>| -> Int64Array {
        if runs.iter().all(|r| value(r).is_some()) {
            return spread(&|r| value(r).unwrap_or(0)).into();
        }
        runs.iter().flat_map(|r| std::iter::repeat_n(value(r), r.rows)).collect()
    };
    let ends: Vec<i32> = (0..=i32::try_from(rows).unwrap_or(i32::MAX)).collect();
    let op = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(ops.to_vec()), None)?;
    let commit = spread_some(&|r| r.origin.commit_ts_us).reinterpret_cast::<arrow::datatypes::TimestampMicrosecondType>();
    let ingest = TimestampMicrosecondArray::from(spread(&|r| r.ingest_us));
    let pos = Int64Array::from(spread(&|r| r.origin.pos.cast_signed()));
    let xid = spread_some(&|r| r.origin.xid.map(i64::from));
    Ok([
        Arc::new(op),
        Arc::new(commit.with_timezone("UTC")),
        Arc::new(ingest.with_timezone("UTC")),
        Arc::new(pos),
        Arc::new(Int64Array::from(seqs)),
        Arc::new(xid),
        sparse_text(rows, unchanged),
    ])
}

/// A text column with few values; `texts` in ascending order of rows.
fn sparse_text(rows: usize, texts: &[(usize, String)]) -> ArrayRef {
    if texts.is_empty() {
        return arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, rows);
    }
    let mut builder = StringBuilder::with_capacity(rows, texts.iter().map(|(_, t)| t.len()).sum());
    let mut at = 0;
    for (row, text) in texts {
        while at < *row {
            builder.append_null();
            at += 1;
        }
        builder.append_value(text);
        at += 1;
    }
    while at < rows {
        builder.append_null();
        at += 1;
    }
    Arc::new(builder.finish())
}
