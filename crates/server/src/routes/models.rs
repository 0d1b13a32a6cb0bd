use crate::{app::App, extract::Params, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use catalog::{ModelRun, RunState};
use medallion::{AsOf, Kind, ModelStatus};
use serde::Deserialize;
use utoipa::IntoParams;

const RUNS_DEFAULT: u32 = 50;
const RUNS_MAX: u32 = 1000;

/// Every gold model.
#[utoipa::path(get, path = "/api/v1/models", tag = "flow", responses((status = 200, body = [api::Model])))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<api::Model>> {
    let now = app.clock.now_us();
    Json(app.models.status().into_iter().map(|status| wire(status, now)).collect())
}

/// Runs a model now, whatever its schedule says.
#[utoipa::path(post, path = "/api/v1/models/{name}/run", tag = "flow", params(("name" = String, Path, description = "The model")),
    responses((status = 202), (status = 404, body = api::Problem), (status = 409, body = api::Problem)))]
pub(crate) async fn run(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    app.models.request(&name).map_err(|e| problem(&app, &name, &e))?;
    Ok(StatusCode::ACCEPTED)
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// At most so many (50 unless told).
    limit: Option<u32>,
}

/// Runs of a model, newest first.
#[utoipa::path(get, path = "/api/v1/models/{name}/runs", tag = "flow", params(("name" = String, Path, description = "The model"), Limit),
    responses((status = 200, body = [api::ModelRun]), (status = 404, body = api::Problem)))]
pub(crate) async fn runs(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(limit): Params<Limit>,
) -> Result<Json<Vec<api::ModelRun>>, Problem> {
    let limit = limit.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
    let runs = app.models.runs(&name, limit).await.map_err(|e| problem(&app, &name, &e))?;
    let now = app.clock.now_us();
    Ok(Json(runs.iter().map(|run| wire_run(run, now)).collect()))
}

fn problem(app: &App, name: &str, error: &medallion::Error) -> Problem {
    match error.kind {
        Kind::UnknownModel => Problem::unknown("model", name, app.models.status().iter().map(|m| m.name.clone())),
        Kind::BrokenModel => {
            let problem = Problem::new(StatusCode::CONFLICT, "model.broken", error.message.clone());
            match &error.hint {
                Some(hint) => problem.hint(hint.clone()),
                None => problem,
            }
        }
        _ => Problem::internal(error),
    }
}

fn wire(status: ModelStatus, now_us: i64) -> api::Model {
    let order = |(column, descending): &(String, bool)| if *descending { format!("{column} desc") } else { column.clone() };
    api::Model {
        name: status.name,
        description: status.description,
        sql: status.text,
        schedule: status.schedule,
        state: status.state.as_str().to_owned(),
        last_run: status.last_run.as_ref().map(|run| wire_run(run, now_us)),
        next_run_us: status.next_run_us,
        upstream: status.upstream.iter().map(ToString::to_string).collect(),
        sort_order: status.sort_order.iter().map(order).collect::<Vec<_>>().join(", "),
        partition_by: status.partition_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        rows: status.rows,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn wire_run(run: &ModelRun, now_us: i64) -> api::ModelRun {
    let ended = run.finished_us.unwrap_or(if run.state == RunState::Running { now_us } else { run.started_us });
    api::ModelRun {
        id: run.id.clone(),
        model: run.model.clone(),
        started_us: run.started_us,
        elapsed_ms: (ended - run.started_us) as f64 / 1000.0,
        state: run.state.as_str().to_owned(),
        rows: run.rows,
        error: run.error.clone(),
        trigger: run.trigger.clone(),
        as_of: AsOf::of_run(run)
            .into_iter()
            .map(|a| api::AsOf { source: a.source, cursor: a.cursor, commit_ts_us: a.commit_ts_us })
            .collect(),
    }
}
