use crate::{Error, Kind};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

/// PostgreSQL's code for an error, which drivers turn into their own kinds of exception.
pub(super) fn sqlstate(error: &Error) -> &'static str {
    let text = error.message.as_str();
    match error.kind {
        Kind::Syntax => "42601",
        Kind::UnknownTable => "42P01",
        Kind::UnknownColumn if text.contains("several") => "42702",
        Kind::UnknownColumn => "42703",
        Kind::UnknownFunction => "42883",
        Kind::Invalid if text.contains("division by zero") => "22012",
        Kind::Invalid if text.contains("Cannot cast") => "22P02",
        Kind::Invalid if text.contains("verflow") => "22003",
        Kind::Invalid if text.starts_with("parameter $") => "22P02",
        Kind::Invalid if text.contains("affect row a second time") => "21000",
        Kind::Invalid if text.contains("must not be NULL") => "23502",
        Kind::Invalid if text.contains("matching the ON CONFLICT") => "42P10",
        Kind::Invalid => "42804",
        Kind::Unsupported if text.contains("only reads") => "25006",
        Kind::Unsupported => "0A000",
        Kind::Timeout | Kind::Cancelled => "57014",
        Kind::Memory | Kind::ScanLimit => "53200",
        Kind::Busy => "53300",
        // What drivers and frameworks run a transaction again for.
        Kind::Conflict => "40001",
        Kind::Storage => "58030",
        Kind::Internal => "XX000",
    }
}

/// The error as the protocol carries it. `sql` is the text that its place refers to.
pub(super) fn to_wire(error: &Error, sql: &str) -> PgWireError {
    let message = match error.kind {
        // What PostgreSQL says, because programs look for it.
        Kind::Timeout => "canceling statement due to statement timeout".to_owned(),
        Kind::Cancelled => "canceling statement due to user request".to_owned(),
        _ => error.to_string(),
    };
    let mut info = ErrorInfo::new("ERROR".to_owned(), sqlstate(error).to_owned(), message);
    info.hint.clone_from(&error.hint);
    info.position = position(error, sql).map(|p| p.to_string());
    PgWireError::UserError(Box::new(info))
}

/// An error of the protocol itself.
pub(super) fn refused(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into())))
}

/// The place of an error as a count of characters from the text's start, from one.
fn position(error: &Error, sql: &str) -> Option<usize> {
    let (line, column) = (usize::try_from(error.line?).ok()?, usize::try_from(error.column?).ok()?);
    let before: usize = sql.split('\n').take(line.checked_sub(1)?).map(|l| l.chars().count() + 1).sum();
    Some(before + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_five_letter_code() {
        for kind in Kind::ALL {
            assert_eq!(sqlstate(&Error::new(kind, "x")).len(), 5, "{kind:?}");
        }
    }

    #[test]
    fn a_place_is_counted_in_characters() {
        let error = Error { line: Some(2), column: Some(3), ..Error::new(Kind::Syntax, "x") };
        assert_eq!(position(&error, "é\nabc"), Some(5));
    }
}
