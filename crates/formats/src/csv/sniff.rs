use super::{Dialect, Records, Rows, records::Texts};
use crate::{
    Error,
    typed::{Guess, Look},
};
use arrow::datatypes::{DataType, Field, Schema};

/// Delimiters that are tried, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows that a delimiter is chosen by.
const ROWS_TRIED: usize = 1000;
/// Columns of a file.
const COLUMNS_MAX: usize = 10_000;

/// What is said of a file; the rest is found by looking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Between fields.
    pub delimiter: Option<u8>,
    /// Around fields; `Some(None)` for no quotes.
    pub quote: Option<Option<u8>>,
    /// Before quotes inside of quotes.
    pub escape: Option<u8>,
    /// Whether the first row holds names.
    pub header: Option<bool>,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
    /// Lines to leave out at the beginning.
    pub skip: u64,
    /// Texts that stand for NULL; the empty one where none is said.
    pub nulls: Option<Vec<String>>,
    /// Names of the columns, in their order.
    pub names: Vec<String>,
    /// Types of columns, by name.
    pub typed: Vec<(String, DataType)>,
    /// Whether every column is text.
    pub all_text: bool,
    /// Whether rows may be short; what is missing is NULL.
    pub null_padding: bool,
}

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sniffed {
    /// How it is written.
    pub dialect: Dialect,
    /// Whether its first row holds names.
    pub header: bool,
    /// Its columns, and what their values look like.
    pub columns: Vec<(String, Guess)>,
}

impl Sniffed {
    /// The columns as a schema; see [`Guess::data_type`] for `sampled`.
    pub fn schema(&self, asked: &Asked, sampled: bool) -> Schema {
        let field = |(name, guess): &(String, Guess)| {
            let said = asked.typed.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
            let data_type = said.unwrap_or_else(|| if asked.all_text { DataType::Utf8 } else { guess.data_type(sampled) });
            Field::new(name, data_type, true)
        };
        Schema::new(self.columns.iter().map(field).collect::<Vec<_>>())
    }
}

impl Asked {
    /// Whether a field is NULL. A quoted field is one only where its text was said to stand for NULL.
    pub fn is_null(&self, text: &str, quoted: bool) -> bool {
        match &self.nulls {
            None => text.is_empty() && !quoted,
            Some(nulls) => nulls.iter().any(|null| null == text && !(text.is_empty() && quoted)),
        }
    }

    fn dialect(&self, delimiter: u8, escape: Option<u8>) -> Dialect {
        let quote = self.quote.unwrap_or(Some(b'"'));
        Dialect { delimiter, quote, escape: self.escape.or(escape).or(quote), comment: self.comment }
    }
}

/// Looks at the beginning of a file, without its byte order mark: how it is written, and what its columns hold. `whole` says that `bytes` is all of it.
///
/// # Errors
/// Where no dialect takes it apart: the error of the likeliest one.
pub fn sniff(bytes: &[u8], whole: bool, asked: &Asked) -> Result<Sniffed, Error> {
    check_text(bytes)?;
    let bytes = skip_lines(bytes, asked.skip);
    let mut best: Option<(Score, Dialect, Rows)> = None;
    let mut refused = None;
    let said = asked.delimiter.map(|d| vec![d]);
    for delimiter in said.unwrap_or_else(|| DELIMITERS.to_vec()) {
        // Doubled quotes first; a backslash only where they don't take the file apart.
        let escapes: &[Option<u8>] = if asked.escape.is_some() { &[None] } else { &[None, Some(b'\\')] };
        for escape in escapes {
            let dialect = asked.dialect(delimiter, *escape);
            match split(bytes, whole, dialect, asked.skip + 1, ROWS_TRIED) {
                Ok(rows) => {
                    let score = score(&rows, bytes.contains(&delimiter));
                    if best.as_ref().is_none_or(|(known, ..)| score > *known) {
                        best = Some((score, dialect, rows));
                    }
                    break;
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
    }
    // A file that a delimiter would have taken apart, if its quotes were whole, has no single odd column.
    let apart = best.filter(|((several, ..), ..)| *several || refused.is_none());
    let Some((_, dialect, _)) = apart else {
        return Err(refused.unwrap_or_else(|| Error::new("the file can't be taken apart as CSV")));
    };
    let rows = split(bytes, whole, dialect, asked.skip + 1, usize::MAX)?;
    describe(&rows, dialect, asked)
}

/// Refuses what is no text before it is taken for a table with one odd column.
fn check_text(bytes: &[u8]) -> Result<(), Error> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Error::new("the file is UTF-16").hint("Save it as UTF-8, for example with `iconv -f utf-16 -t utf-8`."));
    }
    if let Some(at) = bytes.iter().take(64 << 10).position(|b| *b == 0) {
        let line = bytes[..at].iter().filter(|b| **b == b'\n').count() as u64 + 1;
        return Err(Error::new("the file holds a zero byte, so it is no CSV")
            .line(line)
            .hint("Check that it is what its name says."));
    }
    Ok(())
}

/// What is left behind so many lines.
pub(super) fn skip_lines(bytes: &[u8], lines: u64) -> &[u8] {
    let mut rest = bytes;
    for _ in 0..lines {
        match rest.iter().position(|b| *b == b'\n') {
            Some(end) => rest = &rest[end + 1..],
            None => return &[],
        }
    }
    rest
}

/// The rows of a sample. The last one of a sample that is not the whole file may be cut, and is left out.
fn split(bytes: &[u8], whole: bool, dialect: Dialect, line: u64, rows_max: usize) -> Result<Rows, Error> {
    let (mut records, mut rows) = (Records::new(dialect, line), Rows::default());
    let used = records.feed(bytes, &mut rows, rows_max, usize::MAX)?;
    if whole && used == bytes.len() {
        records.finish(&mut rows)?;
    }
    Ok(rows)
}

/// How well a delimiter takes a file apart: the share of rows that have as many fields as most, then whether it tells fields apart at all, then how many.
type Score = (bool, u64, bool, usize);

fn score(rows: &Rows, occurs: bool) -> Score {
    let mut widths: Vec<usize> = (0..rows.len()).filter(|row| !rows.is_blank(*row)).map(|row| rows.width(row)).collect();
    let total = widths.len().max(1);
    widths.sort_unstable();
    let (mut width, mut most, mut run, mut last) = (0, 0, 0, usize::MAX);
    for w in widths {
        run = if w == last { run + 1 } else { 1 };
        last = w;
        if run >= most {
            (most, width) = (run, w);
        }
    }
    let share = most as u64 * 1000 / total as u64;
    // Nearly all rows alike, and of several fields, beats all rows alike in having one.
    (width > 1 && share >= 600, share, occurs, width)
}

fn describe(rows: &Rows, dialect: Dialect, asked: &Asked) -> Result<Sniffed, Error> {
    let texts = rows.texts()?;
    let Some(first) = (0..rows.len()).find(|row| !rows.is_blank(*row)) else {
        let columns = asked.names.iter().map(|name| (name.clone(), Guess::Nothing)).collect();
        return Ok(Sniffed { dialect, header: asked.header.unwrap_or(false), columns });
    };
    let width = rows.width(first);
    if width > COLUMNS_MAX {
        return Err(Error::new(format!("the first row has {width} fields, more than {COLUMNS_MAX}"))
            .line(rows.line(first))
            .hint("Name the right delimiter: delimiter => ';'."));
    }
    let mut guesses = vec![Guess::Nothing; width];
    for row in (first + 1..rows.len()).filter(|row| width == 1 || !rows.is_blank(*row)) {
        for (column, guess) in guesses.iter_mut().enumerate() {
            let Some((text, quoted)) = texts.get(row, column) else { continue };
            // An empty text says nothing: in a column of another type it is NULL.
            if *guess != Guess::Text && !text.is_empty() && !asked.is_null(text, quoted) {
                *guess = guess.join(Guess::of(text, Look::Everything));
            }
        }
    }
    let cells: Vec<(&str, bool)> = (0..width).filter_map(|column| texts.get(first, column)).collect();
    let header = asked.header.unwrap_or_else(|| is_header(&cells, &guesses));
    if !header {
        for (guess, (text, quoted)) in guesses.iter_mut().zip(&cells) {
            if !text.is_empty() && !asked.is_null(text, *quoted) {
                *guess = guess.join(Guess::of(text, Look::Everything));
            }
        }
    }
    let names = names(&cells, header, asked);
    Ok(Sniffed { dialect, header, columns: names.into_iter().zip(guesses).collect() })
}

/// Whether the first row holds names: texts, all different, where a column below is none; or where all is text, as names then do no harm as values
/// would as names.
fn is_header(cells: &[(&str, bool)], guesses: &[Guess]) -> bool {
    let looks = |text: &str| Guess::of(text, Look::Everything);
    let names = cells.iter().all(|(text, _)| looks(text) == Guess::Text);
    let mut seen: Vec<&str> = cells.iter().map(|(text, _)| *text).filter(|t| !t.is_empty()).collect();
    let filled = seen.len();
    seen.sort_unstable();
    seen.dedup();
    if names {
        // What stands above numbers or times is a name, even where two columns have it.
        let typed = guesses.iter().any(|g| !matches!(g, Guess::Nothing | Guess::Text));
        return filled > 0 && (typed || seen.len() == filled);
    }
    // A year as a name above texts, or a number above dates, still is a name.
    let fits = |(text, _): &(&str, bool), guess: &Guess| guess.join(looks(text)).data_type(false) == guess.data_type(false);
    let empty = guesses.iter().all(|g| *g == Guess::Nothing);
    !empty
        && seen.len() == cells.len()
        && cells.iter().zip(guesses).any(|(c, g)| !fits(c, g) && *g != Guess::Nothing && looks(c.0) == Guess::Text)
}

fn names(cells: &[(&str, bool)], header: bool, asked: &Asked) -> Vec<String> {
    let digits = cells.len().saturating_sub(1).to_string().len();
    let mut names: Vec<String> = Vec::with_capacity(cells.len());
    for (column, (text, _)) in cells.iter().enumerate() {
        let said = asked.names.get(column).cloned();
        let own = || if header { text.trim().to_owned() } else { String::new() };
        let name = said.unwrap_or_else(own);
        let name = if name.is_empty() { format!("column{column:0digits$}") } else { name };
        names.push(unique(name, &names));
    }
    names
}

/// The name, with a number where it is taken. Case tells names apart as little as in SQL.
pub(crate) fn unique(name: String, taken: &[String]) -> String {
    let is_taken = |name: &str| taken.iter().any(|t| t.eq_ignore_ascii_case(name));
    if !is_taken(&name) {
        return name;
    }
    (1_u32..).map(|n| format!("{name}_{n}")).find(|n| !is_taken(n)).unwrap_or(name)
}

/// The names in the header of a file, for finding columns by name.
pub(super) fn header_names(texts: &Texts<'_>, row: usize, width: usize, asked: &Asked) -> Vec<String> {
    let cells: Vec<(&str, bool)> = (0..width).filter_map(|column| texts.get(row, column)).collect();
    names(&cells, true, asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str) -> (char, bool, Vec<(String, DataType)>) {
        let asked = Asked::default();
        let sniffed = sniff(text.as_bytes(), true, &asked).unwrap();
        let schema = sniffed.schema(&asked, false);
        let columns = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        (sniffed.dialect.delimiter.into(), sniffed.header, columns)
    }

    fn check(text: &str, delimiter: char, header: bool, columns: &[(&str, DataType)]) {
        let columns = columns.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
        assert_eq!(found(text), (delimiter, header, columns), "{text:?}");
    }

    #[test]
    fn delimiters_headers_and_types_are_found() {
        use DataType::{Boolean, Date32, Decimal128, Int64, Utf8};
        check("id,name,ok\n1,Ann,true\n2,Bob,false\n", ',', true, &[("id", Int64), ("name", Utf8), ("ok", Boolean)]);
        check("id;price\n1;1,5\n2;2,25\n", ';', true, &[("id", Int64), ("price", Utf8)]);
        check("1\t2026-01-01\n2\t2026-01-02\n", '\t', false, &[("column0", Int64), ("column1", Date32)]);
        check("a|b\n1.50|x, y\n", '|', true, &[("a", Decimal128(38, 2)), ("b", Utf8)]);
        check("name,city\nAnn,Paris\n", ',', true, &[("name", Utf8), ("city", Utf8)]);
        check("a,a,\n1,2,3\n", ',', true, &[("a", Int64), ("a_1", Int64), ("column2", Int64)]);
        check("a,b\n", ',', true, &[("a", Utf8), ("b", Utf8)]);
        check("word\nother\n", ',', true, &[("word", Utf8)]);
        check("id,note\n1,\n2,\"\"\n", ',', true, &[("id", Int64), ("note", Utf8)]);
        check("a,b\n1,\"x\\\"y\"\n", ',', true, &[("a", Int64), ("b", Utf8)]);
        assert_eq!(found(""), (',', false, Vec::new()));
    }

    #[test]
    fn what_is_said_is_not_guessed() {
        let asked = Asked {
            delimiter: Some(b';'),
            header: Some(false),
            names: vec!["x".into()],
            typed: vec![("x".into(), DataType::Utf8)],
            skip: 1,
            ..Asked::default()
        };
        let sniffed = sniff(b"# report\n1;2\n", true, &asked).unwrap();
        let schema = sniffed.schema(&asked, false);
        assert_eq!(schema.field(0), &Field::new("x", DataType::Utf8, true));
        assert_eq!(schema.field(1), &Field::new("column1", DataType::Int64, true));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let error = |bytes: &[u8]| sniff(bytes, true, &Asked::default()).unwrap_err().message;
        assert_eq!(error(b"\xFF\xFEa\0"), "the file is UTF-16");
        assert_eq!(error(b"PAR1\0\0"), "the file holds a zero byte, so it is no CSV");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b';'), Just(b'\n'), Just(b'1'), any::<u8>()], 0..200), whole in any::<bool>()) {
            let _ = sniff(&bytes, whole, &Asked::default());
        }
    }
}
