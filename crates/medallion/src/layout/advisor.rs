use super::{
    Advice, AppliedLayout, LayoutRule, Proposal,
    advise::{Facts, Worth, advise},
    sums::Sums,
};
use crate::{Error, Kind, Upkeep};
use catalog::Catalog;
use lake::{Lake, Step, can_bloom};
use model::LakeTable;
use parking_lot::Mutex;
use query::Engine;
use runtime::{CancellationToken, SharedClock, Tasks};
use std::{sync::Arc, time::Duration};

/// Days of queries that advice goes by, today included.
const ADVICE_DAYS: i64 = 7;
/// Days that sums are kept.
const DAYS_KEPT: i64 = 30;
/// How often sums are written down.
const SAVED_EVERY: Duration = Duration::from_secs(30);
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Proposes layouts that fit the queries, and applies them. A cheap handle.
#[derive(Debug, Clone)]
pub struct Advisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    lake: Lake,
    catalog: Catalog,
    upkeep: Upkeep,
    clock: SharedClock,
    worth: Worth,
    sums: Mutex<Sums>,
}

impl Advisor {
    /// Reads what is known of former queries, and starts to note what queries do, on `tasks` and until these are cancelled; then it is written down a last
    /// time.
    ///
    /// # Errors
    /// [`Kind::Catalog`] where the catalog can't be read.
    pub async fn start(
        engine: Engine,
        lake: Lake,
        catalog: Catalog,
        upkeep: Upkeep,
        clock: SharedClock,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        upkeep.load_applied().await?;
        let mut sums = Sums::default();
        let today = clock.now_us().div_euclid(DAY_US);
        sums.load(catalog.accesses(today - ADVICE_DAYS).await.map_err(|e| failed("reading what queries did", e))?);
        let shared = Shared { engine, lake, catalog, upkeep, clock, worth: Worth::default(), sums: Mutex::new(sums) };
        let advisor = Self { shared: Arc::new(shared) };
        let keeper = advisor.clone();
        let stop = tasks.cancellation().clone();
        tasks.spawn("advisor", async move { keeper.keep(stop).await });
        Ok(advisor)
    }

    /// Sums up what queries did since the last time.
    fn gather(&self) -> i64 {
        let today = self.shared.clock.now_us().div_euclid(DAY_US);
        let taken = self.shared.engine.take_accesses();
        let mut sums = self.shared.sums.lock();
        sums.add(today, taken);
        sums.forget(today - ADVICE_DAYS);
        today
    }

    async fn keep(&self, stop: CancellationToken) {
        let shared = &self.shared;
        let mut pruned = i64::MIN;
        loop {
            let ends = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = shared.clock.sleep(SAVED_EVERY) => false,
            };
            let today = self.gather();
            let unsaved = shared.sums.lock().unsaved();
            if !unsaved.is_empty()
                && let Err(error) = shared.catalog.set_accesses(&unsaved).await
            {
                tracing::warn!("what queries did could not be recorded for advice: {error}");
            }
            if pruned != today {
                pruned = today;
                if let Err(error) = shared.catalog.prune_accesses(today - DAYS_KEPT).await {
                    tracing::warn!("old records of what queries did could not be removed: {error}");
                }
            }
            if ends {
                return;
            }
        }
    }

    /// What would let the queries of the last days read less, the most saving first.
    pub fn advice(&self) -> Vec<Advice> {
        let today = self.gather();
        let tables = self.shared.sums.lock().by_table(today - ADVICE_DAYS + 1);
        let of_table = |(table, uses): (String, Vec<_>)| {
            let facts = self.facts(&table.parse().ok()?)?;
            Some(advise(&facts, &uses, self.shared.worth))
        };
        let mut all: Vec<Advice> = tables.into_iter().filter_map(of_table).flatten().collect();
        all.sort_by_key(|a| std::cmp::Reverse(a.saved_bytes()));
        all
    }

    /// What is known of a table; nothing where it is not there or not lakebox's to lay out.
    fn facts(&self, table: &LakeTable) -> Option<Facts> {
        let view = self.shared.lake.view();
        let of = view.tables.get(table).filter(|_| table.layer.is_kept())?;
        let (configured, declared) = (self.shared.upkeep.configured(table), self.shared.lake.declared(table));
        let sorted = || (!of.sort_order.is_empty()).then(|| lake::Clustering::Sort(of.sort_order.clone()));
        let names = |wanted: fn(&arrow::datatypes::DataType) -> bool| {
            of.schema.fields().iter().filter(|f| wanted(f.data_type())).map(|f| f.name().clone()).collect()
        };
        let applied = self.shared.upkeep.applied(table).map(|a| a.rule).unwrap_or_default();
        Some(Facts {
            table: table.to_string(),
            rows: of.live_rows(),
            layout: configured.layout.clone().or(applied.layout.clone()).or(declared.0).or_else(sorted),
            files: configured.files.clone().or(applied.files()).unwrap_or(declared.1),
            order_is_free: configured.layout.is_none(),
            files_are_free: configured.files.is_none(),
            sortable: names(|t| !t.is_nested()),
            bloomable: names(can_bloom),
        })
    }

    /// Lays a table out as advised from now on, whatever else was applied to it before, and starts to rewrite its files.
    ///
    /// # Errors
    /// [`Kind::UnknownAdvice`] where there is no such advice any more; else where the catalog can't be written.
    pub async fn apply(&self, id: &str) -> Result<AppliedLayout, Error> {
        let unknown = || {
            Error::new(Kind::UnknownAdvice, format!("there is no advice `{id}`"))
                .with_hint("`lakebox advise` lists what is advised now.")
        };
        let advice = self.advice().into_iter().find(|a| a.id == id).ok_or_else(unknown)?;
        let table: LakeTable = advice.table.parse().map_err(|_| unknown())?;
        let upkeep = &self.shared.upkeep;
        let mut rule = upkeep.applied(&table).map(|a| a.rule).unwrap_or_default();
        match advice.proposal {
            Proposal::Layout(layout) => rule.layout = Some(layout),
            Proposal::Bloom(column) => rule.bloom.push(column),
        }
        let applied = upkeep.apply(&table, rule).await?;
        upkeep.request(Some(&table), &[Step::Rewrite])?;
        Ok(applied)
    }

    /// Every layout in force that was applied, by table.
    pub fn applied(&self) -> Vec<AppliedLayout> {
        self.shared.upkeep.all_applied()
    }

    /// Takes back what was applied to a table: files are laid out as the configuration and the table's own sort order say from their next rewrite on.
    /// Returns what was in force, if anything.
    ///
    /// # Errors
    /// Where the catalog or the table can't be written.
    pub async fn take_back(&self, table: &LakeTable) -> Result<Option<LayoutRule>, Error> {
        self.shared.upkeep.take_back(table).await
    }
}

pub(crate) fn failed(doing: &str, error: catalog::Error) -> Error {
    Error::new(Kind::Catalog, format!("{doing}: {error}")).with_source(error)
}
