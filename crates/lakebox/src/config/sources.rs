//! The types of sources: one line each in [`TYPES`]. A type brings what its entry may say and how that is checked.

use super::{
    checked::{PostgresSource, SourceKind},
    problem::{Problem, Report},
    secret::Secret,
    units::{Size, Time},
    written::{Postgres, Simulator, SourceCommon},
    yaml::Node,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value as Json, json};
use source_simulator::SimulatorConfig;
use std::borrow::Cow;

/// A type of source.
pub(super) struct SourceType {
    pub(super) name: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads an entry whose shape is right. Reports what else is wrong with it.
    pub(super) read: fn(&str, &Node, Json, &mut Report) -> Option<SourceKind>,
}

/// Every type that this version has.
pub(super) const TYPES: [SourceType; 2] = [
    SourceType { name: "postgres", schema: Postgres::json_schema, read: postgres },
    SourceType { name: "simulator", schema: Simulator::json_schema, read: simulator },
];

/// Types that are planned, so that their names are no riddle.
const PLANNED: [&str; 5] = ["mongodb", "kafka", "http", "files", "google_sheets"];

/// Says that a type is not there, and which are.
pub(super) fn unknown_type(word: &str) -> (String, String) {
    let known = TYPES.iter().map(|t| t.name);
    if PLANNED.contains(&word) {
        let list = known.collect::<Vec<_>>().join(", ");
        (format!("this version of lakebox has no source of type `{word}` yet"), format!("Known are: {list}."))
    } else {
        (format!("there is no source of type `{word}`"), super::problem::suggest(word, known))
    }
}

/// A source's entry in the schema: one alternative per type, each with what all sources have.
pub(super) struct Entry;

impl JsonSchema for Entry {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = json!(SourceCommon::json_schema(generator));
        let alternatives: Vec<Json> = TYPES
            .iter()
            .map(|t| {
                let mut schema = json!((t.schema)(generator));
                let mut properties = serde_json::Map::new();
                properties.insert("type".into(), json!({"const": t.name, "description": "What kind of system it is."}));
                for part in [&schema, &common] {
                    properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
                }
                let mut required = vec![json!("type")];
                required.extend(schema["required"].as_array().cloned().unwrap_or_default());
                schema["properties"] = Json::Object(properties);
                schema["required"] = Json::Array(required);
                schema
            })
            .collect();
        Schema::try_from(json!({"description": "A system to follow.", "oneOf": alternatives})).unwrap_or_default()
    }
}

fn postgres(name: &str, node: &Node, json: Json, report: &mut Report) -> Option<SourceKind> {
    let written: Postgres = serde_json::from_value(json).ok()?;
    let mut wrong = |key: &str, message: String, hint: &str| {
        let place = node.get(key).map_or(node.place, |n| n.place);
        report.push(Problem::error(place, format!("sources.{name}.{key} {message}")).hint(hint));
    };
    // What a value says, unless it came from the environment.
    let quoted = |key: &str, part: &str| node.get(key).map_or_else(|| format!("`{part}`"), |n| n.quoted(part));
    if let Some(url) = &written.url
        && let Err(why) = source_postgres::server_of(url.expose())
    {
        let hint = "Write postgres://user:password@host:5432/database, with special characters percent-encoded.";
        wrong("url", format!("can't be used: {why}"), hint);
    }
    let tables = written.tables.unwrap_or_else(|| vec!["public.*".into()]);
    if tables.iter().all(|t| t.starts_with('!')) {
        wrong("tables", "follows no table".into(), "Name tables or patterns, for example [\"public.*\"].");
    }
    for table in &tables {
        let pattern = table.strip_prefix('!').unwrap_or(table);
        if !pattern.split_once('.').is_some_and(|(schema, table)| !schema.is_empty() && !table.is_empty()) {
            wrong(
                "tables",
                format!("holds {}, which is no pattern", quoted("tables", table)),
                "Write schema.table, for example \"public.*\".",
            );
        }
    }
    let slot = written.slot.unwrap_or_else(|| format!("lakebox_{name}"));
    if slot.is_empty() || slot.len() > 63 || !slot.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        let hint = "Set `slot` to lower-case letters, digits and _, at most 63 of them.";
        wrong("slot", format!("is {}, which PostgreSQL takes for no slot", quoted("slot", &slot)), hint);
    }
    let publication = written.publication.unwrap_or_else(|| format!("lakebox_{name}"));
    if publication.is_empty() || publication.len() > 54 {
        let message = format!("is {}, which can't name a publication", quoted("publication", &publication));
        wrong("publication", message, "Set `publication` to a name of 1 to 54 bytes.");
    }
    let read_ahead = written.read_ahead.map_or(64 << 20, |Size(bytes)| bytes);
    if read_ahead < 1 << 20 {
        wrong("read_ahead", "is too small".into(), "Give it at least 1MiB.");
    }
    Some(SourceKind::Postgres(PostgresSource {
        url: written.url?,
        tables,
        slot,
        publication,
        snapshot_connections: written.snapshot.connections.unwrap_or(2) as usize,
        wal_budget_bytes: written.wal_budget.map_or(20 << 30, |Size(bytes)| bytes),
        read_ahead_bytes: usize::try_from(read_ahead).unwrap_or(usize::MAX),
    }))
}

/// What can be said of a URL without connecting, and without repeating it.
pub(super) fn check_postgres_url(url: &Secret, wrong: &mut dyn FnMut(&'static str)) {
    match url::Url::parse(url.expose()) {
        Ok(parsed) if !matches!(parsed.scheme(), "postgres" | "postgresql") => wrong("is not a PostgreSQL URL"),
        Ok(parsed) if parsed.path().trim_matches('/').is_empty() => wrong("names no database"),
        Ok(_) => {}
        Err(_) => wrong("is not a URL"),
    }
}

/// Which server a URL means, as far as two slots of one name would meet there.
pub(super) fn server_of(url: &Secret) -> Option<String> {
    source_postgres::server_of(url.expose()).ok()
}

fn simulator(name: &str, node: &Node, json: Json, report: &mut Report) -> Option<SourceKind> {
    let written: Simulator = serde_json::from_value(json).ok()?;
    let mut config = SimulatorConfig::default();
    config.seed = written.seed.unwrap_or(config.seed);
    config.rate = written.rate.unwrap_or(config.rate);
    config.customers = written.customers.unwrap_or(config.customers);
    config.commit_time = written.commit_time.unwrap_or(config.commit_time);
    config.tick_ms = written.tick.map_or(config.tick_ms, |Time(tick)| u32::try_from(tick.as_millis()).unwrap_or(u32::MAX));
    config.stop_after = written.stop_after;
    let place = |key: &str| node.get(key).map_or(node.place, |n| n.place);
    if let Some(date) = written.starts_on {
        match date.parse() {
            Ok(date) => config.starts_on = date,
            Err(_) => {
                let problem = Problem::error(place("starts_on"), format!("sources.{name}.starts_on is not a date"));
                report.push(problem.hint("Write YYYY-MM-DD, for example 2026-01-01."));
                return None;
            }
        }
    }
    // The simulator knows its own bounds, and begins its sentence with the setting's name.
    if let Err(error) = config.check() {
        let key = error.message.split('`').nth(1).unwrap_or_default().trim_end_matches("_ms");
        report.push(Problem::error(place(key), format!("sources.{name}: {}", error.message)));
        return None;
    }
    Some(SourceKind::Simulator(config))
}
