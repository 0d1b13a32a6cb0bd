use crate::{Error, Kind, files, travel::rewrite};
use datafusion::{
    execution::context::SQLOptions,
    logical_expr::LogicalPlan,
    sql::{
        parser::{DFParserBuilder, Statement},
        sqlparser::{ast::Statement as Sql, dialect::PostgreSqlDialect},
    },
};

/// The one statement in `sql`.
///
/// # Errors
/// [`Kind::Syntax`] where it can't be parsed, is empty or holds several statements.
pub(crate) fn parse(sql: &str) -> Result<Statement, Error> {
    let mut statements = parse_all(sql)?;
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (None, _) => Err(Error::new(Kind::Syntax, "there is no statement")),
        (Some(_), more) => Err(Error::new(Kind::Syntax, format!("there are {} statements where one is expected", more + 1))
            .with_hint("Run them one after the other.")),
    }
}

/// All statements in `sql`.
pub(crate) fn parse_all(sql: &str) -> Result<Vec<Statement>, Error> {
    let sql = rewrite(sql)?;
    let sql = crate::ddl::partitioned(sql.as_ref());
    let mut statements = DFParserBuilder::new(sql.as_ref()).with_dialect(&PostgreSqlDialect {}).build()?.parse_statements()?;
    statements.iter_mut().try_for_each(files::rewrite)?;
    Ok(statements.into())
}

/// Refuses statements that would change something.
pub(crate) fn check_read_only(statement: &Statement) -> Result<(), Error> {
    let refused = match statement {
        Statement::Explain(explain) => return check_read_only(&explain.statement),
        Statement::Statement(sql) => match sql.as_ref() {
            Sql::Query(_)
            | Sql::ExplainTable { .. }
            | Sql::ShowTables { .. }
            | Sql::ShowColumns { .. }
            | Sql::ShowFunctions { .. }
            | Sql::ShowVariable { .. }
            | Sql::ShowSchemas { .. } => return Ok(()),
            Sql::Explain { statement, .. } => return check_read_only(&Statement::Statement(statement.clone())),
            other => other.to_string(),
        },
        other => other.to_string(),
    };
    let verb: Vec<&str> = refused.split_whitespace().take(1).collect();
    if verb.first().is_some_and(|v| v.eq_ignore_ascii_case("declare") || v.eq_ignore_ascii_case("fetch")) {
        return Err(Error::new(Kind::Unsupported, "cursors are there over the PostgreSQL wire only")
            .with_hint("Send the query itself: its rows come as they are computed."));
    }
    Err(read_only(&verb.join(" ").to_uppercase()))
}

fn read_only(verb: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{verb} is not possible: SQL here only reads"))
        .with_hint("Tables are written by pipelines (bronze, silver) and by models (gold).")
}

/// Refuses plans that would change something, whatever they were written as (`SELECT … INTO`, a WITH that inserts).
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), Error> {
    let only_reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reading.verify_plan(plan).map_err(|_| read_only("Writing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_statements_pass() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "EXPLAIN ANALYZE SELECT 1",
            "SHOW TABLES",
            "DESCRIBE silver.shop_orders",
            "VALUES (1)",
        ] {
            check_read_only(&parse(sql).unwrap()).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        for sql in [
            "INSERT INTO a VALUES (1)",
            "UPDATE a SET b = 1",
            "DELETE FROM a",
            "CREATE TABLE a AS SELECT 1",
            "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/x'",
            "COPY (SELECT 1) TO '/x.csv'",
            "DROP TABLE a",
            "EXPLAIN INSERT INTO a VALUES (1)",
            "SET a = 1",
        ] {
            let error = check_read_only(&parse(sql).unwrap()).unwrap_err();
            assert_eq!(error.kind, Kind::Unsupported, "{sql}: {error}");
        }
    }

    #[test]
    fn there_must_be_exactly_one_statement() {
        for sql in ["", "  -- nothing", "SELECT 1; SELECT 2"] {
            assert_eq!(parse(sql).unwrap_err().kind, Kind::Syntax, "{sql}");
        }
        assert!(parse("SELECT 1;").is_ok());
    }
}
