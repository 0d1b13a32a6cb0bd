use crate::{
    Catalog, Error,
    database::{Row, sql},
};

/// What a model's table was last made from, so that a restart knows whether it is still good.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelState {
    /// The model.
    pub model: String,
    /// A hash of what the model says: its statement and settings.
    pub fingerprint: String,
    /// What its inputs were then; the form is the model runner's own.
    pub inputs: serde_json::Value,
    /// When it was recorded, in microseconds since 1970.
    pub updated_us: i64,
}

impl Catalog {
    /// The states of all models, ordered by name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn model_states(&self) -> Result<Vec<ModelState>, Error> {
        let statement = sql("select model, fingerprint, inputs_json, updated_us from model_states order by model");
        self.db.read("reading model states", statement, record).await
    }

    /// The state of one model, if it was ever made.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn model_state(&self, model: &str) -> Result<Option<ModelState>, Error> {
        let statement = sql("select model, fingerprint, inputs_json, updated_us from model_states where model = $1").text(model);
        Ok(self.db.read("reading a model state", statement, record).await?.pop())
    }

    /// Records what a model's table was made from.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_model_state(&self, model: &str, fingerprint: &str, inputs: &serde_json::Value) -> Result<(), Error> {
        let statement = sql("insert into model_states (model, fingerprint, inputs_json, updated_us) values ($1, $2, $3, $4) \
             on conflict (model) do update set fingerprint = excluded.fingerprint, inputs_json = excluded.inputs_json, \
             updated_us = excluded.updated_us");
        let statement = statement.text(model).text(fingerprint).text(&*inputs.to_string()).int(self.now_us());
        self.db.write("recording a model state", statement).await.map(|_| ())
    }

    /// Forgets a model that is no longer there; its runs stay. Returns whether it was known.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn remove_model_state(&self, model: &str) -> Result<bool, Error> {
        let statement = sql("delete from model_states where model = $1").text(model);
        Ok(self.db.write("forgetting a model state", statement).await? > 0)
    }
}

fn record(row: &Row) -> Result<ModelState, sqlx::Error> {
    Ok(ModelState { model: row.text(0)?, fingerprint: row.text(1)?, inputs: row.json(2)?, updated_us: row.int(3)? })
}
