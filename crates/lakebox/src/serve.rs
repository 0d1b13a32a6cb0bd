//! `lakebox serve`: wire everything, run until a signal, drain.

use crate::{
    config::{Config, Secret},
    fleet::Fleet,
};
use anyhow::{Context, Result, anyhow};
use catalog::Catalog;
use lake::{Lake, LakeSettings};
use medallion::{Advisor, Models, ModelsSettings, Upkeep};
use query::{Access, Engine, QuerySettings, Users, serve_flight, serve_pgwire};
use runtime::{CancellationToken, SharedClock, SystemClock, Tasks};
use server::{App, AppParts, IcebergClient, IcebergSettings};
use std::{future::Future, io, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::net::TcpListener;

/// Threads of one runtime for blocking work. Each keeps memory that it once needed, and a disk is busy with far fewer.
pub(crate) const BLOCKING_THREADS_MAX: usize = 8;

const HTTP_PATIENCE: Duration = Duration::from_secs(5);

/// What `serve` and `demo` differ in.
pub struct Options {
    /// The configuration file, as the user named it.
    pub config_path: Option<PathBuf>,
    /// Whether this is the bundled example.
    pub demo: bool,
    /// Queries that the dashboard shows from the start, as (name, statement); added to an empty lake only.
    pub saved_queries: Vec<(String, String)>,
}

/// Runs until SIGTERM or SIGINT, which drain; a second signal exits at once.
///
/// # Errors
/// Whatever keeps lakebox from starting, before anything was changed: a port in use, a lake in use, a catalog that can't be opened.
pub fn serve(config: Config, options: Options) -> Result<()> {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("serve")
        .enable_all()
        .build()?;
    threads.block_on(run(config, options))
}

async fn run(config: Config, options: Options) -> Result<()> {
    let clock = SystemClock::shared();
    let started_us = clock.now_us();
    let stop = CancellationToken::new();
    // Ports first: a second lakebox, or any other program, is noticed before a file is touched.
    let http = bind(config.server.http, "http", "the dashboard and the API").await?;
    let pgwire = bind(config.server.pgwire, "pgwire", "the PostgreSQL wire").await?;
    let flight = bind(config.server.flight, "flight", "Flight SQL").await?;
    let access = access(&config)?;
    let catalog = Catalog::open(config.lake.catalog.expose(), clock.clone()).await.map_err(told)?;
    // One lakebox runs the pipelines of a catalog. Commits are safe without it; the claim says so early and clearly.
    let _claim = catalog.claim("pipelines").await.map_err(told)?;
    let lake = Lake::open(lake_settings(&config), catalog.clone(), clock.clone()).await.map_err(told)?;
    let engine = engine(&config, &lake, &clock)?;
    let (fleet, pipelines, transforms) = Fleet::new(&config, &lake, &catalog, &clock).await?;
    let tasks = Tasks::new(stop.clone());
    crate::memory::give_back(&tasks, clock.clone());
    let models = models(&config, &lake, &engine, &catalog, &clock, &tasks).await?;
    let upkeep = Upkeep::start(config.upkeep.clone(), lake.clone(), catalog.clone(), clock.clone(), &tasks);
    let advisor = Advisor::start(engine.clone(), lake.clone(), catalog.clone(), upkeep.clone(), clock.clone(), &tasks)
        .await
        .map_err(told)?;
    save_first_queries(&catalog, &options).await?;

    let app = App::new(AppParts {
        lake: lake.clone(),
        catalog,
        engine: engine.clone(),
        pipelines,
        transforms,
        models,
        upkeep,
        advisor,
        clock,
        about: about(&config, &options),
        started_us,
        warehouse_dir: (!config.lake.is_remote()).then(|| PathBuf::from(&config.lake.warehouse)),
        hosts: config.server.hosts.clone(),
        iceberg: iceberg(&config),
        stopping: stop.clone(),
    });

    spawn_server(&tasks, "http", server::serve(app, http, stop.clone()));
    spawn_server(&tasks, "flight", serve_flight(engine.clone(), flight, access.clone(), stop.clone()));
    spawn_server(&tasks, "pgwire", serve_pgwire(engine, pgwire, access, stop.clone()));
    let fleet = fleet.start(stop.clone())?;
    greet(&config, &options);

    let signal = signals().await?;
    tracing::info!("{signal}: committing what was read, then stopping; a second signal stops at once");
    // Not one of `tasks`: nobody waits for a signal that need not come.
    let impatience = Tasks::default();
    exit_on_next_signal(&impatience);
    stop.cancel();
    runtime::blocking("draining", move || fleet.join()).await?;
    tasks.shutdown(HTTP_PATIENCE).await;
    tracing::info!("stopped");
    Ok(())
}

fn spawn_server<E: std::fmt::Display>(
    tasks: &Tasks,
    name: &'static str,
    serving: impl Future<Output = std::result::Result<(), E>> + Send + 'static,
) {
    tasks.spawn(name, async move {
        if let Err(e) = serving.await {
            tracing::error!("{name} stopped serving: {e}");
        }
    });
}

async fn bind(address: SocketAddr, setting: &str, what: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "{address} is taken by another program, so {what} can't be served there. Stop that program (is another lakebox running?) or set \
             `server.{setting}` to another address."
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("This user may not listen on {address} for {what}. Set `server.{setting}` to a port above 1023.")
        }
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{address} is not an address of this machine, so {what} can't be served there. Set `server.{setting}` to 127.0.0.1 or 0.0.0.0.")
        }
        _ => anyhow!("{what} can't be served at {address}: {e}. Check `server.{setting}`."),
    })
}

/// How connections are let in. What is kept of passwords is made here; the passwords themselves are not kept.
fn access(config: &Config) -> Result<Access> {
    let users = Users::new(config.server.users.iter().map(|(name, password)| (name.clone(), password.expose())));
    let tls = config.server.tls.as_ref().map(|(cert, key)| crate::tls::load(cert, key)).transpose().context("server.tls")?;
    Ok(Access { users, tls })
}

fn lake_settings(config: &Config) -> LakeSettings {
    let options = config.lake.options.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect();
    LakeSettings { warehouse: config.lake.warehouse.clone(), options }
}

fn engine(config: &Config, lake: &Lake, clock: &SharedClock) -> Result<Engine> {
    let settings = QuerySettings {
        memory_bytes_max: config.server.query_memory_bytes_max,
        spill_bytes_max: config.server.query_spill_bytes_max,
        bytes_scanned_max: config.server.query_bytes_scanned_max,
        price_per_tb: config.server.query_price_per_tb,
        running_max: config.server.queries_running_max,
        timeout_ms: u64::try_from(config.server.query_timeout.as_millis()).unwrap_or(u64::MAX),
        ..QuerySettings::default()
    };
    Engine::new(std::sync::Arc::new(lake.clone()), lake.store(), settings, clock.clone()).map_err(told)
}

async fn models(
    config: &Config,
    lake: &Lake,
    engine: &Engine,
    catalog: &Catalog,
    clock: &SharedClock,
    tasks: &Tasks,
) -> Result<Models> {
    let mut settings = ModelsSettings::default();
    if let Some(folder) = &config.models {
        settings.folder.clone_from(folder);
    }
    let started = Models::start(settings, lake.clone(), engine.clone(), catalog.clone(), clock.clone(), tasks);
    started.await.map_err(told)
}

fn about(config: &Config, options: &Options) -> api::About {
    api::About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        license: "Apache-2.0".to_owned(),
        pgwire: config.server.pgwire.to_string(),
        warehouse: config.lake.warehouse.clone(),
        config_path: options.config_path.as_ref().map(|p| p.display().to_string()),
        demo: options.demo,
    }
}

/// The Iceberg REST catalog: who may use it, and how engines reach the warehouse by themselves.
fn iceberg(config: &Config) -> IcebergSettings {
    let server = &config.server.iceberg;
    if server.clients.is_empty() && !server.open {
        tracing::warn!(
            "the Iceberg REST catalog at /iceberg answers nobody: the HTTP port is not on loopback, and `server.iceberg.clients` is empty"
        );
    }
    let option = |names: &[&str]| names.iter().find_map(|n| config.lake.options.get(*n)).map(|v| v.expose().to_owned());
    let s3 = config.lake.warehouse.starts_with("s3");
    let named = |pairs: &[(&str, Option<String>)]| {
        pairs.iter().filter(|_| s3).filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect()
    };
    let region = option(&["aws_region", "region", "aws_default_region", "default_region"]);
    let endpoint = option(&["aws_endpoint", "endpoint", "aws_endpoint_url", "endpoint_url"]);
    let virtual_hosted =
        option(&["aws_virtual_hosted_style_request", "virtual_hosted_style_request"]).is_some_and(|v| v == "true");
    // Stores with an endpoint of their own are asked by path unless they are set up otherwise, as lakebox itself does.
    let by_path = endpoint.as_ref().map(|_| (!virtual_hosted).to_string());
    let storage = named(&[
        ("s3.endpoint", endpoint),
        ("s3.path-style-access", by_path),
        ("s3.region", region.clone()),
        ("client.region", region),
    ]);
    let credentials = named(&[
        ("s3.access-key-id", option(&["aws_access_key_id", "access_key_id"])),
        ("s3.secret-access-key", option(&["aws_secret_access_key", "secret_access_key"])),
        ("s3.session-token", option(&["aws_session_token", "aws_token", "session_token", "token"])),
    ]);
    let client = |(id, secret): &(String, Secret)| IcebergClient { id: id.clone(), secret: secret.expose().to_owned() };
    IcebergSettings {
        clients: server.clients.iter().map(client).collect(),
        open: server.open,
        token_lifetime: server.token_lifetime,
        storage,
        credentials: if server.vend_credentials { credentials } else { Default::default() },
    }
}

async fn save_first_queries(catalog: &Catalog, options: &Options) -> Result<()> {
    if options.saved_queries.is_empty() || !catalog.saved_queries().await?.is_empty() {
        return Ok(());
    }
    for (name, statement) in &options.saved_queries {
        catalog.add_saved_query(name, statement).await?;
    }
    Ok(())
}

fn greet(config: &Config, options: &Options) {
    let what = if options.demo { "the demo" } else { "lakebox" };
    let pgwire = config.server.pgwire;
    tracing::info!("{what} is ready: dashboard http://{}", config.server.http);
    tracing::info!(
        "SQL: lakebox sql, or psql -h {} -p {} -d lakebox; Flight SQL: {}; lake: {}",
        pgwire.ip(),
        pgwire.port(),
        config.server.flight,
        config.lake.warehouse
    );
}

/// Waits for the first SIGTERM or SIGINT.
async fn signals() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

fn exit_on_next_signal(tasks: &Tasks) {
    tasks.spawn("second signal", async {
        if signals().await.is_ok() {
            tracing::warn!("stopped at once; what was not committed is read again at the next start");
            std::process::exit(130);
        }
    });
}

/// An error of a room, kept as it is so that [`in_full`] finds its hint.
fn told<E: std::error::Error + Send + Sync + 'static>(error: E) -> anyhow::Error {
    anyhow::Error::new(error)
}

/// What happened with its causes, each said once, and what to do about it.
pub fn in_full(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        if let Some(hint) = hint_of(cause) {
            text.push_str(". ");
            text.push_str(&hint);
        }
    }
    text
}

fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let catalog = error.downcast_ref::<catalog::Error>().and_then(|e| e.hint.as_ref().map(ToString::to_string));
    let lake = || error.downcast_ref::<lake::Error>().and_then(|e| e.hint.as_ref().map(ToString::to_string));
    let query = || error.downcast_ref::<query::Error>().and_then(|e| e.hint.clone());
    let models = || error.downcast_ref::<medallion::Error>().and_then(|e| e.hint.as_ref().map(ToString::to_string));
    catalog.or_else(lake).or_else(query).or_else(models)
}
