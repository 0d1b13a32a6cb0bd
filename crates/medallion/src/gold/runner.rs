use super::{AsOf, Model, ModelsSettings, Trigger, agenda::End};
use crate::{Error, Kind};
use catalog::{Catalog, ModelRun, RunEnd};
use futures::StreamExt;
use lake::{Lake, LakeView, ReplaceOptions, SendableBatches};
use model::LakeTable;
use query::{Counters, Engine, QueryRequest};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What a run needs.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) lake: Lake,
    pub(crate) engine: Engine,
    pub(crate) catalog: Catalog,
    pub(crate) settings: Arc<ModelsSettings>,
}

impl Runner {
    /// Runs a model once: its statement over one view of the lake, its rows swapped in as a whole, the run recorded. `begun` is told as soon as the
    /// run counts as under way. An error of the run is recorded and becomes [`End::Failed`]; the former table stays.
    pub(crate) async fn run(
        &self,
        model: &Model,
        trigger: Trigger,
        begun: impl FnOnce(ModelRun, Option<Arc<Counters>>) + Send,
    ) -> (End, Option<ModelRun>) {
        let view = self.lake.view();
        let missing: Vec<_> = model.upstream.iter().filter(|t| !view.tables.contains_key(*t)).cloned().collect();
        if !missing.is_empty() {
            return (End::Waiting(missing), None);
        }
        let inputs = inputs(model, &view);
        let (run, done) = match self.replace(model, trigger, begun).await {
            Ok((run, rows)) => {
                self.note(self.catalog.set_model_state(&model.name, &model.fingerprint, &inputs).await.map(|()| true), model);
                (Some(run), Ok(rows))
            }
            Err((run, error)) => (run, Err(error)),
        };
        let (end, record) = match &done {
            Ok(rows) => (End::Ok, RunEnd::Ok { rows: *rows }),
            Err(error) => {
                tracing::warn!(model = model.name, kind = error.kind.code(), "a model failed and keeps its former rows: {error}");
                (End::Failed, RunEnd::Failed { error: told(error) })
            }
        };
        if let Some(run) = run {
            self.note(self.catalog.finish_run(&run.id, &record).await, model);
        }
        self.note(self.catalog.prune_runs(&model.name, self.settings.runs_kept).await.map(|_| true), model);
        let last = self.catalog.runs(&model.name, 1).await.ok().and_then(|mut runs| runs.pop());
        (end, last)
    }

    async fn replace(
        &self,
        model: &Model,
        trigger: Trigger,
        begun: impl FnOnce(ModelRun, Option<Arc<Counters>>) + Send,
    ) -> Result<(ModelRun, u64), (Option<ModelRun>, Error)> {
        let mut request = QueryRequest::new(model.ordered_sql(), format!("model:{}", model.name));
        request.timeout = Some(Duration::from_millis(self.settings.timeout_ms));
        let running = self.engine.query(request).await;
        let as_of: Vec<_> = running.as_ref().map_or(Vec::new(), |r| r.as_of.iter().map(|(s, c)| AsOf::of(s, c)).collect());
        let as_of = serde_json::to_value(as_of).unwrap_or_default();
        let run = self.catalog.start_run(&model.name, trigger.as_str(), as_of.clone()).await;
        let run = run.map_err(|e| (None, Error::new(Kind::Catalog, e.to_string()).with_source(e)))?;
        begun(run.clone(), running.as_ref().ok().map(|r| Arc::clone(&r.counters)));
        let failed = |error| (Some(run.clone()), error);
        let running = running.map_err(|e| failed(query_error(e)))?;
        let options = ReplaceOptions {
            schema: Arc::clone(&running.schema),
            key: model.key.clone(),
            sort_order: model.sort_order.clone(),
            summary: BTreeMap::from([
                ("lakebox.model".to_owned(), model.name.clone()),
                ("lakebox.run".to_owned(), run.id.clone()),
                ("lakebox.as-of".to_owned(), as_of.to_string()),
            ]),
            writer: Some(format!("model:{}", model.name)),
        };
        self.check_columns(model, &options).map_err(failed)?;
        let rows: SendableBatches = Box::pin(running.stream.map(|batch| batch.map_err(Into::into)));
        let replaced = self.lake.replace_partitioned(model.table(), rows, options, &model.partition_by).await;
        let replaced = replaced.map_err(|e| failed(lake_error(e)))?;
        Ok((run, replaced.rows))
    }

    /// Columns that the configuration names must be among those that the statement returns.
    fn check_columns(&self, model: &Model, options: &ReplaceOptions) -> Result<(), Error> {
        let partitions = model.partition_by.iter().map(|field| &field.column);
        let named = model.sort_order.iter().map(|(column, _)| column).chain(partitions).chain(&model.key);
        match named.into_iter().find(|column| options.schema.column_with_name(column).is_none()) {
            None => Ok(()),
            Some(column) => {
                let text = format!(
                    "{}: sort_order, partition_by or key names `{column}`, which the statement does not return",
                    model.file.display()
                );
                Err(Error::new(Kind::BrokenModel, text).with_hint("Add the column to the select, or take it out of config()."))
            }
        }
    }

    /// A run that could not be recorded is told, and the model goes on.
    fn note(&self, recorded: Result<bool, catalog::Error>, model: &Model) {
        if let Err(error) = recorded {
            tracing::warn!(model = model.name, "a run could not be recorded: {error}");
        }
    }
}

fn query_error(error: query::Error) -> Error {
    let hint = error.hint.clone();
    let kept = Error::new(Kind::Query, error.to_string()).with_source(error);
    match hint {
        Some(hint) => kept.with_hint(hint),
        None => kept,
    }
}

/// Rows that could not be computed are the statement's fault, not the lake's.
fn lake_error(error: lake::Error) -> Error {
    let kind = if error.kind == lake::Kind::Schema { Kind::Query } else { Kind::Lake };
    let hint = error.hint.clone();
    let kept = Error::new(kind, error.to_string()).with_source(error);
    match hint {
        Some(hint) => kept.with_hint(hint),
        None => kept,
    }
}

fn told(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// What a model's inputs are in a view, so that a restart can tell whether they have moved.
pub(crate) fn inputs(model: &Model, view: &LakeView) -> serde_json::Value {
    let snapshot = |table: &LakeTable| view.tables.get(table).and_then(|t| t.snapshot_id).map(|id| id.to_string());
    let inputs = model.upstream.iter().map(|table| (table.to_string(), serde_json::json!(snapshot(table))));
    serde_json::Value::Object(inputs.collect())
}
