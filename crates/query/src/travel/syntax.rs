//! `table FOR VERSION AS OF …` and its kin: read from the text before the parser, which knows none of it, and carried through it in the table's name.

use super::{Inspected, Moment, Named};
use crate::{Error, Kind};
use datafusion::sql::sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word},
};
use std::borrow::Cow;

/// Stands between a table's name and the moment it is asked for. No name in the lake holds it.
const AT: &str = "$at:";

/// The statement with every `FOR … AS OF …` moved into the name of its table; as it is where there is none.
///
/// # Errors
/// [`Kind::Syntax`] where a moment is begun and not said.
pub(crate) fn rewrite(sql: &str) -> Result<Cow<'_, str>, Error> {
    // Most statements never say OF.
    if !mentions(sql, "of") {
        return Ok(Cow::Borrowed(sql));
    }
    // What can't be read as tokens can't be parsed either, and the parser says why.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else { return Ok(Cow::Borrowed(sql)) };
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let places = Places::of(sql);
    let mut out = String::with_capacity(sql.len() + 32);
    let mut copied = 0;
    let mut at = 1;
    while at < tokens.len() {
        let Some(clause) = clause(&tokens, at)? else {
            at += 1;
            continue;
        };
        let Token::Word(name) = &tokens[at - 1].token else {
            at += 1;
            continue;
        };
        let (from, until) = (places.offset(tokens[at - 1].span.start), places.offset(tokens[clause.end - 1].span.end));
        out.push_str(&sql[copied..from]);
        let bare = spelled(name);
        out.push_str(&quoted(&format!("{bare}{AT}{}", clause.moment.written())));
        if !has_alias(tokens.get(clause.end)) {
            out.push_str(" AS ");
            out.push_str(&quoted(&bare));
        }
        // Errors in what follows should name the line that the writer sees.
        out.extend(sql[from..until].chars().filter(|c| *c == '\n'));
        copied = until;
        at = clause.end;
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(sql));
    }
    out.push_str(&sql[copied..]);
    Ok(Cow::Owned(out))
}

/// What a table's name asks for, without looking whether it exists.
pub(crate) fn named(name: &str) -> Named<'_> {
    let (name, moment) = match name.rsplit_once(AT) {
        Some((name, written)) => (name, Moment::read(written)),
        None => (name, None),
    };
    match name.rsplit_once('$').and_then(|(base, kind)| Some((base, Inspected::parse(kind)?))) {
        Some((base, inspected)) => Named { base, inspected: Some(inspected), moment },
        None => Named { base: name, inspected: None, moment },
    }
}

struct Clause {
    moment: Moment,
    /// The first token behind it.
    end: usize,
}

/// The clause that begins at token `at`.
fn clause(tokens: &[TokenWithSpan], at: usize) -> Result<Option<Clause>, Error> {
    let word = |i: usize| match tokens.get(i).map(|t| &t.token) {
        Some(Token::Word(w)) if w.quote_style.is_none() => Some(w.value.to_lowercase()),
        _ => None,
    };
    let is = |i: usize, text: &str| word(i).is_some_and(|w| w == text);
    let start = at + usize::from(is(at, "for"));
    let Some(kind) = word(start) else { return Ok(None) };
    if !(is(start + 1, "as") && is(start + 2, "of")) {
        return Ok(None);
    }
    let value = start + 3;
    // Without FOR it may be a table called `version` under the alias `of`.
    let literal = |i: usize| matches!(tokens.get(i).map(|t| &t.token), Some(Token::Number(..) | Token::SingleQuotedString(_)));
    if start == at && !literal(value) && !literal(value + 1) {
        return Ok(None);
    }
    let wrong = |wanted: &str| {
        let found = tokens.get(value).map_or_else(|| "the end".to_owned(), |t| t.token.to_string());
        let place = tokens.get(value).map(|t| (t.span.start.line, t.span.start.column));
        Error::new(Kind::Syntax, format!("syntax error: expected {wanted} after AS OF, found {found}")).at(place)
    };
    let text = |i: usize| match tokens.get(i).map(|t| &t.token) {
        Some(Token::SingleQuotedString(text)) => Some(text.clone()),
        _ => None,
    };
    let (moment, end) = match kind.as_str() {
        "version" | "system_version" => match tokens.get(value).map(|t| &t.token) {
            Some(Token::Number(digits, _)) => (Moment::Version(digits.clone()), value + 1),
            _ => (
                Moment::Version(text(value).ok_or_else(|| wrong("a snapshot's id, or the name of a tag or branch in quotes,"))?),
                value + 1,
            ),
        },
        "timestamp" | "system_time" => {
            // `TIMESTAMP '…'` is how other engines have it written.
            let value = value + usize::from(is(value, "timestamp") || is(value, "timestamptz"));
            (Moment::Time(text(value).ok_or_else(|| wrong("a time in quotes"))?), value + 1)
        }
        "position" => (Moment::Position(text(value).ok_or_else(|| wrong("a position of the source in quotes"))?), value + 1),
        _ => return Ok(None),
    };
    Ok(Some(Clause { moment, end }))
}

fn has_alias(next: Option<&TokenWithSpan>) -> bool {
    match next.map(|t| &t.token) {
        Some(Token::Word(w)) => {
            w.quote_style.is_some() || w.keyword == Keyword::AS || !RESERVED_FOR_TABLE_ALIAS.contains(&w.keyword)
        }
        _ => false,
    }
}

/// A name as the lake spells it: folded to lower case unless it was quoted.
fn spelled(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether a word occurs in the text, in whatever case.
fn mentions(sql: &str, word: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    lower.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == word)
}

/// Where lines begin, for turning places of tokens into offsets.
pub(crate) struct Places<'a> {
    sql: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(sql: &'a str) -> Self {
        let lines = std::iter::once(0).chain(sql.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { sql, lines }
    }

    /// Where a place of a token is in the text.
    pub(crate) fn offset(&self, place: Location) -> usize {
        let line = usize::try_from(place.line).unwrap_or(1).max(1) - 1;
        let start = self.lines.get(line).copied().unwrap_or(self.sql.len());
        let column = usize::try_from(place.column).unwrap_or(1).max(1) - 1;
        let rest = &self.sql[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        assert_eq!(rewrite(sql).unwrap(), expected, "{sql}");
    }

    #[test]
    fn a_moment_moves_into_the_name_and_the_table_keeps_its_own_name_as_alias() {
        check(
            "SELECT * FROM silver.Orders FOR VERSION AS OF 123 WHERE id = 1",
            r#"SELECT * FROM silver."orders$at:version:123" AS "orders" WHERE id = 1"#,
        );
        check(
            "SELECT o.id FROM silver.orders FOR TIMESTAMP AS OF '2026-01-02 03:04:05' AS o, x",
            r#"SELECT o.id FROM silver."orders$at:time:2026-01-02 03:04:05" AS o, x"#,
        );
        check("select * from t for system_time as of timestamp '2026-01-02' o", r#"select * from "t$at:time:2026-01-02" o"#);
        check("select * from t VERSION AS OF 'end of \"Q1\"'", r#"select * from "t$at:version:end of ""Q1""" AS "t""#);
        check("select * from \"T\" for position as of '0/7F'", r#"select * from "T$at:position:0/7F" AS "T""#);
        check(
            "select * from \"t$files\" for version as of -- now\n 7\nlimit 1",
            "select * from \"t$files$at:version:7\" AS \"t$files\"\n\nlimit 1",
        );
    }

    #[test]
    fn two_moments_of_one_table_can_be_compared() {
        check(
            "select a.n - b.n from t for version as of 1 a join t for version as of 2 b on a.id = b.id",
            r#"select a.n - b.n from "t$at:version:1" a join "t$at:version:2" b on a.id = b.id"#,
        );
    }

    #[test]
    fn statements_that_only_look_like_it_stay_as_they_are() {
        for sql in [
            "select 'for version as of 1'",
            "select count(*) as of from t",
            "select 1 -- from t for version as of 3",
            "select version from t for update of t",
            "select * from version as of where of.id = 1",
            "select 'unended as of",
        ] {
            check(sql, sql);
        }
    }

    #[test]
    fn a_moment_that_is_not_said_is_a_syntax_error_at_its_place() {
        let error = rewrite("select *\nfrom t for timestamp as of now()").unwrap_err();
        assert_eq!((error.kind, error.line, error.column), (Kind::Syntax, Some(2), Some(28)));
        assert_eq!(error.message, "syntax error: expected a time in quotes after AS OF, found now");
    }

    #[test]
    fn names_tell_what_they_ask_for() {
        let files = named("t$files$at:version:7");
        assert_eq!(
            (files.base, files.inspected, files.moment),
            ("t", Some(Inspected::Files), Some(Moment::Version("7".to_owned())))
        );
        let plain = named("t$at:time:2026-01-02 03:04");
        assert_eq!((plain.base, plain.inspected, plain.moment), ("t", None, Some(Moment::Time("2026-01-02 03:04".to_owned()))));
        assert_eq!(named("odd$name").base, "odd$name");
    }
}
