//! Where rows of data files went that were rewritten.

use crate::view::ViewFile;
use arrow::datatypes::SchemaRef;
use object_store::path::Path;
use roaring::RoaringBitmap;
use std::{collections::HashMap, sync::Arc};

/// The row is in no new file: it was deleted before the files were rewritten.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Data files whose live rows were written anew into other files, row by row: deletes that still name an old place find the new one.
#[derive(Debug)]
pub(crate) struct Moved {
    old: HashMap<Path, OldFile>,
    /// New files in order, each with the number of the first of its rows, counted over all of them.
    new: Vec<(u32, ViewFile)>,
    /// The table's columns when they were read.
    schema: SchemaRef,
}

/// A file that was rewritten.
#[derive(Debug)]
pub(crate) struct OldFile {
    /// Rows that were deleted already when it was read.
    pub deleted: Option<Arc<RoaringBitmap>>,
    /// For every row its number over all new files, or [`NOWHERE`].
    pub to: Vec<u32>,
}

impl Moved {
    /// Rows of `old` files are now in `new` files.
    pub(crate) fn new(schema: SchemaRef, old: HashMap<Path, OldFile>, new: impl IntoIterator<Item = ViewFile>) -> Self {
        let mut first = 0;
        let new = new.into_iter().map(|file| {
            let at = first;
            first += file.rows as u32;
            (at, file)
        });
        Self { new: new.collect(), old, schema }
    }

    /// Whether the table still has the columns that it had when the files were read.
    pub(crate) fn is_of(&self, schema: &SchemaRef) -> bool {
        self.schema == *schema
    }

    /// The files that were rewritten.
    pub(crate) fn old(&self) -> impl Iterator<Item = &Path> {
        self.old.keys()
    }

    /// The files that rows went to, in order, with no row deleted.
    pub(crate) fn new_files(&self) -> impl Iterator<Item = &ViewFile> {
        self.new.iter().map(|(_, file)| file)
    }

    /// Which of the new files, and which row of it, a row of an old file is.
    pub(crate) fn place(&self, old: &Path, row: u32) -> Option<(usize, u32)> {
        let number = *self.old.get(old)?.to.get(row as usize)?;
        if number == NOWHERE {
            return None;
        }
        let file = self.new.partition_point(|(first, _)| *first <= number).checked_sub(1)?;
        Some((file, number - self.new[file].0))
    }

    /// Rows that are deleted in an old file by now and were not when it was read, as rows of new files. Nothing for a file that was not rewritten.
    pub(crate) fn carry(&self, old: &Path, deleted: &RoaringBitmap) -> Vec<(usize, RoaringBitmap)> {
        let Some(file) = self.old.get(old) else { return Vec::new() };
        let mut carried: Vec<(usize, RoaringBitmap)> = Vec::new();
        let fresh = file.deleted.as_deref().map_or_else(|| deleted.clone(), |before| deleted - before);
        let mut by_file: HashMap<usize, RoaringBitmap> = HashMap::new();
        for (at, row) in fresh.iter().filter_map(|row| self.place(old, row)) {
            by_file.entry(at).or_default().insert(row);
        }
        carried.extend(by_file);
        carried.sort_by_key(|(at, _)| *at);
        carried
    }

    /// The path of a new file.
    pub(crate) fn new_path(&self, at: usize) -> Option<&Path> {
        self.new.get(at).map(|(_, file)| &file.path)
    }

    /// Whether this file was rewritten.
    pub(crate) fn has(&self, old: &Path) -> bool {
        self.old.contains_key(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ViewFile {
        ViewFile { path: Path::from(path), bytes: 1, rows: 2, deleted: None, stats: Arc::default(), sorted: false }
    }

    #[test]
    fn rows_are_found_where_they_went() {
        let (a, b) = (Path::from("a"), Path::from("b"));
        let old = HashMap::from([
            (a.clone(), OldFile { deleted: Some(Arc::new(RoaringBitmap::from([1]))), to: vec![3, NOWHERE, 0] }),
            (b.clone(), OldFile { deleted: None, to: vec![2, 1] }),
        ]);
        let moved = Moved::new(Arc::new(arrow::datatypes::Schema::empty()), old, [file("x"), file("y")]);
        assert_eq!(moved.place(&a, 0), Some((1, 1)));
        assert_eq!(moved.place(&a, 1), None);
        assert_eq!(moved.place(&a, 2), Some((0, 0)));
        assert_eq!(moved.place(&a, 3), None, "a row that the file never had");
        assert_eq!(moved.place(&b, 0), Some((1, 0)));
        assert_eq!(moved.place(&Path::from("c"), 0), None);
        let carried = moved.carry(&a, &RoaringBitmap::from([0, 1, 2]));
        assert_eq!(carried, vec![(0, RoaringBitmap::from([0])), (1, RoaringBitmap::from([1]))]);
        assert_eq!(moved.new_path(1), Some(&Path::from("y")));
        assert!(moved.has(&b) && !moved.has(&Path::from("x")));
    }
}
