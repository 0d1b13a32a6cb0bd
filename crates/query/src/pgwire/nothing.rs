//! Tables of PostgreSQL's catalog that never hold a row here: what is read from them is known without reading.

use super::translate::{call, function_name};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Ident, JoinOperator, Query, Select, SelectItem, SetExpr, Statement as Sql,
    TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Tables about what lakebox has not.
const EMPTY: &[&str] = &[
    "pg_attrdef",
    // Every column has the default collation, and that one has no name worth telling.
    "pg_collation",
    "pg_cursors",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_inherits",
    "pg_init_privs",
    "pg_largeobject",
    "pg_locks",
    "pg_matviews",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_xacts",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_replication_origin",
    "pg_replication_slots",
    "pg_rewrite",
    "pg_rules",
    "pg_seclabel",
    "pg_seclabels",
    "pg_sequence",
    "pg_sequences",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_transform",
    "pg_trigger",
    "pg_user_mapping",
];

/// Replaces what reads such tables by what it yields: no rows, NULL, false. The engine need not understand the rest of it then.
pub(super) fn fold(statement: &mut Sql) {
    let _ = VisitMut::visit(statement, &mut Folder);
}

struct Folder;

impl VisitorMut for Folder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // With CTEs a name may mean another table.
        if query.with.is_none() && empty_body(&mut query.body, false) {
            query.order_by = None;
            query.limit_clause = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let value = |value: Value| Some(Expr::Value(value.into()));
        let known = match &*expr {
            Expr::Subquery(query) if yields_nothing(query) => value(Value::Null),
            Expr::Exists { subquery, negated } if yields_nothing(subquery) => value(Value::Boolean(*negated)),
            Expr::InSubquery { subquery, negated, .. } if yields_nothing(subquery) => value(Value::Boolean(*negated)),
            Expr::Function(Function { args: FunctionArguments::Subquery(query), .. })
                if function_name(expr).as_deref() == Some("array") && yields_nothing(query) =>
            {
                Some(call("make_array", Vec::new()))
            }
            _ => None,
        };
        if let Some(known) = known {
            *expr = known;
        }
        ControlFlow::Continue(())
    }
}

fn yields_nothing(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => query.with.is_none() && reads_nothing(select) && !counts(select),
        _ => false,
    }
}

/// Whether a SELECT joins, in a way that needs a row of each, a table that has none.
fn reads_nothing(select: &Select) -> bool {
    select.from.iter().any(|from| {
        let mut empty = is_empty(&from.relation);
        for join in &from.joins {
            let inner = matches!(join.join_operator, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_));
            let left = matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
            empty = match (inner, left) {
                (true, _) => empty || is_empty(&join.relation),
                (_, true) => empty,
                _ => false,
            };
        }
        empty
    })
}

fn is_empty(factor: &TableFactor) -> bool {
    let TableFactor::Table { name, args: None, .. } = factor else { return false };
    let parts: Vec<&str> = name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.as_str()).collect();
    match parts.as_slice() {
        [name] => EMPTY.contains(name),
        [schema, name] => schema.eq_ignore_ascii_case("pg_catalog") && EMPTY.contains(name),
        _ => false,
    }
}

/// Whether it yields a row even of no rows: `SELECT count(*)`.
fn counts(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let mut aggregates = Aggregates { depth: 0, found: false };
    let _ = Visit::visit(&select.projection, &mut aggregates);
    aggregates.found && !grouped
}

/// Looks for aggregates of the SELECT itself; those of subqueries inside of it are theirs.
struct Aggregates {
    depth: usize,
    found: bool,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let aggregate = |n: String| {
            matches!(n.as_str(), "count" | "sum" | "min" | "max" | "avg" | "bool_and" | "bool_or") || n.ends_with("_agg")
        };
        let own = self.depth == 0 && matches!(expr, Expr::Function(f) if f.over.is_none());
        self.found |= own && function_name(expr).is_some_and(aggregate);
        ControlFlow::Continue(())
    }
}

/// Makes a SELECT that yields nothing one that the engine can plan. Says whether it did. `hidden`: nobody sees what its columns are called, so
/// that each can have a name of its own, which the engine wants.
fn empty_body(body: &mut SetExpr, hidden: bool) -> bool {
    match body {
        SetExpr::Select(select) => {
            if !reads_nothing(select) || counts(select) {
                return false;
            }
            let named: Option<Vec<SelectItem>> = select.projection.iter().map(nameless).collect();
            let Some(projection) = named else { return false };
            select.projection = projection;
            if hidden {
                for (at, item) in select.projection.iter_mut().enumerate() {
                    if let SelectItem::ExprWithAlias { alias, .. } = item {
                        *alias = Ident::new(format!("c{at}"));
                    }
                }
            }
            select.distinct = None;
            select.from = Vec::new();
            select.selection = Some(Expr::Value(Value::Boolean(false).into()));
            select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
            select.having = None;
            true
        }
        SetExpr::SetOperation { left, right, .. } => {
            let (left, right) = (empty_body(left, hidden), empty_body(right, true));
            left && right
        }
        _ => false,
    }
}

/// NULL under the name that an item has.
fn nameless(item: &SelectItem) -> Option<SelectItem> {
    let alias = match item {
        SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.clone(),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last()?.clone(),
        SelectItem::UnnamedExpr(Expr::Cast { expr, .. }) => match expr.as_ref() {
            Expr::Identifier(name) => name.clone(),
            Expr::CompoundIdentifier(names) => names.last()?.clone(),
            other => Ident::new(function_name(other).unwrap_or_else(|| "?column?".to_owned())),
        },
        SelectItem::UnnamedExpr(other) => {
            let name = function_name(other).or_else(|| matches!(other, Expr::Case { .. }).then(|| "case".to_owned()));
            Ident::with_quote('"', name.unwrap_or_else(|| "?column?".to_owned()))
        }
        _ => return None,
    };
    Some(SelectItem::ExprWithAlias { expr: Expr::Value(Value::Null.into()), alias })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;
    use datafusion::sql::parser::Statement;

    fn folded(sql: &str) -> String {
        let Statement::Statement(mut sql) = parse(sql).unwrap() else { return String::new() };
        fold(&mut sql);
        sql.to_string()
    }

    #[test]
    fn what_is_read_from_empty_tables_is_known() {
        for (sql, expected) in [
            ("SELECT a, (SELECT b FROM pg_attrdef WHERE c = t.d) AS e FROM t", "SELECT a, NULL AS e FROM t"),
            ("SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend)", "SELECT a FROM t WHERE true"),
            ("SELECT x.a, f(b) FROM u AS x JOIN pg_trigger ON true ORDER BY 1", "SELECT NULL AS a, NULL AS \"f\" WHERE false"),
            ("SELECT a FROM u LEFT JOIN pg_description ON true", "SELECT a FROM u LEFT JOIN pg_description ON true"),
            ("SELECT a, (SELECT count(*) FROM u) AS n FROM pg_policy", "SELECT NULL AS a, NULL AS n WHERE false"),
            (
                "SELECT a, NULL FROM pg_policy UNION SELECT a, NULL FROM pg_trigger",
                "SELECT NULL AS a, NULL AS \"?column?\" WHERE false UNION SELECT NULL AS c0, NULL AS c1 WHERE false",
            ),
            ("SELECT ARRAY(SELECT a FROM pg_policy) AS b FROM t", "SELECT make_array() AS b FROM t"),
            ("SELECT count(*) FROM pg_policy", "SELECT count(*) FROM pg_policy"),
        ] {
            assert_eq!(folded(sql), expected, "{sql}");
        }
    }
}
