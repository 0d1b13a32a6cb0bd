//! Who may know whom, read from the Cargo.toml files.

use super::{report, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The layers from the ground up. A crate may depend on crates of lower layers only.
const LAYERS: [&[&str]; 7] = [
    &["model", "runtime"],
    &["pipeline", "catalog", "api", "formats"],
    &["source-postgres", "source-simulator", "transform", "lake"],
    &["query"],
    &["medallion"],
    &["server"],
    &["lakebox"],
];

/// Arrows inside one layer that are allowed.
const SIDEWAYS: [(&str, &str); 0] = [];

/// Heavy dependencies and the only crate that may have each. A `*` at the end stands for any rest.
const DOORS: [(&str, &str); 8] = [
    ("iceberg", "lake"),
    ("datafusion*", "query"),
    ("wasmtime*", "transform"),
    ("postgres-protocol", "source-postgres"),
    ("mongodb", "source-mongodb"),
    ("rdkafka", "source-kafka"),
    ("sqlx", "catalog"),
    ("axum", "server"),
];

/// What each crate needs to be built, and what only its tests need.
#[derive(Debug, Default)]
struct Needs {
    normal: BTreeSet<String>,
    dev: BTreeSet<String>,
}

fn manifests() -> BTreeMap<String, Needs> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(root().join("crates")).expect("crates/ is there").flatten() {
        let path = entry.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let manifest: toml::Table = text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let names = |section: &str| -> BTreeSet<String> {
            manifest.get(section).and_then(|s| s.as_table()).into_iter().flat_map(|t| t.keys().cloned()).collect()
        };
        let mut normal = names("dependencies");
        normal.extend(names("build-dependencies"));
        let name = entry.file_name().to_string_lossy().into_owned();
        all.insert(name, Needs { normal, dev: names("dev-dependencies") });
    }
    all
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|crates| crates.contains(&name))
}

#[test]
fn every_crate_has_a_layer() {
    let breaches: Vec<_> = manifests().into_keys().filter(|name| name != "testkit" && layer(name).is_none()).collect();
    report("These crates stand in no layer; add them to LAYERS here and in ARCHITECTURE.md:", &breaches);
}

#[test]
fn arrows_go_down_only() {
    let mut breaches = Vec::new();
    for (name, needs) in manifests() {
        for need in &needs.normal {
            if need == "testkit" {
                breaches.push(format!("{name} -> testkit, which is for dev-dependencies"));
            }
            let (Some(from), Some(to)) = (layer(&name), layer(need)) else { continue };
            if to >= from && !SIDEWAYS.contains(&(name.as_str(), need.as_str())) {
                breaches.push(format!("{name} (L{from}) -> {need} (L{to})"));
            }
        }
    }
    report("Arrows that do not go down:", &breaches);
}

#[test]
fn heavy_dependencies_have_one_door() {
    let mut breaches = Vec::new();
    for (name, needs) in manifests() {
        for need in needs.normal.iter().chain(&needs.dev) {
            let door = DOORS.iter().find(|(what, _)| match what.strip_suffix('*') {
                Some(start) => need.starts_with(start),
                None => need == what,
            });
            if let Some((_, owner)) = door
                && *owner != name
            {
                breaches.push(format!("{name} -> {need}, the door to which is {owner}"));
            }
        }
    }
    report("Dependencies that walk past their door:", &breaches);
}

#[test]
fn the_end_to_end_tests_link_only_the_wire_types() {
    let text = fs::read_to_string(root().join("e2e/Cargo.toml")).expect("e2e is there");
    let manifest: toml::Table = text.parse().expect("e2e/Cargo.toml reads as TOML");
    let sections = ["dependencies", "dev-dependencies"];
    let needs = sections.iter().filter_map(|s| manifest.get(*s)?.as_table()).flat_map(|t| t.keys());
    let breaches: Vec<_> = needs.filter(|n| layer(n).is_some() && n.as_str() != "api").cloned().collect();
    report("e2e is a black box and may link `api` alone, but links:", &breaches);
}

#[test]
fn no_crate_finds_its_tests_by_itself() {
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("crates/ is there").flatten() {
        if !entry.path().join("tests").exists() {
            continue;
        }
        let text = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        let manifest: toml::Table = text.parse().unwrap_or_default();
        let auto = manifest.get("package").and_then(|p| p.get("autotests")).and_then(toml::Value::as_bool);
        let tests = manifest.get("test").and_then(toml::Value::as_array).map_or(0, Vec::len);
        if auto != Some(false) || tests > 1 {
            breaches.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    report("Crates with tests/ need `autotests = false` and at most one [[test]] (each binary costs a link):", &breaches);
}
