use crate::{Error, Kind, ticker::Ticker};
use std::{fs, path::Path, path::PathBuf, sync::Arc};
use wasmtime::{Cache, CacheConfig, Config, Engine};

/// How the plugins' engine is set up.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Where compiled code is kept between runs, by content of the plugin and version of the engine. The folder is made for us alone, since
    /// code in it is run without further checks. `None` compiles anew at every start.
    pub cache_dir: Option<PathBuf>,
}

/// Runs plugins. One per process; a cheap handle.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    ticker: Ticker,
}

/// Stack of a plugin. Deep recursion ends in a trap of its own.
const STACK_BYTES: usize = 512 << 10;

impl Host {
    /// Sets the engine up.
    ///
    /// # Errors
    /// [`Kind::Engine`] where the cache folder can't be made, is open to others, or the machine can't run WebAssembly.
    pub fn new(settings: &HostSettings) -> Result<Self, Error> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .epoch_interruption(true)
            .max_wasm_stack(STACK_BYTES)
            // The same rows give the same answer on every machine.
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true);
        if let Some(dir) = &settings.cache_dir {
            config.cache(Some(open_cache(dir)?));
        }
        let engine = Engine::new(&config).map_err(|e| {
            let hint = "Plugins need a 64-bit x86 or ARM machine that allows executable memory.";
            Error::new(Kind::Engine, "the WebAssembly engine can't be started", hint).with_source(e)
        })?;
        let ticker = Ticker::start(&engine).map_err(|e| {
            Error::new(Kind::Engine, "the thread that limits plugins' time can't be started", "Raise the limit of threads.")
                .with_source(e)
        })?;
        Ok(Self { inner: Arc::new(Inner { engine, ticker }) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.inner.ticker
    }
}

fn open_cache(dir: &Path) -> Result<Cache, Error> {
    let trouble =
        |what: &str| Error::new(Kind::Engine, format!("the folder of compiled plugins, {}, {what}", dir.display()), CACHE_HINT);
    private_folder(dir).map_err(|e| trouble("can't be made").with_source(e))?;
    if is_open_to_others(dir).map_err(|e| trouble("can't be read").with_source(e))? {
        return Err(trouble("can be written by other users of this machine, so what it holds can't be trusted"));
    }
    let dir = dir.canonicalize().map_err(|e| trouble("can't be found").with_source(e))?;
    let mut config = CacheConfig::new();
    config.with_directory(dir);
    Cache::new(config).map_err(|e| trouble("can't be used as a cache").with_source(e))
}

const CACHE_HINT: &str =
    "Give lakebox a folder of its own that only it can write (chmod 700), or remove this one: it is made again.";

#[cfg(unix)]
fn private_folder(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(unix)]
fn is_open_to_others(dir: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(dir)?.permissions().mode() & 0o022 != 0)
}

#[cfg(not(unix))]
fn private_folder(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}
