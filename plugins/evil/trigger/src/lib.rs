//! When hostile plugins strike: at every batch, or at those that hold a poisonous value. The configuration is `{}` or `{"at": "value"}`; what
//! else is in it the plugin may read from its text.

use lakebox_transform::{Batch, Info, layout::kind};

/// The value to strike at; `None` strikes always.
pub struct Trigger(Option<String>);

impl Trigger {
    /// Strikes always, until configured.
    pub const fn never_read() -> Self {
        Self(None)
    }

    /// Reads `"at": "value"` out of the configuration; there is no need for all of JSON here.
    pub fn read(config: &str) -> Self {
        Self(setting(config, "at"))
    }

    /// Whether to strike at this batch.
    pub fn is_in(&self, batch: &Batch<'_>) -> bool {
        let Some(value) = &self.0 else { return true };
        let texts = (0..batch.data_columns()).filter(|i| batch.descriptor(*i).is_ok_and(|d| d.kind == kind::TEXT));
        texts.filter_map(|i| batch.text(i).ok()).any(|column| column.iter().any(|text| text == Some(value)))
    }
}

/// The text after `"name": "` up to the next quote.
pub fn setting(config: &str, name: &str) -> Option<String> {
    let (_, rest) = config.split_once(&format!("\"{name}\""))?;
    let (_, rest) = rest.split_once('"')?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// What a hostile plugin says of itself.
pub fn info(name: &str) -> Info {
    let config_schema = r#"{"type":"object","properties":{"at":{"type":"string"}}}"#.to_owned();
    Info { name: name.to_owned(), version: "6.6.6".to_owned(), description: "For tests only.".to_owned(), config_schema }
}
