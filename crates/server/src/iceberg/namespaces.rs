use super::{
    answer::{About, Answer, Body, Params, Refusal},
    names::{self, Paging},
};
use crate::app::App;
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub(super) struct Below {
    parent: Option<String>,
    #[serde(flatten)]
    paging: Pages,
}

/// [`Paging`] beside another parameter: behind a flatten every value is a text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pages {
    page_token: Option<String>,
    page_size: Option<String>,
}

impl Pages {
    fn paging(self) -> Answer<Paging> {
        let size = self.page_size.map(|s| s.parse().map_err(|_| Refusal::bad(format!("pageSize `{s}` is no number"))));
        Ok(Paging::new(self.page_token, size.transpose()?))
    }
}

/// All namespaces, or those below one; no namespace has any below it.
pub(super) async fn list(State(app): State<App>, Params(below): Params<Below>) -> Answer<Json<Value>> {
    let outside = app.lake.outside();
    let found = match below.parent.as_deref().filter(|p| !p.is_empty()) {
        Some(parent) => {
            outside.namespace(names::namespace(parent)?).await.map_err(Refusal::of(About::Namespace))?;
            Vec::new()
        }
        None => outside.namespaces().await.map_err(Refusal::of(About::Namespace))?,
    };
    let (page, next) = names::page(found, ToString::to_string, &below.paging.paging()?)?;
    let namespaces: Vec<[&str; 1]> = page.iter().map(|layer| [layer.as_str()]).collect();
    Ok(Json(json!({"namespaces": namespaces, "next-page-token": next})))
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    namespace: Vec<String>,
    #[serde(default)]
    properties: Option<BTreeMap<String, String>>,
}

pub(super) async fn create(State(app): State<App>, Body(request): Body<Create>) -> Answer<Json<Value>> {
    let name = match request.namespace.as_slice() {
        [name] => name,
        levels => {
            let message = format!("`{}` has {} levels; a namespace of lakebox has one", levels.join("."), levels.len());
            return Err(Refusal::bad(message));
        }
    };
    let properties = request.properties.unwrap_or_default();
    let made = app.lake.outside().create_namespace(name, &properties).await.map_err(Refusal::of(About::Namespace))?;
    Ok(Json(json!({"namespace": [made.layer.as_str()], "properties": made.properties})))
}

pub(super) async fn load(State(app): State<App>, Path(namespace): Path<String>) -> Answer<Json<Value>> {
    let found = app.lake.outside().namespace(names::namespace(&namespace)?).await.map_err(Refusal::of(About::Namespace))?;
    Ok(Json(json!({"namespace": [found.layer.as_str()], "properties": found.properties})))
}

pub(super) async fn check(State(app): State<App>, Path(namespace): Path<String>) -> Answer<StatusCode> {
    app.lake.outside().namespace(names::namespace(&namespace)?).await.map_err(Refusal::of(About::Namespace))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(State(app): State<App>, Path(namespace): Path<String>) -> Answer<StatusCode> {
    app.lake.outside().drop_namespace(names::namespace(&namespace)?).await.map_err(Refusal::of(About::Namespace))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    removals: Option<Vec<String>>,
    #[serde(default)]
    updates: Option<BTreeMap<String, String>>,
}

pub(super) async fn properties(
    State(app): State<App>,
    Path(namespace): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Json<Value>> {
    let (remove, set) = (change.removals.unwrap_or_default(), change.updates.unwrap_or_default());
    let both = remove.iter().find(|name| set.contains_key(*name));
    if let Some(both) = both {
        let message = format!("The property `{both}` is to be both removed and set");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "UnprocessableEntityException", message));
    }
    let layer = names::namespace(&namespace)?;
    let done = app.lake.outside().change_namespace(layer, &remove, &set).await.map_err(Refusal::of(About::Namespace))?;
    Ok(Json(json!({"updated": done.updated, "removed": done.removed, "missing": done.missing})))
}
