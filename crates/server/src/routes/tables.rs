use crate::{app::App, problem::Problem};
use axum::{
    Json,
    extract::{Path, State},
};
use lake::{SnapshotInfo, TableInfo, TableView, field_id};
use medallion::{ModelStatus, RunningState};
use model::{LakeTable, Layer, lake_name};
use query::sql_type_name;
use std::{collections::BTreeMap, sync::Arc};

/// Every table of the lake.
#[utoipa::path(get, path = "/api/v1/tables", tag = "data", responses((status = 200, body = [api::TableSummary])))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<api::TableSummary>> {
    let view = app.lake.view();
    let errors = table_errors(&app);
    Json(view.tables.values().map(|table| summary(&app, table, &errors)).collect())
}

/// One table.
#[utoipa::path(get, path = "/api/v1/tables/{layer}/{name}", tag = "data",
    params(("layer" = String, Path, description = "`bronze`, `silver`, `gold` or a namespace of one's own"), ("name" = String, Path, description = "The name inside the layer")),
    responses((status = 200, body = api::TableDetail), (status = 404, body = api::Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    Path((layer, name)): Path<(String, String)>,
) -> Result<Json<api::TableDetail>, Problem> {
    let (view, info) = find(&app, &layer, &name)?;
    let (upstream, downstream) = lineage(&app, &view.table);
    let deletes = info.files.iter().filter(|f| f.is_deletes);
    Ok(Json(api::TableDetail {
        summary: summary(&app, &view, &table_errors(&app)),
        location: info.location.clone(),
        metadata_location: info.metadata_location.clone(),
        format_version: info.format_version,
        columns: view.schema.fields().iter().map(|field| column(field)).collect(),
        key: view.key.clone(),
        sort_order: sort_order(&view.sort_order),
        partition_by: info.partition_by.clone(),
        cursor: info.cursor.clone(),
        deleted_rows: view.files.iter().map(|f| f.deleted.as_ref().map_or(0, |d| d.len())).sum(),
        delete_bytes: deletes.map(|f| f.bytes).sum(),
        upstream,
        downstream,
        properties: info
            .properties
            .iter()
            .map(|(name, value)| api::Property { name: name.clone(), value: value.clone() })
            .collect(),
    }))
}

/// Snapshots of a table, newest first.
#[utoipa::path(get, path = "/api/v1/tables/{layer}/{name}/snapshots", tag = "data",
    params(("layer" = String, Path, description = "`bronze`, `silver`, `gold` or a namespace of one's own"), ("name" = String, Path, description = "The name inside the layer")),
    responses((status = 200, body = [api::TableSnapshot]), (status = 404, body = api::Problem)))]
pub(crate) async fn snapshots(
    State(app): State<App>,
    Path((layer, name)): Path<(String, String)>,
) -> Result<Json<Vec<api::TableSnapshot>>, Problem> {
    let (_, info) = find(&app, &layer, &name)?;
    Ok(Json(info.snapshots.iter().map(snapshot).collect()))
}

/// Live files of a table.
#[utoipa::path(get, path = "/api/v1/tables/{layer}/{name}/files", tag = "data",
    params(("layer" = String, Path, description = "`bronze`, `silver`, `gold` or a namespace of one's own"), ("name" = String, Path, description = "The name inside the layer")),
    responses((status = 200, body = [api::TableFile]), (status = 404, body = api::Problem)))]
pub(crate) async fn files(
    State(app): State<App>,
    Path((layer, name)): Path<(String, String)>,
) -> Result<Json<Vec<api::TableFile>>, Problem> {
    let (_, info) = find(&app, &layer, &name)?;
    let wire = |file: &lake::FileInfo| api::TableFile {
        path: file.location.clone(),
        content: match (file.is_deletes, file.is_vector) {
            (false, _) => "data",
            (true, false) => "position deletes",
            (true, true) => "deletion vector",
        }
        .to_owned(),
        rows: file.rows,
        deleted_rows: file.deleted_rows,
        bytes: file.bytes,
        sequence: file.sequence,
        partition: file.partition.clone(),
    };
    Ok(Json(info.files.iter().map(wire).collect()))
}

fn find(app: &App, layer: &str, name: &str) -> Result<(Arc<TableView>, TableInfo), Problem> {
    let view = app.lake.view();
    let known = || view.tables.keys().filter(|t| t.layer.as_str() == layer).map(|t| t.name.clone());
    let unknown = || Problem::unknown("table", &format!("{layer}.{name}"), known());
    let table = LakeTable::new(layer.parse().map_err(|_| unknown())?, name);
    let found = view.tables.get(&table).ok_or_else(unknown)?;
    let info = app.lake.info(&table).ok_or_else(unknown)?;
    Ok((Arc::clone(found), info))
}

fn summary(app: &App, view: &TableView, errors: &BTreeMap<LakeTable, String>) -> api::TableSummary {
    // Not the table's info: that copies every snapshot, and a lake has thousands of tables.
    let state = app.lake.tables().state(&view.table);
    api::TableSummary {
        layer: view.table.layer.as_str().to_owned(),
        name: view.table.name.clone(),
        writer: state.as_ref().and_then(|s| s.writer()).map(str::to_owned),
        rows: view.live_rows(),
        bytes: view.files.iter().map(|f| f.bytes).sum(),
        files: view.files.len() as u64,
        hot_rows: view.hot_rows(),
        last_commit_us: state.map(|s| s.updated_us()),
        error: errors.get(&view.table).cloned(),
    }
}

/// What is wrong with tables, by the reports of those that write them.
pub(crate) fn table_errors(app: &App) -> BTreeMap<LakeTable, String> {
    let mut errors = BTreeMap::new();
    for handle in &app.pipelines {
        for table in handle.monitor.report().tables {
            if let Some(error) = table.error {
                let name = lake_name(&handle.name, &table.id);
                errors.insert(LakeTable::new(Layer::Bronze, name.clone()), error.clone());
                errors.insert(LakeTable::new(Layer::Silver, name), error);
            }
        }
    }
    for model in app.models.status().into_iter().filter(|m| m.state == RunningState::Failed) {
        errors.insert(LakeTable::new(Layer::Gold, model.name.clone()), model_error(&model));
    }
    errors
}

/// Why a model is not up to date.
pub(crate) fn model_error(model: &ModelStatus) -> String {
    let file = model.problem.as_ref().map(ToString::to_string);
    let run = model.last_run.as_ref().and_then(|run| run.error.clone());
    file.or(run).or_else(|| model.note.clone()).unwrap_or_else(|| "Its last run failed.".to_owned())
}

/// Tables that a table is made from, and tables made from it.
fn lineage(app: &App, table: &LakeTable) -> (Vec<String>, Vec<String>) {
    let (mut upstream, mut downstream) = (Vec::new(), Vec::new());
    let silver = LakeTable::new(Layer::Silver, table.name.clone());
    match &table.layer {
        Layer::Bronze => {
            upstream.extend(source_of(app, &table.name));
            if app.lake.tables().state(&silver).is_some() {
                downstream.push(silver.to_string());
            }
        }
        Layer::Silver => upstream.push(LakeTable::new(Layer::Bronze, table.name.clone()).to_string()),
        Layer::Gold | Layer::Own(_) => {}
    }
    for model in app.models.status() {
        let gold = LakeTable::new(Layer::Gold, model.name.clone());
        if &gold == table {
            upstream.extend(model.upstream.iter().map(ToString::to_string));
        }
        if model.upstream.contains(table) {
            downstream.push(gold.to_string());
        }
    }
    (upstream, downstream)
}

/// The source table behind a lake name, as `source: schema.table`.
fn source_of(app: &App, name: &str) -> Option<String> {
    app.pipelines.iter().find_map(|handle| {
        let tables = handle.monitor.report().tables;
        let found = tables.into_iter().find(|t| lake_name(&handle.name, &t.id) == name)?;
        Some(format!("{}: {}", handle.name, found.id))
    })
}

fn column(field: &arrow::datatypes::Field) -> api::TableColumn {
    api::TableColumn {
        id: field_id(field).unwrap_or(0),
        name: field.name().clone(),
        data_type: sql_type_name(field.data_type()),
        required: !field.is_nullable(),
        doc: field.metadata().get("doc").cloned(),
    }
}

fn sort_order(order: &[(String, bool)]) -> String {
    let one = |(name, descending): &(String, bool)| if *descending { format!("{name} desc") } else { name.clone() };
    order.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// How people read a cursor that a snapshot's summary holds as JSON.
fn cursor_for_people(text: &str) -> Option<String> {
    serde_json::from_str::<model::Cursor>(text).ok().map(|cursor| cursor.display)
}

/// A snapshot as clients see it.
pub(crate) fn snapshot(info: &SnapshotInfo) -> api::TableSnapshot {
    let number = |key: &str| info.summary.get(key).and_then(|v| v.parse().ok()).unwrap_or(0);
    api::TableSnapshot {
        id: info.id.to_string(),
        at_us: info.at_us,
        operation: info.operation.clone(),
        added_rows: number("added-records"),
        deleted_rows: number("deleted-records") + number("added-position-deletes"),
        added_files: number("added-data-files"),
        added_bytes: number("added-files-size"),
        total_rows: number("total-records").saturating_sub(number("total-position-deletes")),
        cursor: info.summary.get(lake::SUMMARY_CURSOR).and_then(|text| cursor_for_people(text)),
        current: info.current,
    }
}
