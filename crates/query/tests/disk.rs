//! A lake on disk with an engine over it.

use crate::support::rows;
use ::lake::{Lake, LakeSettings};
use query::{Engine, QuerySettings};
use runtime::SystemClock;
use std::{collections::BTreeMap, sync::Arc};

pub struct OnDisk {
    pub lake: Lake,
    pub engine: Engine,
    _dir: tempfile::TempDir,
}

impl OnDisk {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let url = format!("sqlite:{}", dir.path().join("catalog.db").display());
        let catalog = catalog::Catalog::open(&url, clock.clone()).await.unwrap();
        let warehouse = dir.path().join("lake").to_str().unwrap().to_owned();
        let lake = Lake::open(LakeSettings { warehouse, options: BTreeMap::new() }, catalog, clock.clone()).await.unwrap();
        let settings = QuerySettings { threads: 2, ..QuerySettings::default() };
        let engine = Engine::new(Arc::new(lake.clone()), lake.store(), settings, clock).unwrap();
        Self { lake, engine, _dir: dir }
    }

    /// The rows of a query as text.
    pub async fn ask(&self, sql: &str) -> Vec<String> {
        rows(&self.engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}
