use crate::{app::App, extract::Body, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use catalog::SavedQuery;

const NAME_CHARS_MAX: usize = 200;
const QUERY_BYTES_MAX: usize = 256 << 10;

/// Every saved query.
#[utoipa::path(get, path = "/api/v1/saved-queries", tag = "sql", responses((status = 200, body = [api::SavedQuery])))]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<api::SavedQuery>>, Problem> {
    let saved = app.catalog.saved_queries().await.map_err(|e| Problem::internal(&e))?;
    Ok(Json(saved.into_iter().map(wire).collect()))
}

/// Saves a query.
#[utoipa::path(post, path = "/api/v1/saved-queries", tag = "sql", request_body = api::SavedQuery,
    responses((status = 201, body = api::SavedQuery), (status = 400, body = api::Problem)))]
pub(crate) async fn add(
    State(app): State<App>,
    Body(query): Body<api::SavedQuery>,
) -> Result<(StatusCode, Json<api::SavedQuery>), Problem> {
    check(&query)?;
    let saved = app.catalog.add_saved_query(query.name.trim(), &query.query).await.map_err(|e| Problem::internal(&e))?;
    Ok((StatusCode::CREATED, Json(wire(saved))))
}

/// Changes a saved query.
#[utoipa::path(put, path = "/api/v1/saved-queries/{id}", tag = "sql", params(("id" = String, Path, description = "Its id")), request_body = api::SavedQuery,
    responses((status = 200, body = api::SavedQuery), (status = 404, body = api::Problem)))]
pub(crate) async fn set(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(query): Body<api::SavedQuery>,
) -> Result<Json<api::SavedQuery>, Problem> {
    check(&query)?;
    let set = app.catalog.set_saved_query(&id, query.name.trim(), &query.query).await.map_err(|e| Problem::internal(&e))?;
    set.map(|saved| Json(wire(saved))).ok_or_else(|| gone(&id))
}

/// Forgets a saved query.
#[utoipa::path(delete, path = "/api/v1/saved-queries/{id}", tag = "sql", params(("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = 404, body = api::Problem)))]
pub(crate) async fn remove(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let removed = app.catalog.remove_saved_query(&id).await.map_err(|e| Problem::internal(&e))?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(gone(&id)) }
}

fn check(query: &api::SavedQuery) -> Result<(), Problem> {
    let bad = |detail: String| Err(Problem::new(StatusCode::BAD_REQUEST, "saved_query.invalid", detail));
    match () {
        () if query.name.trim().is_empty() => bad("A saved query needs a name.".into()),
        () if query.name.chars().count() > NAME_CHARS_MAX => bad(format!("The name is longer than {NAME_CHARS_MAX} characters.")),
        () if query.query.len() > QUERY_BYTES_MAX => bad(format!("The statement is longer than {QUERY_BYTES_MAX} bytes.")),
        () => Ok(()),
    }
}

fn gone(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "saved_query.unknown", format!("There is no saved query with the id `{id}`."))
        .hint("It may have been deleted meanwhile; list the saved queries again.")
}

fn wire(saved: SavedQuery) -> api::SavedQuery {
    api::SavedQuery { id: saved.id, name: saved.name, query: saved.query, updated_us: saved.updated_us }
}
