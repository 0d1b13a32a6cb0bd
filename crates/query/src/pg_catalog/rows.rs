//! Rows of catalog tables: a template says which columns there are, and what is not given takes the value that means "nothing".

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float32Array, Int16Array, Int16Builder, Int32Array, Int64Array, ListBuilder, RecordBatch,
        RecordBatchOptions, StringArray, new_null_array,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::{MemTable, TableProvider},
    error::{DataFusionError, Result},
};
use std::{collections::HashMap, sync::Arc};

/// Columns by name.
pub(super) type Given = Vec<(&'static str, ArrayRef)>;

pub(super) fn texts<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(values.into_iter().map(|v| Some(v.as_ref().to_owned())).collect::<StringArray>())
}

pub(super) fn ints(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub(super) fn longs(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(super) fn shorts(values: impl IntoIterator<Item = i16>) -> ArrayRef {
    Arc::new(Int16Array::from_iter_values(values))
}

pub(super) fn floats(values: impl IntoIterator<Item = f32>) -> ArrayRef {
    Arc::new(Float32Array::from_iter_values(values))
}

pub(super) fn bools(values: impl IntoIterator<Item = bool>) -> ArrayRef {
    Arc::new(values.into_iter().map(Some).collect::<BooleanArray>())
}

/// Texts that are not there.
pub(super) fn nulls(rows: usize) -> ArrayRef {
    new_null_array(&DataType::Utf8, rows)
}

/// Lists of column numbers.
pub(super) fn numbers(values: impl IntoIterator<Item = Vec<i16>>) -> ArrayRef {
    let mut out = ListBuilder::new(Int16Builder::new());
    for value in values {
        out.append_value(value.into_iter().map(Some));
    }
    Arc::new(out.finish())
}

/// A table of the given columns.
pub(super) fn table(given: Given) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> = given.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    provide(Arc::new(Schema::new(fields)), given.into_iter().map(|(_, array)| array).collect())
}

/// A table with the template's columns in its order. What is given takes the place of the column of its name, or comes after the template's.
pub(super) fn filled(template: &Schema, rows: usize, given: Given) -> Result<Arc<dyn TableProvider>> {
    let order: Vec<&'static str> = given.iter().map(|(name, _)| *name).collect();
    let mut given: HashMap<&str, ArrayRef> = given.into_iter().collect();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for field in template.fields() {
        let column = given.remove(field.name().as_str()).unwrap_or_else(|| nothing(field.data_type(), rows));
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    for name in order {
        if let Some(column) = given.remove(name) {
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
    }
    provide(Arc::new(Schema::new(fields)), columns)
}

/// The value that means nothing: zero, false, NULL.
fn nothing(data_type: &DataType, rows: usize) -> ArrayRef {
    match data_type {
        DataType::Int16 => shorts(std::iter::repeat_n(0, rows)),
        DataType::Int32 => ints(std::iter::repeat_n(0, rows)),
        DataType::Int64 => longs(std::iter::repeat_n(0, rows)),
        DataType::Float32 => floats(std::iter::repeat_n(0.0, rows)),
        DataType::Boolean => bools(std::iter::repeat_n(false, rows)),
        other => new_null_array(other, rows),
    }
}

/// Columns that hold lists in PostgreSQL, none of which has a value here: rights, options and settings.
fn is_list(name: &str) -> bool {
    name.ends_with("acl")
        || name.ends_with("options")
        || matches!(name, "setconfig" | "rolconfig" | "proconfig" | "extconfig" | "useconfig" | "evttags")
}

/// Lists where PostgreSQL has lists: functions over them would not take text.
fn listed(fields: &mut [Field], columns: &mut [ArrayRef]) {
    for (field, column) in fields.iter_mut().zip(columns) {
        if is_list(field.name()) && *field.data_type() == DataType::Utf8 {
            let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
            *column = new_null_array(&list, column.len());
            *field = field.clone().with_data_type(list);
        }
    }
}

fn provide(schema: SchemaRef, mut columns: Vec<ArrayRef>) -> Result<Arc<dyn TableProvider>> {
    let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    listed(&mut fields, &mut columns);
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let rows = columns.first().map_or(0, |c| c.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options).map_err(DataFusionError::from)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// The batches as a table whose fields say nothing beyond name and type: hints for other programs would make equal types unequal in joins.
pub(super) fn plain(schema: &Schema, batches: &[RecordBatch]) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> = schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    let (mut first, mut columns) = (fields.clone(), fields.iter().map(|f| new_null_array(f.data_type(), 0)).collect::<Vec<_>>());
    listed(&mut first, &mut columns);
    let schema = Arc::new(Schema::new(first));
    let batches = batches.iter().map(|batch| {
        let (mut fields, mut columns) = (fields.clone(), batch.columns().to_vec());
        listed(&mut fields, &mut columns);
        RecordBatch::try_new(Arc::clone(&schema), columns)
    });
    let batches = batches.collect::<std::result::Result<Vec<_>, _>>().map_err(DataFusionError::from)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}
