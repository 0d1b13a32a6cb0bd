use super::{
    command::Query,
    declared::{with_numerics, with_types},
    transaction::Scope,
};
use crate::{
    Engine, Error, Kind,
    engine::{Prepared, with_params},
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::{common::ScalarValue, logical_expr::LogicalPlan, sql::parser::Statement};
use datafusion_postgres::pgwire::api::Type;
use futures::FutureExt;
use std::sync::Arc;

/// What a statement returns and takes, as it was when it was parsed.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub schema: SchemaRef,
    /// The type each parameter's place needs, where that is known.
    pub params: Vec<Option<DataType>>,
    /// Parameters that the client declared as numeric: each value keeps its digits, whatever its place would like.
    pub exact: Vec<bool>,
}

/// Plans a query against the lake as it is now: as written first, translated where that fails, or the other way round where it asks for
/// PostgreSQL's own catalog. If neither works, the error is that of the text as written.
pub(super) async fn plan(engine: &Engine, query: &Query, scope: &Scope) -> Result<Prepared, Error> {
    let (first, second) = if query.catalog { (&query.translated, &query.plain) } else { (&query.plain, &query.translated) };
    let error = match attempt(engine, first.as_ref(), scope).await {
        Ok(prepared) => return Ok(prepared),
        Err(error) if matches!(error.kind, Kind::Storage | Kind::Memory) => return Err(error),
        Err(error) => error,
    };
    match attempt(engine, second.as_ref(), scope).await {
        Ok(prepared) => Ok(prepared),
        Err(other) => {
            tracing::debug!(sql = query.sql, "a statement can't be planned as written ({error}) nor in other words ({other})");
            Err(if query.catalog && other.line.is_some() && other.kind == error.kind { other } else { error })
        }
    }
}

async fn attempt(engine: &Engine, statement: Option<&Statement>, scope: &Scope) -> Result<Prepared, Error> {
    let statement = statement.cloned().ok_or_else(|| Error::new(Kind::Syntax, "the statement can't be read"))?;
    engine.plan(scope.session(engine), statement).await
}

/// Columns and parameters of a query, whose parameters may have declared types.
pub(super) async fn shape(engine: &Engine, query: Arc<Query>, types: Vec<Option<Type>>, scope: Scope) -> Result<Shape, Error> {
    let own = engine.clone();
    let shaping = async move {
        let prepared = plan(&own, &with_types(&query, &types), &scope).await?;
        let mut params = param_types(&prepared.plan)?;
        for number in &with_types(&query, &types).lists {
            if let Some(place) = params.get_mut(number - 1) {
                *place = Some(DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
            }
        }
        let exact: Vec<bool> = (0..params.len()).map(|i| types.get(i) == Some(&Some(Type::NUMERIC))).collect();
        let prepared = match exact.contains(&true) {
            true => plan(&own, &with_numerics(&query, &types), &scope).await?,
            false => prepared,
        };
        for (param, _) in params.iter_mut().zip(&exact).filter(|(_, exact)| **exact) {
            *param = Some(DataType::Decimal128(38, 10));
        }
        let optimized = prepared.session.state.optimize(&prepared.plan);
        // Optimizing settles types that are only decided later; where parameters stand in its way the plan as it is has to do.
        let plan = optimized.as_ref().unwrap_or(&prepared.plan);
        let schema = prepared.labels.apply(crate::sql_types::plain_schema(plan.schema().as_arrow()));
        Ok(Shape { schema, params, exact })
    };
    engine.on_threads(shaping.boxed()).await
}

impl Shape {
    /// The type that each value is brought to; none where it keeps its own.
    pub(super) fn wanted(&self) -> Vec<Option<DataType>> {
        let wanted = |(param, exact): (&Option<DataType>, &bool)| if *exact { None } else { param.clone() };
        self.params.iter().zip(&self.exact).map(wanted).collect()
    }

    /// Whether the columns can't depend on the parameters' values.
    pub(super) fn is_fixed(&self) -> bool {
        self.params.iter().all(Option::is_some) && !self.exact.contains(&true)
    }
}

/// The type that each of `$1`, `$2`, … needs.
fn param_types(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, Error> {
    let known = plan.get_parameter_types()?;
    let count = known.keys().filter_map(|k| k.trim_start_matches('$').parse::<usize>().ok()).max().unwrap_or(0);
    Ok((1..=count).map(|i| known.get(&format!("${i}")).cloned().flatten()).collect())
}

/// Plans a query with its parameters in place.
pub(super) async fn plan_bound(
    engine: Engine,
    query: Arc<Query>,
    values: Vec<ScalarValue>,
    scope: Scope,
) -> Result<Prepared, Error> {
    let prepared = plan(&engine, &query, &scope).await?;
    if values.is_empty() {
        return Ok(prepared);
    }
    let plan = with_params(prepared.plan, values)?;
    Ok(Prepared { plan, ..prepared })
}
