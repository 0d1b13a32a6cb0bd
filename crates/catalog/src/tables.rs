use crate::{
    Catalog, Error,
    database::{Row, Statement, sql},
};
use model::LakeTable;

/// A table's pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRecord {
    /// Which table.
    pub table: LakeTable,
    /// Its current Iceberg metadata file. Everything else about the table is in there.
    pub metadata_location: String,
    /// The pipeline or model that writes it.
    pub writer: Option<String>,
    /// When it was made, in microseconds since 1970.
    pub created_us: i64,
    /// When its pointer moved last.
    pub updated_us: i64,
}

impl Catalog {
    /// Every table, ordered by layer and name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn tables(&self) -> Result<Vec<TableRecord>, Error> {
        self.db.read("reading tables", all(), record).await
    }

    /// One table, if it exists.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn table(&self, table: &LakeTable) -> Result<Option<TableRecord>, Error> {
        let statement = sql("select layer, name, metadata_location, writer, created_us, updated_us from lake_tables where layer = $1 and name = $2")
            .text(table.layer.as_str())
            .text(&*table.name);
        Ok(self.db.read("reading a table", statement, record).await?.pop())
    }
}

pub(crate) fn all() -> Statement {
    sql("select layer, name, metadata_location, writer, created_us, updated_us from lake_tables order by layer, name")
}

pub(crate) fn record(row: &Row) -> Result<TableRecord, sqlx::Error> {
    let layer = row.text(0)?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(TableRecord {
        table: LakeTable::new(layer, row.text(1)?),
        metadata_location: row.text(2)?,
        writer: row.text_or_null(3)?,
        created_us: row.int(4)?,
        updated_us: row.int(5)?,
    })
}
