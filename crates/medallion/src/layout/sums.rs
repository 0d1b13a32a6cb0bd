//! What queries did to tables, by day, as the catalog keeps it.

use catalog::AccessRecord;
use model::LakeTable;
use query::{AccessKind, AccessSum, FilterKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of access that are told apart on one day; further ones are not kept.
const KINDS_PER_DAY_MOST: usize = 2000;

/// One day's key of a sum.
type Key = (i64, AccessKind);

/// Sums of some days, and which of them the catalog does not have yet.
#[derive(Debug, Default)]
pub(super) struct Sums {
    all: BTreeMap<Key, AccessSum>,
    dirty: BTreeSet<Key>,
}

impl Sums {
    /// Takes what the catalog has.
    pub(super) fn load(&mut self, records: Vec<AccessRecord>) {
        for record in records {
            if let Some((key, sum)) = parsed(&record) {
                self.all.entry(key).or_default().add(&sum);
            }
        }
    }

    /// Adds what queries of a day did.
    pub(super) fn add(&mut self, day: i64, accesses: Vec<(AccessKind, AccessSum)>) {
        let of_day = |all: &BTreeMap<Key, AccessSum>| all.keys().rev().take_while(|(d, _)| *d == day).count();
        let mut room = KINDS_PER_DAY_MOST.saturating_sub(of_day(&self.all));
        for (kind, sum) in accesses {
            let key = (day, kind);
            match self.all.get_mut(&key) {
                Some(known) => known.add(&sum),
                None if room > 0 => {
                    room -= 1;
                    self.all.insert(key.clone(), sum);
                }
                None => continue,
            }
            self.dirty.insert(key);
        }
    }

    /// What the catalog does not have yet. It is forgotten that it is not there.
    pub(super) fn unsaved(&mut self) -> Vec<AccessRecord> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.iter().filter_map(|key| record(key, self.all.get(key)?)).collect()
    }

    /// Lets go of days before `day`.
    pub(super) fn forget(&mut self, day: i64) {
        self.all.retain(|(d, _), _| *d >= day);
        self.dirty.retain(|(d, _)| *d >= day);
    }

    /// What queries did to each table from `day` on.
    pub(super) fn by_table(&self, day: i64) -> BTreeMap<String, Vec<(AccessKind, AccessSum)>> {
        let mut sums: BTreeMap<&AccessKind, AccessSum> = BTreeMap::new();
        for ((_, kind), sum) in self.all.iter().filter(|((d, _), _)| *d >= day) {
            sums.entry(kind).or_default().add(sum);
        }
        let mut tables: BTreeMap<String, Vec<(AccessKind, AccessSum)>> = BTreeMap::new();
        for (kind, sum) in sums {
            tables.entry(kind.table.clone()).or_default().push((kind.clone(), sum));
        }
        tables
    }
}

fn record((day, kind): &Key, sum: &AccessSum) -> Option<AccessRecord> {
    let table: LakeTable = kind.table.parse().ok()?;
    let columns: Vec<Value> = kind.columns.iter().map(|(name, how)| json!([name, how.as_str()])).collect();
    let sum = json!({"queries": sum.queries, "read_bytes": sum.read_bytes, "full_bytes": sum.full_bytes, "shares": sum.shares});
    Some(AccessRecord { day: *day, table, columns: Value::from(columns), sum })
}

fn parsed(record: &AccessRecord) -> Option<(Key, AccessSum)> {
    let column = |v: &Value| Some((v.get(0)?.as_str()?.to_owned(), FilterKind::parse(v.get(1)?.as_str()?)?));
    let columns = record.columns.as_array()?.iter().map(column).collect::<Option<Vec<_>>>()?;
    let number = |name: &str| record.sum.get(name)?.as_u64();
    let sum = AccessSum {
        queries: number("queries")?,
        read_bytes: number("read_bytes")?,
        full_bytes: number("full_bytes")?,
        shares: record.sum.get("shares")?.as_array()?.iter().filter_map(Value::as_f64).collect(),
    };
    Some(((record.day, AccessKind { table: record.table.to_string(), columns }), sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(table: &str, column: &str, read_bytes: u64) -> (AccessKind, AccessSum) {
        let kind = AccessKind { table: table.to_owned(), columns: vec![(column.to_owned(), FilterKind::Range)] };
        (kind, AccessSum { queries: 1, read_bytes, full_bytes: 100, shares: vec![0.25] })
    }

    #[test]
    fn sums_outlive_the_process_and_old_days_go() {
        let mut sums = Sums::default();
        sums.add(10, vec![access("silver.a", "x", 5), access("silver.a", "y", 7)]);
        sums.add(11, vec![access("silver.a", "x", 6)]);
        let saved = sums.unsaved();
        assert_eq!(saved.len(), 3);
        assert!(sums.unsaved().is_empty());
        let mut read = Sums::default();
        read.load(saved);
        assert_eq!(read.by_table(10), sums.by_table(10));
        assert_eq!(
            read.by_table(10)["silver.a"][0].1,
            AccessSum { queries: 2, read_bytes: 11, full_bytes: 200, shares: vec![0.5] }
        );
        read.add(11, vec![access("silver.a", "x", 1)]);
        assert_eq!(read.unsaved().len(), 1, "only what changed");
        read.forget(11);
        assert_eq!(read.by_table(0)["silver.a"].len(), 1);
    }
}
