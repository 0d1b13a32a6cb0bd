use crate::{
    config::{PostgresConfig, Settings},
    connect::{Client, Lsn, Mode},
    cursor::{Attached, State, lsn_of},
    decode::Shape,
    discover::{
        Found, NewSlot, TypeCatalog, barred_error, check_server, create_slot, drop_leftover, find_slot, find_tables, missing,
        publications_fingerprint, publish, tables_fingerprint,
    },
    outlet::{Outlet, Queued, Telling},
    snapshot::Copy,
    stream::{Assembler, End, Followed, Replication},
    watcher::{self, Fingerprint},
};
use async_trait::async_trait;
use model::{Cursor, Key, TableId};
use pipeline::{Error, Event, Kind, Source, SourceStatus};
use runtime::{CancellationToken, SharedClock, Tasks};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// A PostgreSQL database as a source: one slot, two publications, all tables that match its patterns.
///
/// `open` talks to the server until streaming or copying can begin; from then on a task reads ahead, bounded by `read_ahead_mb`.
pub struct PostgresSource {
    settings: Settings,
    clock: SharedClock,
    telling: Arc<Telling>,
    running: Option<Running>,
}

struct Running {
    tasks: Tasks,
    events: mpsc::Receiver<Queued>,
    acked: watch::Sender<Lsn>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A source that is dropped instead of closed must not keep its slot.
        self.tasks.cancellation().cancel();
    }
}

impl PostgresSource {
    /// A source called `source`. Nothing is connected before `open`.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`], as [`PostgresConfig::check`].
    pub fn new(source: &str, config: &PostgresConfig, clock: SharedClock) -> Result<Self, Error> {
        Ok(Self { settings: Settings::new(source, config)?, clock, telling: Arc::default(), running: None })
    }

    /// Leaves these tables alone, whatever the patterns say. Its cursors forget them, so a source without this copies them anew.
    #[must_use]
    pub fn without(mut self, tables: &BTreeSet<TableId>) -> Self {
        self.settings.aside.clone_from(tables);
        self
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn open(&mut self, resume: Option<&Cursor>) -> Result<(), Error> {
        self.close().await;
        self.telling = Arc::default();
        let ready = Box::pin(Ready::prepare(&self.settings, resume)).await?;
        let (outlet, events) = Outlet::new(self.settings.read_ahead_bytes);
        let (acked, acked_seen) = watch::channel(ready.state.lsn);
        self.telling.acked(ready.state.lsn);
        let tasks = Tasks::default();
        let (changed, tables_changed) = watch::channel(ready.fingerprint);
        let watcher = watcher::Watcher {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            telling: Arc::clone(&self.telling),
            changed,
        };
        let cancel = tasks.cancellation().clone();
        tasks.spawn(format!("{}: watch", self.settings.source), async move { watcher.run(&cancel).await });
        let run = Run {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            telling: Arc::clone(&self.telling),
            outlet: outlet.clone(),
            cancel: tasks.cancellation().clone(),
            acked: acked_seen,
            tables_changed,
            told_barred: HashSet::new(),
            followed: HashMap::new(),
            versions: HashMap::new(),
        };
        tasks.spawn(format!("{}: read", self.settings.source), async move {
            if let Err(error) = Box::pin(run.run(ready)).await {
                outlet.fail(error).await;
            }
        });
        self.running = Some(Running { tasks, events, acked });
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, Error> {
        let closed = || Error::new(Kind::Cancelled, "the PostgreSQL source is closed");
        let running = self.running.as_mut().ok_or_else(closed)?;
        running.events.recv().await.ok_or_else(closed)?.event
    }

    fn ack(&mut self, cursor: &Cursor) {
        let (Some(running), Some(lsn)) = (&self.running, lsn_of(cursor)) else { return };
        self.telling.acked(lsn);
        running.acked.send_if_modified(|now| {
            let further = lsn > *now;
            *now = (*now).max(lsn);
            further
        });
    }

    fn status(&self) -> SourceStatus {
        self.telling.status()
    }

    async fn close(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.events.close();
            let late = running.tasks.shutdown(Duration::from_secs(5)).await;
            if !late.is_empty() {
                tracing::warn!(source = self.settings.source, "tasks had to be stopped: {}", late.join(", "));
            }
        }
    }
}

/// Everything `open` found out.
struct Ready {
    state: State,
    tables: Vec<Found>,
    types: TypeCatalog,
    fingerprint: Fingerprint,
    /// Without a cursor: the new slot, and the connection that keeps its snapshot alive.
    copy: Option<(Client, NewSlot)>,
}

impl Ready {
    async fn prepare(settings: &Settings, resume: Option<&Cursor>) -> Result<Self, Error> {
        let former = resume.map(State::read).transpose()?;
        let mut client = Client::connect(&settings.address, Mode::Sql).await?;
        let system = check_server(&mut client, settings).await?;
        if let Some(state) = &former {
            check_resume(&mut client, settings, state, &system).await?;
        } else {
            // Only a cursor says that something was copied; a slot says nothing.
            drop_leftover(&mut client, settings).await?;
        }
        let mut types = TypeCatalog::default();
        // Before the tables are read and after the publications are made: what happens in between is seen by the watcher, and our own doing is not.
        let seen_tables = tables_fingerprint(&mut client, settings).await?;
        let mut tables = find_tables(&mut client, &mut types, |id| settings.follows(id)).await?;
        if tables.is_empty() {
            tracing::warn!(source = settings.source, "no table matches {} yet", settings.patterns.describe());
        }
        let left_out = publish(&mut client, settings, &published(&tables, former.as_ref())).await?;
        bar(&mut tables, left_out);
        let fingerprint = (seen_tables, publications_fingerprint(&mut client, settings).await?);
        client.finish().await;
        if let Some(state) = former {
            return Ok(Self { state, tables, types, fingerprint, copy: None });
        }
        let mut replication = Client::connect(&settings.address, Mode::Replication).await?;
        let slot = create_slot(&mut replication, &settings.slot, false).await?;
        let state = State { system, slot: settings.slot.clone(), lsn: slot.consistent, tables: Vec::new() };
        Ok(Self { state, tables, types, fingerprint, copy: Some((replication, slot)) })
    }
}

async fn check_resume(client: &mut Client, settings: &Settings, state: &State, system: &str) -> Result<(), Error> {
    let lost = |what: String| Error::new(Kind::PositionLost, format!("source {} can't resume: {what}", settings.source));
    if !state.system.is_empty() && !system.is_empty() && state.system != system {
        return Err(lost(format!(
            "PostgreSQL at {} is another database cluster than the lake's position is from",
            settings.address
        ))
        .with_hint("Check the url; if the database was moved on purpose, resync the pipeline."));
    }
    if state.slot != settings.slot {
        return Err(lost(format!("its slot was {} and is now called {}", state.slot, settings.slot))
            .with_hint("Set `slot` back to its former name, or resync the pipeline."));
    }
    match find_slot(client, &settings.slot).await? {
        None => Err(missing(settings, state.lsn)),
        Some(slot) => slot.check_resume(settings, state.lsn),
    }
}

fn readable(tables: &[Found]) -> Vec<&Found> {
    tables.iter().filter(|t| t.barred.is_none()).collect()
}

/// Keeps tables out of which no changes would come.
fn bar(tables: &mut [Found], left_out: Vec<(TableId, String)>) {
    for (id, why) in left_out {
        if let Some(table) = tables.iter_mut().find(|t| t.id == id) {
            (table.barred, table.published) = (Some(why), false);
        }
    }
}

/// What belongs into the publications: a table that is followed needs no right to be read again.
fn published<'a>(tables: &'a [Found], state: Option<&State>) -> Vec<&'a Found> {
    tables.iter().filter(|t| t.barred.is_none() || state.is_some_and(|s| s.table(&t.id).is_some())).collect()
}

/// The task that reads ahead.
struct Run {
    settings: Settings,
    clock: SharedClock,
    telling: Arc<Telling>,
    outlet: Outlet,
    cancel: CancellationToken,
    acked: watch::Receiver<Lsn>,
    tables_changed: watch::Receiver<Fingerprint>,
    /// Tables that the loop was told can't be read.
    told_barred: HashSet<TableId>,
    /// Tables as the stream left them.
    followed: HashMap<TableId, Followed>,
    /// The newest version of every table's schema that was told, so that a table copied again does not begin with an old number.
    versions: HashMap<TableId, u32>,
}

impl Run {
    async fn run(mut self, ready: Ready) -> Result<(), Error> {
        let Ready { mut state, mut tables, mut types, copy, .. } = ready;
        let cancel = self.cancel.clone();
        if let Some((replication, slot)) = copy {
            self.tell_barred(&tables).await?;
            let all: Vec<Found> = readable(&tables).into_iter().cloned().collect();
            let seq = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                copied = self.copy(&slot, &all, &mut state) => copied?,
            };
            replication.finish().await;
            self.outlet.send(Event::Boundary(state.cursor(seq, None)?)).await?;
        }
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                attached = self.attach(&tables, &mut state) => attached?,
            }
            let assembler = Assembler::new(state.lsn, self.take_followed(&tables, &state), self.settings.batch_rows_max);
            let mut replication = Replication {
                settings: &self.settings,
                clock: &self.clock,
                outlet: &self.outlet,
                telling: &self.telling,
                cancel: &self.cancel,
                acked: self.acked.clone(),
                tables_changed: self.tables_changed.clone(),
                types: &mut types,
                state: &mut state,
            };
            let (end, mut assembler) = Box::pin(replication.run(assembler)).await?;
            if end == End::Closed {
                return Ok(());
            }
            self.tables_changed.mark_unchanged();
            for stale in assembler.take_stale() {
                tracing::info!(source = self.settings.source, table = %stale, "copying the table again: its old rows changed without change events");
                state.tables.retain(|t| t.id != stale);
            }
            self.versions.extend(assembler.tables().iter().map(|t| (t.shape.id.clone(), t.shape.schema().version)));
            self.followed = assembler.into_tables().into_iter().map(|t| (t.shape.id.clone(), t)).collect();
            let mut client = Client::connect(&self.settings.address, Mode::Sql).await?;
            tables = find_tables(&mut client, &mut types, |id| self.settings.follows(id)).await?;
            let left_out = publish(&mut client, &self.settings, &published(&tables, Some(&state))).await?;
            bar(&mut tables, left_out);
            client.finish().await;
        }
    }

    async fn tell_barred(&mut self, tables: &[Found]) -> Result<(), Error> {
        self.told_barred.retain(|id| tables.iter().any(|t| t.id == *id && t.barred.is_some()));
        for table in tables {
            if let Some(why) = &table.barred
                && self.told_barred.insert(table.id.clone())
            {
                self.outlet.send(Event::TableFailed { table: table.id.clone(), error: barred_error(why) }).await?;
            }
        }
        Ok(())
    }

    /// Copies `tables` as of `slot` and adds them to the state.
    async fn copy(&mut self, slot: &NewSlot, tables: &[Found], state: &mut State) -> Result<u64, Error> {
        let copy = Copy { settings: &self.settings, clock: &self.clock, outlet: &self.outlet, telling: &self.telling };
        let (shapes, seq) = copy.run(slot, tables, |id| self.versions.get(id).map_or(1, |v| v + 1)).await?;
        for (table, shape) in tables.iter().zip(shapes) {
            let Some(shape) = shape else {
                tracing::warn!(source = self.settings.source, table = %table.id, "the table was truncated or rewritten while it was copied: copying it again");
                continue;
            };
            let inserts_only = table.key == Key::None;
            let odd = shape.odd_names().to_vec();
            state.tables.retain(|t| t.id != table.id);
            state.tables.push(Attached {
                id: table.id.clone(),
                oid: table.oid,
                from: slot.consistent,
                inserts_only,
                odd,
                layout: table.layout.clone(),
                stored: table.stored.clone(),
            });
            self.followed.insert(table.id.clone(), Followed::new(table.oid, slot.consistent, inserts_only, shape, true));
        }
        Ok(seq)
    }

    /// Brings the state in line with the tables there are: forgets those that are gone, copies those that are new.
    ///
    /// A new table is copied as of a later point than where the stream stands; its changes up to that point are skipped, and the cursor
    /// says so, because a restart before that point must skip them too.
    async fn attach(&mut self, tables: &[Found], state: &mut State) -> Result<(), Error> {
        self.tell_barred(tables).await?;
        let is_same =
            |t: &Attached, f: &Found| t.id == f.id && t.oid == f.oid && f.published && t.inserts_only == (f.key == Key::None);
        state.tables.retain_mut(|attached| {
            let Some(found) = tables.iter().find(|f| is_same(attached, f)) else { return false };
            let why = if !attached.layout.is_empty() && attached.layout.moved(&found.layout) {
                Some("its columns changed, and with them the values of old rows")
            } else if attached.stored.moved(&found.stored) {
                Some("its rows were written anew, or a partition with rows was attached")
            } else {
                None
            };
            if let Some(why) = why {
                tracing::info!(source = self.settings.source, table = %attached.id, "copying the table again: {why}");
            }
            attached.layout.clone_from(&found.layout);
            attached.stored.clone_from(&found.stored);
            why.is_none()
        });
        let new: Vec<Found> = readable(tables).into_iter().filter(|f| state.table(&f.id).is_none()).cloned().collect();
        self.followed.retain(|id, _| state.table(id).is_some());
        if new.is_empty() {
            return Ok(());
        }
        let mut replication = Client::connect(&self.settings.address, Mode::Replication).await?;
        let name = format!("{}_new", self.settings.slot.chars().take(59).collect::<String>());
        let slot = create_slot(&mut replication, &name, true).await?;
        let seq = self.copy(&slot, &new, state).await?;
        replication.finish().await;
        self.outlet.send(Event::Boundary(state.cursor(seq, None)?)).await
    }

    fn take_followed(&mut self, tables: &[Found], state: &State) -> Vec<Followed> {
        let mut followed = std::mem::take(&mut self.followed);
        state
            .tables
            .iter()
            .filter_map(|attached| {
                if let Some(table) = followed.remove(&attached.id) {
                    return Some(table);
                }
                let found = tables.iter().find(|f| f.id == attached.id)?;
                let key = if attached.inserts_only { Key::None } else { found.key.clone() };
                let shape = Shape::new(found.id.clone(), found.columns.clone(), key, attached.odd.clone(), 1);
                Some(Followed::new(found.oid, attached.from, attached.inserts_only, shape, false))
            })
            .collect()
    }
}
