//! A lake, an engine and models in a folder of their own.

use arrow::{
    array::{RecordBatch, StringArray},
    compute::{cast, concat_batches},
    datatypes::DataType,
};
use catalog::Catalog;
use futures::{StreamExt, TryStreamExt};
use lake::{Lake, LakeSettings, ReplaceOptions};
use medallion::{ModelStatus, Models, ModelsSettings, RunningState};
use model::LakeTable;
use query::{Engine, QueryRequest, QuerySettings};
use runtime::{SystemClock, Tasks};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;

pub struct House {
    pub folder: TempDir,
    pub lake: Lake,
    pub engine: Engine,
    pub catalog: Catalog,
}

impl House {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("models")).expect("a folder for models");
        let clock = SystemClock::shared();
        let url = format!("sqlite:{}", folder.path().join("catalog.db").display());
        let catalog = Catalog::open(&url, clock.clone()).await.expect("a catalog");
        let warehouse = folder.path().join("lake").display().to_string();
        let settings = LakeSettings { warehouse, options: BTreeMap::new() };
        let lake = Lake::open(settings, catalog.clone(), clock.clone()).await.expect("a lake");
        let views = lake.clone();
        let engine =
            Engine::new(Arc::new(move || views.view()), lake.store(), QuerySettings::default(), clock).expect("an engine");
        Self { folder, lake, engine, catalog }
    }

    pub fn write_model(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join("models").join(format!("{name}.sql")), text).expect("a model's file");
    }

    pub fn remove_model(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join("models").join(format!("{name}.sql"))).expect("a model's file");
    }

    pub async fn models(&self, tasks: &Tasks) -> Models {
        self.models_in(&self.folder.path().join("models"), tasks).await
    }

    pub async fn models_in(&self, folder: &Path, tasks: &Tasks) -> Models {
        let settings = ModelsSettings { folder: folder.to_owned(), debounce_ms: 0, poll_ms: 0, ..ModelsSettings::default() };
        let (lake, engine, catalog) = (self.lake.clone(), self.engine.clone(), self.catalog.clone());
        Models::start(settings, lake, engine, catalog, SystemClock::shared(), tasks).await.expect("models")
    }

    /// Makes `batches` the content of a table, as a pipeline's commit would.
    pub async fn put(&self, table: &str, batches: Vec<RecordBatch>) {
        let table: LakeTable = table.parse().expect("a table's name");
        let options = ReplaceOptions {
            schema: batches.first().expect("some rows").schema(),
            key: Vec::new(),
            sort_order: Vec::new(),
            summary: BTreeMap::new(),
            writer: None,
        };
        let rows = Box::pin(futures::stream::iter(batches.into_iter().map(Ok)));
        self.lake.replace(table, rows, options).await.expect("a table");
    }

    /// The rows of a query as text.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let running = self.engine.query(QueryRequest::new(sql, "test")).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let schema = Arc::clone(&running.schema);
        let batches: Vec<_> = running.stream.boxed().try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let all = concat_batches(&schema, &batches).expect("batches of one query");
        let columns: Vec<_> = all.columns().iter().map(|c| cast(c, &DataType::Utf8).expect("prints as text")).collect();
        let text = |column: &arrow::array::ArrayRef, row| {
            let column = column.as_any().downcast_ref::<StringArray>().expect("text");
            if arrow::array::Array::is_null(column, row) { "null".to_owned() } else { column.value(row).to_owned() }
        };
        (0..all.num_rows()).map(|row| columns.iter().map(|c| text(c, row)).collect()).collect()
    }
}

/// Waits until the models' status is as wanted.
pub async fn until(what: &str, models: &Models, wanted: impl Fn(&[ModelStatus]) -> bool) -> Vec<ModelStatus> {
    let mut changes = models.changes();
    let waiting = async {
        loop {
            let status = models.status();
            if wanted(&status) {
                return status;
            }
            changes.changed().await.expect("the models are there");
        }
    };
    let late = || panic!("waiting until {what}: {:#?}", models.status());
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| late())
}

/// The status of one model.
pub fn one<'a>(status: &'a [ModelStatus], name: &str) -> &'a ModelStatus {
    status.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no model {name}"))
}

/// Whether a model has ended a run well.
pub fn is_ok(status: &[ModelStatus], name: &str) -> bool {
    status.iter().any(|s| s.name == name && s.state == RunningState::Ok)
}
