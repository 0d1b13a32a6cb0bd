use crate::{
    Catalog, Error,
    catalog::new_id,
    database::{Row, sql},
};

/// How a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It runs, or the process that ran it is gone.
    Running,
    /// It replaced its table.
    Ok,
    /// It changed nothing.
    Failed,
}

impl RunState {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// A run of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRun {
    /// Its id; later runs have greater ids.
    pub id: String,
    /// The model.
    pub model: String,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// When it ended.
    pub finished_us: Option<i64>,
    /// How it is doing.
    pub state: RunState,
    /// Rows written.
    pub rows: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// What started it: `commit`, `schedule` or `request`.
    pub trigger: String,
    /// Up to where its inputs stood; the form is the model runner's own.
    pub as_of: serde_json::Value,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The table was replaced.
    Ok {
        /// Rows written.
        rows: u64,
    },
    /// Nothing was changed.
    Failed {
        /// Why, in a sentence.
        error: String,
    },
}

const DOING: &str = "recording a model run";

impl Catalog {
    /// Records that a model begins to run.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn start_run(&self, model: &str, trigger: &str, as_of: serde_json::Value) -> Result<ModelRun, Error> {
        let run = ModelRun {
            id: new_id(self.now_us()),
            model: model.to_owned(),
            started_us: self.now_us(),
            finished_us: None,
            state: RunState::Running,
            rows: 0,
            error: None,
            trigger: trigger.to_owned(),
            as_of,
        };
        let insert =
            sql("insert into model_runs (id, model, started_us, finished_us, state, rows, error, started_by, as_of_json) \
             values ($1, $2, $3, null, 'running', 0, null, $4, $5)");
        let insert = insert.text(&*run.id).text(model).int(run.started_us).text(trigger).text(&*run.as_of.to_string());
        self.db.write(DOING, insert).await?;
        Ok(run)
    }

    /// Records how a run ended. Returns whether it was running.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn finish_run(&self, id: &str, end: &RunEnd) -> Result<bool, Error> {
        let (state, rows, error) = match end {
            RunEnd::Ok { rows } => (RunState::Ok, i64::try_from(*rows).unwrap_or(i64::MAX), None),
            RunEnd::Failed { error } => (RunState::Failed, 0, Some(error.as_str())),
        };
        let update =
            sql("update model_runs set finished_us = $1, state = $2, rows = $3, error = $4 where id = $5 and state = 'running'");
        let update = update.int(self.now_us()).text(state.as_str()).int(rows).text(error).text(id);
        Ok(self.db.write(DOING, update).await? > 0)
    }

    /// The newest `limit` runs of one model, newest first.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn runs(&self, model: &str, limit: u32) -> Result<Vec<ModelRun>, Error> {
        let select =
            sql("select id, model, started_us, finished_us, state, rows, error, started_by, as_of_json from model_runs \
             where model = $1 order by started_us desc, id desc limit $2");
        self.db.read("reading model runs", select.text(model).int(i64::from(limit)), record).await
    }

    /// The newest run of every model, ordered by model.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn last_runs(&self) -> Result<Vec<ModelRun>, Error> {
        let select =
            sql("select id, model, started_us, finished_us, state, rows, error, started_by, as_of_json from model_runs r \
             where not exists (select 1 from model_runs n where n.model = r.model \
               and (n.started_us > r.started_us or (n.started_us = r.started_us and n.id > r.id))) order by model");
        self.db.read("reading model runs", select, record).await
    }

    /// Marks every run that still counts as running as failed. To be called once at start by the process that runs the
    /// models: whoever ran them before is gone. Returns how many there were.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn abandon_runs(&self) -> Result<u64, Error> {
        let update = sql(
            "update model_runs set finished_us = $1, state = 'failed', error = 'lakebox stopped before the run ended' where state = 'running'",
        );
        self.db.write(DOING, update.int(self.now_us())).await
    }

    /// Removes all but the newest `keep` runs of one model; runs that are under way stay. Returns how many went.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn prune_runs(&self, model: &str, keep: u32) -> Result<u64, Error> {
        let delete = sql("delete from model_runs where model = $1 and state <> 'running' and id not in \
             (select id from model_runs where model = $1 order by started_us desc, id desc limit $2)");
        self.db.write("removing old model runs", delete.text(model).int(i64::from(keep))).await
    }
}

fn record(row: &Row) -> Result<ModelRun, sqlx::Error> {
    Ok(ModelRun {
        id: row.text(0)?,
        model: row.text(1)?,
        started_us: row.int(2)?,
        finished_us: row.int_or_null(3)?,
        state: match row.text(4)?.as_str() {
            "ok" => RunState::Ok,
            "failed" => RunState::Failed,
            _ => RunState::Running,
        },
        rows: row.int(5)?.cast_unsigned(),
        error: row.text_or_null(6)?,
        trigger: row.text(7)?,
        as_of: row.json(8)?,
    })
}
