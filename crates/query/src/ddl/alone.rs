//! A statement that is a transaction of its own.

use super::{Ddl, Done, Executor, commit, ddl_of};
use crate::{
    Engine, Error, Kind, QueryRequest, QueryRunning,
    engine::{parse, plain_scalars},
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
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
    /// Who asks.
    pub client: &'a str,
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
            client: run.client,
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

impl Engine {
    /// Carries a statement out that makes or changes something, at once and for everybody. The answer is one row: the `command`, and the `rows` that it
    /// changed, NULL where it is not about rows. It is known when this returns and waits for nothing: who is told that a change failed may run it again.
    /// None where the statement is no such: then nothing happened, and [`Self::query`] runs it.
    ///
    /// # Errors
    /// [`Kind::Syntax`]; [`Kind::Unsupported`] where SQL only reads; [`Kind::Conflict`] where others got ahead of it each time; else why not.
    pub async fn change(&self, request: &QueryRequest) -> Result<Option<QueryRunning>, Error> {
        let Statement::Statement(statement) = parse(&request.sql)? else { return Ok(None) };
        let Some(ddl) = ddl_of(&statement)? else { return Ok(None) };
        let began = self.inner.clock.monotonic();
        let id = request.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let run = Alone {
            engine: self,
            lake: self.lake()?,
            path: Arc::from([Layer::Gold, Layer::Silver]),
            sql: &request.sql,
            timeout: request.timeout,
            id: id.clone(),
            client: &request.client,
            values: plain_scalars(&request.params)?,
        };
        let done = alone(run, &ddl).boxed().await?;
        let answer = answer(done.tag.trim_end_matches(" 0"), done.rows)?;
        Ok(Some(QueryRunning::known(id, answer, Arc::clone(&self.inner.clock), began)))
    }
}

/// What a statement did, as the row that tells of it.
fn answer(command: &str, rows: Option<u64>) -> Result<RecordBatch, Error> {
    let fields = vec![Field::new("command", DataType::Utf8, false), Field::new("rows", DataType::Int64, true)];
    let rows = rows.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![command])), Arc::new(Int64Array::from(vec![rows]))];
    let row = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    row.map_err(|e| Error::new(Kind::Internal, "what a statement did can't be told").with_source(e))
}
