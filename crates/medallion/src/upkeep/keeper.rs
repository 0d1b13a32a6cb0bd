use super::{
    UpkeepSettings,
    queue::{Asked, Doing, Queue},
};
use crate::{AppliedLayout, Error, Kind};
use catalog::{Catalog, UpkeepRun, UpkeepTotals};
use lake::{Committed, Done, Lake, Orphans, Step};
use model::LakeTable;
use parking_lot::Mutex;
use runtime::{CancellationToken, SharedClock, Tasks};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio::sync::{
    Notify,
    broadcast::{Receiver, error::RecvError},
    watch,
};

/// So often a rewrite that somebody asked for gives way to other writers before it is given up.
const GIVES_WAY_MOST: u32 = 5;

/// How long an outside engine has not written to its table before upkeep works on it.
const OUTSIDE_PAUSE_US: i64 = 60_000_000;

/// Runs that are kept at hand.
const RECENT: usize = 500;

/// Upkeep of a lake: a cheap handle on the task that does it.
#[derive(Debug, Clone)]
pub struct Upkeep {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lake: Lake,
    pub(super) catalog: Catalog,
    pub(super) clock: SharedClock,
    pub(super) settings: UpkeepSettings,
    /// Layouts that were applied beside the configuration.
    pub(super) applied: Mutex<BTreeMap<LakeTable, AppliedLayout>>,
    /// Something was asked for.
    wake: Notify,
    /// Counts pieces of work that have ended.
    ended: watch::Sender<u64>,
    stop: CancellationToken,
    queue: Mutex<Queue>,
    /// The newest runs, newest first.
    recent: Mutex<VecDeque<UpkeepRun>>,
}

impl Upkeep {
    /// Starts to keep the tables of `lake` in shape, on `tasks` and until these are cancelled; what is under way then is given up, and changed nothing.
    pub fn start(settings: UpkeepSettings, lake: Lake, catalog: Catalog, clock: SharedClock, tasks: &Tasks) -> Self {
        let shared = Shared {
            lake,
            catalog,
            clock,
            settings,
            applied: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
            stop: tasks.cancellation().clone(),
            queue: Mutex::default(),
            recent: Mutex::default(),
        };
        let upkeep = Self { shared: Arc::new(shared) };
        let keeper = upkeep.clone();
        let committed = upkeep.shared.lake.committed();
        tasks.spawn("upkeep", async move { keeper.keep(committed).await });
        upkeep
    }

    /// Asks for steps on a table, or on all, before anything else. [`Step::Orphans`] is about the whole warehouse whatever the table. Returns at once.
    ///
    /// # Errors
    /// [`Kind::UnknownTable`].
    pub fn request(&self, table: Option<&LakeTable>, steps: &[Step]) -> Result<Asked, Error> {
        let all = self.tables();
        let tables: Vec<Option<LakeTable>> = match table {
            Some(table) if all.contains(table) => vec![Some(table.clone())],
            Some(table) => {
                let reason = self.shared.lake.tables().state(table).and_then(|state| state.foreign());
                let message = match reason {
                    Some(reason) => format!(
                        "{table} is not lakebox's to keep in shape, because {reason}: see to it with the engine that writes it"
                    ),
                    None => format!("there is no table {table}"),
                };
                return Err(Error::new(Kind::UnknownTable, message));
            }
            None => all.into_iter().map(Some).collect(),
        };
        let asked = self.shared.queue.lock().ask(&tables, steps);
        self.shared.wake.notify_one();
        Ok(asked)
    }

    /// Waits until everything of a request is done, well or not.
    pub async fn wait(&self, asked: Asked) {
        let mut ended = self.shared.ended.subscribe();
        while !self.shared.queue.lock().is_done(asked) {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// What is under way.
    pub fn doing(&self) -> Option<Doing> {
        self.shared.queue.lock().doing.clone()
    }

    /// Tells whenever a piece of work has ended.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.ended.subscribe()
    }

    /// The settings.
    pub fn settings(&self) -> &UpkeepSettings {
        &self.shared.settings
    }

    /// The newest runs, of one table or of all, newest first.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn runs(&self, table: Option<&LakeTable>, limit: u32) -> Result<Vec<UpkeepRun>, Error> {
        self.shared.catalog.upkeep_runs(table, limit).await.map_err(unread)
    }

    /// What upkeep has written, as far as runs are remembered.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn totals(&self) -> Result<UpkeepTotals, Error> {
        self.shared.catalog.upkeep_totals().await.map_err(unread)
    }

    /// The tables that lakebox can write. Others, which outside engines partitioned by what it does not know, are seen to by their writers.
    fn tables(&self) -> Vec<LakeTable> {
        let states = self.shared.lake.tables().all();
        states.iter().filter(|state| state.foreign().is_none()).map(|state| state.table().clone()).collect()
    }

    /// Whether upkeep may work on a table unasked. A table of an outside engine is left alone until the engine pauses: its next commit would fail over
    /// files that moved, and not every engine tries again.
    fn pauses(&self, table: &LakeTable, now_us: i64) -> bool {
        let state = self.shared.lake.tables().state(table);
        state.is_none_or(|state| !state.is_written_outside() || now_us - state.updated_us() >= OUTSIDE_PAUSE_US)
    }

    /// The newest runs of this process and the one before, newest first, without asking the catalog.
    pub fn recent(&self) -> Vec<UpkeepRun> {
        self.shared.recent.lock().iter().cloned().collect()
    }

    async fn keep(&self, mut committed: Receiver<Committed>) {
        let shared = &self.shared;
        match shared.catalog.upkeep_runs(None, RECENT as u32).await {
            Ok(former) => shared.recent.lock().extend(former),
            Err(error) => tracing::warn!("former runs of upkeep can't be read: {error}"),
        }
        loop {
            if shared.stop.is_cancelled() {
                return;
            }
            if let Some(doing) = self.take() {
                tokio::select! {
                    biased;
                    () = shared.stop.cancelled() => return,
                    () = self.work(doing) => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                () = shared.wake.notified() => {}
                told = committed.recv() => match told {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                () = shared.clock.sleep(shared.settings.every) => {}
            }
        }
    }

    fn take(&self) -> Option<Doing> {
        let shared = &self.shared;
        let is_due = |table: &LakeTable| self.rewrite_due(table);
        let now = shared.clock.now_us();
        let mut tables = self.tables();
        tables.retain(|table| self.pauses(table, now));
        let mut queue = shared.queue.lock();
        let next = queue.next(&shared.settings, &tables, is_due, now);
        queue.doing.clone_from(&next);
        next
    }

    /// Whether a table has files worth to be rewritten, or does not declare yet what holds for it.
    fn rewrite_due(&self, table: &LakeTable) -> bool {
        let of = self.policy_of(table);
        let declared = self.shared.lake.declared(table);
        let news = of.layout.is_some_and(|layout| declared.0.as_ref() != Some(&layout))
            || of.files.is_some_and(|files| declared.1 != files)
            || of
                .format_version
                .is_some_and(|wanted| self.shared.lake.tables().state(table).is_some_and(|s| s.format_version() < wanted));
        news || self.shared.lake.rewrite_due(table, &of.policy.thresholds) > 0
    }

    async fn work(&self, doing: Doing) {
        let shared = &self.shared;
        let result = self.step(&doing).await;
        let now = shared.clock.now_us();
        let (done, error) = match result {
            Ok(done) => (done, None),
            // The tables moved on, or the process is going down: nothing to speak of.
            Err(error) if error.kind == lake::Kind::Conflict || error.kind == lake::Kind::NotFound => {
                tracing::debug!(table = ?doing.table, step = doing.step.as_str(), "upkeep gave way: {error}");
                (Done::default(), doing.asked.then(|| error.to_string()))
            }
            Err(error) => {
                tracing::warn!(table = ?doing.table.as_ref().map(ToString::to_string), step = doing.step.as_str(), "upkeep failed: {}", with_causes(&error));
                (Done::default(), Some(with_causes(&error)))
            }
        };
        if done.anything() || error.is_some() || doing.asked {
            let run = run_of(&doing, done, error.clone(), now);
            match shared.catalog.add_upkeep_run(run).await {
                Ok(run) => {
                    let mut recent = shared.recent.lock();
                    recent.push_front(run);
                    recent.truncate(RECENT);
                }
                Err(error) => tracing::warn!("a run of upkeep could not be recorded: {error}"),
            }
            let before = now - i64::try_from(shared.settings.runs_kept.as_micros()).unwrap_or(i64::MAX);
            if let Err(error) = shared.catalog.prune_upkeep_runs(before).await {
                tracing::warn!("old runs of upkeep could not be removed: {error}");
            }
        }
        let mut queue = shared.queue.lock();
        queue.doing = None;
        queue.ended(&shared.settings, &doing, error.is_none(), now);
        drop(queue);
        shared.ended.send_modify(|count| *count += 1);
    }

    async fn step(&self, doing: &Doing) -> Result<Done, lake::Error> {
        let (lake, settings) = (&self.shared.lake, &self.shared.settings);
        let Some(table) = &doing.table else {
            return lake.remove_orphans(settings.orphans_after).await.map(removed);
        };
        let of = self.policy_of(table);
        match doing.step {
            Step::Rewrite => {
                if of.layout.is_some() {
                    lake.set_layout(table, of.layout.as_ref()).await?;
                }
                if let Some(files) = &of.files {
                    lake.set_file_settings(table, files).await?;
                }
                if of.format_version == Some(3) {
                    lake.upgrade(table).await?;
                }
                let mut all = Done::default();
                let mut gave_way = 0;
                // Files that are laid out anew one partition after the other may stay as many as they were.
                let mut rounds = lake.view().tables.get(table).map_or(0, |t| t.files.len());
                loop {
                    let rewritten = lake.rewrite_files(table, &of.policy.thresholds, doing.asked, &self.shared.stop).await;
                    let done = match rewritten {
                        Err(error) if error.kind == lake::Kind::Conflict && doing.asked && gave_way < GIVES_WAY_MOST => {
                            gave_way += 1;
                            continue;
                        }
                        other => other?,
                    };
                    // A table that is written to all the time is never quite right.
                    rounds = rounds.saturating_sub(1);
                    let progress = done.files_after < done.files_before || done.deleted_rows > 0 || rounds > 0;
                    all = all.and(done);
                    if !doing.asked || !done.anything() || !progress {
                        return Ok(all);
                    }
                }
            }
            Step::Manifests => lake.merge_manifests(table).await,
            Step::Expire => lake.expire_snapshots(table, &of.policy.retention).await,
            Step::Orphans => lake.remove_orphans(settings.orphans_after).await.map(removed),
        }
    }
}

fn removed(orphans: Orphans) -> Done {
    Done { files_before: orphans.files, bytes_before: orphans.bytes, ..Done::default() }
}

fn run_of(doing: &Doing, done: Done, error: Option<String>, finished_us: i64) -> UpkeepRun {
    UpkeepRun {
        id: String::new(),
        table: doing.table.clone(),
        step: doing.step.as_str().to_owned(),
        started_us: doing.since_us,
        finished_us,
        asked: doing.asked,
        files_before: done.files_before,
        files_after: done.files_after,
        bytes_before: done.bytes_before,
        bytes_after: done.bytes_after,
        rows: done.rows,
        deleted_rows: done.deleted_rows,
        snapshots: done.snapshots,
        error,
    }
}

fn with_causes(error: &lake::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        let said = e.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = e.source();
    }
    text
}

fn unread(error: catalog::Error) -> Error {
    Error::new(Kind::Catalog, format!("reading runs of upkeep failed: {error}")).with_source(error)
}
