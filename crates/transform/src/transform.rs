use crate::{
    Error, Kind, OnError, Plugin, TransformConfig, TransformStats,
    breaker::{Breaker, Budget},
    config::Limits,
    failure::{Failure, tame},
    instance::Instance,
    pack::{pack, packed_bytes},
    plan::Plan,
    row_json::row_json,
    settle::{join, runs, settle, without_values},
    unpack::{Expected, unpack},
};
use arrow::{
    array::{Array, AsArray},
    datatypes::TimestampMicrosecondType,
};
use cpu_time::ThreadTime;
use model::{ChangeBatch, TableId, TableSchema};
use pipeline::{DeadLetter, Transform, Transformed};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// A plugin at work in one pipeline.
///
/// It keeps one instance of the plugin alive from batch to batch. An instance that traps, runs out of time or memory is thrown away; the rows it had are
/// tried again in halves, level by level, until the guilty ones are alone, within bounds that keep the pipeline moving.
pub struct PluginTransform {
    name: String,
    plugin: Plugin,
    config: String,
    on_error: OnError,
    limits: Limits,
    stats: Arc<TransformStats>,
    instance: Option<Instance>,
    /// Shapes that the living instance was told.
    told: HashSet<u32>,
    plans: HashMap<TableId, Arc<Plan>>,
    next_shape: u32,
    breaker: Breaker,
    packed: Vec<u8>,
}

/// A call for part of a batch gets its share of the time, but never less than this part of the whole.
const LEAST_SHARE: u32 = 8;

impl PluginTransform {
    /// Makes an instance of `plugin` and gives it its configuration. `stats` may be shared by all pipelines that use the transform. Blocks shortly.
    ///
    /// # Errors
    /// [`Kind::Config`] where the plugin does not accept its configuration or our limits are out of bounds.
    pub fn new(name: &str, plugin: &Plugin, config: &TransformConfig, stats: Arc<TransformStats>) -> Result<Self, Error> {
        let mut transform = Self {
            name: name.to_owned(),
            plugin: plugin.clone(),
            config: config.config.to_string(),
            on_error: config.on_error,
            limits: config.limits(name)?,
            stats,
            instance: None,
            told: HashSet::new(),
            plans: HashMap::new(),
            next_shape: 1,
            breaker: Breaker::default(),
            packed: Vec::new(),
        };
        transform.living().map_err(|failure| {
            let message = match &failure {
                Failure::Refused(text) => format!("transform `{name}`: the plugin does not accept its configuration: {text}"),
                other => format!("transform `{name}`: the plugin can't be set up: {other}"),
            };
            Error::new(
                Kind::Config,
                message,
                "Correct `config:` of this transform; the plugin's schema on the Transforms page lists what it takes.",
            )
        })?;
        Ok(transform)
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<TransformStats> {
        &self.stats
    }

    /// The living instance, made and configured if there is none.
    fn living(&mut self) -> Result<&mut Instance, Failure> {
        if self.instance.is_none() {
            self.told.clear();
            self.stats.instance();
            let mut fresh = Instance::new(&self.plugin, self.limits)?;
            fresh.configure(&self.config)?;
            self.instance = Some(fresh);
        }
        self.instance.as_mut().ok_or_else(|| Failure::Trapped("no instance".to_owned()))
    }

    fn plan(&mut self, input: &Arc<TableSchema>) -> Result<Arc<Plan>, Error> {
        if let Some(plan) = self.plans.get(&input.id).filter(|p| Arc::ptr_eq(&p.input, input) || p.input == *input) {
            return Ok(Arc::clone(plan));
        }
        let id = self.next_shape;
        self.next_shape = self.next_shape.wrapping_add(1);
        let said = self.living().and_then(|instance| instance.schema(id, input));
        let said = said.inspect_err(|failure| self.bury(failure));
        let refusal = |text: String| {
            let message = format!("transform `{}` can't take table {}: {text}", self.name, input.id);
            Error::new(
                Kind::Schema,
                message,
                "Correct the transform's `config:`, or leave this table out of its source's `tables:`.",
            )
        };
        let plan = match said {
            Ok(said) => Plan::check(id, input, said).map_err(|e| refusal(format!("the plugin's plan is not possible: {e}")))?,
            Err(Failure::Refused(text)) => return Err(refusal(text)),
            Err(other) => return Err(refusal(other.to_string())),
        };
        if self.on_error == OnError::Pass && !plan.keeps_shape() {
            return Err(refusal(
                "with `on_error: pass` a row may go on as it came, but the plugin changes the table's columns".to_owned(),
            ));
        }
        self.told.insert(id);
        let plan = Arc::new(plan);
        self.plans.insert(input.id.clone(), Arc::clone(&plan));
        Ok(plan)
    }

    /// Throws the instance away where a failure leaves it in an unknown state.
    fn bury(&mut self, failure: &Failure) {
        if !failure.spares_the_instance() {
            self.instance = None;
        }
    }

    /// One try: rows to the plugin and its answer back.
    fn try_rows(&mut self, plan: &Plan, batch: &ChangeBatch, limit: Duration) -> Result<crate::unpack::Answer, Failure> {
        self.stats.call();
        let told = self.told.contains(&plan.id) && self.instance.is_some();
        if !told {
            let said = self.living()?.schema(plan.id, &plan.input)?;
            if said != plan.said {
                return Err(Failure::Lied(format!("asked again about table {}, it gave another plan", plan.input.id)));
            }
            self.told.insert(plan.id);
        }
        let mut packed = std::mem::take(&mut self.packed);
        let fits = pack(batch.rows(), batch.data_width(), plan.id, &plan.reads, &mut packed);
        let answer = match fits {
            Ok(()) => self.living().and_then(|instance| instance.transform(&packed, limit)),
            Err(crate::pack::TooLarge) => Err(Failure::OutOfMemory(self.limits.memory_max)),
        };
        self.packed = packed;
        let expected =
            Expected { shape: plan.id, rows: batch.num_rows(), types: &plan.types, names: &plan.names, inputs: &plan.inputs };
        unpack(&answer?, expected).map_err(Failure::Lied)
    }

    /// Takes rows that are no truncates through the plugin.
    fn rows(&mut self, plan: &Plan, batch: &ChangeBatch, out: &mut Transformed) -> Result<(), pipeline::Error> {
        let mut work = Work::new(batch.num_rows());
        let mut budget = match self.breaker.next_batch(self.limits.call_max) {
            Ok(budget) => budget,
            Err(not_called) => {
                work.give_up(&not_called);
                return self.finish(plan, batch, work, out);
            }
        };
        while let Some((offset, length)) = work.todo.pop_front() {
            let part = batch.slice(offset, length);
            if length > 1 && packed_bytes(part.rows(), &plan.reads) > self.limits.batch_bytes_max() {
                work.halve(offset, length);
                continue;
            }
            if let Err((guilty, failure)) = self.part(plan, &part, offset, batch.num_rows(), &mut budget, &mut work) {
                self.stop_here(&guilty, &failure.to_string())?;
            }
        }
        self.finish(plan, batch, work, out)
    }

    /// Tries a part of a batch and notes in `work` what came of it; an error names the rows that failed, as closely as it is known.
    fn part(
        &mut self,
        plan: &Plan,
        part: &ChangeBatch,
        offset: usize,
        whole: usize,
        budget: &mut Budget,
        work: &mut Work,
    ) -> Result<(), (ChangeBatch, Failure)> {
        let started = ThreadTime::now().as_duration();
        let length = part.num_rows();
        let share = self.share(length, whole);
        let answer = self.try_rows(plan, part, share);
        let settled = answer.and_then(|a| settle(plan, part, a, self.on_error == OnError::Pass).map_err(Failure::Lied));
        match settled {
            Ok(settled) => {
                budget.good_call();
                self.breaker.good_call();
                self.stats.rows_dropped(settled.dropped);
                work.done.extend(settled.batch.map(|b| (offset, b)));
                let first = settled.failed.first_key_value().map(|(row, why)| (part.slice(*row, 1), why.clone()));
                work.failed.extend(settled.failed.into_iter().map(|(row, why)| (offset + row, why.to_string())));
                first.map_or(Ok(()), Err)
            }
            Err(failure) => {
                self.stats.failure(&failure);
                self.bury(&failure);
                // On a crowded machine a call may be stopped late; that is not held against the batch.
                let took = ThreadTime::now().as_duration().saturating_sub(started).min(share);
                if budget.failed(&failure, took) {
                    work.todo.push_front((offset, length));
                    work.give_up(&Failure::GaveUp(Box::new(failure.clone())));
                    self.breaker.gave_up(&failure);
                    self.stats.gave_up();
                } else if length == 1 {
                    work.fail(offset, 1, &failure);
                } else {
                    work.halve(offset, length);
                }
                Err((part.clone(), failure))
            }
        }
    }

    fn share(&self, length: usize, whole: usize) -> Duration {
        let most = self.limits.call_max;
        #[expect(clippy::cast_precision_loss, reason = "a share of time")]
        let share = most.mul_f64(length as f64 / whole.max(1) as f64);
        share.clamp(most / LEAST_SHARE, most)
    }

    /// With the policy to stop, the first failure ends the pipeline.
    fn stop_here(&self, part: &ChangeBatch, why: &str) -> Result<(), pipeline::Error> {
        if self.on_error != OnError::Stop {
            return Ok(());
        }
        let last = part.num_rows().saturating_sub(1);
        let (table, from, to) = (&part.schema().id, part.position(0), part.position(last));
        let place = if last == 0 { format!("position {from}") } else { format!("positions {from} to {to}") };
        let message = format!("transform `{}` stopped at {table}, {place}: {why}", self.name);
        let hint = "Mend the plugin or its configuration, or set `on_error: dead_letter` to set such rows aside. The pipeline tries again by itself; resume it to try at once.";
        Err(pipeline::Error::new(pipeline::Kind::Table, message).with_hint(hint))
    }

    /// Gathers what came of a batch.
    fn finish(&self, plan: &Plan, batch: &ChangeBatch, work: Work, out: &mut Transformed) -> Result<(), pipeline::Error> {
        let Work { mut done, failed, untried, .. } = work;
        let failures = failed.len() + untried.iter().map(|(_, length, _)| length).sum::<usize>();
        let last = failed.values().next_back().or(untried.last().map(|(_, _, why)| why));
        if let Some(why) = last {
            self.stats.rows_failed(failures, why);
            tracing::debug!(transform = self.name, table = %batch.schema().id, rows = failures, "rows that the plugin can't take: {why}");
        }
        match self.on_error {
            OnError::DeadLetter => {
                let untried =
                    untried.iter().flat_map(|(offset, length, why)| (*offset..offset + length).map(move |row| (row, why)));
                let mut letters: Vec<(usize, &String)> = failed.iter().map(|(row, why)| (*row, why)).chain(untried).collect();
                letters.sort_by_key(|(row, _)| *row);
                out.dead.extend(letters.into_iter().map(|(row, why)| self.letter(batch, row, why)));
            }
            // Rows of an answered call that failed were put back when it was settled; those of calls that brought nothing are put back here.
            OnError::Pass => done.extend(untried.iter().map(|(offset, length, _)| (*offset, batch.slice(*offset, *length)))),
            OnError::Skip => {}
            OnError::Stop => {
                if let Some((_, _, why)) = untried.first() {
                    self.stop_here(batch, why)?;
                }
            }
        }
        done.sort_by_key(|(offset, _)| *offset);
        let joined = join(plan, done.into_iter().map(|(_, b)| b).collect()).map_err(bug)?;
        out.batches.extend(joined);
        Ok(())
    }

    fn letter(&self, batch: &ChangeBatch, row: usize, why: &str) -> DeadLetter {
        let times = batch.rows().column(batch.data_width() + 1).as_primitive::<TimestampMicrosecondType>();
        DeadLetter {
            table: batch.schema().id.clone(),
            transform: self.name.clone(),
            plugin_version: self.plugin.fingerprint(),
            error: tame(why),
            position: batch.position(row),
            commit_ts_us: times.is_valid(row).then(|| times.value(row)),
            op: batch.op(row).code().to_owned(),
            row: row_json(batch, row),
        }
    }
}

impl Transform for PluginTransform {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&mut self, input: &Arc<TableSchema>) -> Result<Arc<TableSchema>, pipeline::Error> {
        Ok(Arc::clone(&self.plan(input)?.output))
    }

    fn apply(&mut self, batch: ChangeBatch) -> Result<Transformed, pipeline::Error> {
        let started = Instant::now();
        let plan = self.plan(batch.schema())?;
        let mut out = Transformed::default();
        for (offset, length, truncates) in runs(&batch) {
            let run = batch.slice(offset, length);
            if truncates {
                out.batches.push(without_values(&plan, &run).map_err(bug)?);
            } else {
                self.rows(&plan, &run, &mut out)?;
            }
        }
        let rows_out = out.batches.iter().map(ChangeBatch::num_rows).sum();
        self.stats.batch(batch.num_rows(), rows_out, started.elapsed());
        Ok(out)
    }
}

fn bug(error: impl std::error::Error + Send + Sync + 'static) -> pipeline::Error {
    pipeline::Error::new(pipeline::Kind::Bug, "a checked answer of a plugin could not be put together").with_source(error)
}

/// Parts of a batch, by what is known of them.
#[derive(Debug, Default)]
struct Work {
    /// Parts to try, larger ones first: `(offset, length)`.
    todo: VecDeque<(usize, usize)>,
    /// What came of good calls, by offset.
    done: Vec<(usize, ChangeBatch)>,
    /// Rows that good calls refused.
    failed: BTreeMap<usize, String>,
    /// Parts of which no call was good, and why.
    untried: Vec<(usize, usize, String)>,
}

impl Work {
    fn new(rows: usize) -> Self {
        Self { todo: VecDeque::from([(0, rows)]), ..Self::default() }
    }

    fn halve(&mut self, offset: usize, length: usize) {
        let half = length / 2;
        self.todo.push_back((offset, half));
        self.todo.push_back((offset + half, length - half));
    }

    fn fail(&mut self, offset: usize, length: usize, failure: &Failure) {
        self.untried.push((offset, length, failure.to_string()));
    }

    fn give_up(&mut self, failure: &Failure) {
        while let Some((offset, length)) = self.todo.pop_front() {
            self.fail(offset, length, failure);
        }
    }
}
