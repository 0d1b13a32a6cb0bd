//! Iceberg tables outside of the warehouse, read as they are.

use super::readable;
use crate::{Error, Kind, Store, TableView, table::load};
use model::{LakeTable, Layer};
use std::sync::Arc;

/// The current snapshot of the table whose newest metadata is the file `metadata` of `store`. Paths in the view are relative to the store.
///
/// # Errors
/// Where a file can't be read, or the table has what lakebox does not read.
pub async fn read_elsewhere(store: &Store, metadata: &object_store::path::Path) -> Result<Arc<TableView>, Error> {
    let layer: Layer = "elsewhere".parse().map_err(|e| Error::new(Kind::Invalid, "the namespace has no name").with_source(e))?;
    let table = LakeTable::new(layer, "table");
    let location = store.location(metadata);
    let metadata = load::read_metadata(store, &location).await?;
    readable::check_contents(&table, &metadata)?;
    let pointer = load::Pointer { table: &table, writer: None, metadata_location: location };
    let state = load::assemble(store, pointer, metadata).await?;
    Ok(Arc::clone(state.view()))
}
