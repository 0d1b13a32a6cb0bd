use crate::{
    Catalog, Error,
    catalog::new_id,
    database::{Row, sql},
};

/// A query that somebody kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedQuery {
    /// Its id.
    pub id: String,
    /// The title.
    pub name: String,
    /// The statement.
    pub query: String,
    /// When it was made, in microseconds since 1970.
    pub created_us: i64,
    /// When it was last changed.
    pub updated_us: i64,
}

impl Catalog {
    /// All saved queries, ordered by title.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn saved_queries(&self) -> Result<Vec<SavedQuery>, Error> {
        let select = sql("select id, name, query, created_us, updated_us from saved_queries order by lower(name), id");
        self.db.read("reading saved queries", select, record).await
    }

    /// One saved query, if it exists.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn saved_query(&self, id: &str) -> Result<Option<SavedQuery>, Error> {
        let select = sql("select id, name, query, created_us, updated_us from saved_queries where id = $1").text(id);
        Ok(self.db.read("reading a saved query", select, record).await?.pop())
    }

    /// Keeps a query.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn add_saved_query(&self, name: &str, query: &str) -> Result<SavedQuery, Error> {
        let now_us = self.now_us();
        let id = new_id(now_us);
        let insert = sql("insert into saved_queries (id, name, query, created_us, updated_us) values ($1, $2, $3, $4, $4)");
        self.db.write("saving a query", insert.text(&*id).text(name).text(query).int(now_us)).await?;
        Ok(SavedQuery { id, name: name.to_owned(), query: query.to_owned(), created_us: now_us, updated_us: now_us })
    }

    /// Changes a saved query and returns it; `None` where it does not exist.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_saved_query(&self, id: &str, name: &str, query: &str) -> Result<Option<SavedQuery>, Error> {
        let update = sql("update saved_queries set name = $1, query = $2, updated_us = $3 where id = $4");
        let changed = self.db.write("changing a saved query", update.text(name).text(query).int(self.now_us()).text(id)).await?;
        if changed == 0 { Ok(None) } else { self.saved_query(id).await }
    }

    /// Removes a saved query. Returns whether it existed.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn remove_saved_query(&self, id: &str) -> Result<bool, Error> {
        Ok(self.db.write("removing a saved query", sql("delete from saved_queries where id = $1").text(id)).await? > 0)
    }
}

fn record(row: &Row) -> Result<SavedQuery, sqlx::Error> {
    Ok(SavedQuery { id: row.text(0)?, name: row.text(1)?, query: row.text(2)?, created_us: row.int(3)?, updated_us: row.int(4)? })
}
