//! One step of upkeep on one table, from choosing to committing.

use super::{Clustering, LAYOUT, Retention, Thresholds, order::mark, rewrite};
use crate::{Error, FILES, FileSettings, Kind, Lake, TableChange, TableState, view::ViewFile};
use model::LakeTable;
use runtime::CancellationToken;
use std::sync::Arc;

/// Rewrites of a table that its sink may have to learn at once.
const UNLEARNED_MOST: usize = 3;

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
    /// What two pieces of work did together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            files_before: self.files_before + other.files_before,
            files_after: self.files_after + other.files_after,
            bytes_before: self.bytes_before + other.bytes_before,
            bytes_after: self.bytes_after + other.bytes_after,
            rows: self.rows + other.rows,
            deleted_rows: self.deleted_rows + other.deleted_rows,
            snapshots: self.snapshots + other.snapshots,
        }
    }

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
        let chosen = Self::chosen(&state, thresholds, all)?;
        // A sink that has much to learn is left in peace.
        if chosen.is_empty() || self.tables().moves().waiting(table) >= UNLEARNED_MOST {
            return Ok(Done::default());
        }
        let (change, done) = self.rewritten(&state, &chosen, thresholds, stop).await.map_err(|e| e.with_table(table))?;
        self.commit_quietly(change).await?;
        Ok(done)
    }

    /// How many files the next rewrite of a table would read.
    pub fn rewrite_due(&self, table: &LakeTable, thresholds: &Thresholds) -> usize {
        let state = self.tables().state(table);
        state.and_then(|state| Self::chosen(&state, thresholds, false).ok()).map_or(0, |chosen| chosen.len())
    }

    fn chosen(state: &TableState, thresholds: &Thresholds, all: bool) -> Result<Vec<usize>, Error> {
        if !state.is_ours() {
            return Ok(Vec::new());
        }
        let mark = mark(Clustering::of(state)?.as_ref(), &FileSettings::of(state)?);
        let mark = mark.as_deref();
        let choose = |files: &[ViewFile]| if all { thresholds.choose_all(files, mark) } else { thresholds.choose(files, mark) };
        let groups = state.partitions();
        if groups.len() < 2 {
            return Ok(choose(state.files()));
        }
        // A file holds rows of one partition alone. One rewrite does as many partitions as it may read.
        let of_group = |group: Vec<usize>| {
            let files: Vec<ViewFile> = group.iter().filter_map(|&i| state.files().get(i).cloned()).collect();
            choose(&files).into_iter().filter_map(|i| group.get(i).copied()).collect::<Vec<_>>()
        };
        let (mut bytes, mut rows) = (0, 0);
        let mut all = Vec::new();
        for chosen in groups.into_iter().map(of_group).filter(|chosen| !chosen.is_empty()) {
            for file in chosen.iter().filter_map(|&i| state.files().get(i)) {
                bytes += file.bytes;
                rows += file.rows;
            }
            if !all.is_empty() && (bytes > thresholds.job_bytes_max || rows > thresholds.job_rows_max) {
                break;
            }
            all.extend(chosen);
        }
        Ok(all)
    }

    /// Declares in which order upkeep lays a table's rows out; `None` leaves it to the table's own sort order. Files follow with the next rewrites.
    ///
    /// # Errors
    /// [`Kind::Schema`] where a column is not there; else as [`crate::Tables::commit`].
    pub async fn set_layout(&self, table: &LakeTable, layout: Option<&Clustering>) -> Result<(), Error> {
        let state = self.known(table)?;
        if let Some(missing) = layout.into_iter().flat_map(Clustering::columns).find(|c| state.schema().index_of(c).is_err()) {
            let message = format!("{table} can't be laid out by `{missing}`, which it does not have");
            return Err(Error::new(Kind::Schema, message).with_table(table));
        }
        let json = layout.map(|l| serde_json::to_string(l).unwrap_or_default());
        if state.property(LAYOUT) == json.as_deref() {
            return Ok(());
        }
        let mut change = TableChange::new(table.clone());
        change.properties.insert(LAYOUT.to_owned(), json);
        self.commit_quietly(change).await.map(|_| ())
    }

    /// Declares how data files of a table are encoded from now on. Files follow with the next rewrites, and with the next run of a model.
    ///
    /// # Errors
    /// [`Kind::Schema`] where a column is not there or can't have what is asked for; else as [`crate::Tables::commit`].
    pub async fn set_file_settings(&self, table: &LakeTable, files: &FileSettings) -> Result<(), Error> {
        let state = self.known(table)?;
        files.check(table, state.schema())?;
        let json = files.json();
        if state.property(FILES) == json.as_deref() {
            return Ok(());
        }
        let mut change = TableChange::new(table.clone());
        change.properties.insert(FILES.to_owned(), json);
        self.commit_quietly(change).await.map(|_| ())
    }

    /// Gives a table Iceberg format version 3 where it has version 2: row lineage, and deletion vectors from the next delete on. Files stay as they are, and
    /// there is no way back.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; else as [`crate::Tables::commit`].
    pub async fn upgrade(&self, table: &LakeTable) -> Result<(), Error> {
        if self.known(table)?.has_lineage() {
            return Ok(());
        }
        let mut change = TableChange::new(table.clone());
        change.upgrade = true;
        self.commit_quietly(change).await.map(|_| ())
    }

    /// What a table declares by properties of its own: in which order rows are laid out, and how files are encoded. Nothing where there is no such table.
    pub fn declared(&self, table: &LakeTable) -> (Option<Clustering>, FileSettings) {
        let Some(state) = self.tables().state(table) else { return Default::default() };
        let layout = state.property(LAYOUT).and_then(|json| serde_json::from_str(json).ok());
        (layout, FileSettings::of(&state).unwrap_or_default())
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
        let mut partitions: Vec<rewrite::OfPartition> = Vec::new();
        for (&i, file) in chosen.iter().zip(files) {
            let home = state.home(i);
            match partitions.last_mut() {
                Some((last, of)) if last.as_ref() == home => of.push(file),
                _ => partitions.push((home.cloned(), vec![file])),
            }
        }
        let rewritten = rewrite::rewrite(self.warehouse(), state, partitions, thresholds, stop).await?;
        done.files_after = rewritten.files.len() as u64;
        done.bytes_after = rewritten.files.iter().map(|f| f.bytes).sum();
        self.note_rewritten(done.bytes_after);
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
        let before = state.live_manifests();
        if before < 4 || !state.is_ours() {
            return Ok(Done::default());
        }
        let mut change = TableChange::new(table.clone());
        change.merge_manifests = true;
        keep_cursor(&mut change, &state);
        let state = self.commit_quietly(change).await?;
        Ok(Done { files_before: before as u64, files_after: state.live_manifests() as u64, ..Done::default() })
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
