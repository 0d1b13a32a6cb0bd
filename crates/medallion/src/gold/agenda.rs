use super::{Model, Schedule, Trigger};
use model::{LakeTable, Layer};
use std::{collections::BTreeSet, sync::Arc};

/// The longest pause after failures.
const PAUSE_MAX_US: i64 = 300_000_000;
/// A model that is kept up to date by commits runs at most one part in this many of the time.
const SHARE_OF_TIME: i64 = 5;

/// Decides when each model runs. Knows no clock: every call says what time it is.
///
/// A model is due when a table it reads has moved and its pause is over, when its time has come, or when somebody asked. It waits for models
/// that it reads and that are about to run, so that one commit makes each model run once; and it is held back, keeping its former
/// rows, while a model that it reads is failed.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// In run order.
    slots: Vec<Slot>,
    debounce_us: i64,
    running_max: usize,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) model: Arc<Model>,
    /// Something it reads has moved since its last run began, or it was never made as it stands.
    dirty: bool,
    requested: bool,
    pub(crate) running: bool,
    /// When its time comes by schedule.
    pub(crate) next_us: Option<i64>,
    started_us: Option<i64>,
    took_us: i64,
    failures: u32,
    /// Tables that it reads and that are not there.
    pub(crate) waiting_for: Vec<LakeTable>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Failed,
    /// It did not run, because these tables are not there yet.
    Waiting(Vec<LakeTable>),
}

impl Agenda {
    pub(crate) fn new(debounce_us: i64, running_max: usize) -> Self {
        Self { slots: Vec::new(), debounce_us, running_max: running_max.max(1) }
    }

    /// Takes new models, in run order. What is known of a model of the same name stays; if it says something else now, it is dirty and its
    /// failures are forgotten.
    pub(crate) fn set_models(&mut self, models: Vec<Model>, now_us: i64) {
        let mut former = std::mem::take(&mut self.slots);
        for model in models {
            let next_us = model.schedule.next_us(now_us);
            let at = former.iter().position(|s| s.model.name == model.name);
            let mut slot = at.map_or_else(|| Slot::new(&model), |at| former.swap_remove(at));
            if slot.model.fingerprint != model.fingerprint {
                slot.failures = 0;
                slot.started_us = None;
                slot.dirty |= !matches!(model.schedule, Schedule::Manual);
            }
            slot.next_us = next_us;
            slot.model = Arc::new(model);
            self.slots.push(slot);
        }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// These tables have moved.
    pub(crate) fn moved(&mut self, moved: impl Fn(&LakeTable) -> bool) {
        for slot in &mut self.slots {
            if matches!(slot.model.schedule, Schedule::OnCommit) && slot.model.upstream.iter().any(&moved) {
                slot.dirty = true;
            } else if slot.waiting_for.iter().any(&moved) {
                // What its last attempt was waiting for has come.
                slot.dirty = true;
            }
        }
    }

    /// A model's table does not hold what the model says.
    pub(crate) fn mark(&mut self, name: &str) {
        if let Some(slot) = self.slot_mut(name) {
            slot.dirty = true;
        }
    }

    /// Somebody asked for a run. Says whether there is such a model.
    pub(crate) fn request(&mut self, name: &str) -> bool {
        self.slot_mut(name).map(|slot| slot.requested = true).is_some()
    }

    /// Takes what is to be started now.
    pub(crate) fn start_due(&mut self, now_us: i64) -> Vec<(Arc<Model>, Trigger)> {
        let mut started = Vec::new();
        while self.slots.iter().filter(|s| s.running).count() < self.running_max {
            let ready = (0..self.slots.len()).find_map(|at| self.ready(at, now_us).map(|trigger| (at, trigger)));
            let Some((at, trigger)) = ready else { break };
            let slot = &mut self.slots[at];
            slot.running = true;
            slot.dirty = false;
            slot.requested = false;
            slot.started_us = Some(now_us);
            slot.next_us = slot.model.schedule.next_us(now_us);
            started.push((Arc::clone(&slot.model), trigger));
        }
        started
    }

    /// A run has ended.
    pub(crate) fn finished(&mut self, name: &str, end: End, now_us: i64) {
        let Some(slot) = self.slot_mut(name) else { return };
        slot.running = false;
        slot.took_us = now_us - slot.started_us.unwrap_or(now_us);
        slot.failures = if end == End::Failed { slot.failures + 1 } else { 0 };
        slot.waiting_for = match end {
            End::Waiting(tables) => tables,
            End::Ok | End::Failed => Vec::new(),
        };
    }

    /// When something may become due without anything happening, if ever.
    pub(crate) fn next_us(&self, now_us: i64) -> Option<i64> {
        let idle = (0..self.slots.len()).filter(|at| !self.slots[*at].running && self.held_by(*at).is_none());
        idle.filter_map(|at| self.wakes(at)).filter(|wake| *wake > now_us).min()
    }

    /// The failed model that a model reads and that holds it back.
    pub(crate) fn held_by(&self, at: usize) -> Option<&str> {
        self.ancestors(at).into_iter().map(|a| &self.slots[a]).find(|s| s.failures > 0).map(|s| s.model.name.as_str())
    }

    /// Why a model is to start at `now_us`, if it is.
    fn ready(&self, at: usize, now_us: i64) -> Option<Trigger> {
        let slot = &self.slots[at];
        if slot.running {
            return None;
        }
        if slot.requested {
            return Some(Trigger::Request);
        }
        if self.wakes(at).is_none_or(|wake| wake > now_us) || self.held_by(at).is_some() {
            return None;
        }
        let busy = |a: usize| self.slots[a].running || self.wakes(a).is_some_and(|wake| wake <= now_us);
        if self.ancestors(at).into_iter().any(busy) {
            return None;
        }
        let timely = slot.next_us.is_some_and(|next| next <= now_us);
        Some(if timely { Trigger::Schedule } else { Trigger::Commit })
    }

    /// When a model's own reasons to run come true.
    fn wakes(&self, at: usize) -> Option<i64> {
        let slot = &self.slots[at];
        let by_commit = slot.dirty.then(|| {
            let debounce = slot.model.debounce.map_or(self.debounce_us, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
            let after_failures = match slot.failures {
                0 => debounce,
                n => debounce.max(1_000_000).saturating_mul(1 << n.min(16)).min(PAUSE_MAX_US.max(debounce)),
            };
            let pause = after_failures.max(slot.took_us.saturating_mul(SHARE_OF_TIME));
            slot.started_us.map_or(0, |started| started.saturating_add(pause))
        });
        by_commit.into_iter().chain(slot.next_us).min()
    }

    /// Every model that a model reads, also through others.
    fn ancestors(&self, at: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            for table in self.slots[at].model.upstream.iter().filter(|t| t.layer == Layer::Gold) {
                let parent = self.slots.iter().position(|s| s.model.name == table.name);
                if let Some(parent) = parent
                    && found.insert(parent)
                {
                    open.push(parent);
                }
            }
        }
        found
    }

    fn slot_mut(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|s| s.model.name == name)
    }
}

impl Slot {
    fn new(model: &Model) -> Self {
        Self {
            model: Arc::new(model.clone()),
            dirty: false,
            requested: false,
            running: false,
            next_us: None,
            started_us: None,
            took_us: 0,
            failures: 0,
            waiting_for: Vec::new(),
        }
    }

    /// Whether its last run failed.
    pub(crate) fn failed(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_texts;

    const SECOND: i64 = 1_000_000;

    fn agenda(texts: &[(&str, &str)]) -> Agenda {
        let loaded = load_texts(texts.iter().map(|(file, text)| (file.into(), (*text).to_owned())).collect());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let mut agenda = Agenda::new(5 * SECOND, 2);
        agenda.set_models(loaded.models, 0);
        agenda
    }

    fn chain() -> Agenda {
        agenda(&[
            ("base.sql", "select * from silver.s"),
            ("child.sql", "select * from {{ ref('base') }}, silver.s"),
            ("other.sql", "select * from silver.t"),
        ])
    }

    fn commit(agenda: &mut Agenda, table: &str) {
        agenda.moved(|t| t.to_string() == table);
    }

    fn started(agenda: &mut Agenda, now: i64) -> Vec<(String, Trigger)> {
        agenda.start_due(now * SECOND).into_iter().map(|(m, t)| (m.name.clone(), t)).collect()
    }

    fn by_commit(names: &[&str]) -> Vec<(String, Trigger)> {
        names.iter().map(|n| ((*n).to_owned(), Trigger::Commit)).collect()
    }

    #[test]
    fn a_commit_makes_each_model_that_reads_the_table_run_once_and_in_order() {
        let mut agenda = chain();
        assert!(started(&mut agenda, 10).is_empty());
        commit(&mut agenda, "silver.s");
        assert_eq!(started(&mut agenda, 10), by_commit(&["base"]));
        assert!(started(&mut agenda, 10).is_empty(), "the child waits for its base");
        agenda.finished("base", End::Ok, 10 * SECOND);
        commit(&mut agenda, "gold.base");
        assert_eq!(started(&mut agenda, 10), by_commit(&["child"]));
        agenda.finished("child", End::Ok, 10 * SECOND);
        assert!(started(&mut agenda, 100).is_empty());
    }

    #[test]
    fn a_model_pauses_between_runs_and_loses_no_commit_meanwhile() {
        let mut agenda = chain();
        commit(&mut agenda, "silver.t");
        assert_eq!(started(&mut agenda, 10), by_commit(&["other"]));
        commit(&mut agenda, "silver.t");
        agenda.finished("other", End::Ok, 10 * SECOND);
        assert!(started(&mut agenda, 14).is_empty());
        assert_eq!(agenda.next_us(14 * SECOND), Some(15 * SECOND));
        assert_eq!(started(&mut agenda, 15), by_commit(&["other"]));
        // A run of four seconds may not start more often than every twenty.
        agenda.finished("other", End::Ok, 19 * SECOND);
        commit(&mut agenda, "silver.t");
        assert_eq!(agenda.next_us(19 * SECOND), Some(35 * SECOND));
    }

    #[test]
    fn a_failed_model_is_tried_again_more_and_more_slowly_and_holds_back_what_reads_it() {
        let mut agenda = chain();
        commit(&mut agenda, "silver.s");
        commit(&mut agenda, "silver.t");
        assert_eq!(started(&mut agenda, 0), by_commit(&["base", "other"]));
        agenda.finished("base", End::Failed, 0);
        agenda.finished("other", End::Ok, 0);
        assert!(started(&mut agenda, 60).is_empty(), "nothing moved since for the base; the child is held");
        assert_eq!(agenda.held_by(1), Some("base"));
        commit(&mut agenda, "silver.s");
        assert_eq!(agenda.next_us(0), Some(10 * SECOND));
        assert_eq!(started(&mut agenda, 10), by_commit(&["base"]));
        agenda.finished("base", End::Ok, 10 * SECOND);
        assert_eq!(started(&mut agenda, 10), by_commit(&["child"]));
    }

    #[test]
    fn a_request_runs_a_model_at_once_whatever_holds_it() {
        let mut agenda = chain();
        commit(&mut agenda, "silver.s");
        started(&mut agenda, 0);
        agenda.finished("base", End::Failed, 0);
        assert!(agenda.request("child"));
        assert!(!agenda.request("nobody"));
        assert_eq!(started(&mut agenda, 0), [("child".to_owned(), Trigger::Request)]);
    }

    #[test]
    fn a_model_whose_tables_are_missing_waits_for_them() {
        let mut agenda = agenda(&[("nightly.sql", "{{ config(schedule='0 * * * *') }} select * from silver.s")]);
        agenda.mark("nightly");
        assert_eq!(started(&mut agenda, 1), by_commit(&["nightly"]));
        let table = LakeTable::new(Layer::Silver, "s");
        agenda.finished("nightly", End::Waiting(vec![table]), SECOND);
        assert!(started(&mut agenda, 60).is_empty());
        commit(&mut agenda, "silver.s");
        assert_eq!(started(&mut agenda, 60), by_commit(&["nightly"]));
        agenda.finished("nightly", End::Ok, 60 * SECOND);
        commit(&mut agenda, "silver.s");
        assert!(started(&mut agenda, 3599).is_empty());
        assert_eq!(started(&mut agenda, 3600), [("nightly".to_owned(), Trigger::Schedule)]);
    }

    #[test]
    fn a_changed_model_runs_and_an_unchanged_one_keeps_its_pause() {
        let mut agenda = chain();
        commit(&mut agenda, "silver.s");
        started(&mut agenda, 0);
        agenda.finished("base", End::Failed, 0);
        let texts = vec![
            ("base.sql".into(), "select 1 as x from silver.s".to_owned()),
            ("other.sql".into(), "select * from silver.t".to_owned()),
        ];
        agenda.set_models(load_texts(texts).models, SECOND);
        assert_eq!(started(&mut agenda, 1), by_commit(&["base"]));
    }

    #[test]
    fn only_so_many_run_at_once() {
        let mut agenda = agenda(&[("a.sql", "select 1 as x"), ("b.sql", "select 1 as x"), ("c.sql", "select 1 as x")]);
        for name in ["a", "b", "c"] {
            agenda.request(name);
        }
        assert_eq!(started(&mut agenda, 0).len(), 2);
        agenda.finished("a", End::Ok, 0);
        assert_eq!(started(&mut agenda, 0).len(), 1);
    }
}
