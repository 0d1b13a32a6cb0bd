use crate::{Catalog, Error, database::sql};
use serde_json::Value;

impl Catalog {
    /// A setting that lakebox itself keeps (not the configuration file's), or `None`.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn setting(&self, name: &str) -> Result<Option<Value>, Error> {
        let select = sql("select value_json from settings where name = $1").text(name);
        Ok(self.db.read("reading a setting", select, |row| row.json(0)).await?.pop())
    }

    /// Keeps a setting.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn set_setting(&self, name: &str, value: &Value) -> Result<(), Error> {
        let upsert = sql("insert into settings (name, value_json, updated_us) values ($1, $2, $3) \
             on conflict (name) do update set value_json = excluded.value_json, updated_us = excluded.updated_us");
        self.db.write("keeping a setting", upsert.text(name).text(&*value.to_string()).int(self.now_us())).await.map(|_| ())
    }

    /// Removes a setting. Returns whether it existed.
    ///
    /// # Errors
    /// Where the catalog can't be written.
    pub async fn remove_setting(&self, name: &str) -> Result<bool, Error> {
        Ok(self.db.write("removing a setting", sql("delete from settings where name = $1").text(name)).await? > 0)
    }
}
