//! Results and failures as text.

use super::client::Failure;
use api::{Problem, SqlResponse};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value as Json;
use std::fmt::Write;

/// A result as a table with a line of facts below.
pub(super) fn table(result: &SqlResponse, width: Option<u16>) -> String {
    let mut text = String::new();
    if !result.columns.is_empty() {
        let names = result.columns.iter().map(|c| printable(&c.name));
        let rows = result.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>());
        let mut table = grid(names, rows, width);
        for (i, _) in result.columns.iter().enumerate().filter(|(_, c)| is_number(&c.data_type)) {
            if let Some(shown) = table.column_mut(i) {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
        let _ = writeln!(text, "{table}");
    }
    let rows = if result.row_count == 1 { "row" } else { "rows" };
    let more = if result.truncated { ", and there are more (--max-rows, or another --format)" } else { "" };
    let _ = writeln!(text, "({} {rows}{more}, {:.1} ms)", result.row_count, result.elapsed_ms);
    text
}

/// Names above rows.
pub(super) fn grid(names: impl Iterator<Item = String>, rows: impl Iterator<Item = Vec<String>>, width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(names.collect::<Vec<_>>());
    for row in rows {
        table.add_row(row);
    }
    table
}

fn is_number(data_type: &str) -> bool {
    let word = data_type.split(['(', ' ']).next().unwrap_or("");
    ["smallint", "integer", "bigint", "int", "real", "double", "float", "decimal", "numeric", "tinyint"].contains(&word)
}

fn cell(value: &Json) -> String {
    match value {
        Json::Null => "NULL".to_owned(),
        Json::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// Text that can't play tricks on a terminal: control characters are spelt out.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// Why there is no result, as errors are shown.
pub(super) fn failure(failure: &Failure) -> String {
    match failure {
        Failure::Refused { problem, statement } => refused(problem, statement),
        Failure::Unreachable { url, reason } => {
            format!(
                "error: no lakebox answers at {url}: {reason}\n  hint: Start it with `lakebox serve` or `lakebox demo`, or name another with --url."
            )
        }
        Failure::Broken { url, reason } => {
            format!(
                "error: what answers at {url} is no lakebox, or it went away: {reason}\n  hint: Check --url and lakebox's log."
            )
        }
        Failure::Usage { message, hint } => format!("error: {message}\n  hint: {hint}"),
        Failure::Output(e) => format!("error: input or output failed: {e}"),
        Failure::Cancelled => "cancelled".to_owned(),
    }
}

fn refused(problem: &Problem, statement: &str) -> String {
    let mut text = format!("error: {}", printable(&problem.detail));
    let line = problem.line.and_then(|line| statement.lines().nth(line.checked_sub(1)? as usize).map(|text| (line, text)));
    if let Some((number, line)) = line {
        let number = number.to_string();
        let _ = write!(text, "\n  {number} | {}", printable(line));
        if let Some(column) = problem.column {
            // What stands before the place takes as much room as its printable form.
            let before: String = line.chars().take((column as usize).saturating_sub(1)).collect();
            let _ = write!(text, "\n  {} | {}^", " ".repeat(number.len()), " ".repeat(printable(&before).chars().count()));
        }
    }
    if let Some(hint) = &problem.hint {
        let _ = write!(text, "\n  hint: {}", printable(hint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::SqlColumn;
    use serde_json::json;

    fn column(name: &str, data_type: &str) -> SqlColumn {
        SqlColumn { name: name.into(), data_type: data_type.into() }
    }

    fn result(columns: Vec<SqlColumn>, rows: Vec<Vec<Json>>) -> SqlResponse {
        let row_count = rows.len() as u64;
        SqlResponse {
            columns,
            rows,
            row_count,
            truncated: false,
            elapsed_ms: 1.25,
            bytes_scanned: 0,
            cost_usd: 0.0,
            query_id: String::new(),
            as_of: Vec::new(),
            estimate: None,
        }
    }

    #[test]
    fn numbers_stand_right_and_nothing_is_ambiguous() {
        let columns = vec![column("id", "bigint"), column("name", "text"), column("sum", "decimal(12,2)")];
        let rows = vec![
            vec![json!(1), json!("a\u{1b}[31m\nb"), json!("12.50")],
            vec![json!("9007199254740993"), json!(null), json!("7.00")],
        ];
        insta::assert_snapshot!(table(&result(columns, rows), None), @r"
        ┌──────────────────┬────────────────┬───────┐
        │               id ┆ name           ┆   sum │
        ╞══════════════════╪════════════════╪═══════╡
        │                1 ┆ a\u{1b}[31m\nb ┆ 12.50 │
        │ 9007199254740993 ┆ NULL           ┆  7.00 │
        └──────────────────┴────────────────┴───────┘
        (2 rows, 1.2 ms)
        ");
    }

    #[test]
    fn a_statement_without_columns_only_says_so() {
        assert_eq!(table(&result(Vec::new(), Vec::new()), None), "(0 rows, 1.2 ms)\n");
    }

    #[test]
    fn an_error_points_to_its_place() {
        let problem = Problem {
            kind: "about:blank".into(),
            title: "Bad Request".into(),
            status: 400,
            code: "sql.column".into(),
            detail: "there is no column `nme`".into(),
            hint: Some("Did you mean `name`?".into()),
            line: Some(2),
            column: Some(9),
        };
        let statement = "select\n\té, id, nme\nfrom t".to_owned();
        insta::assert_snapshot!(failure(&Failure::Refused { problem: Box::new(problem), statement }), @r"
        error: there is no column `nme`
          2 | \té, id, nme
            |          ^
          hint: Did you mean `name`?
        ");
    }
}
