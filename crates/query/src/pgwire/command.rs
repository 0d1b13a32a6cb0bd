use super::{
    copy::{Copy, read_copy},
    session::{Who, argument},
    translate::{function_name, translated, with_session},
};
use crate::{
    Error, Kind,
    ddl::{Ddl, ddl_of},
    engine::parse_all,
};
use datafusion::sql::{
    parser::Statement,
    resolve::resolve_table_references,
    sqlparser::ast::{CloseCursor, Expr, FetchDirection, Ident, SelectItem, Set, SetExpr, Statement as Sql, Value},
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
    /// A place in a transaction that it can go back to.
    Savepoint(String),
    /// Back to a savepoint: the transaction goes on.
    RollbackTo(String),
    /// Something is made or changed; with the text of the statement.
    Ddl(Arc<(Ddl, String)>),
    /// Rows come or go in bulk.
    Copy(Arc<Copy>),
    /// `SELECT set_config(…)`: a variable gets a value, and the value is the answer.
    SetConfig(String, String),
    /// A variable, or all, get back the values they started with.
    Reset(Option<String>),
    /// A session variable gets a value.
    Set(String, String),
    /// A session variable is asked for.
    Show(String),
    /// A prepared statement is forgotten, or all of them.
    Deallocate(Option<String>),
    /// A query starts whose rows are fetched in portions.
    Declare(Declare),
    /// The next rows of a cursor.
    Fetch(Fetch),
    /// A cursor is closed, or all of them.
    Close(Option<String>),
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

/// A cursor to be opened.
#[derive(Debug, Clone)]
pub(super) struct Declare {
    pub name: String,
    /// Outlives its transaction.
    pub hold: bool,
    /// Its rows go out in binary form.
    pub binary: bool,
    pub query: Arc<Query>,
}

/// A portion of a cursor's rows.
#[derive(Debug, Clone)]
pub(super) struct Fetch {
    pub name: String,
    /// How many rows; all that are left without it.
    pub most: Option<usize>,
    /// They are left out instead of sent.
    pub moves: bool,
}

/// Reads what clients send.
#[derive(Debug, Default)]
pub(super) struct Reader {
    translator: PostgresCompatibilityParser,
}

impl Reader {
    /// All commands in a text, in order. What depends on the session is settled here.
    pub(super) fn read(&self, sql: &str, who: &Who) -> Result<Vec<Command>, Error> {
        if first_word(sql).eq_ignore_ascii_case("copy") {
            return Ok(vec![self.copy(sql, who)?]);
        }
        // The parser knows ALTER VIEW only with a query; a table is renamed in the same words.
        let sql = &renamed_view(sql);
        match parse_all(sql) {
            Ok(statements) => {
                let alone = statements.len() == 1;
                let text = |s: &Statement| if alone { sql.trim().to_owned() } else { s.to_string() };
                statements.into_iter().map(|s| self.command(text(&s), s, who)).collect()
            }
            // The parser knows FETCH and not MOVE, which differ in nothing else.
            Err(_) if first_word(sql).eq_ignore_ascii_case("move") => {
                let at = sql.len() - sql.trim_start().len();
                let mut commands = self.read(&format!("{}FETCH{}", &sql[..at], &sql[at + 4..]), who)?;
                if let [Command::Fetch(fetch), ..] = commands.as_mut_slice() {
                    fetch.moves = true;
                }
                Ok(commands)
            }
            // Some of what clients send to PostgreSQL's catalog only parses once it is translated.
            Err(error) => match self.translator.parse(sql) {
                Ok(statements) => Ok(statements.into_iter().map(|s| self.only_translated(s)).collect()),
                Err(_) => Err(error),
            },
        }
    }

    fn command(&self, sql: String, statement: Statement, who: &Who) -> Result<Command, Error> {
        if let Statement::Reset(reset) = &statement {
            let text = reset.to_string().to_lowercase();
            let name = text.trim_start_matches("reset").trim();
            return Ok(Command::Reset((name != "all").then(|| name.to_owned())));
        }
        if let Statement::Statement(inner) = &statement {
            if let Some(command) = self.of_cursors(inner, who)? {
                return Ok(command);
            }
            if let Some(command) = without_rows(inner) {
                return Ok(command);
            }
            if let Some(ddl) = ddl_of(inner)? {
                return Ok(Command::Ddl(Arc::new((ddl, sql))));
            }
        }
        Ok(Command::Query(Arc::new(self.query(sql, statement, who))))
    }

    fn query(&self, sql: String, mut statement: Statement, who: &Who) -> Query {
        let mut other = None;
        if let Statement::Statement(sql) = &mut statement {
            with_session(sql, who);
            other = Some(Statement::Statement(Box::new(translated(sql))));
        }
        let catalog = asks_catalog(&statement);
        Query { sql, plain: Some(statement), translated: other, catalog, lists: Vec::new() }
    }

    /// `COPY … TO STDOUT` and `COPY … FROM STDIN`, which the engine's own parser takes for something else.
    fn copy(&self, sql: &str, who: &Who) -> Result<Command, Error> {
        read_copy(sql, |query| {
            let statement = Statement::Statement(Box::new(Sql::Query(Box::new(query))));
            Arc::new(self.query(statement.to_string(), statement, who))
        })
        .map(|copy| Command::Copy(Arc::new(copy)))
    }

    /// What opens, reads or closes a cursor.
    fn of_cursors(&self, statement: &Sql, who: &Who) -> Result<Option<Command>, Error> {
        Ok(Some(match statement {
            Sql::Declare { stmts } => {
                let [declare] = stmts.as_slice() else { return Ok(None) };
                let ([name], Some(query)) = (declare.names.as_slice(), &declare.for_query) else { return Ok(None) };
                if declare.scroll == Some(true) {
                    return Err(only_forward("a cursor can't be declared with SCROLL"));
                }
                let statement = Statement::Statement(Box::new(Sql::Query(query.clone())));
                Command::Declare(Declare {
                    name: identifier(name),
                    hold: declare.hold == Some(true),
                    binary: declare.binary == Some(true),
                    query: Arc::new(self.query(query.to_string(), statement, who)),
                })
            }
            Sql::Fetch { name, direction, into: None, .. } => {
                let most = match direction {
                    FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
                    FetchDirection::All | FetchDirection::ForwardAll => None,
                    FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
                        let count = limit.to_string().parse::<usize>().ok().filter(|n| *n > 0);
                        Some(count.ok_or_else(|| only_forward(&format!("{limit} rows can't be fetched")))?)
                    }
                    other => return Err(only_forward(&format!("FETCH {other} is not possible"))),
                };
                Command::Fetch(Fetch { name: identifier(name), most, moves: false })
            }
            Sql::Close { cursor: CloseCursor::All } => Command::Close(None),
            Sql::Close { cursor: CloseCursor::Specific { name } } => Command::Close(Some(identifier(name))),
            _ => return Ok(None),
        }))
    }

    fn only_translated(&self, statement: Sql) -> Command {
        without_rows(&statement).unwrap_or_else(|| {
            let sql = statement.to_string();
            let translated = Some(Statement::Statement(Box::new(statement)));
            Command::Query(Arc::new(Query { sql, plain: None, translated, catalog: true, lists: Vec::new() }))
        })
    }
}

fn only_forward(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{what}: cursors only go forward"))
        .with_hint("Declare it without SCROLL, and FETCH NEXT, FORWARD n or ALL.")
}

/// The name that an identifier stands for: in lower case unless it is quoted.
fn identifier(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn first_word(sql: &str) -> &str {
    sql.split_whitespace().next().unwrap_or_default()
}

/// Whether a statement reads PostgreSQL's own catalog.
fn asks_catalog(statement: &Statement) -> bool {
    let text = statement.to_string().to_lowercase();
    if ["regclass", "regtype", "regproc", "regnamespace", "regrole", "pg_catalog."].iter().any(|word| text.contains(word)) {
        return true;
    }
    resolve_table_references(statement, true)
        .is_ok_and(|(tables, _)| tables.iter().any(|t| t.schema() == Some("pg_catalog") || t.table().starts_with("pg_")))
}

/// The command that a statement without rows stands for.
fn without_rows(statement: &Sql) -> Option<Command> {
    Some(match statement {
        Sql::StartTransaction { .. } => Command::Begin,
        Sql::Commit { .. } => Command::Commit,
        Sql::Rollback { savepoint: None, .. } => Command::Rollback,
        Sql::Rollback { savepoint: Some(name), .. } => Command::RollbackTo(identifier(name)),
        Sql::Savepoint { name } => Command::Savepoint(identifier(name)),
        Sql::ReleaseSavepoint { .. } => Command::Nothing("RELEASE"),
        Sql::Set(set) => variable(set),
        Sql::Query(query) => set_config(query)?,
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
        Sql::LISTEN { .. } => Command::Nothing("LISTEN"),
        Sql::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
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

/// `SELECT set_config('name', 'value', false)`, alone in its statement.
fn set_config(query: &datafusion::sql::sqlparser::ast::Query) -> Option<Command> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_slice() else {
        return None;
    };
    let Expr::Function(function) = expr else { return None };
    if function_name(expr).as_deref() != Some("set_config") || !select.from.is_empty() {
        return None;
    }
    match (argument(function, 0)?, argument(function, 1)?) {
        (Value::SingleQuotedString(name), Value::SingleQuotedString(value)) => {
            Some(Command::SetConfig(name.to_lowercase(), value))
        }
        _ => None,
    }
}

/// `ALTER VIEW a RENAME TO b` and `ALTER VIEW a SET SCHEMA b` as they are said of tables.
fn renamed_view(sql: &str) -> std::borrow::Cow<'_, str> {
    let words: Vec<&str> = sql.split_whitespace().take(2).collect();
    let [alter, view] = words.as_slice() else { return sql.into() };
    let lower = sql.to_lowercase();
    if !alter.eq_ignore_ascii_case("alter") || !view.eq_ignore_ascii_case("view") || lower.contains(" as ") {
        return sql.into();
    }
    match lower.find("view") {
        Some(at) => format!("{}TABLE{}", &sql[..at], &sql[at + 4..]).into(),
        None => sql.into(),
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
        let commands = Reader::default().read(sql, &Who::default()).unwrap();
        let show = |c: &Command| match c {
            Command::Query(q) => format!("query({}{})", q.sql, if q.catalog { " catalog" } else { "" }),
            Command::Set(name, value) => format!("set {name}={value}"),
            Command::Show(name) => format!("show {name}"),
            Command::Deallocate(name) => format!("deallocate {name:?}"),
            Command::Nothing(tag) => format!("nothing {tag}"),
            Command::Declare(d) => format!("declare {} hold={} binary={} ({})", d.name, d.hold, d.binary, d.query.sql),
            Command::Fetch(f) => format!("fetch {} {:?}{}", f.name, f.most, if f.moves { " moves" } else { "" }),
            Command::Close(name) => format!("close {name:?}"),
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
            ("ROLLBACK TO SAVEPOINT a", "rollbackto(\"a\")"),
            ("SELECT set_config('Search_Path', 'x', false)", "setconfig(\"search_path\", \"x\")"),
            ("RESET ALL", "reset(none)"),
            ("SELECT current_schema(), current_user", "query(SELECT current_schema(), current_user)"),
            ("SET statement_timeout = '5s'", "set statement_timeout=5s"),
            ("SET TIME ZONE 'UTC'", "set timezone=UTC"),
            ("SET search_path TO gold, silver", "set search_path=gold, silver"),
            ("SHOW standard_conforming_strings", "show standard_conforming_strings"),
            ("SHOW TRANSACTION ISOLATION LEVEL", "show transaction_isolation"),
            ("DEALLOCATE ALL", "deallocate None"),
            ("DISCARD ALL", "nothing DISCARD ALL"),
            ("SELECT oid FROM pg_type", "query(SELECT oid FROM pg_type catalog)"),
            ("DECLARE Mine CURSOR FOR SELECT 1", "declare mine hold=false binary=false (SELECT 1)"),
            ("DECLARE \"M\" NO SCROLL CURSOR WITH HOLD FOR SELECT $1", "declare M hold=true binary=false (SELECT $1)"),
            ("DECLARE m BINARY CURSOR FOR VALUES (1)", "declare m hold=false binary=true (VALUES (1))"),
            ("FETCH FORWARD 10 FROM \"M\"", "fetch M Some(10)"),
            ("FETCH NEXT FROM m", "fetch m Some(1)"),
            ("FETCH ALL IN m; CLOSE m", "fetch m None; close Some(\"m\")"),
            (" move forward 5 in m", "fetch m Some(5) moves"),
            ("CLOSE ALL", "close None"),
        ] {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }

    #[test]
    fn cursors_only_go_forward() {
        for sql in [
            "FETCH PRIOR FROM m",
            "FETCH -1 FROM m",
            "FETCH 0 FROM m",
            "DECLARE m SCROLL CURSOR FOR SELECT 1",
            "MOVE BACKWARD ALL IN m",
        ] {
            let error = Reader::default().read(sql, &Who::default()).unwrap_err();
            assert!(error.to_string().contains("only go forward") || error.kind == Kind::Syntax, "{sql}: {error}");
        }
    }
}
