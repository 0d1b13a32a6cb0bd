use crate::{app::App, extract::Body, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use catalog::{CrawlRecord, CrawledRecord, DriftRecord};
use medallion::{CrawlStatus, Kind};

/// Changes that are told with a crawler.
const DRIFT: u32 = 100;
/// Changes that are told in a list.
const DRIFT_IN_LIST: usize = 10;

/// Every crawler of the configuration, with its tables.
#[utoipa::path(get, path = "/api/v1/crawlers", tag = "data", responses((status = 200, body = [api::Crawler])))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<api::Crawler>> {
    let recent = app.crawlers.recent_drift();
    let one = |status: CrawlStatus| {
        let own = recent.iter().filter(|d| d.crawler == status.settings.name).take(DRIFT_IN_LIST);
        let drift = own.map(drift).collect();
        crawler(status, drift)
    };
    Json(app.crawlers.all().into_iter().map(one).collect())
}

/// One crawler, with more of what it saw change.
#[utoipa::path(get, path = "/api/v1/crawlers/{name}", tag = "data", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = api::Crawler), (status = 404, body = api::Problem)))]
pub(crate) async fn get(State(app): State<App>, Path(name): Path<String>) -> Result<Json<api::Crawler>, Problem> {
    let status = app.crawlers.get(&name).ok_or_else(|| unknown(&app, &name))?;
    told(&app, status).await.map(Json)
}

/// Crawls now.
#[utoipa::path(post, path = "/api/v1/crawlers/{name}/run", tag = "data", params(("name" = String, Path, description = "Its name")),
    request_body = api::CrawlRequest,
    responses((status = 200, body = api::Crawler), (status = 202, body = api::Crawler), (status = 404, body = api::Problem)))]
pub(crate) async fn run(
    State(app): State<App>,
    Path(name): Path<String>,
    Body(request): Body<api::CrawlRequest>,
) -> Result<(StatusCode, Json<api::Crawler>), Problem> {
    let status = app.crawlers.run(&name, request.wait).await.map_err(|e| match e.kind {
        Kind::UnknownTable => unknown(&app, &name),
        _ => Problem::internal(&e),
    })?;
    let code = if request.wait { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((code, Json(told(&app, status).await?)))
}

fn unknown(app: &App, name: &str) -> Problem {
    Problem::unknown("crawler", name, app.crawlers.all().into_iter().map(|c| c.settings.name))
}

async fn told(app: &App, status: CrawlStatus) -> Result<api::Crawler, Problem> {
    let seen = app.crawlers.drift(&status.settings.name, DRIFT).await.map_err(|e| Problem::internal(&e))?;
    Ok(crawler(status, seen.iter().map(drift).collect()))
}

/// A crawler as clients see it.
pub(crate) fn crawler(status: CrawlStatus, drift: Vec<api::Drift>) -> api::Crawler {
    let CrawlStatus { settings, crawling_since_us, last } = status;
    let state = match &last {
        _ if crawling_since_us.is_some() => "crawling",
        None => "new",
        Some(last) if last.error.is_some() || last.tables.iter().any(|t| t.error.is_some()) => "failing",
        Some(_) => "ok",
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let elapsed = |l: &CrawlRecord| (l.finished_us - l.started_us) as f64 / 1000.0;
    api::Crawler {
        name: settings.name,
        url: settings.url,
        format: settings.format.map(|f| f.as_str().to_owned()),
        every_ms: settings.every.as_secs_f64() * 1000.0,
        state: state.to_owned(),
        crawling_since_us,
        crawled_us: last.as_ref().map(|l| l.finished_us),
        elapsed_ms: last.as_ref().map(elapsed),
        error: last.as_ref().and_then(|l| l.error.clone()),
        hint: last.as_ref().and_then(|l| l.hint.clone()),
        tables: last.map(|l| l.tables.into_iter().map(table).collect()).unwrap_or_default(),
        drift,
    }
}

fn table(record: CrawledRecord) -> api::CrawledTable {
    api::CrawledTable {
        name: record.name,
        path: record.path,
        format: record.format,
        columns: record.columns.into_iter().map(|(name, data_type)| api::SqlColumn { name, data_type }).collect(),
        partitions: record.partitions,
        files: record.files,
        bytes: record.bytes,
        rows: record.rows,
        error: record.error,
        hint: record.hint,
    }
}

/// A change as clients see it.
pub(crate) fn drift(record: &DriftRecord) -> api::Drift {
    api::Drift {
        seen_us: record.seen_us,
        crawler: record.crawler.clone(),
        table: record.table.clone(),
        kind: record.kind.clone(),
        column: record.column.clone(),
        was: record.was.clone(),
        becomes: record.becomes.clone(),
        file: record.file.clone(),
    }
}
