use crate::{app::App, extract::Body, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use catalog::UpkeepRun;
use lake::Step;
use medallion::{Kind, Upkeep};
use model::LakeTable;
use runtime::SharedClock;
use std::sync::Arc;

const RUNS: u32 = 50;
/// Runs of one request that are told at most.
const RUNS_OF_REQUEST: u32 = 10_000;

/// What upkeep does and did.
#[utoipa::path(get, path = "/api/v1/upkeep", tag = "data", responses((status = 200, body = api::Upkeep)))]
pub(crate) async fn get(State(app): State<App>) -> Result<Json<api::Upkeep>, Problem> {
    let runs = app.upkeep.runs(None, RUNS).await.map_err(|e| Problem::internal(&e))?;
    let stats = app.lake.stats();
    let (written, rewritten) = (stats.requests.bytes_written, stats.rewritten_bytes);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let amplification = if written > rewritten { written as f64 / (written - rewritten) as f64 } else { 1.0 };
    Ok(Json(api::Upkeep {
        enabled: app.upkeep.settings().enabled,
        doing: app.upkeep.doing().map(|doing| api::UpkeepDoing {
            table: doing.table.map(|t| t.to_string()),
            step: doing.step.as_str().to_owned(),
            since_us: doing.since_us,
        }),
        written_bytes: written,
        rewritten_bytes: rewritten,
        write_amplification: amplification,
        live_bytes: stats.bytes,
        runs: runs.iter().map(wire).collect(),
    }))
}

/// Runs upkeep now. Without `wait` it is only put in line.
#[utoipa::path(post, path = "/api/v1/upkeep", tag = "data", request_body = api::UpkeepRequest,
    responses((status = 200, body = api::UpkeepAnswer), (status = 202, body = api::UpkeepAnswer), (status = 400, body = api::Problem),
        (status = 404, body = api::Problem), (status = 409, body = api::Problem)))]
pub(crate) async fn run(
    State(app): State<App>,
    Body(request): Body<api::UpkeepRequest>,
) -> Result<(StatusCode, Json<api::UpkeepAnswer>), Problem> {
    let steps = steps(&request.steps)?;
    let table = request.table.as_deref().map(|name| named(&app, name)).transpose()?;
    let since_us = app.clock.now_us();
    let refused = |e: medallion::Error| match e.kind {
        Kind::UnknownTable => Problem::new(StatusCode::CONFLICT, "upkeep.not_ours", e.message),
        _ => Problem::internal(&e),
    };
    let asked = app.upkeep.request(table.as_ref(), &steps).map_err(refused)?;
    if !request.wait {
        return Ok((StatusCode::ACCEPTED, Json(api::UpkeepAnswer { done: false, runs: Vec::new() })));
    }
    app.upkeep.wait(asked).await;
    let runs = app.upkeep.runs(table.as_ref(), RUNS_OF_REQUEST).await.map_err(|e| Problem::internal(&e))?;
    let runs = runs.iter().filter(|r| r.asked && r.started_us >= since_us).rev().map(wire).collect();
    Ok((StatusCode::OK, Json(api::UpkeepAnswer { done: true, runs })))
}

/// What upkeep did to a table, newest first.
#[utoipa::path(get, path = "/api/v1/tables/{layer}/{name}/upkeep", tag = "data",
    params(("layer" = String, Path, description = "`bronze`, `silver` or `gold`"), ("name" = String, Path, description = "The name inside the layer")),
    responses((status = 200, body = [api::UpkeepRun]), (status = 404, body = api::Problem)))]
pub(crate) async fn of_table(
    State(app): State<App>,
    Path((layer, name)): Path<(String, String)>,
) -> Result<Json<Vec<api::UpkeepRun>>, Problem> {
    let table = named(&app, &format!("{layer}.{name}"))?;
    let runs = app.upkeep.runs(Some(&table), RUNS).await.map_err(|e| Problem::internal(&e))?;
    Ok(Json(runs.iter().map(wire).collect()))
}

/// The table of a name as people write it: `layer.name`.
fn named(app: &App, name: &str) -> Result<LakeTable, Problem> {
    let view = app.lake.view();
    let found = view.tables.keys().find(|table| table.to_string() == name);
    found.cloned().ok_or_else(|| Problem::unknown("table", name, view.tables.keys().map(ToString::to_string)))
}

fn steps(words: &[String]) -> Result<Vec<Step>, Problem> {
    if words.is_empty() {
        return Ok(vec![Step::Rewrite, Step::Manifests, Step::Expire]);
    }
    let step = |word: &String| {
        Step::parse(word).ok_or_else(|| {
            let detail = format!("There is no step of upkeep named `{word}`.");
            Problem::new(StatusCode::BAD_REQUEST, "upkeep.unknown_step", detail)
                .hint(format!("The steps are {}.", Step::ALL.map(Step::as_str).join(", ")))
        })
    };
    words.iter().map(step).collect()
}

/// Runs what SQL calls.
pub(crate) fn keeper(upkeep: Upkeep, clock: SharedClock) -> query::Keeper {
    Arc::new(move |table: Option<LakeTable>, steps: Vec<Step>| -> query::Keeping {
        let (upkeep, since_us) = (upkeep.clone(), clock.now_us());
        Box::pin(async move {
            let unknown = |e: medallion::Error| query::Error::new(query::Kind::UnknownTable, e.message.clone());
            let asked = upkeep.request(table.as_ref(), &steps).map_err(unknown)?;
            upkeep.wait(asked).await;
            let ours = |r: &&UpkeepRun| {
                r.asked && r.started_us >= since_us && (r.table == table || r.table.is_none() || table.is_none())
            };
            Ok(upkeep.recent().iter().filter(ours).map(wire).collect())
        })
    })
}

/// A run as clients see it.
pub(crate) fn wire(run: &UpkeepRun) -> api::UpkeepRun {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let elapsed_ms = (run.finished_us - run.started_us) as f64 / 1000.0;
    api::UpkeepRun {
        id: run.id.clone(),
        table: run.table.as_ref().map(LakeTable::to_string),
        step: run.step.clone(),
        started_us: run.started_us,
        elapsed_ms,
        asked: run.asked,
        files_before: run.files_before,
        files_after: run.files_after,
        bytes_before: run.bytes_before,
        bytes_after: run.bytes_after,
        rows: run.rows,
        deleted_rows: run.deleted_rows,
        snapshots: run.snapshots,
        error: run.error.clone(),
    }
}
