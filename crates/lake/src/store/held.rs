//! Files that are written and that no table names yet.

use object_store::path::Path;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// All files that are held, each with how often.
#[derive(Debug, Default)]
pub(super) struct Holding {
    files: Mutex<HashMap<Path, usize>>,
}

impl Holding {
    pub(super) fn all(&self) -> HashSet<Path> {
        self.files.lock().keys().cloned().collect()
    }
}

/// Keeps a file from being taken for an orphan while it lives: a first copy may write for hours before its one commit.
#[derive(Debug)]
pub(crate) struct Held {
    holding: Arc<Holding>,
    path: Path,
}

impl Held {
    pub(super) fn new(holding: &Arc<Holding>, path: &Path) -> Self {
        *holding.files.lock().entry(path.clone()).or_default() += 1;
        Self { holding: Arc::clone(holding), path: path.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut files = self.holding.files.lock();
        match files.get_mut(&self.path) {
            Some(times) if *times > 1 => *times -= 1,
            _ => drop(files.remove(&self.path)),
        }
    }
}
