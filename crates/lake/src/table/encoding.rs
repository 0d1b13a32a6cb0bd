//! How data files of a table are encoded, beside the order of their rows.

use crate::{Error, Kind, TableState};
use arrow::datatypes::{DataType, Schema};
use model::LakeTable;
use serde::{Deserialize, Serialize};

/// The table property that declares how data files are encoded, as JSON of [`FileSettings`].
pub const FILES: &str = "lakebox.files";

/// Rows that a row group may have at most or at least, where a table says how many.
pub const GROUP_ROWS_ALLOWED: std::ops::RangeInclusive<usize> = 1_000..=10_000_000;
/// Rows that a page may have at most or at least, where a table says how many.
pub const PAGE_ROWS_ALLOWED: std::ops::RangeInclusive<usize> = 100..=1_000_000;

/// What a table asks of its data files. The default asks for nothing: encodings are chosen by looking at the first rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSettings {
    /// Columns with a bloom filter in each row group (Parquet's split-block filters, one false answer in a hundred): for queries that look for
    /// single values. Text, binary, whole numbers and decimals can have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bloom: Vec<String>,
    /// Columns that get a dictionary, whatever their first rows look like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dictionary: Vec<String>,
    /// Columns that get no dictionary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_dictionary: Vec<String>,
    /// Rows of a row group at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_group_rows: Option<usize>,
    /// Rows of a page at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_rows: Option<usize>,
}

impl FileSettings {
    /// What a table declares; nothing where it declares nothing.
    ///
    /// # Errors
    /// [`Kind::Schema`] where the property can't be read.
    pub(crate) fn of(state: &TableState) -> Result<Self, Error> {
        let Some(json) = state.property(FILES) else { return Ok(Self::default()) };
        serde_json::from_str(json).map_err(|e| {
            Error::new(Kind::Schema, format!("the property {FILES} of {} can't be read: {e}", state.table()))
                .with_table(state.table())
                .with_hint(r#"Write {"bloom": ["column"], "row_group_rows": 100000}."#)
        })
    }

    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The property's value; nothing where nothing is asked for.
    pub(crate) fn json(&self) -> Option<String> {
        (!self.is_default()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// Whether a table of these columns can have it.
    ///
    /// # Errors
    /// [`Kind::Schema`] where a column is not there, or is of a type that can't have a bloom filter.
    pub(crate) fn check(&self, table: &LakeTable, schema: &Schema) -> Result<(), Error> {
        let wrong = |message: String| Error::new(Kind::Schema, message).with_table(table);
        for column in self.bloom.iter().chain(&self.dictionary).chain(&self.no_dictionary) {
            if schema.index_of(column).is_err() {
                return Err(wrong(format!("files of {table} can't be encoded as asked: it has no column `{column}`")));
            }
        }
        for column in &self.bloom {
            let data_type = schema.field_with_name(column).map(|f| f.data_type().clone()).unwrap_or(DataType::Null);
            if !can_bloom(&data_type) {
                let message = format!("a bloom filter on `{column}` of {table} would help no query: it is {data_type}");
                return Err(
                    wrong(message).with_hint("Text, binary, whole numbers and decimals can have one. Sort by other columns.")
                );
            }
        }
        if let Some(both) = self.dictionary.iter().find(|c| self.no_dictionary.contains(c)) {
            return Err(wrong(format!("`{both}` of {table} is to have a dictionary and to have none")));
        }
        Ok(())
    }
}

/// Whether readers can use a bloom filter on a column of this type. Not on floats, whose equal values (0 and -0) differ in bits; not on dates and
/// times, for which readers don't ask.
pub fn can_bloom(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Utf8View
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::BinaryView
            | DataType::LargeBinary
            | DataType::FixedSizeBinary(_)
            | DataType::Int32
            | DataType::Int64
            | DataType::Decimal128(_, _)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use model::Layer;

    #[test]
    fn what_a_table_can_not_have_is_told() {
        let table = LakeTable::new(Layer::Silver, "t");
        let schema = Schema::new(vec![Field::new("mail", DataType::Utf8, true), Field::new("rate", DataType::Float64, true)]);
        let bloom = |columns: &[&str]| FileSettings {
            bloom: columns.iter().map(|c| (*c).to_owned()).collect(),
            ..FileSettings::default()
        };
        assert!(bloom(&["mail"]).check(&table, &schema).is_ok());
        for (settings, said) in [
            (bloom(&["nope"]), "files of silver.t can't be encoded as asked: it has no column `nope`"),
            (bloom(&["rate"]), "a bloom filter on `rate` of silver.t would help no query: it is Float64"),
            (
                FileSettings { dictionary: vec!["mail".into()], no_dictionary: vec!["mail".into()], ..FileSettings::default() },
                "`mail` of silver.t is to have a dictionary and to have none",
            ),
        ] {
            assert_eq!(settings.check(&table, &schema).unwrap_err().message, said);
        }
    }

    #[test]
    fn the_property_holds_only_what_is_asked_for() {
        assert_eq!(FileSettings::default().json(), None);
        let settings = FileSettings { bloom: vec!["mail".into()], page_rows: Some(5000), ..FileSettings::default() };
        assert_eq!(settings.json().as_deref(), Some(r#"{"bloom":["mail"],"page_rows":5000}"#));
        assert_eq!(serde_json::from_str::<FileSettings>(&settings.json().unwrap()).unwrap(), settings);
    }
}
