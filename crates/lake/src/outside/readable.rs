//! What a table must be like for lakebox to read it.

use crate::{Error, Kind, Store, table::schema};
use iceberg::spec::{FormatVersion, Schema, TableMetadata};
use model::{LakeTable, Layer};
use std::collections::HashMap;

/// Checks everything that the metadata alone can tell.
///
/// # Errors
/// [`Kind::Invalid`] or [`Kind::Schema`], with what can't be read and what to do instead.
pub(super) fn check(store: &Store, table: &LakeTable, metadata: &TableMetadata) -> Result<(), Error> {
    if metadata.format_version() == FormatVersion::V1 {
        let message = format!("{table} has Iceberg format version 1, and lakebox keeps tables of versions 2 and 3");
        return Err(Error::new(Kind::Invalid, message)
            .with_table(table)
            .with_hint("Leave the property `format-version` out, or set it to 2 or 3."));
    }
    location(store, table, metadata.location())?;
    columns(table, metadata)
}

/// As [`check`], for a table outside of the warehouse: wherever it is, lakebox only reads it.
///
/// # Errors
/// As [`check`].
pub(super) fn check_contents(table: &LakeTable, metadata: &TableMetadata) -> Result<(), Error> {
    columns(table, metadata)
}

fn columns(table: &LakeTable, metadata: &TableMetadata) -> Result<(), Error> {
    let typed = schema::to_arrow(metadata.current_schema());
    typed.map_err(|e| e.with_table(table).with_hint("Use another type for the column, for example text."))?;
    defaults(table, metadata.current_schema())?;
    inner_names(table, metadata)
}

/// A default says what a column is in rows of files that do not have it, and in new rows that leave it out. lakebox takes both for NULL.
fn defaults(table: &LakeTable, schema: &Schema) -> Result<(), Error> {
    let fields = schema.field_id_to_name_map().keys().filter_map(|id| schema.field_by_id(*id));
    match fields.into_iter().find(|f| f.initial_default.is_some() || f.write_default.is_some()) {
        None => Ok(()),
        Some(field) => {
            let message = format!("the column `{}` of {table} has a default value, which lakebox does not fill in", field.name);
            let hint = "Add the column without a default, and set it in the rows that are there.";
            Err(Error::new(Kind::Schema, message).with_table(table).with_hint(hint))
        }
    }
}

/// A location must be in the warehouse, and in nobody else's part of it.
pub(super) fn location(store: &Store, table: &LakeTable, location: &str) -> Result<(), Error> {
    let wrong = |what: &str| {
        let message = format!("the location `{location}` of {table} is {what}");
        let hint = format!("Leave the location out, or choose one under {}/{}.", store.root(), table.layer);
        Error::new(Kind::Invalid, message).with_table(table).with_hint(hint)
    };
    let path = store.path(location).map_err(|_| wrong("not inside the warehouse"))?;
    let first = path.parts().next().map(|p| p.as_ref().to_owned()).unwrap_or_default();
    let kept = Layer::ALL.iter().any(|l| l.as_str() == first) && first != table.layer.as_str();
    if kept || first.starts_with('.') || first.is_empty() || path.parts().count() < 2 {
        return Err(wrong("in a part of the warehouse that is lakebox's own"));
    }
    Ok(())
}

/// Columns are found in files by their ids, but what is inside of a struct is found by its name. So a field inside must have had one name and
/// one id since the table began.
fn inner_names(table: &LakeTable, metadata: &TableMetadata) -> Result<(), Error> {
    let mut name_of: HashMap<i32, String> = HashMap::new();
    let mut id_of: HashMap<String, i32> = HashMap::new();
    for schema in metadata.schemas_iter() {
        for (id, name) in inner(schema) {
            let other = name_of.insert(id, name.clone()).is_some_and(|n| n != name);
            if other || id_of.insert(name.clone(), id).is_some_and(|i| i != id) {
                let message = format!("the field `{name}` inside a column of {table} was renamed or made anew");
                return Err(Error::new(Kind::Schema, format!("{message}, and lakebox finds such fields by their names"))
                    .with_table(table)
                    .with_hint("Add a field of another name instead; columns themselves can be renamed."));
            }
        }
    }
    Ok(())
}

/// Fields inside of columns: their id, and their path from the column's id on.
fn inner(schema: &Schema) -> impl Iterator<Item = (i32, String)> + '_ {
    let columns: HashMap<&str, i32> = schema.as_struct().fields().iter().map(|f| (f.name.as_str(), f.id)).collect();
    schema.field_id_to_name_map().iter().filter_map(move |(id, name)| {
        let column = columns.iter().filter(|(c, _)| name.strip_prefix(**c).is_some_and(|rest| rest.starts_with('.')));
        let (column, column_id) = column.max_by_key(|(c, _)| c.len())?;
        Some((*id, format!("{column_id}{}", &name[column.len()..])))
    })
}
