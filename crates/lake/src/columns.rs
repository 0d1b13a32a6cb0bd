//! What SQL does to the columns of users' tables. Files stay as they are: columns are found in them by their field ids.

use crate::{
    Error, Kind, Lake, ObjectTransaction, PartitionField, TableChange, TableSpec, TableState, field_id,
    table::schema::{normal, number},
    upkeep::{Clustering, LAYOUT},
};
use arrow::datatypes::{DataType, Field, Schema};
use iceberg::spec::Transform;
use model::LakeTable;
use std::collections::HashMap;

/// Metadata key of a field's description.
const DOC: &str = "doc";
/// The table property that describes a table, as other engines know it.
pub const COMMENT: &str = "comment";

/// One change to a table's columns.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChange {
    /// A column joins, behind the others; NULL in every row that is there. One that is required can only join a table without rows.
    Add(Field),
    /// A column goes.
    Drop(String),
    /// A column gets another name: from, to.
    Rename(String, String),
    /// A column gets a wider type.
    Retype(String, DataType),
    /// Whether a column must have a value. The caller has seen that every row has one.
    Require(String, bool),
    /// The description of a column; none takes it away.
    Describe(String, Option<String>),
    /// New rows go to files by these; by nothing where there are none. Files that are there stay as they are.
    Partition(Vec<PartitionField>),
    /// The table gets this Iceberg format version, 2 or 3; there is no way back.
    Version(u8),
}

impl ObjectTransaction {
    /// Changes the columns of a users' table, seen once the transaction is committed.
    ///
    /// # Errors
    /// [`Kind::Invalid`] and [`Kind::Schema`] where a change makes no sense or would lose values; else as [`Self::touch`].
    pub async fn alter(&mut self, lake: &Lake, table: &LakeTable, changes: &[ColumnChange]) -> Result<(), Error> {
        let state = self.touch(lake, table).await?;
        let mut shape = Shape {
            state: &state,
            fields: state.schema().fields().iter().map(|f| f.as_ref().clone()).collect(),
            key: state.spec().key.clone(),
            sort_order: state.spec().sort_order.clone(),
            layout: state.property(LAYOUT).and_then(|json| serde_json::from_str(json).ok()),
            last_id: state.last_field_id(),
            partition_by: None,
            version: state.format_version(),
        };
        for change in changes {
            shape.apply(change).map_err(|e| e.with_table(table))?;
        }
        let mut change = TableChange::new(table.clone());
        if let Some(layout) = &shape.layout {
            let json = serde_json::to_string(layout).unwrap_or_default();
            if state.property(LAYOUT) != Some(json.as_str()) {
                change.properties.insert(LAYOUT.to_owned(), Some(json));
            }
        }
        change.partition_by = shape.partition_by;
        change.upgrade = shape.version > state.format_version();
        let schema = normal(&Schema::new(shape.fields)).map_err(|e| e.with_table(table))?;
        change.spec = Some(TableSpec { schema, key: shape.key, sort_order: shape.sort_order });
        self.reshape(lake, table, &state, change).await
    }

    /// Describes a users' table; none takes the description away.
    ///
    /// # Errors
    /// As [`Self::touch`].
    pub async fn describe(&mut self, lake: &Lake, table: &LakeTable, comment: Option<String>) -> Result<(), Error> {
        let state = self.touch(lake, table).await?;
        if state.property(COMMENT) == comment.as_deref() {
            return Ok(());
        }
        let mut change = TableChange::new(table.clone());
        change.properties.insert(COMMENT.to_owned(), comment);
        self.reshape(lake, table, &state, change).await
    }
}

/// The columns of a table on their way from one shape to another.
struct Shape<'a> {
    state: &'a TableState,
    fields: Vec<Field>,
    key: Vec<String>,
    sort_order: Vec<(String, bool)>,
    layout: Option<Clustering>,
    last_id: i32,
    partition_by: Option<Vec<PartitionField>>,
    version: u8,
}

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, message)
}

impl Shape<'_> {
    fn apply(&mut self, change: &ColumnChange) -> Result<(), Error> {
        match change {
            ColumnChange::Add(field) => self.add(field),
            ColumnChange::Drop(name) => self.drop(name),
            ColumnChange::Rename(from, to) => self.rename(from, to),
            ColumnChange::Retype(name, to) => self.retype(name, to),
            ColumnChange::Require(name, required) => {
                let at = self.find(name)?;
                if !required && self.key.contains(name) {
                    return Err(invalid(format!("column \"{name}\" is in a primary key")));
                }
                self.fields[at] = self.fields[at].clone().with_nullable(!required);
                Ok(())
            }
            ColumnChange::Partition(by) => {
                self.partition_by = Some(by.clone());
                Ok(())
            }
            ColumnChange::Version(to) => {
                if *to < self.version {
                    let message =
                        format!("{} has Iceberg format version {}, and there is no way back", self.state.table(), self.version);
                    return Err(invalid(message).with_hint("Copy the table: CREATE TABLE … WITH (format_version = 2) AS SELECT."));
                }
                self.version = *to;
                Ok(())
            }
            ColumnChange::Describe(name, comment) => {
                let at = self.find(name)?;
                let mut metadata: HashMap<String, String> = self.fields[at].metadata().clone();
                match comment {
                    Some(comment) => drop(metadata.insert(DOC.to_owned(), comment.clone())),
                    None => drop(metadata.remove(DOC)),
                }
                self.fields[at] = self.fields[at].clone().with_metadata(metadata);
                Ok(())
            }
        }
    }

    fn find(&self, name: &str) -> Result<usize, Error> {
        let missing = || invalid(format!("column \"{name}\" of {} does not exist", self.state.table()));
        self.fields.iter().position(|f| f.name() == name).ok_or_else(missing)
    }

    /// Whether a name is free for a column of this type and id.
    ///
    /// A name that once stood for bytes can't stand for text: the reader decides by a column's name whether the bytes of a file are text, before it looks
    /// at ids.
    fn check_name(&self, name: &str, data_type: &DataType, id: Option<i32>) -> Result<(), Error> {
        if self.fields.iter().any(|f| f.name() == name) {
            return Err(invalid(format!("column \"{name}\" of {} already exists", self.state.table())));
        }
        let bytes = |t: &DataType| matches!(t, DataType::Binary);
        let plain = |t: &DataType| matches!(t, DataType::Binary | DataType::Utf8);
        for former in self.state.parts.metadata.schemas_iter() {
            let former = crate::table::schema::to_arrow(former)?;
            let Ok(field) = former.field_with_name(name) else { continue };
            let mixed = plain(data_type) && plain(field.data_type()) && bytes(data_type) != bytes(field.data_type());
            if mixed && field_id(field) != id {
                let message = format!("`{name}` was the name of a column of another type, which files of the table still have");
                return Err(invalid(message).with_hint("Choose another name, or make the table anew: CREATE TABLE … AS SELECT."));
            }
        }
        Ok(())
    }

    fn add(&mut self, field: &Field) -> Result<(), Error> {
        self.check_name(field.name(), field.data_type(), None)?;
        if !field.is_nullable() && self.state.view().live_rows() > 0 {
            let message = format!(
                "column \"{}\" of {} must not be NULL, and the rows that are there have none",
                field.name(),
                self.state.table()
            );
            return Err(invalid(message).with_hint("Add it without NOT NULL, UPDATE the rows, then ALTER COLUMN … SET NOT NULL."));
        }
        let plain = crate::table::schema::without_ids(field);
        let (numbered, last_id) = number(&vec![plain].into(), self.last_id);
        self.last_id = last_id;
        self.fields.extend(numbered);
        Ok(())
    }

    fn drop(&mut self, name: &str) -> Result<(), Error> {
        let at = self.find(name)?;
        let table = self.state.table();
        let used = if self.key.iter().any(|k| k == name) {
            Some("the primary key")
        } else if self.sort_order.iter().any(|(c, _)| c == name)
            || self.layout.iter().flat_map(Clustering::columns).any(|c| c == name)
        {
            Some("the layout")
        } else if !self.state.transforms_of(field_id(&self.fields[at])).is_empty() {
            Some("the partitions of its files")
        } else {
            None
        };
        if let Some(used) = used {
            return Err(invalid(format!("column \"{name}\" of {table} can't be dropped: it is part of {used}")));
        }
        if self.fields.len() == 1 {
            return Err(invalid(format!("column \"{name}\" is the only one of {table}")).with_hint("Drop the table."));
        }
        self.fields.remove(at);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let at = self.find(from)?;
        let field = self.fields[at].clone();
        self.check_name(to, field.data_type(), field_id(&field))?;
        self.fields[at] = field.with_name(to);
        for name in self.key.iter_mut().chain(self.sort_order.iter_mut().map(|(name, _)| name)) {
            if name == from {
                to.clone_into(name);
            }
        }
        let renamed = |name: &String| if name == from { to.to_owned() } else { name.clone() };
        self.layout = self.layout.take().map(|layout| match layout {
            Clustering::Sort(by) => Clustering::Sort(by.iter().map(|(name, descending)| (renamed(name), *descending)).collect()),
            Clustering::Zorder(by) => Clustering::Zorder(by.iter().map(renamed).collect()),
        });
        Ok(())
    }

    fn retype(&mut self, name: &str, to: &DataType) -> Result<(), Error> {
        let at = self.find(name)?;
        let from = self.fields[at].data_type().clone();
        if !widens(&from, to) {
            let message = format!("column \"{name}\" of {} can't be turned from {from} into {to} in place", self.state.table());
            return Err(invalid(message).with_hint(
                "integer becomes bigint, real becomes double precision, numeric gets more digits before the point. Else add a column of the new type, UPDATE it, and drop the old one.",
            ));
        }
        let by = self.state.transforms_of(field_id(&self.fields[at]));
        if from != *to && by.iter().any(|t| matches!(t, Transform::Identity | Transform::Truncate(_))) {
            let message =
                format!("column \"{name}\" of {} can't be widened: its files are partitioned by its values", self.state.table());
            return Err(invalid(message).with_hint("Copy the table: CREATE TABLE … PARTITIONED BY (…) AS SELECT."));
        }
        self.fields[at] = self.fields[at].clone().with_data_type(to.clone());
        Ok(())
    }
}

/// Whether files with the one type can be read as the other, by the Iceberg specification.
fn widens(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64) => true,
        (DataType::Decimal128(p, s), DataType::Decimal128(wider, scale)) => s == scale && wider >= p,
        (from, to) => from == to,
    }
}

/// The description of a column.
pub fn column_comment(field: &Field) -> Option<&str> {
    field.metadata().get(DOC).map(String::as_str)
}

impl TableState {
    /// The description of the table.
    pub fn comment(&self) -> Option<&str> {
        self.property(COMMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_that_files_can_be_read_as_are_wider() {
        let decimal = DataType::Decimal128;
        for (from, to, fits) in [
            (DataType::Int32, DataType::Int64, true),
            (DataType::Int64, DataType::Int32, false),
            (DataType::Float32, DataType::Float64, true),
            (decimal(10, 2), decimal(12, 2), true),
            (decimal(10, 2), decimal(12, 3), false),
            (DataType::Int32, DataType::Utf8, false),
            (DataType::Date32, DataType::Date32, true),
        ] {
            assert_eq!(widens(&from, &to), fits, "{from} {to}");
        }
    }
}
