use crate::{app::App, problem::Problem};
use axum::{
    Json,
    body::Body,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use query::{Form, Kind, QueryRequest, QueryRunning, encode};
use std::time::Duration;

const CLIENT: &str = "http";

/// Runs one statement. One that makes or changes something takes effect at once, and its answer is one row: the `command`, and the `rows` that it changed.
/// The form of the answer is chosen by `Accept`: JSON, Arrow stream, CSV or NDJSON.
#[utoipa::path(post, path = "/api/v1/sql", tag = "sql", request_body = api::SqlRequest, responses(
    (status = 200, description = "the rows", content(
        (api::SqlResponse = "application/json"), (Vec<u8> = "application/vnd.apache.arrow.stream"), (String = "text/csv"), (String = "application/x-ndjson"))),
    (status = 400, description = "the statement can't be run as written", body = api::Problem),
    (status = 408, description = "it took too long", body = api::Problem),
    (status = 409, description = "others changed the same rows each time it was tried; nothing happened", body = api::Problem),
    (status = 499, description = "it was cancelled", body = api::Problem),
    (status = 503, description = "too many queries wait already", body = api::Problem)))]
pub(crate) async fn sql(
    State(app): State<App>,
    headers: HeaderMap,
    request: Result<Json<api::SqlRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(request) = request.map_err(|e| {
        Problem::new(StatusCode::BAD_REQUEST, "request.invalid", e.body_text())
            .hint("Send JSON like {\"query\": \"select 1\"} with the header content-type: application/json.")
    })?;
    if request.dry_run {
        return Ok(Json(estimate(&app, request).await?).into_response());
    }
    let running = run(&app, request).await?;
    let facts = facts(&running);
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let body = encode(running, Form::from_accept(accept)).await.map_err(|e| problem(&e))?;
    let content_type = HeaderValue::from_static(body.form.content_type());
    let mut response = Body::from_stream(body.chunks).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.headers_mut().extend(facts);
    Ok(response)
}

/// Carries a statement out that makes or changes something; starts any other.
async fn run(app: &App, request: api::SqlRequest) -> Result<QueryRunning, Problem> {
    let request = asked(request);
    match app.engine.change(&request).await.map_err(|e| problem(&e))? {
        Some(changed) => Ok(changed),
        None => app.engine.query(request).await.map_err(|e| problem(&e)),
    }
}

async fn start(app: &App, request: api::SqlRequest) -> Result<QueryRunning, Problem> {
    app.engine.query(asked(request)).await.map_err(|e| problem(&e))
}

fn asked(request: api::SqlRequest) -> QueryRequest {
    QueryRequest {
        sql: request.query,
        params: request.params,
        id: request.id,
        timeout: request.timeout_ms.map(Duration::from_millis),
        max_rows: request.max_rows,
        client: CLIENT.to_owned(),
    }
}

/// What a statement would read, in the shape of an answer without rows.
async fn estimate(app: &App, request: api::SqlRequest) -> Result<api::SqlResponse, Problem> {
    let began = app.clock.monotonic();
    let estimate = app.engine.estimate(asked(request)).await.map_err(|e| problem(&e))?;
    let column = |f: &arrow::datatypes::FieldRef| api::SqlColumn {
        name: f.name().clone(),
        data_type: query::sql_type_name(f.data_type()),
    };
    let scan = |s: &query::ScanEstimate| api::SqlScan {
        table: s.table.clone(),
        files: s.files,
        files_total: s.files_total,
        bytes: s.bytes,
        bytes_total: s.bytes_total,
    };
    let as_of = |(source, cursor): &(String, model::Cursor)| api::AsOf {
        source: source.clone(),
        cursor: cursor.display.clone(),
        commit_ts_us: cursor.commit_ts_us,
    };
    Ok(api::SqlResponse {
        columns: estimate.schema.fields().iter().map(column).collect(),
        rows: Vec::new(),
        row_count: 0,
        truncated: false,
        elapsed_ms: app.clock.monotonic().saturating_sub(began).as_secs_f64() * 1e3,
        bytes_scanned: 0,
        cost_usd: 0.0,
        query_id: String::new(),
        as_of: estimate.as_of.iter().map(as_of).collect(),
        estimate: Some(api::SqlEstimate {
            files: estimate.files(),
            files_total: estimate.files_total(),
            bytes: estimate.bytes(),
            bytes_total: estimate.scans.iter().map(|s| s.bytes_total).sum(),
            cost_usd: estimate.cost_usd,
            scans: estimate.scans.iter().map(scan).collect(),
        }),
    })
}

/// What is known before the first row, for answers that have no room for it.
fn facts(running: &QueryRunning) -> HeaderMap {
    let as_of: Vec<String> = running.as_of.iter().map(|(source, cursor)| format!("{source}={}", cursor.display)).collect();
    let elapsed = format!("{:.3}", running.planned_in.as_secs_f64() * 1000.0);
    let facts =
        [("x-lakebox-query-id", running.id.clone()), ("x-lakebox-elapsed-ms", elapsed), ("x-lakebox-as-of", as_of.join(","))];
    let header = |(name, value): (&'static str, String)| {
        Some((header::HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    };
    facts.into_iter().filter_map(header).collect()
}

/// The rows of a statement of ours, as JSON values.
pub(crate) async fn rows(
    app: &App,
    statement: &str,
    params: Vec<serde_json::Value>,
) -> Result<Vec<Vec<serde_json::Value>>, Problem> {
    let request =
        api::SqlRequest { query: statement.to_owned(), params, id: None, max_rows: None, timeout_ms: None, dry_run: false };
    let body = encode(start(app, request).await?, Form::Json).await.map_err(|e| problem(&e))?;
    let bytes = axum::body::to_bytes(Body::from_stream(body.chunks), usize::MAX).await;
    let bytes = bytes.map_err(|e| Problem::internal(&e))?;
    let response: api::SqlResponse = serde_json::from_slice(&bytes).map_err(|e| Problem::internal(&e))?;
    Ok(response.rows)
}

fn problem(error: &query::Error) -> Problem {
    let status = match error.kind {
        Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
        Kind::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Storage | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(cause = ?error.source, "a query failed: {error}");
    }
    let mut problem = Problem::new(status, error.kind.code(), error.message.clone());
    if let Some(hint) = &error.hint {
        problem = problem.hint(hint.clone());
    }
    match (error.line, error.column) {
        (Some(line), column) => problem.at(line, column.unwrap_or(1)),
        _ => problem,
    }
}
