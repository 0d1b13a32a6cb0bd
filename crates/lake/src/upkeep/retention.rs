//! Which snapshots a table keeps. Pure.

use crate::{Error, commit::metadata::named};
use iceberg::spec::TableMetadata;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};

/// The table property that bounds how many snapshots are kept at all, for tables that are rewritten as a whole.
pub const SNAPSHOTS_KEPT_MOST: &str = "lakebox.snapshots-kept-most";
/// Iceberg's property for how many snapshots are kept however old they are.
const KEPT_LEAST: &str = "history.expire.min-snapshots-to-keep";
/// Iceberg's property for how old a snapshot may become, in milliseconds.
const AGE_MOST: &str = "history.expire.max-snapshot-age-ms";

/// How far back a table can be read as it was, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Every snapshot younger than this is kept.
    pub all: Duration,
    /// One for each hour is kept that is younger than this.
    pub hourly: Duration,
    /// One for each day is kept that is younger than this.
    pub daily: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Self { all: Duration::from_secs(600), hourly: hours(24), daily: hours(7 * 24) }
    }
}

/// One snapshot, as far as retention looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    id: i64,
    at_ms: i64,
    /// The current one, or one with a name.
    is_named: bool,
}

impl Retention {
    /// The snapshots that `metadata` may forget at `now_ms`.
    pub(crate) fn expired(&self, metadata: &TableMetadata, now_ms: i64) -> Result<Vec<i64>, Error> {
        let named = named(metadata)?;
        let known = metadata.snapshots().map(|s| Known {
            id: s.snapshot_id(),
            at_ms: s.timestamp_ms(),
            is_named: named.contains(&s.snapshot_id()),
        });
        let property = |name: &str| metadata.properties().get(name).and_then(|v| v.parse::<u64>().ok());
        let most = property(SNAPSHOTS_KEPT_MOST).and_then(|n| usize::try_from(n).ok());
        let least = property(KEPT_LEAST).and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
        let rule = match property(AGE_MOST) {
            // Who sets Iceberg's own property wants Iceberg's own rule.
            Some(ms) => Self { all: Duration::from_millis(ms), hourly: Duration::ZERO, daily: Duration::ZERO },
            None => *self,
        };
        Ok(rule.choose(known.collect(), now_ms, least, most))
    }

    fn choose(&self, mut known: Vec<Known>, now_ms: i64, least: usize, most: Option<usize>) -> Vec<i64> {
        known.sort_by_key(|s| std::cmp::Reverse((s.at_ms, s.id)));
        let mut hours = HashSet::new();
        let mut days = HashSet::new();
        let mut kept = 0;
        let mut expired = Vec::new();
        for snapshot in known {
            let age = Duration::from_millis(u64::try_from(now_ms - snapshot.at_ms).unwrap_or(0));
            // The last one of each hour and day stands for it.
            let hourly = age < self.hourly && hours.insert(snapshot.at_ms.div_euclid(3_600_000));
            let daily = age < self.daily && days.insert(snapshot.at_ms.div_euclid(86_400_000));
            let wanted = age < self.all || hourly || daily || kept < least;
            if snapshot.is_named || (wanted && most.is_none_or(|most| kept < most)) {
                kept += 1;
            } else {
                expired.push(snapshot.id);
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn every_minute(count: i64) -> Vec<Known> {
        (0..count).map(|i| Known { id: i, at_ms: i * MINUTE, is_named: i == count - 1 }).collect()
    }

    #[test]
    fn history_grows_coarser_with_age() {
        let count = 20 * 24 * 60;
        let expired: HashSet<i64> =
            Retention::default().choose(every_minute(count), (count - 1) * MINUTE, 1, None).into_iter().collect();
        let kept: Vec<i64> = (0..count).filter(|id| !expired.contains(id)).collect();
        assert_eq!(kept.iter().filter(|id| **id >= count - 10).count(), 10, "the last ten minutes");
        assert_eq!(kept.iter().filter(|id| **id >= count - 24 * 60).count(), 10 + 23, "an hour each before");
        assert_eq!(kept.len(), 10 + 23 + 6, "a day each before");
        // What stands for an hour now stands for it later, too: nothing that was kept for its hour makes room for another.
        let later: HashSet<i64> =
            Retention::default().choose(every_minute(count), (count + 30) * MINUTE, 1, None).into_iter().collect();
        assert!(expired.iter().all(|id| later.contains(id)));
    }

    #[test]
    fn bounds_hold_and_named_snapshots_stay() {
        let rule = Retention { all: Duration::ZERO, hourly: Duration::ZERO, daily: Duration::ZERO };
        let mut known = every_minute(10);
        known[2].is_named = true;
        assert_eq!(rule.choose(known.clone(), 600 * MINUTE, 1, None), [8, 7, 6, 5, 4, 3, 1, 0]);
        assert_eq!(rule.choose(known.clone(), 600 * MINUTE, 4, None), [5, 4, 3, 1, 0]);
        assert_eq!(Retention::default().choose(known, 10 * MINUTE, 1, Some(3)), [6, 5, 4, 3, 1, 0]);
    }
}
