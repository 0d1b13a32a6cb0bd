//! The four statements that change rows, brought into one form.

use crate::{
    Error, Kind,
    ddl::{ObjectPath, identifier, path_of},
};
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, Expr, FromTable, Ident, Insert, Merge, MergeAction, MergeClauseKind,
    MergeInsertKind, OnConflictAction, OnInsert, Query, SetExpr, Statement as Sql, TableFactor, TableObject, TableWithJoins,
    Update, UpdateTableFromKind, With,
};

/// A statement that changes rows of one table.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    /// The table.
    pub name: ObjectPath,
    /// The words that acknowledge it.
    pub tag: &'static str,
    /// What the statement calls the table, where that is not its name.
    pub(super) alias: Option<Ident>,
    /// `WITH` before the statement.
    pub(super) with: Option<With>,
    pub(super) source: Source,
    /// What happens to a row: the first branch that fits.
    pub(super) branches: Vec<Branch>,
    /// Whether it is an error that two rows of the source want to change one row of the table.
    pub once: bool,
}

/// What there is beside the table.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Tables after USING or FROM, and WHERE.
    Beside(Vec<TableWithJoins>, Option<Box<Expr>>),
    /// The source of a MERGE, and ON.
    Merged(Box<TableFactor>, Box<Expr>),
    /// The rows of an INSERT, their columns, and the columns after ON CONFLICT.
    Excluded(Box<Query>, Vec<String>, Option<Vec<String>>),
}

#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub when: When,
    pub condition: Option<Expr>,
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Matched,
    NotMatched,
    NotMatchedBySource,
    /// A row of an INSERT whose key an earlier one has too.
    Repeated,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Delete,
    /// New values by column.
    Update(Vec<(String, Expr)>),
    /// Columns, all where none is named, and their values.
    Insert(Vec<String>, Vec<Expr>),
    /// The row of `excluded` as it is.
    InsertExcluded,
    Nothing,
    /// An error.
    Refuse,
}

/// The statement as one that changes rows; none for all others.
///
/// # Errors
/// [`Kind::Unsupported`] where it asks for more than lakebox does.
pub(crate) fn row_change(statement: &Sql) -> Result<Option<RowChange>, Error> {
    Ok(Some(match statement {
        Sql::Delete(delete) => of_delete(delete)?,
        Sql::Update(update) => of_update(update)?,
        Sql::Merge(merge) => of_merge(merge)?,
        Sql::Insert(insert) if insert.on.is_some() => of_insert(insert)?,
        Sql::Query(query) => match query.body.as_ref() {
            SetExpr::Delete(inner) | SetExpr::Update(inner) | SetExpr::Merge(inner) | SetExpr::Insert(inner) => {
                let Some(mut change) = row_change(inner)? else { return Ok(None) };
                change.with.clone_from(&query.with);
                change
            }
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{what} is not possible here"))
}

/// The table of a statement and what it is called there.
fn target(factor: &TableFactor) -> Result<(ObjectPath, Option<Ident>), Error> {
    match factor {
        TableFactor::Table { name, alias, args: None, version: None, sample: None, .. } => {
            if alias.as_ref().is_some_and(|a| !a.columns.is_empty()) {
                return Err(unsupported("an alias with columns for the table that is changed"));
            }
            Ok((path_of(name)?, alias.as_ref().map(|a| a.name.clone())))
        }
        other => Err(Error::new(Kind::Invalid, format!("`{other}` is no table whose rows can be changed"))),
    }
}

fn alone(table: &TableWithJoins) -> Result<(ObjectPath, Option<Ident>), Error> {
    if !table.joins.is_empty() {
        return Err(unsupported("a join as the table that is changed").with_hint("Name the other tables after FROM or USING."));
    }
    target(&table.relation)
}

fn of_delete(delete: &Delete) -> Result<RowChange, Error> {
    let Delete { from, using, selection, returning, order_by, limit, tables, .. } = delete;
    if returning.is_some() || !order_by.is_empty() || limit.is_some() || !tables.is_empty() {
        return Err(unsupported("DELETE with RETURNING, ORDER BY or LIMIT"));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
    let [table] = from.as_slice() else { return Err(unsupported("DELETE from several tables")) };
    let (name, alias) = alone(table)?;
    Ok(RowChange {
        name,
        tag: "DELETE",
        alias,
        with: None,
        source: Source::Beside(using.clone().unwrap_or_default(), selection.clone().map(Box::new)),
        branches: vec![Branch { when: When::Matched, condition: None, action: Action::Delete }],
        once: false,
    })
}

fn of_update(update: &Update) -> Result<RowChange, Error> {
    let Update { table, assignments, from, selection, returning, or, order_by, limit, .. } = update;
    if returning.is_some() || or.is_some() || !order_by.is_empty() || limit.is_some() {
        return Err(unsupported("UPDATE with RETURNING, OR, ORDER BY or LIMIT"));
    }
    let (name, alias) = alone(table)?;
    let from = match from {
        Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) => from.clone(),
        None => Vec::new(),
    };
    let action = Action::Update(assigned(assignments)?);
    Ok(RowChange {
        name,
        tag: "UPDATE",
        alias,
        with: None,
        source: Source::Beside(from, selection.clone().map(Box::new)),
        branches: vec![Branch { when: When::Matched, condition: None, action }],
        once: false,
    })
}

fn of_merge(merge: &Merge) -> Result<RowChange, Error> {
    if merge.output.is_some() {
        return Err(unsupported("MERGE with OUTPUT or RETURNING"));
    }
    let (name, alias) = target(&merge.table)?;
    let mut branches = Vec::with_capacity(merge.clauses.len());
    for clause in &merge.clauses {
        let when = match clause.clause_kind {
            MergeClauseKind::Matched => When::Matched,
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => When::NotMatched,
            MergeClauseKind::NotMatchedBySource => When::NotMatchedBySource,
        };
        let action = match &clause.action {
            MergeAction::Delete { .. } => Action::Delete,
            MergeAction::Update(update) if update.update_predicate.is_none() && update.delete_predicate.is_none() => {
                Action::Update(assigned(&update.assignments)?)
            }
            MergeAction::Insert(insert) if insert.insert_predicate.is_none() => {
                let columns = insert.columns.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
                let MergeInsertKind::Values(values) = &insert.kind else { return Err(unsupported("MERGE … INSERT ROW")) };
                let [row] = values.rows.as_slice() else { return Err(unsupported("MERGE … INSERT of several rows")) };
                Action::Insert(columns.into_iter().map(|c| c.name).collect(), row.content.clone())
            }
            _ => return Err(unsupported("MERGE with WHERE after its action").with_hint("Write WHEN … AND condition THEN.")),
        };
        if matches!(action, Action::Insert(..)) != (when == When::NotMatched) {
            let message = "INSERT goes with WHEN NOT MATCHED, UPDATE and DELETE with WHEN MATCHED and WHEN NOT MATCHED BY SOURCE";
            return Err(Error::new(Kind::Syntax, message));
        }
        branches.push(Branch { when, condition: clause.predicate.clone(), action });
    }
    Ok(RowChange {
        name,
        tag: "MERGE",
        alias,
        with: None,
        source: Source::Merged(Box::new(merge.source.clone()), merge.on.clone()),
        branches,
        once: true,
    })
}

fn of_insert(insert: &Insert) -> Result<RowChange, Error> {
    let (TableObject::TableName(name), Some(OnInsert::OnConflict(conflict))) = (&insert.table, &insert.on) else {
        return Err(unsupported("INSERT … ON DUPLICATE KEY").with_hint("Write ON CONFLICT (key) DO UPDATE SET …"));
    };
    if insert.returning.is_some() {
        return Err(unsupported("INSERT with RETURNING"));
    }
    let Some(query) = insert.source.clone() else { return Err(unsupported("INSERT of default values")) };
    let key = match &conflict.conflict_target {
        None => None,
        Some(ConflictTarget::Columns(columns)) => Some(columns.iter().map(identifier).collect()),
        Some(ConflictTarget::OnConstraint(_)) => return Err(unsupported("ON CONFLICT ON CONSTRAINT")),
    };
    let insert_new = || Branch { when: When::NotMatched, condition: None, action: Action::InsertExcluded };
    let branches = match &conflict.action {
        OnConflictAction::DoNothing => {
            vec![Branch { when: When::Repeated, condition: None, action: Action::Nothing }, insert_new()]
        }
        OnConflictAction::DoUpdate(update) => {
            let action = Action::Update(assigned(&update.assignments)?);
            vec![
                Branch { when: When::Repeated, condition: None, action: Action::Refuse },
                Branch { when: When::Matched, condition: update.selection.clone(), action },
                insert_new(),
            ]
        }
    };
    let columns = insert.columns.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
    Ok(RowChange {
        name: path_of(name)?,
        tag: "INSERT 0",
        alias: insert.table_alias.as_ref().map(|a| a.alias.clone()),
        with: None,
        source: Source::Excluded(query, columns.into_iter().map(|c| c.name).collect(), key),
        branches,
        once: true,
    })
}

/// Columns and their new values.
fn assigned(assignments: &[Assignment]) -> Result<Vec<(String, Expr)>, Error> {
    let mut out: Vec<(String, Expr)> = Vec::with_capacity(assignments.len());
    for Assignment { target, value } in assignments {
        let pairs: Vec<(String, Expr)> = match (target, value) {
            (AssignmentTarget::ColumnName(name), value) => vec![(path_of(name)?.name, value.clone())],
            (AssignmentTarget::Tuple(names), Expr::Tuple(values)) if names.len() == values.len() => {
                let names = names.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
                names.into_iter().map(|n| n.name).zip(values.iter().cloned()).collect()
            }
            _ => return Err(unsupported("several columns set from one value").with_hint("Set each column by itself.")),
        };
        for (column, value) in pairs {
            if out.iter().any(|(name, _)| *name == column) {
                return Err(Error::new(Kind::Invalid, format!("column \"{column}\" is set more than once")));
            }
            out.push((column, value));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;
    use datafusion::sql::parser::Statement;

    fn read(sql: &str) -> Result<Option<RowChange>, Error> {
        match parse(sql)? {
            Statement::Statement(sql) => row_change(&sql),
            _ => Ok(None),
        }
    }

    #[test]
    fn statements_that_change_rows_are_known() {
        for (sql, tag, branches) in [
            ("delete from a.t", "DELETE", 1),
            ("delete from a.t as x using b where x.id = b.id", "DELETE", 1),
            ("update a.t set n = n + 1, m = default where id = $1", "UPDATE", 1),
            ("with s as (select 1 as id) update a.t set n = 2 from s where s.id = t.id", "UPDATE", 1),
            (
                "merge into a.t using s on t.id = s.id when matched then delete when not matched then insert values (s.id)",
                "MERGE",
                2,
            ),
            ("insert into a.t values (1) on conflict (id) do nothing", "INSERT 0", 2),
            ("insert into a.t values (1) on conflict (id) do update set n = excluded.n", "INSERT 0", 3),
        ] {
            let change = read(sql).unwrap().unwrap_or_else(|| panic!("{sql}"));
            assert_eq!((change.tag, change.branches.len()), (tag, branches), "{sql}");
        }
        assert!(read("insert into a.t values (1)").unwrap().is_none() && read("select 1").unwrap().is_none());
    }

    #[test]
    fn what_can_not_be_done_is_said() {
        for (sql, kind) in [
            ("delete from a.t returning id", Kind::Unsupported),
            ("update a.t set n = 1, n = 2", Kind::Invalid),
            ("merge into a.t using s on true when matched then insert values (1)", Kind::Syntax),
            ("insert into a.t values (1) on conflict on constraint c do nothing", Kind::Unsupported),
        ] {
            assert_eq!(read(sql).unwrap_err().kind, kind, "{sql}");
        }
    }
}
