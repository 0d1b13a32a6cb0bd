//! `lakebox sql`: one query, a file of queries, or a prompt, against a running lakebox over HTTP.

mod client;
mod prompt;
mod render;
mod statements;

use super::{ResultFormat, SqlArgs};
use client::{Client, Failure};
use std::{
    io::{self, IsTerminal, Read, Write},
    process::ExitCode,
};

/// What the process tells its caller: 0 done, 1 a query failed, 3 no lakebox there, 130 cancelled with Ctrl-C.
const UNREACHABLE: u8 = 3;
const CANCELLED: u8 = 130;

/// `lakebox sql`. Owns its thread and makes the runtime it needs: the prompt blocks while it waits for a person.
pub fn sql(args: &SqlArgs) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => told(&failure),
    }
}

/// Tells a failure, and gives the code to exit with.
fn told(failure: &Failure) -> ExitCode {
    // Standard error may be closed too; there is nobody left to tell then.
    let _ = writeln!(io::stderr(), "{}", render::failure(failure));
    match failure {
        Failure::Unreachable { .. } => ExitCode::from(UNREACHABLE),
        Failure::Cancelled => ExitCode::from(CANCELLED),
        _ => ExitCode::FAILURE,
    }
}

/// Sends `body` to a path of lakebox and reads its answer; what goes wrong is told, and the code to exit with returned.
pub(super) fn ask<T: serde::de::DeserializeOwned>(url: &str, path: &str, body: &impl serde::Serialize) -> Result<T, ExitCode> {
    let asked = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Output)?;
        let client = Client::new(url)?;
        runtime.block_on(client.post(path, body))
    };
    asked().map_err(|failure: Failure| told(&failure))
}

/// Reads a path of lakebox; what goes wrong is told, and the code to exit with returned.
pub(super) fn fetch<T: serde::de::DeserializeOwned>(url: &str, path: &str) -> Result<T, ExitCode> {
    let asked = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Output)?;
        let client = Client::new(url)?;
        runtime.block_on(client.get(path))
    };
    asked().map_err(|failure: Failure| told(&failure))
}

fn run(args: &SqlArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Output)?;
    let client = Client::new(args.url.as_str())?;
    if args.format == ResultFormat::Arrow && io::stdout().is_terminal() {
        let message = "Arrow is no text for a terminal".to_owned();
        return Err(Failure::Usage { message, hint: "Send it somewhere: lakebox sql -c … --format arrow > result.arrows" });
    }
    let text = match (&args.command, &args.file) {
        (Some(command), _) => command.clone(),
        (None, Some(file)) if file.as_os_str() != "-" => std::fs::read_to_string(file).map_err(|e| Failure::Usage {
            message: format!("{} can't be read: {e}", file.display()),
            hint: "Name a file with SQL statements, each ended by `;`.",
        })?,
        (None, None) if io::stdin().is_terminal() => return prompt::run(&client, args, &runtime),
        (None, _) => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(Failure::Output)?;
            text
        }
    };
    let statements = statements::split(&text);
    if statements.is_empty() {
        return Err(Failure::Usage {
            message: "there is no statement to run".into(),
            hint: "For example: lakebox sql -c 'select 1'",
        });
    }
    statements.into_iter().try_for_each(|statement| runtime.block_on(execute(&client, args, statement)))
}

/// Runs one statement and prints its result. Ctrl-C cancels it on the server.
async fn execute(client: &Client, args: &SqlArgs, statement: &str) -> Result<(), Failure> {
    let accept = match args.format {
        ResultFormat::Table => {
            let result = client.rows(statement, args.max_rows).await?;
            return print(render::table(&result, terminal_width()).as_bytes());
        }
        ResultFormat::Json => {
            let mut text = client.json(statement, args.max_rows).await?;
            text.push(b'\n');
            return print(&text);
        }
        ResultFormat::Csv => "text/csv",
        ResultFormat::Ndjson => "application/x-ndjson",
        ResultFormat::Arrow => "application/vnd.apache.arrow.stream",
    };
    client.copy(statement, accept, &mut io::stdout().lock()).await
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Columns of the terminal; `None` where the output goes elsewhere and nothing is to be cut or wrapped.
fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width().filter(|_| io::stdout().is_terminal())
}
