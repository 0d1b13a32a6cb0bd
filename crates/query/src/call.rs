//! `CALL system.compact('analytics.t')` and its kin: upkeep asked for by SQL. The call runs when its rows are fetched, not when it is planned.

use crate::{
    Engine, Error, Kind,
    error::nearest,
    system::{run_schema, runs},
};
use api::UpkeepRun;
use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::streaming::StreamingTable,
    datasource::provider_as_source,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
    sql::sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value},
};
use futures::future::BoxFuture;
use lake::Step;
use model::LakeTable;
use std::{fmt, sync::Arc};

/// The end of upkeep that was called: what its steps did.
pub type Keeping = BoxFuture<'static, Result<Vec<UpkeepRun>, Error>>;

/// Runs steps of upkeep on a table, or on all, waits for them and tells what they did. The future is polled on the engine's threads.
pub type Keeper = Arc<dyn Fn(Option<LakeTable>, Vec<Step>) -> Keeping + Send + Sync>;

/// What can be called, with the steps that it stands for.
const PROCEDURES: [(&str, &[Step]); 5] = [
    ("compact", &[Step::Rewrite]),
    ("rewrite_manifests", &[Step::Manifests]),
    ("expire_snapshots", &[Step::Expire]),
    ("remove_orphans", &[Step::Orphans]),
    ("upkeep", &[Step::Rewrite, Step::Manifests, Step::Expire]),
];

/// One call, ready to run.
struct Call {
    keeper: Keeper,
    table: Option<LakeTable>,
    steps: &'static [Step],
    schema: SchemaRef,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("table", &self.table).field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl PartitionStream for Call {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let work = (self.keeper)(self.table.clone(), self.steps.to_vec());
        let rows = async move {
            let done = work.await.and_then(|all| runs(&all));
            done.map_err(|e| DataFusionError::External(Box::new(e)))
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(rows)))
    }
}

impl Engine {
    /// The plan of a call.
    ///
    /// # Errors
    /// [`Kind::UnknownFunction`] where there is no such procedure, [`Kind::Invalid`] where its arguments make no sense.
    pub(crate) fn call(&self, call: &Function) -> Result<LogicalPlan, Error> {
        let keeper = self.inner.keeper.get().ok_or_else(|| Error::new(Kind::Unsupported, "there is no upkeep to CALL here"))?;
        let name = call.name.to_string().replace('"', "").to_lowercase();
        let bare = name.strip_prefix("lakebox.").unwrap_or(&name);
        let bare = bare.strip_prefix("system.").unwrap_or(bare);
        let Some(&(_, steps)) = PROCEDURES.iter().find(|(known, _)| *known == bare) else {
            let names = PROCEDURES.map(|(name, _)| name);
            let error = Error::new(Kind::UnknownFunction, format!("procedure `{name}` does not exist"));
            return Err(match nearest(bare, names) {
                Some(near) => error.with_hint(format!("Did you mean `system.{near}`?")),
                None => error.with_hint(format!("There are system.{}.", names.join(", system."))),
            });
        };
        let call = Call { keeper: Arc::clone(keeper), table: table(&call.args)?, steps, schema: run_schema() };
        let provider = StreamingTable::try_new(run_schema(), vec![Arc::new(call)])?;
        Ok(LogicalPlanBuilder::scan(bare, provider_as_source(Arc::new(provider)), None)?.build()?)
    }

    /// Tells who runs what is called. The first one told stays.
    pub fn set_keeper(&self, keeper: Keeper) {
        let _ = self.inner.keeper.set(keeper);
    }
}

/// The table that the arguments name; none where there are none.
fn table(arguments: &FunctionArguments) -> Result<Option<LakeTable>, Error> {
    let wrong = || {
        Error::new(Kind::Invalid, "a CALL takes the name of one table, or nothing for all")
            .with_hint("For example: CALL system.compact('analytics.stock')")
    };
    let FunctionArguments::List(list) = arguments else { return Ok(None) };
    let value = match list.args.as_slice() {
        [] => return Ok(None),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))]
        | [FunctionArg::Named { arg: FunctionArgExpr::Expr(Expr::Value(value)), .. }] => &value.value,
        _ => return Err(wrong()),
    };
    match value {
        Value::SingleQuotedString(name) => name.parse().map(Some).map_err(|_| wrong()),
        Value::Null => Ok(None),
        _ => Err(wrong()),
    }
}
