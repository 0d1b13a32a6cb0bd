use crate::{
    Catalog, Error,
    catalog::new_id,
    database::{Row, sql},
};
use model::{LakeTable, Layer};

/// A step of upkeep on one table that did something or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpkeepRun {
    /// Its id; later runs have greater ids.
    pub id: String,
    /// The table; for steps on the whole warehouse, none.
    pub table: Option<LakeTable>,
    /// The step's word.
    pub step: String,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// When it ended.
    pub finished_us: i64,
    /// Whether somebody asked for it.
    pub asked: bool,
    /// Files that it read or removed.
    pub files_before: u64,
    /// Files that took their place.
    pub files_after: u64,
    /// Bytes of the former.
    pub bytes_before: u64,
    /// Bytes of the latter.
    pub bytes_after: u64,
    /// Rows that it moved.
    pub rows: u64,
    /// Deleted rows that are gone for good.
    pub deleted_rows: u64,
    /// Snapshots that it let go.
    pub snapshots: u64,
    /// Why it changed nothing.
    pub error: Option<String>,
}

/// What upkeep has written since the lake exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpkeepTotals {
    /// Runs that did something.
    pub runs: u64,
    /// Bytes of files that were rewritten.
    pub bytes_before: u64,
    /// Bytes of files that took their place.
    pub bytes_after: u64,
}

/// The name under which steps on the whole warehouse are kept.
const WAREHOUSE: &str = "";
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Catalog {
    /// Records a step of upkeep and gives it its id.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn add_upkeep_run(&self, mut run: UpkeepRun) -> Result<UpkeepRun, Error> {
        run.id = new_id(self.now_us());
        let insert =
            sql("insert into upkeep_runs (id, layer, name, step, started_us, finished_us, asked, files_before, files_after, \
             bytes_before, bytes_after, rows, deleted_rows, snapshots, error) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
        let layer = run.table.as_ref().map_or(WAREHOUSE, |t| t.layer.as_str());
        let name = run.table.as_ref().map_or(WAREHOUSE, |t| t.name.as_str());
        let insert = insert.text(&*run.id).text(layer).text(name).text(&*run.step).int(run.started_us).int(run.finished_us);
        let counts =
            [run.files_before, run.files_after, run.bytes_before, run.bytes_after, run.rows, run.deleted_rows, run.snapshots];
        let insert = counts.into_iter().fold(insert.int(i64::from(run.asked)), |insert, count| insert.int(int(count)));
        self.db.write("recording upkeep", insert.text(run.error.as_deref())).await?;
        Ok(run)
    }

    /// The newest `limit` steps, of one table or of all, newest first.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn upkeep_runs(&self, table: Option<&LakeTable>, limit: u32) -> Result<Vec<UpkeepRun>, Error> {
        let select = match table {
            None => sql(
                "select id, layer, name, step, started_us, finished_us, asked, files_before, files_after, bytes_before, bytes_after, \
                 rows, deleted_rows, snapshots, error from upkeep_runs order by started_us desc, id desc limit $1",
            ),
            Some(table) => {
                let select = sql(
                    "select id, layer, name, step, started_us, finished_us, asked, files_before, files_after, bytes_before, \
                     bytes_after, rows, deleted_rows, snapshots, error from upkeep_runs where layer = $1 and name = $2 \
                     order by started_us desc, id desc limit $3",
                );
                select.text(table.layer.as_str()).text(table.name.as_str())
            }
        };
        self.db.read("reading upkeep", select.int(i64::from(limit)), record).await
    }

    /// What upkeep has written, for the steps that are remembered.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn upkeep_totals(&self) -> Result<UpkeepTotals, Error> {
        let select = sql(
            "select count(*), cast(coalesce(sum(bytes_before), 0) as bigint), cast(coalesce(sum(bytes_after), 0) as bigint) \
             from upkeep_runs where step = 'rewrite' and error is null",
        );
        let totals = |row: &Row| {
            let count = |i| row.int(i).map(i64::cast_unsigned);
            Ok(UpkeepTotals { runs: count(0)?, bytes_before: count(1)?, bytes_after: count(2)? })
        };
        Ok(self.db.read("reading upkeep", select, totals).await?.pop().unwrap_or_default())
    }

    /// Removes steps that ended before a time in microseconds. Returns how many went.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn prune_upkeep_runs(&self, before_us: i64) -> Result<u64, Error> {
        let delete = sql("delete from upkeep_runs where finished_us < $1").int(before_us);
        self.db.write("removing old upkeep runs", delete).await
    }
}

fn record(row: &Row) -> Result<UpkeepRun, sqlx::Error> {
    let count = |i| row.int(i).map(i64::cast_unsigned);
    let layer = row.text(1)?;
    let table = layer.parse::<Layer>().ok().map(|layer| Ok::<_, sqlx::Error>(LakeTable::new(layer, row.text(2)?)));
    Ok(UpkeepRun {
        id: row.text(0)?,
        table: table.transpose()?,
        step: row.text(3)?,
        started_us: row.int(4)?,
        finished_us: row.int(5)?,
        asked: row.int(6)? != 0,
        files_before: count(7)?,
        files_after: count(8)?,
        bytes_before: count(9)?,
        bytes_after: count(10)?,
        rows: count(11)?,
        deleted_rows: count(12)?,
        snapshots: count(13)?,
        error: row.text_or_null(14)?,
    })
}
