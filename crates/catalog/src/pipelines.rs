use crate::{
    Catalog, Error,
    database::{Row, sql},
};
use serde::{Deserialize, Serialize};

/// What an operator wants of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It shall run. So does every pipeline of which nothing is recorded.
    #[default]
    Running,
    /// It shall rest until it is resumed, through restarts as well.
    Paused,
}

impl Desired {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
        }
    }
}

/// What is wanted of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRecord {
    /// The source's name in the configuration.
    pub source: String,
    /// What is wanted.
    pub desired: Desired,
    /// Since when, in microseconds since 1970.
    pub updated_us: i64,
}

impl Catalog {
    /// Every pipeline of which something is recorded, ordered by name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn pipelines(&self) -> Result<Vec<PipelineRecord>, Error> {
        self.db.read("reading pipelines", sql("select source, desired, updated_us from pipelines order by source"), record).await
    }

    /// What is wanted of one pipeline; [`Desired::Running`] where nothing is recorded.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn desired(&self, source: &str) -> Result<Desired, Error> {
        let statement = sql("select source, desired, updated_us from pipelines where source = $1").text(source);
        let found = self.db.read("reading a pipeline", statement, record).await?.pop();
        Ok(found.map(|record| record.desired).unwrap_or_default())
    }

    /// Records what is wanted of a pipeline.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_desired(&self, source: &str, desired: Desired) -> Result<(), Error> {
        let statement = sql("insert into pipelines (source, desired, updated_us) values ($1, $2, $3) \
             on conflict (source) do update set desired = excluded.desired, updated_us = excluded.updated_us");
        self.db.write("recording a pipeline", statement.text(source).text(desired.as_str()).int(self.now_us())).await.map(|_| ())
    }
}

fn record(row: &Row) -> Result<PipelineRecord, sqlx::Error> {
    let desired = match row.text(1)?.as_str() {
        "paused" => Desired::Paused,
        _ => Desired::Running,
    };
    Ok(PipelineRecord { source: row.text(0)?, desired, updated_us: row.int(2)? })
}
