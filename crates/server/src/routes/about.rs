use crate::app::App;
use axum::{Json, extract::State};

/// What this lakebox is.
#[utoipa::path(get, path = "/api/v1/about", tag = "process", responses((status = 200, body = api::About)))]
pub(crate) async fn about(State(app): State<App>) -> Json<api::About> {
    Json(app.about.clone())
}
