//! The summary of a snapshot, under Iceberg's keys.

use super::{plan::Plan, rewrite::Files};
use crate::table::deletes::EncodedDeletes;
use iceberg::spec::Operation;
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

/// Counts of a snapshot; keys that stay zero are left out, but for totals.
#[derive(Debug, Default)]
pub(super) struct Counts {
    changes: BTreeMap<&'static str, u64>,
    totals: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn of(plan: &Plan, new_deletes: &[EncodedDeletes]) -> Self {
        let count = |n: usize| n as u64;
        let added_delete_bytes: u64 = new_deletes.iter().map(|d| d.file.file_size_in_bytes()).sum();
        let removed_delete_bytes: u64 = plan.removed_deletes.iter().map(|d| d.entry.file_size_in_bytes()).sum();
        let changes = BTreeMap::from([
            ("added-data-files", count(plan.appended.len())),
            ("added-records", plan.appended.iter().map(|(w, _)| w.rows).sum()),
            ("added-files-size", plan.appended.iter().map(|(w, _)| w.bytes).sum::<u64>() + added_delete_bytes),
            ("deleted-data-files", count(plan.removed.len())),
            ("deleted-records", plan.removed.iter().map(|f| f.view.rows).sum()),
            ("removed-files-size", plan.removed.iter().map(|f| f.view.bytes).sum::<u64>() + removed_delete_bytes),
            ("added-delete-files", count(new_deletes.len())),
            ("added-position-delete-files", count(new_deletes.len())),
            ("added-position-deletes", new_deletes.iter().map(|d| d.file.record_count()).sum()),
            ("removed-delete-files", count(plan.removed_deletes.len())),
            ("removed-position-delete-files", count(plan.removed_deletes.len())),
            ("removed-position-deletes", plan.removed_deletes.iter().map(|d| d.entry.record_count()).sum()),
        ]);
        Self { changes, totals: BTreeMap::new() }
    }

    pub(super) fn total(&mut self, files: &Files) {
        let delete_bytes: u64 = files.deletes.iter().map(|d| d.entry.file_size_in_bytes()).sum();
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
