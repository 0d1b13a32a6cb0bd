use super::{Counters, Store, durable};
use crate::Error;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, path::Path};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};
use tokio::runtime::Handle;

/// Bytes of one part of a multipart upload; every store accepts this size.
const PART_BYTES: usize = 8 << 20;

/// A new file, written front to back from a thread that may block.
///
/// On a local disk bytes go straight into the file; on object stores a small file is one put and a large one goes up in parts while it is
/// written, so memory stays bounded. Dropping it without [`FileSink::finish`] leaves at most an orphan that no metadata names.
#[derive(Debug)]
pub struct FileSink {
    to: Target,
    written: u64,
}

#[derive(Debug)]
enum Target {
    Local { file: BufWriter<File>, path: PathBuf, counters: Arc<Counters> },
    Remote { store: Store, path: Path, buffer: Vec<u8>, upload: Option<Box<dyn MultipartUpload>>, runtime: Handle },
}

impl FileSink {
    pub(super) fn local(root: &FsPath, path: &Path, counters: Arc<Counters>) -> Result<Self, Error> {
        let path = durable::on_disk(root, path);
        durable::make_directory_of(root, &path)?;
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = opened.map_err(|e| durable::failed("creating", &path, e))?;
        Ok(Self { to: Target::Local { file: BufWriter::with_capacity(256 << 10, file), path, counters }, written: 0 })
    }

    pub(super) fn remote(store: Store, path: &Path) -> Result<Self, Error> {
        let runtime = Handle::try_current().map_err(|e| Error::bug("finding the async runtime to upload with", e))?;
        Ok(Self { to: Target::Remote { store, path: path.clone(), buffer: Vec::new(), upload: None, runtime }, written: 0 })
    }

    /// An error of writing, told of the file it is.
    pub(super) fn failed(&self, error: io::Error) -> Error {
        match &self.to {
            Target::Local { path, .. } => durable::failed("writing", path, error),
            Target::Remote { store, path, .. } => store.write_failed(path, error),
        }
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes what is left and syncs the file; nothing may be written after it. Its directory entry is made durable by [`super::Store::sync_directories_of`].
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub fn finish(&mut self) -> Result<u64, Error> {
        match &mut self.to {
            Target::Local { file, path, counters } => {
                file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|e| durable::failed("syncing", path, e))?;
                counters.wrote(1, self.written);
            }
            Target::Remote { store, path, buffer, upload, runtime } => {
                let rest = Bytes::from(std::mem::take(buffer));
                let (store, path, upload, length) = (store.clone(), path.clone(), upload.take(), self.written);
                runtime.block_on(async move {
                    match upload {
                        None => store.put_new(&path, &rest).await,
                        Some(upload) => complete(&store, &path, upload, rest, length).await,
                    }
                })?;
            }
        }
        Ok(self.written)
    }
}

/// Sends the last part and joins all. What counts is whether the file is there then: the answer may be lost, or wrong.
async fn complete(
    store: &Store,
    path: &Path,
    mut upload: Box<dyn MultipartUpload>,
    rest: Bytes,
    length: u64,
) -> Result<(), Error> {
    let joined = match upload.put_part(rest.into()).await {
        Ok(()) => upload.complete().await.map(|_| ()),
        Err(error) => {
            give_up(&mut upload).await;
            return Err(store.failed("writing", path, error));
        }
    };
    if store.is_there(path, length).await {
        return Ok(());
    }
    give_up(&mut upload).await;
    Err(joined.map_or_else(|error| store.failed("writing", path, error), |()| store.vanished(path)))
}

/// Has the store forget the parts, which cost money until then. Where that fails, a lifecycle rule of the bucket must.
async fn give_up(upload: &mut Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::debug!(%error, "an unfinished upload could not be given up");
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Target::Local { file, .. } => file.write_all(bytes)?,
            Target::Remote { store, path, buffer, upload, runtime } => {
                buffer.extend_from_slice(bytes);
                if buffer.len() >= PART_BYTES {
                    let (part, objects) = (PutPayload::from(std::mem::take(buffer)), store.objects());
                    let send = async {
                        let parts = match upload {
                            Some(parts) => parts,
                            None => upload.insert(objects.put_multipart(path).await?),
                        };
                        let sent = parts.put_part(part).await;
                        if sent.is_err() {
                            give_up(parts).await;
                        }
                        sent
                    };
                    runtime.block_on(send).map_err(io::Error::other)?;
                }
            }
        }
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Target::Local { file, .. } => file.flush(),
            Target::Remote { .. } => Ok(()),
        }
    }
}
