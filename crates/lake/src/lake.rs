use crate::{
    Error, LakeView, TableChange, TableInfo, TableState, TableView, Tables,
    objects::Changes,
    store::{Store, StoreCounts, WarehouseLock},
};
use catalog::{Catalog, CursorSwap, ObjectChange, ViewSwap};
use model::{Cursor, LakeTable};
use object_store::{ObjectStore, path::Path};
use parking_lot::{Mutex, RwLock};
use runtime::SharedClock;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::broadcast;

/// Commits that a slow listener may lag behind before it misses some.
const ANNOUNCED_MOST: usize = 1024;

/// Where the lake is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LakeSettings {
    /// The warehouse: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub warehouse: String,
    /// Options of the object store under their usual names in lower case, for example `aws_endpoint`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A commit that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Tables whose pointer moved.
    pub tables: Vec<LakeTable>,
    /// The source whose changes it were, if it was one's.
    pub source: Option<String>,
    /// When, in microseconds since 1970.
    pub at_us: i64,
}

/// What the lake holds and what it costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LakeStats {
    /// Requests to the object store since the process began.
    pub requests: StoreCounts,
    /// Of the bytes written, those of files that upkeep wrote in place of others.
    pub rewritten_bytes: u64,
    /// Live files, data and deletes, each counted once.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Tables.
    pub tables: u64,
}

/// The lake, as a cheap handle: tables to commit to, and one consistent view to read.
#[derive(Debug, Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tables: Tables,
    view: RwLock<Arc<LakeView>>,
    committed: broadcast::Sender<Committed>,
    /// Durable, but not in the view yet: listeners look at the view, so they are told once it shows the commit.
    unannounced: Mutex<Vec<Committed>>,
    /// Held while something outside gets, changes or loses its name.
    names: tokio::sync::Mutex<()>,
    clock: SharedClock,
    /// Files of dropped tables that a query still read when they were to be removed.
    doomed: Mutex<Vec<Path>>,
    /// Bytes that upkeep wrote since the process began.
    rewritten: AtomicU64,
    _lock: WarehouseLock,
}

impl Lake {
    /// Opens the lake: takes the warehouse for this process and loads every table that the catalog points to.
    ///
    /// # Errors
    /// [`crate::Kind::InUse`] where another lakebox has it; else where warehouse, catalog or a metadata file can't be read.
    pub async fn open(settings: LakeSettings, catalog: Catalog, clock: SharedClock) -> Result<Self, Error> {
        let store = Store::open(&settings.warehouse, &settings.options).await?;
        Self::over(store, catalog, clock).await
    }

    /// As [`Self::open`], over a warehouse that is open already.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn over(store: Store, catalog: Catalog, clock: SharedClock) -> Result<Self, Error> {
        let lock = WarehouseLock::take(&store)?;
        let tables = Tables::open(store, catalog, Arc::clone(&clock)).await?;
        let cursors = tables.catalog().cursors().await?;
        let views = Self::read_views(tables.store(), tables.catalog()).await?;
        let namespaces = tables.catalog().namespaces().await?;
        let view = LakeView {
            tables: tables.all().into_iter().map(|s| (s.table().clone(), Arc::clone(s.view()))).collect(),
            sources: cursors.into_iter().map(|(source, stored)| (source, stored.cursor)).collect(),
            views: views.into_iter().map(|v| (v.view.clone(), Arc::new(v))).collect(),
            base: None,
            schemas: namespaces.into_iter().map(|n| n.layer).filter(|layer| !layer.is_kept()).collect(),
        };
        let view = Arc::new(view);
        tables.pins().watch(&view);
        let (committed, _) = broadcast::channel(ANNOUNCED_MOST);
        Ok(Self {
            inner: Arc::new(Inner {
                tables,
                view: RwLock::new(view),
                committed,
                unannounced: Mutex::default(),
                names: tokio::sync::Mutex::default(),
                clock,
                doomed: Mutex::default(),
                rewritten: AtomicU64::new(0),
                _lock: lock,
            }),
        })
    }

    /// All tables at one moment. Cheap; plan and run a whole query on one view.
    pub fn view(&self) -> Arc<LakeView> {
        Arc::clone(&self.inner.view.read())
    }

    /// The object store, rooted at the warehouse: paths in views are relative to it. Requests are counted.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.inner.tables.store().objects()
    }

    pub(crate) fn note_rewritten(&self, bytes: u64) {
        self.inner.rewritten.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The lock of names of tables, views and namespaces.
    pub(crate) fn names(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.names
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// The warehouse, for writers.
    pub fn warehouse(&self) -> &Store {
        self.inner.tables.store()
    }

    /// The committed tables, for writers.
    pub fn tables(&self) -> &Tables {
        &self.inner.tables
    }

    /// Tells of every commit from now on.
    pub fn committed(&self) -> broadcast::Receiver<Committed> {
        self.inner.committed.subscribe()
    }

    /// Commits. What queries see stays as it was until [`Self::publish`], which also tells listeners, so that a source's sink can swap its
    /// committed files in and its hot tail out in one step. See [`Tables::commit`] for what is durable when, and what an error means.
    ///
    /// # Errors
    /// As [`Tables::commit`].
    pub async fn commit(&self, changes: Vec<TableChange>, cursor: Option<CursorSwap>) -> Result<Vec<Arc<TableState>>, Error> {
        let source = cursor.as_ref().map(|c| c.source.clone());
        let applied = self.inner.tables.apply(changes, cursor).await?;
        self.inner.unannounced.lock().push(Committed { tables: applied.moved, source, at_us: self.inner.clock.now_us() });
        Ok(applied.states)
    }

    /// Swaps what queries see of these tables, all at once. A source's sink passes itself and the cursor up to which the tables are true then;
    /// all its tables must stand at that cursor.
    pub fn publish(&self, source: Option<(&str, &Cursor)>, tables: Vec<Arc<TableView>>) {
        let published = tables.iter().map(|t| t.table.clone()).collect();
        let mut view = self.inner.view.write();
        let mut next = LakeView::clone(&view);
        next.tables.extend(tables.into_iter().map(|t| (t.table.clone(), t)));
        if let Some((source, cursor)) = source {
            next.sources.insert(source.to_owned(), cursor.clone());
        }
        *view = Arc::new(next);
        self.inner.tables.pins().watch(&view);
        drop(view);
        self.announce(source.map(|(name, _)| name), &published);
    }

    /// Swaps what queries see of a table that no sink keeps; a sink shows its tables itself, with rows that are not committed.
    pub(crate) fn publish_unless_kept(&self, state: &TableState) {
        let mut view = self.inner.view.write();
        if state.writer().is_some_and(|writer| self.inner.tables.moves().is_present(writer)) {
            return;
        }
        let mut next = LakeView::clone(&view);
        next.tables.insert(state.table().clone(), Arc::clone(state.view()));
        *view = Arc::new(next);
        self.inner.tables.pins().watch(&view);
    }

    /// Swaps tables that an outside engine committed to into what queries see, takes those that are `gone` out, and tells listeners.
    pub(crate) fn show(&self, changed: Vec<Arc<TableView>>, gone: &[LakeTable]) {
        let tables: Vec<LakeTable> = changed.iter().map(|t| &t.table).chain(gone).cloned().collect();
        if tables.is_empty() {
            return;
        }
        self.change_view(|next| {
            next.tables.retain(|name, _| !gone.contains(name));
            next.tables.extend(changed.into_iter().map(|t| (t.table.clone(), t)));
        });
        // Nobody listening is no error.
        let _ = self.inner.committed.send(Committed { tables, source: None, at_us: self.inner.clock.now_us() });
    }

    /// Tells listeners of the commits that the view shows now: those of this source, or those of these tables where no source wrote them.
    fn announce(&self, source: Option<&str>, published: &BTreeSet<LakeTable>) {
        let shown = |c: &mut Committed| match source {
            Some(source) => c.source.as_deref() == Some(source),
            None => c.source.is_none() && c.tables.iter().all(|t| published.contains(t)),
        };
        let ready: Vec<Committed> = self.inner.unannounced.lock().extract_if(.., shown).collect();
        for committed in ready {
            // Nobody listening is no error.
            let _ = self.inner.committed.send(committed);
        }
    }

    /// Forgets a table, for queries and in the catalog. Its files stay until upkeep collects them.
    ///
    /// # Errors
    /// As [`Tables::drop_table`].
    pub async fn drop_table(&self, table: &LakeTable) -> Result<(), Error> {
        self.inner.tables.drop_table(table).await?;
        self.change_view(|next| drop(next.tables.remove(table)));
        Ok(())
    }

    /// Makes the end of an [`crate::ObjectTransaction`] durable, then visible. The caller holds the lock of names and those of the tables, the latter
    /// until this returns, so that a later commit can't be shown before.
    pub(crate) async fn commit_objects(&self, changes: Changes) -> Result<(), Error> {
        let Changes { tables, views, made, dropped } = changes;
        let swaps = views.iter().map(|(view, expected, new)| {
            let new = new.as_ref().and_then(|v| v.metadata_location.clone());
            ObjectChange::SwapView(ViewSwap { view: view.clone(), expected: expected.clone(), new })
        });
        let objects = made.iter().map(|layer| ObjectChange::AddNamespace(*layer)).chain(swaps);
        let objects: Vec<_> = objects.chain(dropped.iter().map(|layer| ObjectChange::RemoveNamespace(*layer))).collect();
        let moved: Vec<LakeTable> = tables.iter().map(|(name, ..)| name.clone()).collect();
        self.inner.tables.commit_objects(tables.clone(), &objects).await?;
        self.change_view(|next| {
            for (name, _, state) in tables {
                match state {
                    Some(state) => drop(next.tables.insert(name, Arc::clone(state.view()))),
                    None => drop(next.tables.remove(&name)),
                }
            }
            for (name, _, view) in views {
                match view {
                    Some(view) => drop(next.views.insert(name, view)),
                    None => drop(next.views.remove(&name)),
                }
            }
            next.schemas.extend(made);
            next.schemas.retain(|layer| !dropped.contains(layer));
        });
        // Nobody listening is no error.
        let _ = self.inner.committed.send(Committed { tables: moved, source: None, at_us: self.inner.clock.now_us() });
        Ok(())
    }

    /// Swaps what queries see for what `change` makes of it.
    pub(crate) fn change_view(&self, change: impl FnOnce(&mut LakeView)) {
        let mut view = self.inner.view.write();
        let mut next = LakeView::clone(&view);
        change(&mut next);
        *view = Arc::new(next);
        self.inner.tables.pins().watch(&view);
    }

    /// Removes files of tables that are gone, and those that a query read the last time. What one reads now waits for the next time.
    pub(crate) async fn remove_unread(&self, dead: Vec<Path>) {
        let mut all = std::mem::take(&mut *self.inner.doomed.lock());
        all.extend(dead);
        let unread = self.inner.tables.pins().unread(all.clone());
        let now: std::collections::HashSet<&Path> = unread.iter().collect();
        all.retain(|path| !now.contains(path));
        self.inner.doomed.lock().extend(all);
        self.warehouse().delete_all(unread).await;
    }

    /// What API and system tables show of a table.
    pub fn info(&self, table: &LakeTable) -> Option<TableInfo> {
        self.inner.tables.state(table).map(|s| s.info())
    }

    /// What the lake holds and what it costs. Files that several tables share count once.
    pub fn stats(&self) -> LakeStats {
        let states = self.inner.tables.all();
        let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
        for state in &states {
            sizes.extend(state.files().iter().map(|f| (f.path.as_ref(), f.bytes)));
            sizes.extend(state.parts.deletes.iter().map(|d| (d.entry.file_path(), d.entry.file_size_in_bytes())));
        }
        let requests = self.inner.tables.store().counts();
        let rewritten_bytes = self.inner.rewritten.load(Ordering::Relaxed);
        LakeStats {
            requests,
            rewritten_bytes,
            files: sizes.len() as u64,
            bytes: sizes.values().sum(),
            tables: states.len() as u64,
        }
    }
}
