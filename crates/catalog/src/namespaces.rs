use crate::{
    Catalog, Error, Kind,
    database::{Row, Tx, sql},
};
use model::Layer;
use std::collections::BTreeMap;

const CHANGING: &str = "changing a namespace";

/// Properties by name.
pub type Properties = BTreeMap<String, String>;

/// A namespace of which something is recorded: one of somebody's own, or a layer that was given properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// Which namespace.
    pub layer: Layer,
    /// Its properties.
    pub properties: Properties,
    /// When it was made, in microseconds since 1970.
    pub created_us: i64,
    /// When its properties changed last.
    pub updated_us: i64,
}

/// What became of a request to drop a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceDrop {
    /// It is gone.
    Dropped,
    /// It holds so many tables and views, and stays.
    Holds(u64),
    /// There was none.
    Unknown,
}

impl Catalog {
    /// Every namespace of which something is recorded, ordered by name. The three layers exist whether they are among them or not.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceRecord>, Error> {
        let select = sql("select name, properties_json, created_us, updated_us from lake_namespaces order by name");
        self.db.read("reading namespaces", select, record).await
    }

    /// What is recorded of one namespace.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn namespace(&self, layer: Layer) -> Result<Option<NamespaceRecord>, Error> {
        let select = sql("select name, properties_json, created_us, updated_us from lake_namespaces where name = $1");
        Ok(self.db.read("reading a namespace", select.text(layer.as_str()), record).await?.pop())
    }

    /// Makes a namespace. False where it exists already; nothing is changed then.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn create_namespace(&self, layer: Layer, properties: &Properties) -> Result<bool, Error> {
        let insert = sql("insert into lake_namespaces (name, properties_json, created_us, updated_us) values ($1, $2, $3, $3) \
             on conflict do nothing");
        let json = json(properties)?;
        let insert = insert.text(layer.as_str()).text(&*json).int(self.now_us());
        Ok(self.db.write("making a namespace", insert).await? > 0)
    }

    /// Changes a namespace's properties in one step and returns those it had. A layer of which nothing is recorded had none; `None` where a
    /// namespace of somebody's own does not exist.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn change_namespace(&self, layer: Layer, remove: &[String], set: &Properties) -> Result<Option<Properties>, Error> {
        let now_us = self.now_us();
        let mut tx = self.db.begin(CHANGING).await?;
        let select = sql("select name, properties_json, created_us, updated_us from lake_namespaces where name = $1");
        let found = tx.read(CHANGING, select.text(layer.as_str()), record).await?.pop();
        let former = match found {
            Some(found) => found.properties,
            None if layer.is_kept() => Properties::new(),
            None => return Ok(None),
        };
        let mut properties = former.clone();
        properties.retain(|name, _| !remove.contains(name));
        properties.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
        let upsert = sql("insert into lake_namespaces (name, properties_json, created_us, updated_us) values ($1, $2, $3, $3) \
             on conflict (name) do update set properties_json = excluded.properties_json, updated_us = excluded.updated_us");
        tx.write(CHANGING, upsert.text(layer.as_str()).text(&*json(&properties)?).int(now_us)).await?;
        tx.commit(CHANGING).await?;
        Ok(Some(former))
    }

    /// Removes a namespace that holds nothing.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn drop_namespace(&self, layer: Layer) -> Result<NamespaceDrop, Error> {
        const DOING: &str = "dropping a namespace";
        let mut tx = self.db.begin(DOING).await?;
        let held = count(&mut tx, layer, "select count(*) from lake_tables where layer = $1").await?
            + count(&mut tx, layer, "select count(*) from lake_views where layer = $1").await?;
        if held > 0 {
            return Ok(NamespaceDrop::Holds(held));
        }
        let delete = sql("delete from lake_namespaces where name = $1").text(layer.as_str());
        if tx.write(DOING, delete).await? == 0 {
            return Ok(NamespaceDrop::Unknown);
        }
        tx.commit(DOING).await?;
        Ok(NamespaceDrop::Dropped)
    }
}

async fn count(tx: &mut Tx, layer: Layer, select: &'static str) -> Result<u64, Error> {
    let counted = tx.read("counting tables", sql(select).text(layer.as_str()), |row| row.int(0)).await?;
    Ok(counted.first().map_or(0, |n| n.unsigned_abs()))
}

fn json(properties: &Properties) -> Result<String, Error> {
    serde_json::to_string(properties)
        .map_err(|e| Error::new(Kind::Bug, "properties of a namespace can't be written as JSON").with_source(e))
}

fn record(row: &Row) -> Result<NamespaceRecord, sqlx::Error> {
    let layer = row.text(0)?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(NamespaceRecord { layer, properties: row.json(1)?, created_us: row.int(2)?, updated_us: row.int(3)? })
}
