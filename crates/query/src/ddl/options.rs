//! `WITH (format_version = 3)` of a new table, and `SET (format_version = 3)` of one that is there.

use crate::{Error, Kind};
use datafusion::sql::sqlparser::ast::{Expr, SqlOption, Value};

/// The Iceberg format version of a table of whose version nothing is said.
pub(super) const NEW: u8 = 2;

/// The format version that options ask for.
///
/// # Errors
/// [`Kind::Invalid`] where there are others, or the version is not one that lakebox writes.
pub(super) fn format_version(options: &[SqlOption]) -> Result<u8, Error> {
    let mut version = NEW;
    for option in options {
        let SqlOption::KeyValue { key, value } = option else { return Err(unknown(option)) };
        // Other engines know it by the name of a table property.
        if !matches!(key.value.to_ascii_lowercase().as_str(), "format_version" | "format-version") {
            return Err(unknown(option));
        }
        version = match value {
            Expr::Value(v) => match &v.value {
                Value::Number(digits, _) | Value::SingleQuotedString(digits) => digits.parse().ok(),
                _ => None,
            },
            _ => None,
        }
        .filter(|version| matches!(version, 2 | 3))
        .ok_or_else(|| Error::new(Kind::Invalid, format!("`{option}`: the format version is 2 or 3")))?;
    }
    Ok(version)
}

fn unknown(option: &SqlOption) -> Error {
    Error::new(Kind::Invalid, format!("`{option}` is no option of a table here"))
        .with_hint("The one option is format_version = 2 or 3.")
}
