//! What the columns of a result are called: PostgreSQL's rules, which allow one name twice and call `count(*)` just `count`.

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::{
    error::Result,
    logical_expr::{Expr as Planned, LogicalPlan, LogicalPlanBuilder},
    sql::{
        parser::Statement,
        sqlparser::ast::{Expr, FunctionArguments, Ident, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement as Sql},
    },
};
use std::{collections::HashSet, sync::Arc};

/// What an expression without a name is called.
const NAMELESS: &str = "?column?";

/// The names of a statement's columns, as far as its text tells them: those before the first `*` and those after the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    first: Vec<String>,
    last: Vec<String>,
}

impl Labels {
    /// Reads the names of `statement`'s columns. What the planner would refuse because two columns have one name is told apart inside of the
    /// statement; [`Self::apply`] gives the columns their own names back.
    pub(crate) fn take(statement: &mut Statement) -> Self {
        let Statement::Statement(sql) = statement else { return Self::default() };
        let Sql::Query(query) = sql.as_mut() else { return Self::default() };
        select(query).map(take).unwrap_or_default()
    }

    /// `schema` with these names.
    pub(crate) fn apply(&self, schema: SchemaRef) -> SchemaRef {
        let count = schema.fields().len();
        if self.first.len() + self.last.len() > count || (self.first.is_empty() && self.last.is_empty()) {
            return schema;
        }
        let tail = count - self.last.len();
        let fields = schema.fields().iter().enumerate().map(|(i, field)| {
            let label = if i < tail { self.first.get(i) } else { self.last.get(i - tail) };
            match label {
                Some(label) if label != field.name() => Arc::new(field.as_ref().clone().with_name(label)),
                _ => Arc::clone(field),
            }
        });
        Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
    }

    /// `plan` with columns of these names.
    pub(crate) fn rename(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::clone(plan.schema());
        let named = self.apply(Arc::new(schema.as_arrow().clone()));
        if named.fields() == schema.as_arrow().fields() {
            return Ok(plan);
        }
        let columns =
            schema.columns().into_iter().zip(named.fields()).map(|(column, field)| Planned::from(column).alias(field.name()));
        LogicalPlanBuilder::from(plan).project(columns.collect::<Vec<_>>())?.build()
    }
}

/// The SELECT that names the columns of a query: the first one of a set operation.
fn select(query: &mut Query) -> Option<&mut Select> {
    let mut body = query.body.as_mut();
    loop {
        match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(query) => body = query.body.as_mut(),
            SetExpr::SetOperation { left, .. } => body = left.as_mut(),
            _ => return None,
        }
    }
}

fn take(select: &mut Select) -> Labels {
    let stars = select.projection.iter().filter(|i| name(i).is_none()).count();
    let mut labels = Labels::default();
    let mut taken = HashSet::new();
    let mut before_star = true;
    for (at, item) in select.projection.iter_mut().enumerate() {
        let Some(name) = name(item) else {
            before_star = false;
            labels.last.clear();
            continue;
        };
        // Beside a `*` any column may come a second time.
        if !taken.insert(identity(item)) || (stars > 0 && matches!(item, SelectItem::UnnamedExpr(_))) {
            let alias = Ident::with_quote('"', format!("{name}:{at}"));
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        if before_star { labels.first.push(name) } else { labels.last.push(name) }
    }
    labels
}

/// What makes the planner take two columns for one.
fn identity(item: &SelectItem) -> String {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => folded(alias),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => folded(ident),
        other => other.to_string(),
    }
}

/// The name of a column; none where it is as many as a table has.
fn name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(of(expr).unwrap_or_else(|| NAMELESS.to_owned())),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

/// An identifier as it is compared: in lower case unless quoted.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The name that PostgreSQL gives an expression (`FigureColname` in its parser).
fn of(expr: &Expr) -> Option<String> {
    let word = |word: &str| Some(word.to_owned());
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => of(inner),
        Expr::Function(function) => match function.name.0.last() {
            _ if matches!(function.args, FunctionArguments::Subquery(_)) => word("array"),
            Some(ObjectNamePart::Identifier(ident)) => Some(folded(ident)),
            _ => None,
        },
        Expr::Cast { expr, data_type, .. } => of(expr).or_else(|| type_name(&data_type.to_string())),
        Expr::TypedString(typed) => type_name(&typed.data_type.to_string()),
        Expr::Case { else_result, .. } => else_result.as_deref().and_then(of).or_else(|| word("case")),
        Expr::Subquery(query) => subquery(query),
        Expr::Exists { .. } => word("exists"),
        Expr::Array(_) => word("array"),
        Expr::Extract { .. } => word("extract"),
        Expr::Substring { .. } => word("substring"),
        Expr::Position { .. } => word("position"),
        Expr::Overlay { .. } => word("overlay"),
        Expr::Trim { .. } => word("btrim"),
        Expr::Ceil { .. } => word("ceil"),
        Expr::Floor { .. } => word("floor"),
        Expr::AtTimeZone { .. } => word("timezone"),
        Expr::Interval(_) => word("interval"),
        _ => None,
    }
}

fn subquery(query: &Query) -> Option<String> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => return select.projection.first().and_then(name).filter(|n| n != NAMELESS),
            SetExpr::Query(query) => body = query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return None,
        }
    }
}

/// A type by the name under which PostgreSQL keeps it.
fn type_name(spelled: &str) -> Option<String> {
    let lower = spelled.to_lowercase();
    let bare = lower.split('(').next().unwrap_or(&lower).trim();
    let kept = match bare {
        "int" | "integer" => "int4",
        "smallint" => "int2",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" | "double" | "float" => "float8",
        "boolean" => "bool",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "char" | "character" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        other => other,
    };
    Some(kept.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;
    use arrow::datatypes::{DataType, Field};

    fn labels(sql: &str) -> (Vec<String>, Vec<String>, String) {
        let mut statement = parse(sql).unwrap();
        let labels = Labels::take(&mut statement);
        (labels.first, labels.last, statement.to_string())
    }

    #[test]
    fn columns_are_named_as_postgresql_names_them() {
        let cases = [
            ("SELECT 1", "?column?"),
            ("SELECT a + 1", "?column?"),
            ("SELECT count(*)", "count"),
            ("SELECT COUNT(DISTINCT a) FILTER (WHERE b)", "count"),
            ("SELECT t.A", "a"),
            ("SELECT t.\"A\"", "A"),
            ("SELECT (a)", "a"),
            ("SELECT 1::bigint", "int8"),
            ("SELECT '1'::numeric(10,2)", "numeric"),
            ("SELECT a::text", "a"),
            ("SELECT DATE '2026-01-01'", "date"),
            ("SELECT CASE WHEN a THEN 1 END", "case"),
            ("SELECT CASE WHEN a THEN 1 ELSE b END", "b"),
            ("SELECT (SELECT max(b) FROM t)", "max"),
            ("SELECT (SELECT 1)", "?column?"),
            ("SELECT EXISTS (SELECT 1)", "exists"),
            ("SELECT extract(year FROM a)", "extract"),
            ("SELECT a AS \"B c\"", "B c"),
            ("SELECT a AS B", "b"),
            ("SELECT -a", "?column?"),
            ("SELECT a UNION ALL SELECT b", "a"),
            ("(SELECT a) ORDER BY 1", "a"),
            ("WITH x AS (SELECT 1) SELECT sum(a) FROM x", "sum"),
        ];
        for (sql, expected) in cases {
            assert_eq!(labels(sql).0, [expected], "{sql}");
        }
    }

    #[test]
    fn only_columns_that_come_twice_are_told_apart() {
        let (names, _, sql) = labels("SELECT a, 1, A, 1, b AS a, t.a FROM t");
        assert_eq!(names, ["a", "?column?", "a", "?column?", "a", "a"]);
        assert_eq!(sql, "SELECT a, 1, A AS \"a:2\", 1 AS \"?column?:3\", b AS \"a:4\", t.a FROM t");
        assert_eq!(labels("SELECT a, b, count(*) FROM t").2, "SELECT a, b, count(*) FROM t");
    }

    #[test]
    fn what_stands_around_a_star_is_named_from_both_ends() {
        let (first, last, sql) = labels("SELECT count(*) OVER (), t.*, a, 2 AS b FROM t");
        assert_eq!((first, last), (vec!["count".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(sql, "SELECT count(*) OVER () AS \"count:0\", t.*, a AS \"a:2\", 2 AS b FROM t");
        let schema = |names: &[&str]| {
            Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
        };
        let labels = Labels { first: vec!["count".into()], last: vec!["a".into(), "b".into()] };
        assert_eq!(labels.apply(schema(&["count:0", "x", "y", "a:2", "b"])), schema(&["count", "x", "y", "a", "b"]));
        assert_eq!(labels.apply(schema(&["x"])), schema(&["x"]), "what does not fit is left alone");
        assert_eq!(self::labels("SELECT a.*, 1, b.*, 2 FROM a, b").1, ["?column?"]);
    }
}
