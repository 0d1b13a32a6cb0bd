//! EXPLAIN and EXPLAIN ANALYZE for people: a tree of what is done to rows, with where they, the bytes and the time went.
//!
//! `EXPLAIN VERBOSE`, and EXPLAIN with a format, stay DataFusion's own.

mod steps;
mod text;

use crate::Error;
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::{DFSchema, format::ExplainFormat},
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream, stream::RecordBatchStreamAdapter},
};
use futures::StreamExt;
use runtime::SharedClock;
use std::{sync::Arc, time::Duration};

/// The one column of the answer; PostgreSQL calls it so.
const COLUMN: &str = "QUERY PLAN";

/// What to explain.
#[derive(Debug)]
pub(crate) struct Explain {
    /// The statement's plan.
    pub plan: LogicalPlan,
    /// Whether it is run.
    pub analyze: bool,
}

/// Columns of the answer.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, false)]))
}

/// Marks an EXPLAIN that is to be readable: its plan then has the columns of the answer.
pub(crate) fn mark(plan: LogicalPlan) -> std::result::Result<LogicalPlan, Error> {
    let answer = || -> Result<_> { Ok(Arc::new(DFSchema::try_from(schema())?)) };
    Ok(match plan {
        LogicalPlan::Explain(mut e) if !e.verbose && e.explain_format == ExplainFormat::Indent => {
            e.schema = answer()?;
            LogicalPlan::Explain(e)
        }
        LogicalPlan::Analyze(mut a) if !a.verbose && a.format == ExplainFormat::Indent => {
            a.schema = answer()?;
            LogicalPlan::Analyze(a)
        }
        other => other,
    })
}

/// What is inside of a plan that [`mark`] marked; any other comes back.
pub(crate) fn unwrap(plan: LogicalPlan) -> std::result::Result<Explain, Box<LogicalPlan>> {
    let marked = plan.schema().fields().len() == 1 && plan.schema().field(0).name() == COLUMN;
    match plan {
        LogicalPlan::Explain(e) if marked => Ok(Explain { plan: e.plan.as_ref().clone(), analyze: false }),
        LogicalPlan::Analyze(a) if marked => Ok(Explain { plan: a.input.as_ref().clone(), analyze: true }),
        other => Err(Box::new(other)),
    }
}

/// The explanation of `plan`. Where it is analyzed, its rows are computed and counted, and go nowhere.
pub(crate) fn answer(
    plan: Arc<dyn ExecutionPlan>,
    analyze: bool,
    context: Arc<TaskContext>,
    clock: SharedClock,
    planned_in: Duration,
) -> SendableRecordBatchStream {
    let lines = async move {
        let mut ran = None;
        if analyze {
            let began = clock.monotonic();
            let mut rows = execute_stream(Arc::clone(&plan), context)?;
            let mut count = 0;
            while let Some(batch) = rows.next().await {
                count += batch?.num_rows() as u64;
            }
            ran = Some(text::Ran { took: clock.monotonic().saturating_sub(began), planned_in, rows: count });
        }
        let tree = steps::steps(plan.as_ref(), analyze);
        let lines: Vec<String> = match &ran {
            Some(ran) => text::analyzed(&tree, ran),
            None => text::planned(&tree),
        };
        let column: ArrayRef = Arc::new(StringArray::from(lines));
        Ok(RecordBatch::try_new(schema(), vec![column])?)
    };
    Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::once(lines)))
}
