//! A statement that is a transaction of its own.

use super::{Ddl, Done, Executor, commit};
use crate::{Engine, Error, Kind};
use datafusion::common::ScalarValue;
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
            turn = Some(run.lake.tables().turn(&table).await);
        }
        let result = match Box::pin(executor.run(ddl.clone())).await {
            Ok(done) => commit(run.lake, transaction).await.map(|()| done),
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
