//! What files may be called and hold.

use super::{report, root, shown, walk};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines after which a file is too long, tests included.
const LINES_MAX: usize = 800;

/// Names that say nothing about what is inside.
const DUSTBINS: [&str; 11] =
    ["util", "utils", "common", "misc", "helper", "helpers", "types", "types_", "v2", "manager", "stuff"];

/// Files whose text is made by tools.
const GENERATED: [&str; 5] = ["Cargo.lock", "package-lock.json", "pnpm-lock.yaml", "openapi.json", "types.gen.ts"];

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

fn rust_files() -> Vec<PathBuf> {
    let folders = ["crates", "plugins", "e2e"];
    folders.iter().flat_map(|f| walk(&root().join(f))).filter(|p| extension(p) == "rs").collect()
}

/// Every file of ours that holds text, with its text.
fn texts() -> impl Iterator<Item = (PathBuf, String)> {
    let ours = |p: &PathBuf| {
        let text = ["rs", "toml", "md", "sql", "yaml", "yml", "json", "ts", "tsx", "css", "html", "wit", "sh", "py", "c", "mjs"];
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or("");
        (text.contains(&extension(p)) || name == "Makefile" || shown(p).starts_with(".ci")) && !GENERATED.contains(&name)
    };
    walk(&root()).into_iter().filter(ours).filter_map(|p| fs::read_to_string(&p).ok().map(|text| (p, text)))
}

/// This file names what it forbids.
fn is_tidy(path: &Path) -> bool {
    shown(path).contains("testkit/tests/tidy")
}

fn breaches_of(wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in texts().filter(|(p, _)| !is_tidy(p)) {
        for (number, line) in text.lines().enumerate() {
            if let Some(what) = wrong(line) {
                breaches.push(format!("{}:{}: {what}", shown(&path), number + 1));
            }
        }
    }
    breaches
}

#[test]
fn no_file_is_too_long() {
    let made = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| GENERATED.contains(&n));
    let of_code = |p: &PathBuf| ["rs", "ts", "tsx", "py", "sh", "css", "sql"].contains(&extension(p)) && !made(p);
    let long = walk(&root()).into_iter().filter(of_code).filter_map(|path| {
        let lines = fs::read_to_string(&path).ok()?.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", shown(&path)))
    });
    report(&format!("Files of more than {LINES_MAX} lines; split them by what they are about:"), &long.collect::<Vec<_>>());
}

#[test]
fn no_dustbins() {
    let stem = |p: &Path| p.file_stem().and_then(|s| s.to_str()).unwrap_or("").to_owned();
    let bad =
        |name: &str| DUSTBINS.contains(&name) || name.starts_with("base_") || name.ends_with("_impl") || name.ends_with("_v2");
    let mut breaches: Vec<_> = rust_files().into_iter().filter(|p| bad(&stem(p))).map(|p| shown(&p)).collect();
    for path in rust_files() {
        let folders = path.parent().into_iter().flat_map(Path::components);
        if folders.map(|c| c.as_os_str().to_string_lossy().into_owned()).any(|c| bad(&c)) && shown(&path).starts_with("crates") {
            breaches.push(shown(&path));
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let inline = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            let name = inline.map(|rest| rest.trim_end_matches(';').trim_end_matches('{').trim());
            if name.is_some_and(bad) {
                breaches.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    breaches.dedup();
    report("Names that say nothing; name the thing inside:", &breaches);
}

#[test]
fn every_crate_says_what_it_is() {
    let roots = ["src/lib.rs", "src/main.rs"];
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("crates/ is there").flatten() {
        for path in roots.iter().map(|r| entry.path().join(r)).filter(|p| p.exists()) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let docs = text.lines().take_while(|l| l.starts_with("//!") || l.starts_with("#!")).collect::<String>();
            if docs.len() < 40 {
                breaches.push(shown(&path));
            }
        }
    }
    report("Crates without a `//!` page that says what they are and never do:", &breaches);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TODO", "FIXME", "XXX:", "HACK:"];
    let breaches = breaches_of(|line| marks.iter().find(|m| line.contains(**m)).map(|m| (*m).to_owned()));
    report("Notes to oneself; do it, or write an issue:", &breaches);
}

#[test]
fn no_path_of_somebodys_machine() {
    let starts = ["/home/", "/Users/", "/root/"];
    let wrong = |line: &str| {
        let at = starts.iter().find_map(|s| line.find(s).map(|at| (at, s)))?;
        // `…/home/x` inside a URL or a longer relative path is nobody's home.
        let before = line[..at.0].chars().next_back().unwrap_or(' ');
        (!before.is_alphanumeric() && !['.', '-', '_', '}', ')'].contains(&before))
            .then(|| line.trim().chars().take(100).collect())
    };
    report("Absolute paths of one machine:", &breaches_of(wrong));
}

#[test]
fn no_pictographs() {
    let pictograph = |c: &char| matches!(u32::from(*c), 0x1F000..=0x1FAFF | 0x2600..=0x26FF | 0x2728 | 0x2705 | 0x274C | 0xFE0F);
    let breaches = breaches_of(|line| line.chars().find(pictograph).map(|c| format!("U+{:04X}", u32::from(c))));
    report("Pictographs; words and icons of the kit say it better:", &breaches);
}
