use crate::{app::App, extract::Params, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

const RUNS_DEFAULT: usize = 100;

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// At most so many (100 unless told).
    limit: Option<usize>,
}

/// Queries that run or ran, newest first.
#[utoipa::path(get, path = "/api/v1/queries", tag = "sql", params(Limit), responses((status = 200, body = [api::QueryRun])))]
pub(crate) async fn list(State(app): State<App>, Params(limit): Params<Limit>) -> Json<Vec<api::QueryRun>> {
    let mut runs: Vec<_> = app.engine.running().into_iter().chain(app.engine.history()).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.started_us));
    runs.truncate(limit.limit.unwrap_or(RUNS_DEFAULT));
    let price_per_tb = app.engine.settings().price_per_tb;
    Json(runs.into_iter().map(|run| wire(run, price_per_tb)).collect())
}

/// Cancels a running query.
#[utoipa::path(delete, path = "/api/v1/queries/{id}", tag = "sql", params(("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = 404, body = api::Problem)))]
pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    if app.engine.cancel(&id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "query.unknown", format!("No query with the id `{id}` is running."))
        .hint("It may have ended already; GET /api/v1/queries lists the last ones."))
}

/// What an editor completes from.
#[utoipa::path(get, path = "/api/v1/schema", tag = "sql", responses((status = 200, body = api::SchemaTree)))]
pub(crate) async fn schema(State(app): State<App>) -> Json<api::SchemaTree> {
    let tree = app.engine.schema_tree();
    let column = |(name, data_type): (String, String)| api::SqlColumn { name, data_type };
    let table = |t: query::SchemaTable| api::SchemaTable {
        layer: t.schema,
        name: t.name,
        columns: t.columns.into_iter().map(column).collect(),
    };
    Json(api::SchemaTree { tables: tree.tables.into_iter().map(table).collect(), functions: tree.functions })
}

fn wire(run: query::QueryRecord, price_per_tb: f64) -> api::QueryRun {
    api::QueryRun {
        id: run.id,
        query: run.sql,
        state: run.state.as_str().to_owned(),
        queue_position: run.queue_position,
        client: run.client,
        started_us: run.started_us,
        elapsed_ms: run.elapsed.as_secs_f64() * 1000.0,
        rows: run.rows,
        bytes_scanned: run.bytes_scanned,
        cost_usd: query::cost_usd(run.bytes_scanned, price_per_tb),
        error: run.error,
    }
}
