use crate::{
    Catalog, Error,
    catalog::new_id,
    database::{Row, sql},
};
use serde::{Deserialize, Serialize};

/// Changes of columns that are remembered of each crawler.
const DRIFT_MAX: i64 = 1000;

/// The last crawl of a crawler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlRecord {
    /// The crawler's name.
    pub crawler: String,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// When it ended.
    pub finished_us: i64,
    /// What it found; what the crawl before found where this one failed.
    pub tables: Vec<CrawledRecord>,
    /// Why it found nothing.
    pub error: Option<String>,
    /// What to do then.
    pub hint: Option<String>,
}

/// A table that a crawler found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawledRecord {
    /// Its name in the crawler's schema.
    pub name: String,
    /// Where its files are.
    pub path: String,
    /// The word for its format.
    pub format: String,
    /// Names of its columns with their SQL types.
    pub columns: Vec<(String, String)>,
    /// Names of the columns that folders say.
    pub partitions: Vec<String>,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows, where they are known.
    pub rows: Option<u64>,
    /// Why it can't be read.
    pub error: Option<String>,
    /// What to do then.
    pub hint: Option<String>,
}

/// A change of a table's columns that a crawl saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftRecord {
    /// Its id; later ones are greater.
    pub id: String,
    /// The crawler.
    pub crawler: String,
    /// The table.
    pub table: String,
    /// The word for what happened.
    pub kind: String,
    /// The column; empty where it is about the whole table.
    pub column: String,
    /// The type it had.
    pub was: Option<String>,
    /// The type it has.
    pub becomes: Option<String>,
    /// A file that shows it.
    pub file: Option<String>,
    /// When it was seen, in microseconds since 1970.
    pub seen_us: i64,
}

impl Catalog {
    /// The last crawl of every crawler that there ever was.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn crawls(&self) -> Result<Vec<CrawlRecord>, Error> {
        let select = sql("select crawler, started_us, finished_us, tables, error, hint from crawls order by crawler");
        self.db.read("reading crawls", select, crawl).await
    }

    /// Records a crawl and what it saw change, in one transaction. Of each crawler the newest changes are kept.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_crawl(&self, record: &CrawlRecord, drift: &[DriftRecord]) -> Result<(), Error> {
        let doing = "recording a crawl";
        let tables = serde_json::to_string(&record.tables).map_err(|e| self.db.error(doing, sqlx::Error::Encode(Box::new(e))))?;
        let mut tx = self.db.begin(doing).await?;
        let upsert =
            sql("insert into crawls (crawler, started_us, finished_us, tables, error, hint) values ($1, $2, $3, $4, $5, $6) \
             on conflict (crawler) do update set started_us = excluded.started_us, finished_us = excluded.finished_us, \
             tables = excluded.tables, error = excluded.error, hint = excluded.hint");
        let upsert = upsert.text(&*record.crawler).int(record.started_us).int(record.finished_us);
        tx.write(doing, upsert.text(&*tables).text(record.error.as_deref()).text(record.hint.as_deref())).await?;
        for event in drift {
            let insert = sql("insert into crawl_drift (id, crawler, name, kind, column_name, was, becomes, file, seen_us) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
            let insert = insert.text(&*new_id(self.now_us())).text(&*event.crawler).text(&*event.table).text(&*event.kind);
            let insert = insert.text(&*event.column).text(event.was.as_deref()).text(event.becomes.as_deref());
            tx.write(doing, insert.text(event.file.as_deref()).int(event.seen_us)).await?;
        }
        let prune = sql("delete from crawl_drift where crawler = $1 and id not in \
             (select id from crawl_drift where crawler = $1 order by seen_us desc, id desc limit $2)");
        tx.write(doing, prune.text(&*record.crawler).int(DRIFT_MAX)).await?;
        tx.commit(doing).await
    }

    /// The newest changes that a crawler saw, newest first.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn crawl_drift(&self, crawler: &str, limit: u32) -> Result<Vec<DriftRecord>, Error> {
        let select =
            sql("select id, crawler, name, kind, column_name, was, becomes, file, seen_us from crawl_drift where crawler = $1 \
             order by seen_us desc, id desc limit $2");
        self.db.read("reading what crawls saw change", select.text(crawler).int(i64::from(limit)), drift).await
    }
}

fn crawl(row: &Row) -> Result<CrawlRecord, sqlx::Error> {
    Ok(CrawlRecord {
        crawler: row.text(0)?,
        started_us: row.int(1)?,
        finished_us: row.int(2)?,
        tables: row.json(3)?,
        error: row.text_or_null(4)?,
        hint: row.text_or_null(5)?,
    })
}

fn drift(row: &Row) -> Result<DriftRecord, sqlx::Error> {
    Ok(DriftRecord {
        id: row.text(0)?,
        crawler: row.text(1)?,
        table: row.text(2)?,
        kind: row.text(3)?,
        column: row.text(4)?,
        was: row.text_or_null(5)?,
        becomes: row.text_or_null(6)?,
        file: row.text_or_null(7)?,
        seen_us: row.int(8)?,
    })
}
