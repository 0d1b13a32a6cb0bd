//! `lakebox demo`: the bundled example, unpacked into a folder and served. It needs no server and no network.

use crate::{
    cli::DemoArgs,
    config::{self, SourceKind},
    serve,
};
use anyhow::{Context, Result, anyhow};
use rust_embed::RustEmbed;
use serde::Deserialize;
use std::{fs, path::Path};

const PLUGIN: &str = "mask_pii.wasm";

#[derive(RustEmbed)]
#[folder = "demo"]
struct Project;

#[derive(RustEmbed)]
#[folder = "../../plugins/dist"]
#[include = "mask_pii.wasm"]
struct Plugins;

#[derive(Deserialize)]
struct SavedQuery {
    name: String,
    query: String,
}

/// Unpacks the example into the folder asked for (kept as it is where it exists already) or, without one, into a folder that goes when the
/// process ends, and serves it.
///
/// # Errors
/// As [`serve::serve`], or where the folder can't be written.
pub fn run(args: &DemoArgs) -> Result<()> {
    let temporary;
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        None => {
            temporary = tempfile::Builder::new().prefix("lakebox-demo").tempdir().context("making a folder for the demo")?;
            temporary.path().to_owned()
        }
    };
    let config_path = folder.join("lakebox.yaml");
    if !config_path.exists() {
        unpack(&folder).with_context(|| format!("unpacking the demo into {}", folder.display()))?;
    }
    let mut config = config::load(&config_path).map_err(|report| anyhow!("{report}"))?.config;
    (config.server.http, config.server.pgwire, config.server.flight) = (args.http, args.pgwire, args.flight);
    for source in &mut config.sources {
        if let SourceKind::Simulator(simulator) = &mut source.kind {
            simulator.rate = args.rate;
        }
    }
    let options = serve::Options { config_path: None, demo: true, saved_queries: saved_queries()? };
    serve::serve(config, options)
}

fn unpack(folder: &Path) -> Result<()> {
    for name in Project::iter().filter(|name| name != "queries.json") {
        if let Some(file) = Project::get(&name) {
            write(&folder.join(name.as_ref()), &file.data)?;
        }
    }
    let plugin = Plugins::get(PLUGIN)
        .ok_or_else(|| anyhow!("this binary was built without its plugins; build it with `make plugins build`"))?;
    write(&folder.join("plugins").join(PLUGIN), &plugin.data)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, bytes)?)
}

fn saved_queries() -> Result<Vec<(String, String)>> {
    let file = Project::get("queries.json").context("the demo has no queries")?;
    let queries: Vec<SavedQuery> = serde_json::from_slice(&file.data).context("reading the demo's queries")?;
    Ok(queries.into_iter().map(|q| (q.name, q.query)).collect())
}
