//! Tables as they were, what their metadata says, and what changed in between.

mod changes;
mod inspect;
mod moment;
mod syntax;

pub(crate) use changes::TableChanges;
pub(crate) use inspect::Inspected;
pub(crate) use moment::Moment;
pub(crate) use syntax::{Places, named, rewrite};

use crate::{Error, Kind, engine::ViewSource, provider::LakeTableProvider};
use datafusion::{catalog::TableProvider, execution::object_store::ObjectStoreUrl};
use lake::{Lake, LakeView, TableState};
use model::LakeTable;
use std::sync::Arc;

/// What a table's name asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// The table.
    pub base: &'a str,
    /// What of its metadata, where not its rows.
    pub inspected: Option<Inspected>,
    /// As of when; now where unset.
    pub moment: Option<Moment>,
}

impl Named<'_> {
    /// Whether it asks for more than a table's rows as they are now.
    pub(crate) fn is_special(&self) -> bool {
        self.inspected.is_some() || self.moment.is_some()
    }
}

/// The table that `named` asks for.
///
/// # Errors
/// [`Kind::NotFound`]-like errors as [`Kind::Invalid`], with the snapshots that there are.
pub(crate) async fn provider(
    named: &Named<'_>,
    table: &LakeTable,
    views: &Arc<dyn ViewSource>,
    view: &Arc<LakeView>,
    store: &ObjectStoreUrl,
) -> Result<Arc<dyn TableProvider>, Error> {
    let lake = lake_of(views.as_ref())?;
    let now = state(lake, table)?;
    let shown = match &named.moment {
        Some(moment) => {
            let point = moment.resolve(&now)?;
            former(lake, table, point).await?
        }
        None => now,
    };
    match named.inspected {
        None => Ok(Arc::new(LakeTableProvider::new(Arc::clone(shown.view()), store.clone()))),
        Some(Inspected::Changes) => TableChanges::between(lake, view, store, table, None, named.moment.as_ref()),
        Some(inspected) => inspected.provider(&shown),
    }
}

fn lake_of(views: &dyn ViewSource) -> Result<&Lake, Error> {
    views.lake().ok_or_else(|| Error::new(Kind::Unsupported, "former snapshots are not at hand here"))
}

fn state(lake: &Lake, table: &LakeTable) -> Result<Arc<TableState>, Error> {
    lake.tables().state(table).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("{table} has nothing committed yet"))
            .with_hint("Its first commit makes its first snapshot.")
    })
}

/// The table in one of its snapshots.
async fn former(lake: &Lake, table: &LakeTable, snapshot_id: i64) -> Result<Arc<TableState>, Error> {
    lake.tables().state_at(table, snapshot_id).await.map_err(|e| {
        let kind = if e.kind == lake::Kind::NotFound { Kind::Invalid } else { Kind::Storage };
        Error { hint: e.hint.as_ref().map(ToString::to_string), ..Error::new(kind, e.message.clone()) }.with_source(e)
    })
}
