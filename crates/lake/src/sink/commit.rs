//! Makes a sealed group durable: files, then one catalog transaction, then the same rows are served from files.

use super::{
    applier::Index,
    context::{CommitGuard, Context},
    encoder::{Finishing, gone},
    ledger::Sealed,
    opening::SOURCE_TABLE,
};
use crate::{Error, TableChange, TableSpec, TableState, WrittenFile};
use catalog::CursorSwap;
use model::{Cursor, LakeTable, TableId};
use object_store::path::Path;
use pipeline::Durable;
use std::{collections::HashMap, sync::Arc};

/// Everything of one commit.
pub(crate) struct Group {
    pub cursor: Cursor,
    pub tables: Vec<GroupTable>,
    pub rows: u64,
    /// Tells when the commit has ended, whichever way.
    pub _guard: CommitGuard,
}

/// One source table's part of a commit.
pub(crate) struct GroupTable {
    pub id: TableId,
    pub bronze: LakeTable,
    pub silver: Option<LakeTable>,
    /// The shapes of bronze and silver, where the catalog does not have them yet.
    pub specs: Option<(TableSpec, Option<TableSpec>)>,
    pub files: Vec<GroupFile>,
    pub effects: Sealed,
    /// The index and the number of its group.
    pub index: Option<(Index, u64)>,
    /// Files with smaller ordinals left silver for good.
    pub forget_below: u32,
}

/// A data file of a commit.
pub(crate) struct GroupFile {
    pub ordinal: u32,
    /// Whether silver has it, too.
    pub in_silver: bool,
    pub finishing: Finishing,
}

type Written = Vec<(u32, bool, Arc<WrittenFile>)>;

impl Group {
    /// Commits the group.
    ///
    /// # Errors
    /// Whatever keeps it from being durable. What is in memory is out of date then: the sink has to be dropped.
    pub(crate) async fn settle(mut self, cx: Context) -> Result<Durable, Error> {
        let mut written: HashMap<TableId, Written> = HashMap::new();
        let mut bytes = 0;
        for table in &mut self.tables {
            let files = written.entry(table.id.clone()).or_default();
            for file in table.files.drain(..) {
                let done = file.finishing.await.map_err(|_| gone())??;
                bytes += done.bytes;
                files.push((file.ordinal, file.in_silver, Arc::new(done)));
            }
        }
        let changes: Vec<_> = self.tables.iter_mut().flat_map(|t| t.changes(&cx.source, &self.cursor, &written)).collect();
        let expected_version = cx.ledger.lock().cursor_version;
        let swap = CursorSwap { source: cx.source.to_string(), expected_version, cursor: self.cursor.clone(), rows: self.rows };
        let moved = changes.len();
        let states = cx.lake.commit(changes, Some(swap)).await?;
        let states: HashMap<LakeTable, Arc<TableState>> = states.into_iter().map(|s| (s.table().clone(), s)).collect();
        let version = cx.stored_cursor().await?.map(|(_, version)| version);
        self.serve_from_files(&cx, &states, &written, version)?;
        Ok(Durable { cursor: self.cursor, rows: self.rows, bytes, tables: moved })
    }

    /// In one step the hot rows of the group give way to its files.
    fn serve_from_files(
        &self,
        cx: &Context,
        states: &HashMap<LakeTable, Arc<TableState>>,
        written: &HashMap<TableId, Written>,
        version: Option<i64>,
    ) -> Result<(), Error> {
        let mut ledger = cx.ledger.lock();
        ledger.cursor_version = version;
        ledger.unpublished = true;
        for group in &self.tables {
            let Some(table) = ledger.tables.get_mut(&group.id) else { continue };
            let files: Vec<_> =
                written.get(&group.id).into_iter().flatten().map(|(ordinal, _, file)| (*ordinal, Arc::clone(file))).collect();
            let state = |name: &LakeTable| states.get(name).cloned();
            let moved = |path: &Path| group.silver.as_ref().is_some_and(|silver| cx.tables.moves().has(silver, path));
            let gone = table.committed(state(&group.bronze), group.silver.as_ref().and_then(state), &files, moved);
            cx.counters.change(&group.id, |c| c.hot_rows = table.hot_rows());
            let snapshot_id = table.silver_state.as_ref().and_then(|s| s.view().snapshot_id);
            let Some((index, number)) = &group.index else { continue };
            let mut keys = index.keys.lock();
            keys.committed(*number, snapshot_id);
            keys.forget_below(group.forget_below);
            gone.into_iter().for_each(|ordinal| keys.forget(ordinal));
            drop(keys);
            cx.tend(&group.id, index);
        }
        cx.publish(&mut ledger)
    }
}

impl GroupTable {
    fn changes(&mut self, source: &str, cursor: &Cursor, written: &HashMap<TableId, Written>) -> Vec<TableChange> {
        let files = written.get(&self.id).map(Vec::as_slice).unwrap_or_default();
        let (bronze_spec, silver_spec) = self.specs.take().map_or((None, None), |(bronze, silver)| (Some(bronze), silver));
        let change = |table: &LakeTable, spec: Option<TableSpec>| {
            let mut change = TableChange::new(table.clone());
            if spec.is_some() {
                change.properties.insert(SOURCE_TABLE.to_owned(), Some(self.id.to_string()));
            }
            change.spec = spec;
            change.writer = Some(source.to_owned());
            change.note_cursor(source, cursor);
            if self.silver.is_some() {
                change.share_files();
            }
            change
        };
        let mut changes = Vec::new();
        if !files.is_empty() || bronze_spec.is_some() {
            let mut bronze = change(&self.bronze, bronze_spec);
            bronze.append = files.iter().map(|(_, _, file)| Arc::clone(file)).collect();
            changes.push(bronze);
        }
        if let Some(name) = &self.silver {
            let effects = std::mem::take(&mut self.effects);
            let mut silver = change(name, silver_spec);
            silver.append = files.iter().filter(|(_, in_silver, _)| *in_silver).map(|(_, _, file)| Arc::clone(file)).collect();
            silver.deletes = effects.deletes;
            silver.drop_all_rows = effects.clear;
            if !silver.append.is_empty() || !silver.deletes.is_empty() || silver.drop_all_rows || silver.spec.is_some() {
                changes.push(silver);
            }
        }
        changes
    }
}
