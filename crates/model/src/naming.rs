use crate::TableId;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// Names that SQL keeps for itself: no schema of a user can have one of them.
const RESERVED: [&str; 4] = ["system", "public", "information_schema", "lakebox"];

/// The schemas of the lake that hold tables: the three layers, and those that users make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Layer {
    /// Every change that ever arrived, append only.
    Bronze,
    /// Current rows by key.
    Silver,
    /// What the models say.
    Gold,
    /// A schema that a user made. Its name is plain and not reserved; [`Layer::from_str`] sees to that.
    Named(Arc<str>),
}

impl Layer {
    /// The layers that every lake has, in the order of the data's way.
    pub const ALL: [Self; 3] = [Self::Bronze, Self::Silver, Self::Gold];

    /// The schema name in SQL and the namespace in Iceberg.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
            Self::Named(name) => name,
        }
    }

    /// Whether a user made it: only there can SQL make and drop tables.
    pub const fn is_users(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is not one of the lake's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name in the lake; write schema.table, with the schema bronze, silver, gold or one of your own")]
pub struct NameError(pub String);

impl FromStr for Layer {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        if let Some(layer) = Self::ALL.into_iter().find(|l| l.as_str() == s) {
            return Ok(layer);
        }
        if !is_plain_name(s) || s.starts_with("pg_") || RESERVED.contains(&s) {
            return Err(NameError(s.to_owned()));
        }
        Ok(Self::Named(s.into()))
    }
}

impl From<Layer> for String {
    fn from(layer: Layer) -> Self {
        layer.as_str().to_owned()
    }
}

impl TryFrom<String> for Layer {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

/// A table of the lake: layer and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LakeTable {
    /// The layer, which is the SQL schema.
    pub layer: Layer,
    /// The name inside the layer.
    pub name: String,
}

impl LakeTable {
    /// A table of `layer`.
    pub fn new(layer: Layer, name: impl Into<String>) -> Self {
        Self { layer, name: name.into() }
    }
}

impl fmt::Display for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.name)
    }
}

impl FromStr for LakeTable {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        let bad = || NameError(s.to_owned());
        let (layer, name) = s.split_once('.').ok_or_else(bad)?;
        if name.is_empty() {
            return Err(bad());
        }
        Ok(Self { layer: layer.parse().map_err(|_| bad())?, name: name.to_owned() })
    }
}

/// The name in bronze and silver of a source's table: `<source>_<table>`, with the schema in the middle unless it is `public`.
pub fn lake_name(source: &str, table: &TableId) -> String {
    if table.schema == "public" || table.schema.is_empty() {
        format!("{source}_{}", table.name)
    } else {
        format!("{source}_{}_{}", table.schema, table.name)
    }
}

/// Whether `name` can name a source, transform or model: a letter, then letters, digits and `_`, at most 63 bytes, lower case.
pub fn is_plain_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_is_left_out_of_lake_names() {
        assert_eq!(lake_name("shop", &TableId::new("public", "orders")), "shop_orders");
        assert_eq!(lake_name("shop", &TableId::new("billing", "invoices")), "shop_billing_invoices");
    }

    #[test]
    fn lake_tables_read_what_they_print() {
        let table = LakeTable::new(Layer::Silver, "shop_orders");
        assert_eq!(table.to_string().parse::<LakeTable>(), Ok(table));
        let own: LakeTable = "analytics.orders".parse().unwrap();
        assert!(own.layer.is_users() && own.layer.as_str() == "analytics");
        for bad in ["orders", "Copper.orders", "pg_catalog.orders", "system.x", "silver."] {
            assert_eq!(bad.parse::<LakeTable>(), Err(NameError(bad.to_owned())));
        }
    }
}
