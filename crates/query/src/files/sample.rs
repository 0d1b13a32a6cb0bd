//! Bytes of files, unpacked.

use super::{Compression, options::Options, unreachable};
use crate::Error;
use bytes::Bytes;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};

/// The beginning of a file.
pub(super) struct Sample {
    pub bytes: Vec<u8>,
    /// Whether it is all of the file.
    pub whole: bool,
}

impl Sample {
    /// Its text without a byte order mark.
    pub(super) fn text(&self) -> &[u8] {
        self.bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(&self.bytes)
    }
}

/// How a file is packed.
pub(super) fn compression_of(file: &ObjectMeta, options: &Options) -> Option<Compression> {
    options.compression.unwrap_or_else(|| Compression::of_name(file.location.filename().unwrap_or_default()))
}

/// Unpacks bytes as they come.
pub(super) fn unpacked(
    bytes: BoxStream<'static, Result<Bytes, DataFusionError>>,
    compression: Option<Compression>,
) -> Result<BoxStream<'static, Result<Bytes, DataFusionError>>, DataFusionError> {
    let kind = match compression {
        None => return Ok(bytes),
        Some(Compression::Gzip) => FileCompressionType::GZIP,
        Some(Compression::Zstd) => FileCompressionType::ZSTD,
        Some(Compression::Bzip2) => FileCompressionType::BZIP2,
        Some(Compression::Xz) => FileCompressionType::XZ,
    };
    kind.convert_stream(bytes)
}

/// The first `bytes_max` bytes of a file, unpacked.
///
/// # Errors
/// Where the file can't be read or unpacked.
pub(super) async fn sample(
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    compression: Option<Compression>,
    bytes_max: usize,
    shown: &str,
) -> Result<Sample, Error> {
    let failed = |e: object_store::Error| unreachable(shown, e);
    let Some(compression) = compression else {
        if file.size == 0 {
            return Ok(Sample { bytes: Vec::new(), whole: true });
        }
        let end = file.size.min(bytes_max as u64);
        let options = GetOptions { range: Some(GetRange::Bounded(0..end)), ..GetOptions::default() };
        let bytes = store.get_opts(&file.location, options).await.map_err(failed)?.bytes().await.map_err(failed)?;
        return Ok(Sample { bytes: bytes.to_vec(), whole: end == file.size });
    };
    let packed = store.get(&file.location).await.map_err(failed)?.into_stream();
    let packed = packed.map_err(|e| DataFusionError::ObjectStore(Box::new(e))).boxed();
    let unpack = |e: DataFusionError| {
        Error::new(crate::Kind::Invalid, format!("{shown} can't be unpacked: {e}"))
            .with_hint("Check that the file is whole; `compression => 'none'` reads it as it is.")
    };
    let mut stream = unpacked(packed, Some(compression)).map_err(unpack)?;
    let mut bytes = Vec::new();
    while let Some(more) = stream.try_next().await.map_err(unpack)? {
        bytes.extend_from_slice(&more);
        if bytes.len() >= bytes_max {
            bytes.truncate(bytes_max);
            return Ok(Sample { bytes, whole: false });
        }
    }
    Ok(Sample { bytes, whole: true })
}
