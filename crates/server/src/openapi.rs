use crate::{metrics, routes};
use axum::Json;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "lakebox",
        description = "Everything the dashboard and the command line use. Errors are application/problem+json.",
        license(name = "Apache-2.0")
    ),
    paths(
        routes::health::healthz,
        routes::health::readyz,
        metrics::metrics,
        routes::about::about,
        routes::overview::get,
        routes::events::events,
        routes::pipelines::list,
        routes::pipelines::get,
        routes::pipelines::throughput,
        routes::pipelines::pause,
        routes::pipelines::resume,
        routes::pipelines::resync,
        routes::tables::list,
        routes::tables::get,
        routes::tables::snapshots,
        routes::tables::files,
        routes::transforms::list,
        routes::transforms::dead_letters,
        routes::models::list,
        routes::models::run,
        routes::models::runs,
        routes::sql::sql,
        routes::queries::list,
        routes::queries::cancel,
        routes::queries::schema,
        routes::saved::list,
        routes::saved::add,
        routes::saved::set,
        routes::saved::remove,
    )
)]
struct Api;

/// The whole API as OpenAPI 3.1, pretty-printed; what `openapi.json` in the repository holds.
///
/// # Errors
/// Never in practice: when the document can't be serialised.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    Api::openapi().to_pretty_json().map(|text| text + "\n")
}

/// `GET /api/openapi.json`.
pub(crate) async fn get() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}
