//! Files in FROM: read from the parsed statement, and carried through planning in the table's name.

use super::call::{Argument, Call};
use crate::Error;
use datafusion::sql::{
    parser::Statement,
    sqlparser::ast::{
        BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor,
        UnaryOperator, Value, VisitMut, VisitorMut,
    },
};
use std::ops::ControlFlow;

/// What a table's name begins with that stands for files. No name in the lake does.
const FILES: &str = "$files:";

/// The functions that read files.
const FUNCTIONS: [&str; 6] = ["read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_parquet", "read_avro"];

/// The call that a table's name stands for.
pub(crate) fn called(name: &str) -> Option<Call> {
    serde_json::from_str(name.strip_prefix(FILES)?).ok()
}

/// Puts a name in place of each quoted path and each function that reads files in FROM.
///
/// # Errors
/// Where an argument is no literal.
pub(crate) fn rewrite(statement: &mut Statement) -> Result<(), Error> {
    match statement {
        Statement::Statement(sql) => match sql.visit(&mut Names) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        },
        Statement::Explain(explain) => rewrite(&mut explain.statement),
        _ => Ok(()),
    }
}

struct Names;

impl VisitorMut for Names {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, alias, args, .. } = factor else { return ControlFlow::Continue(()) };
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let call = match args {
            None if ident.quote_style == Some('\'') => Call::of_path(&ident.value),
            Some(args) if FUNCTIONS.iter().any(|f| ident.value.eq_ignore_ascii_case(f)) => {
                match call(&ident.value.to_ascii_lowercase(), &args.args) {
                    Ok(call) => call,
                    Err(error) => return ControlFlow::Break(error),
                }
            }
            _ => return ControlFlow::Continue(()),
        };
        let Ok(encoded) = serde_json::to_string(&call) else { return ControlFlow::Continue(()) };
        let span = ident.span;
        if alias.is_none() {
            let name = Ident { value: call.own_name(), quote_style: Some('"'), span };
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        let spelled = Ident { value: format!("{FILES}{encoded}"), quote_style: Some('"'), span };
        *name = ObjectName(vec![ObjectNamePart::Identifier(spelled)]);
        *args = None;
        ControlFlow::Continue(())
    }
}

fn call(function: &str, args: &[FunctionArg]) -> Result<Call, Error> {
    let mut call = Call { function: function.to_owned(), paths: Vec::new(), options: Vec::new() };
    for (i, arg) in args.iter().enumerate() {
        let (name, value) = match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (Some(name.value.clone()), value),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                (Some(name.value.clone()), value)
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) => {
                match left.as_ref() {
                    Expr::Identifier(name) => (Some(name.value.clone()), right.as_ref()),
                    _ => return Err(usage(function, &arg.to_string())),
                }
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (None, value),
            other => return Err(usage(function, &other.to_string())),
        };
        let value = literal(value).ok_or_else(|| usage(function, &arg.to_string()))?;
        match (name, value) {
            (Some(name), value) => call.options.push((name.to_ascii_lowercase(), value)),
            (None, Argument::Text(path)) if i == 0 => call.paths.push(path),
            (None, Argument::List(paths)) if i == 0 => call.paths = paths,
            _ => return Err(usage(function, &arg.to_string())),
        }
    }
    if call.paths.is_empty() { Err(usage(function, "")) } else { Ok(call) }
}

fn usage(function: &str, given: &str) -> Error {
    let example = match function {
        "read_parquet" => "read_parquet('s3://bucket/orders/*.parquet')",
        "read_json" | "read_json_auto" => "read_json('uploads/events.ndjson', sample_size => -1)",
        "read_avro" => "read_avro('uploads/events.avro')",
        _ => "read_csv('uploads/orders.csv', delimiter => ';', header => true)",
    };
    let found = if given.is_empty() { String::new() } else { format!(", not {given}") };
    Error::new(crate::Kind::Invalid, format!("{function} takes a path, or an array of paths, and then options by name{found}"))
        .with_hint(format!("For example {example}."))
}

fn literal(expr: &Expr) -> Option<Argument> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(Argument::Text(digits.clone())),
            Value::Boolean(word) => Some(Argument::Text(word.to_string())),
            other => other.clone().into_string().map(Argument::Text),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            Argument::Text(digits) => Some(Argument::Text(format!("-{digits}"))),
            Argument::List(_) => None,
        },
        Expr::Array(array) => {
            let texts = array.elem.iter().map(|e| match literal(e)? {
                Argument::Text(text) => Some(text),
                Argument::List(_) => None,
            });
            texts.collect::<Option<Vec<_>>>().map(Argument::List)
        }
        // A word that is no column: `format => csv`.
        Expr::Identifier(word) => Some(Argument::Text(word.value.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;

    fn rewritten(sql: &str) -> String {
        parse(sql).unwrap().to_string()
    }

    #[test]
    fn paths_and_functions_in_from_become_names_with_an_alias() {
        let sql = rewritten("SELECT * FROM 's3://b/x/*.parquet' WHERE a = 'b.csv'");
        assert!(sql.contains(r#"s3://b/x/*.parquet"#) && sql.ends_with("AS \"x\" WHERE a = 'b.csv'"), "{sql}");
        let sql = rewritten(
            "SELECT o.a FROM read_csv('/d/o.csv', header => true, delimiter = ';', sample_size => -1) o JOIN '/d/p.csv' ON true",
        );
        assert!(sql.contains("AS \"p\"") && sql.contains("$files:"), "{sql}");
        let call = called(&format!("{FILES}{}", serde_json::to_string(&Call::of_path("a")).unwrap())).unwrap();
        assert_eq!(call, Call::of_path("a"));
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for sql in ["SELECT * FROM silver.t", "SELECT * FROM table_changes('a')", "SELECT 'a.csv'", "SELECT * FROM \"a.csv\""] {
            assert!(!rewritten(sql).contains(FILES), "{sql}");
        }
    }

    #[test]
    fn options_are_literals_with_names() {
        for sql in [
            "SELECT * FROM read_csv()",
            "SELECT * FROM read_csv('a', true)",
            "SELECT * FROM read_csv(a || b)",
            "SELECT * FROM read_csv(1 = 2)",
        ] {
            let error = parse(sql).unwrap_err();
            assert!(error.message.starts_with("read_csv takes a path"), "{sql}: {error}");
        }
    }
}
