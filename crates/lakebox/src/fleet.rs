//! From the configuration to running pipelines: one supervised task for each source, on threads of their own.

use crate::config::{Config, Source as SourceSettings, SourceKind, Transform as TransformSettings};
use anyhow::{Context, Result};
use async_trait::async_trait;
use catalog::Catalog;
use lake::{Lake, SinkSettings};
use model::TableId;
use pipeline::{Desired, Error, Factory, Handle, Kind, Monitor, Parts, Settings, Source, Stage, supervise};
use runtime::{ByteBudget, CancellationToken, SharedClock, Tasks};
use server::TransformEntry;
use source_postgres::{PostgresConfig, PostgresSource};
use source_simulator::SimulatorSource;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::watch;
use transform::{Host, HostSettings, Plugin, PluginTransform, TransformConfig, TransformStats};

/// How long the pipelines may take to commit what they have when the process goes down.
const DRAIN_PATIENCE: Duration = Duration::from_secs(25);

/// Pipelines, ready to start.
pub struct Fleet {
    members: Vec<Member>,
    clock: SharedClock,
}

struct Member {
    name: String,
    factory: SourceFactory,
    settings: Settings,
    monitor: Monitor,
    desired: watch::Receiver<Desired>,
}

/// A running fleet; its thread ends when the fleet has drained.
pub struct Running {
    thread: thread::JoinHandle<()>,
}

/// A transform as the pipelines need it.
#[derive(Clone)]
struct TransformPlan {
    name: String,
    config: TransformConfig,
    stats: Arc<TransformStats>,
}

struct SourceFactory {
    source: SourceSettings,
    transforms: Vec<TransformPlan>,
    host: Host,
    lake: Lake,
    catalog: Catalog,
    clock: SharedClock,
    budget: ByteBudget,
    index_dir: PathBuf,
}

impl Fleet {
    /// Makes handles for every source and entries for every transform. Nothing runs yet.
    pub async fn new(
        config: &Config,
        lake: &Lake,
        catalog: &Catalog,
        clock: &SharedClock,
    ) -> Result<(Self, Vec<Handle>, Vec<TransformEntry>)> {
        let host = Host::new(&HostSettings { cache_dir: Some(state_dir(config).join("plugins")) })
            .context("starting the plugin host")?;
        let plans: Vec<TransformPlan> = config.transforms.iter().map(plan).collect();
        let entries = config.transforms.iter().zip(&plans).map(|(settings, plan)| entry(&host, settings, plan)).collect();
        // One budget for all pipelines: rows that are not committed yet.
        let budget = ByteBudget::new(config.lake.memory_bytes_max);
        let (mut members, mut handles) = (Vec::new(), Vec::new());
        for source in &config.sources {
            let rows_total = catalog.cursor(&source.name).await?.map_or(0, |c| c.rows_total);
            let monitor = Monitor::new(clock.clone(), rows_total);
            let initial = match catalog.desired(&source.name).await? {
                catalog::Desired::Paused => Desired::Paused,
                catalog::Desired::Running => Desired::Running,
            };
            let (handle, desired) =
                Handle::new(&source.name, source.kind.type_name(), source.transforms.clone(), monitor.clone(), initial);
            let named = |name: &String| plans.iter().find(|p| &p.name == name).cloned();
            let factory = SourceFactory {
                source: source.clone(),
                transforms: source.transforms.iter().filter_map(named).collect(),
                host: host.clone(),
                lake: lake.clone(),
                catalog: catalog.clone(),
                clock: clock.clone(),
                budget: budget.clone(),
                index_dir: state_dir(config).join("index").join(&source.name),
            };
            members.push(Member { name: source.name.clone(), factory, settings: pipeline_settings(source), monitor, desired });
            handles.push(handle);
        }
        Ok((Self { members, clock: clock.clone() }, handles, entries))
    }

    /// Starts every pipeline on threads that queries never use (I6).
    pub fn start(self, stop: CancellationToken) -> Result<Running> {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(crate::serve::BLOCKING_THREADS_MAX)
            .thread_name("ingest")
            .enable_all()
            .build()
            .context("starting the threads for ingestion")?;
        let thread = thread::Builder::new().name("fleet".into()).spawn(move || threads.block_on(self.run(stop)))?;
        Ok(Running { thread })
    }

    async fn run(self, stop: CancellationToken) {
        let tasks = Tasks::new(stop.clone());
        for member in self.members {
            let (clock, stop) = (self.clock.clone(), stop.clone());
            tasks.spawn(format!("pipeline {}", member.name), async move {
                let Member { name, factory, settings, monitor, desired } = member;
                supervise(&name, &factory, settings, clock, monitor, desired, stop).await;
            });
        }
        stop.cancelled().await;
        for late in tasks.shutdown(DRAIN_PATIENCE).await {
            tracing::warn!("{late} did not drain in time; what it had not committed is read again at the next start");
        }
    }
}

impl Running {
    /// Waits until every pipeline has drained.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the fleet's thread panicked");
        }
    }
}

#[async_trait]
impl Factory for SourceFactory {
    async fn parts(&self, aside: &BTreeSet<TableId>) -> Result<Parts, Error> {
        let stage = self.stage().await?;
        let settings = SinkSettings::new(self.index_dir.clone(), self.budget.clone());
        Ok(Parts { source: self.open_source(aside)?, stage, sink: Box::new(self.lake.sink(&self.source.name, settings)) })
    }

    async fn forget(&self) -> Result<(), Error> {
        let forgotten = self.catalog.forget_cursor(&self.source.name).await;
        forgotten.map(drop).map_err(|e| Error::new(Kind::Storage, "The stored position could not be forgotten.").with_source(e))
    }
}

impl SourceFactory {
    fn open_source(&self, aside: &BTreeSet<TableId>) -> Result<Box<dyn Source>, Error> {
        let name = &self.source.name;
        Ok(match &self.source.kind {
            SourceKind::Postgres(settings) => {
                let mut config = PostgresConfig::new(settings.url.expose());
                config.tables.clone_from(&settings.tables);
                config.slot = Some(settings.slot.clone());
                config.publication = Some(settings.publication.clone());
                config.snapshot_connections = settings.snapshot_connections;
                config.wal_budget_mb = settings.wal_budget_bytes >> 20;
                config.read_ahead_mb = settings.read_ahead_bytes >> 20;
                Box::new(PostgresSource::new(name, &config, self.clock.clone())?.without(aside))
            }
            SourceKind::Simulator(config) => Box::new(SimulatorSource::new(config.clone(), self.clock.clone())),
        })
    }

    /// Loads every plugin anew, so that a mended file is taken at the next try. Compiling blocks.
    async fn stage(&self) -> Result<Stage, Error> {
        let (plans, host) = (self.transforms.clone(), self.host.clone());
        let made = runtime::blocking("loading plugins", move || {
            let make = |plan: &TransformPlan| {
                let plugin = Plugin::load(&host, &plan.config.wasm)?;
                let made = PluginTransform::new(&plan.name, &plugin, &plan.config, Arc::clone(&plan.stats))?;
                Ok(Box::new(made) as Box<dyn pipeline::Transform>)
            };
            plans.iter().map(make).collect::<Result<Vec<_>, transform::Error>>()
        });
        let transforms = made.await.map_err(|e| Error::new(Kind::Bug, e.to_string()))?;
        Ok(Stage::new(transforms.map_err(Error::from)?))
    }
}

fn pipeline_settings(source: &SourceSettings) -> Settings {
    Settings {
        commit_every: source.commit.every,
        commit_rows_max: source.commit.rows_max,
        commit_bytes_max: source.commit.bytes_max,
        ..Settings::default()
    }
}

fn plan(settings: &TransformSettings) -> TransformPlan {
    TransformPlan { name: settings.name.clone(), config: settings.config.clone(), stats: Arc::default() }
}

/// What the API shows of a transform. A plugin that can't be loaded is shown with the reason; its pipelines retry.
fn entry(host: &Host, settings: &TransformSettings, plan: &TransformPlan) -> TransformEntry {
    let loaded = Plugin::load(host, &plan.config.wasm).and_then(|plugin| {
        // Also refused here: a configuration that the plugin does not take.
        PluginTransform::new(&plan.name, &plugin, &plan.config, Arc::default())?;
        Ok((plugin.info().clone(), plugin.sha256().to_owned()))
    });
    let config = TransformConfig { config: settings.config_shown.clone(), ..plan.config.clone() };
    TransformEntry {
        name: plan.name.clone(),
        config,
        plugin: loaded.map_err(|e| format!("{e} {}", e.hint).trim_end().to_owned()),
        stats: Arc::clone(&plan.stats),
    }
}

/// What this process keeps on local disk and can always make again: key indexes and compiled plugins. Beside a lake on disk, else in the working folder.
fn state_dir(config: &Config) -> PathBuf {
    let base = if config.lake.is_remote() { Path::new("") } else { Path::new(&config.lake.warehouse) };
    base.join(".lakebox")
}
