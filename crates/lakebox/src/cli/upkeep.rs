//! `lakebox upkeep`: asks a running lakebox to bring tables into shape, and tells what was done.

use super::{UpkeepArgs, sql::ask};
use api::{UpkeepAnswer, UpkeepRequest, UpkeepRun};
use comfy_table::{CellAlignment, Table, presets};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// `lakebox upkeep`: 0 done, 1 a step failed or was refused, 3 no lakebox there.
pub fn upkeep(args: &UpkeepArgs) -> ExitCode {
    let request = UpkeepRequest { table: args.table.clone(), steps: args.steps.clone(), wait: !args.no_wait };
    let answer: UpkeepAnswer = match ask(args.url.as_str(), "/api/v1/upkeep", &request) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let text = if answer.done {
        render(&answer.runs)
    } else {
        "Upkeep is in line; the dashboard and `lakebox sql -c 'select * from system.upkeep'` tell what it does.".to_owned()
    };
    // Nobody reads it where standard output is closed.
    let _ = writeln!(io::stdout(), "{text}");
    if answer.runs.iter().any(|run| run.error.is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn render(runs: &[UpkeepRun]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["table", "step", "files", "bytes", "deleted rows", "snapshots", "took", ""]);
    for column in 2..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for run in runs {
        let change =
            |before: u64, after: u64| if before == 0 && after == 0 { String::new() } else { format!("{before} → {after}") };
        table.add_row([
            run.table.clone().unwrap_or_else(|| "the warehouse".to_owned()),
            run.step.clone(),
            change(run.files_before, run.files_after),
            change(run.bytes_before, run.bytes_after),
            count(run.deleted_rows),
            count(run.snapshots),
            format!("{:.1} s", run.elapsed_ms / 1000.0),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn count(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}
