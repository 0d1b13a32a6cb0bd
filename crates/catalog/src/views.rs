use crate::{
    Catalog, Error,
    database::{Row, Statement, sql},
};
use model::{LakeTable, Layer};

/// A view's pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRecord {
    /// Which view. Views and tables share one space of names.
    pub view: LakeTable,
    /// Its current Iceberg view metadata file. Everything else about the view is in there.
    pub metadata_location: String,
    /// When it was made, in microseconds since 1970.
    pub created_us: i64,
    /// When its pointer moved last.
    pub updated_us: i64,
}

impl Catalog {
    /// The views of a namespace, ordered by name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn views(&self, layer: Layer) -> Result<Vec<ViewRecord>, Error> {
        let select =
            sql("select layer, name, metadata_location, created_us, updated_us from lake_views where layer = $1 order by name");
        self.db.read("reading views", select.text(layer.as_str()), record).await
    }

    /// The views of every namespace, ordered by namespace and name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn all_views(&self) -> Result<Vec<ViewRecord>, Error> {
        let select = sql("select layer, name, metadata_location, created_us, updated_us from lake_views order by layer, name");
        self.db.read("reading views", select, record).await
    }

    /// One view, if it exists.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn view(&self, view: &LakeTable) -> Result<Option<ViewRecord>, Error> {
        let select =
            sql("select layer, name, metadata_location, created_us, updated_us from lake_views where layer = $1 and name = $2");
        Ok(self.db.read("reading a view", named(select, view), record).await?.pop())
    }

    /// Moves a view's pointer from where it is expected (`None`: the view must not exist) to `new` (`None`: it is dropped). False where it
    /// was elsewhere; nothing is changed then.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn swap_view(&self, view: &LakeTable, expected: Option<&str>, new: Option<&str>) -> Result<bool, Error> {
        let Some(statement) = swap_statement(view, expected, new, self.now_us()) else {
            return Ok(self.view(view).await?.is_none());
        };
        Ok(self.db.write("moving a view's pointer", statement).await? > 0)
    }

    /// Gives a view another name. False where there was no such view; the new name must be free.
    ///
    /// # Errors
    /// Where the catalog can't be written, which includes a new name that is taken.
    pub async fn rename_view(&self, from: &LakeTable, to: &LakeTable) -> Result<bool, Error> {
        let update = sql("update lake_views set layer = $3, name = $4, updated_us = $5 where layer = $1 and name = $2");
        let update = named(named(update, from), to).int(self.now_us());
        Ok(self.db.write("renaming a view", update).await? > 0)
    }
}

/// What moves a view's pointer; `None` where nothing shall move.
pub(crate) fn swap_statement(view: &LakeTable, expected: Option<&str>, new: Option<&str>, now_us: i64) -> Option<Statement> {
    Some(match (expected, new) {
        (None, Some(new)) => {
            let insert = sql("insert into lake_views (layer, name, metadata_location, created_us, updated_us) \
                 values ($1, $2, $3, $4, $4) on conflict do nothing");
            named(insert, view).text(new).int(now_us)
        }
        (Some(expected), Some(new)) => {
            let update = sql("update lake_views set metadata_location = $3, updated_us = $4 \
                 where layer = $1 and name = $2 and metadata_location = $5");
            named(update, view).text(new).int(now_us).text(expected)
        }
        (Some(expected), None) => {
            let delete = sql("delete from lake_views where layer = $1 and name = $2 and metadata_location = $3");
            named(delete, view).text(expected)
        }
        (None, None) => return None,
    })
}

fn named(statement: Statement, view: &LakeTable) -> Statement {
    statement.text(view.layer.as_str()).text(&*view.name)
}

fn record(row: &Row) -> Result<ViewRecord, sqlx::Error> {
    let layer = row.text(0)?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(ViewRecord {
        view: LakeTable::new(layer, row.text(1)?),
        metadata_location: row.text(2)?,
        created_us: row.int(3)?,
        updated_us: row.int(4)?,
    })
}
