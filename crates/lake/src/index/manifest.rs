use super::error::IndexError;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "manifest";

/// What an index on disk consists of. Replaced as a whole, so a crash leaves the former one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Which keys these are; another signature makes the index worthless.
    pub signature: String,
    /// The table's snapshot after the last commit whose rows are in the runs.
    pub snapshot_id: Option<i64>,
    /// File names of the runs, oldest first. They hold committed rows only.
    pub runs: Vec<String>,
    /// Data files, by ordinal, whose rows are all in the runs.
    pub files: BTreeMap<u32, String>,
    /// The next ordinal. Ordinals are never used twice.
    pub next_file: u32,
}

impl Manifest {
    /// Reads the manifest of `dir`; none where there is no index yet.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, IndexError> {
        let path = dir.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(IndexError::io(&path, "read", e)),
        };
        let parts = bytes.iter().position(|&b| b == b'\n').map(|end| (&bytes[..end], &bytes[end + 1..]));
        let Some((sum, body)) = parts else { return Err(IndexError::corrupt(&path, "it is cut short")) };
        if sum != format!("{:016x}", xxh3_64(body)).as_bytes() {
            return Err(IndexError::corrupt(&path, "it does not match its checksum"));
        }
        serde_json::from_slice(body).map(Some).map_err(|e| IndexError::corrupt(&path, &e.to_string()))
    }

    /// Makes this the manifest of `dir`. Durable when it returns.
    pub(crate) fn store(&self, dir: &Path) -> Result<(), IndexError> {
        let (path, fresh) = (dir.join(NAME), dir.join("manifest.new"));
        let body = serde_json::to_vec(self).map_err(|e| IndexError::io(&fresh, "encode", e.into()))?;
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(format!("{:016x}\n", xxh3_64(&body)).as_bytes())?;
            file.write_all(&body)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|e| IndexError::io(&path, "write", e))?;
        sync_dir(dir)
    }

    /// Removes every file of `dir` that this manifest does not name.
    pub(crate) fn sweep(&self, dir: &Path) -> Result<(), IndexError> {
        let io = |e| IndexError::io(dir, "clean", e);
        for entry in fs::read_dir(dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let named = name == NAME || self.runs.iter().any(|run| name == run.as_str());
            if !named {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<(), IndexError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(IndexError::io(path, "remove", e)),
        _ => Ok(()),
    }
}

/// Makes names created or removed in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), IndexError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| IndexError::io(dir, "sync", e))
}
