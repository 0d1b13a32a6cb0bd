//! `PARTITIONED BY (day(ts), bucket(16, id))`: read from the text before the parser, which knows none of it, and carried through it as what it does know.

use crate::{Error, Kind, travel::Places};
use datafusion::sql::sqlparser::{
    ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SqlOption, Value},
    dialect::PostgreSqlDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};
use lake::PartitionField;
use std::borrow::Cow;

/// The option that stands for it in ALTER TABLE.
const OPTION: &str = "partitioned_by";

/// The statement with `PARTITIONED BY` as the parser knows it: `PARTITION BY` of a new table, an option of one that is changed.
pub(crate) fn rewrite(sql: &str) -> Cow<'_, str> {
    if !sql.to_ascii_lowercase().contains("partitioned") {
        return Cow::Borrowed(sql);
    }
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else { return Cow::Borrowed(sql) };
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let places = Places::of(sql);
    let is = |i: usize, text: &str| match tokens.get(i).map(|t| &t.token) {
        Some(Token::Word(w)) => w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text),
        _ => false,
    };
    let mut out = String::with_capacity(sql.len() + 32);
    let mut copied = 0;
    let mut begin = 0;
    for (at, token) in tokens.iter().enumerate() {
        if token.token == Token::SemiColon {
            begin = at + 1;
        }
        if at == 0 || !is(at, "partitioned") || !is(at + 1, "by") {
            continue;
        }
        let mut replace = |from: usize, until: usize, text: &str| {
            let (from, until) = (places.offset(tokens[from].span.start), places.offset(tokens[until].span.end));
            out.push_str(&sql[copied..from]);
            out.push_str(text);
            // Errors in what follows should name the line that the writer sees.
            out.extend(sql[from..until].chars().filter(|c| *c == '\n'));
            copied = until;
        };
        if is(begin, "create") {
            replace(at, at + 1, "PARTITION BY");
        } else if is(begin, "alter") && is(at - 1, "reset") {
            replace(at - 1, at + 1, &format!("SET ({OPTION} = NULL)"));
        } else if is(begin, "alter")
            && is(at - 1, "set")
            && let Some(end) = closing(&tokens, at + 2)
        {
            replace(at - 1, at + 1, &format!("SET ({OPTION} = "));
            replace(end, end, "))");
        }
    }
    if copied == 0 {
        return Cow::Borrowed(sql);
    }
    out.push_str(&sql[copied..]);
    Cow::Owned(out)
}

/// The bracket that closes the one at token `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return Some(at),
            Token::RParen => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// How the options of ALTER TABLE partition a table; none where they are others.
///
/// # Errors
/// As [`fields`].
pub(super) fn of_options(options: &[SqlOption]) -> Result<Option<Vec<PartitionField>>, Error> {
    match options {
        [SqlOption::KeyValue { key, value }] if key.value == OPTION => match value {
            Expr::Value(v) if v.value == Value::Null => Ok(Some(Vec::new())),
            list => fields(list).map(Some),
        },
        _ => Ok(None),
    }
}

/// The fields of a list in brackets.
///
/// # Errors
/// [`Kind::Invalid`] where one is no partition transform of a column.
pub(super) fn fields(list: &Expr) -> Result<Vec<PartitionField>, Error> {
    match list {
        Expr::Tuple(all) => all.iter().map(field).collect(),
        Expr::Nested(one) => Ok(vec![field(one)?]),
        one => Ok(vec![field(one)?]),
    }
}

fn field(expr: &Expr) -> Result<PartitionField, Error> {
    let wrong = |what: &str| {
        Error::new(Kind::Invalid, format!("PARTITIONED BY: `{expr}` {what}")).with_hint(capital(PartitionField::allowed()))
    };
    let column = |expr: &Expr| match expr {
        Expr::Identifier(name) => Some(super::identifier(name)),
        _ => None,
    };
    let number = |expr: &Expr| match expr {
        Expr::Value(v) => match &v.value {
            Value::Number(digits, _) => digits.parse::<u64>().ok(),
            _ => None,
        },
        _ => None,
    };
    if let Some(column) = column(expr) {
        return PartitionField::called("identity", None, &column).map_err(|what| wrong(&what));
    }
    let Expr::Function(function) = expr else { return Err(wrong("is no partition transform")) };
    let FunctionArguments::List(list) = &function.args else { return Err(wrong("names no column")) };
    let arguments: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let word = function.name.to_string();
    let (width, of) = match arguments.as_deref() {
        Some([one]) => (None, column(one)),
        // Trino says bucket(id, 16), others bucket(16, id).
        Some([first, second]) => match (number(first), number(second)) {
            (Some(width), None) => (Some(width), column(second)),
            (None, Some(width)) => (Some(width), column(first)),
            _ => (Some(0), None),
        },
        _ => return Err(wrong("takes a column, or a number and a column")),
    };
    let of = of.ok_or_else(|| wrong("names no column"))?;
    PartitionField::called(&word, width, &of).map_err(|what| wrong(&what))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).chain(['.']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_said_as_the_parser_knows_them() {
        for (sql, expected) in [
            ("create table a.b (id int) partitioned by (id)", "create table a.b (id int) PARTITION BY (id)"),
            (
                "CREATE TABLE b PARTITIONED\nBY (day(at)) AS SELECT 1; select 1",
                "CREATE TABLE b PARTITION BY\n (day(at)) AS SELECT 1; select 1",
            ),
            (
                "alter table a.b set partitioned by (day(at), bucket(16, id));",
                "alter table a.b SET (partitioned_by =  (day(at), bucket(16, id)));",
            ),
            ("ALTER TABLE b RESET PARTITIONED BY", "ALTER TABLE b SET (partitioned_by = NULL)"),
            ("select partitioned from t", "select partitioned from t"),
            ("select 'partitioned by (x)'", "select 'partitioned by (x)'"),
            ("select partitioned by from t", "select partitioned by from t"),
        ] {
            assert_eq!(rewrite(sql), expected, "{sql}");
        }
    }
}
