//! The command line: what can be asked, and the commands that need no lake. `serve` and `demo` are the fleet's.

mod advise;
mod check;
mod init;
mod sql;
mod upkeep;

pub use advise::advise;
pub use check::check;
pub use init::init;
pub use sql::sql;
pub use upkeep::upkeep;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// The data lake in one program: change data capture in, tables and SQL out.
#[derive(Debug, Parser)]
#[command(name = "lakebox", version, about, max_term_width = 100)]
pub struct Cli {
    /// How log lines look on standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "LAKEBOX_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by part, such as `info,source_postgres=debug`.
    #[arg(long, global = true, default_value = "info", env = "LAKEBOX_LOG", value_name = "LEVELS")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything until told to stop (SIGTERM or Ctrl-C: what has arrived is committed first).
    Serve(ServeArgs),
    /// Serve a bundled example: a simulated bank. Needs no server and no network.
    Demo(DemoArgs),
    /// Make a new project: configuration, models, plugins, README. Never overwrites a file.
    Init(InitArgs),
    /// Validate the configuration; every problem with file, line, column and a hint.
    Check(CheckArgs),
    /// Run one query, or open a prompt.
    Sql(SqlArgs),
    /// Bring tables into shape now: merge small files, drop deleted rows, let old snapshots go.
    Upkeep(UpkeepArgs),
    /// List layouts that would let queries read less, by what the queries of the last days did, and apply them.
    Advise(AdviseArgs),
    /// Print the JSON Schema of lakebox.yaml.
    ConfigSchema,
    /// Print the description of the HTTP API (OpenAPI).
    Openapi,
}

/// `lakebox serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The configuration file.
    #[arg(long, short, default_value = "lakebox.yaml", env = "LAKEBOX_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

/// `lakebox demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where the demo's lake is kept. Without it, a folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the dashboard and the API listen.
    #[arg(long, default_value = "127.0.0.1:8480", value_name = "ADDRESS")]
    pub http: SocketAddr,
    /// Where PostgreSQL clients connect.
    #[arg(long, default_value = "127.0.0.1:5480", value_name = "ADDRESS")]
    pub pgwire: SocketAddr,
    /// Where Flight SQL clients connect.
    #[arg(long, default_value = "127.0.0.1:8481", value_name = "ADDRESS")]
    pub flight: SocketAddr,
    /// Transactions per second of the simulated bank, on average.
    #[arg(long, default_value_t = 200.0, value_name = "NUMBER")]
    pub rate: f64,
}

/// `lakebox init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// The project's folder; made if it is not there.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `lakebox check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The configuration file.
    #[arg(long, short, default_value = "lakebox.yaml", env = "LAKEBOX_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub format: CheckFormat,
}

/// `lakebox sql`.
#[derive(Debug, Clone, Args)]
pub struct SqlArgs {
    /// Run this statement and leave. Several, separated by `;`, run one after the other.
    #[arg(long, short, value_name = "SQL")]
    pub command: Option<String>,
    /// Run the statements of this file and leave; `-` is standard input.
    #[arg(value_name = "FILE", conflicts_with = "command")]
    pub file: Option<PathBuf>,
    /// The lakebox to ask.
    #[arg(long, default_value = "http://127.0.0.1:8480", env = "LAKEBOX_URL", value_name = "URL")]
    pub url: url::Url,
    /// How results are printed.
    #[arg(long, short, value_enum, default_value_t = ResultFormat::Table)]
    pub format: ResultFormat,
    /// Rows that a table or `json` shows at most; the other formats have no limit.
    #[arg(long, default_value_t = 10_000, value_name = "ROWS")]
    pub max_rows: u64,
}

/// `lakebox upkeep`.
#[derive(Debug, Clone, Args)]
pub struct UpkeepArgs {
    /// The table, as layer.name; without it every table.
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// Only these steps: rewrite, manifests, expire, orphans. Without it the first three.
    #[arg(long = "step", value_name = "STEP")]
    pub steps: Vec<String>,
    /// Only put it in line.
    #[arg(long)]
    pub no_wait: bool,
    /// The lakebox to ask.
    #[arg(long, default_value = "http://127.0.0.1:8480", env = "LAKEBOX_URL", value_name = "URL")]
    pub url: url::Url,
}

/// `lakebox advise`.
#[derive(Debug, Clone, Args)]
pub struct AdviseArgs {
    /// Apply this advice, or, without an id, all of it.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = advise::ALL)]
    pub apply: Option<String>,
    /// The lakebox to ask.
    #[arg(long, default_value = "http://127.0.0.1:8480", env = "LAKEBOX_URL", value_name = "URL")]
    pub url: url::Url,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How problems are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// One problem a line, as compilers do, with the hint below it.
    Human,
    /// One JSON object.
    Json,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// A table for people.
    Table,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object with columns and rows, as the API gives it.
    Json,
    /// One JSON object a row.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contract_of_the_design_parses() {
        for line in [
            "lakebox serve",
            "lakebox serve --config other.yaml",
            "lakebox demo",
            "lakebox init DIR",
            "lakebox check --config x.yaml --format json",
            "lakebox sql",
            "lakebox sql -c SELECT --url http://h:1 --format arrow",
            "lakebox sql queries.sql --format csv",
            "lakebox upkeep",
            "lakebox upkeep silver.shop_orders --step rewrite --step expire --no-wait",
            "lakebox advise",
            "lakebox advise --apply",
            "lakebox advise --apply silver.shop_orders:sort:id --url http://h:1",
            "lakebox config-schema",
            "lakebox openapi",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in ["lakebox", "lakebox init", "lakebox sql --format xml", "lakebox sql -c x file", "lakebox sql --url nonsense"]
        {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
