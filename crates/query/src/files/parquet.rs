use super::{broken, unreachable};
use crate::Error;
use arrow::datatypes::SchemaRef;
use datafusion::{
    datasource::physical_plan::parquet::metadata::DFParquetMetadata, error::DataFusionError, execution::runtime_env::RuntimeEnv,
};
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::parquet_to_arrow_schema;
use std::sync::Arc;

/// The columns of a file and its rows, from its footer, which stays cached for the scan.
///
/// # Errors
/// Where the file can't be read or is no Parquet.
pub(super) async fn footer(
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    env: &Arc<RuntimeEnv>,
    shown: &str,
) -> Result<(SchemaRef, u64), Error> {
    let cache = env.cache_manager.get_file_metadata_cache();
    let metadata = DFParquetMetadata::new(store, file).with_file_metadata_cache(Some(cache)).fetch_metadata().await;
    let metadata = metadata.map_err(|e| failed(shown, e))?;
    let footer = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(footer.schema_descr(), footer.key_value_metadata());
    let schema = schema.map_err(|e| broken(shown, formats::Error::new(format!("its schema can't be read: {e}"))))?;
    Ok((Arc::new(schema), u64::try_from(footer.num_rows()).unwrap_or(0)))
}

fn failed(shown: &str, error: DataFusionError) -> Error {
    match error {
        DataFusionError::ObjectStore(store) => unreachable(shown, *store),
        other => {
            let text = other.strip_backtrace();
            let text = text.strip_prefix("Parquet error: ").unwrap_or(&text);
            broken(
                shown,
                formats::Error::new(format!("this is no Parquet file that can be read: {text}")).hint("Check that it is whole."),
            )
        }
    }
}
