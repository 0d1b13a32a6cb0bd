use crate::{app::App, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
};
use catalog::Desired;
use model::lake_name;
use pipeline::{Handle, Report, Second};

/// Every pipeline.
#[utoipa::path(get, path = "/api/v1/pipelines", tag = "flow", responses((status = 200, body = [api::Pipeline])))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<api::Pipeline>> {
    Json(all(&app))
}

/// One pipeline.
#[utoipa::path(get, path = "/api/v1/pipelines/{name}", tag = "flow", params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = api::Pipeline), (status = 404, body = api::Problem)))]
pub(crate) async fn get(State(app): State<App>, Path(name): Path<String>) -> Result<Json<api::Pipeline>, Problem> {
    let handle = find(&app, &name)?;
    Ok(Json(wire(handle, &handle.monitor.report())))
}

/// Throughput of one pipeline by second, for the last ten minutes.
#[utoipa::path(get, path = "/api/v1/pipelines/{name}/throughput", tag = "flow", params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = api::Throughput), (status = 404, body = api::Problem)))]
pub(crate) async fn throughput(State(app): State<App>, Path(name): Path<String>) -> Result<Json<api::Throughput>, Problem> {
    let seconds = find(&app, &name)?.monitor.seconds();
    Ok(Json(api::Throughput { points: seconds.iter().map(point).collect() }))
}

/// Lets a pipeline drain and stand still, also over restarts of the process.
#[utoipa::path(post, path = "/api/v1/pipelines/{name}/pause", tag = "flow", params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = api::Pipeline), (status = 404, body = api::Problem)))]
pub(crate) async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<Json<api::Pipeline>, Problem> {
    let handle = find(&app, &name)?;
    app.catalog.set_desired(&name, Desired::Paused).await.map_err(|e| Problem::internal(&e))?;
    handle.pause();
    Ok(Json(wire(handle, &handle.monitor.report())))
}

/// Lets a paused pipeline run on, or a failed one try again at once.
#[utoipa::path(post, path = "/api/v1/pipelines/{name}/resume", tag = "flow", params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = api::Pipeline), (status = 404, body = api::Problem)))]
pub(crate) async fn resume(State(app): State<App>, Path(name): Path<String>) -> Result<Json<api::Pipeline>, Problem> {
    let handle = find(&app, &name)?;
    app.catalog.set_desired(&name, Desired::Running).await.map_err(|e| Problem::internal(&e))?;
    handle.resume();
    Ok(Json(wire(handle, &handle.monitor.report())))
}

/// Copies all tables of a pipeline anew. Silver is replaced in one commit when the copy is whole; bronze keeps its history.
#[utoipa::path(post, path = "/api/v1/pipelines/{name}/resync", tag = "flow", params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = api::Pipeline), (status = 404, body = api::Problem)))]
pub(crate) async fn resync(State(app): State<App>, Path(name): Path<String>) -> Result<Json<api::Pipeline>, Problem> {
    let handle = find(&app, &name)?;
    app.catalog.set_desired(&name, Desired::Running).await.map_err(|e| Problem::internal(&e))?;
    handle.resync();
    Ok(Json(wire(handle, &handle.monitor.report())))
}

fn find<'a>(app: &'a App, name: &str) -> Result<&'a Handle, Problem> {
    let found = app.pipelines.iter().find(|p| p.name == name);
    found.ok_or_else(|| Problem::unknown("pipeline", name, app.pipelines.iter().map(|p| &p.name)))
}

/// Every pipeline as clients see it.
pub(crate) fn all(app: &App) -> Vec<api::Pipeline> {
    wire_all(&app.pipelines)
}

/// These pipelines as clients see them.
pub(crate) fn wire_all(handles: &[Handle]) -> Vec<api::Pipeline> {
    handles.iter().map(|handle| wire(handle, &handle.monitor.report())).collect()
}

/// One second as clients see it.
pub(crate) fn point(second: &Second) -> api::ThroughputPoint {
    api::ThroughputPoint { at_us: second.at_us, rows: second.rows, bytes: second.bytes, lag_ms: second.lag_ms }
}

fn wire(handle: &Handle, report: &Report) -> api::Pipeline {
    api::Pipeline {
        name: handle.name.clone(),
        source: handle.kind.clone(),
        state: report.state.as_str().to_owned(),
        cursor: report.durable.as_ref().map(|c| c.display.clone()),
        head: report.source.head.clone(),
        lag_bytes: report.source.lag_bytes,
        lag_ms: report.lag_ms,
        rows_total: report.rows_total,
        rows_per_s: report.rows_per_s,
        last_commit_at: report.last_commit_us,
        last_commit_ms: report.last_commit_ms,
        last_error: report.failure.as_ref().map(|failure| api::FlowError {
            code: failure.code.to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            at_us: failure.at_us,
            retry_at_us: failure.retry_at_us,
        }),
        warning: report.source.warning.clone(),
        snapshot: report.snapshot.as_ref().map(|progress| api::Snapshot {
            tables_total: progress.tables_total as u64,
            tables_done: progress.tables_done as u64,
            rows_done: progress.rows_done,
            rows_estimate: progress.rows_estimate,
            bytes_done: progress.bytes_done,
        }),
        tables: report
            .tables
            .iter()
            .map(|table| api::PipelineTable {
                source_table: table.id.to_string(),
                lake_name: lake_name(&handle.name, &table.id),
                state: if table.error.is_some() { "failed" } else { "streaming" }.to_owned(),
                rows: table.rows,
                mode: table.mode.to_owned(),
                error: table.error.clone(),
            })
            .collect(),
        transforms: handle.transforms.clone(),
        dead_letters: report.dead_letters,
        restarts: report.restarts,
    }
}
