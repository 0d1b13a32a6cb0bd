use crate::{Error, sql_types::plain_type};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder, UnionArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, SchemaRef},
};
use std::sync::Arc;

/// A batch in plain types, in several pieces where one would not fit 32-bit offsets.
pub(crate) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef, out: &mut Vec<RecordBatch>) -> Result<(), Error> {
    let columns: Result<Vec<ArrayRef>, Error> = batch.columns().iter().map(plain_array).collect();
    match columns {
        Ok(columns) => {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            out.push(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)?);
            Ok(())
        }
        Err(_) if batch.num_rows() > 1 => {
            let half = batch.num_rows() / 2;
            plain_batch(&batch.slice(0, half), schema, out)?;
            plain_batch(&batch.slice(half, batch.num_rows() - half), schema, out)
        }
        Err(error) => Err(error),
    }
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::from(datafusion::error::DataFusionError::from(error))
}

fn plain_array(array: &ArrayRef) -> Result<ArrayRef, Error> {
    if let DataType::Union(_, _) = array.data_type() {
        return union_text(array.as_union());
    }
    let plain = plain_type(array.data_type());
    if plain == *array.data_type() {
        return Ok(Arc::clone(array));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &plain, &strict).map_err(internal)
}

/// What `->` took out of a JSON document, as text: unions exist inside the engine only.
fn union_text(array: &UnionArray) -> Result<ArrayRef, Error> {
    let DataType::Union(fields, _) = array.data_type() else { return Ok(Arc::new(StringBuilder::new().finish())) };
    let mut children = std::collections::HashMap::new();
    for (id, _) in fields.iter() {
        let child = array.child(id);
        let text = match child.data_type() {
            DataType::Null => None,
            _ => Some(arrow::compute::cast(child, &DataType::Utf8).map_err(internal)?),
        };
        children.insert(id, text);
    }
    let mut out = StringBuilder::new();
    for row in 0..array.len() {
        let child = children.get(&array.type_id(row)).and_then(Option::as_ref).map(|c| c.as_string::<i32>());
        let at = array.value_offset(row);
        match child.filter(|c| c.is_valid(at)) {
            Some(child) => out.append_value(child.value(at)),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}
