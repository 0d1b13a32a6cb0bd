//! The prompt.

use super::{
    super::SqlArgs,
    client::{Client, Failure},
    execute, print, render, statements, terminal_width,
};
use api::{SchemaTable, SchemaTree};
use rustyline::{
    Context, Editor, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use std::{io, path::PathBuf};
use tokio::runtime::Runtime;

const HELP: &str = "\
A statement ends with `;` and may take several lines. Ctrl-C cancels a running one.
  \\d           tables
  \\d NAME      columns of a table, for example \\d silver.shop_orders
  \\?           this help
  \\q           leave (or Ctrl-D)
";

/// Words that start a statement or a clause.
const WORDS: [&str; 20] = [
    "select",
    "from",
    "where",
    "group by",
    "order by",
    "having",
    "limit",
    "join",
    "left join",
    "using",
    "with",
    "union all",
    "count(*)",
    "explain",
    "describe",
    "show tables",
    "distinct",
    "between",
    "case when",
    "is not null",
];

/// Reads and runs statements until the person leaves. A statement that fails does not end it.
pub(super) fn run(client: &Client, args: &SqlArgs, runtime: &Runtime) -> Result<(), Failure> {
    // An unreachable server is told at once, before anything is typed.
    let tree = runtime.block_on(client.schema())?;
    let mut editor: Editor<SqlHelper, FileHistory> = Editor::new().map_err(from_readline)?;
    editor.set_helper(Some(SqlHelper { words: words(&tree) }));
    let history = history_file();
    if let Some(file) = &history {
        // There is none at the first time.
        let _ = editor.load_history(file);
    }
    print(format!("lakebox {} at {}; \\? helps, \\q leaves\n", env!("CARGO_PKG_VERSION"), client.base()).as_bytes())?;
    loop {
        match editor.readline("lakebox> ") {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                // Without a history the prompt still works.
                let _ = editor.add_history_entry(text.trim());
                if let Some(file) = &history {
                    let _ = editor.append_history(file);
                }
                if matches!(text.trim(), "\\q" | "quit" | "exit" | "quit;" | "exit;") {
                    return Ok(());
                }
                answer(client, args, runtime, &text)?;
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(from_readline(error)),
        }
    }
}

/// Does what was typed and prints what came of it. Fails only where printing does.
fn answer(client: &Client, args: &SqlArgs, runtime: &Runtime, text: &str) -> Result<(), Failure> {
    let done = match text.trim().strip_prefix('\\') {
        Some(command) => command_text(command, || runtime.block_on(client.schema())).and_then(|text| print(text.as_bytes())),
        None => statements::split(text).into_iter().try_for_each(|one| runtime.block_on(execute(client, args, one))),
    };
    match done {
        Err(Failure::Output(e)) => Err(Failure::Output(e)),
        Err(failure) => print(format!("{}\n", render::failure(&failure)).as_bytes()),
        Ok(()) => Ok(()),
    }
}

/// What a backslash command prints.
fn command_text(command: &str, schema: impl FnOnce() -> Result<SchemaTree, Failure>) -> Result<String, Failure> {
    let (word, name) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let name = name.trim().trim_end_matches(';');
    match (word.trim_end_matches(';'), name) {
        ("d" | "dt", "") => Ok(tables(&schema()?)),
        ("d" | "dt", name) => Ok(columns(&schema()?, name)),
        ("?" | "h" | "help", _) => Ok(HELP.to_owned()),
        _ => Ok(format!("There is no command \\{word}.\n{HELP}")),
    }
}

fn tables(tree: &SchemaTree) -> String {
    let rows = tree.tables.iter().map(|t| vec![t.layer.clone(), t.name.clone(), t.columns.len().to_string()]);
    format!("{}\n", render::grid(["layer", "table", "columns"].map(str::to_owned).into_iter(), rows, terminal_width()))
}

fn columns(tree: &SchemaTree, name: &str) -> String {
    let is_meant = |t: &&SchemaTable| t.name == name || format!("{}.{}", t.layer, t.name) == name;
    let found: Vec<_> = tree.tables.iter().filter(is_meant).collect();
    if found.is_empty() {
        return format!("There is no table {name}; \\d lists them.\n");
    }
    let one = |table: &SchemaTable| {
        let rows = table.columns.iter().map(|c| vec![c.name.clone(), c.data_type.clone()]);
        let grid = render::grid(["column", "type"].map(str::to_owned).into_iter(), rows, terminal_width());
        format!("{}.{}\n{grid}\n", table.layer, table.name)
    };
    found.into_iter().map(one).collect()
}

/// What Tab completes: tables, columns, functions and a few words.
fn words(tree: &SchemaTree) -> Vec<String> {
    let tables = tree.tables.iter().map(|t| format!("{}.{}", t.layer, t.name));
    let columns = tree.tables.iter().flat_map(|t| t.columns.iter().map(|c| c.name.clone()));
    let functions = tree.functions.iter().map(|f| format!("{f}("));
    let mut all: Vec<_> = tables.chain(columns).chain(functions).chain(WORDS.map(str::to_owned)).collect();
    all.sort();
    all.dedup();
    all
}

/// In the user's data folder; without one there is no history.
fn history_file() -> Option<PathBuf> {
    let folder = crate::config::user_data_folder()?.join("lakebox");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

fn from_readline(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(e) => Failure::Output(e),
        other => Failure::Output(io::Error::other(other.to_string())),
    }
}

/// Several lines until the statement ends, and completion.
struct SqlHelper {
    words: Vec<String>,
}

impl Helper for SqlHelper {}
impl Highlighter for SqlHelper {}
impl Hinter for SqlHelper {
    type Hint = String;
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if statements::is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for SqlHelper {
    type Candidate = String;
    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(completions(&self.words, &line[..at]))
    }
}

/// Where the last word of `text` begins, and what it may become.
fn completions(words: &[String], text: &str) -> (usize, Vec<String>) {
    let from = text
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
    let begun = text[from..].to_lowercase();
    if begun.is_empty() {
        return (from, Vec::new());
    }
    (from, words.iter().filter(|w| w.to_lowercase().starts_with(&begun)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::SqlColumn;

    fn tree() -> SchemaTree {
        let column = SqlColumn { name: "id".into(), data_type: "bigint".into() };
        let table = |layer: &str| SchemaTable { layer: layer.into(), name: "shop_orders".into(), columns: vec![column.clone()] };
        SchemaTree { tables: vec![table("bronze"), table("silver")], functions: vec!["abs".into()] }
    }

    #[test]
    fn tables_and_columns_are_described() {
        insta::assert_snapshot!(command_text("d", || Ok(tree())).unwrap(), @"
        ┌────────┬─────────────┬─────────┐
        │ layer  ┆ table       ┆ columns │
        ╞════════╪═════════════╪═════════╡
        │ bronze ┆ shop_orders ┆ 1       │
        │ silver ┆ shop_orders ┆ 1       │
        └────────┴─────────────┴─────────┘
        ");
        insta::assert_snapshot!(command_text("d silver.shop_orders;", || Ok(tree())).unwrap(), @"
        silver.shop_orders
        ┌────────┬────────┐
        │ column ┆ type   │
        ╞════════╪════════╡
        │ id     ┆ bigint │
        └────────┴────────┘
        ");
        assert_eq!(command_text("d shop_orders", || Ok(tree())).unwrap().matches("shop_orders").count(), 2);
        assert_eq!(command_text("dt nothing", || Ok(tree())).unwrap(), "There is no table nothing; \\d lists them.\n");
        assert!(command_text("x", || Ok(tree())).unwrap().starts_with("There is no command \\x."));
    }

    #[test]
    fn the_last_word_is_completed() {
        let words = words(&tree());
        assert_eq!(completions(&words, "select * from sil"), (14, vec!["silver.shop_orders".to_owned()]));
        assert_eq!(completions(&words, "select ü,AB"), (10, vec!["abs(".to_owned()]));
        assert_eq!(completions(&words, "select "), (7, Vec::new()));
    }
}
