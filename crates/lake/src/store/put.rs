//! Puts on an object store, of which it is known afterwards that they happened.

use super::Store;
use crate::{Error, error::Kind};
use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, path::Path};
use std::{sync::atomic::Ordering, time::Duration};

/// How often a file is put where it did not arrive.
const TRIES: u32 = 4;
/// How often it is asked whether a file is there.
const LOOKS: u32 = 3;
/// What takes longer than this is not tried again: the store's own client has tried for as long.
const PATIENCE: Duration = Duration::from_secs(15);

impl Store {
    /// Puts a new file and looks whether it is there.
    ///
    /// The put is conditional: it never replaces a file. So where the answer to a first try is lost, a second one is told that the file exists; it
    /// is ours then if it holds what we wrote. What a commit names must be there, so that the store says "done" is not enough.
    pub(super) async fn put_new(&self, path: &Path, bytes: &Bytes) -> Result<(), Error> {
        let mut last = None;
        let began = self.inner.clock.monotonic();
        let is_late = || self.inner.clock.monotonic().saturating_sub(began) > PATIENCE;
        for _ in 0..TRIES {
            let conditional = self.inner.conditional_puts.load(Ordering::Relaxed);
            let mode = if conditional { PutMode::Create } else { PutMode::Overwrite };
            let options = PutOptions { mode, ..PutOptions::default() };
            match self.inner.objects.put_opts(path, bytes.clone().into(), options).await {
                Ok(_) => {}
                Err(object_store::Error::AlreadyExists { .. }) => return self.is_ours(path, bytes).await,
                Err(error) if conditional && knows_no_conditions(&error) => {
                    tracing::warn!("the object store knows no conditional puts: files are put without");
                    self.inner.conditional_puts.store(false, Ordering::Relaxed);
                    continue;
                }
                Err(
                    error @ (object_store::Error::NotFound { .. }
                    | object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }),
                ) => return Err(self.failed("writing", path, error)),
                Err(error) => {
                    last = Some(self.failed("writing", path, error));
                    if is_late() {
                        break;
                    }
                }
            }
            // Also after an error: it may have been done, and only the answer was lost.
            if self.is_there(path, bytes.len() as u64).await {
                return Ok(());
            }
            if is_late() {
                break;
            }
        }
        Err(last.unwrap_or_else(|| self.vanished(path)))
    }

    /// Whether a file of this length is there.
    pub(super) async fn is_there(&self, path: &Path, length: u64) -> bool {
        let began = self.inner.clock.monotonic();
        for _ in 0..LOOKS {
            if self.inner.clock.monotonic().saturating_sub(began) > PATIENCE {
                break;
            }
            match self.inner.objects.head(path).await {
                Ok(found) if found.size == length => return true,
                // Stores and proxies forget a file for a moment.
                Ok(_) | Err(_) => {}
            }
        }
        false
    }

    async fn is_ours(&self, path: &Path, bytes: &Bytes) -> Result<(), Error> {
        if self.get(path).await? == *bytes {
            return Ok(());
        }
        let message = format!("{} exists already, with other content", self.location(path));
        Err(Error::new(Kind::Conflict, message)
            .with_hint("Another program writes into the warehouse under the same names. Give each lakebox a prefix of its own."))
    }

    pub(super) fn vanished(&self, path: &Path) -> Error {
        let message =
            format!("writing {} failed: the object store said it was done, but the file is not there", self.location(path));
        Error::new(Kind::Storage, message)
            .with_hint("Check the object store, or what is in front of it; the pipeline goes on by itself.")
    }
}

/// Whether the store refuses `If-None-Match` rather than the file.
fn knows_no_conditions(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => true,
        other => other.to_string().contains("<Code>NotImplemented</Code>"),
    }
}
