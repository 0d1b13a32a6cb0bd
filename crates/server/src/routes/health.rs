use crate::{app::App, problem::Problem};
use axum::{extract::State, http::StatusCode};

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "process", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// The process can answer queries: catalog and lake are open. A source that is down does not make lakebox unready.
#[utoipa::path(get, path = "/readyz", tag = "process", responses((status = 200, body = String), (status = 503, body = api::Problem)))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    match app.catalog.ping().await {
        Ok(()) => Ok("ready"),
        Err(e) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "catalog.unreachable", e.to_string())),
    }
}
