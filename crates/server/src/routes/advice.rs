use crate::{app::App, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use medallion::{Advice, AppliedLayout, Kind};
use model::LakeTable;

/// Layouts that would let queries read less, and those that were applied.
#[utoipa::path(get, path = "/api/v1/advice", tag = "data", responses((status = 200, body = api::Advices)))]
pub(crate) async fn list(State(app): State<App>) -> Json<api::Advices> {
    Json(api::Advices {
        advice: app.advisor.advice().iter().map(wire).collect(),
        applied: app.advisor.applied().iter().map(applied).collect(),
    })
}

/// Lays a table out as advised from now on, and starts to rewrite its files.
#[utoipa::path(post, path = "/api/v1/advice/{id}/apply", tag = "data",
    params(("id" = String, Path, description = "The advice, for example `silver.shop_orders:sort:customer_id`")),
    responses((status = 202, body = api::AppliedLayout), (status = 404, body = api::Problem)))]
pub(crate) async fn apply(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<api::AppliedLayout>), Problem> {
    let refused = |e: medallion::Error| match e.kind {
        Kind::UnknownAdvice => Problem::unknown("advice", &id, app.advisor.advice().into_iter().map(|a| a.id)),
        _ => Problem::internal(&e),
    };
    let done = app.advisor.apply(&id).await.map_err(refused)?;
    Ok((StatusCode::ACCEPTED, Json(applied(&done))))
}

/// Takes back what was applied to a table. Its files stay as they are until upkeep rewrites them for another reason.
#[utoipa::path(delete, path = "/api/v1/tables/{layer}/{name}/layout", tag = "data",
    params(("layer" = String, Path, description = "`bronze`, `silver` or `gold`"), ("name" = String, Path, description = "The name inside the layer")),
    responses((status = 204), (status = 404, body = api::Problem)))]
pub(crate) async fn take_back(
    State(app): State<App>,
    Path((layer, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let named = format!("{layer}.{name}");
    let unknown = || Problem::unknown("applied layout", &named, app.advisor.applied().iter().map(|a| a.table.to_string()));
    let table: LakeTable = named.parse().map_err(|_| unknown())?;
    match app.advisor.take_back(&table).await.map_err(|e| Problem::internal(&e))? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(unknown()),
    }
}

/// Advice as clients see it.
pub(crate) fn wire(advice: &Advice) -> api::Advice {
    api::Advice {
        id: advice.id.clone(),
        table: advice.table.clone(),
        kind: advice.kind().to_owned(),
        columns: advice.columns(),
        queries: advice.queries,
        read_bytes: advice.read_bytes,
        expected_bytes: advice.expected_bytes,
        saved_bytes: advice.saved_bytes(),
        text: advice.to_string(),
    }
}

fn applied(layout: &AppliedLayout) -> api::AppliedLayout {
    api::AppliedLayout { table: layout.table.to_string(), layout: layout.rule.describe(), applied_us: layout.applied_us }
}
