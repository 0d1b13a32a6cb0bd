//! Outside engines, as processes of their own.

use serde_json::Value;
use std::{path::PathBuf, process::Command};

/// The engines that must agree with us.
pub const READERS: [&str; 2] = ["pyiceberg", "duckdb"];

/// The rows of a table as an outside engine reads them from its metadata file, sorted, and its own `count(*)`.
pub fn read(reader: &str, metadata: &str, columns: &[&str]) -> (Vec<Value>, u64) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../e2e/readers/read_table.py");
    let output =
        Command::new(python()).arg(script).arg(reader).arg(metadata).args(columns).output().expect("starting the reader");
    assert!(output.status.success(), "{reader} can't read {metadata}:\n{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).expect("the reader prints JSON");
    let rows = read["rows"].as_array().expect("rows").clone();
    (rows, read["count"].as_u64().expect("count"))
}

#[expect(clippy::disallowed_methods, reason = "`make test` says where the readers are")]
fn python() -> String {
    std::env::var("LAKEBOX_READERS_PYTHON")
        .expect("LAKEBOX_READERS_PYTHON names a Python with pyiceberg and duckdb; `make test` installs it and sets the variable")
}
