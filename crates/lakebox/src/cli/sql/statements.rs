//! Where statements end.

/// What the text is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside<'a> {
    Code,
    /// Between quotes of this kind.
    Quotes(char),
    /// Between two of these, `$tag$`.
    Dollars(&'a str),
    Comment,
    /// Block comments nest.
    Block(usize),
}

/// The statements of a text, without their `;`. What is only space and comments is none.
pub(super) fn split(text: &str) -> Vec<&str> {
    let (pieces, rest, _) = scan(text);
    pieces.into_iter().chain([rest]).filter(|(_, has_code)| *has_code).map(|(piece, _)| piece.trim()).collect()
}

/// Whether a person has finished: with a `;`, a backslash command, or nothing at all.
pub(super) fn is_complete(text: &str) -> bool {
    if text.trim().is_empty() || text.trim_start().starts_with('\\') {
        return true;
    }
    let (pieces, (_, has_code), inside) = scan(text);
    !pieces.is_empty() && !has_code && matches!(inside, Inside::Code | Inside::Comment)
}

/// A piece of text, and whether there is more in it than space and comments.
type Piece<'a> = (&'a str, bool);

fn scan(text: &str) -> (Vec<Piece<'_>>, Piece<'_>, Inside<'_>) {
    let mut pieces = Vec::new();
    let (mut from, mut at, mut has_code) = (0, 0, false);
    let mut inside = Inside::Code;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let mut step = c.len_utf8();
        match inside {
            Inside::Code if rest.starts_with("--") => inside = Inside::Comment,
            Inside::Code if rest.starts_with("/*") => (inside, step) = (Inside::Block(1), 2),
            Inside::Code if c == ';' => {
                pieces.push((&text[from..at], has_code));
                (from, has_code) = (at + 1, false);
            }
            Inside::Code => {
                has_code |= !c.is_whitespace();
                if c == '\'' || c == '"' {
                    inside = Inside::Quotes(c);
                } else if let Some(tag) = dollar_tag(rest) {
                    (inside, step) = (Inside::Dollars(tag), tag.len());
                }
            }
            // A doubled quote ends one text and begins the next at once, which comes to the same.
            Inside::Quotes(quote) if c == quote => inside = Inside::Code,
            Inside::Dollars(tag) if rest.starts_with(tag) => (inside, step) = (Inside::Code, tag.len()),
            Inside::Comment if c == '\n' => inside = Inside::Code,
            Inside::Block(depth) if rest.starts_with("/*") => (inside, step) = (Inside::Block(depth + 1), 2),
            Inside::Block(1) if rest.starts_with("*/") => (inside, step) = (Inside::Code, 2),
            Inside::Block(depth) if rest.starts_with("*/") => (inside, step) = (Inside::Block(depth - 1), 2),
            _ => {}
        }
        at += step;
    }
    (pieces, (&text[from..], has_code), inside)
}

/// `$$` or `$tag$` at the start of `text`. `$1` is a parameter.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text.strip_prefix('$')?.find('$')? + 2;
    let tag = &text[1..end - 1];
    let plain = !tag.starts_with(|c: char| c.is_ascii_digit()) && tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    plain.then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_outside_of_quotes_and_comments() {
        for (text, expected) in [
            ("select 1", vec!["select 1"]),
            ("select 1; select 2;", vec!["select 1", "select 2"]),
            (" ;; -- nothing\n; /* x; */", vec![]),
            ("select ';', \";\", $$;$$, $a$;$$;$a$ -- ;\n; b", vec!["select ';', \";\", $$;$$, $a$;$$;$a$ -- ;", "b"]),
            ("select 'it''s;' ; x", vec!["select 'it''s;'", "x"]),
            ("select $1;select $2", vec!["select $1", "select $2"]),
            ("/* a /* b; */ c; */ select 1; ü", vec!["/* a /* b; */ c; */ select 1", "ü"]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn a_prompt_waits_for_the_end() {
        for text in ["", "  \n", "\\q", " \\d x", "select 1;", "select 1; -- done", "select 1;\n"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["select 1", "select ';", "select 1 -- ;", "select 1; select", "select 1; /* ;", "select $$;"] {
            assert!(!is_complete(text), "{text}");
        }
    }
}
