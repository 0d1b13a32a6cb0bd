//! Rows on their way into a table of a user.

use crate::{Error, Kind, RowStream};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{Schema, SchemaRef},
};
use futures::StreamExt;
use lake::SendableBatches;
use std::sync::Arc;

/// Where each column of a table comes from: a column of the rows by its place, or nowhere.
pub(crate) type Places = Vec<Option<usize>>;

/// A batch in the columns and types of a table.
pub(crate) fn fitted(batch: &RecordBatch, table: &SchemaRef, places: &[Option<usize>]) -> Result<RecordBatch, Error> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let column = |(field, place): (&Arc<arrow::datatypes::Field>, &Option<usize>)| -> Result<ArrayRef, Error> {
        let column = match place.and_then(|i| batch.columns().get(i)) {
            Some(column) => cast_with_options(column, field.data_type(), &strict).map_err(|e| {
                let e = Error::from(datafusion::error::DataFusionError::from(e));
                Error { message: format!("column {}: {}", field.name(), e.message), ..e }
            })?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::new(Kind::Invalid, format!("column {} must not be NULL", field.name())));
        }
        Ok(column)
    };
    let columns = table.fields().iter().zip(places).map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(table), columns, &options)
        .map_err(|e| Error::from(datafusion::error::DataFusionError::from(e)))
}

/// The rows of a query in the columns and types of a table.
pub(super) fn into_table(rows: RowStream, table: SchemaRef, places: Places) -> SendableBatches {
    Box::pin(rows.map(move |batch| fitted(&batch?, &table, &places).map_err(Into::into)))
}

/// The places of columns named in `columns`, or of the first ones where none is named.
pub(crate) fn places(table: &Schema, columns: &[String], given: usize) -> Result<Places, Error> {
    let named: Vec<&str> = match columns {
        [] => table.fields().iter().take(given).map(|f| f.name().as_str()).collect(),
        columns => columns.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = named.iter().find(|n| table.column_with_name(n).is_none()) {
        return Err(Error::new(Kind::UnknownColumn, format!("column `{unknown}` does not exist in the table")));
    }
    if named.len() != given {
        let message = format!("{given} values come for {} columns", named.len());
        return Err(Error::new(Kind::Invalid, message).with_hint("Name the columns in the order of the values."));
    }
    Ok(table.fields().iter().map(|f| named.iter().position(|n| n == f.name())).collect())
}
