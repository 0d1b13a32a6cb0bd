use super::{
    TableChange,
    moves::Moves,
    pins::Pins,
    snapshot::{Prepared, prepare},
    touched::{Touched, Touching},
};
use crate::{
    Error,
    error::Kind,
    store::{Held, Store},
    table::{TableState, load, travel},
};
use catalog::{Catalog, Commit, CursorSwap, ObjectChange, PointerSwap, TableRecord};
use futures::{StreamExt, TryStreamExt};
use model::LakeTable;
use parking_lot::RwLock;
use runtime::SharedClock;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How many tables are loaded at once when a lake is opened.
const LOADED_AT_ONCE: usize = 16;
/// Former snapshots that are kept in memory once they were read.
const FORMER_KEPT: usize = 16;

/// All tables of a lake as the catalog has them, and the only way to change them.
///
/// This process is the only writer, so what is in memory is what the catalog says; a commit that finds otherwise fails with [`Kind::Conflict`].
#[derive(Debug, Clone)]
pub struct Tables {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    catalog: Catalog,
    clock: SharedClock,
    states: RwLock<BTreeMap<LakeTable, Arc<TableState>>>,
    /// One writer at a time for each table.
    writers: parking_lot::Mutex<HashMap<LakeTable, Arc<Mutex<()>>>>,
    /// Tables whose last commit ended with an error of the catalog, so that memory may be behind.
    doubtful: parking_lot::Mutex<HashSet<LakeTable>>,
    /// Rewritten files that sinks may still name.
    moves: Arc<Moves>,
    /// Views that queries may hold.
    pins: Pins,
    /// Tables that SQL transactions are at work on.
    touching: Arc<Touching>,
    /// Whose turn it is to change rows of a table by a statement of SQL.
    turns: parking_lot::Mutex<HashMap<LakeTable, Arc<Mutex<()>>>>,
    /// Tables as they were, least recently read first.
    former: parking_lot::Mutex<VecDeque<Arc<TableState>>>,
}

/// What a commit did.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The tables of the changes, in their order.
    pub states: Vec<Arc<TableState>>,
    /// Those whose pointer moved.
    pub moved: Vec<LakeTable>,
}

/// A table that is written and not committed.
#[derive(Debug)]
pub(crate) struct Staged {
    pub state: Arc<TableState>,
    /// Keeps its metadata files from being taken for orphans meanwhile.
    pub held: Vec<Held>,
    /// Metadata files that fell out of its log.
    pub dropped: Vec<String>,
}

impl Tables {
    /// Loads every table that the catalog points to.
    ///
    /// # Errors
    /// Where the catalog or a file that it leads to can't be read.
    pub async fn open(store: Store, catalog: Catalog, clock: SharedClock) -> Result<Self, Error> {
        let inner = Inner {
            store,
            catalog,
            clock,
            states: RwLock::default(),
            writers: parking_lot::Mutex::default(),
            doubtful: parking_lot::Mutex::default(),
            moves: Arc::default(),
            pins: Pins::default(),
            touching: Arc::default(),
            turns: parking_lot::Mutex::default(),
            former: parking_lot::Mutex::default(),
        };
        let tables = Self { inner: Arc::new(inner) };
        let (kept, own): (Vec<_>, Vec<_>) =
            tables.inner.catalog.tables().await?.into_iter().partition(|record| record.table.layer.is_kept());
        tables.load(kept).await?;
        // A table that outside engines write and break costs nobody else anything: it is missing until it is dropped or registered anew.
        let load_own = async |record: TableRecord| {
            let table = record.table.clone();
            if let Err(error) = tables.load(vec![record]).await {
                tracing::error!(%error, "{table} can't be read and is left out");
            }
        };
        futures::stream::iter(own).for_each_concurrent(LOADED_AT_ONCE, load_own).await;
        Ok(tables)
    }

    async fn load(&self, records: Vec<TableRecord>) -> Result<(), Error> {
        let loads =
            futures::stream::iter(records).map(|record| load::load(&self.inner.store, record)).buffer_unordered(LOADED_AT_ONCE);
        let loaded: Vec<TableState> = loads.try_collect().await?;
        let mut states = self.inner.states.write();
        for state in loaded {
            states.insert(state.table().clone(), Arc::new(state));
        }
        Ok(())
    }

    /// The warehouse.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// Views that queries may hold.
    pub(crate) fn pins(&self) -> &Pins {
        &self.inner.pins
    }

    /// Rewritten files that sinks may still name.
    pub(crate) fn moves(&self) -> &Arc<Moves> {
        &self.inner.moves
    }

    /// A table as last committed.
    pub fn state(&self, table: &LakeTable) -> Option<Arc<TableState>> {
        self.inner.states.read().get(table).cloned()
    }

    /// A table as it was in one of its snapshots, with the columns it had then. What the metadata says of other snapshots is as of now.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is no such table, or no such snapshot any more.
    pub async fn state_at(&self, table: &LakeTable, snapshot_id: i64) -> Result<Arc<TableState>, Error> {
        let missing = || Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table);
        let now = self.state(table).ok_or_else(missing)?;
        // A table that was dropped and made anew shares no snapshot with the former one, but asking the metadata first costs nothing.
        let named = now.parts.metadata.snapshot_by_id(snapshot_id).is_some();
        let is_it = |s: &Arc<TableState>| s.table() == table && s.view().snapshot_id == Some(snapshot_id);
        if named {
            let mut former = self.inner.former.lock();
            if let Some(known) = former.iter().position(is_it).and_then(|i| former.remove(i)) {
                former.push_back(Arc::clone(&known));
                return Ok(known);
            }
        }
        let read = Arc::new(travel::at(&self.inner.store, &now, snapshot_id).await?);
        let mut former = self.inner.former.lock();
        former.retain(|s| !is_it(s));
        former.push_back(Arc::clone(&read));
        while former.len() > FORMER_KEPT {
            former.pop_front();
        }
        Ok(read)
    }

    /// Every table as last committed, ordered by layer and name.
    pub fn all(&self) -> Vec<Arc<TableState>> {
        self.inner.states.read().values().cloned().collect()
    }

    /// Makes these changes, and the cursor that they lead to, durable and visible to every reader of the catalog, all at once.
    ///
    /// Everything is written and synced first; then ONE catalog transaction swaps all pointers and the cursor. Returns the states of
    /// the named tables, in the order of `changes`. Each table may be named once. Without changes only the cursor moves.
    ///
    /// # Errors
    /// After any error memory is as it was, and so is the lake, unless it was the catalog that failed: then whether the commit took place is
    /// known only to the catalog, and memory is brought in line with it before the next commit, or by [`Self::refresh`].
    /// [`Kind::Conflict`]: another writer was first, nothing happened.
    pub async fn commit(&self, changes: Vec<TableChange>, cursor: Option<CursorSwap>) -> Result<Vec<Arc<TableState>>, Error> {
        Ok(self.apply(changes, cursor).await?.states)
    }

    /// As [`Self::commit`], and tells which tables moved.
    pub(crate) async fn apply(&self, changes: Vec<TableChange>, cursor: Option<CursorSwap>) -> Result<Applied, Error> {
        let names: Vec<LakeTable> = changes.iter().map(|c| c.table.clone()).collect();
        let _writers = self.lock(&names).await?;
        self.clear_doubt(&names).await?;
        self.give_way(&changes)?;
        let mut changes = changes;
        for change in &mut changes {
            change.deletes = self.inner.moves.lead(&change.table, std::mem::take(&mut change.deletes));
        }
        let moved: Vec<_> = changes.iter().map(|c| c.moved.clone()).collect();
        let now_us = self.inner.clock.now_us();
        let formers: Vec<_> = names.iter().map(|n| self.state(n)).collect();
        let prepares =
            changes.into_iter().zip(&formers).map(|(change, former)| prepare(&self.inner.store, former.as_ref(), change, now_us));
        let mut prepared: Vec<Prepared> = futures::future::try_join_all(prepares).await?.into_iter().flatten().collect();
        self.write(&mut prepared).await?;
        if let Err(error) = self.swap(&prepared, cursor).await {
            self.inner.doubtful.lock().extend(names);
            return Err(error);
        }
        let garbage: Vec<_> = prepared.iter_mut().map(|p| (p.table.clone(), std::mem::take(&mut p.garbage))).collect();
        let made: HashMap<LakeTable, Arc<TableState>> = prepared.into_iter().map(|p| (p.table, Arc::new(p.state))).collect();
        self.inner.states.write().extend(made.iter().map(|(name, state)| (name.clone(), Arc::clone(state))));
        for (name, moved) in names.iter().zip(moved) {
            if let (Some(moved), Some(state)) = (moved, made.get(name)) {
                self.inner.moves.moved(name, state.writer(), moved);
            }
        }
        for (name, mut dead) in garbage {
            dead.shares_files |= self.is_registered_twice(&name);
            dead.collect(&self.inner.store, &self.inner.pins, &self.sharing(&name)).await;
        }
        let moved = names.iter().filter(|name| made.contains_key(*name)).cloned().collect();
        let after = names.iter().zip(formers).map(|(name, former)| made.get(name).cloned().or(former));
        let states = after.collect::<Option<Vec<_>>>();
        let states = states.ok_or_else(|| Error::new(Kind::Bug, "a change to a table that does not exist changed nothing"))?;
        Ok(Applied { states, moved })
    }

    /// Refuses upkeep of tables that SQL transactions are at work on.
    fn give_way(&self, changes: &[TableChange]) -> Result<(), Error> {
        let upkeep = |c: &&TableChange| c.moved.is_some() || c.merge_manifests || !c.expire.is_empty();
        match changes.iter().filter(upkeep).find(|c| self.inner.touching.is_touched(&c.table)) {
            None => Ok(()),
            Some(c) => Err(Error::new(Kind::Conflict, format!("a SQL transaction is changing {}", c.table)).with_table(&c.table)),
        }
    }

    /// A SQL transaction begins to change a table: yields what the table is now. Upkeep leaves it alone until the guard is dropped.
    pub(crate) async fn touch(&self, table: &LakeTable) -> Result<(Option<Arc<TableState>>, Touched), Error> {
        // Under the lock, so that no upkeep is between its look at the guards and its commit.
        let _writer = self.lock(std::slice::from_ref(table)).await?;
        Ok((self.state(table), self.inner.touching.begin(table)))
    }

    /// Waits for a statement's turn to change rows of a table, so that statements which are transactions of their own queue instead of running into
    /// each other. Only a courtesy: commits find conflicts whoever holds it.
    pub async fn turn(&self, table: &LakeTable) -> OwnedMutexGuard<()> {
        let turn = Arc::clone(self.inner.turns.lock().entry(table.clone()).or_default());
        turn.lock_owned().await
    }

    /// Writes a table that nobody can see yet: [`Self::commit_objects`] puts it in place.
    pub(crate) async fn stage(&self, change: TableChange) -> Result<Staged, Error> {
        let table = change.table.clone();
        let staged = self.stage_change(None, change).await?;
        staged.ok_or_else(|| Error::new(Kind::Bug, format!("the new table {table} has no shape")))
    }

    /// Writes what `former` becomes by `change`, unseen; `None` where nothing changes.
    pub(crate) async fn stage_over(&self, former: &Arc<TableState>, change: TableChange) -> Result<Option<Staged>, Error> {
        self.stage_change(Some(former), change).await
    }

    async fn stage_change(&self, former: Option<&Arc<TableState>>, change: TableChange) -> Result<Option<Staged>, Error> {
        let Some(prepared) = prepare(&self.inner.store, former, change, self.inner.clock.now_us()).await? else {
            return Ok(None);
        };
        let held = prepared.files.iter().map(|(path, _)| self.inner.store.hold(path)).collect();
        let mut prepared = [prepared];
        self.write(&mut prepared).await?;
        let [prepared] = prepared;
        Ok(Some(Staged { state: Arc::new(prepared.state), held, dropped: prepared.garbage.metadata }))
    }

    /// Puts staged, renamed and dropped tables in place, and changes schemas and views, all in one catalog transaction. Each swap says which
    /// metadata file the name points to now. The caller holds the tables' locks.
    ///
    /// # Errors
    /// [`Kind::Conflict`]: another writer was first, nothing happened. Else as [`Self::commit`].
    pub(crate) async fn commit_objects(
        &self,
        swaps: Vec<(LakeTable, Option<String>, Option<Arc<TableState>>)>,
        objects: &[ObjectChange],
    ) -> Result<(), Error> {
        let pointers = swaps.iter().map(|(table, expected, state)| PointerSwap {
            table: table.clone(),
            expected: expected.clone(),
            new: state.as_ref().map(|s| s.metadata_location().to_owned()),
            writer: state.as_ref().and_then(|s| s.parts.writer.clone()),
        });
        let pointers = pointers.collect();
        self.settle_with(pointers, swaps.into_iter().filter_map(|(_, _, state)| state).collect(), objects).await
    }

    /// The manifest lists of every table that may have data files of `table`: bronze and silver of one source table share theirs.
    fn sharing(&self, table: &LakeTable) -> Vec<String> {
        let states = self.inner.states.read();
        let uuid = states.get(table).map(|s| s.parts.metadata.uuid());
        let same = |s: &TableState| s.table().name == table.name || Some(s.parts.metadata.uuid()) == uuid;
        let others = states.values().filter(|s| s.table() != table && same(s));
        others.flat_map(|s| super::snapshot::lists(&s.parts.metadata)).collect()
    }

    /// Whether the same table is known under another name too.
    fn is_registered_twice(&self, table: &LakeTable) -> bool {
        let states = self.inner.states.read();
        let uuid = states.get(table).map(|s| s.parts.metadata.uuid());
        states.values().any(|s| s.table() != table && Some(s.parts.metadata.uuid()) == uuid)
    }

    /// Waits for the tables' turn. Always in the same order, so that two commits can't wait for each other.
    pub(crate) async fn lock(&self, names: &[LakeTable]) -> Result<Vec<OwnedMutexGuard<()>>, Error> {
        let mut sorted: Vec<&LakeTable> = names.iter().collect();
        sorted.sort();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::new(Kind::Bug, format!("one commit names {} twice", twice[0])).with_table(twice[0]));
        }
        let mut guards = Vec::with_capacity(sorted.len());
        for name in sorted {
            let writer = Arc::clone(self.inner.writers.lock().entry(name.clone()).or_default());
            guards.push(writer.lock_owned().await);
        }
        Ok(guards)
    }

    async fn write(&self, prepared: &mut [Prepared]) -> Result<(), Error> {
        let files = prepared.iter_mut().flat_map(|p| std::mem::take(&mut p.files)).collect();
        let data: Vec<_> = prepared.iter_mut().flat_map(|p| std::mem::take(&mut p.data)).collect();
        futures::try_join!(self.inner.store.put_all(files), self.inner.store.sync_directories_of(&data)).map(|_| ())
    }

    async fn swap(&self, prepared: &[Prepared], cursor: Option<CursorSwap>) -> Result<(), Error> {
        let swaps: Vec<PointerSwap> = prepared
            .iter()
            .map(|p| PointerSwap {
                table: p.table.clone(),
                expected: p.expected.clone(),
                new: Some(p.state.metadata_location().to_owned()),
                writer: p.writer.clone(),
            })
            .collect();
        if swaps.is_empty() && cursor.is_none() {
            return Ok(());
        }
        Ok(self.inner.catalog.commit(Commit { swaps, cursor }).await?)
    }

    /// Moves these pointers in one catalog transaction, then memory: a pointer without a new place is forgotten, and `states` has the others. The
    /// caller holds the tables' locks and has written every file.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub(crate) async fn settle(&self, swaps: Vec<PointerSwap>, states: Vec<Arc<TableState>>) -> Result<(), Error> {
        self.settle_with(swaps, states, &[]).await
    }

    /// As [`Self::settle`], and changes namespaces and views in the same catalog transaction.
    async fn settle_with(
        &self,
        swaps: Vec<PointerSwap>,
        states: Vec<Arc<TableState>>,
        objects: &[ObjectChange],
    ) -> Result<(), Error> {
        let names: Vec<LakeTable> = swaps.iter().map(|s| s.table.clone()).collect();
        let gone: Vec<LakeTable> = swaps.iter().filter(|s| s.new.is_none()).map(|s| s.table.clone()).collect();
        if let Err(error) = self.inner.catalog.commit_with(Commit { swaps, cursor: None }, objects).await {
            self.inner.doubtful.lock().extend(names);
            return Err(error.into());
        }
        let mut all = self.inner.states.write();
        all.retain(|name, _| !gone.contains(name));
        all.extend(states.into_iter().map(|state| (state.table().clone(), state)));
        Ok(())
    }

    /// Brings the memory of these tables in line with the catalog. A sink does so when it opens, because its predecessor may have
    /// gone down over a commit whose end is not known. Cheap where nothing moved.
    ///
    /// # Errors
    /// Where the catalog or a file can't be read.
    pub async fn refresh(&self, names: &[LakeTable]) -> Result<(), Error> {
        let _writers = self.lock(names).await?;
        self.reload(names).await
    }

    /// Brings tables of doubt in line. The caller holds their locks.
    pub(crate) async fn clear_doubt(&self, names: &[LakeTable]) -> Result<(), Error> {
        let doubtful: Vec<LakeTable> = {
            let all = self.inner.doubtful.lock();
            names.iter().filter(|n| all.contains(*n)).cloned().collect()
        };
        if doubtful.is_empty() { Ok(()) } else { self.reload(&doubtful).await }
    }

    async fn reload(&self, names: &[LakeTable]) -> Result<(), Error> {
        let mut moved = Vec::new();
        for name in names {
            match self.inner.catalog.table(name).await? {
                None => drop(self.inner.states.write().remove(name)),
                Some(record) if self.state(name).is_some_and(|s| s.metadata_location() == record.metadata_location) => {}
                Some(record) => moved.push(record),
            }
        }
        self.load(moved).await?;
        self.inner.doubtful.lock().retain(|n| !names.contains(n));
        Ok(())
    }

    /// Forgets a table. Its files stay until upkeep collects them.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Conflict`], or where the catalog can't be written.
    pub async fn drop_table(&self, table: &LakeTable) -> Result<(), Error> {
        let _writer = self.lock(std::slice::from_ref(table)).await?;
        let Some(state) = self.state(table) else {
            return Err(Error::new(Kind::NotFound, format!("there is no table {table}")).with_table(table));
        };
        let swap =
            PointerSwap { table: table.clone(), expected: Some(state.metadata_location().to_owned()), new: None, writer: None };
        self.inner.catalog.commit(Commit { swaps: vec![swap], cursor: None }).await?;
        self.inner.states.write().remove(table);
        Ok(())
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        let kind = match error.kind {
            catalog::Kind::Conflict => Kind::Conflict,
            catalog::Kind::Storage => Kind::Storage,
            catalog::Kind::Misconfigured => Kind::Misconfigured,
            catalog::Kind::Locked => Kind::InUse,
            catalog::Kind::Corrupt => Kind::Corrupt,
            catalog::Kind::Bug => Kind::Bug,
            catalog::Kind::Unreachable | catalog::Kind::Refused | catalog::Kind::Newer => Kind::Catalog,
        };
        let table = match error.moved.as_deref() {
            Some(catalog::Moved::Table { table, .. }) => Some(Box::new(table.clone())),
            _ => None,
        };
        Self { kind, message: error.message.clone(), hint: error.hint.clone(), table, source: Some(Box::new(error)) }
    }
}
