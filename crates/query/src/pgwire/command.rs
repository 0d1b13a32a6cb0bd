use crate::{Error, engine::parse_all};
use datafusion::sql::{
    parser::Statement,
    resolve::resolve_table_references,
    sqlparser::ast::{Expr, Set, Statement as Sql, Value},
};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use std::sync::Arc;

/// What a client wants.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// Rows.
    Query(Arc<Query>),
    /// A transaction begins. Nothing is written, so it only changes what the client is told.
    Begin,
    /// A transaction ends.
    Commit,
    /// A transaction is given up.
    Rollback,
    /// Back to a savepoint: the transaction goes on.
    RollbackTo,
    /// A session variable gets a value.
    Set(String, String),
    /// A session variable is asked for.
    Show(String),
    /// A prepared statement is forgotten, or all of them.
    Deallocate(Option<String>),
    /// Something that has no effect here, with the words that acknowledge it.
    Nothing(&'static str),
}

/// A statement that returns rows, as written and as PostgreSQL clients' habits are translated.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The statement's text.
    pub sql: String,
    /// As DataFusion's parser reads it, with places for errors.
    pub plain: Option<Statement>,
    /// Rewritten for what clients ask of PostgreSQL's own catalog.
    pub translated: Option<Statement>,
    /// Whether the translation goes first.
    pub catalog: bool,
    /// Parameters, counted from one, that must be lists although nobody says of what.
    pub lists: Vec<usize>,
}

/// Reads what clients send.
#[derive(Debug, Default)]
pub(super) struct Reader {
    translator: PostgresCompatibilityParser,
}

impl Reader {
    /// All commands in a text, in order.
    pub(super) fn read(&self, sql: &str) -> Result<Vec<Command>, Error> {
        match parse_all(sql) {
            Ok(statements) => {
                let alone = statements.len() == 1;
                let text = |s: &Statement| if alone { sql.trim().to_owned() } else { s.to_string() };
                Ok(statements.into_iter().map(|s| self.command(text(&s), s)).collect())
            }
            // Some of what clients send to PostgreSQL's catalog only parses once it is translated.
            Err(error) => match self.translator.parse(sql) {
                Ok(statements) => Ok(statements.into_iter().map(|s| self.only_translated(s)).collect()),
                Err(_) => Err(error),
            },
        }
    }

    fn command(&self, sql: String, statement: Statement) -> Command {
        if let Statement::Reset(_) = statement {
            return Command::Nothing("RESET");
        }
        if let Statement::Statement(inner) = &statement
            && let Some(command) = without_rows(inner)
        {
            return command;
        }
        let translated = match &statement {
            Statement::Statement(_) => self.translator.parse(&sql).ok().filter(|s| s.len() == 1).and_then(|mut s| s.pop()),
            _ => None,
        };
        let translated = translated.map(|s| Statement::Statement(Box::new(s)));
        let catalog = asks_catalog(&statement);
        Command::Query(Arc::new(Query { sql, plain: Some(statement), translated, catalog, lists: Vec::new() }))
    }

    fn only_translated(&self, statement: Sql) -> Command {
        without_rows(&statement).unwrap_or_else(|| {
            let sql = statement.to_string();
            let translated = Some(Statement::Statement(Box::new(statement)));
            Command::Query(Arc::new(Query { sql, plain: None, translated, catalog: true, lists: Vec::new() }))
        })
    }
}

/// Whether a statement reads PostgreSQL's own catalog.
fn asks_catalog(statement: &Statement) -> bool {
    resolve_table_references(statement, true)
        .is_ok_and(|(tables, _)| tables.iter().any(|t| t.schema() == Some("pg_catalog") || t.table().starts_with("pg_")))
}

/// The command that a statement without rows stands for.
fn without_rows(statement: &Sql) -> Option<Command> {
    Some(match statement {
        Sql::StartTransaction { .. } => Command::Begin,
        Sql::Commit { .. } => Command::Commit,
        Sql::Rollback { savepoint: None, .. } => Command::Rollback,
        Sql::Rollback { .. } => Command::RollbackTo,
        Sql::Savepoint { .. } => Command::Nothing("SAVEPOINT"),
        Sql::ReleaseSavepoint { .. } => Command::Nothing("RELEASE"),
        Sql::Set(set) => variable(set),
        Sql::ShowVariable { variable } if !variable.is_empty() => {
            let words: Vec<String> = variable.iter().map(|v| v.value.to_lowercase()).collect();
            match words.join(" ").as_str() {
                "time zone" => Command::Show("timezone".to_owned()),
                "transaction isolation level" => Command::Show("transaction_isolation".to_owned()),
                "all" => return None,
                name => Command::Show(name.replace(' ', ".")),
            }
        }
        Sql::Deallocate { name, .. } if name.value.eq_ignore_ascii_case("all") => Command::Deallocate(None),
        Sql::Deallocate { name, .. } => Command::Deallocate(Some(name.value.clone())),
        Sql::Discard { .. } => Command::Nothing("DISCARD ALL"),
        Sql::Reset(_) => Command::Nothing("RESET"),
        Sql::LISTEN { .. } => Command::Nothing("LISTEN"),
        Sql::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
        Sql::Close { .. } => Command::Nothing("CLOSE CURSOR"),
        _ => return None,
    })
}

fn variable(set: &Set) -> Command {
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let values: Vec<String> = values.iter().map(value).collect();
            Command::Set(variable.to_string().replace('"', "").to_lowercase(), values.join(", "))
        }
        Set::SetTimeZone { value: zone, .. } => Command::Set("timezone".to_owned(), value(zone)),
        Set::SetNames { charset_name, .. } => Command::Set("client_encoding".to_owned(), charset_name.to_string()),
        _ => Command::Nothing("SET"),
    }
}

/// The text of a variable's value, without quotes.
fn value(expr: &Expr) -> String {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) => s.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> String {
        let commands = Reader::default().read(sql).unwrap();
        let show = |c: &Command| match c {
            Command::Query(q) => format!("query({}{})", q.sql, if q.catalog { " catalog" } else { "" }),
            Command::Set(name, value) => format!("set {name}={value}"),
            Command::Show(name) => format!("show {name}"),
            Command::Deallocate(name) => format!("deallocate {name:?}"),
            Command::Nothing(tag) => format!("nothing {tag}"),
            other => format!("{other:?}").to_lowercase(),
        };
        commands.iter().map(show).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn commands_are_told_apart() {
        for (sql, expected) in [
            ("SELECT 1", "query(SELECT 1)"),
            ("BEGIN; SELECT 1; COMMIT", "begin; query(SELECT 1); commit"),
            ("START TRANSACTION READ ONLY", "begin"),
            ("ROLLBACK", "rollback"),
            ("ROLLBACK TO SAVEPOINT a", "rollbackto"),
            ("SET statement_timeout = '5s'", "set statement_timeout=5s"),
            ("SET TIME ZONE 'UTC'", "set timezone=UTC"),
            ("SET search_path TO gold, silver", "set search_path=gold, silver"),
            ("SHOW standard_conforming_strings", "show standard_conforming_strings"),
            ("SHOW TRANSACTION ISOLATION LEVEL", "show transaction_isolation"),
            ("DEALLOCATE ALL", "deallocate None"),
            ("DISCARD ALL", "nothing DISCARD ALL"),
            ("SELECT oid FROM pg_type", "query(SELECT oid FROM pg_type catalog)"),
        ] {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }
}
