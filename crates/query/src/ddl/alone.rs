//! A statement that is a transaction of its own.

use super::{Ddl, Done, Executor, commit, ddl_of};
use crate::{
    Engine, Error, Kind, QueryRequest,
    engine::{parse, plain_scalars},
};
use datafusion::{common::ScalarValue, sql::parser::Statement};
use futures::FutureExt;
use lake::{Lake, ObjectTransaction};
use model::Layer;
use std::{sync::Arc, time::Duration};

/// So often a statement that others got ahead of is run again before it is given up.
const ATTEMPTS: usize = 5;

/// Who runs a statement, and how.
pub(crate) struct Alone<'a> {
    pub engine: &'a Engine,
    pub lake: &'a Lake,
    /// Schemas in which names without one are looked for.
    pub path: Arc<[Layer]>,
    /// The statement as it came.
    pub sql: &'a str,
    /// How long a query of the statement may take.
    pub timeout: Option<Duration>,
    /// The id by which it is cancelled.
    pub id: String,
    /// Values of `$1`, `$2`, …
    pub values: Vec<ScalarValue>,
}

/// Carries a statement out, at once and for everybody. Where another writer got ahead of it, nothing happened, and it is run again.
///
/// # Errors
/// Why not; [`Kind::Conflict`] where others got ahead of it each time.
pub(crate) async fn alone(run: Alone<'_>, ddl: &Ddl) -> Result<Done, Error> {
    let mut left = ATTEMPTS;
    let mut turn = None;
    loop {
        left -= 1;
        let mut transaction = ObjectTransaction::default();
        let mut executor = Executor {
            engine: run.engine,
            lake: run.lake,
            transaction: &mut transaction,
            path: Arc::clone(&run.path),
            sql: run.sql,
            timeout: run.timeout,
            id: run.id.clone(),
            values: run.values.clone(),
        };
        if let (None, Ddl::Rows(change)) = (&turn, ddl) {
            let (table, _) = executor.table(&change.name)?;
            turn = Some(run.lake.tables().turn(&table).boxed().await);
        }
        let result = match executor.run(ddl.clone()).boxed().await {
            Ok(done) => commit(run.lake, transaction).boxed().await.map(|()| done),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.kind == Kind::Conflict && left > 0 => {
                tracing::debug!(sql = run.sql, "run again: {error}");
            }
            other => return other,
        }
    }
}

/// What [`Engine::change`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The words that acknowledge the statement, for example `UPDATE`.
    pub command: &'static str,
    /// Rows that it changed; none where it is not about rows.
    pub rows: Option<u64>,
}

impl Engine {
    /// Carries a statement out that makes or changes something, at once and for everybody. None where the statement is no such: then nothing happened,
    /// and [`Self::query`] runs it.
    ///
    /// # Errors
    /// [`Kind::Syntax`]; [`Kind::Unsupported`] where SQL only reads; [`Kind::Conflict`] where others got ahead of it each time; else why not.
    pub async fn change(&self, request: &QueryRequest) -> Result<Option<Changed>, Error> {
        let Statement::Statement(statement) = parse(&request.sql)? else { return Ok(None) };
        let Some(ddl) = ddl_of(&statement)? else { return Ok(None) };
        let run = Alone {
            engine: self,
            lake: self.lake()?,
            path: Arc::from([Layer::Gold, Layer::Silver]),
            sql: &request.sql,
            timeout: request.timeout,
            id: request.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            values: plain_scalars(&request.params)?,
        };
        let done = alone(run, &ddl).boxed().await?;
        Ok(Some(Changed { command: done.tag.trim_end_matches(" 0"), rows: done.rows }))
    }
}
