use super::{
    Loaded, Model, ModelStatus, ModelsSettings, Problem, Progress, RunningState, Schedule, Trigger,
    agenda::{Agenda, End, Slot},
    graph::{Stamp, files, load},
    runner::{Runner, inputs},
};
use crate::{Error, Kind};
use catalog::{Catalog, ModelRun, ModelState, RunState};
use lake::{Committed, Lake};
use model::LakeTable;
use parking_lot::Mutex;
use query::{Counters, Engine};
use runtime::{CancellationToken, SharedClock, Tasks};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{
    Notify,
    broadcast::{Receiver, error::RecvError},
    watch,
};

/// The gold models of a lake: a cheap handle on the task that keeps their tables up to date.
#[derive(Debug, Clone)]
pub struct Models {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runner: Runner,
    clock: SharedClock,
    tasks: Tasks,
    /// Something was asked for or has ended.
    wake: Notify,
    /// Counts changes of what [`Models::status`] says.
    changes: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    agenda: Agenda,
    problems: Vec<Problem>,
    stamps: BTreeMap<PathBuf, Stamp>,
    /// The last run of each model.
    runs: BTreeMap<String, ModelRun>,
    /// What the runs under way have returned so far.
    counters: BTreeMap<String, Arc<Counters>>,
}

impl Models {
    /// Loads the models and starts to keep their tables up to date, on `tasks` and until these are cancelled; a run that is under way then
    /// is dropped and its table stays as it was. Models whose table is missing, was made from another statement or from former inputs run first.
    /// Models with mistakes don't keep the others from running; see [`Self::problems`].
    ///
    /// # Errors
    /// Where the folder or the catalog can't be read.
    pub async fn start(
        settings: ModelsSettings,
        lake: Lake,
        engine: Engine,
        catalog: Catalog,
        clock: SharedClock,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let committed = lake.committed();
        catalog.abandon_runs().await.map_err(|e| catalog_error(e, "starting the models"))?;
        let runs = catalog.last_runs().await.map_err(|e| catalog_error(e, "starting the models"))?;
        let debounce_us = i64::try_from(settings.debounce_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        let state = State {
            agenda: Agenda::new(debounce_us, settings.running_max),
            problems: Vec::new(),
            stamps: BTreeMap::new(),
            runs: runs.into_iter().map(|run| (run.model.clone(), run)).collect(),
            counters: BTreeMap::new(),
        };
        let runner = Runner { lake, engine, catalog, settings: Arc::new(settings) };
        let shared = Shared {
            runner,
            clock,
            tasks: tasks.clone(),
            wake: Notify::new(),
            changes: watch::Sender::new(0),
            state: Mutex::new(state),
        };
        let models = Self { shared: Arc::new(shared) };
        models.reload().await?;
        let keeper = models.clone();
        tasks.spawn("gold models", async move { keeper.keep(committed).await });
        Ok(models)
    }

    /// Every model, those with mistakes included, by name.
    pub fn status(&self) -> Vec<ModelStatus> {
        let view = self.shared.runner.lake.view();
        let rows = |table: &LakeTable| view.tables.get(table).map_or(0, |t| t.live_rows());
        let state = self.shared.state.lock();
        let usable = state.agenda.slots().iter().enumerate().map(|(at, slot)| state.status(at, slot, rows(&slot.model.table())));
        let broken = state.problems.iter().map(|problem| state.broken(problem));
        let mut all: Vec<_> = usable.chain(broken).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Tells whenever [`Self::status`] may say something new: a run begins or ends, or the models were read again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What is wrong with files of models.
    pub fn problems(&self) -> Vec<Problem> {
        self.shared.state.lock().problems.clone()
    }

    /// Runs a model as soon as a place is free, whatever its schedule says. Returns at once.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`], or [`Kind::BrokenModel`] with what is wrong in its file.
    pub fn request(&self, name: &str) -> Result<(), Error> {
        let mut state = self.shared.state.lock();
        if state.agenda.request(name) {
            drop(state);
            self.shared.wake.notify_one();
            return Ok(());
        }
        Err(match state.problems.iter().find(|p| p.model() == name) {
            Some(problem) => {
                Error::new(Kind::BrokenModel, problem.to_string()).with_hint("Mend the file; it is read again at once.")
            }
            None => Error::new(Kind::UnknownModel, format!("there is no model `{name}`")),
        })
    }

    /// The newest runs of a model, newest first.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn runs(&self, name: &str, limit: u32) -> Result<Vec<ModelRun>, Error> {
        self.shared.runner.catalog.runs(name, limit).await.map_err(|e| catalog_error(e, "reading runs"))
    }

    /// Reads the folder again. Models that say something else now run soon; tables of models that are gone stay until somebody drops them.
    ///
    /// # Errors
    /// Where the folder or the catalog can't be read; the former models stay then.
    pub async fn reload(&self) -> Result<(), Error> {
        let folder = self.shared.runner.settings.folder.clone();
        let read = runtime::blocking("reading models", move || {
            let stamps = files(&folder).unwrap_or_default();
            load(&folder).map(|loaded| (stamps, loaded))
        });
        let (stamps, loaded) = read.await.map_err(|e| Error::new(Kind::Folder, e.to_string()).with_source(e))??;
        let known = self.shared.runner.catalog.model_states().await.map_err(|e| catalog_error(e, "reading models"))?;
        self.take(loaded, stamps, &known);
        self.shared.wake.notify_one();
        Ok(())
    }

    fn take(&self, loaded: Loaded, stamps: BTreeMap<PathBuf, Stamp>, known: &[ModelState]) {
        for problem in &loaded.problems {
            tracing::warn!("a model can't be used: {problem}");
        }
        let view = self.shared.runner.lake.view();
        let stale: Vec<_> = loaded.models.iter().filter(|m| is_stale(m, &view, known)).map(|m| m.name.clone()).collect();
        let mut state = self.shared.state.lock();
        state.agenda.set_models(loaded.models, self.shared.clock.now_us());
        stale.iter().for_each(|name| state.agenda.mark(name));
        state.problems = loaded.problems;
        state.stamps = stamps;
        drop(state);
        self.changed();
    }

    fn changed(&self) {
        self.shared.changes.send_modify(|n| *n += 1);
    }

    /// The task: starts what is due, then waits for a commit, a request, the end of a run, or time.
    async fn keep(&self, mut committed: Receiver<Committed>) {
        let cancel = self.shared.tasks.cancellation().clone();
        let mut looked_us = self.shared.clock.now_us();
        loop {
            self.start_due();
            let now = self.shared.clock.now_us();
            let poll_us = i64::try_from(self.shared.runner.settings.poll_ms).unwrap_or(i64::MAX).saturating_mul(1000);
            let look = (poll_us > 0).then(|| looked_us.saturating_add(poll_us));
            let next = self.shared.state.lock().agenda.next_us(now);
            let wait = next.into_iter().chain(look).min().map(|at| Duration::from_micros((at - now).max(1).unsigned_abs()));
            let time = async {
                match wait {
                    Some(wait) => self.shared.clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                commit = committed.recv() => match commit {
                    Ok(commit) => self.shared.state.lock().agenda.moved(|t| commit.tables.contains(t)),
                    // Some commits were missed: anything may have moved.
                    Err(RecvError::Lagged(_)) => self.shared.state.lock().agenda.moved(|_| true),
                    Err(RecvError::Closed) => return,
                },
                () = self.shared.wake.notified() => {}
                () = time => {}
            }
            if look.is_some_and(|at| at <= self.shared.clock.now_us()) {
                looked_us = self.shared.clock.now_us();
                self.look().await;
            }
        }
    }

    /// Reloads if a file has changed.
    async fn look(&self) {
        let folder = self.shared.runner.settings.folder.clone();
        let found = runtime::blocking("looking at models", move || files(&folder)).await;
        let changed = match found {
            Ok(Ok(stamps)) => stamps != self.shared.state.lock().stamps,
            // An unreadable folder is told by `reload` when somebody asks; until then the models stay.
            _ => false,
        };
        if changed && let Err(error) = self.reload().await {
            tracing::warn!("changed models could not be read: {error}");
        }
    }

    fn start_due(&self) {
        let due = self.shared.state.lock().agenda.start_due(self.shared.clock.now_us());
        for (model, trigger) in due {
            let mut run = Run { models: self.clone(), model, end: End::Failed };
            let cancel: CancellationToken = self.shared.tasks.cancellation().clone();
            self.shared.tasks.spawn(format!("model {}", run.model.name), async move {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => {}
                    () = run.go(trigger) => {}
                }
            });
        }
    }
}

/// A run under way. However it ends, by a panic too, the model is free to run again once this is dropped.
struct Run {
    models: Models,
    model: Arc<Model>,
    end: End,
}

impl Run {
    async fn go(&mut self, trigger: Trigger) {
        let shared = &self.models.shared;
        let begun = |run: ModelRun, counters: Option<Arc<Counters>>| {
            let mut state = shared.state.lock();
            state.counters.extend(counters.map(|c| (run.model.clone(), c)));
            state.runs.insert(run.model.clone(), run);
            drop(state);
            self.models.changed();
        };
        let (end, last) = shared.runner.run(&self.model, trigger, begun).await;
        shared.state.lock().runs.extend(last.map(|run| (run.model.clone(), run)));
        self.end = end;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let shared = &self.models.shared;
        let mut state = shared.state.lock();
        state.counters.remove(&self.model.name);
        state.agenda.finished(&self.model.name, self.end.clone(), shared.clock.now_us());
        drop(state);
        self.models.changed();
        shared.wake.notify_one();
    }
}

/// Whether a model's table is not what the model would make now.
fn is_stale(model: &Model, view: &lake::LakeView, known: &[ModelState]) -> bool {
    let made = known.iter().find(|s| s.model == model.name && s.fingerprint == model.fingerprint);
    let made = made.filter(|_| view.tables.contains_key(&model.table()));
    match (&model.schedule, made) {
        (Schedule::Manual, _) => false,
        (_, None) => true,
        (Schedule::OnCommit, Some(made)) => made.inputs != inputs(model, view),
        (Schedule::Cron(_), Some(_)) => false,
    }
}

fn catalog_error(error: catalog::Error, doing: &str) -> Error {
    let hint = error.hint.clone();
    let kept = Error::new(Kind::Catalog, format!("{doing}: {error}")).with_source(error);
    match hint {
        Some(hint) => kept.with_hint(hint),
        None => kept,
    }
}

impl State {
    fn status(&self, at: usize, slot: &Slot, rows: u64) -> ModelStatus {
        let model = &slot.model;
        let last_run = self.runs.get(&model.name).cloned();
        let held = self
            .agenda
            .held_by(at)
            .map(|name| format!("model `{name}`, which it reads, has failed; the table keeps its former rows"));
        let missing = slot.waiting_for.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let waiting = (!missing.is_empty()).then(|| format!("it reads {missing}, which is not there yet"));
        let error = last_run.as_ref().filter(|_| slot.failed()).and_then(|run| run.error.clone());
        let state = match last_run.as_ref().map(|run| run.state) {
            _ if slot.running => RunningState::Running,
            _ if slot.failed() => RunningState::Failed,
            Some(RunState::Ok) => RunningState::Ok,
            Some(RunState::Failed) => RunningState::Failed,
            Some(RunState::Running) | None => RunningState::Pending,
        };
        let progress = slot.running.then(|| Progress {
            started_us: last_run.as_ref().map_or(0, |run| run.started_us),
            rows: self.counters.get(&model.name).map_or(0, |c| c.rows()),
        });
        ModelStatus {
            name: model.name.clone(),
            file: model.file.clone(),
            description: model.description.clone(),
            text: model.text.clone(),
            sql: model.sql.clone(),
            schedule: model.schedule.to_string(),
            state,
            note: error.or(held).or(waiting),
            problem: None,
            progress,
            last_run,
            next_run_us: slot.next_us,
            upstream: model.upstream.iter().cloned().collect(),
            sort_order: model.sort_order.clone(),
            partition_by: model.partition_by.clone(),
            rows,
        }
    }

    fn broken(&self, problem: &Problem) -> ModelStatus {
        let name = problem.model();
        ModelStatus {
            last_run: self.runs.get(&name).cloned(),
            name,
            file: problem.file.clone(),
            description: String::new(),
            text: String::new(),
            sql: String::new(),
            schedule: String::new(),
            state: RunningState::Failed,
            note: Some(problem.to_string()),
            problem: Some(problem.clone()),
            progress: None,
            next_run_us: None,
            upstream: Vec::new(),
            sort_order: Vec::new(),
            partition_by: Vec::new(),
            rows: 0,
        }
    }
}
