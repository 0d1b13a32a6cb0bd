use super::errors::refused;
use datafusion_postgres::pgwire::{api::ClientInfo, error::PgWireResult};
use std::{collections::HashMap, time::Duration};

/// Prefix of the keys under which session variables are kept among what the client told at its start.
const PREFIX: &str = "lakebox.set.";

/// Variables that every session has, with the values they start with.
const DEFAULTS: [(&str, &str); 17] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("intervalstyle", "postgres"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("search_path", "gold, silver"),
    ("server_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
];

/// Sets a session variable. Unknown ones are kept too: drivers set what they like.
pub(super) fn set<C: ClientInfo + ?Sized>(client: &mut C, name: &str, value: &str) -> PgWireResult<()> {
    if name == "client_encoding" && !matches!(value.to_uppercase().replace('-', "").as_str(), "UTF8" | "UNICODE" | "DEFAULT") {
        return Err(refused("22023", format!("client encoding {value} is not supported; the server speaks UTF8")));
    }
    if name == "statement_timeout" && timeout_of(value).is_none() {
        return Err(refused("22023", format!("invalid value for parameter \"statement_timeout\": \"{value}\"")));
    }
    let key = format!("{PREFIX}{name}");
    if value.eq_ignore_ascii_case("default") {
        client.metadata_mut().remove(&key);
    } else {
        client.metadata_mut().insert(key, value.to_owned());
    }
    Ok(())
}

/// The value of a session variable.
pub(super) fn get(metadata: &HashMap<String, String>, name: &str) -> PgWireResult<String> {
    if let Some(value) = metadata.get(&format!("{PREFIX}{name}")) {
        return Ok(value.clone());
    }
    if let Some(value) = startup(metadata, name).filter(|_| DEFAULTS.iter().any(|(n, _)| *n == name) && name != "client_encoding")
    {
        return Ok(value);
    }
    if name == "server_version" {
        return Ok(crate::engine::SERVER_VERSION.to_owned());
    }
    let known = DEFAULTS.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    known.ok_or_else(|| refused("42704", format!("unrecognized configuration parameter \"{name}\"")))
}

/// How long a statement may take; none for as long as the server allows.
pub(super) fn statement_timeout(metadata: &HashMap<String, String>) -> Option<Duration> {
    let set = metadata.get(&format!("{PREFIX}statement_timeout")).cloned();
    timeout_of(&set.or_else(|| startup(metadata, "statement_timeout"))?).filter(|d| !d.is_zero())
}

/// The value that a variable was given at the start of the session, by its name or among the `options` (`-c name=value`).
fn startup(metadata: &HashMap<String, String>, name: &str) -> Option<String> {
    let option = |word: &String| {
        let (key, value) = word.trim_start_matches("--").split_once('=')?;
        key.replace('-', "_").eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    let among = metadata.get("options").and_then(|options| words(options).iter().rev().find_map(option));
    among.or_else(|| metadata.get(name).cloned())
}

/// The words of `options`, without `-c`; a backslash keeps the blank after it.
fn words(options: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => words.last_mut().into_iter().for_each(|w| w.extend(chars.next())),
            c if c.is_whitespace() => words.push(String::new()),
            c => words.last_mut().into_iter().for_each(|w| w.push(c)),
        }
    }
    words.into_iter().map(|w| w.strip_prefix("-c").map_or_else(|| w.clone(), str::to_owned)).filter(|w| !w.is_empty()).collect()
}

/// `250`, `250ms`, `5s`, `2min`, `1h`.
fn timeout_of(value: &str) -> Option<Duration> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("default") {
        return Some(Duration::ZERO);
    }
    let unit = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(unit);
    let ms = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(ms).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_units() {
        for (text, expected) in
            [("250", Some(250)), ("5s", Some(5000)), ("2min", Some(120_000)), ("0", Some(0)), ("soon", None), ("-1", None)]
        {
            assert_eq!(timeout_of(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
