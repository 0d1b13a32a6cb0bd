//! What outside engines may not touch.

use crate::{Error, Kind, TableState, commit::GC_ENABLED};
use iceberg::TableUpdate;
use model::LakeTable;

/// Properties that lakebox itself goes by. All others mean something to outside engines and to people alone.
const STEERING: [&str; 4] = ["lakebox.", "history.expire.", "write.metadata.", GC_ENABLED];

/// Refuses a table or view of the three layers.
///
/// # Errors
/// [`Kind::Owned`].
pub(super) fn own(table: &LakeTable) -> Result<(), Error> {
    if !table.layer.is_kept() {
        return Ok(());
    }
    let message =
        format!("{table} can't be made, renamed, replaced or dropped from outside: lakebox keeps everything in {}", table.layer);
    Err(Error::new(Kind::Owned, message).with_table(table).with_hint(ELSEWHERE))
}

const ELSEWHERE: &str = "Create a namespace of your own, for example `analytics`, and a table in it.";

/// Refuses updates of a table that a pipeline or a model keeps, unless they are properties that lakebox does not go by.
///
/// Rows and columns can't change under a writer: its key index knows where every row is. Neither can branches and tags, because the snapshots
/// that they would hold are expired as one line.
///
/// # Errors
/// [`Kind::Owned`], naming the owner and what can be done instead.
pub(super) fn harmless(state: &TableState, updates: &[TableUpdate]) -> Result<(), Error> {
    for update in updates {
        let touched = match update {
            TableUpdate::SetProperties { updates } => steered(updates.keys()),
            TableUpdate::RemoveProperties { removals } => steered(removals.iter()),
            TableUpdate::AssignUuid { uuid } if *uuid == state.parts.metadata.uuid() => None,
            TableUpdate::AddSnapshot { .. } | TableUpdate::RemoveSnapshots { .. } => Some("its rows".to_owned()),
            TableUpdate::SetSnapshotRef { ref_name, .. } | TableUpdate::RemoveSnapshotRef { ref_name } => {
                Some(if ref_name == "main" { "its rows".to_owned() } else { format!("its branch or tag `{ref_name}`") })
            }
            TableUpdate::AddSchema { .. } | TableUpdate::SetCurrentSchema { .. } | TableUpdate::RemoveSchemas { .. } => {
                Some("its columns".to_owned())
            }
            TableUpdate::AddSpec { .. } | TableUpdate::SetDefaultSpec { .. } | TableUpdate::RemovePartitionSpecs { .. } => {
                Some("its partitions".to_owned())
            }
            TableUpdate::AddSortOrder { .. } | TableUpdate::SetDefaultSortOrder { .. } => Some("its sort order".to_owned()),
            _ => Some("its metadata".to_owned()),
        };
        if let Some(touched) = touched {
            return Err(refused(state, &touched));
        }
    }
    Ok(())
}

/// Refuses a snapshot in which rows that were deleted are there again, though it was made on top of the one that had deleted them: no operation of Iceberg
/// does that but going back to a former snapshot, and DuckDB 1.5 loses deletes of data files that it does not touch, where their vectors share a file.
///
/// # Errors
/// [`Kind::Invalid`].
pub(super) fn keeps_deletes(former: &TableState, new: &TableState) -> Result<(), Error> {
    let (before, mut next) = (former.parts.metadata.current_snapshot_id(), new.parts.metadata.current_snapshot());
    if before.is_none() || next.map(|s| s.snapshot_id()) == before {
        return Ok(());
    }
    // A transaction may have added several, one on top of the other.
    while next.is_some() && next.map(|s| s.snapshot_id()) != before {
        let parent = next.and_then(|s| s.parent_snapshot_id());
        next = parent.and_then(|id| new.parts.metadata.snapshot_by_id(id));
    }
    if next.is_none() {
        return Ok(());
    }
    for file in former.files().iter() {
        let (Some(gone), Some(after)) = (&file.deleted, new.file(&file.path)) else { continue };
        let back = after.deleted.as_deref().map_or(gone.len(), |now| (gone.as_ref() - now).len());
        if back > 0 {
            let table = former.table();
            let message = format!(
                "this commit brings {back} deleted rows of {} back into {table}, which no change to a table does",
                file.path
            );
            return Err(Error::new(Kind::Invalid, message).with_table(table).with_hint(
                "The engine lost deletion vectors that share a file with those that it replaced. Let lakebox rewrite the table's files first (CALL system.compact), or delete with another engine.",
            ));
        }
    }
    Ok(())
}

fn steered<'a>(mut keys: impl Iterator<Item = &'a String>) -> Option<String> {
    let key = keys.find(|k| STEERING.iter().any(|s| k.starts_with(s)))?;
    Some(format!("the property `{key}`"))
}

fn refused(state: &TableState, touched: &str) -> Error {
    let (owner, at) = match state.writer().map(|w| w.strip_prefix("model:").ok_or(w)) {
        Some(Ok(model)) => (format!("the model `{model}`"), "Change the model"),
        Some(Err(source)) => (format!("the pipeline `{source}`"), "Change rows and columns at the source"),
        None => ("lakebox".to_owned(), "Leave it as it is"),
    };
    let table = state.table();
    Error::new(Kind::Owned, format!("{table} is kept by {owner}, so {touched} can't be changed from outside"))
        .with_table(table)
        .with_hint(format!("{at}, or write to a table in a namespace of your own, for example `analytics.{}`.", table.name))
}
