//! Masks personal data in text columns: e-mail addresses, phone numbers, names. The table keeps its shape, NULL stays NULL.

mod config;
mod mask;

use config::{Config, Rule};
use lakebox_transform::{Answer, Batch, DataType, Info, Plan, Plugin, Table, TextBuilder};

/// The configured plugin.
struct MaskPii {
    config: Config,
}

/// Columns to mask in a table, by index.
type Masked = Vec<(usize, Rule)>;

impl Plugin for MaskPii {
    type Shape = Masked;

    fn describe() -> Info {
        Info {
            name: "mask_pii".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Masks personal data in text columns: redacted, as keyed hashes that can still be joined, or in part."
                .to_owned(),
            config_schema: include_str!("../config.schema.json").to_owned(),
        }
    }

    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self { config: Config::read(config)? })
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, Masked), String> {
        let mut masked = Masked::new();
        for (name, rule) in &self.config.columns {
            let Some(index) = config::find(table, name) else {
                if self.config.must_exist(table, name) {
                    return Err(format!(
                        "it has no column `{name}` to mask; correct the name, or set `ignore_missing: true` if some tables lack it"
                    ));
                }
                continue;
            };
            let column = &table.columns[index];
            if !matches!(column.data_type, DataType::Text) {
                return Err(format!("`{name}` is not a text column, and only text can be masked"));
            }
            if table.key.contains(&column.name) && !matches!(rule, Rule::Hash { .. }) {
                return Err(format!(
                    "`{name}` is part of the key; use `mode: hash` for it, so that rows can still be told apart"
                ));
            }
            if !masked.iter().any(|(i, _)| *i == index) {
                masked.push((index, rule.clone()));
            }
        }
        let names = masked.iter().map(|(index, _)| table.columns[*index].name.clone());
        Ok((Plan::same(table).reading(names.collect::<Vec<_>>()), masked))
    }

    fn transform(&mut self, masked: &Masked, batch: &Batch<'_>, answer: &mut Answer) -> Result<(), String> {
        for (index, rule) in masked {
            let column = batch.text(*index)?;
            let mut out = TextBuilder::with_capacity(batch.rows(), rule.bytes_expected(batch.rows(), column.byte_len()));
            mask::column(&column, rule, &mut out);
            answer.set(*index, out.finish());
        }
        Ok(())
    }
}

lakebox_transform::export!(MaskPii);
