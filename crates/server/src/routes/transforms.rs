use crate::{
    app::{App, TransformEntry},
    extract::Params,
    problem::Problem,
    routes::sql,
};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

const LETTERS_DEFAULT: u32 = 100;
const LETTERS_MAX: u32 = 10_000;
/// How the tables of dead letters end, one for each source.
const LETTERS_SUFFIX: &str = "__dead_letters";

/// Every transform.
#[utoipa::path(get, path = "/api/v1/transforms", tag = "flow", responses((status = 200, body = [api::Transform])))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<api::Transform>> {
    Json(app.transforms.iter().map(|entry| wire(&app, entry)).collect())
}

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// At most so many (100 unless told, 10,000 at most).
    limit: Option<u32>,
    /// Only of this transform.
    transform: Option<String>,
    /// Only of this source.
    source: Option<String>,
}

/// Dead letters, newest first. The same rows are in `system.dead_letters`.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "flow", params(Filter), responses((status = 200, body = [api::DeadLetter])))]
pub(crate) async fn dead_letters(
    State(app): State<App>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<api::DeadLetter>>, Problem> {
    let limit = filter.limit.unwrap_or(LETTERS_DEFAULT).min(LETTERS_MAX);
    if !app.lake.view().tables.keys().any(|t| t.name.ends_with(LETTERS_SUFFIX)) {
        return Ok(Json(Vec::new()));
    }
    let (mut conditions, mut params) = (Vec::new(), Vec::new());
    for (column, value) in [("transform", filter.transform), ("source", filter.source)] {
        if let Some(value) = value {
            params.push(serde_json::Value::String(value));
            conditions.push(format!("{column} = ${}", params.len()));
        }
    }
    let only = if conditions.is_empty() { String::new() } else { format!("where {}", conditions.join(" and ")) };
    let statement = format!(
        "select source, \"table\", transform, plugin_version, error, pos, seq, op, \"row\", cast(commit_ts as bigint) \
         from system.dead_letters {only} order by ingest_ts desc, pos desc, seq desc limit {limit}"
    );
    let rows = sql::rows(&app, &statement, params).await?;
    Ok(Json(rows.iter().map(|row| letter(row)).collect()))
}

fn letter(row: &[serde_json::Value]) -> api::DeadLetter {
    let text = |i: usize| match row.get(i) {
        Some(serde_json::Value::String(s)) => s.clone(),
        None | Some(serde_json::Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    api::DeadLetter {
        source: text(0),
        table: text(1),
        transform: text(2),
        plugin_version: text(3),
        error: text(4),
        position: format!("{}.{}", text(5), text(6)),
        op: text(7),
        row: text(8),
        commit_ts_us: row.get(9).and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok())),
    }
}

fn wire(app: &App, entry: &TransformEntry) -> api::Transform {
    let counts = entry.stats.counts();
    let (info, hash, error) = match &entry.plugin {
        Ok((info, hash)) => (Some(info), hash.clone(), None),
        Err(error) => (None, String::new(), Some(error.clone())),
    };
    api::Transform {
        name: entry.name.clone(),
        path: entry.config.wasm.display().to_string(),
        description: info.map(|i| i.description.clone()).unwrap_or_default(),
        version: info.map(|i| i.version.clone()).unwrap_or_default(),
        hash,
        state: if error.is_some() { "failed" } else { "ready" }.to_owned(),
        error,
        memory_bytes_max: entry.config.memory_max_bytes,
        batch_ms_max: entry.config.batch_ms_max,
        on_error: entry.config.on_error.as_str().to_owned(),
        config: entry.config.config.clone(),
        used_by: app.pipelines.iter().filter(|p| p.transforms.contains(&entry.name)).map(|p| p.name.clone()).collect(),
        rows_in: counts.rows_in,
        rows_out: counts.rows_out,
        dead: counts.rows_failed,
        traps: counts.broken_calls(),
        ns_per_row: counts.ns_per_row(),
    }
}
