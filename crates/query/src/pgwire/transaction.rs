//! What a connection's transaction has changed so far, and what its statements see because of it.

use crate::{Engine, engine::Session};
use datafusion_postgres::pgwire::api::ClientInfo;
use lake::ObjectTransaction;
use model::Layer;
use parking_lot::Mutex;
use std::sync::Arc;

/// The changes of a connection's open transaction, with its savepoints.
#[derive(Debug, Default)]
pub(super) struct Transaction(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    changes: ObjectTransaction,
    savepoints: Vec<(String, ObjectTransaction)>,
}

impl Transaction {
    /// The transaction of a connection.
    pub(super) fn of<C: ClientInfo + ?Sized>(client: &C) -> Arc<Self> {
        client.session_extensions().get_or_insert_with(Self::default)
    }

    /// The changes so far. They are cheap to copy.
    pub(super) fn changes(&self) -> ObjectTransaction {
        self.0.lock().changes.clone()
    }

    /// Takes over what a statement made of the changes.
    pub(super) fn set(&self, changes: ObjectTransaction) {
        self.0.lock().changes = changes;
    }

    /// Ends it and yields its changes, to be committed or dropped.
    pub(super) fn end(&self) -> ObjectTransaction {
        std::mem::take(&mut *self.0.lock()).changes
    }

    /// Remembers this place.
    pub(super) fn savepoint(&self, name: &str) {
        let mut state = self.0.lock();
        let changes = state.changes.clone();
        state.savepoints.push((name.to_owned(), changes));
    }

    /// Goes back to a place. Says whether it is known.
    pub(super) fn back_to(&self, name: &str) -> bool {
        let mut state = self.0.lock();
        let Some(at) = state.savepoints.iter().rposition(|(n, _)| n == name) else { return false };
        state.savepoints.truncate(at + 1);
        state.changes = state.savepoints[at].1.clone();
        true
    }
}

/// What a statement of a connection sees: the lake with the changes of its own transaction, and where names without a schema are looked for.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub changes: ObjectTransaction,
    pub path: Arc<[Layer]>,
}

impl Scope {
    pub(super) fn of<C: ClientInfo + ?Sized>(client: &C) -> Self {
        Self { changes: Transaction::of(client).changes(), path: super::session::path(client.metadata()) }
    }

    /// A session on the lake as it is now.
    pub(super) fn session(&self, engine: &Engine) -> Session {
        engine.session_on(self.changes.over(&engine.view()), Arc::clone(&self.path))
    }
}
