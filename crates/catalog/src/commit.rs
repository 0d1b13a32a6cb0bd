use crate::{
    Catalog, Error, Kind, Moved,
    database::{Tx, sql},
};
use model::{Cursor, LakeTable};

const DOING: &str = "committing";

/// What becomes visible and durable at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// Table pointers to move, each table at most once.
    pub swaps: Vec<PointerSwap>,
    /// The source's cursor, if the tables came from a source.
    pub cursor: Option<CursorSwap>,
}

/// One table's pointer, compared and set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerSwap {
    /// Which table.
    pub table: LakeTable,
    /// The metadata file the table must point to now; `None`: the table must not exist.
    pub expected: Option<String>,
    /// The metadata file it shall point to; `None`: the table is dropped.
    pub new: Option<String>,
    /// The pipeline or model that writes the table; `None` leaves what is recorded.
    pub writer: Option<String>,
}

/// A source's cursor, compared and set.
#[derive(Debug, Clone, PartialEq)]
pub struct CursorSwap {
    /// Which source.
    pub source: String,
    /// The version that [`Catalog::cursor`] gave; `None`: there must be no cursor.
    pub expected_version: Option<i64>,
    /// The new cursor.
    pub cursor: Cursor,
    /// Changes this commit makes durable; added to the source's count.
    pub rows: u64,
}

impl Catalog {
    /// Moves every pointer and the cursor in ONE database transaction, or nothing at all. Durable when it returns.
    ///
    /// Data, manifest and metadata files must be written and synced before. Dropping the future, or any error but `Conflict`,
    /// leaves it open whether the commit takes place, at a server even a moment later: read the cursor again and go on from
    /// there. A commit that arrives late arrives whole, and makes the next one from old expectations a conflict.
    ///
    /// # Errors
    /// `Conflict`, naming the table or cursor that was not where it was expected; nothing is changed then. `Bug` where a table
    /// is named twice. Else why the catalog can't be written.
    pub async fn commit(&self, commit: Commit) -> Result<(), Error> {
        self.begin_commit(commit).await?.commit(DOING).await
    }

    /// Everything that [`Self::commit`] does but its end, so that more can join it.
    pub(crate) async fn begin_commit(&self, mut commit: Commit) -> Result<Tx, Error> {
        // One order for all writers, so that two that touch the same tables can't wait for each other on a server.
        commit.swaps.sort_by(|a, b| a.table.cmp(&b.table));
        if let Some(pair) = commit.swaps.windows(2).find(|pair| pair[0].table == pair[1].table) {
            return Err(Error::new(Kind::Bug, format!("a commit names table {} twice", pair[0].table)));
        }
        let now_us = self.now_us();
        let mut tx = self.db.begin(DOING).await?;
        for swap in &commit.swaps {
            swap_pointer(&mut tx, swap, now_us).await?;
        }
        if let Some(cursor) = &commit.cursor {
            swap_cursor(&mut tx, cursor, now_us).await?;
        }
        Ok(tx)
    }
}

async fn swap_pointer(tx: &mut Tx, swap: &PointerSwap, now_us: i64) -> Result<(), Error> {
    let PointerSwap { table, expected, new, writer } = swap;
    let changed = match (expected.as_deref(), new.as_deref()) {
        (None, Some(new)) => {
            let insert = sql("insert into lake_tables (layer, name, metadata_location, writer, created_us, updated_us) \
                 values ($1, $2, $3, $4, $5, $5) on conflict do nothing");
            let insert = insert.text(table.layer.as_str()).text(&*table.name).text(new).text(writer.as_deref()).int(now_us);
            tx.write(DOING, insert).await?
        }
        (Some(expected), Some(new)) => {
            let update = sql("update lake_tables set metadata_location = $1, writer = coalesce($2, writer), updated_us = $3 \
                 where layer = $4 and name = $5 and metadata_location = $6");
            let update = update.text(new).text(writer.as_deref()).int(now_us);
            tx.write(DOING, update.text(table.layer.as_str()).text(&*table.name).text(expected)).await?
        }
        (Some(expected), None) => {
            let delete = sql("delete from lake_tables where layer = $1 and name = $2 and metadata_location = $3");
            tx.write(DOING, delete.text(table.layer.as_str()).text(&*table.name).text(expected)).await?
        }
        (None, None) => u64::from(pointer(tx, table).await?.is_none()),
    };
    if changed == 1 {
        return Ok(());
    }
    let found = pointer(tx, table).await?;
    Err(Error::conflict(Moved::Table { table: table.clone(), expected: expected.clone(), found }))
}

async fn pointer(tx: &mut Tx, table: &LakeTable) -> Result<Option<String>, Error> {
    let select = sql("select metadata_location from lake_tables where layer = $1 and name = $2");
    Ok(tx.read(DOING, select.text(table.layer.as_str()).text(&*table.name), |row| row.text(0)).await?.pop())
}

async fn swap_cursor(tx: &mut Tx, swap: &CursorSwap, now_us: i64) -> Result<(), Error> {
    let json = serde_json::to_string(&swap.cursor).map_err(|e| {
        Error::new(Kind::Bug, format!("the cursor of source {} can't be written as JSON", swap.source)).with_source(e)
    })?;
    let rows = i64::try_from(swap.rows).unwrap_or(i64::MAX);
    let changed = match swap.expected_version {
        None => {
            let upsert =
                sql("insert into cursors (source, cursor_json, version, rows_total, updated_us) values ($1, $2, 1, $3, $4) \
                 on conflict (source) do update set cursor_json = excluded.cursor_json, version = cursors.version + 1, \
                 rows_total = cursors.rows_total + excluded.rows_total, updated_us = excluded.updated_us \
                 where cursors.cursor_json is null");
            tx.write(DOING, upsert.text(&*swap.source).text(&*json).int(rows).int(now_us)).await?
        }
        Some(version) => {
            let update =
                sql("update cursors set cursor_json = $1, version = version + 1, rows_total = rows_total + $2, updated_us = $3 \
                 where source = $4 and version = $5 and cursor_json is not null");
            tx.write(DOING, update.text(&*json).int(rows).int(now_us).text(&*swap.source).int(version)).await?
        }
    };
    if changed == 1 {
        return Ok(());
    }
    let select = sql("select version from cursors where source = $1 and cursor_json is not null").text(&*swap.source);
    let found = tx.read(DOING, select, |row| row.int(0)).await?.pop();
    Err(Error::conflict(Moved::Cursor { source: swap.source.clone(), expected: swap.expected_version, found }))
}
