use crate::{
    Catalog, Error,
    database::{Row, Statement, sql},
};
use model::Cursor;

/// A source's durable cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCursor {
    /// Everything up to here is in the lake.
    pub cursor: Cursor,
    /// Grows with every commit, and never returns to a former value; what [`crate::CursorSwap::expected_version`] compares.
    pub version: i64,
    /// Changes made durable since the source exists.
    pub rows_total: u64,
    /// When it moved last, in microseconds since 1970.
    pub updated_us: i64,
}

impl Catalog {
    /// The cursor of a source, or `None` where nothing of it was ever committed, or its cursor was forgotten.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn cursor(&self, source: &str) -> Result<Option<StoredCursor>, Error> {
        let statement = sql(
            "select source, cursor_json, version, rows_total, updated_us from cursors where source = $1 and cursor_json is not null",
        )
        .text(source);
        Ok(self.db.read("reading a cursor", statement, named).await?.pop().map(|(_, cursor)| cursor))
    }

    /// Every source's cursor, ordered by source.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn cursors(&self) -> Result<Vec<(String, StoredCursor)>, Error> {
        self.db.read("reading cursors", all(), named).await
    }

    /// Makes a source start anew with a first copy. A commit of a pipeline that still runs will fail with a conflict.
    /// Returns whether there was a cursor. The count of rows goes on.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn forget_cursor(&self, source: &str) -> Result<bool, Error> {
        let statement = sql(
            "update cursors set cursor_json = null, version = version + 1, updated_us = $1 where source = $2 and cursor_json is not null",
        )
        .int(self.now_us())
        .text(source);
        Ok(self.db.write("forgetting a cursor", statement).await? > 0)
    }
}

pub(crate) fn all() -> Statement {
    sql("select source, cursor_json, version, rows_total, updated_us from cursors where cursor_json is not null order by source")
}

pub(crate) fn named(row: &Row) -> Result<(String, StoredCursor), sqlx::Error> {
    let cursor = StoredCursor {
        cursor: row.json(1)?,
        version: row.int(2)?,
        rows_total: row.int(3)?.cast_unsigned(),
        updated_us: row.int(4)?,
    };
    Ok((row.text(0)?, cursor))
}
