//! One step of upkeep on one table, from choosing to committing.

use super::{Retention, Thresholds, rewrite};
use crate::{Error, Kind, Lake, TableChange, TableState};
use model::LakeTable;
use runtime::CancellationToken;
use std::sync::Arc;

/// What upkeep does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Small files and deleted rows become few large files in the declared order.
    Rewrite,
    /// Small manifests become one.
    Manifests,
    /// Old snapshots go, and files that only they had.
    Expire,
    /// Files that nothing names go.
    Orphans,
}

impl Step {
    /// Every step, in the order in which upkeep takes them.
    pub const ALL: [Self; 4] = [Self::Rewrite, Self::Manifests, Self::Expire, Self::Orphans];

    /// The word for it in API, command line and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Manifests => "manifests",
            Self::Expire => "expire",
            Self::Orphans => "orphans",
        }
    }

    /// The step of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }
}

/// How upkeep treats tables.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Policy {
    /// When files are rewritten.
    pub thresholds: Thresholds,
    /// Which snapshots are kept.
    pub retention: Retention,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Data files that left the table, or files that were removed.
    pub files_before: u64,
    /// Data files that took their place.
    pub files_after: u64,
    /// Bytes of the former.
    pub bytes_before: u64,
    /// Bytes of the latter: what the step wrote.
    pub bytes_after: u64,
    /// Rows that were moved.
    pub rows: u64,
    /// Deleted rows that are gone for good.
    pub deleted_rows: u64,
    /// Snapshots that were forgotten.
    pub snapshots: u64,
}

impl Done {
    /// Whether there was anything to do.
    pub fn anything(&self) -> bool {
        *self != Self::default()
    }
}

impl Lake {
    /// Rewrites files of a table that are worth it; with `all`, every file that is not as it should be. Nothing where all is well. Rows do not change, so
    /// nobody is told of a commit.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where the table changed under the work or `stop` was given: nothing happened. Else as reading, writing and [`crate::Tables::commit`].
    pub async fn rewrite_files(
        &self,
        table: &LakeTable,
        thresholds: &Thresholds,
        all: bool,
        stop: &CancellationToken,
    ) -> Result<Done, Error> {
        let state = self.known(table)?;
        let chosen = if all { thresholds.choose_all(state.files()) } else { thresholds.choose(state.files()) };
        if chosen.is_empty() || !state.is_ours() {
            return Ok(Done::default());
        }
        let (change, done) = self.rewritten(&state, &chosen, thresholds, stop).await.map_err(|e| e.with_table(table))?;
        self.commit_quietly(change).await?;
        Ok(done)
    }

    /// Writes files anew, and gives the change that puts them into the table.
    pub(crate) async fn rewritten(
        &self,
        state: &TableState,
        chosen: &[usize],
        thresholds: &Thresholds,
        stop: &CancellationToken,
    ) -> Result<(TableChange, Done), Error> {
        let files: Vec<_> = chosen.iter().filter_map(|&i| state.files().get(i).cloned()).collect();
        let mut done = Done {
            files_before: files.len() as u64,
            bytes_before: files.iter().map(|f| f.bytes).sum(),
            deleted_rows: files.iter().filter_map(|f| f.deleted.as_ref()).map(|d| d.len()).sum(),
            ..Done::default()
        };
        let mut change = TableChange::new(state.table().clone());
        change.remove_files = files.iter().map(|f| f.path.clone()).collect();
        let rewritten = rewrite::rewrite(self.warehouse(), state, files, thresholds, stop).await?;
        done.files_after = rewritten.files.len() as u64;
        done.bytes_after = rewritten.files.iter().map(|f| f.bytes).sum();
        done.rows = rewritten.files.iter().map(|f| f.rows).sum();
        keep_cursor(&mut change, state);
        change.append = rewritten.files;
        change.moved = Some(rewritten.moved);
        Ok((change, done))
    }

    /// Makes one manifest of the small ones of a table.
    ///
    /// # Errors
    /// As [`crate::Tables::commit`].
    pub async fn merge_manifests(&self, table: &LakeTable) -> Result<Done, Error> {
        let state = self.known(table)?;
        let before = state.manifests();
        if before < 4 {
            return Ok(Done::default());
        }
        let mut change = TableChange::new(table.clone());
        change.merge_manifests = true;
        keep_cursor(&mut change, &state);
        let state = self.commit_quietly(change).await?;
        Ok(Done { files_before: before as u64, files_after: state.manifests() as u64, ..Done::default() })
    }

    /// Lets old snapshots of a table go, with the files that only they have.
    ///
    /// # Errors
    /// As [`crate::Tables::commit`].
    pub async fn expire_snapshots(&self, table: &LakeTable, retention: &Retention) -> Result<Done, Error> {
        let state = self.known(table)?;
        let expire = retention.expired(&state.parts.metadata, self.clock().now_us() / 1000)?;
        if expire.is_empty() {
            return Ok(Done::default());
        }
        let snapshots = expire.len() as u64;
        let mut change = TableChange::new(table.clone());
        change.expire = expire;
        self.commit_quietly(change).await?;
        Ok(Done { snapshots, ..Done::default() })
    }

    fn known(&self, table: &LakeTable) -> Result<Arc<TableState>, Error> {
        let missing = || Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table);
        self.tables().state(table).ok_or_else(missing)
    }

    /// Commits what changes no row. Queries get the new files at once, or, where a sink keeps the table, when the sink has learned of them.
    pub(crate) async fn commit_quietly(&self, change: TableChange) -> Result<Arc<TableState>, Error> {
        let mut states = self.tables().apply(vec![change], None).await?.states;
        let state = states.pop().ok_or_else(|| Error::new(Kind::Bug, "a commit of one table has no table"))?;
        self.publish_unless_kept(&state);
        Ok(state)
    }
}

/// The snapshot stands at the same source position as the one before.
fn keep_cursor(change: &mut TableChange, state: &TableState) {
    for name in [crate::SUMMARY_SOURCE, crate::SUMMARY_CURSOR, crate::SUMMARY_POSITION] {
        if let Some(value) = state.summary(name) {
            change.summary.insert(name.to_owned(), value.to_owned());
        }
    }
}
