use super::{Store, durable};
use crate::{Error, error::Kind};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

const LOCK_FILE: &str = ".lakebox.lock";

/// Holds a local warehouse for this process; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct WarehouseLock {
    _file: Option<File>,
}

impl WarehouseLock {
    /// Takes the warehouse. A bucket has no such lock: there the catalog's compare-and-set alone keeps two writers apart.
    pub(crate) fn take(store: &Store) -> Result<Self, Error> {
        let Some(directory) = store.directory() else { return Ok(Self { _file: None }) };
        let path = directory.join(LOCK_FILE);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|e| durable::failed("opening", &path, e))?;
        match file.try_lock() {
            Ok(()) => {
                let pid = std::process::id().to_string();
                let write = || file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
                let mut write = write;
                write().map_err(|e| durable::failed("writing", &path, e))?;
                Ok(Self { _file: Some(file) })
            }
            Err(TryLockError::WouldBlock) => Err(in_use(directory, &mut file)),
            Err(TryLockError::Error(e)) => Err(durable::failed("locking", &path, e)),
        }
    }
}

fn in_use(directory: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    let holder = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("another lakebox (process {})", pid.trim()),
        _ => "another lakebox".to_owned(),
    };
    Error::new(Kind::InUse, format!("{holder} already runs on the lake {}", directory.display()))
        .with_hint("Stop that process first, or give this one a `lake.warehouse` and `lake.catalog` of its own.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[tokio::test]
    async fn a_second_lakebox_on_the_same_lake_is_told_who_holds_it_and_where() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), &BTreeMap::new()).await.unwrap();
        let first = WarehouseLock::take(&store).unwrap();
        let error = WarehouseLock::take(&store).unwrap_err();
        assert_eq!(error.kind, Kind::InUse);
        assert!(error.message.contains(&std::process::id().to_string()), "{error}");
        assert!(error.message.contains(store.directory().unwrap().to_str().unwrap()), "{error}");
        drop(first);
        assert!(WarehouseLock::take(&store).is_ok());
    }
}
