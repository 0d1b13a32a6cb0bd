//! What SQL makes beside tables: schemas and views.

use crate::{
    Catalog, Commit, Error, Kind, Moved,
    database::{Row, Tx, sql},
};
use model::{LakeTable, Layer};

const DOING: &str = "changing schemas and views";

/// A view as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRecord {
    /// Its schema and name, which no table has.
    pub view: LakeTable,
    /// The statement that it stands for, as written.
    pub definition: String,
    /// The columns that it had when it was made, as an Arrow IPC stream in hexadecimal digits.
    pub columns_ipc: String,
}

/// One change to the schemas and views, each checked against what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectChange {
    /// A schema that is not there yet is made.
    AddSchema(String),
    /// A schema that is there goes.
    RemoveSchema(String),
    /// A view that is not there yet is made.
    AddView(ViewRecord),
    /// A view that is there gets another statement.
    SetView(ViewRecord),
    /// A view that is there goes.
    RemoveView(LakeTable),
}

impl Catalog {
    /// The names of the schemas that users made, sorted.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn schemas(&self) -> Result<Vec<String>, Error> {
        self.db.read("reading schemas", sql("select name from schemas order by name"), |row| row.text(0)).await
    }

    /// Every view, ordered by schema and name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn views(&self) -> Result<Vec<ViewRecord>, Error> {
        let select = sql("select layer, name, definition, columns_ipc from views order by layer, name");
        self.db.read("reading views", select, record).await
    }

    /// As [`Catalog::commit`], and changes schemas and views in the same transaction.
    ///
    /// # Errors
    /// As [`Catalog::commit`]; `Conflict` also where a schema or view is not as a change expects it.
    pub async fn commit_with(&self, commit: Commit, objects: &[ObjectChange]) -> Result<(), Error> {
        let now_us = self.now_us();
        let mut tx = self.begin_commit(commit).await?;
        for change in objects {
            apply(&mut tx, change, now_us).await?;
        }
        tx.commit(DOING).await
    }
}

fn record(row: &Row) -> Result<ViewRecord, sqlx::Error> {
    let layer: Layer = row.text(0)?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(ViewRecord { view: LakeTable::new(layer, row.text(1)?), definition: row.text(2)?, columns_ipc: row.text(3)? })
}

async fn apply(tx: &mut Tx, change: &ObjectChange, now_us: i64) -> Result<(), Error> {
    let statement = match change {
        ObjectChange::AddSchema(name) => {
            sql("insert into schemas (name, created_us) values ($1, $2) on conflict do nothing").text(&**name).int(now_us)
        }
        ObjectChange::RemoveSchema(name) => sql("delete from schemas where name = $1").text(&**name),
        ObjectChange::AddView(view) => sql("insert into views (layer, name, definition, columns_ipc, created_us, updated_us) \
             values ($1, $2, $3, $4, $5, $5) on conflict do nothing")
        .text(view.view.layer.as_str())
        .text(&*view.view.name)
        .text(&*view.definition)
        .text(&*view.columns_ipc)
        .int(now_us),
        ObjectChange::SetView(view) => {
            sql("update views set definition = $1, columns_ipc = $2, updated_us = $3 where layer = $4 and name = $5")
                .text(&*view.definition)
                .text(&*view.columns_ipc)
                .int(now_us)
                .text(view.view.layer.as_str())
                .text(&*view.view.name)
        }
        ObjectChange::RemoveView(view) => {
            sql("delete from views where layer = $1 and name = $2").text(view.layer.as_str()).text(&*view.name)
        }
    };
    if tx.write(DOING, statement).await? == 1 {
        return Ok(());
    }
    Err(match change {
        ObjectChange::AddView(ViewRecord { view, .. })
        | ObjectChange::SetView(ViewRecord { view, .. })
        | ObjectChange::RemoveView(view) => Error::conflict(Moved::Table { table: view.clone(), expected: None, found: None }),
        ObjectChange::AddSchema(name) | ObjectChange::RemoveSchema(name) => {
            Error::new(Kind::Conflict, format!("the schema {name} was made or dropped by another writer meanwhile"))
        }
    })
}
