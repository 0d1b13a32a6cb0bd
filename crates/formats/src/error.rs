use std::fmt;

/// Where in a file something is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// One-based line, where lines can be counted.
    pub line: Option<u64>,
    /// The column's name.
    pub column: Option<String>,
}

/// What is wrong with a file: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Shown(place))]
pub struct Error {
    /// Where it is.
    pub place: Place,
    /// What is wrong, without the place.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Error {
    /// An error at no place yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: Place::default(), message: message.into(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the line, unless it is known.
    #[must_use]
    pub fn line(mut self, line: u64) -> Self {
        self.place.line.get_or_insert(line);
        self
    }

    /// Adds the column, unless it is known.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.place.column.get_or_insert_with(|| column.into());
        self
    }
}

/// A place as the beginning of a sentence.
struct Shown<'a>(&'a Place);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.0;
        match (line, column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column `{column}`: "),
            (Some(line), None) => write!(f, "line {line}: "),
            (None, Some(column)) => write!(f, "column `{column}`: "),
            (None, None) => Ok(()),
        }
    }
}

/// A value in an error: in backticks, cut where it is long, with nothing that would break the line.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let cut: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() { format!("`{cut}…`") } else { format!("`{cut}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_what_and_keeps_to_one_line() {
        let error = Error::new(format!("{} is no number", quoted("a\nb"))).line(3).column("price").line(9);
        assert_eq!(error.to_string(), "line 3, column `price`: `a\u{FFFD}b` is no number");
        assert_eq!(quoted(&"x".repeat(80)).chars().count(), 63);
    }
}
