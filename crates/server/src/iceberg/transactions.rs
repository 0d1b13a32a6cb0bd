use super::{
    answer::{About, Answer, Body, Refusal},
    names::Identifier,
};
use crate::app::App;
use axum::{extract::State, http::StatusCode};
use lake::CommitTable;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Transaction {
    table_changes: Vec<Value>,
}

/// Commits to many tables, all or none.
pub(super) async fn commit(State(app): State<App>, Body(transaction): Body<Transaction>) -> Answer<StatusCode> {
    let mut commits = Vec::with_capacity(transaction.table_changes.len());
    for change in transaction.table_changes {
        let identifier: Identifier = serde_json::from_value(change["identifier"].clone())
            .map_err(|e| Refusal::bad(format!("a change names no table: {e}")))?;
        commits.push((identifier.table(About::Table)?, CommitTable::parse(change).map_err(Refusal::of(About::Table))?));
    }
    app.lake.outside().commit(commits).await.map_err(Refusal::of(About::Commit))?;
    Ok(StatusCode::NO_CONTENT)
}
