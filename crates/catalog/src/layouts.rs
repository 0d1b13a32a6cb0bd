use crate::{
    Catalog, Error,
    database::{Row, sql},
};
use model::{LakeTable, Layer};

/// How queries of one day reached into a table by filters on the same columns. What columns and sums look like is the advisor's.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessRecord {
    /// The day, in days since 1970.
    pub day: i64,
    /// The table.
    pub table: LakeTable,
    /// The columns and how they were filtered.
    pub columns: serde_json::Value,
    /// What the queries did together.
    pub sum: serde_json::Value,
}

/// A layout that somebody applied to a table.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutRecord {
    /// The table.
    pub table: LakeTable,
    /// The layout; its form is that of upkeep.
    pub rule: serde_json::Value,
    /// When, in microseconds since 1970.
    pub applied_us: i64,
}

impl Catalog {
    /// Records sums, in place of those of the same day, table and columns.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_accesses(&self, records: &[AccessRecord]) -> Result<(), Error> {
        let doing = "recording accesses";
        let mut tx = self.db.begin(doing).await?;
        for record in records {
            let upsert = sql("insert into access_sums (day, layer, name, columns_json, sum_json) values ($1, $2, $3, $4, $5) \
                 on conflict (day, layer, name, columns_json) do update set sum_json = excluded.sum_json");
            let upsert = upsert.int(record.day).text(record.table.layer.as_str()).text(&*record.table.name);
            tx.write(doing, upsert.text(&*record.columns.to_string()).text(&*record.sum.to_string())).await?;
        }
        tx.commit(doing).await
    }

    /// Sums from a day on.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn accesses(&self, since_day: i64) -> Result<Vec<AccessRecord>, Error> {
        let select = sql("select day, layer, name, columns_json, sum_json from access_sums where day >= $1 \
             order by day, layer, name, columns_json");
        let records = self.db.read("reading accesses", select.int(since_day), access).await?;
        Ok(records.into_iter().flatten().collect())
    }

    /// Removes sums from before a day. Returns how many went.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn prune_accesses(&self, before_day: i64) -> Result<u64, Error> {
        self.db.write("removing old accesses", sql("delete from access_sums where day < $1").int(before_day)).await
    }

    /// Every layout that somebody applied, ordered by table.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn layouts(&self) -> Result<Vec<LayoutRecord>, Error> {
        let select = sql("select layer, name, rule_json, applied_us from layout_rules order by layer, name");
        let records = self.db.read("reading layouts", select, layout).await?;
        Ok(records.into_iter().flatten().collect())
    }

    /// Records the layout of a table, in place of any former one.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_layout(&self, record: &LayoutRecord) -> Result<(), Error> {
        let upsert = sql("insert into layout_rules (layer, name, rule_json, applied_us) values ($1, $2, $3, $4) \
             on conflict (layer, name) do update set rule_json = excluded.rule_json, applied_us = excluded.applied_us");
        let upsert = upsert.text(record.table.layer.as_str()).text(&*record.table.name).text(&*record.rule.to_string());
        self.db.write("recording a layout", upsert.int(record.applied_us)).await.map(|_| ())
    }

    /// Forgets the layout of a table. Returns whether there was one.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn remove_layout(&self, table: &LakeTable) -> Result<bool, Error> {
        let delete = sql("delete from layout_rules where layer = $1 and name = $2");
        let delete = delete.text(table.layer.as_str()).text(&*table.name);
        Ok(self.db.write("forgetting a layout", delete).await? > 0)
    }
}

fn table(row: &Row, at: usize) -> Result<Option<LakeTable>, sqlx::Error> {
    let (layer, name) = (row.text(at)?, row.text(at + 1)?);
    Ok(layer.parse::<Layer>().ok().map(|layer| LakeTable::new(layer, name)))
}

fn access(row: &Row) -> Result<Option<AccessRecord>, sqlx::Error> {
    let Some(table) = table(row, 1)? else { return Ok(None) };
    Ok(Some(AccessRecord { day: row.int(0)?, table, columns: row.json(3)?, sum: row.json(4)? }))
}

fn layout(row: &Row) -> Result<Option<LayoutRecord>, sqlx::Error> {
    let Some(table) = table(row, 0)? else { return Ok(None) };
    Ok(Some(LayoutRecord { table, rule: row.json(2)?, applied_us: row.int(3)? }))
}
