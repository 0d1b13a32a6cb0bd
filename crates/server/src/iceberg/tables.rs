use super::{
    IcebergSettings,
    answer::{About, Answer, Body, Params, Refusal},
    names::{self, Identifier, Paging},
};
use crate::app::App;
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lake::{CommitTable, CreateTable, LoadedTable};
use model::LakeTable;
use serde::Deserialize;
use serde_json::{Value, json};

/// The header with which a client says that it would take credentials.
const DELEGATION: &str = "x-iceberg-access-delegation";

pub(super) async fn list(
    State(app): State<App>,
    Path(namespace): Path<String>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Value>> {
    let found = app.lake.outside().tables(names::namespace(&namespace)?).await.map_err(Refusal::of(About::Namespace))?;
    let (page, next) = names::page(found, |t| t.name.clone(), &paging)?;
    let identifiers: Vec<Value> = page.iter().map(names::identifier).collect();
    Ok(Json(json!({"identifiers": identifiers, "next-page-token": next})))
}

pub(super) async fn create(
    State(app): State<App>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Body(body): Body<Value>,
) -> Answer<Response> {
    let layer = names::namespace(&namespace)?;
    let request = CreateTable::parse(body).map_err(Refusal::of(About::Table))?;
    let made = app.lake.outside().create_table(layer, request).await.map_err(Refusal::of(About::Namespace))?;
    Ok(result(&app.iceberg, &headers, made, true))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Which {
    snapshots: Option<String>,
}

pub(super) async fn load(
    State(app): State<App>,
    Path((namespace, name)): Path<(String, String)>,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Answer<Response> {
    let all = match which.snapshots.as_deref() {
        None | Some("all") => true,
        Some("refs") => false,
        Some(other) => return Err(Refusal::bad(format!("snapshots can be `all` or `refs`, not `{other}`"))),
    };
    let table = names::table(About::Table, &namespace, &name)?;
    let location = app.lake.outside().metadata_location(&table).map_err(Refusal::of(About::Table))?;
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let tag = etag(&location, all);
    if known.map(|k| k.trim().trim_start_matches("W/")).any(|k| k == tag || k == "*") {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut found = app.lake.outside().table(&table).map_err(Refusal::of(About::Table))?;
    if !all {
        only_referenced(&mut found.metadata);
    }
    Ok(result(&app.iceberg, &headers, found, all))
}

pub(super) async fn check(State(app): State<App>, Path((namespace, name)): Path<(String, String)>) -> Answer<StatusCode> {
    let table = names::table(About::Table, &namespace, &name)?;
    app.lake.outside().metadata_location(&table).map_err(Refusal::of(About::Table))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn commit(
    State(app): State<App>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body<Value>,
) -> Answer<Response> {
    let table = names::table(About::Table, &namespace, &name)?;
    let commit = CommitTable::parse(body).map_err(Refusal::of(About::Table))?;
    let done = app.lake.outside().commit(vec![(table, commit)]).await.map_err(Refusal::of(About::Commit))?;
    let done = done.into_iter().next().ok_or_else(|| Refusal::bad("the commit names no table"))?;
    Ok(result(&app.iceberg, &headers, done, true))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drop {
    purge_requested: Option<String>,
}

pub(super) async fn remove(
    State(app): State<App>,
    Path((namespace, name)): Path<(String, String)>,
    Params(drop): Params<Drop>,
) -> Answer<StatusCode> {
    let purge = match drop.purge_requested.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(Refusal::bad(format!("purgeRequested can be `true` or `false`, not `{other}`"))),
    };
    let table = names::table(About::Table, &namespace, &name)?;
    app.lake.outside().drop_table(&table, purge).await.map_err(Refusal::of(About::Table))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Register {
    name: String,
    metadata_location: String,
    #[serde(default)]
    overwrite: bool,
}

pub(super) async fn register(
    State(app): State<App>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Body(request): Body<Register>,
) -> Answer<Response> {
    let table = LakeTable::new(names::namespace(&namespace)?, &request.name);
    let outside = app.lake.outside();
    let made = outside.register_table(&table, &request.metadata_location, request.overwrite).await;
    Ok(result(&app.iceberg, &headers, made.map_err(Refusal::of(About::Namespace))?, true))
}

#[derive(Debug, Deserialize)]
pub(super) struct Rename {
    pub source: Identifier,
    pub destination: Identifier,
}

pub(super) async fn rename(State(app): State<App>, Body(request): Body<Rename>) -> Answer<StatusCode> {
    let (from, to) = (request.source.table(About::Table)?, request.destination.table(About::Namespace)?);
    let outside = app.lake.outside();
    outside.namespace(to.layer).await.map_err(Refusal::of(About::Namespace))?;
    outside.rename_table(&from, &to).await.map_err(Refusal::of(About::Table))?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a scan or commit went at the client. Nothing is made of it.
pub(super) async fn metrics(State(app): State<App>, Path((namespace, name)): Path<(String, String)>) -> Answer<StatusCode> {
    check(State(app), Path((namespace, name))).await
}

/// The warehouse's credentials, for clients that are to have them.
pub(super) async fn credentials(State(app): State<App>, Path((namespace, name)): Path<(String, String)>) -> Answer<Json<Value>> {
    let found = app.lake.outside().table(&names::table(About::Table, &namespace, &name)?).map_err(Refusal::of(About::Table))?;
    Ok(Json(json!({"storage-credentials": vended(&app.iceberg, &found.location)})))
}

fn vended(settings: &IcebergSettings, location: &str) -> Vec<Value> {
    let mut config = settings.storage.clone();
    config.extend(settings.credentials.clone());
    if settings.credentials.is_empty() { Vec::new() } else { vec![json!({"prefix": location, "config": config})] }
}

/// `LoadTableResult` of the specification, which is also what a commit answers.
fn result(settings: &IcebergSettings, headers: &HeaderMap, table: LoadedTable, all_snapshots: bool) -> Response {
    let wants = headers.get(DELEGATION).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("vended-credentials"));
    let mut config = settings.storage.clone();
    let mut body = json!({"metadata": table.metadata});
    if wants && !settings.credentials.is_empty() {
        // Older clients look for them among the settings.
        config.extend(settings.credentials.clone());
        body["storage-credentials"] = json!(vended(settings, &table.location));
    }
    body["config"] = json!(config);
    let Some(location) = table.metadata_location else { return Json(body).into_response() };
    let tag = HeaderValue::from_str(&etag(&location, all_snapshots));
    body["metadata-location"] = json!(location);
    match tag {
        Ok(tag) => ([(header::ETAG, tag)], Json(body)).into_response(),
        Err(_) => Json(body).into_response(),
    }
}

/// A metadata file never changes, so its name stands for what is in it.
fn etag(metadata_location: &str, all_snapshots: bool) -> String {
    let name = metadata_location.rsplit('/').next().unwrap_or_default().trim_end_matches(".metadata.json");
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    format!("\"{plain}{}\"", if all_snapshots { "" } else { "-refs" })
}

/// Leaves out snapshots that no branch or tag names.
fn only_referenced(metadata: &mut Value) {
    let named =
        |refs: &Value| -> Vec<Value> { refs.as_object().into_iter().flatten().map(|(_, r)| r["snapshot-id"].clone()).collect() };
    let mut keep = named(&metadata["refs"]);
    keep.push(metadata["current-snapshot-id"].clone());
    if let Some(snapshots) = metadata["snapshots"].as_array_mut() {
        snapshots.retain(|s| keep.contains(&s["snapshot-id"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_for_a_file_and_a_choice_of_snapshots() {
        let tag = etag("file:///lake/own/t/metadata/00001-ab-cd.metadata.json", true);
        assert_eq!(tag, "\"00001-ab-cd\"");
        assert_ne!(tag, etag("file:///lake/own/t/metadata/00001-ab-cd.metadata.json", false));
        assert_ne!(tag, etag("file:///lake/own/t/metadata/00002-ab-cd.metadata.json", true));
    }

    #[test]
    fn only_snapshots_with_a_name_stay() {
        let mut metadata = json!({
            "current-snapshot-id": 3,
            "refs": {"main": {"snapshot-id": 3}, "eoy": {"snapshot-id": 1}},
            "snapshots": [{"snapshot-id": 1}, {"snapshot-id": 2}, {"snapshot-id": 3}],
        });
        only_referenced(&mut metadata);
        assert_eq!(metadata["snapshots"], json!([{"snapshot-id": 1}, {"snapshot-id": 3}]));
    }
}
