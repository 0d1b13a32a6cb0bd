//! lakebox: one program from a live database to queries and dashboards.

mod cli;
mod config;
mod demo;
mod fleet;
mod logging;
mod memory;
mod serve;
mod tls;

use clap::Parser;
use cli::{Cli, Command, LogFormat};
use std::{path::Path, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.log_format == LogFormat::Json;
    let result = match cli.command {
        Command::Serve(args) => {
            logging::start(&cli.log, json);
            return serve_config(&args.config);
        }
        Command::Demo(args) => {
            logging::start(&cli.log, json);
            demo::run(&args)
        }
        Command::Init(args) => return cli::init(&args),
        Command::Check(args) => return cli::check(&args),
        Command::Sql(args) => return cli::sql(&args),
        Command::Upkeep(args) => return cli::upkeep(&args),
        Command::Advise(args) => return cli::advise(&args),
        Command::ConfigSchema => {
            print!("{}", config::schema_json());
            Ok(())
        }
        Command::Openapi => server::openapi_json().map(|text| print!("{text}")).map_err(Into::into),
    };
    finish(result)
}

/// Reports every problem of the configuration, or serves it.
fn serve_config(path: &Path) -> ExitCode {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprint!("{report}");
            return ExitCode::FAILURE;
        }
    };
    if !loaded.report.problems.is_empty() {
        eprint!("{}", loaded.report);
    }
    let options = serve::Options { config_path: Some(path.to_owned()), demo: false, saved_queries: Vec::new() };
    finish(serve::serve(loaded.config, options))
}

/// An error in one line, with its causes and what to do.
fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lakebox: {}", serve::in_full(&error));
            ExitCode::FAILURE
        }
    }
}
