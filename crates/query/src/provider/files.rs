use super::{
    origin::{FileOrigin, Origin},
    stats::{file_statistics, live_rows},
};
use arrow::datatypes::Schema;
use datafusion::datasource::{
    listing::PartitionedFile,
    physical_plan::{FileGroup, parquet::ParquetRowSelection},
};
use lake::ViewFile;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringBitmap;
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

/// Which rows of a file of `rows` rows to read: all but the deleted ones.
pub(super) fn selection(deleted: &RoaringBitmap, rows: u64) -> RowSelection {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut selectors = Vec::new();
    let mut next = 0;
    let mut skip = 0;
    for position in deleted.iter().map(|p| p as usize).take_while(|p| *p < rows) {
        if position > next {
            if skip > 0 {
                selectors.push(RowSelector::skip(skip));
            }
            selectors.push(RowSelector::select(position - next));
            skip = 0;
        }
        skip += 1;
        next = position + 1;
    }
    if skip > 0 {
        selectors.push(RowSelector::skip(skip));
    }
    if next < rows {
        selectors.push(RowSelector::select(rows - next));
    }
    RowSelection::from(selectors)
}

/// Only `wanted` of a file of `rows` rows.
fn selection_of(wanted: &RoaringBitmap, rows: u64) -> RowSelection {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut selectors = Vec::new();
    let mut next = 0;
    for position in wanted.iter().map(|p| p as usize).take_while(|p| *p < rows) {
        if position > next {
            selectors.push(RowSelector::skip(position - next));
        }
        selectors.push(RowSelector::select(1));
        next = position + 1;
    }
    if next < rows {
        selectors.push(RowSelector::skip(rows - next));
    }
    RowSelection::from(selectors)
}

/// A file to read.
#[derive(Debug)]
pub(super) struct ChosenFile {
    pub file: ViewFile,
    /// The rows to read, none of them deleted; all that are not deleted where nothing is said.
    pub rows: Option<RoaringBitmap>,
}

impl From<ViewFile> for ChosenFile {
    fn from(file: ViewFile) -> Self {
        Self { file, rows: None }
    }
}

/// A file with its statistics and, where rows are deleted, the rows to read.
fn partitioned(file: &ChosenFile, schema: &Schema, origin: &Arc<Origin>) -> PartitionedFile {
    let ChosenFile { file, rows } = file;
    let out = PartitionedFile::new("", file.bytes);
    let out = PartitionedFile { object_meta: object_store::ObjectMeta { location: file.path.clone(), ..out.object_meta }, ..out };
    let of = FileOrigin { scan: Arc::clone(origin), stats: Arc::clone(&file.stats) };
    let out = out.with_extension(of);
    if let Some(rows) = rows {
        // Without statistics: nothing is to be ruled out.
        return out.with_extension(ParquetRowSelection::new(selection_of(rows, file.rows)));
    }
    let out = out.with_statistics(Arc::new(file_statistics(file, schema)));
    match file.deleted.as_ref().filter(|d| !d.is_empty()) {
        Some(deleted) => out.with_extension(ParquetRowSelection::new(selection(deleted, file.rows))),
        None => out,
    }
}

/// `files` in at most `partitions` groups of about equal bytes. Groups keep the order of `files`; DataFusion then splits large files by row
/// groups where that makes more of the groups equal.
pub(super) fn groups(files: &[ChosenFile], schema: &Schema, partitions: usize, origin: &Arc<Origin>) -> Vec<FileGroup> {
    let partitions = partitions.clamp(1, files.len().max(1));
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|&i| Reverse(files[i].file.bytes));
    let mut members = vec![Vec::new(); partitions];
    let mut lightest: BinaryHeap<_> = (0..partitions).map(|group| Reverse((0_u64, group))).collect();
    for i in order {
        let Some(Reverse((bytes, group))) = lightest.pop() else { break };
        members[group].push(i);
        lightest.push(Reverse((bytes + files[i].file.bytes.max(1), group)));
    }
    members
        .into_iter()
        .filter(|m| !m.is_empty())
        .map(|mut group| {
            group.sort_unstable();
            FileGroup::new(group.into_iter().map(|i| partitioned(&files[i], schema, origin)).collect())
        })
        .collect()
}

/// As many files from the front as hold `limit` visible rows.
pub(super) fn enough(files: Vec<ViewFile>, limit: usize) -> Vec<ViewFile> {
    let limit = limit as u64;
    let mut rows = 0;
    files
        .into_iter()
        .take_while(|file| {
            let wanted = rows < limit;
            rows += live_rows(file);
            wanted
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selected(selection: &RowSelection) -> Vec<u32> {
        let mut at = 0;
        let mut out = Vec::new();
        for selector in selection.iter() {
            let end = at + u32::try_from(selector.row_count).unwrap();
            if !selector.skip {
                out.extend(at..end);
            }
            at = end;
        }
        out
    }

    proptest! {
        #[test]
        fn a_selection_reads_exactly_the_rows_that_are_not_deleted(
            rows in 0_u32..200,
            deleted in proptest::collection::vec(0_u32..220, 0..120),
        ) {
            let deleted: RoaringBitmap = deleted.into_iter().collect();
            let selection = selection(&deleted, u64::from(rows));
            let kept: Vec<u32> = (0..rows).filter(|r| !deleted.contains(*r)).collect();
            prop_assert_eq!(selected(&selection), &kept[..]);
            let wanted: RoaringBitmap = kept.iter().copied().collect();
            prop_assert_eq!(selected(&selection_of(&wanted, u64::from(rows))), kept);
            let total: usize = selection.iter().map(|s| s.row_count).sum();
            prop_assert_eq!(total, rows as usize);
        }
    }

    fn file(name: &str, bytes: u64, rows: u64) -> ViewFile {
        ViewFile { path: name.into(), bytes, rows, deleted: None, stats: Arc::default(), sorted: false }
    }

    #[test]
    fn groups_are_balanced_by_bytes() {
        let files: Vec<ChosenFile> = [10, 90, 40, 30, 20].iter().map(|b| file(&format!("f{b}"), *b, 1).into()).collect();
        let origin = Arc::new(Origin { table: "silver.t".to_owned(), files: 5, bytes: 190, key_rows: None, all: Arc::default() });
        let groups = groups(&files, &Schema::empty(), 2, &origin);
        let bytes: Vec<u64> = groups.iter().map(|g| g.iter().map(|f| f.object_meta.size).sum()).collect();
        assert_eq!(bytes, [100, 90]);
    }

    #[test]
    fn a_limit_takes_only_as_many_files_as_it_needs() {
        let files = vec![file("a", 1, 5), file("b", 1, 5), file("c", 1, 5)];
        assert_eq!(enough(files.clone(), 5).len(), 1);
        assert_eq!(enough(files.clone(), 6).len(), 2);
        assert_eq!(enough(files, 100).len(), 3);
    }
}
