//! lakebox: one program from a live database to queries and dashboards.
//!
//! `main` reads the command line and the configuration, wires the rooms together and forwards signals. It knows every other crate and
//! no crate knows it.

mod cli;
#[allow(dead_code, unused_imports, reason = "`serve` reads all of it")]
mod config;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => cli::check(&args),
        Command::Init(args) => cli::init(&args),
        Command::Sql(args) => cli::sql(&args),
        Command::ConfigSchema => {
            print!("{}", config::schema_json());
            ExitCode::SUCCESS
        }
        Command::Serve(_) | Command::Demo(_) | Command::Openapi => ExitCode::FAILURE,
    }
}
