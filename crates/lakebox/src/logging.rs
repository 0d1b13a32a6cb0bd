//! Logs to standard error: lines for people on a terminal, JSON lines elsewhere when asked.

use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// What of the libraries' own chatter is worth keeping.
const QUIET: &str =
    "sqlx=warn,datafusion=warn,wasmtime=warn,cranelift=warn,h2=warn,hyper=warn,object_store=warn,iceberg=warn,pgwire=warn";

/// Starts logging. `filter` is in the form `info,lake=debug`; `json` asks for one JSON object a line.
pub fn start(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")));
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
    } else {
        let layer = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(std::io::stderr().is_terminal());
        registry.with(layer).init();
    }
}
