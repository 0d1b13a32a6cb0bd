//! `COPY … TO STDOUT` and `COPY … FROM STDIN`: rows in bulk, as text, CSV or in binary form.

use super::command::Query;
use crate::{
    Error, Kind,
    ddl::{ObjectPath, path_of},
    encode::{Style, text_cell},
};
use arrow::array::{Array, RecordBatch};
use datafusion::sql::sqlparser::{
    ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Query as SqlQuery, Statement as Sql},
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use std::sync::Arc;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// A format with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyForm {
    pub format: CopyFormat,
    pub delimiter: u8,
    pub null: String,
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
}

/// Rows that go to the client, or come from it.
#[derive(Debug, Clone)]
pub(super) enum Copy {
    Out { query: Arc<Query>, form: CopyForm },
    In { table: ObjectPath, columns: Vec<String>, form: CopyForm, sql: String },
}

/// Reads a COPY statement; `query` makes what runs of the query in it.
///
/// # Errors
/// [`Kind::Syntax`], or [`Kind::Unsupported`] for files and programs of the server.
pub(super) fn read_copy(sql: &str, query: impl Fn(SqlQuery) -> Arc<Query>) -> Result<Copy, Error> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|e| Error::new(Kind::Syntax, e.to_string()))?;
    let [Sql::Copy { source, to, target, options, legacy_options, .. }] = parsed.as_slice() else {
        return Err(Error::new(Kind::Syntax, "COPY must be alone in its statement"));
    };
    if !matches!(target, CopyTarget::Stdin | CopyTarget::Stdout) {
        return Err(Error::new(Kind::Unsupported, "COPY reads and writes no files of the server")
            .with_hint("Use STDIN or STDOUT; in psql, \\copy does the same with a file of yours."));
    }
    let form = form_of(options, legacy_options)?;
    match (source, to) {
        (CopySource::Query(inner), true) => Ok(Copy::Out { query: query(inner.as_ref().clone()), form }),
        (CopySource::Table { table_name, columns }, true) => {
            let columns = match columns.as_slice() {
                [] => "*".to_owned(),
                some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let select = format!("SELECT {columns} FROM {table_name}");
            let parsed =
                Parser::parse_sql(&PostgreSqlDialect {}, &select).map_err(|e| Error::new(Kind::Syntax, e.to_string()))?;
            match parsed.into_iter().next() {
                Some(Sql::Query(inner)) => Ok(Copy::Out { query: query(*inner), form }),
                _ => Err(Error::new(Kind::Syntax, format!("`{table_name}` is no table"))),
            }
        }
        (CopySource::Table { table_name, columns }, false) => {
            let columns = columns.iter().map(crate::ddl::identifier).collect();
            Ok(Copy::In { table: path_of(table_name)?, columns, form, sql: sql.to_owned() })
        }
        (CopySource::Query(_), false) => Err(Error::new(Kind::Syntax, "COPY FROM needs a table, not a query")),
    }
}

fn form_of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<CopyForm, Error> {
    let mut format = CopyFormat::Text;
    let (mut delimiter, mut null, mut header, mut quote, mut escape) = (None, None, false, '"', None);
    for option in options {
        match option {
            CopyOption::Format(name) => {
                format = match name.value.to_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    other => {
                        return Err(Error::new(Kind::Unsupported, format!("COPY has no format `{other}`"))
                            .with_hint("Use text, csv or binary."));
                    }
                }
            }
            CopyOption::Delimiter(c) => delimiter = Some(*c),
            CopyOption::Null(text) => null = Some(text.clone()),
            CopyOption::Header(yes) => header = *yes,
            CopyOption::Quote(c) => quote = *c,
            CopyOption::Escape(c) => escape = Some(*c),
            CopyOption::Freeze(_) => {}
            CopyOption::Encoding(name) if name.to_uppercase().replace('-', "") == "UTF8" => {}
            other => return Err(Error::new(Kind::Unsupported, format!("COPY does not know the option {other}"))),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Binary => format = CopyFormat::Binary,
            CopyLegacyOption::Delimiter(c) => delimiter = Some(*c),
            CopyLegacyOption::Null(text) => null = Some(text.clone()),
            CopyLegacyOption::Header => header = true,
            CopyLegacyOption::Csv(more) => {
                format = CopyFormat::Csv;
                for option in more {
                    match option {
                        CopyLegacyCsvOption::Header => header = true,
                        CopyLegacyCsvOption::Quote(c) => quote = *c,
                        CopyLegacyCsvOption::Escape(c) => escape = Some(*c),
                        other => return Err(Error::new(Kind::Unsupported, format!("COPY does not know the option {other}"))),
                    }
                }
            }
            other => return Err(Error::new(Kind::Unsupported, format!("COPY does not know the option {other}"))),
        }
    }
    let csv = format == CopyFormat::Csv;
    let byte =
        |c: char| u8::try_from(c).map_err(|_| Error::new(Kind::Invalid, format!("COPY needs one-byte characters, not {c}")));
    Ok(CopyForm {
        format,
        delimiter: byte(delimiter.unwrap_or(if csv { ',' } else { '\t' }))?,
        null: null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
        header,
        quote: byte(quote)?,
        escape: byte(escape.unwrap_or(quote))?,
    })
}

impl CopyForm {
    /// The rows of a batch as text or CSV, a line each.
    pub(super) fn lines(&self, batch: &RecordBatch) -> Vec<Vec<u8>> {
        let cells: Vec<_> = batch.columns().iter().map(|c| text_cell(c.as_ref(), Style::Postgres)).collect();
        let mut value = Vec::new();
        let line = |row: usize| {
            let mut line = Vec::new();
            for (at, (array, cell)) in batch.columns().iter().zip(&cells).enumerate() {
                if at > 0 {
                    line.push(self.delimiter);
                }
                if array.is_null(row) || array.data_type().is_null() {
                    line.extend_from_slice(self.null.as_bytes());
                    continue;
                }
                value.clear();
                cell(&mut value, row);
                self.escaped(&mut line, &value);
            }
            line.push(b'\n');
            line
        };
        (0..batch.num_rows()).map(line).collect()
    }

    /// The line with the columns' names.
    pub(super) fn head<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<u8> {
        let mut line = Vec::new();
        for (at, name) in names.enumerate() {
            if at > 0 {
                line.push(self.delimiter);
            }
            self.escaped(&mut line, name.as_bytes());
        }
        line.push(b'\n');
        line
    }

    fn escaped(&self, line: &mut Vec<u8>, value: &[u8]) {
        if self.format == CopyFormat::Csv {
            let special = |b: &u8| *b == self.delimiter || *b == self.quote || matches!(b, b'\n' | b'\r');
            if value != self.null.as_bytes() && value != b"\\." && !value.iter().any(special) {
                line.extend_from_slice(value);
                return;
            }
            line.push(self.quote);
            for byte in value {
                if *byte == self.quote || *byte == self.escape {
                    line.push(self.escape);
                }
                line.push(*byte);
            }
            line.push(self.quote);
            return;
        }
        for byte in value {
            match byte {
                b'\\' => line.extend_from_slice(b"\\\\"),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                b if *b == self.delimiter => line.extend_from_slice(&[b'\\', *b]),
                b => line.push(*b),
            }
        }
    }
}

/// One row as it came: bytes of its values.
pub(super) type RawRow = Vec<Option<Vec<u8>>>;

/// Takes rows out of what a client sends, wherever its messages are cut.
#[derive(Debug)]
pub(super) struct RowReader {
    form: CopyForm,
    pending: Vec<u8>,
    /// The head of the binary form, or the line of names, is behind us.
    started: bool,
    ended: bool,
}

/// What every file in binary form begins with.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

impl RowReader {
    pub(super) fn new(form: CopyForm) -> Self {
        Self { form, pending: Vec::new(), started: false, ended: false }
    }

    /// The rows that are whole now. `last` says that no more comes.
    ///
    /// # Errors
    /// [`Kind::Invalid`] where what came is not in the form.
    pub(super) fn push(&mut self, data: &[u8], last: bool) -> Result<Vec<RawRow>, Error> {
        self.pending.extend_from_slice(data);
        let mut rows = Vec::new();
        let mut at = 0;
        while !self.ended {
            let Some((row, next)) = self.next(at, last)? else { break };
            at = next;
            rows.extend(row);
        }
        self.pending.drain(..at);
        if last && !self.ended && !self.pending.is_empty() {
            return Err(bad("the data ends in the middle of a row"));
        }
        Ok(rows)
    }

    /// One row from `at` on, and where the next one begins.
    fn next(&mut self, at: usize, last: bool) -> Result<Option<(Option<RawRow>, usize)>, Error> {
        if self.form.format == CopyFormat::Binary {
            return self.next_binary(at);
        }
        let Some((line, next)) = self.line(at, last) else { return Ok(None) };
        let line = self.pending[line].to_vec();
        if line == b"\\." {
            self.ended = true;
            return Ok(Some((None, next)));
        }
        if self.form.header && !self.started {
            self.started = true;
            return Ok(Some((None, next)));
        }
        self.started = true;
        let row = if self.form.format == CopyFormat::Csv { self.csv(&line) } else { self.text(&line) };
        Ok(Some((Some(row), next)))
    }

    /// A line without its end, and where the next one begins.
    fn line(&self, at: usize, last: bool) -> Option<(std::ops::Range<usize>, usize)> {
        let csv = self.form.format == CopyFormat::Csv;
        let (mut quoted, mut i) = (false, at);
        while i < self.pending.len() {
            let byte = self.pending[i];
            if csv && byte == self.form.quote {
                quoted = !quoted;
            } else if !csv && byte == b'\\' {
                i += 1;
            } else if byte == b'\n' && !quoted {
                let end = if i > at && self.pending[i - 1] == b'\r' { i - 1 } else { i };
                return Some((at..end, i + 1));
            }
            i += 1;
        }
        (last && at < self.pending.len() && !quoted).then_some((at..self.pending.len(), self.pending.len()))
    }

    fn text(&self, line: &[u8]) -> RawRow {
        let mut row = Vec::new();
        let (mut value, mut raw) = (Vec::new(), Vec::new());
        let mut bytes = line.iter().copied().peekable();
        loop {
            let byte = bytes.next();
            if byte.is_none() || byte == Some(self.form.delimiter) {
                row.push((raw != self.form.null.as_bytes()).then(|| std::mem::take(&mut value)));
                value.clear();
                raw.clear();
                if byte.is_none() {
                    return row;
                }
                continue;
            }
            let Some(byte) = byte else { return row };
            raw.push(byte);
            if byte != b'\\' {
                value.push(byte);
                continue;
            }
            let Some(escaped) = bytes.next() else { continue };
            raw.push(escaped);
            value.push(match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                b'v' => 11,
                other => other,
            });
        }
    }

    fn csv(&self, line: &[u8]) -> RawRow {
        let mut row = Vec::new();
        let (mut value, mut was_quoted, mut quoted) = (Vec::new(), false, false);
        let mut bytes = line.iter().copied().peekable();
        loop {
            match bytes.next() {
                Some(b) if quoted && b == self.form.escape && bytes.peek() == Some(&self.form.quote) => {
                    value.extend(bytes.next());
                }
                Some(b) if b == self.form.quote => {
                    quoted = !quoted;
                    was_quoted = true;
                }
                Some(b) if quoted || b != self.form.delimiter => value.push(b),
                end => {
                    let null = !was_quoted && value == self.form.null.as_bytes();
                    row.push((!null).then(|| std::mem::take(&mut value)));
                    value.clear();
                    was_quoted = false;
                    if end.is_none() {
                        return row;
                    }
                }
            }
        }
    }

    fn next_binary(&mut self, mut at: usize) -> Result<Option<(Option<RawRow>, usize)>, Error> {
        let mut take = |n: usize| -> Option<std::ops::Range<usize>> {
            let range = at..at.checked_add(n)?;
            (range.end <= self.pending.len()).then(|| {
                at = range.end;
                range
            })
        };
        let int = |bytes: &[u8]| bytes.iter().fold(0_i64, |n, b| (n << 8) | i64::from(*b));
        if !self.started {
            let Some(head) = take(SIGNATURE.len() + 8) else { return Ok(None) };
            if !self.pending[head.clone()].starts_with(SIGNATURE) {
                return Err(bad("the data has no head of the binary form"));
            }
            let more = usize::try_from(int(&self.pending[head.end - 4..head.end])).unwrap_or(0);
            if take(more).is_none() {
                return Ok(None);
            }
            self.started = true;
            return Ok(Some((None, at)));
        }
        let Some(count) = take(2) else { return Ok(None) };
        let count = int(&self.pending[count]);
        if count == 0xffff {
            self.ended = true;
            return Ok(Some((None, at)));
        }
        let mut row = Vec::new();
        for _ in 0..count {
            let Some(length) = take(4) else { return Ok(None) };
            let length = int(&self.pending[length]);
            if length == 0xffff_ffff {
                row.push(None);
                continue;
            }
            let length = usize::try_from(length).ok().filter(|n| *n < 1 << 30).ok_or_else(|| bad("a value is too long"))?;
            let Some(value) = take(length) else { return Ok(None) };
            row.push(Some(self.pending[value].to_vec()));
        }
        Ok(Some((Some(row), at)))
    }
}

fn bad(what: &str) -> Error {
    Error::new(Kind::Invalid, format!("COPY: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(format: CopyFormat) -> CopyForm {
        let csv = format == CopyFormat::Csv;
        CopyForm {
            format,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { String::new() } else { "\\N".to_owned() },
            header: false,
            quote: b'"',
            escape: b'"',
        }
    }

    fn line(form: &CopyForm, row: &RawRow) -> Vec<u8> {
        let mut line = Vec::new();
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                line.push(form.delimiter);
            }
            match value {
                Some(value) => form.escaped(&mut line, value),
                None => line.extend_from_slice(form.null.as_bytes()),
            }
        }
        line.push(b'\n');
        line
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_went_however_messages_are_cut(
            rows in proptest::collection::vec(
                proptest::collection::vec(proptest::option::of("[a-z,\"\\\\\t\nN.]{0,6}"), 2..4), 1..5),
            cut in 1_usize..7,
        ) {
            for format in [CopyFormat::Text, CopyFormat::Csv] {
                let form = form(format);
                let rows: Vec<RawRow> = rows.iter().map(|r| r.iter().map(|v| v.clone().map(String::into_bytes)).collect()).collect();
                let bytes: Vec<u8> = rows.iter().flat_map(|r| line(&form, r)).collect();
                let mut reader = RowReader::new(form);
                let mut back = Vec::new();
                for chunk in bytes.chunks(cut) {
                    back.extend(reader.push(chunk, false).unwrap());
                }
                back.extend(reader.push(&[], true).unwrap());
                prop_assert_eq!(&back, &rows);
            }
        }

        #[test]
        fn strange_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for format in [CopyFormat::Text, CopyFormat::Csv, CopyFormat::Binary] {
                let mut reader = RowReader::new(form(format));
                drop(reader.push(&bytes, true));
            }
        }
    }
}
