//! Each rule collects every breach and fails with all of them, so that one run shows the whole list.

mod files;
mod layers;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository's root.
fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent);
    crates.expect("testkit lives in <root>/crates/testkit").to_owned()
}

/// Folders that are made by tools or hold other people's code.
const SKIPPED: [&str; 7] = ["target", "node_modules", "dist", ".git", "coverage", "test-results", "playwright-report"];

/// Every file below `folder`, without [`SKIPPED`] folders.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && SKIPPED.iter().any(|s| name == *s) => {}
                Ok(kind) if kind.is_dir() => open.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Path as people say it, from the root.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Fails with all breaches of a rule.
fn report(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n  {}", breaches.join("\n  "));
}
