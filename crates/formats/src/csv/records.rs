use crate::{Error, error::quoted};

/// Bytes of one row; a quote that is never closed would take the rest of the file for one.
const ROW_BYTES_MAX: usize = 16 << 20;

/// How fields and rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that hold delimiters or line ends; none where nothing is quoted.
    pub quote: Option<u8>,
    /// Before a quote that is part of a field; the same as the quote where it is doubled.
    pub escape: Option<u8>,
    /// A line that begins with it is left out.
    pub comment: Option<u8>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), escape: Some(b'"'), comment: None }
    }
}

/// Rows that were taken apart: the text of all fields behind each other, unquoted.
#[derive(Debug, Default)]
pub struct Rows {
    text: Vec<u8>,
    /// Where each field ends in the text.
    ends: Vec<usize>,
    /// Whether each field was in quotes.
    quoted: Vec<bool>,
    /// The first field of each row, and the line that the row begins at.
    starts: Vec<(usize, u64)>,
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes of their text.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.quoted.clear();
        self.starts.clear();
    }

    /// The fields of a row as indexes.
    fn fields(&self, row: usize) -> std::ops::Range<usize> {
        let start = self.starts.get(row).map_or(0, |s| s.0);
        start..self.starts.get(row + 1).map_or(self.ends.len(), |s| s.0)
    }

    /// How many fields a row has.
    pub fn width(&self, row: usize) -> usize {
        self.fields(row).len()
    }

    /// The line that a row begins at, from one.
    pub fn line(&self, row: usize) -> u64 {
        self.starts.get(row).map_or(0, |s| s.1)
    }

    /// The text of all rows.
    ///
    /// # Errors
    /// Where it is not UTF-8, at the line of the first such row.
    pub fn texts(&self) -> Result<Texts<'_>, Error> {
        let whole = std::str::from_utf8(&self.text).ok();
        // Halves of a character on both sides of a delimiter must not pass for one.
        let whole = whole.filter(|text| self.ends.iter().all(|end| text.is_char_boundary(*end)));
        whole.map(|text| Texts { rows: self, text }).ok_or_else(|| self.not_utf8())
    }

    fn not_utf8(&self) -> Error {
        let bytes = |field: usize| {
            let start = if field == 0 { 0 } else { self.ends[field - 1] };
            &self.text[start..self.ends[field]]
        };
        let bad = (0..self.len()).find(|row| self.fields(*row).any(|field| std::str::from_utf8(bytes(field)).is_err()));
        Error::new("the text is not UTF-8")
            .line(bad.map_or(1, |row| self.line(row)))
            .hint("Convert the file to UTF-8, for example with `iconv -f latin1 -t utf-8`.")
    }

    /// A row whose only field is empty and not quoted: an empty line.
    pub fn is_blank(&self, row: usize) -> bool {
        let fields = self.fields(row);
        let start = if fields.start == 0 { 0 } else { self.ends[fields.start - 1] };
        fields.len() == 1 && self.ends[fields.start] == start && !self.quoted[fields.start]
    }
}

/// The fields of rows as texts.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    rows: &'a Rows,
    text: &'a str,
}

impl<'a> Texts<'a> {
    /// A field and whether it was in quotes; none where the row is shorter.
    pub fn get(&self, row: usize, column: usize) -> Option<(&'a str, bool)> {
        let fields = self.rows.fields(row);
        let field = fields.start + column;
        if field >= fields.end {
            return None;
        }
        let start = if field == 0 { 0 } else { self.rows.ends[field - 1] };
        Some((&self.text[start..self.rows.ends[field]], self.rows.quoted[field]))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a row.
    RowStart,
    /// Before the first byte of a field that is not the row's first.
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside of quotes: the end of the field, or one half of a doubled quote.
    QuoteSeen,
    /// After an escape that is not the quote.
    Escaped,
    /// After a carriage return that ended a row: a line feed belongs to it.
    Return,
    Comment,
}

/// Takes bytes apart as they come, whatever pieces they come in.
#[derive(Debug)]
pub struct Records {
    dialect: Dialect,
    state: State,
    /// The line of the next byte.
    line: u64,
    row_line: u64,
    row_text: usize,
    row_field: usize,
    begun: bool,
}

impl Records {
    /// A splitter at the beginning of a file, or behind what was skipped of it.
    pub fn new(dialect: Dialect, first_line: u64) -> Self {
        Self { dialect, state: State::RowStart, line: first_line, row_line: first_line, row_text: 0, row_field: 0, begun: false }
    }

    /// Takes bytes apart until they are used up or `rows` holds so many rows or bytes; says how many bytes were used.
    ///
    /// # Errors
    /// Text behind a closing quote, or a row that has no end.
    pub fn feed(&mut self, bytes: &[u8], rows: &mut Rows, rows_max: usize, bytes_max: usize) -> Result<usize, Error> {
        let Dialect { delimiter, quote, escape, comment } = self.dialect;
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match self.state {
                State::Return => {
                    self.state = State::RowStart;
                    if byte == b'\n' {
                        at += 1;
                    }
                    continue;
                }
                State::RowStart => {
                    if rows.len() >= rows_max || rows.text.len() >= bytes_max {
                        return Ok(at);
                    }
                    if comment == Some(byte) {
                        self.state = State::Comment;
                        continue;
                    }
                    self.begin(rows);
                    self.state = State::FieldStart;
                    continue;
                }
                State::Comment => {
                    if byte == b'\n' {
                        self.line += 1;
                        self.state = State::RowStart;
                    }
                }
                State::FieldStart if quote == Some(byte) => self.state = State::Quoted,
                State::FieldStart | State::Plain => {
                    let run = bytes[at..].iter().position(|b| *b == delimiter || matches!(b, b'\n' | b'\r'));
                    let end = run.map_or(bytes.len(), |run| at + run);
                    rows.text.extend_from_slice(&bytes[at..end]);
                    self.state = State::Plain;
                    at = end;
                    if let Some(byte) = bytes.get(at) {
                        self.end_field(*byte, false, rows);
                        at += 1;
                    }
                    self.check_size(rows)?;
                    continue;
                }
                State::Quoted => {
                    let stop = |b: &u8| Some(*b) == quote || Some(*b) == escape || *b == b'\n';
                    let end = bytes[at..].iter().position(stop).map_or(bytes.len(), |run| at + run);
                    rows.text.extend_from_slice(&bytes[at..end]);
                    at = end;
                    match bytes.get(at) {
                        Some(b'\n') => {
                            self.line += 1;
                            rows.text.push(b'\n');
                        }
                        Some(b) if Some(*b) == quote => self.state = State::QuoteSeen,
                        Some(_) => self.state = State::Escaped,
                        None => {}
                    }
                    at = (at + 1).min(bytes.len());
                    self.check_size(rows)?;
                    continue;
                }
                State::Escaped => {
                    // A backslash before anything but a quote or itself is part of the text.
                    if Some(byte) != quote && Some(byte) != escape {
                        rows.text.extend(escape);
                    }
                    if byte == b'\n' {
                        self.line += 1;
                    }
                    rows.text.push(byte);
                    self.state = State::Quoted;
                }
                State::QuoteSeen if quote == Some(byte) && escape == quote => {
                    rows.text.push(byte);
                    self.state = State::Quoted;
                }
                State::QuoteSeen if byte == delimiter || matches!(byte, b'\n' | b'\r') => self.end_field(byte, true, rows),
                State::QuoteSeen => return Err(self.behind_quote(rows)),
            }
            at += 1;
        }
        Ok(at)
    }

    /// Ends the last row, which need not end its line.
    ///
    /// # Errors
    /// A quote that was not closed.
    pub fn finish(&mut self, rows: &mut Rows) -> Result<(), Error> {
        match self.state {
            State::RowStart | State::Return | State::Comment => {}
            State::Quoted | State::Escaped => {
                return Err(Error::new("a quote is opened and never closed")
                    .line(self.row_line)
                    .hint("Close it, double quotes that are part of a text, or say `quote => ''` where quotes mean nothing."));
            }
            State::FieldStart | State::Plain => self.end_field(b'\n', false, rows),
            State::QuoteSeen => self.end_field(b'\n', true, rows),
        }
        self.state = State::RowStart;
        Ok(())
    }

    fn begin(&mut self, rows: &mut Rows) {
        self.row_line = self.line;
        (self.row_text, self.row_field) = (rows.text.len(), rows.ends.len());
        self.begun = true;
    }

    fn end_field(&mut self, byte: u8, was_quoted: bool, rows: &mut Rows) {
        rows.ends.push(rows.text.len());
        rows.quoted.push(was_quoted);
        self.state = match byte {
            b'\n' => State::RowStart,
            b'\r' => State::Return,
            _ => State::FieldStart,
        };
        if self.state != State::FieldStart {
            self.line += 1;
            rows.starts.push((self.row_field, self.row_line));
            self.begun = false;
        }
    }

    fn check_size(&self, rows: &Rows) -> Result<(), Error> {
        if self.begun && rows.text.len() - self.row_text > ROW_BYTES_MAX {
            return Err(Error::new(format!("a row is longer than {} MiB", ROW_BYTES_MAX >> 20))
                .line(self.row_line)
                .hint("A quote may be open; or it is no CSV."));
        }
        Ok(())
    }

    fn behind_quote(&self, rows: &Rows) -> Error {
        let start = rows.ends.last().copied().unwrap_or(0).max(self.row_text);
        let text = String::from_utf8_lossy(rows.text.get(start..).unwrap_or_default()).into_owned();
        Error::new(format!("there is text behind the closing quote of {}", quoted(&text)))
            .line(self.line)
            .hint("Double quotes that are part of a text, or name the escape: escape => '\\'.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(bytes: &[u8], dialect: Dialect, piece: usize) -> Result<Vec<(u64, Vec<String>)>, Error> {
        let (mut records, mut rows, mut out) = (Records::new(dialect, 1), Rows::default(), Vec::new());
        let mut take = |rows: &mut Rows| -> Result<(), Error> {
            let texts = rows.texts()?;
            for row in 0..rows.len() {
                let fields = (0..rows.width(row)).map(|c| texts.get(row, c).unwrap().0.to_owned()).collect();
                out.push((rows.line(row), fields));
            }
            rows.clear();
            Ok(())
        };
        for chunk in bytes.chunks(piece.max(1)) {
            let mut left = chunk;
            while !left.is_empty() {
                let used = records.feed(left, &mut rows, 2, 1 << 20)?;
                left = &left[used..];
                if !left.is_empty() {
                    take(&mut rows)?;
                }
            }
        }
        records.finish(&mut rows)?;
        take(&mut rows)?;
        Ok(out)
    }

    fn check(text: &str, expected: &[(u64, &[&str])]) {
        for piece in [1, 2, 3, 1000] {
            let got = split(text.as_bytes(), Dialect::default(), piece).unwrap();
            let expected: Vec<(u64, Vec<String>)> =
                expected.iter().map(|(l, f)| (*l, f.iter().map(|s| (*s).to_owned()).collect())).collect();
            assert_eq!(got, expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn fields_and_lines_are_told_apart_in_whatever_pieces_they_come() {
        check("a,b\n1,2\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,b\r\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a\rb\r", &[(1, &["a"]), (2, &["b"])]);
        check("\"a\nb\",\"c\"\"d\"\ne,", &[(1, &["a\nb", "c\"d"]), (3, &["e", ""])]);
        check("a\n\nb\n", &[(1, &["a"]), (2, &[""]), (3, &["b"])]);
        check("a\"b,\"\"\n", &[(1, &["a\"b", ""])]);
        check("", &[]);
        check("\"a,b\r\n\"\r\n", &[(1, &["a,b\r\n"])]);
    }

    #[test]
    fn broken_quotes_are_errors_at_their_line() {
        let error = |text: &str| split(text.as_bytes(), Dialect::default(), 3).unwrap_err().to_string();
        assert_eq!(error("a\n\"b\nc"), "line 2: a quote is opened and never closed");
        assert_eq!(error("a\n\"b\"c,d\n"), "line 2: there is text behind the closing quote of `b`");
        let backslash = Dialect { escape: Some(b'\\'), ..Dialect::default() };
        let got = split(b"\"a\\\"b\",\"c\\nd\"\n", backslash, 2).unwrap();
        assert_eq!(got[0].1, ["a\"b", "c\\nd"]);
    }

    #[test]
    fn what_is_not_utf_8_is_said_with_its_line() {
        for bytes in [&b"a\nb\xFF\n"[..], b"a\n\xC3,\xA9\n"] {
            let error = split(bytes, Dialect::default(), 1000).unwrap_err();
            assert_eq!(error.to_string(), "line 2: the text is not UTF-8");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_comes_back(table in proptest::collection::vec(proptest::collection::vec("[a-z,;\"\r\n\\\\ é]{0,6}", 2..4), 1..6), piece in 1_usize..9) {
            let mut text = String::new();
            for row in &table {
                let fields: Vec<String> = row.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
                text += &fields.join(",");
                text += "\r\n";
            }
            let got: Vec<Vec<String>> = split(text.as_bytes(), Dialect::default(), piece).unwrap().into_iter().map(|(_, f)| f).collect();
            prop_assert_eq!(got, table);
        }

        #[test]
        fn nothing_makes_it_panic_and_pieces_change_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..80), piece in 1_usize..9) {
            let whole = split(&bytes, Dialect::default(), 1000);
            prop_assert_eq!(whole.is_ok(), split(&bytes, Dialect::default(), piece).is_ok());
            if let (Ok(a), Ok(b)) = (whole, split(&bytes, Dialect::default(), piece)) {
                prop_assert_eq!(a, b);
            }
        }
    }
}
