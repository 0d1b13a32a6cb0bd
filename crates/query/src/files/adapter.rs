use super::merge::widened;
use crate::{
    Error, Kind,
    sql_types::{plain_type, sql_type_name},
};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    error::{DataFusionError, Result},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};
use std::sync::Arc;

/// Makes adapters for files whose columns have the table's types or narrower ones. A file with others is refused: to cast them could change values.
#[derive(Debug)]
pub(super) struct StrictAdapterFactory {
    /// Whether times may be held finer than the table has them, as the writers of Delta tables do.
    pub finer_times: bool,
}

impl StrictAdapterFactory {
    fn holds(&self, table: &DataType, file: &DataType) -> bool {
        let (table, file) = (plain_type(table), plain_type(file));
        match (&table, &file) {
            (DataType::Timestamp(..), DataType::Timestamp(..)) if self.finer_times => true,
            (DataType::Map(..), DataType::Map(..)) => true,
            (DataType::List(a), DataType::List(b)) => self.holds(a.data_type(), b.data_type()),
            (DataType::Struct(a), DataType::Struct(b)) => {
                b.iter().all(|f| a.iter().find(|t| t.name() == f.name()).is_none_or(|t| self.holds(t.data_type(), f.data_type())))
            }
            _ => widened(&table, &file).is_some_and(|wide| wide == table),
        }
    }
}

impl PhysicalExprAdapterFactory for StrictAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        for field in physical.fields() {
            let Ok(wanted) = logical.field_with_name(field.name()) else { continue };
            if !self.holds(wanted.data_type(), field.data_type()) {
                let (table, file) = (sql_type_name(wanted.data_type()), sql_type_name(field.data_type()));
                let message = format!("a file holds the column `{}` as {file}, which the table has as {table}", field.name());
                let hint = "Look at all files: sample_files => -1; or crawl the table again.";
                return Err(DataFusionError::External(Box::new(Error::new(Kind::Invalid, message).with_hint(hint))));
            }
        }
        DefaultPhysicalExprAdapterFactory.create(logical, physical)
    }
}
