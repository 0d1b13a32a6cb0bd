use crate::TableId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The schemas of the lake that hold tables: three layers that lakebox keeps, and namespaces that people and outside engines make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Every change that ever arrived, append only.
    Bronze,
    /// Current rows by key.
    Silver,
    /// What the models say.
    Gold,
    /// A namespace beside the layers; lakebox writes nothing into it by itself.
    Own(Namespace),
}

impl Layer {
    /// The layers that lakebox keeps, in the order of the data's way.
    pub const ALL: [Self; 3] = [Self::Bronze, Self::Silver, Self::Gold];

    /// The schema name in SQL and the namespace in Iceberg.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
            Self::Own(namespace) => namespace.as_str(),
        }
    }

    /// Whether lakebox keeps its tables, rather than people and outside engines.
    pub const fn is_kept(&self) -> bool {
        !matches!(self, Self::Own(_))
    }

    /// Whether people and outside engines made it: only there can SQL make and drop tables.
    pub const fn is_users(&self) -> bool {
        !self.is_kept()
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is not one of the lake's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a table of the lake; write namespace.table, with the namespace bronze, silver, gold or one of your own")]
pub struct NameError(pub String);

impl FromStr for Layer {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        match Self::ALL.into_iter().find(|l| l.as_str() == s) {
            Some(layer) => Ok(layer),
            None => s.parse().map(Self::Own),
        }
    }
}

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Schemas that SQL has already, so that no namespace can have their names.
const RESERVED: [&str; 4] = ["system", "information_schema", "public", "lakebox"];
const NAME_BYTES_MAX: usize = 63;

/// The name of a namespace beside the layers: a plain name (see [`is_plain_name`]) that is neither a layer's nor one of SQL's own schemas, and
/// does not begin with `pg_`. Kept in place, because a [`Layer`] is copied everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace([u8; NAME_BYTES_MAX]);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES_MAX);
        // Only ASCII gets in.
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl FromStr for Namespace {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        let taken = RESERVED.contains(&s) || s.starts_with("pg_") || Layer::ALL.iter().any(|l| l.as_str() == s);
        if !is_plain_name(s) || taken {
            return Err(NameError(s.to_owned()));
        }
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..s.len()].copy_from_slice(s.as_bytes());
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
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
    name.len() <= NAME_BYTES_MAX
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
        for bad in ["orders", "Copper.orders", "silver.", "system.tables", "pg_catalog.pg_class"] {
            assert_eq!(bad.parse::<LakeTable>(), Err(NameError(bad.to_owned())));
        }
    }

    #[test]
    fn a_namespace_of_ones_own_is_as_good_as_a_layer() -> Result<(), Box<dyn std::error::Error>> {
        let long = "n".repeat(NAME_BYTES_MAX);
        for name in ["analytics", "a", &long] {
            let layer: Layer = name.parse()?;
            assert_eq!((layer.as_str(), layer.is_kept()), (name, false));
            assert_eq!(serde_json::from_str::<Layer>(&serde_json::to_string(&layer)?)?, layer);
        }
        assert_eq!(serde_json::to_string(&Layer::Gold)?, "\"gold\"");
        let (a, b): (Layer, Layer) = ("ab".parse()?, "b".parse()?);
        assert!(a < b && Layer::Gold < a);
        for bad in ["", "public", "Big", "with space", "ünder", &"n".repeat(NAME_BYTES_MAX + 1), "a.b", "_x", "9"] {
            assert!(bad.parse::<Layer>().is_err(), "{bad}");
        }
        Ok(())
    }
}
