use super::{Compression, Format, call::Argument};
use crate::{Error, Kind, error::nearest};
use arrow::datatypes::{DataType, TimeUnit};
use formats::{csv::Asked, json::Form};

/// Bytes of a file that its types are told from.
pub(super) const SAMPLE_BYTES: usize = 4 << 20;
/// The most that is looked at of one file.
const SAMPLE_BYTES_MAX: usize = 1 << 30;
/// Files that are looked at.
const SAMPLE_FILES: usize = 64;
/// What a row is taken for where a sample is said in rows.
const ROW_BYTES: usize = 256;

/// What is said of files; the rest is found by looking.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub format: Option<Format>,
    pub csv: Asked,
    pub json: Form,
    /// How files are packed; `Some(None)` for not at all. Their names say it where unset.
    pub compression: Option<Option<Compression>>,
    /// Whether directories named `key=value` are columns.
    pub partitions: bool,
    /// Whether a column `filename` says where each row is from.
    pub filename: bool,
    pub sample_bytes: usize,
    pub sample_files: usize,
    /// Whether what the files looked at don't have is left out of the others: tables of crawlers know it at the next crawl.
    pub ignore_unknown: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: None,
            csv: Asked::default(),
            json: Form::Auto,
            compression: None,
            partitions: true,
            filename: false,
            sample_bytes: SAMPLE_BYTES,
            sample_files: SAMPLE_FILES,
            ignore_unknown: false,
        }
    }
}

const OF_ALL: [&str; 5] = ["compression", "hive_partitioning", "filename", "sample_files", "sample_size"];
const OF_CSV: [&str; 15] = [
    "header",
    "delimiter",
    "delim",
    "sep",
    "quote",
    "escape",
    "comment",
    "skip",
    "nullstr",
    "null_padding",
    "names",
    "types",
    "dtypes",
    "all_varchar",
    "columns",
];
const OF_JSON: [&str; 2] = ["format", "types"];

impl Options {
    /// Reads options as they are written.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an option that there is not, or a value that it does not take.
    pub(super) fn parse(format: Option<Format>, written: &[(String, Argument)]) -> Result<Self, Error> {
        let mut options = Self { format, ..Self::default() };
        let own: &[&str] = match format {
            Some(Format::Csv) => &OF_CSV,
            Some(Format::Json) => &OF_JSON,
            _ => &[],
        };
        for (name, value) in written {
            let known: Vec<&str> = own.iter().chain(&OF_ALL).copied().collect();
            if !known.contains(&name.as_str()) {
                let error = Error::new(Kind::Invalid, format!("there is no option `{name}`"));
                return Err(match nearest(name, known.iter().copied()) {
                    Some(near) => error.with_hint(format!("Did you mean `{near}`?")),
                    None => error.with_hint(format!("There are: {}.", known.join(", "))),
                });
            }
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &Argument) -> Result<(), Error> {
        let csv = &mut self.csv;
        match name {
            "header" => csv.header = Some(boolean(name, value)?),
            "delimiter" | "delim" | "sep" => {
                csv.delimiter = Some(byte(name, value)?.ok_or_else(|| wrong(name, value, "one character"))?)
            }
            "quote" => csv.quote = Some(byte(name, value)?),
            "escape" => csv.escape = byte(name, value)?,
            "comment" => csv.comment = byte(name, value)?,
            "skip" => csv.skip = text(name, value)?.parse().map_err(|_| wrong(name, value, "a number of lines"))?,
            "nullstr" => csv.nulls = Some(list(value)),
            "null_padding" => csv.null_padding = boolean(name, value)?,
            "names" => csv.names = list(value),
            "types" | "dtypes" => csv.typed = typed(name, value)?,
            "columns" => {
                csv.typed = typed(name, value)?;
                csv.names = csv.typed.iter().map(|(n, _)| n.clone()).collect();
            }
            "all_varchar" => csv.all_text = boolean(name, value)?,
            "format" => {
                self.json = match text(name, value)? {
                    "auto" => Form::Auto,
                    "array" => Form::Array,
                    "newline_delimited" | "nd" | "unstructured" => Form::Sequence,
                    _ => return Err(wrong(name, value, "auto, array or newline_delimited")),
                };
            }
            "compression" => {
                self.compression = match text(name, value)? {
                    "auto" | "auto_detect" => None,
                    "none" | "uncompressed" => Some(None),
                    word => match Compression::parse(word) {
                        Some(compression) => Some(Some(compression)),
                        None => return Err(wrong(name, value, "auto, none, gzip, zstd, bzip2 or xz")),
                    },
                };
            }
            "hive_partitioning" => self.partitions = boolean(name, value)?,
            "filename" => self.filename = boolean(name, value)?,
            "sample_size" => {
                let rows: i64 = text(name, value)?.parse().map_err(|_| wrong(name, value, "a number of rows, or -1 for all"))?;
                self.sample_bytes = match usize::try_from(rows) {
                    Ok(rows) => rows.saturating_mul(ROW_BYTES).clamp(64 << 10, SAMPLE_BYTES_MAX),
                    Err(_) => SAMPLE_BYTES_MAX,
                };
            }
            "sample_files" => {
                let files: i64 =
                    text(name, value)?.parse().map_err(|_| wrong(name, value, "a number of files, or -1 for all"))?;
                self.sample_files = usize::try_from(files).unwrap_or(usize::MAX).max(1);
            }
            _ => {}
        }
        Ok(())
    }
}

fn wrong(name: &str, value: &Argument, takes: &str) -> Error {
    let given = match value {
        Argument::Text(text) => format!("`{text}`"),
        Argument::List(_) => "a list".to_owned(),
    };
    Error::new(Kind::Invalid, format!("the option `{name}` takes {takes}, not {given}"))
}

fn text<'a>(name: &str, value: &'a Argument) -> Result<&'a str, Error> {
    match value {
        Argument::Text(text) => Ok(text),
        Argument::List(_) => Err(wrong(name, value, "one value")),
    }
}

fn boolean(name: &str, value: &Argument) -> Result<bool, Error> {
    match text(name, value)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(wrong(name, value, "true or false")),
    }
}

/// One ASCII character; none for an empty text. `\t` is a tab.
fn byte(name: &str, value: &Argument) -> Result<Option<u8>, Error> {
    match text(name, value)?.as_bytes() {
        [] => Ok(None),
        b"\\t" => Ok(Some(b'\t')),
        [one] if one.is_ascii() && !matches!(one, b'\n' | b'\r') => Ok(Some(*one)),
        _ => Err(wrong(name, value, "one ASCII character")),
    }
}

fn list(value: &Argument) -> Vec<String> {
    match value {
        Argument::Text(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Argument::List(list) => list.clone(),
    }
}

/// `name: type, other: type`.
fn typed(name: &str, value: &Argument) -> Result<Vec<(String, DataType)>, Error> {
    let parts: Vec<String> = match value {
        Argument::List(list) => list.clone(),
        Argument::Text(text) => split_outside_brackets(text),
    };
    let example = "pairs such as 'id: bigint, price: numeric(12,2)'";
    let pair = |part: &String| {
        let (column, word) = part.rsplit_once(':').ok_or_else(|| wrong(name, &Argument::Text(part.clone()), example))?;
        let data_type = type_named(word.trim()).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("there is no type `{}` for a column of a file", word.trim()))
                .with_hint("There are: text, bigint, double, numeric(p,s), boolean, date, time, timestamp, timestamptz.")
        })?;
        Ok((column.trim().trim_matches('"').to_owned(), data_type))
    };
    parts.iter().map(pair).collect()
}

/// Commas between brackets are of a type.
fn split_outside_brackets(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_i32);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

/// The type of a word, among those that columns of text files can have.
pub(super) fn type_named(word: &str) -> Option<DataType> {
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "text" | "varchar" | "string" => DataType::Utf8,
        "bigint" | "int8" | "int" | "integer" | "int4" | "smallint" | "long" => DataType::Int64,
        "double" | "double precision" | "float" | "float8" | "real" => DataType::Float64,
        "boolean" | "bool" => DataType::Boolean,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" | "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" | "timestamp with time zone" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "numeric" | "decimal" => DataType::Decimal128(38, 9),
        decimal => {
            let inner = decimal.strip_prefix("numeric(").or_else(|| decimal.strip_prefix("decimal("))?.strip_suffix(')')?;
            let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
            let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            let fits = (1..=38).contains(&precision) && (0..=38).contains(&scale) && i16::from(scale) <= i16::from(precision);
            fits.then_some(DataType::Decimal128(precision, scale))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(format: Format, pairs: &[(&str, &str)]) -> Result<Options, Error> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), Argument::Text((*v).to_owned()))).collect();
        Options::parse(Some(format), &pairs)
    }

    #[test]
    fn options_are_checked_by_name_and_value() {
        let options = parse(Format::Csv, &[("delim", "\\t"), ("quote", ""), ("types", "a: numeric(12,2), b c: text")]).unwrap();
        assert_eq!((options.csv.delimiter, options.csv.quote), (Some(b'\t'), Some(None)));
        assert_eq!(options.csv.typed, [("a".to_owned(), DataType::Decimal128(12, 2)), ("b c".to_owned(), DataType::Utf8)]);
        for (format, name, value, message) in [
            (Format::Csv, "headr", "true", "there is no option `headr`"),
            (Format::Parquet, "header", "true", "there is no option `header`"),
            (Format::Csv, "header", "maybe", "the option `header` takes true or false, not `maybe`"),
            (Format::Csv, "delimiter", "ab", "the option `delimiter` takes one ASCII character, not `ab`"),
            (Format::Csv, "types", "a: money", "there is no type `money` for a column of a file"),
        ] {
            assert_eq!(parse(format, &[(name, value)]).unwrap_err().message, message);
        }
    }
}
