//! The Iceberg REST catalog at `/iceberg`, as the OpenAPI specification of Apache Iceberg describes it: outside engines find, make and change
//! tables through it while lakebox goes on writing its own.

mod answer;
mod auth;
mod config;
mod names;
mod namespaces;
mod settings;
mod tables;
mod token;
mod transactions;
mod views;

pub use settings::{IcebergClient, IcebergSettings};

use crate::app::App;
use answer::Refusal;
use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri},
    http::{Method, StatusCode},
    middleware,
    routing::{get, post},
};

/// A commit lists every snapshot that it expires and every file of statistics, so a body may be large; a table's rows are never in it.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Everything under `/iceberg`.
pub(crate) fn router(app: &App) -> Router<App> {
    let guarded = Router::new()
        .route("/v1/config", get(config::config))
        .route("/v1/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/v1/namespaces/{namespace}", get(namespaces::load).head(namespaces::check).delete(namespaces::remove))
        .route("/v1/namespaces/{namespace}/properties", post(namespaces::properties))
        .route("/v1/namespaces/{namespace}/tables", get(tables::list).post(tables::create))
        .route(
            "/v1/namespaces/{namespace}/tables/{table}",
            get(tables::load).head(tables::check).post(tables::commit).delete(tables::remove),
        )
        .route("/v1/namespaces/{namespace}/tables/{table}/credentials", get(tables::credentials))
        .route("/v1/namespaces/{namespace}/tables/{table}/metrics", post(tables::metrics))
        .route("/v1/namespaces/{namespace}/register", post(tables::register))
        .route("/v1/tables/rename", post(tables::rename))
        .route("/v1/transactions/commit", post(transactions::commit))
        .route("/v1/namespaces/{namespace}/views", get(views::list).post(views::create))
        .route(
            "/v1/namespaces/{namespace}/views/{view}",
            get(views::load).head(views::check).post(views::replace).delete(views::remove),
        )
        .route("/v1/views/rename", post(views::rename))
        .route_layer(middleware::from_fn_with_state(app.clone(), auth::check));
    Router::new()
        .route("/v1/oauth/tokens", post(token::issue))
        .merge(guarded)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Refusal {
    let message = format!("{} is not an endpoint of this catalog; GET /iceberg/v1/config lists those that are", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, "NotFoundException", message)
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> Refusal {
    let message = format!("{} is not answered to {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedOperationException", message)
}
