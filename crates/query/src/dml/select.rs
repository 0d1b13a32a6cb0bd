//! The query whose rows say what happens to a table.

use super::statement::{Action, Branch, RowChange, Source, When};
use crate::{
    Error, Kind,
    engine::parse,
    provider::{FILE, LOCATED, ROW},
    sql_types::sql_type_name,
};
use arrow::datatypes::{Field, Schema};
use datafusion::sql::{
    parser::Statement,
    sqlparser::ast::{
        BinaryOperator, CaseWhen, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
        SelectItem, SetExpr, Statement as Sql, TableFactor, TableWithJoins, Value, helpers::attached_token::AttachedToken,
        visit_expressions_mut,
    },
};
use model::LakeTable;
use std::ops::ControlFlow;

/// Marks rows of a source, so that those are known that have none.
const GIVEN: &str = "\u{0}given";
/// Counts the rows of an INSERT that have one key.
const NTH: &str = "\u{0}nth";
/// What PostgreSQL calls the rows of an INSERT … ON CONFLICT.
const EXCLUDED: &str = "excluded";

/// A query with the columns: file, row in it, branch, and then values. All three are NULL where there is nothing of the kind.
#[derive(Debug)]
pub(crate) struct Selection {
    pub query: Query,
    /// What each branch does.
    pub effects: Vec<Effect>,
}

/// What happens to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// It is an error.
    Refuse,
    Delete,
    /// It goes, and one comes whose values are at these places of the query's row; NULL where there is none.
    Update(Vec<Option<usize>>),
    /// One comes.
    Insert(Vec<Option<usize>>),
}

/// The query of a change to `table`, which has these columns and this key.
///
/// # Errors
/// [`Kind::UnknownColumn`] and [`Kind::Invalid`] where the statement does not fit the table.
pub(crate) fn select(change: &RowChange, table: &LakeTable, columns: &Schema, key: &[String]) -> Result<Selection, Error> {
    let builder = Builder {
        columns,
        called: quoted(change.alias.as_ref().map_or(table.name.as_str(), |a| a.value.as_str()), change.alias.as_ref()),
        schema: change.alias.is_none().then(|| table.layer.as_str().to_owned()),
        source: None,
        items: Vec::new(),
    };
    builder.build(change, table, key)
}

struct Builder<'a> {
    columns: &'a Schema,
    /// What the statement calls the table.
    called: Ident,
    /// The table's schema, by which columns may be named where the table has no alias.
    schema: Option<String>,
    /// What the statement calls the source.
    source: Option<Ident>,
    /// The query's columns.
    items: Vec<Expr>,
}

fn ident(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// An identifier that stands for `name` whether or not it was written in quotes.
fn quoted(name: &str, written: Option<&Ident>) -> Ident {
    match written {
        Some(ident) if ident.quote_style.is_none() => Ident::with_quote('"', name.to_lowercase()),
        _ => Ident::with_quote('"', name),
    }
}

fn of(table: &Ident, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), ident(column)])
}

fn number(n: usize) -> Expr {
    Expr::value(Value::Number(n.to_string(), false))
}

fn both(left: Expr, right: Expr) -> Expr {
    let nested = |e| Expr::Nested(Box::new(e));
    Expr::BinaryOp { left: Box::new(nested(left)), op: BinaryOperator::And, right: Box::new(nested(right)) }
}

fn case(arms: Vec<(Expr, Expr)>) -> Expr {
    let conditions = arms.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect();
    let (case_token, end_token) = (AttachedToken::empty(), AttachedToken::empty());
    Expr::Case { case_token, end_token, operand: None, conditions, else_result: None }
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

/// A query of text, to be filled in.
fn template(sql: &str) -> Result<Query, Error> {
    match parse(sql)? {
        Statement::Statement(statement) => match *statement {
            Sql::Query(query) => Ok(*query),
            _ => Err(broken()),
        },
        _ => Err(broken()),
    }
}

fn broken() -> Error {
    Error::new(Kind::Internal, "the query of a change can't be built")
}

fn select_of(query: &mut Query) -> Result<&mut Select, Error> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Ok(select),
        _ => Err(broken()),
    }
}

/// The first table of a template.
fn factor(mut query: Query) -> Result<TableFactor, Error> {
    let from = std::mem::take(&mut select_of(&mut query)?.from);
    from.into_iter().next().map(|t| t.relation).ok_or_else(broken)
}

/// `value`, cast to the column's type where it is a parameter, as which clients then learn it.
///
/// # Errors
/// None that a caller could mend.
pub(crate) fn cast_parameter(value: Expr, field: &Field) -> Result<Expr, Error> {
    if !matches!(&value, Expr::Value(v) if matches!(v.value, Value::Placeholder(_))) {
        return Ok(value);
    }
    let mut cast = template(&format!("SELECT CAST({value} AS {})", sql_type_name(field.data_type())))?;
    match std::mem::take(&mut select_of(&mut cast)?.projection).into_iter().next() {
        Some(SelectItem::UnnamedExpr(cast)) => Ok(cast),
        _ => Ok(value),
    }
}

impl Builder<'_> {
    fn build(mut self, change: &RowChange, table: &LakeTable, key: &[String]) -> Result<Selection, Error> {
        let mut query = template("SELECT 1")?;
        query.with.clone_from(&change.with);
        let from = self.from(change, table, key)?;
        let mut selection = match &change.source {
            Source::Beside(_, selection) => selection.as_deref().cloned(),
            _ => None,
        };
        if let Some(selection) = &mut selection {
            self.own_names(selection, false);
        }
        self.items = vec![of(&self.called, FILE), of(&self.called, ROW)];
        let plain = matches!(change.source, Source::Beside(..));
        let conditions = change.branches.iter().map(|b| self.condition(b)).collect::<Result<Vec<_>, _>>()?;
        let branch = match plain {
            true => number(0),
            false => case(conditions.iter().cloned().zip((0..).map(number)).collect()),
        };
        self.items.push(branch);
        let conditions = (!plain).then_some(conditions);
        let mut effects = Vec::with_capacity(change.branches.len());
        for (i, branch) in change.branches.iter().enumerate() {
            effects.push(self.effect(branch, i, conditions.as_deref(), change)?);
        }
        let select = select_of(&mut query)?;
        select.from = from;
        select.selection = selection;
        let items = std::mem::take(&mut self.items).into_iter().enumerate();
        select.projection =
            items.map(|(i, expr)| SelectItem::ExprWithAlias { expr, alias: ident(&format!("\u{0}{i}")) }).collect();
        Ok(Selection { query, effects })
    }

    /// What the query reads: the table with the places of its rows, and the source.
    fn from(&mut self, change: &RowChange, table: &LakeTable, key: &[String]) -> Result<Vec<TableWithJoins>, Error> {
        let mut target = factor(template("SELECT 1 FROM a AS b")?)?;
        if let TableFactor::Table { name, alias, .. } = &mut target {
            let parts = [table.layer.as_str().to_owned(), format!("{}{LOCATED}", table.name)];
            *name = ObjectName(parts.iter().map(|p| ObjectNamePart::Identifier(ident(p))).collect());
            if let Some(alias) = alias {
                alias.name = self.called.clone();
            }
        }
        let is = |when: When| change.branches.iter().any(|b| b.when == when);
        let (source, on) = match &change.source {
            Source::Beside(beside, _) => {
                let mut from = vec![TableWithJoins { relation: target, joins: Vec::new() }];
                from.extend(beside.iter().cloned());
                return Ok(from);
            }
            Source::Merged(source, on) => {
                let mut on = on.as_ref().clone();
                self.own_names(&mut on, false);
                (self.merged(source, is(When::NotMatchedBySource))?, on)
            }
            Source::Excluded(query, columns, wanted) => self.excluded(query, columns, wanted.as_deref(), key)?,
        };
        let on = JoinConstraint::On(on);
        let join_operator = match (is(When::NotMatched), is(When::NotMatchedBySource)) {
            (false, false) => JoinOperator::Inner(on),
            (true, false) => JoinOperator::Right(on),
            (false, true) => JoinOperator::Left(on),
            (true, true) => JoinOperator::FullOuter(on),
        };
        Ok(vec![TableWithJoins { relation: target, joins: vec![Join { relation: source, global: false, join_operator }] }])
    }

    /// The source of a MERGE; where rows without one are asked for, with a mark on each of its rows.
    fn merged(&mut self, source: &TableFactor, marked: bool) -> Result<TableFactor, Error> {
        if !marked {
            return Ok(source.clone());
        }
        let (TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. }) = source else {
            return Err(Error::new(
                Kind::Unsupported,
                "the source of a MERGE … BY SOURCE must be a table or a query in parentheses",
            ));
        };
        let name = match (alias, source) {
            (Some(alias), _) => quoted(&alias.name.value, Some(&alias.name)),
            (None, TableFactor::Table { name, .. }) => {
                let last = name.0.last().and_then(|p| p.as_ident()).ok_or_else(broken)?;
                quoted(&last.value, Some(last))
            }
            _ => return Err(Error::new(Kind::Invalid, "the source of a MERGE needs an alias")),
        };
        let mut wrapped = factor(template(&format!("SELECT 1 FROM (SELECT *, TRUE AS \"{GIVEN}\" FROM a) AS b"))?)?;
        if let TableFactor::Derived { subquery, alias: Some(alias), .. } = &mut wrapped {
            select_of(subquery)?.from = vec![TableWithJoins { relation: source.clone(), joins: Vec::new() }];
            alias.name = name.clone();
        }
        self.source = Some(name);
        Ok(wrapped)
    }

    /// The rows of an INSERT as the table `excluded`, and by what they find the rows that are there.
    fn excluded(
        &mut self,
        query: &Query,
        columns: &[String],
        wanted: Option<&[String]>,
        key: &[String],
    ) -> Result<(TableFactor, Expr), Error> {
        let mut sorted = (key.to_vec(), wanted.unwrap_or(key).to_vec());
        sorted.0.sort();
        sorted.1.sort();
        if key.is_empty() || sorted.0 != sorted.1 {
            return Err(Error::new(
                Kind::Invalid,
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            )
            .with_hint(match key {
                [] => "Declare a PRIMARY KEY when the table is made, or use MERGE.".to_owned(),
                key => format!("The key of the table is ({}).", key.join(", ")),
            }));
        }
        let names: Vec<String> = match columns {
            [] => self.columns.fields().iter().map(|f| f.name().clone()).take(width(query).unwrap_or(usize::MAX)).collect(),
            columns => columns.to_vec(),
        };
        for name in &names {
            self.field(name)?;
        }
        if let Some(missing) = key.iter().find(|k| !names.contains(k)) {
            return Err(Error::new(Kind::Invalid, format!("column {missing} must not be NULL: it is part of the key")));
        }
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
        let text = format!(
            "SELECT 1 FROM (SELECT *, row_number() OVER (PARTITION BY {}) AS \"{NTH}\" FROM (SELECT 1) AS {EXCLUDED} ({})) AS {EXCLUDED}",
            list(key),
            list(&names)
        );
        let mut outer = factor(template(&text)?)?;
        if let TableFactor::Derived { subquery, .. } = &mut outer
            && let Some(TableWithJoins { relation: TableFactor::Derived { subquery, .. }, .. }) =
                select_of(subquery)?.from.first_mut()
        {
            **subquery = self.typed(query, &names)?;
        }
        let excluded = ident(EXCLUDED);
        self.source = Some(excluded.clone());
        let mut pairs = key.iter().map(|k| Expr::BinaryOp {
            left: Box::new(of(&self.called, k)),
            op: BinaryOperator::Eq,
            right: Box::new(of(&excluded, k)),
        });
        let first = pairs.next().ok_or_else(broken)?;
        Ok((outer, pairs.fold(first, both)))
    }

    /// The rows of an INSERT, with the types of their columns where they are parameters.
    fn typed(&self, query: &Query, names: &[String]) -> Result<Query, Error> {
        let mut query = query.clone();
        if let SetExpr::Values(values) = query.body.as_mut() {
            for row in &mut values.rows {
                for (expr, name) in row.content.iter_mut().zip(names) {
                    *expr = cast_parameter(without_default(expr.clone()), self.field(name)?)?;
                }
            }
        }
        Ok(query)
    }

    fn field(&self, name: &str) -> Result<&Field, Error> {
        let missing = |_| {
            let known: Vec<&str> = self.columns.fields().iter().map(|f| f.name().as_str()).collect();
            let error = Error::new(Kind::UnknownColumn, format!("column \"{name}\" does not exist in the table"));
            match crate::error::nearest(name, known.iter().copied()) {
                Some(near) => error.with_hint(format!("Did you mean `{near}`?")),
                None => error,
            }
        };
        self.columns.field_with_name(name).map_err(missing)
    }

    /// When a branch fits, earlier ones aside.
    fn condition(&self, branch: &Branch) -> Result<Expr, Error> {
        let there =
            |negated: bool, expr: Expr| if negated { Expr::IsNull(Box::new(expr)) } else { Expr::IsNotNull(Box::new(expr)) };
        let row = |negated| there(negated, of(&self.called, ROW));
        let given = self.source.as_ref().map(|source| of(source, GIVEN));
        let by_source = given.filter(|_| self.source.as_ref().is_some_and(|s| s.value != EXCLUDED));
        let fits = match branch.when {
            When::Matched => match by_source {
                Some(given) => both(row(false), there(false, given)),
                None => row(false),
            },
            When::NotMatched => row(true),
            When::NotMatchedBySource => there(true, by_source.ok_or_else(broken)?),
            When::Repeated => Expr::BinaryOp {
                left: Box::new(of(self.source.as_ref().ok_or_else(broken)?, NTH)),
                op: BinaryOperator::Gt,
                right: Box::new(number(1)),
            },
        };
        Ok(match &branch.condition {
            None => fits,
            Some(condition) => {
                // It is asked once for the branch and once for each value.
                if is_volatile(condition) {
                    return Err(Error::new(Kind::Unsupported, format!("`{condition}` can't decide what happens to a row"))
                        .with_hint("Compute it in the source of the MERGE, as a column."));
                }
                let mut condition = condition.clone();
                self.own_names(&mut condition, self.is_upsert());
                both(fits, condition)
            }
        })
    }

    fn is_upsert(&self) -> bool {
        self.source.as_ref().is_some_and(|s| s.value == EXCLUDED)
    }

    /// What a branch does; its values become columns of the query.
    fn effect(&mut self, branch: &Branch, at: usize, conditions: Option<&[Expr]>, change: &RowChange) -> Result<Effect, Error> {
        Ok(match &branch.action {
            Action::Nothing => Effect::Nothing,
            Action::Refuse => Effect::Refuse,
            Action::Delete => Effect::Delete,
            Action::Update(values) => {
                for (name, _) in values {
                    self.field(name)?;
                }
                let fields = self.columns.fields().clone();
                let mut places = Vec::with_capacity(fields.len());
                for field in &fields {
                    let item = match values.iter().find(|(name, _)| name == field.name()) {
                        Some((_, value)) => self.value(value, field, at, conditions)?,
                        None => of(&self.called, field.name()),
                    };
                    places.push(Some(self.item(item)));
                }
                Effect::Update(places)
            }
            Action::Insert(columns, values) => {
                let mut places = crate::ddl::places(self.columns, columns, values.len())?;
                let fields = self.columns.fields().clone();
                for (field, place) in fields.iter().zip(&mut places) {
                    if let Some(value) = place.and_then(|i| values.get(i)) {
                        let item = self.value(value, field, at, conditions)?;
                        *place = Some(self.item(item));
                    }
                }
                Effect::Insert(places)
            }
            Action::InsertExcluded => {
                let Source::Excluded(query, columns, _) = &change.source else { return Err(broken()) };
                let given = if columns.is_empty() { width(query).unwrap_or(usize::MAX) } else { usize::MAX };
                let source = self.source.clone().ok_or_else(broken)?;
                let fields = self.columns.fields().clone();
                let named = |i: usize, name: &String| if columns.is_empty() { i < given } else { columns.contains(name) };
                let places = fields
                    .iter()
                    .enumerate()
                    .map(|(i, field)| named(i, field.name()).then(|| self.item(of(&source, field.name()))));
                Effect::Insert(places.collect())
            }
        })
    }

    /// Where a value is among the query's columns.
    fn item(&mut self, item: Expr) -> usize {
        // A column is read once; what is computed may come out differently each time.
        let known = self.items.iter().position(|i| matches!(i, Expr::CompoundIdentifier(_)) && *i == item);
        if let Some(known) = known {
            return known;
        }
        self.items.push(item);
        self.items.len() - 1
    }

    /// A new value, computed for rows of its branch alone.
    fn value(&self, value: &Expr, field: &Field, at: usize, conditions: Option<&[Expr]>) -> Result<Expr, Error> {
        let mut value = cast_parameter(without_default(value.clone()), field)?;
        self.own_names(&mut value, self.is_upsert());
        let Some(conditions) = conditions else { return Ok(value) };
        let earlier = conditions.iter().take(at).map(|c| (c.clone(), null()));
        let own = conditions.get(at).map(|c| (c.clone(), value));
        Ok(case(earlier.chain(own).collect()))
    }

    /// Columns that are named with the table's schema (`schema.table.column`) lose it, because the query calls the table by its name alone. With
    /// `bare`, names without a table are the table's own.
    fn own_names(&self, expr: &mut Expr, bare: bool) {
        let same = |ident: &Ident, name: &str| match ident.quote_style {
            Some(_) => ident.value == name,
            None => ident.value.eq_ignore_ascii_case(name),
        };
        let bare = bare && !holds_query(expr);
        let _ = visit_expressions_mut(expr, |expr| {
            if let Expr::CompoundIdentifier(parts) = expr
                && let ([schema, table, _], Some(name)) = (parts.as_slice(), &self.schema)
                && same(schema, name)
                && same(table, &self.called.value)
            {
                parts.remove(0);
            }
            if let Expr::Identifier(column) = expr
                && bare
                && self.columns.fields().iter().any(|f| same(column, f.name()))
            {
                *expr = Expr::CompoundIdentifier(vec![self.called.clone(), column.clone()]);
            }
            ControlFlow::<()>::Continue(())
        });
    }
}

/// `DEFAULT` as the NULL that it stands for: columns have no other default.
fn without_default(value: Expr) -> Expr {
    match &value {
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") => null(),
        _ => value,
    }
}

fn holds_query(expr: &Expr) -> bool {
    let mut copy = expr.clone();
    visit_expressions_mut(&mut copy, |e| match e {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Whether an expression is another one each time it is asked.
fn is_volatile(expr: &Expr) -> bool {
    let mut copy = expr.clone();
    visit_expressions_mut(&mut copy, |e| match e {
        Expr::Function(f) if ["random", "uuid", "gen_random_uuid"].contains(&f.name.to_string().to_lowercase().as_str()) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// How many columns the rows of an INSERT have, where they are written out.
fn width(query: &Query) -> Option<usize> {
    match query.body.as_ref() {
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        SetExpr::Select(select)
            if !select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))) =>
        {
            Some(select.projection.len())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dml::row_change;
    use arrow::datatypes::DataType;

    fn built(sql: &str) -> Result<Selection, Error> {
        let columns = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("n", DataType::Int64, true)]);
        let Statement::Statement(statement) = parse(sql)? else { return Err(broken()) };
        let change = row_change(&statement)?.ok_or_else(broken)?;
        select(&change, &"a.t".parse().unwrap(), &columns, &["id".to_owned()])
    }

    fn text(sql: &str) -> String {
        built(sql).unwrap().query.to_string().replace('\u{0}', "$")
    }

    #[test]
    fn each_statement_becomes_a_query_over_the_table_and_its_source() {
        for (sql, expected) in [
            (
                "delete from a.t where n > 1",
                r#"SELECT "t"."$file" AS "$0", "t"."$row" AS "$1", 0 AS "$2" FROM "a"."t$located" AS "t" WHERE n > 1"#,
            ),
            (
                "update a.t set n = a.t.n + $1 from s where t.id = s.id",
                r#"SELECT "t"."$file" AS "$0", "t"."$row" AS "$1", 0 AS "$2", "t"."id" AS "$3", t.n + $1 AS "$4" FROM "a"."t$located" AS "t", s WHERE t.id = s.id"#,
            ),
            (
                "update a.t as x set n = $1",
                r#"SELECT "x"."$file" AS "$0", "x"."$row" AS "$1", 0 AS "$2", "x"."id" AS "$3", CAST($1 AS BIGINT) AS "$4" FROM "a"."t$located" AS "x""#,
            ),
        ] {
            assert_eq!(text(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_join_of_a_merge_keeps_the_rows_that_its_branches_are_about() {
        for (branches, join) in [
            ("when matched then delete", "INNER JOIN"),
            ("when not matched then insert values (s.id, 1)", "RIGHT JOIN"),
            ("when not matched by source then delete", "LEFT JOIN"),
            ("when not matched by source then delete when not matched then insert (id) values (s.id)", "FULL JOIN"),
        ] {
            let sql = format!("merge into a.t using s on t.id = s.id {branches}");
            assert!(text(&sql).contains(&format!(" {join} ")), "{}", text(&sql));
        }
        let both = built("merge into a.t using s on t.id = s.id when not matched by source then delete").unwrap();
        let SetExpr::Select(select) = both.query.body.as_ref() else { panic!("no select") };
        let TableFactor::Derived { alias: Some(alias), .. } = &select.from[0].joins[0].relation else { panic!("no query") };
        assert_eq!(alias.name.value, "s");
    }

    #[test]
    fn an_upsert_finds_rows_by_the_key_and_needs_one() {
        let sql = "insert into a.t values (1, 2) on conflict (id) do update set n = n + excluded.n where t.n < 5";
        let selection = built(sql).unwrap();
        assert_eq!(selection.effects.len(), 3);
        assert!(matches!(&selection.effects[2], Effect::Insert(places) if places.iter().all(Option::is_some)));
        let text = text(sql);
        assert!(text.contains(r#"RIGHT JOIN (SELECT *, row_number() OVER (PARTITION BY "id")"#), "{text}");
        assert!(text.contains(r#""t".n + excluded.n"#), "{text}");
        let wrong = built("insert into a.t values (1, 2) on conflict (n) do nothing").unwrap_err();
        assert!(wrong.message.contains("no unique or exclusion constraint"), "{wrong}");
        assert_eq!(built("update a.t set x = 1").unwrap_err().kind, Kind::UnknownColumn);
    }
}
