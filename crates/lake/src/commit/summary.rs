//! The summary of a snapshot, under Iceberg's keys.

use super::{plan::Plan, rewrite::Files};
use crate::table::deletes::{EncodedDeletes, NewDeletes};
use iceberg::spec::{DataFile, DataFileFormat, Operation};
use std::collections::{BTreeMap, HashMap};

/// The operation that a plan amounts to.
pub(super) fn operation(plan: &Plan, new_deletes: &[EncodedDeletes]) -> Operation {
    if plan.moves {
        Operation::Replace
    } else if !plan.overwrites && new_deletes.is_empty() {
        Operation::Append
    } else if plan.appended.is_empty() {
        Operation::Delete
    } else {
        Operation::Overwrite
    }
}

/// Bytes of deletes. Vectors count alone, as other engines count them: several are in one file.
fn delete_bytes(file: &DataFile) -> u64 {
    file.content_size_in_bytes().map_or(file.file_size_in_bytes(), i64::unsigned_abs)
}

/// Counts of a snapshot; keys that stay zero are left out, but for totals.
#[derive(Debug, Default)]
pub(super) struct Counts {
    changes: BTreeMap<&'static str, u64>,
    totals: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn of(plan: &Plan, new_deletes: &[EncodedDeletes]) -> Self {
        let count = |n: usize| n as u64;
        let is_vector = |file: &DataFile| file.file_format() == DataFileFormat::Puffin;
        let added: Vec<&DataFile> = new_deletes.iter().flat_map(|d| &d.entries).map(|e: &NewDeletes| &e.file).collect();
        let removed: Vec<&DataFile> = plan.removed_deletes.iter().map(|d| &d.entry.data_file).collect();
        let vectors = |all: &[&DataFile]| count(all.iter().filter(|f| is_vector(f)).count());
        let added_delete_bytes: u64 = added.iter().map(|f| delete_bytes(f)).sum();
        let removed_delete_bytes: u64 = removed.iter().map(|f| delete_bytes(f)).sum();
        let changes = BTreeMap::from([
            ("added-data-files", count(plan.appended.len())),
            ("added-records", plan.appended.iter().map(|(w, _)| w.rows).sum()),
            ("added-files-size", plan.appended.iter().map(|(w, _)| w.bytes).sum::<u64>() + added_delete_bytes),
            ("deleted-data-files", count(plan.removed.len())),
            ("deleted-records", plan.removed.iter().map(|f| f.view.rows).sum()),
            ("removed-files-size", plan.removed.iter().map(|f| f.view.bytes).sum::<u64>() + removed_delete_bytes),
            ("added-delete-files", count(added.len())),
            ("added-position-delete-files", count(added.len()) - vectors(&added)),
            ("added-dvs", vectors(&added)),
            ("added-position-deletes", added.iter().map(|f| f.record_count()).sum()),
            ("removed-delete-files", count(removed.len())),
            ("removed-position-delete-files", count(removed.len()) - vectors(&removed)),
            ("removed-dvs", vectors(&removed)),
            ("removed-position-deletes", removed.iter().map(|f| f.record_count()).sum()),
        ]);
        Self { changes, totals: BTreeMap::new() }
    }

    pub(super) fn total(&mut self, files: &Files) {
        let delete_bytes: u64 = files.deletes.iter().map(|d| delete_bytes(&d.entry.data_file)).sum();
        self.totals = BTreeMap::from([
            ("total-data-files", files.data.len() as u64),
            ("total-records", files.data.iter().map(|f| f.view.rows).sum()),
            ("total-files-size", files.data.iter().map(|f| f.view.bytes).sum::<u64>() + delete_bytes),
            ("total-delete-files", files.deletes.len() as u64),
            ("total-position-deletes", files.deletes.iter().map(|d| d.entry.record_count()).sum()),
            ("total-equality-deletes", 0),
        ]);
    }

    /// All of it, with what the caller adds.
    pub(super) fn summary(&self, more: &BTreeMap<String, String>) -> HashMap<String, String> {
        let changes = self.changes.iter().filter(|(_, n)| **n > 0);
        let counts = changes.chain(&self.totals).map(|(key, n)| ((*key).to_owned(), n.to_string()));
        counts.chain(more.iter().map(|(k, v)| (k.clone(), v.clone()))).collect()
    }
}
