//! Which data files queries of this process may still read.

use crate::LakeView;
use hashbrown::HashSet;
use object_store::path::Path;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Every view that was given out and that somebody still holds.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    views: Mutex<Vec<Weak<LakeView>>>,
}

impl Pins {
    /// Queries may get this view from now on.
    pub(crate) fn watch(&self, view: &Arc<LakeView>) {
        let mut views = self.views.lock();
        views.retain(|v| v.strong_count() > 0);
        views.push(Arc::downgrade(view));
    }

    /// Those of `paths` that no view has.
    pub(crate) fn unread(&self, paths: Vec<Path>) -> Vec<Path> {
        let mut left: HashSet<Path> = paths.into_iter().collect();
        let views: Vec<Arc<LakeView>> = self.views.lock().iter().filter_map(Weak::upgrade).collect();
        for view in views {
            for table in view.tables.values() {
                if left.is_empty() {
                    return Vec::new();
                }
                for file in table.files.iter() {
                    left.remove(&file.path);
                }
            }
        }
        left.into_iter().collect()
    }
}
