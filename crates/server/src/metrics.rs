use crate::{app::App, process, routes::pipelines};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::ConstCounter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPipeline {
    pipeline: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPipelineState {
    pipeline: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTransform {
    transform: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTable {
    layer: String,
    table: String,
}

type Number = Gauge<f64, AtomicU64>;

/// Metrics in the OpenMetrics text format. Read from the same reports that the API shows, at the moment of the scrape.
#[utoipa::path(get, path = "/metrics", tag = "process", responses((status = 200, body = String)))]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry(&app)) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(e) => crate::problem::Problem::internal(&e).into_response(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point by their format")]
fn registry(app: &App) -> Registry {
    let mut registry = Registry::with_prefix("lakebox");
    flow(app, &mut registry);
    let rows = Family::<ByTable, Number>::default();
    let bytes = Family::<ByTable, Number>::default();
    let files = Family::<ByTable, Number>::default();
    for table in app.lake.view().tables.values() {
        let label = ByTable { layer: table.table.layer.to_string(), table: table.table.name.clone() };
        rows.get_or_create(&label).set(table.live_rows() as f64);
        bytes.get_or_create(&label).set(table.files.iter().map(|f| f.bytes).sum::<u64>() as f64);
        files.get_or_create(&label).set(table.files.len() as f64);
    }
    registry.register("table_rows", "Rows that queries see", rows);
    registry.register("table_bytes", "Bytes of live data files", bytes);
    registry.register("table_files", "Live data files", files);
    let requests = app.lake.stats().requests.requests();
    registry.register("store_requests", "Requests to the object store", ConstCounter::new(requests));
    let store = app.lake.warehouse();
    registry.register(
        "store_refused_answers",
        "Answers of the object store that were damaged, and asked for again",
        ConstCounter::new(store.refused_answers()),
    );
    if let Some(cache) = store.cache_counts() {
        registry.register("cache_hits", "Pieces of files that were in the cache", ConstCounter::new(cache.hits));
        registry.register("cache_misses", "Pieces of files that were not in the cache", ConstCounter::new(cache.misses));
        registry.register("cache_hit_bytes", "Bytes that were in the cache", ConstCounter::new(cache.hit_bytes));
        registry.register("cache_evicted", "Pieces of files that left the cache", ConstCounter::new(cache.evicted));
        registry.register("cache_damaged", "Files of the cache that were damaged", ConstCounter::new(cache.damaged));
        registry.register("cache_bytes", "Bytes that the cache holds", gauge(cache.bytes as f64));
        registry.register("cache_bytes_max", "Bytes that the cache may hold", gauge(cache.bytes_max as f64));
    }
    registry.register("queries_running", "Queries that run now", gauge(app.engine.running().len() as f64));
    registry.register("memory_bytes", "Resident memory", gauge(process::memory_bytes() as f64));
    registry.register("cpu_seconds", "CPU time used", ConstCounter::new(process::cpu_s()));
    registry
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point by their format")]
fn flow(app: &App, registry: &mut Registry) {
    let rows = Family::<ByPipeline, Number>::default();
    let lag = Family::<ByPipeline, Number>::default();
    let lag_bytes = Family::<ByPipeline, Number>::default();
    let commit_age = Family::<ByPipeline, Number>::default();
    let state = Family::<ByPipelineState, Number>::default();
    let dead = Family::<ByPipeline, Number>::default();
    let now = app.clock.now_us();
    for p in pipelines::all(app) {
        let label = ByPipeline { pipeline: p.name.clone() };
        rows.get_or_create(&label).set(p.rows_total as f64);
        dead.get_or_create(&label).set(p.dead_letters as f64);
        if let Some(ms) = p.lag_ms {
            lag.get_or_create(&label).set(ms as f64 / 1000.0);
        }
        if let Some(behind) = p.lag_bytes {
            lag_bytes.get_or_create(&label).set(behind as f64);
        }
        if let Some(at) = p.last_commit_at {
            commit_age.get_or_create(&label).set((now - at) as f64 / 1e6);
        }
        state.get_or_create(&ByPipelineState { pipeline: p.name, state: p.state }).set(1.0);
    }
    registry.register("pipeline_rows_committed", "Changes made durable since the pipeline exists", rows);
    registry.register("pipeline_lag_seconds", "Age of the newest change that queries can't see yet", lag);
    registry.register("pipeline_lag_bytes", "Bytes at the source that are not durable here yet", lag_bytes);
    registry.register("pipeline_commit_age_seconds", "Time since the last durable commit", commit_age);
    registry.register("pipeline_state", "1 for the state that the pipeline is in", state);
    registry.register("pipeline_dead_letters", "Dead letters since the process began", dead);
    let transformed = Family::<ByTransform, Number>::default();
    let traps = Family::<ByTransform, Number>::default();
    for transform in &app.transforms {
        let label = ByTransform { transform: transform.name.clone() };
        let counts = transform.stats.counts();
        transformed.get_or_create(&label).set(counts.rows_in as f64);
        traps.get_or_create(&label).set(counts.broken_calls() as f64);
    }
    registry.register("transform_rows", "Rows that went into the transform", transformed);
    registry.register("transform_traps", "Calls that trapped or ran out of time or memory", traps);
}

/// A gauge with one value.
fn gauge(value: f64) -> Number {
    let gauge = Number::default();
    gauge.set(value);
    gauge
}
