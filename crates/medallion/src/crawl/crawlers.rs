use super::drift;
use crate::{Error, Kind};
use catalog::{Catalog, CrawlRecord, CrawledRecord, DriftRecord};
use parking_lot::Mutex;
use query::{Engine, FoundTable};
use runtime::{CancellationToken, SharedClock, Tasks};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// Changes of columns that are kept at hand.
const RECENT: usize = 500;

/// Which files a crawler takes.
pub type CrawlFormat = Option<query::FileFormat>;

/// A crawler as it is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct CrawlerSettings {
    /// Its name, which is the schema of its tables.
    pub name: String,
    /// The folder or the bucket's prefix below which it looks.
    pub url: String,
    /// The one format that it takes; every one where unset.
    pub format: CrawlFormat,
    /// From the end of one crawl to the beginning of the next.
    pub every: Duration,
}

/// How a crawler does.
#[derive(Debug, Clone, PartialEq)]
pub struct CrawlStatus {
    /// What it is.
    pub settings: CrawlerSettings,
    /// Since when it crawls, in microseconds since 1970; none while it rests.
    pub crawling_since_us: Option<i64>,
    /// Its last crawl.
    pub last: Option<CrawlRecord>,
}

/// All crawlers: a cheap handle on the tasks that crawl.
#[derive(Debug, Clone)]
pub struct Crawlers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    catalog: Catalog,
    clock: SharedClock,
    stop: CancellationToken,
    crawlers: Vec<Crawler>,
    /// The newest changes of columns, newest first.
    recent: Mutex<VecDeque<DriftRecord>>,
}

#[derive(Debug)]
struct Crawler {
    settings: CrawlerSettings,
    state: Mutex<State>,
    /// Somebody wants a crawl now.
    wake: Notify,
    /// Counts crawls that have ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    since_us: Option<i64>,
    last: Option<CrawlRecord>,
    /// Crawls that were asked for and have not begun.
    asked: bool,
}

impl Crawlers {
    /// Starts all crawlers on `tasks`. Each crawls at once, and then whenever its time has come, until the tasks are cancelled.
    ///
    /// # Errors
    /// [`Kind::Catalog`] where former crawls can't be read.
    pub async fn start(
        settings: Vec<CrawlerSettings>,
        engine: Engine,
        catalog: Catalog,
        clock: SharedClock,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let mut former = catalog.crawls().await.map_err(unread)?;
        let mut recent = Vec::new();
        for crawler in &settings {
            recent.extend(catalog.crawl_drift(&crawler.name, RECENT as u32).await.map_err(unread)?);
        }
        recent.sort_by(|a, b| (b.seen_us, &b.id).cmp(&(a.seen_us, &a.id)));
        recent.truncate(RECENT);
        let crawler = |settings: CrawlerSettings| {
            let at = former.iter().position(|record| record.crawler == settings.name);
            let last = at.map(|at| former.swap_remove(at));
            // Its schema is there from the start, so that a statement meets a crawler that has not crawled rather than nothing.
            engine.set_crawled(&settings.name, BTreeMap::new());
            let state = Mutex::new(State { last, ..State::default() });
            Crawler { settings, state, wake: Notify::new(), ended: watch::Sender::new(0) }
        };
        let crawlers = settings.into_iter().map(crawler).collect();
        let stop = tasks.cancellation().clone();
        let shared = Arc::new(Shared { engine, catalog, clock, stop, crawlers, recent: Mutex::new(recent.into()) });
        for place in 0..shared.crawlers.len() {
            let shared = Arc::clone(&shared);
            tasks.spawn(format!("crawler {}", shared.crawlers[place].settings.name), async move { shared.keep(place).await });
        }
        Ok(Self { shared })
    }

    /// How each does, in the order of the configuration.
    pub fn all(&self) -> Vec<CrawlStatus> {
        self.shared.crawlers.iter().map(Crawler::status).collect()
    }

    /// How one does.
    pub fn get(&self, name: &str) -> Option<CrawlStatus> {
        self.find(name).map(Crawler::status)
    }

    fn find(&self, name: &str) -> Option<&Crawler> {
        self.shared.crawlers.iter().find(|c| c.settings.name == name)
    }

    /// Asks for a crawl now. With `wait` it returns when a crawl has ended that began after this was called.
    ///
    /// # Errors
    /// [`Kind::UnknownTable`] where there is no such crawler.
    pub async fn run(&self, name: &str, wait: bool) -> Result<CrawlStatus, Error> {
        let unknown = || Error::new(Kind::UnknownTable, format!("there is no crawler {name}"));
        let crawler = self.find(name).ok_or_else(unknown)?;
        let mut ended = crawler.ended.subscribe();
        crawler.state.lock().asked = true;
        crawler.wake.notify_one();
        while wait && !crawler.is_done() {
            let stopped = tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => true,
                changed = ended.changed() => changed.is_err(),
            };
            if stopped {
                break;
            }
        }
        Ok(crawler.status())
    }

    /// The newest changes of columns that a crawler saw, newest first.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn drift(&self, name: &str, limit: u32) -> Result<Vec<DriftRecord>, Error> {
        self.shared.catalog.crawl_drift(name, limit).await.map_err(unread)
    }

    /// The newest changes of all, without asking the catalog.
    pub fn recent_drift(&self) -> Vec<DriftRecord> {
        self.shared.recent.lock().iter().cloned().collect()
    }
}

impl Crawler {
    fn status(&self) -> CrawlStatus {
        let state = self.state.lock();
        CrawlStatus { settings: self.settings.clone(), crawling_since_us: state.since_us, last: state.last.clone() }
    }

    fn is_done(&self) -> bool {
        let state = self.state.lock();
        !state.asked && state.since_us.is_none()
    }
}

impl Shared {
    async fn keep(&self, place: usize) {
        let crawler = &self.crawlers[place];
        loop {
            {
                let mut state = crawler.state.lock();
                state.asked = false;
                state.since_us = Some(self.clock.now_us());
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.crawl(crawler) => {}
            }
            crawler.ended.send_modify(|count| *count += 1);
            let rest = self.clock.sleep(crawler.settings.every);
            tokio::pin!(rest);
            // A wake may be left over from what the crawl just now was asked for.
            while !crawler.state.lock().asked {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    () = crawler.wake.notified() => {}
                    () = &mut rest => break,
                }
            }
        }
    }

    async fn crawl(&self, crawler: &Crawler) {
        let CrawlerSettings { name, url, format, .. } = &crawler.settings;
        let (started_us, before) = {
            let state = crawler.state.lock();
            (state.since_us.unwrap_or_else(|| self.clock.now_us()), state.last.clone())
        };
        let found = self.engine.crawl(url, *format).await;
        let finished_us = self.clock.now_us();
        let former = before.as_ref().map(|b| b.tables.as_slice());
        let (record, drift) = match found {
            Ok(mut found) => {
                // A first crawl that failed knew no tables to compare with.
                let compared = former.filter(|f| !f.is_empty() || before.as_ref().is_some_and(|b| b.error.is_none()));
                let drift = drift::between(name, compared, &found, finished_us);
                let tables = found.iter().map(record).collect();
                let readable = found.iter_mut().filter_map(|t| Some((t.name.clone(), t.table.take()?)));
                self.engine.set_crawled(name, readable.collect());
                (CrawlRecord { crawler: name.clone(), started_us, finished_us, tables, error: None, hint: None }, drift)
            }
            // What was found before stays: a store that can't be reached says nothing of the tables.
            Err(error) => {
                tracing::warn!(crawler = name, "a crawl failed: {error}");
                let tables = before.map(|b| b.tables).unwrap_or_default();
                let (error, hint) = (Some(error.message.clone()), error.hint.clone());
                (CrawlRecord { crawler: name.clone(), started_us, finished_us, tables, error, hint }, Vec::new())
            }
        };
        for event in &drift {
            tracing::info!(
                crawler = name,
                table = event.table,
                column = event.column,
                file = event.file,
                "drift: {}",
                event.kind
            );
        }
        if let Err(error) = self.catalog.set_crawl(&record, &drift).await {
            tracing::warn!(crawler = name, "a crawl could not be recorded: {error}");
        }
        let mut recent = self.recent.lock();
        drift.into_iter().for_each(|event| recent.push_front(event));
        recent.truncate(RECENT);
        drop(recent);
        let mut state = crawler.state.lock();
        state.last = Some(record);
        state.since_us = None;
    }
}

fn record(table: &FoundTable) -> CrawledRecord {
    CrawledRecord {
        name: table.name.clone(),
        path: table.path.clone(),
        format: table.format.clone(),
        columns: table.columns.clone(),
        partitions: table.partitions.clone(),
        files: table.files,
        bytes: table.bytes,
        rows: table.rows,
        error: table.error.as_ref().map(|(error, _)| error.clone()),
        hint: table.error.as_ref().and_then(|(_, hint)| hint.clone()),
    }
}

fn unread(error: catalog::Error) -> Error {
    Error::new(Kind::Catalog, format!("reading former crawls failed: {error}")).with_source(error)
}
