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
        routes::upkeep::get,
        routes::upkeep::run,
        routes::upkeep::of_table,
        routes::crawlers::list,
        routes::crawlers::get,
        routes::crawlers::run,
        routes::advice::list,
        routes::advice::apply,
        routes::advice::take_back,
        routes::transforms::list,
        routes::transforms::dead_letters,
        routes::models::list,
        routes::models::run,
        routes::models::runs,
        routes::sql::sql,
        routes::queries::list,
        routes::queries::cancel,
        routes::queries::schema,
        routes::uploads::list,
        routes::uploads::add,
        routes::uploads::remove,
        routes::saved::list,
        routes::saved::add,
        routes::saved::set,
        routes::saved::remove,
    )
)]
struct Api;

/// The document, with a name of its own for every operation: its method and path.
fn document() -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    for (path, item) in &mut api.paths.paths {
        let words: Vec<&str> = path.split(['/', '{', '}', '-', '.']).filter(|w| !matches!(*w, "" | "api" | "v1")).collect();
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{}", words.join("_")));
            }
        }
    }
    api
}

/// The whole API as OpenAPI 3.1, pretty-printed; what `openapi.json` in the repository holds.
///
/// # Errors
/// Never in practice: when the document can't be serialised.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    document().to_pretty_json().map(|text| text + "\n")
}

/// `GET /api/openapi.json`.
pub(crate) async fn get() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let api: serde_json::Value = serde_json::from_str(&super::openapi_json().unwrap()).unwrap();
        let operations = api["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
        let names: Vec<&str> = operations.map(|o| o["operationId"].as_str().unwrap()).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{names:?}");
        assert!(names.contains(&"get_tables_layer_name") && names.contains(&"post_sql"), "{names:?}");
    }
}
