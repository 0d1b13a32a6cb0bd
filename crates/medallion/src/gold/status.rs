use super::Problem;
use catalog::ModelRun;
use model::{Cursor, LakeTable};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a model is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunningState {
    /// It has not run as it stands.
    Pending,
    /// It runs.
    Running,
    /// Its last run replaced its table.
    Ok,
    /// Its last run failed, or its file can't be used.
    Failed,
}

impl RunningState {
    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// A run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// Rows that the statement has returned so far.
    pub rows: u64,
}

/// Up to where a source was visible to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The source.
    pub source: String,
    /// The position as people read it.
    pub cursor: String,
    /// Commit time at the source of the last transaction included, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_ts_us: Option<i64>,
}

impl AsOf {
    pub(crate) fn of(source: &str, cursor: &Cursor) -> Self {
        Self { source: source.to_owned(), cursor: cursor.display.clone(), commit_ts_us: cursor.commit_ts_us }
    }

    /// What a run's record says in `as_of`.
    pub fn of_run(run: &ModelRun) -> Vec<Self> {
        serde_json::from_value(run.as_of.clone()).unwrap_or_default()
    }
}

/// Everything that people see of a model.
#[derive(Debug, Clone)]
pub struct ModelStatus {
    /// Its name, which is the gold table's.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// What it is about.
    pub description: String,
    /// The file's text.
    pub text: String,
    /// The statement with references filled in; empty where the file can't be used.
    pub sql: String,
    /// `on commit`, a cron expression, or `manual`.
    pub schedule: String,
    /// How it is doing.
    pub state: RunningState,
    /// Why it is not up to date, in a sentence: a mistake in its file, a table that is missing, a failed model that it reads.
    pub note: Option<String>,
    /// The mistake in its file, with the place.
    pub problem: Option<Problem>,
    /// The run under way.
    pub progress: Option<Progress>,
    /// The last run, which may be the one under way.
    pub last_run: Option<ModelRun>,
    /// When it runs next, where that is by schedule.
    pub next_run_us: Option<i64>,
    /// Tables that it reads.
    pub upstream: Vec<LakeTable>,
    /// Sort order of its table as (column, descending).
    pub sort_order: Vec<(String, bool)>,
    /// How its table is partitioned; empty where it is not.
    pub partition_by: Vec<lake::PartitionField>,
    /// Rows of its table now.
    pub rows: u64,
}
