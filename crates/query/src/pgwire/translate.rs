//! What clients ask of PostgreSQL's catalog, in words that the engine plans. Each change keeps the answer; most concern what PostgreSQL has and
//! the engine lacks: numbers that stand for names, set-returning functions beside columns, subqueries in any place.

use super::{nothing, session::Who};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr,
    Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement as Sql, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion_postgres::datafusion_pg_catalog::sql::rules::{
    CurrentUserVariableToSessionUserFunctionCall, FixArrayLiteral, PrependUnqualifiedPgTableName, ResolveUnqualifiedIdentifier,
    RewriteArrayAnyAllOperation, RewritePgCatalogOperator, SqlStatementRewriteRule, StripCallableQualifier, StripCollate,
};
use std::ops::ControlFlow;

/// The statement as the engine can plan it, where it asks for PostgreSQL's catalog.
pub(super) fn translated(statement: &Sql) -> Sql {
    let mut statement = statement.clone();
    if let Sql::Query(query) = &mut statement {
        show_names(query);
    }
    // What reads nothing goes first: the rest need not be understood then.
    nothing::fold(&mut statement);
    let _ = VisitMut::visit(&mut statement, &mut Translator);
    let rules: [&dyn SqlStatementRewriteRule; 8] = [
        &ResolveUnqualifiedIdentifier,
        &RewriteArrayAnyAllOperation,
        &PrependUnqualifiedPgTableName,
        &StripCallableQualifier,
        &FixArrayLiteral,
        &CurrentUserVariableToSessionUserFunctionCall,
        &StripCollate,
        &RewritePgCatalogOperator,
    ];
    rules.iter().fold(statement, |statement, rule| rule.rewrite(statement))
}

/// Puts what depends on the session in the place of the functions that ask for it.
pub(super) fn with_session(statement: &mut Sql, who: &Who) {
    let _ = VisitMut::visit(statement, &mut SessionFunctions(who));
}

struct SessionFunctions<'a>(&'a Who);

impl VisitorMut for SessionFunctions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // A column keeps the function's name.
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) = item
                    && let Some(value) = self.0.value_of(expr)
                    && let Some(name) = function_name(expr)
                {
                    *item = SelectItem::ExprWithAlias { expr: value, alias: Ident::with_quote('"', name) };
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // How Grafana takes the search path apart.
        if let Expr::InSubquery { expr: inner, subquery, negated } = expr
            && subquery.to_string().contains("string_to_array(current_setting('search_path')")
        {
            let list = self.0.schemas().map(text).collect();
            *expr = Expr::InList { expr: inner.clone(), list, negated: *negated };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(value) = self.0.value_of(expr) {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

/// The last part of a function's name, in lower case.
pub(super) fn function_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(f) => f.name.0.last()?.as_ident().map(|i| i.value.to_lowercase()),
        Expr::Identifier(name) if name.quote_style.is_none() => Some(name.value.to_lowercase()),
        _ => None,
    }
}

pub(super) fn text(value: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.into()).into())
}

pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        args: FunctionArguments::List(FunctionArgumentList { args, duplicate_treatment: None, clauses: Vec::new() }),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The kind of name that a type's numbers stand for: `class` for `regclass`.
fn named_by(data_type: &DataType) -> Option<&'static str> {
    let name = data_type.to_string().to_lowercase();
    Some(match name.strip_prefix("pg_catalog.").unwrap_or(&name) {
        "regclass" => "regclass",
        "regtype" => "regtype",
        "regnamespace" => "regnamespace",
        "regproc" | "regprocedure" => "regproc",
        "regrole" => "regrole",
        _ => return None,
    })
}

/// Casts to `regclass` and the like show a name where they are what the client sees.
fn show_names(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = &mut *item else { continue };
        let Expr::Cast { expr: inner, data_type, .. } = &*expr else { continue };
        let Some(kind) = named_by(data_type) else { continue };
        let label = match inner.as_ref() {
            Expr::Identifier(name) => name.clone(),
            Expr::CompoundIdentifier(names) => names.last().cloned().unwrap_or_else(|| Ident::new(kind)),
            _ => Ident::new(kind),
        };
        let shown = match inner.as_ref() {
            Expr::Value(_) => call(&format!("{kind}out"), vec![call(&format!("{kind}in"), vec![inner.as_ref().clone()])]),
            other => call(&format!("{kind}out"), vec![other.clone()]),
        };
        match item {
            SelectItem::UnnamedExpr(_) => *item = SelectItem::ExprWithAlias { expr: shown, alias: label },
            SelectItem::ExprWithAlias { expr, .. } => *expr = shown,
            _ => {}
        }
    }
}

struct Translator;

impl VisitorMut for Translator {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            expand_composites(select);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && name.0.len() == 2
            && name.0[0].as_ident().is_some_and(|s| s.value.eq_ignore_ascii_case("pg_catalog"))
        {
            name.0.remove(0);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // A name that is cast to text: outer before inner, so that the inner cast does not become a number first.
        if let Expr::Cast { expr: inner, data_type, .. } = expr
            && is_text(data_type)
            && let Expr::Cast { expr: innermost, data_type: named, .. } = inner.as_ref()
            && let Some(kind) = named_by(named)
        {
            let innermost = match innermost.as_ref() {
                value @ Expr::Value(_) => call(&format!("{kind}in"), vec![value.clone()]),
                other => other.clone(),
            };
            *expr = call(&format!("{kind}out"), vec![innermost]);
        }
        // `\d+` joins the storage options of a table with those of a table beside it: nothing here has any.
        if function_name(expr).as_deref() == Some("array_to_string") && expr.to_string().contains(".reloptions") {
            *expr = call("nullif", vec![text(""), text("")]);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Cast { expr: inner, data_type, .. } => {
                if let Some(kind) = named_by(data_type) {
                    // Functions are kept by name in PostgreSQL's own rows, everything else by number.
                    let way = if kind == "regproc" { "out" } else { "in" };
                    *expr = call(&format!("{kind}{way}"), vec![inner.as_ref().clone()]);
                } else if let Some(plain) = plain_type(data_type) {
                    *data_type = plain;
                }
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(escape) = escape_of(escape_char) {
                    **pattern = call("replace", vec![pattern.as_ref().clone(), text(escape), text("\\")]);
                    *escape_char = None;
                }
            }
            Expr::Function(function) => {
                if let Some(changed) = set_function(function) {
                    *expr = changed;
                }
            }
            Expr::Subquery(query) => at_most_one_row(query),
            // The number of the table that a row came from: no client does more than compare it with that of a comment.
            Expr::CompoundIdentifier(names) if names.last().is_some_and(|n| n.value == "tableoid") => {
                *expr = Expr::Value(Value::Number("0".into(), false).into());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_text(data_type: &DataType) -> bool {
    let name = data_type.to_string().to_lowercase();
    matches!(name.strip_prefix("pg_catalog.").unwrap_or(&name), "text" | "varchar" | "name" | "character varying")
}

/// Types of PostgreSQL's catalog, as what they are to the engine.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    let DataType::Custom(name, modifiers) = data_type else { return None };
    let name = name.0.last()?.as_ident()?.value.to_lowercase();
    if !modifiers.is_empty() {
        return None;
    }
    Some(match name.as_str() {
        "name" | "char" | "pg_node_tree" | "aclitem" | "sql_identifier" | "character_data" | "yes_or_no" | "xid" | "cid"
        | "inet" | "cidr" | "jsonb" | "json" | "citext" | "regconfig" | "regdictionary" => DataType::Text,
        "oid" | "cardinal_number" => DataType::Integer(None),
        _ => return None,
    })
}

/// The escape character of a pattern, where it is another than the engine's own.
fn escape_of(escape: &Option<datafusion::sql::sqlparser::ast::ValueWithSpan>) -> Option<String> {
    match &escape.as_ref()?.value {
        Value::SingleQuotedString(s) if s != "\\" && !s.is_empty() => Some(s.clone()),
        _ => None,
    }
}

/// Functions that return sets, and those whose argument is a query.
fn set_function(function: &Function) -> Option<Expr> {
    let name = function.name.0.last()?.as_ident()?.value.to_lowercase();
    match (name.as_str(), &function.args) {
        ("generate_subscripts", FunctionArguments::List(list)) => {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(array)) = list.args.first()? else { return None };
            let length = call("array_length", vec![array.clone()]);
            let one = Expr::Value(Value::Number("1".into(), false).into());
            Some(call("unnest", vec![call("generate_series", vec![one, cast(length, DataType::BigInt(None))])]))
        }
        // `ARRAY(SELECT …)`
        ("array", FunctionArguments::Subquery(query)) => {
            let mut query = query.clone();
            query.order_by = None;
            let SetExpr::Select(select) = query.body.as_mut() else { return None };
            let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = select.projection.as_slice()
            else {
                return None;
            };
            select.projection = vec![SelectItem::UnnamedExpr(call("array_agg", vec![item.clone()]))];
            Some(Expr::Subquery(query))
        }
        _ => None,
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A subquery that stands for a value has one row or none, which the engine wants to be told: the largest of one value is that value.
fn at_most_one_row(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = select.projection.as_mut_slice() else {
        return;
    };
    if !ungrouped || select.having.is_some() || select.from.is_empty() || select.distinct.is_some() || aggregates(item) {
        return;
    }
    *item = call("max", vec![item.clone()]);
    query.order_by = None;
    query.limit_clause = None;
}

/// Whether an expression is computed from many rows.
fn aggregates(expr: &Expr) -> bool {
    const AGGREGATES: [&str; 12] = [
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "json_agg",
        "jsonb_agg",
        "unnest",
    ];
    let mut found = false;
    let _ = datafusion::sql::sqlparser::ast::visit_expressions(expr, |e| {
        found |= matches!(e, Expr::Function(_)) && function_name(e).is_some_and(|n| AGGREGATES.contains(&n.as_str()));
        ControlFlow::<()>::Continue(())
    });
    found
}

/// JDBC reads a key's columns with `information_schema._pg_expandarray(indkey)`, which pairs each item with its number. Its two halves become two
/// columns that are unnested side by side: `(f(a)).n` and, where the whole pair is selected `AS keys`, `keys_x`; `(t.keys).x` then means the latter.
fn expand_composites(select: &mut Select) {
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { expr: Expr::Function(f), alias } if is_expand(f) => {
                let alias = Ident::new(format!("{}_x", alias.value));
                if let Some(array) = argument(f) {
                    *item = SelectItem::ExprWithAlias { expr: call("unnest", vec![array]), alias };
                }
            }
            SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
                if let Expr::CompoundFieldAccess { root, .. } = expr
                    && let Expr::Nested(inner) = root.as_ref()
                    && let Expr::Function(f) = inner.as_ref()
                    && is_expand(f)
                    && let Some(array) = argument(f)
                {
                    let one = Expr::Value(Value::Number("1".into(), false).into());
                    *expr = call(
                        "unnest",
                        vec![call("generate_series", vec![one, cast(call("array_length", vec![array]), DataType::BigInt(None))])],
                    );
                }
            }
            _ => {}
        }
    }
    if let Some(condition) = &mut select.selection {
        let _ = datafusion::sql::sqlparser::ast::visit_expressions_mut(condition, |expr| {
            if let Expr::CompoundFieldAccess { root, access_chain } = expr
                && let Expr::Nested(inner) = root.as_ref()
                && let Expr::CompoundIdentifier(names) = inner.as_ref()
                && access_chain.len() == 1
                && access_chain[0].to_string().eq_ignore_ascii_case(".x")
            {
                let mut names = names.clone();
                if let Some(last) = names.last_mut() {
                    *last = Ident::new(format!("{}_x", last.value));
                }
                *expr = Expr::CompoundIdentifier(names);
            }
            ControlFlow::<()>::Continue(())
        });
    }
}

fn is_expand(function: &Function) -> bool {
    function.name.0.last().and_then(|p| p.as_ident()).is_some_and(|i| i.value.eq_ignore_ascii_case("_pg_expandarray"))
}

fn argument(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;
    use datafusion::sql::parser::Statement;

    fn translate(sql: &str) -> String {
        match parse(sql).unwrap() {
            Statement::Statement(sql) => translated(&sql).to_string(),
            other => other.to_string(),
        }
    }

    #[test]
    fn postgresqls_ways_become_the_engines() {
        for (sql, expected) in [
            ("SELECT a FROM t WHERE b = 'x'::regclass", "SELECT a FROM t WHERE b = regclassin('x')"),
            ("SELECT oid::regclass FROM t", "SELECT regclassout(oid) AS oid FROM t"),
            ("SELECT a FROM t WHERE b::regclass::text = 'x'", "SELECT a FROM t WHERE regclassout(b) = 'x'"),
            ("SELECT a FROM t WHERE a LIKE 'b/_' ESCAPE '/'", "SELECT a FROM t WHERE a LIKE replace('b/_', '/', '\\')"),
            ("SELECT (SELECT b FROM u WHERE u.a = t.a) FROM t", "SELECT (SELECT max(b) FROM u WHERE u.a = t.a) FROM t"),
            ("SELECT ARRAY(SELECT b FROM u ORDER BY 1) FROM t", "SELECT (SELECT array_agg(b) FROM u) FROM t"),
            (
                "SELECT a FROM t WHERE f = 'pg_catalog.array_in'::regproc",
                "SELECT a FROM t WHERE f = regprocout('pg_catalog.array_in')",
            ),
            ("SELECT (SELECT b FROM pg_attrdef d WHERE d.c <> t.c) AS x FROM t", "SELECT NULL AS x FROM t"),
            (
                "SELECT pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ') FROM t",
                "SELECT nullif('', '') FROM t",
            ),
            ("SELECT a::pg_catalog.name FROM t", "SELECT a::TEXT FROM t"),
            (
                "SELECT generate_subscripts(a, 1) FROM t",
                "SELECT unnest(generate_series(1, CAST(array_length(a) AS BIGINT))) FROM t",
            ),
        ] {
            assert_eq!(translate(sql), expected, "{sql}");
        }
    }
}
