use super::{
    answer::{About, Answer, Body, Params, Refusal},
    names::{self, Paging},
    tables::Rename,
};
use crate::app::App;
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use lake::{CommitView, CreateView, LoadedView};
use serde_json::{Value, json};

pub(super) async fn list(
    State(app): State<App>,
    Path(namespace): Path<String>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Value>> {
    let found = app.lake.outside().views(names::namespace(&namespace)?).await.map_err(Refusal::of(About::Namespace))?;
    let (page, next) = names::page(found, |v| v.name.clone(), &paging)?;
    let identifiers: Vec<Value> = page.iter().map(names::identifier).collect();
    Ok(Json(json!({"identifiers": identifiers, "next-page-token": next})))
}

pub(super) async fn create(
    State(app): State<App>,
    Path(namespace): Path<String>,
    Body(body): Body<Value>,
) -> Answer<Json<Value>> {
    let layer = names::namespace(&namespace)?;
    let request = CreateView::parse(body).map_err(Refusal::of(About::View))?;
    let made = app.lake.outside().create_view(layer, request).await.map_err(Refusal::of(About::Namespace))?;
    Ok(result(made))
}

pub(super) async fn load(State(app): State<App>, Path((namespace, name)): Path<(String, String)>) -> Answer<Json<Value>> {
    let found = app.lake.outside().view(&names::table(About::View, &namespace, &name)?).await;
    found.map(result).map_err(Refusal::of(About::View))
}

pub(super) async fn check(State(app): State<App>, Path((namespace, name)): Path<(String, String)>) -> Answer<StatusCode> {
    app.lake.outside().check_view(&names::table(About::View, &namespace, &name)?).await.map_err(Refusal::of(About::View))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn replace(
    State(app): State<App>,
    Path((namespace, name)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Answer<Json<Value>> {
    let view = names::table(About::View, &namespace, &name)?;
    let commit = CommitView::parse(body).map_err(Refusal::of(About::View))?;
    app.lake.outside().replace_view(&view, commit).await.map(result).map_err(Refusal::of(About::View))
}

pub(super) async fn remove(State(app): State<App>, Path((namespace, name)): Path<(String, String)>) -> Answer<StatusCode> {
    app.lake.outside().drop_view(&names::table(About::View, &namespace, &name)?).await.map_err(Refusal::of(About::View))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rename(State(app): State<App>, Body(request): Body<Rename>) -> Answer<StatusCode> {
    let (from, to) = (request.source.table(About::View)?, request.destination.table(About::Namespace)?);
    let outside = app.lake.outside();
    outside.namespace(to.layer).await.map_err(Refusal::of(About::Namespace))?;
    outside.rename_view(&from, &to).await.map_err(Refusal::of(About::View))?;
    Ok(StatusCode::NO_CONTENT)
}

fn result(view: LoadedView) -> Json<Value> {
    Json(json!({"metadata-location": view.metadata_location, "metadata": view.metadata, "config": {}}))
}
