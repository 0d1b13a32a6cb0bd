use crate::{Lakebox, until};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// How long a pipeline may take to notice something: its slowest way of trying again, and some more.
const PATIENCE: Duration = Duration::from_secs(60);

impl Lakebox {
    /// A pipeline as the API shows it.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn pipeline(&self, name: &str) -> Result<api::Pipeline> {
        Ok(serde_json::from_value(self.get(&format!("/api/v1/pipelines/{name}")).await?)?)
    }

    /// Waits until the error of a pipeline holds every one of `words`, in code, message or hint, whatever their case.
    ///
    /// # Errors
    /// When it does not come to that; with what the pipeline says instead.
    pub async fn complains(&self, pipeline: &str, words: &[&str]) -> Result<api::FlowError> {
        until(&format!("an error of {pipeline} that says {words:?}"), PATIENCE, || async {
            let error = self.pipeline(pipeline).await?.last_error.context("it says nothing")?;
            let text = format!("{} {} {}", error.code, error.message, error.hint.as_deref().unwrap_or_default()).to_lowercase();
            ensure!(words.iter().all(|w| text.contains(&w.to_lowercase())), "it says {error:?}");
            Ok(Some(error))
        })
        .await
        .with_context(|| self.log_tail())
    }

    /// Waits until a pipeline streams and nothing is wrong with it.
    ///
    /// # Errors
    /// When it does not come to that; with what is wrong.
    pub async fn streams(&self, pipeline: &str) -> Result<()> {
        until(&format!("{pipeline} to stream"), PATIENCE, || async {
            let seen = self.pipeline(pipeline).await?;
            ensure!(seen.state == "streaming" && seen.last_error.is_none(), "{}: {:?}", seen.state, seen.last_error);
            Ok(Some(()))
        })
        .await
        .with_context(|| self.log_tail())
    }

    /// Waits until a query answers with exactly these rows, as JSON text.
    ///
    /// # Errors
    /// When it does not come to that; with what it answers instead.
    pub async fn answers(&self, query: &str, rows: &str) -> Result<()> {
        until(&format!("{query} to give {rows}"), PATIENCE, || async {
            let given = serde_json::to_string(&self.sql(query).await?)?;
            ensure!(given == rows, "it gives {given}");
            Ok(Some(()))
        })
        .await
        .with_context(|| self.log_tail())
    }

    /// Looks for a secret in everything that people can read: the log, the API, the metrics and SQL.
    ///
    /// # Errors
    /// When it is there; with the place.
    pub async fn keeps_to_itself(&self, secret: &str) -> Result<()> {
        let mut places = vec![("the log", self.log()?)];
        for path in ["/api/v1/pipelines", "/api/v1/overview", "/api/v1/about", "/api/v1/queries", "/metrics"] {
            places.push((path, self.text(path).await?));
        }
        places.push(("system.pipelines", self.csv("select * from system.pipelines").await?));
        for (place, text) in places {
            ensure!(!text.contains(secret), "the secret is in {place}");
        }
        Ok(())
    }
}
