//! How queries reach into tables: which columns they filter by, how much they read, and how much of it they needed. What an advisor goes by.
//!
//! A query is looked at once, when it has ended, and only as a sum per table and set of filtered columns; statements and values are not kept.

mod filters;
mod scan;

pub(crate) use filters::{Bounds, Filtered, filtered};
pub(crate) use scan::accesses;

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Kinds of access that are held until somebody takes them; further ones are dropped.
const KINDS_MOST: usize = 2000;
/// Filtered columns of a kind of access that are told apart.
pub(crate) const COLUMNS_MOST: usize = 6;

/// How a column is filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterKind {
    /// For single values: `=` and `IN`.
    Equality,
    /// For values from, to or between others.
    Range,
}

impl FilterKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equality => "equality",
            Self::Range => "range",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Equality, Self::Range].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A kind of access: a table, and the columns that queries filter it by. Columns are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKind {
    /// The table, as `layer.name`.
    pub table: String,
    /// The columns; empty where everything is read.
    pub columns: Vec<(String, FilterKind)>,
}

/// What queries of one kind did together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessSum {
    /// How many there were. A query that names a table twice counts twice.
    pub queries: u64,
    /// Bytes of data files that they read.
    pub read_bytes: u64,
    /// Bytes that they would have read if no file, row group or page had been skipped.
    pub full_bytes: u64,
    /// For each column of the kind, the share of the table's rows that its filter alone lets through, summed over the queries. Of ranges it is told
    /// from the files' bounds, of equality from the rows that passed all filters, as if columns did not depend on each other.
    pub shares: Vec<f64>,
}

impl AccessSum {
    /// Adds what others did.
    pub fn add(&mut self, other: &Self) {
        self.queries += other.queries;
        self.read_bytes += other.read_bytes;
        self.full_bytes += other.full_bytes;
        self.shares.resize(self.shares.len().max(other.shares.len()), 0.0);
        for (sum, share) in self.shares.iter_mut().zip(&other.shares) {
            *sum += share;
        }
    }
}

/// Sums of accesses that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    sums: Mutex<BTreeMap<AccessKind, AccessSum>>,
}

impl Accesses {
    /// Notes what one query did.
    pub(crate) fn note(&self, all: Vec<(AccessKind, AccessSum)>) {
        let mut sums = self.sums.lock();
        for (kind, sum) in all {
            let has_room = sums.len() < KINDS_MOST;
            match sums.get_mut(&kind) {
                Some(known) => known.add(&sum),
                None if has_room => drop(sums.insert(kind, sum)),
                None => {}
            }
        }
    }

    /// What was noted since the last time.
    pub(crate) fn take(&self) -> Vec<(AccessKind, AccessSum)> {
        std::mem::take(&mut *self.sums.lock()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_summed_and_their_number_is_bounded() {
        let accesses = Accesses::default();
        let kind = |n: usize| AccessKind { table: format!("silver.t{n}"), columns: vec![("a".into(), FilterKind::Equality)] };
        let sum = AccessSum { queries: 1, read_bytes: 10, full_bytes: 20, shares: vec![0.5] };
        accesses.note((0..KINDS_MOST + 5).map(|n| (kind(n), sum.clone())).collect());
        accesses.note(vec![(kind(0), sum)]);
        let taken = accesses.take();
        assert_eq!(taken.len(), KINDS_MOST);
        assert_eq!(taken[0].1, AccessSum { queries: 2, read_bytes: 20, full_bytes: 40, shares: vec![1.0] });
        assert!(accesses.take().is_empty());
    }
}
