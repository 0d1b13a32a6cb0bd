use crate::{
    app::App,
    process,
    routes::{pipelines, tables},
};
use axum::{Json, extract::State};
use catalog::RunState;
use medallion::{AsOf, ModelStatus, RunningState};
use model::Layer;
use std::collections::{BTreeMap, HashSet};

const DISK_LOW_BYTES: u64 = 2 << 30;
/// A pipeline that is further behind than this, and not copying, deserves a word.
const LAG_WARN_MS: u64 = 60_000;

/// Everything the first page needs.
#[utoipa::path(get, path = "/api/v1/overview", tag = "process", responses((status = 200, body = api::Overview)))]
pub(crate) async fn get(State(app): State<App>) -> Json<api::Overview> {
    Json(overview(&app))
}

/// The overview as of now.
pub(crate) fn overview(app: &App) -> api::Overview {
    let flow = pipelines::all(app);
    let mut issues = issues(app, &flow);
    issues.sort_by(|a, b| a.severity.cmp(&b.severity).then(a.since_us.cmp(&b.since_us)));
    let health = match issues.first().map(|i| i.severity.as_str()) {
        Some("error") => "failing",
        Some(_) => "degraded",
        None => "ok",
    };
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for pipeline in &flow {
        *states.entry(pipeline.state.clone()).or_default() += 1;
    }
    api::Overview {
        health: health.to_owned(),
        layers: layers(app, &flow),
        rows_per_s: flow.iter().map(|p| p.rows_per_s).sum(),
        rows_total: flow.iter().map(|p| p.rows_total).sum(),
        throughput: throughput(app),
        pipelines: states.into_iter().map(|(state, count)| api::StateCount { state, count }).collect(),
        storage: storage(app),
        process: api::Process {
            version: app.about.version.clone(),
            started_us: app.started_us,
            memory_bytes: process::memory_bytes(),
            cpu_s: process::cpu_s(),
            queries_running: app.engine.running().len() as u64,
        },
        at_us: app.clock.now_us(),
        issues,
    }
}

fn issues(app: &App, flow: &[api::Pipeline]) -> Vec<api::Issue> {
    let now = app.clock.now_us();
    let mut found = Vec::new();
    let mut add = |severity: &str, about: &str, name: &str, message: String, hint: Option<String>, since_us: i64| {
        let (severity, about, name) = (severity.to_owned(), about.to_owned(), name.to_owned());
        found.push(api::Issue { severity, about, name, message, hint, since_us });
    };
    for p in flow {
        if let Some(error) = &p.last_error {
            add("error", "pipeline", &p.name, error.message.clone(), error.hint.clone(), error.at_us);
        } else if p.state == "streaming" && p.lag_ms.is_some_and(|lag| lag > LAG_WARN_MS) {
            let seconds = p.lag_ms.unwrap_or(0) / 1000;
            let hint = "Look at its throughput: either the source writes faster than lakebox reads, or a transform is slow.";
            add("warning", "pipeline", &p.name, format!("It is {seconds} s behind its source."), Some(hint.into()), now);
        }
        if let Some(warning) = &p.warning {
            let hint =
                "Find out why the pipeline lags before the server's disk is full; if it is no longer needed, drop its slot.";
            add("warning", "pipeline", &p.name, warning.clone(), Some(hint.into()), now);
        }
        for table in p.tables.iter().filter(|t| t.error.is_some()) {
            let hint =
                "The other tables go on. Mend the cause, then pause and resume the pipeline: the table is copied by itself."
                    .to_owned();
            add("error", "table", &table.lake_name, table.error.clone().unwrap_or_default(), Some(hint), now);
        }
    }
    for transform in &app.transforms {
        if let Err(error) = &transform.plugin {
            add("error", "transform", &transform.name, error.clone(), None, app.started_us);
        }
    }
    for model in app.models.status().into_iter().filter(|m| m.state == RunningState::Failed) {
        let hint = "The table keeps what its last good run made. Mend the cause; the model runs again by itself.".to_owned();
        let since = model.last_run.as_ref().map_or(now, |run| run.started_us);
        add("error", "model", &model.name, tables::model_error(&model), Some(hint), since);
    }
    if let Some(free) = free_bytes(app).filter(|free| *free < DISK_LOW_BYTES) {
        let message = format!("The disk of the warehouse has {} MB left.", free >> 20);
        add("warning", "process", "disk", message, Some("Commits stop, without loss, when it is full. Make room.".into()), now);
    }
    found
}

fn layers(app: &App, flow: &[api::Pipeline]) -> Vec<api::LayerHealth> {
    let view = app.lake.view();
    let failing: HashSet<_> = tables::table_errors(app).into_keys().collect();
    let source_lag = flow.iter().filter_map(|p| p.lag_ms).max();
    let now = app.clock.now_us();
    let oldest_model = app.models.status().iter().filter_map(model_as_of_us).min();
    let model_age = oldest_model.map(|at| u64::try_from((now - at) / 1000).unwrap_or(0));
    let layer = |layer: Layer| {
        let tables = view.tables.values().filter(|t| t.table.layer == layer);
        api::LayerHealth {
            layer: layer.as_str().to_owned(),
            tables: tables.clone().count() as u64,
            rows: tables.clone().map(|t| t.live_rows()).sum(),
            bytes: tables.flat_map(|t| t.files.iter()).map(|f| f.bytes).sum(),
            freshness_ms: if layer == Layer::Gold { model_age } else { source_lag },
            failing: failing.iter().filter(|t| t.layer == layer).count() as u64,
        }
    };
    Layer::ALL.into_iter().map(layer).collect()
}

/// Up to when a model's table is true: the oldest of its inputs at its last good run.
fn model_as_of_us(model: &ModelStatus) -> Option<i64> {
    let run = model.last_run.as_ref().filter(|run| run.state == RunState::Ok)?;
    AsOf::of_run(run).iter().filter_map(|input| input.commit_ts_us).min().or(Some(run.started_us))
}

/// Seconds of all pipelines added up.
fn throughput(app: &App) -> Vec<api::ThroughputPoint> {
    let mut by_second: BTreeMap<i64, api::ThroughputPoint> = BTreeMap::new();
    for second in app.pipelines.iter().flat_map(|p| p.monitor.seconds()) {
        let point = by_second.entry(second.at_us).or_insert_with(|| api::ThroughputPoint {
            at_us: second.at_us,
            rows: 0,
            bytes: 0,
            lag_ms: None,
        });
        point.rows += second.rows;
        point.bytes += second.bytes;
        point.lag_ms = point.lag_ms.max(second.lag_ms);
    }
    by_second.into_values().collect()
}

fn storage(app: &App) -> api::Storage {
    let stats = app.lake.stats();
    api::Storage {
        warehouse: app.about.warehouse.clone(),
        bytes: stats.bytes,
        files: stats.files,
        requests: stats.requests.requests(),
        disk_free_bytes: free_bytes(app),
    }
}

fn free_bytes(app: &App) -> Option<u64> {
    process::disk_free_bytes(app.warehouse_dir.as_deref()?)
}
