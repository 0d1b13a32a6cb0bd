use crate::{
    Row, Table,
    rows::{Cell, CellType},
};
use arrow::{
    array::{ArrayRef, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder},
    error::ArrowError,
};
use model::{ChangeBatch, Op, Position, TableSchema};
use pipeline::{Error, Kind};
use std::sync::Arc;

/// When and where a change happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) position: Position,
    pub(crate) xid: Option<i64>,
    pub(crate) commit_ts_us: i64,
    pub(crate) ingest_ts_us: i64,
}

/// Collects changes of one table into Arrow columns.
#[derive(Debug)]
pub(crate) struct TableWriter {
    schema: Arc<TableSchema>,
    data: Vec<ColumnWriter>,
    op: StringBuilder,
    commit_ts: TimestampMicrosecondBuilder,
    ingest_ts: TimestampMicrosecondBuilder,
    pos: Int64Builder,
    seq: Int64Builder,
    xid: Int64Builder,
    unchanged: StringBuilder,
    rows: usize,
}

impl TableWriter {
    pub(crate) fn new(table: Table) -> Self {
        let time = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            schema: table.schema(),
            data: table.columns().iter().map(|(_, kind, _)| ColumnWriter::new(*kind)).collect(),
            op: StringBuilder::new(),
            commit_ts: time(),
            ingest_ts: time(),
            pos: Int64Builder::new(),
            seq: Int64Builder::new(),
            xid: Int64Builder::new(),
            unchanged: StringBuilder::new(),
            rows: 0,
        }
    }

    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Adds a change. A delete carries the key alone, as a source without full replica identity sends it.
    pub(crate) fn push(&mut self, op: Op, row: &Row, stamp: Stamp) {
        let mut columns = self.data.iter_mut();
        let mut first = true;
        row.cells(|cell| {
            if let Some(column) = columns.next() {
                column.push(if op == Op::Delete && !first { Cell::Null } else { cell });
            }
            first = false;
        });
        self.op.append_value(op.code());
        self.commit_ts.append_value(stamp.commit_ts_us);
        self.ingest_ts.append_value(stamp.ingest_ts_us);
        self.pos.append_value(stamp.position.pos.cast_signed());
        self.seq.append_value(stamp.position.seq.cast_signed());
        self.xid.append_option(stamp.xid);
        self.unchanged.append_null();
        self.rows += 1;
    }

    /// The changes collected since the last call, if any.
    pub(crate) fn take(&mut self) -> Result<Option<ChangeBatch>, Error> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(None);
        }
        let mut columns =
            self.data.iter_mut().map(ColumnWriter::finish).collect::<Result<Vec<_>, _>>().map_err(|e| self.bug(e))?;
        let changes: [ArrayRef; 7] = [
            Arc::new(self.op.finish()),
            Arc::new(self.commit_ts.finish()),
            Arc::new(self.ingest_ts.finish()),
            Arc::new(self.pos.finish()),
            Arc::new(self.seq.finish()),
            Arc::new(self.xid.finish()),
            Arc::new(self.unchanged.finish()),
        ];
        columns.extend(changes);
        ChangeBatch::try_new(Arc::clone(&self.schema), columns).map(Some).map_err(|e| self.bug(e))
    }

    fn bug(&self, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(Kind::Bug, format!("the simulator could not encode changes of {}", self.schema.id)).with_source(cause)
    }
}

#[derive(Debug)]
enum ColumnWriter {
    Bigint(Int64Builder),
    Integer(Int32Builder),
    Text(StringBuilder),
    Decimal(CellType, Decimal128Builder),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder),
}

impl ColumnWriter {
    fn new(kind: CellType) -> Self {
        match kind {
            CellType::Bigint => Self::Bigint(Int64Builder::new()),
            CellType::Integer => Self::Integer(Int32Builder::new()),
            CellType::Text => Self::Text(StringBuilder::new()),
            CellType::Money | CellType::Rate => Self::Decimal(kind, Decimal128Builder::new()),
            CellType::Date => Self::Date(Date32Builder::new()),
            CellType::Time => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        let number = match cell {
            Cell::Number(number) => Some(number),
            Cell::Null | Cell::Text(_) => None,
        };
        let small = number.and_then(|n| i32::try_from(n).ok());
        match self {
            Self::Bigint(column) => column.append_option(number),
            Self::Integer(column) => column.append_option(small),
            Self::Text(column) => match cell {
                Cell::Text(text) => column.append_value(text),
                Cell::Null | Cell::Number(_) => column.append_null(),
            },
            Self::Decimal(_, column) => column.append_option(number.map(i128::from)),
            Self::Date(column) => column.append_option(small),
            Self::Time(column) => column.append_option(number),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bigint(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Decimal(kind, column) => Arc::new(column.finish().with_data_type(kind.data_type())),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
        })
    }
}
