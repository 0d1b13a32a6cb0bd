use super::{broken, unreachable};
use crate::Error;
use arrow::datatypes::SchemaRef;
use datafusion::{
    datasource::physical_plan::parquet::metadata::DFParquetMetadata, error::DataFusionError, execution::runtime_env::RuntimeEnv,
};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::parquet_to_arrow_schema;
use std::sync::Arc;

/// Bytes at the end of a file: the length of its footer, and the magic word.
const TAIL: u64 = 8;
const MAGIC: &[u8] = b"PAR1";

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
    check_tail(store, file, shown).await?;
    let cache = env.cache_manager.get_file_metadata_cache();
    let metadata = DFParquetMetadata::new(store, file).with_file_metadata_cache(Some(cache)).fetch_metadata().await;
    let metadata = metadata.map_err(|e| failed(shown, e))?;
    let footer = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(footer.schema_descr(), footer.key_value_metadata());
    let schema = schema.map_err(|e| broken(shown, formats::Error::new(format!("its schema can't be read: {e}"))))?;
    Ok((Arc::new(schema), u64::try_from(footer.num_rows()).unwrap_or(0)))
}

/// Checks that what the last bytes say fits the file: parquet 59.3 subtracts the length they name from the file's own without a look.
async fn check_tail(store: &dyn ObjectStore, file: &ObjectMeta, shown: &str) -> Result<(), Error> {
    let refused = |why: String| {
        broken(
            shown,
            formats::Error::new(format!("this is no Parquet file that can be read: {why}")).hint("Check that it is whole."),
        )
    };
    if file.size < TAIL + MAGIC.len() as u64 {
        return Err(refused(format!("{} bytes are too few", file.size)));
    }
    let tail = store.get_range(&file.location, file.size - TAIL..file.size).await.map_err(|e| unreachable(shown, e))?;
    let Some((length, MAGIC)) = tail.split_first_chunk::<4>() else {
        return Err(refused("it does not end with PAR1".to_owned()));
    };
    let length = u64::from(u32::from_le_bytes(*length));
    if length > file.size - TAIL {
        return Err(refused(format!("its footer would have {length} bytes, and the file has {}", file.size)));
    }
    Ok(())
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
