//! What changes together with tables: namespaces and views.

use crate::{
    Catalog, Commit, Error, Kind, Moved,
    database::{Tx, sql},
    views::swap_statement,
};
use model::{LakeTable, Layer};

const DOING: &str = "changing namespaces and views";

/// One view's pointer, compared and set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSwap {
    /// Which view.
    pub view: LakeTable,
    /// The metadata file it must point to now; `None`: it must not exist.
    pub expected: Option<String>,
    /// The metadata file it shall point to; `None`: it is dropped.
    pub new: Option<String>,
}

/// One change to the namespaces and views, each checked against what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectChange {
    /// A namespace that is not there yet is made.
    AddNamespace(Layer),
    /// A namespace that is there and holds nothing goes.
    RemoveNamespace(Layer),
    /// A view's pointer moves.
    SwapView(ViewSwap),
}

impl Catalog {
    /// As [`Catalog::commit`], and then changes namespaces and views, in this order, in the same transaction.
    ///
    /// # Errors
    /// As [`Catalog::commit`]; `Conflict` also where a namespace or view is not as a change expects it.
    pub async fn commit_with(&self, commit: Commit, objects: &[ObjectChange]) -> Result<(), Error> {
        let now_us = self.now_us();
        let mut tx = self.begin_commit(commit).await?;
        for change in objects {
            apply(&mut tx, change, now_us).await?;
        }
        tx.commit(DOING).await
    }
}

async fn apply(tx: &mut Tx, change: &ObjectChange, now_us: i64) -> Result<(), Error> {
    let (statement, conflict) = match change {
        ObjectChange::AddNamespace(layer) => {
            let insert =
                sql("insert into lake_namespaces (name, properties_json, created_us, updated_us) values ($1, '{}', $2, $2) \
                 on conflict do nothing");
            let message = format!("the schema {layer} was made by another writer meanwhile");
            (insert.text(layer.as_str()).int(now_us), Error::new(Kind::Conflict, message))
        }
        ObjectChange::RemoveNamespace(layer) => {
            let delete = sql("delete from lake_namespaces where name = $1 \
                 and not exists (select 1 from lake_tables where layer = $1) and not exists (select 1 from lake_views where layer = $1)");
            let message = format!("the schema {layer} was dropped by another writer meanwhile, or holds something now");
            (delete.text(layer.as_str()), Error::new(Kind::Conflict, message))
        }
        ObjectChange::SwapView(ViewSwap { view, expected, new }) => {
            let Some(statement) = swap_statement(view, expected.as_deref(), new.as_deref(), now_us) else { return Ok(()) };
            (statement, Error::conflict(Moved::Table { table: view.clone(), expected: expected.clone(), found: None }))
        }
    };
    if tx.write(DOING, statement).await? == 1 { Ok(()) } else { Err(conflict) }
}
