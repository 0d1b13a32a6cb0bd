use super::{
    error::IndexError,
    run::{Entry, Run, RunCursor, RunWriter},
};
use std::{path::Path, sync::Arc};

/// Writes the entries of `runs` (oldest first) as one run at `path`, keeping the newest of every key.
pub(crate) fn merge(runs: &[Arc<Run>], path: &Path, wide: bool) -> Result<Run, IndexError> {
    let entries_max = runs.iter().map(|r| r.len()).sum();
    let mut writer = RunWriter::create(path, entries_max, wide)?;
    let mut heads = runs.iter().map(|r| Head::new(r.cursor())).collect::<Result<Vec<_>, _>>()?;
    while let Some(key) = heads.iter().filter_map(|h| h.entry).map(|(key, _)| key).min() {
        let mut newest = None;
        for head in &mut heads {
            if head.entry.is_some_and(|(k, _)| k == key) {
                newest = head.entry;
                head.entry = head.cursor.next()?;
            }
        }
        if let Some(entry) = newest {
            writer.push(entry)?;
        }
    }
    writer.finish()
}

struct Head<'a> {
    cursor: RunCursor<'a>,
    entry: Option<Entry>,
}

impl<'a> Head<'a> {
    fn new(mut cursor: RunCursor<'a>) -> Result<Self, IndexError> {
        let entry = cursor.next()?;
        Ok(Self { cursor, entry })
    }
}

/// Which runs to merge next, as a range that ends with the newest run, given their lengths oldest first.
///
/// Runs grow in tiers of `fan_in`: once `fan_in` runs of one tier stand at the young end, with nothing larger among them, they become one of
/// the next tier, and take smaller ones between them along. So an entry is rewritten about once per tier and runs stay few.
pub(crate) fn choose(lengths: &[usize], smallest: usize, fan_in: usize) -> Option<std::ops::Range<usize>> {
    let (mut below, mut most) = (0, smallest.max(1).saturating_mul(2));
    loop {
        let young = lengths.iter().rev().take_while(|&&length| length <= most).count();
        let window = lengths.len() - young..lengths.len();
        let of_tier = lengths[window.clone()].iter().filter(|&&length| length > below).count();
        if of_tier >= fan_in || young >= fan_in * 3 {
            return Some(window);
        }
        if young == lengths.len() {
            return None;
        }
        (below, most) = (most, most.saturating_mul(fan_in));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_keep_the_number_of_runs_small() {
        let cases: [(&[usize], Option<std::ops::Range<usize>>); 6] = [
            (&[], None),
            (&[10, 10, 10], None),
            (&[10, 10, 10, 10], Some(0..4)),
            (&[40, 10, 10, 10], None),
            (&[40, 10, 10, 10, 10], Some(1..5)),
            (&[160, 5, 40, 40, 40, 40], Some(1..6)),
        ];
        for (lengths, expected) in cases {
            assert_eq!(choose(lengths, 10, 4), expected, "{lengths:?}");
        }
    }

    #[test]
    fn a_long_life_never_has_many_runs() {
        let mut lengths = Vec::new();
        for _ in 0..10_000 {
            lengths.push(10);
            while let Some(range) = choose(&lengths, 10, 4) {
                let sum = lengths.drain(range).sum();
                lengths.push(sum);
            }
            assert!(lengths.len() <= 24, "{lengths:?}");
        }
    }
}
