use datafusion::{
    common::{SchemaError, utils::datafusion_strsim::normalized_levenshtein},
    error::DataFusionError,
    sql::sqlparser::parser::ParserError,
};
use model::Fault;

/// What went wrong with a query, as far as callers act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The text is not SQL.
    Syntax,
    /// A table that does not exist.
    UnknownTable,
    /// A column that does not exist, or could be one of several.
    UnknownColumn,
    /// A function that does not exist.
    UnknownFunction,
    /// Well-formed, but it can't be computed: types, arguments, a division by zero, a cast that fails.
    Invalid,
    /// Something lakebox does not do, such as writing by SQL.
    Unsupported,
    /// It took longer than it may.
    Timeout,
    /// Somebody cancelled it, or the client went away.
    Cancelled,
    /// It needs more memory or spill space than it may use.
    Memory,
    /// It read more bytes of data files than it may.
    ScanLimit,
    /// Too many queries run and wait already.
    Busy,
    /// Somebody else changed the same table meanwhile; nothing of it took place, and it may succeed when it is run again.
    Conflict,
    /// A file can't be read.
    Storage,
    /// A broken invariant of ours.
    Internal,
}

impl Kind {
    /// Every kind, for tests that walk them.
    pub const ALL: [Self; 14] = [
        Self::Syntax,
        Self::UnknownTable,
        Self::UnknownColumn,
        Self::UnknownFunction,
        Self::Invalid,
        Self::Unsupported,
        Self::Timeout,
        Self::Cancelled,
        Self::Memory,
        Self::ScanLimit,
        Self::Busy,
        Self::Conflict,
        Self::Storage,
        Self::Internal,
    ];

    /// The stable word that clients match.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "sql.syntax",
            Self::UnknownTable => "sql.unknown_table",
            Self::UnknownColumn => "sql.unknown_column",
            Self::UnknownFunction => "sql.unknown_function",
            Self::Invalid => "sql.invalid",
            Self::Unsupported => "sql.unsupported",
            Self::Timeout => "sql.timeout",
            Self::Cancelled => "sql.cancelled",
            Self::Memory => "sql.memory",
            Self::ScanLimit => "sql.scan_limit",
            Self::Busy => "sql.busy",
            Self::Conflict => "sql.conflict",
            Self::Storage => "sql.storage",
            Self::Internal => "sql.internal",
        }
    }

    /// Who can mend it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Internal => Fault::Us,
            Self::Storage | Self::Busy | Self::Conflict => Fault::Outside,
            _ => Fault::User,
        }
    }
}

/// An error of a query: what happened and where, in one sentence, and what to do about it where that is known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which case it is.
    pub kind: Kind,
    /// What happened, without the engine's own jargon.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// One-based line in the statement, where known.
    pub line: Option<u32>,
    /// One-based column in the statement, where known.
    pub column: Option<u32>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without hint, place or cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, line: None, column: None, source: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who can mend it.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }

    pub(crate) fn at(mut self, place: Option<(u64, u64)>) -> Self {
        if let Some((line, column)) = place.filter(|(line, _)| *line > 0) {
            self.line = u32::try_from(line).ok();
            self.column = u32::try_from(column).ok();
        }
        self
    }
}

/// The name of `known` that `wanted` most likely meant, or none if nothing is near.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let score = |name: &str| {
        let name = name.to_lowercase();
        // Half a name, or the name without its source's prefix, is a likely way to be wrong.
        let part = name.ends_with(&format!("_{wanted}")) || (wanted.len() > 3 && name.starts_with(&wanted));
        normalized_levenshtein(&wanted, &name).max(if part { 0.75 } else { 0.0 })
    };
    let (best, name) = known.into_iter().map(|n| (score(n), n)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best >= 0.55).then_some(name)
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let place = error.diagnostic().and_then(|d| d.span).map(|s| (s.start.line, s.start.column));
        let translated = translate(&error);
        let keep = matches!(translated.kind, Kind::Storage | Kind::Internal | Kind::Memory);
        let known = translated.line.is_some();
        let translated = if known { translated } else { translated.at(place) };
        if keep { translated.with_source(error) } else { translated }
    }
}

/// The error without DataFusion's wrappers around it.
fn translate(error: &DataFusionError) -> Error {
    match error {
        // Running out of spill space comes in several wrappings, and is a limit of the query, not a fault of the disk.
        other if !matches!(other, DataFusionError::Plan(_)) && other.to_string().contains("max_temp_directory_size") => {
            memory("disk space")
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => translate(inner),
        DataFusionError::Shared(inner) => translate(inner),
        DataFusionError::Collection(all) => match all.first() {
            Some(first) => translate(first),
            None => Error::new(Kind::Internal, "the query failed for a reason it does not tell"),
        },
        DataFusionError::SQL(inner, _) => syntax(inner),
        DataFusionError::SchemaError(inner, _) => column(inner),
        DataFusionError::Plan(text) | DataFusionError::Configuration(text) => planning(text),
        DataFusionError::NotImplemented(text) => Error::new(Kind::Unsupported, clean(text)),
        DataFusionError::Execution(text) => Error::new(Kind::Invalid, clean(text)),
        DataFusionError::ResourcesExhausted(text) => memory(text),
        DataFusionError::ArrowError(inner, _) => arrow(inner),
        DataFusionError::ParquetError(inner) => parquet(inner),
        DataFusionError::ObjectStore(inner) => Error::new(Kind::Storage, format!("a data file can't be read: {inner}")),
        DataFusionError::IoError(inner) if inner.kind() == std::io::ErrorKind::StorageFull => {
            Error::new(Kind::Storage, "the disk for spilled data is full")
        }
        DataFusionError::IoError(inner) => Error::new(Kind::Storage, format!("reading or spilling failed: {inner}")),
        DataFusionError::External(inner) => external(inner.as_ref()),
        other => Error::new(Kind::Internal, clean(&other.strip_backtrace())),
    }
}

fn external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return translate(inner);
    }
    if let Some(inner) = error.downcast_ref::<Error>() {
        let hint = inner.hint.clone();
        return Error { hint, line: inner.line, column: inner.column, ..Error::new(inner.kind, inner.message.clone()) };
    }
    if let Some(inner) = error.downcast_ref::<::arrow::error::ArrowError>() {
        return arrow(inner);
    }
    Error::new(Kind::Internal, clean(&error.to_string()))
}

fn syntax(error: &ParserError) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Error::new(Kind::Syntax, "the statement is nested too deeply");
        }
    };
    let (text, place) = match text.rsplit_once(" at Line: ") {
        Some((text, place)) => {
            (text, place.split_once(", Column: ").and_then(|(l, c)| Some((l.parse().ok()?, c.trim().parse().ok()?))))
        }
        None => (text, None),
    };
    let text =
        text.replacen("Expected: ", "expected ", 1).replacen(", found: ", ", found ", 1).replace("found EOF", "found the end");
    Error::new(Kind::Syntax, format!("syntax error: {text}")).at(place)
}

fn column(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let qualified = field.flat_name();
            let error = Error::new(Kind::UnknownColumn, format!("column `{qualified}` does not exist"));
            let names: Vec<&str> = valid_fields.iter().map(|f| f.name.as_str()).collect();
            match nearest(&field.name, names.iter().copied()) {
                Some(name) if name == field.name => {
                    let owners: Vec<String> = valid_fields.iter().filter(|f| f.name == name).map(|f| f.flat_name()).collect();
                    error.with_hint(format!("Did you mean `{}`?", owners.join("` or `")))
                }
                Some(name) if name.chars().any(char::is_uppercase) => error.with_hint(format!("Did you mean `\"{name}\"`?")),
                Some(name) => error.with_hint(format!("Did you mean `{name}`?")),
                None if !names.is_empty() && names.len() <= 12 => error.with_hint(format!("Columns here: {}.", names.join(", "))),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(Kind::UnknownColumn, format!("column `{}` could be one of several", field.name))
                .with_hint("Write the table's name or alias before it.")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(Kind::Invalid, format!("the name `{name}` is given to two columns"))
                .with_hint("Give one of them an alias with AS.")
        }
    }
}

fn planning(text: &str) -> Error {
    let text = clean(text);
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let error = Error::new(Kind::UnknownFunction, format!("function `{name}` does not exist"));
        return match rest.split_once("Did you mean '").and_then(|(_, r)| r.split('\'').next()) {
            Some(near) if normalized_levenshtein(name, near) >= 0.55 => error.with_hint(format!("Did you mean `{near}`?")),
            _ => error,
        };
    }
    if let Some(name) = text.strip_prefix("table '").and_then(|r| r.strip_suffix("' not found")) {
        return Error::new(Kind::UnknownTable, format!("table `{name}` does not exist"));
    }
    if text.starts_with("Projections require unique expression names") {
        return Error::new(Kind::Invalid, "two columns of the result have the same name")
            .with_hint("Give one of them an alias with AS.");
    }
    if let Some((name, received)) = signature(&text) {
        return Error::new(Kind::Invalid, format!("function `{name}` does not take {received}"));
    }
    if text.contains("not supported") || text.starts_with("Unsupported") {
        return Error::new(Kind::Unsupported, text);
    }
    Error::new(Kind::Invalid, text)
}

/// Function and argument type of a complaint that no signature fits, which lists every signature there is.
fn signature(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("Function '")?;
    let (name, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("failed to match any signature")?;
    let (_, rest) = rest.split_once("(DataType: ")?;
    Some((name, rest.split([')', ',']).next()?))
}

fn memory(text: &str) -> Error {
    if text.contains("disk space") || text.contains("temp") {
        return Error::new(Kind::Memory, "the query spilled more to disk than it may")
            .with_hint("Read fewer rows or columns, or raise `server.query_spill`.");
    }
    Error::new(Kind::Memory, "the query needs more memory than it may use")
        .with_hint("Read fewer rows or columns, aggregate earlier, or raise `server.query_memory`.")
}

fn arrow(error: &::arrow::error::ArrowError) -> Error {
    use ::arrow::error::ArrowError as A;
    match error {
        A::DivideByZero => Error::new(Kind::Invalid, "division by zero"),
        A::ExternalError(inner) => external(inner.as_ref()),
        A::CastError(text) | A::ParseError(text) | A::ComputeError(text) | A::ArithmeticOverflow(text) => {
            Error::new(Kind::Invalid, clean(text))
        }
        A::InvalidArgumentError(text) => Error::new(Kind::Invalid, clean(text)),
        A::NotYetImplemented(text) => Error::new(Kind::Unsupported, clean(text)),
        A::IoError(text, _) | A::IpcError(text) | A::ParquetError(text) => Error::new(Kind::Storage, clean(text)),
        other => Error::new(Kind::Internal, clean(&other.to_string())),
    }
}

fn parquet(error: &::parquet::errors::ParquetError) -> Error {
    match error {
        ::parquet::errors::ParquetError::External(inner) => match inner.downcast_ref::<object_store::Error>() {
            Some(store) => Error::new(Kind::Storage, format!("a data file can't be read: {store}")),
            None => external(inner.as_ref()),
        },
        other => Error::new(Kind::Storage, format!("a data file can't be read: {other}")),
    }
}

/// The text without the prefixes that say which part of the engine spoke, and without backtraces.
fn clean(text: &str) -> String {
    const NOISE: [&str; 12] = [
        "DataFusion error: ",
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Optimizer error: ",
        "Compute error: ",
        "Cast error: ",
        "Parser error: ",
        "External error: ",
        "Internal error: ",
        "SQL error: ",
        "This feature is not implemented: ",
    ];
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or_default().trim();
    while let Some(rest) = NOISE.iter().find_map(|noise| text.strip_prefix(noise)) {
        text = rest;
    }
    let text = text.split(".\nThis issue was likely caused by a bug").next().unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    with_sql_types(&lines.join("; "))
}

/// The text with Arrow's names of types replaced by SQL's.
fn with_sql_types(text: &str) -> String {
    const NAMES: [(&str, &str); 14] = [
        ("Utf8View", "text"),
        ("LargeUtf8", "text"),
        ("Utf8", "text"),
        ("BinaryView", "bytea"),
        ("Binary", "bytea"),
        ("Boolean", "boolean"),
        ("Int8", "smallint"),
        ("Int16", "smallint"),
        ("Int32", "integer"),
        ("Int64", "bigint"),
        ("Float32", "real"),
        ("Float64", "double precision"),
        ("Date32", "date"),
        ("Decimal128", "numeric"),
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        if word > 0 {
            let (found, after) = rest.split_at(word);
            out.push_str(NAMES.iter().find(|(arrow, _)| *arrow == found).map_or(found, |(_, sql)| sql));
            rest = after;
        }
        if let Some(c) = rest.chars().next() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_code() {
        let codes: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|k| k.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let known = ["shop_orders", "shop_customers", "daily_revenue"];
        let check = |wanted, expected| assert_eq!(nearest(wanted, known), expected, "{wanted}");
        check("shop_order", Some("shop_orders"));
        check("orders", Some("shop_orders"));
        check("Shop_Customer", Some("shop_customers"));
        check("xyz", None);
    }

    #[test]
    fn parser_errors_tell_their_place() {
        let error = syntax(&ParserError::ParserError("Expected: an expression, found: EOF at Line: 2, Column: 7".into()));
        assert_eq!((error.line, error.column), (Some(2), Some(7)));
        assert_eq!(error.message, "syntax error: expected an expression, found the end");
    }

    #[test]
    fn nested_prefixes_are_taken_off() {
        assert_eq!(clean("Cannot cast Utf8View to Decimal128(12, 2)"), "Cannot cast text to numeric(12, 2)");
        assert_eq!(clean("Execution error: Arrow error: Cast error: no\n\nbacktrace: 1"), "no");
    }
}
