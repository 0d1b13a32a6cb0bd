//! HTTP: the API, the Iceberg REST catalog, the embedded dashboard, metrics. One more reader of what the rooms below hold; it owns no state of its own.
//!
//! Never talks to a source, never writes a table, and knows no SQL engine but `query`.

mod app;
mod assets;
mod extract;
mod guard;
mod iceberg;
mod metrics;
mod openapi;
mod problem;
mod process;
mod routes;

pub use app::{App, AppParts, TransformEntry};
pub use iceberg::{IcebergClient, IcebergSettings};
pub use openapi::openapi_json;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post, put},
};
use guard::AllowedHosts;
use runtime::CancellationToken;
use std::{io, sync::Arc};
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;

/// Serves until `stop`; then no new request is taken, and those under way may end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(app: App, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router(app)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(app: App) -> Router {
    use routes::{
        about, advice, crawlers, events, health, models, overview, pipelines, queries, saved, sql, tables, transforms, upkeep,
        uploads,
    };
    let hosts = AllowedHosts(Arc::from(app.hosts.clone()));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/openapi.json", get(openapi::get))
        .route("/api/v1/about", get(about::about))
        .route("/api/v1/overview", get(overview::get))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/pipelines", get(pipelines::list))
        .route("/api/v1/pipelines/{name}", get(pipelines::get))
        .route("/api/v1/pipelines/{name}/throughput", get(pipelines::throughput))
        .route("/api/v1/pipelines/{name}/pause", post(pipelines::pause))
        .route("/api/v1/pipelines/{name}/resume", post(pipelines::resume))
        .route("/api/v1/pipelines/{name}/resync", post(pipelines::resync))
        .route("/api/v1/tables", get(tables::list))
        .route("/api/v1/tables/{layer}/{name}", get(tables::get))
        .route("/api/v1/tables/{layer}/{name}/snapshots", get(tables::snapshots))
        .route("/api/v1/tables/{layer}/{name}/files", get(tables::files))
        .route("/api/v1/tables/{layer}/{name}/upkeep", get(upkeep::of_table))
        .route("/api/v1/tables/{layer}/{name}/layout", delete(advice::take_back))
        .route("/api/v1/advice", get(advice::list))
        .route("/api/v1/advice/{id}/apply", post(advice::apply))
        .route("/api/v1/upkeep", get(upkeep::get).post(upkeep::run))
        .route("/api/v1/crawlers", get(crawlers::list))
        .route("/api/v1/crawlers/{name}", get(crawlers::get))
        .route("/api/v1/crawlers/{name}/run", post(crawlers::run))
        // Uploads are as large as the setting says, and are never held in memory.
        .route("/api/v1/uploads", get(uploads::list).post(uploads::add).layer(DefaultBodyLimit::disable()))
        .route("/api/v1/uploads/{name}", delete(uploads::remove))
        .route("/api/v1/transforms", get(transforms::list))
        .route("/api/v1/dead-letters", get(transforms::dead_letters))
        .route("/api/v1/models", get(models::list))
        .route("/api/v1/models/{name}/run", post(models::run))
        .route("/api/v1/models/{name}/runs", get(models::runs))
        .route("/api/v1/sql", post(sql::sql))
        .route("/api/v1/queries", get(queries::list))
        .route("/api/v1/queries/{id}", delete(queries::cancel))
        .route("/api/v1/schema", get(queries::schema))
        .route("/api/v1/saved-queries", get(saved::list).post(saved::add))
        .route("/api/v1/saved-queries/{id}", put(saved::set).delete(saved::remove))
        .nest("/iceberg", iceberg::router(&app))
        .fallback(assets::serve)
        .method_not_allowed_fallback(problem::Problem::wrong_method)
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(hosts, guard::same_site))
        .with_state(app)
}
