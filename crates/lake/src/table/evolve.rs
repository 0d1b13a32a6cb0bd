//! How a source table's shape becomes the shapes of its bronze and silver tables, now and after every change.

use super::{
    TableSpec,
    schema::{field_id, highest_id, number, with_field_id},
};
use crate::{Error, error::Kind};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::{CHANGE_COLUMNS, Key, TableSchema, change_fields};
use std::{collections::BTreeSet, sync::Arc};

/// Ids of data columns start above this one; those of the change columns are `1..=7`.
const LAST_RESERVED_ID: i32 = 100;

/// The shapes of the two tables that one source table has in the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct Evolution {
    /// Every column that ever was, then the change columns.
    pub bronze: TableSpec,
    /// The columns of now, and those that were retyped, under their old type.
    pub silver: TableSpec,
    /// The columns of a data file that both share: exactly those of a change batch, with ids.
    pub file: SchemaRef,
    /// Whether bronze or silver differ from what they were.
    pub changed: bool,
}

/// Applies a source table's shape to the shapes that its lake tables have, if they exist.
///
/// A new column gets an id that was never used. A dropped column stays in bronze and leaves silver. A column that became wider keeps its id. Any
/// other change of type keeps the old column as `<name>__was_<old type>` in both and gives the plain name to a new id; so does a column
/// that comes back after it was dropped, because its old values are not its own. `last_id` is the highest id that either table ever used.
///
/// # Errors
/// [`Kind::Schema`] where a column has a type that Iceberg can't hold, or a name that lakebox needs for itself.
pub fn evolve(
    bronze: Option<&TableSpec>,
    silver: Option<&TableSpec>,
    last_id: i32,
    wanted: &TableSchema,
) -> Result<Evolution, Error> {
    let mut shapes = Shapes::new(bronze, silver, last_id, wanted)?;
    for column in &wanted.columns {
        let mut field = Field::new(&column.name, column.data_type.clone(), true);
        if !column.source_type.is_empty() {
            field = field.with_metadata([("doc".to_owned(), column.source_type.clone())].into());
        }
        shapes.place(field)?;
    }
    shapes.finish(bronze, silver, wanted)
}

struct Shapes {
    /// Data columns of bronze that the source still has to claim, in their order.
    former: Vec<Field>,
    /// Names that silver has; a column of bronze that silver lacks was dropped at the source.
    in_silver: Option<BTreeSet<String>>,
    /// Columns of now, in source order.
    current: Vec<Field>,
    /// Columns that were retyped, which silver keeps, and dropped ones, which it does not.
    retired: Vec<(Field, bool)>,
    names: BTreeSet<String>,
    last_id: i32,
}

impl Shapes {
    fn new(bronze: Option<&TableSpec>, silver: Option<&TableSpec>, last_id: i32, wanted: &TableSchema) -> Result<Self, Error> {
        if let Some(column) = wanted.columns.iter().find(|c| CHANGE_COLUMNS.contains(&c.name.as_str())) {
            let message = format!("column `{}` of {} has the name of one of lakebox's change columns", column.name, wanted.id);
            return Err(Error::new(Kind::Schema, message).with_hint("Rename the column at the source, or leave the table out."));
        }
        let former: Vec<Field> = bronze
            .map(|b| {
                b.schema
                    .fields()
                    .iter()
                    .map(|f| f.as_ref().clone())
                    .filter(|f| !CHANGE_COLUMNS.contains(&f.name().as_str()))
                    .collect()
            })
            .unwrap_or_default();
        let last_id = former.iter().filter_map(highest_id).fold(last_id.max(LAST_RESERVED_ID), i32::max);
        let names = former.iter().map(|f| f.name().clone()).chain(wanted.columns.iter().map(|c| c.name.clone())).collect();
        let in_silver = silver.map(|s| s.schema.fields().iter().map(|f| f.name().clone()).collect());
        Ok(Self { former, in_silver, current: Vec::new(), retired: Vec::new(), names, last_id })
    }

    /// Finds or makes the place of one column of now.
    fn place(&mut self, wanted: Field) -> Result<(), Error> {
        let Some(at) = self.former.iter().position(|f| f.name() == wanted.name()) else { return self.add(&wanted) };
        let old = self.former.remove(at);
        let lives = self.in_silver.as_ref().is_none_or(|names| names.contains(old.name()));
        if lives && let Some(data_type) = continued(old.data_type(), wanted.data_type()) {
            let id =
                field_id(&old).ok_or_else(|| Error::new(Kind::Bug, format!("column `{}` of bronze has no id", old.name())))?;
            self.current.push(with_field_id(&wanted.with_data_type(data_type), id));
            return Ok(());
        }
        let retired = old.clone().with_name(self.retired_name(&old)).with_nullable(true);
        self.retired.push((retired, lives));
        self.add(&wanted)
    }

    fn add(&mut self, wanted: &Field) -> Result<(), Error> {
        let (mut numbered, last) = number(&vec![wanted.clone()].into(), self.last_id);
        self.last_id = last;
        self.current.append(&mut numbered);
        Ok(())
    }

    fn retired_name(&mut self, old: &Field) -> String {
        let plain = format!("{}__was_{}", old.name(), type_word(old.data_type()));
        let name = (1..)
            .map(|n| if n == 1 { plain.clone() } else { format!("{plain}_{n}") })
            .find(|name| !self.names.contains(name))
            .unwrap_or(plain);
        self.names.insert(name.clone());
        name
    }

    fn finish(self, bronze: Option<&TableSpec>, silver: Option<&TableSpec>, wanted: &TableSchema) -> Result<Evolution, Error> {
        let change: Vec<Field> = change_fields().iter().zip(1..).map(|(f, id)| with_field_id(f, id)).collect();
        let key: Vec<String> = match &wanted.key {
            Key::Columns(names) => names.clone(),
            Key::WholeRow | Key::None => Vec::new(),
        };
        let kept_in_silver = |name: &str| self.in_silver.as_ref().is_some_and(|names| names.contains(name));
        let stays = self.former.iter().filter(|f| f.name().contains("__was_") && kept_in_silver(f.name())).cloned();
        let silver_fields: Vec<Field> = self
            .current
            .iter()
            .map(|f| f.clone().with_nullable(!key.contains(f.name()) || was_optional(silver, f)))
            .chain(self.retired.iter().filter(|(_, lives)| *lives).map(|(f, _)| f.clone()))
            .chain(stays)
            .collect();
        let bronze_fields: Vec<Field> = self
            .current
            .iter()
            .cloned()
            .chain(self.retired.iter().map(|(f, _)| f.clone()))
            .chain(self.former.iter().cloned())
            .chain(change.clone())
            .collect();
        let file: SchemaRef = Arc::new(Schema::new(self.current.into_iter().chain(change).collect::<Vec<_>>()));
        let spec = |fields: Vec<Field>, key: Vec<String>, old: Option<&TableSpec>| TableSpec {
            schema: Arc::new(Schema::new(fields)),
            key,
            sort_order: old.map(|o| o.sort_order.clone()).unwrap_or_default(),
        };
        let (next_bronze, next_silver) = (spec(bronze_fields, Vec::new(), bronze), spec(silver_fields, key, silver));
        let changed = bronze != Some(&next_bronze) || silver != Some(&next_silver);
        Ok(Evolution { bronze: next_bronze, silver: next_silver, file, changed })
    }
}

/// A column that was optional once may hold NULL in old files, so it stays optional.
fn was_optional(silver: Option<&TableSpec>, field: &Field) -> bool {
    let id = field_id(field);
    silver.is_some_and(|s| s.schema.fields().iter().any(|f| field_id(f) == id && f.is_nullable()))
}

/// The type that a column goes on with, with its inner ids, where the source's new type is the old one or fits into the same column.
///
/// A table that was widened once stays wide, so an equal or narrower whole number from the source fits as well only where it is the same type.
fn continued(old: &DataType, new: &DataType) -> Option<DataType> {
    match (old, new) {
        (DataType::List(item), DataType::List(wanted)) => (item.data_type() == wanted.data_type()).then(|| old.clone()),
        (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64) => Some(new.clone()),
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => (q >= p && s == t).then(|| new.clone()),
        _ => (old == new).then(|| new.clone()),
    }
}

/// The old type in the name of a retired column.
fn type_word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double",
        DataType::Decimal128(_, _) => "numeric",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamptz",
        DataType::Timestamp(_, _) => "timestamp",
        DataType::Time64(_) => "time",
        DataType::Binary => "bytea",
        DataType::List(_) => "array",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Column, TableId};

    fn source(columns: &[(&str, DataType)]) -> TableSchema {
        let column = |(name, data_type): &(&str, DataType)| Column {
            name: (*name).to_owned(),
            data_type: data_type.clone(),
            nullable: true,
            source_type: String::new(),
        };
        TableSchema {
            id: TableId::new("public", "t"),
            version: 1,
            columns: columns.iter().map(column).collect(),
            key: Key::Columns(vec!["id".to_owned()]),
        }
    }

    fn shape(spec: &TableSpec) -> Vec<(String, i32)> {
        let plain = spec.schema.fields().iter().filter(|f| !f.name().starts_with('_'));
        plain.map(|f| (f.name().clone(), field_id(f).unwrap())).collect()
    }

    fn step(before: Option<&Evolution>, columns: &[(&str, DataType)]) -> Evolution {
        evolve(before.map(|b| &b.bronze), before.map(|b| &b.silver), 0, &source(columns)).unwrap()
    }

    fn named(pairs: &[(&str, i32)]) -> Vec<(String, i32)> {
        pairs.iter().map(|(n, i)| ((*n).to_owned(), *i)).collect()
    }

    #[test]
    fn a_new_table_numbers_its_columns_from_101_and_requires_only_the_key() {
        let e = step(None, &[("id", DataType::Int32), ("note", DataType::Utf8)]);
        assert_eq!(shape(&e.silver), named(&[("id", 101), ("note", 102)]));
        assert_eq!(shape(&e.bronze), shape(&e.silver));
        assert_eq!(e.bronze.schema.fields().len(), 9);
        let nullable: Vec<_> = e.silver.schema.fields().iter().map(|f| f.is_nullable()).collect();
        assert_eq!(nullable, [false, true]);
        assert!(e.changed);
        assert!(!step(Some(&e), &[("id", DataType::Int32), ("note", DataType::Utf8)]).changed);
    }

    #[test]
    fn a_dropped_column_stays_in_bronze_and_its_return_is_a_new_column() {
        let first = step(None, &[("id", DataType::Int32), ("note", DataType::Utf8)]);
        let dropped = step(Some(&first), &[("id", DataType::Int32)]);
        assert_eq!(shape(&dropped.silver), named(&[("id", 101)]));
        assert_eq!(shape(&dropped.bronze), named(&[("id", 101), ("note", 102)]));
        let back = step(Some(&dropped), &[("id", DataType::Int32), ("note", DataType::Utf8)]);
        assert_eq!(shape(&back.silver), named(&[("id", 101), ("note", 103)]));
        assert_eq!(shape(&back.bronze), named(&[("id", 101), ("note", 103), ("note__was_text", 102)]));
    }

    #[test]
    fn widening_keeps_the_id_and_any_other_retype_keeps_the_old_column_beside_the_new() {
        let first = step(None, &[("id", DataType::Int32), ("n", DataType::Int32), ("d", DataType::Decimal128(10, 2))]);
        let wide = step(Some(&first), &[("id", DataType::Int32), ("n", DataType::Int64), ("d", DataType::Decimal128(12, 2))]);
        assert_eq!(shape(&wide.silver), shape(&first.silver));
        assert_eq!(wide.silver.schema.field(1).data_type(), &DataType::Int64);
        let text = step(Some(&wide), &[("id", DataType::Int32), ("n", DataType::Utf8), ("d", DataType::Decimal128(12, 3))]);
        let expected = named(&[("id", 101), ("n", 104), ("d", 105), ("n__was_bigint", 102), ("d__was_numeric", 103)]);
        assert_eq!(shape(&text.silver), expected);
        assert_eq!(shape(&text.bronze), expected);
        let again = step(Some(&text), &[("id", DataType::Int32), ("n", DataType::Utf8), ("d", DataType::Decimal128(12, 3))]);
        assert_eq!(shape(&again.silver), expected, "a shape that did not change stays");
        assert!(!again.changed);
    }

    #[test]
    fn the_file_holds_exactly_the_columns_of_a_change_batch() {
        let first = step(None, &[("id", DataType::Int32), ("gone", DataType::Utf8)]);
        let wanted = source(&[("id", DataType::Int32), ("new", DataType::Utf8)]);
        let e = evolve(Some(&first.bronze), Some(&first.silver), 0, &wanted).unwrap();
        let names = |s: &Schema| s.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&e.file), names(&wanted.batch_schema()));
    }

    #[test]
    fn a_column_with_the_name_of_a_change_column_is_refused() {
        let error = evolve(None, None, 0, &source(&[("_op", DataType::Utf8)])).unwrap_err();
        assert_eq!(error.kind, Kind::Schema);
    }
}
