//! What upkeep does next. Knows no lake and no clock.

use super::UpkeepSettings;
use lake::Step;
use model::LakeTable;
use std::collections::{BTreeMap, VecDeque};

/// The longest a table is left alone after failures.
const REST_MAX_US: i64 = 3_600_000_000;

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// The table; none for the whole warehouse.
    pub table: Option<LakeTable>,
    /// What is done.
    pub step: Step,
    /// Whether somebody asked for it.
    pub asked: bool,
    /// When it began, in microseconds since 1970.
    pub since_us: i64,
}

/// A ticket of [`super::Upkeep::request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked(pub u64);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    asked: VecDeque<(Asked, Option<LakeTable>, Step)>,
    last_ticket: u64,
    rests: BTreeMap<LakeTable, Rest>,
    expired_us: BTreeMap<LakeTable, i64>,
    orphans_us: Option<i64>,
    pub doing: Option<Doing>,
    /// The ticket of what was given out last.
    ticket: Option<Asked>,
}

/// Until when a table is left alone.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    until_us: i64,
    failures: u32,
}

impl Queue {
    /// Puts steps on a table, or on all, in line.
    pub(crate) fn ask(&mut self, tables: &[Option<LakeTable>], steps: &[Step]) -> Asked {
        self.last_ticket += 1;
        let ticket = Asked(self.last_ticket);
        for step in steps {
            match step {
                Step::Orphans => self.asked.push_back((ticket, None, *step)),
                _ => self.asked.extend(tables.iter().flatten().map(|table| (ticket, Some(table.clone()), *step))),
            }
        }
        ticket
    }

    /// Whether everything of a ticket is done.
    pub(crate) fn is_done(&self, ticket: Asked) -> bool {
        let under_way = self.doing.as_ref().and(self.ticket);
        under_way.is_none_or(|t| t > ticket) && self.asked.front().is_none_or(|(next, ..)| *next > ticket)
    }

    /// The next piece of work, of `tables` as they are now. `is_due` says whether a table has files worth to be rewritten.
    pub(crate) fn next(
        &mut self,
        settings: &UpkeepSettings,
        tables: &[LakeTable],
        is_due: impl Fn(&LakeTable) -> bool,
        now_us: i64,
    ) -> Option<Doing> {
        let doing = |table: Option<LakeTable>, step, asked| Some(Doing { table, step, asked, since_us: now_us });
        self.ticket = self.asked.front().map(|(ticket, ..)| *ticket);
        if let Some((_, table, step)) = self.asked.pop_front() {
            return doing(table, step, true);
        }
        let enabled: Vec<&LakeTable> = tables.iter().filter(|t| settings.policy_of(t).enabled).collect();
        self.rests.retain(|table, _| tables.contains(table));
        self.expired_us.retain(|table, _| tables.contains(table));
        let rested = |table: &LakeTable| self.rests.get(table).is_none_or(|rest| rest.until_us <= now_us);
        if let Some(table) = enabled.iter().find(|table| rested(table) && is_due(table)) {
            return doing(Some((*table).clone()), Step::Rewrite, false);
        }
        let every = micros(settings.expire_every);
        let due =
            enabled.iter().find(|table| rested(table) && now_us - self.expired_us.get(*table).copied().unwrap_or(0) >= every);
        if let Some(table) = due {
            self.expired_us.insert((*table).clone(), now_us);
            return doing(Some((*table).clone()), Step::Expire, false);
        }
        // Not at once: a start has better things to do.
        let since = *self.orphans_us.get_or_insert(now_us);
        if settings.enabled && now_us - since >= micros(settings.orphans_every) {
            self.orphans_us = Some(now_us);
            return doing(None, Step::Orphans, false);
        }
        None
    }

    /// A piece of work has ended.
    pub(crate) fn ended(&mut self, settings: &UpkeepSettings, doing: &Doing, ok: bool, now_us: i64) {
        let Some(table) = &doing.table else { return };
        let rest = self.rests.entry(table.clone()).or_default();
        rest.failures = if ok { 0 } else { rest.failures + 1 };
        let base = micros(settings.policy_of(table).policy.thresholds.rest);
        rest.until_us = match (doing.step, rest.failures) {
            (Step::Rewrite, 0) => now_us + base,
            (_, 0) => now_us,
            (_, n) => now_us + base.max(1_000_000).saturating_mul(1 << n.min(16)).min(REST_MAX_US),
        };
    }
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Layer;

    const SECOND: i64 = 1_000_000;

    fn table(name: &str) -> LakeTable {
        LakeTable::new(Layer::Silver, name)
    }

    fn next(queue: &mut Queue, due: &[&str], now_s: i64) -> Option<(Option<String>, Step)> {
        let settings = UpkeepSettings::default();
        let tables = [table("a"), table("b")];
        let doing = queue.next(&settings, &tables, |t| due.contains(&t.name.as_str()), now_s * SECOND)?;
        queue.ended(&settings, &doing, true, now_s * SECOND);
        Some((doing.table.map(|t| t.name), doing.step))
    }

    #[test]
    fn what_is_asked_for_comes_first_then_rewrites_then_expiry_then_orphans() {
        let mut queue = Queue::default();
        let some = |name: &str, step| Some((Some(name.to_owned()), step));
        assert_eq!(next(&mut queue, &["b"], 1000), some("b", Step::Rewrite));
        assert_eq!(next(&mut queue, &["b"], 1000), some("a", Step::Expire), "b rests after its rewrite");
        let ticket = queue.ask(&[Some(table("a")), Some(table("b"))], &[Step::Rewrite, Step::Orphans]);
        assert!(!queue.is_done(ticket));
        assert_eq!(next(&mut queue, &["b"], 1000), some("a", Step::Rewrite));
        assert_eq!(next(&mut queue, &["b"], 1000), some("b", Step::Rewrite));
        assert_eq!(next(&mut queue, &["b"], 1000), Some((None, Step::Orphans)));
        assert!(queue.is_done(ticket));
        assert_eq!(next(&mut queue, &[], 1011), some("b", Step::Expire));
        assert_eq!(next(&mut queue, &[], 1012), None);
        assert_eq!(next(&mut queue, &[], 1061), some("a", Step::Expire));
        assert_eq!(next(&mut queue, &[], 1062), None);
        queue.expired_us = [("a", i64::MAX / 2), ("b", i64::MAX / 2)].map(|(n, at)| (table(n), at)).into();
        assert_eq!(next(&mut queue, &[], 1012 + 6 * 3600), Some((None, Step::Orphans)));
    }

    #[test]
    fn a_table_whose_upkeep_fails_is_left_alone_longer_each_time() {
        let (mut queue, settings) = (Queue::default(), UpkeepSettings::default());
        queue.expired_us = [("a", i64::MAX / 2), ("b", i64::MAX / 2)].map(|(n, at)| (table(n), at)).into();
        let tables = [table("a"), table("b")];
        let mut now = 0;
        for wait_s in [20, 40, 80] {
            let doing = queue.next(&settings, &tables, |t| t.name == "a", now).unwrap();
            queue.ended(&settings, &doing, false, now);
            now += (wait_s - 1) * SECOND;
            assert_eq!(queue.next(&settings, &tables, |t| t.name == "a", now), None);
            now += SECOND;
        }
        assert!(queue.next(&settings, &tables, |t| t.name == "a", now).is_some());
    }

    #[test]
    fn a_ticket_is_done_when_its_last_step_is() {
        let mut queue = Queue::default();
        let settings = UpkeepSettings::default();
        let first = queue.ask(&[Some(table("a"))], &[Step::Rewrite]);
        let second = queue.ask(&[Some(table("b"))], &[Step::Rewrite]);
        queue.doing = queue.next(&settings, &[table("a")], |_| false, 0);
        assert!(!queue.is_done(first) && !queue.is_done(second), "the first is under way");
        queue.doing = queue.next(&settings, &[table("a")], |_| false, 0);
        assert!(queue.is_done(first) && !queue.is_done(second));
        queue.doing = None;
        assert!(queue.is_done(second));
    }
}
