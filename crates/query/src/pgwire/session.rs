use super::{
    errors::refused,
    translate::{function_name, text},
};
use crate::pg_catalog::name_parts;
use datafusion::sql::sqlparser::ast::{Array, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use datafusion_postgres::pgwire::{api::ClientInfo, error::PgWireResult};
use model::Layer;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Prefix of the keys under which session variables are kept among what the client told at its start.
const PREFIX: &str = "lakebox.set.";

/// Variables that every session has, with the values they start with.
const DEFAULTS: [(&str, &str); 24] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("lock_timeout", "0"),
    ("max_index_keys", "32"),
    ("max_identifier_length", "63"),
    ("search_path", "gold, silver"),
    ("server_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("work_mem", "4MB"),
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
    if name == "server_version_num" {
        return Ok(crate::engine::SERVER_VERSION_NUMBER.to_owned());
    }
    let known = DEFAULTS.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    known.ok_or_else(|| refused("42704", format!("unrecognized configuration parameter \"{name}\"")))
}

/// Forgets the value of a variable, or of all.
pub(super) fn reset<C: ClientInfo + ?Sized>(client: &mut C, name: Option<&str>) {
    client.metadata_mut().retain(|key, _| match (key.strip_prefix(PREFIX), name) {
        (Some(key), Some(name)) => key != name,
        (Some(_), None) => false,
        (None, _) => true,
    });
}

/// The schemas in which names without one are looked for. `public`, which every client knows, stands for gold and silver.
pub(super) fn path(metadata: &HashMap<String, String>) -> Arc<[Layer]> {
    let written = get(metadata, "search_path").unwrap_or_default();
    let mut path: Vec<Layer> = Vec::new();
    for name in written.split(',').map(name_parts).filter_map(|mut parts| parts.pop()) {
        let layers = if name == "public" { vec![Layer::Gold, Layer::Silver] } else { name.parse().into_iter().collect() };
        path.extend(layers);
    }
    if path.is_empty() {
        path = vec![Layer::Gold, Layer::Silver];
    }
    path.into()
}

/// What functions say of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Who {
    user: String,
    pid: i32,
    path: Vec<Layer>,
    metadata: HashMap<String, String>,
}

impl Who {
    /// Who is connected.
    pub(super) fn of<C: ClientInfo + ?Sized>(client: &C) -> Self {
        let metadata = client.metadata().clone();
        Self {
            user: metadata.get("user").cloned().unwrap_or_default(),
            pid: client.pid_and_secret_key().0,
            path: path(&metadata).to_vec(),
            metadata,
        }
    }

    /// The schemas in which names without one are looked for.
    pub(super) fn schemas(&self) -> impl Iterator<Item = String> + '_ {
        self.path.iter().map(|l| l.as_str().to_owned())
    }

    /// The value of a function that asks for the session; none for other expressions.
    pub(super) fn value_of(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Function(function) = expr else { return None };
        let names = || self.path.iter().map(|l| text(l.as_str())).collect::<Vec<_>>();
        Some(match function_name(expr)?.as_str() {
            "current_user" | "session_user" | "user" | "current_role" => text(self.user.clone()),
            "current_schema" => text(self.path.first()?.as_str()),
            "current_schemas" => {
                let implicit = argument(function, 0).is_some_and(|a| matches!(a, Value::Boolean(true)));
                let mut elem = names();
                if implicit {
                    elem.insert(0, text("pg_catalog"));
                }
                Expr::Array(Array { elem, named: true })
            }
            "pg_backend_pid" => Expr::Value(Value::Number(self.pid.to_string(), false).into()),
            "current_setting" => {
                let Value::SingleQuotedString(name) = argument(function, 0)? else { return None };
                match get(&self.metadata, &name.to_lowercase()) {
                    Ok(value) => text(value),
                    Err(_) if matches!(argument(function, 1), Some(Value::Boolean(true))) => Expr::Value(Value::Null.into()),
                    Err(_) => return None,
                }
            }
            _ => return None,
        })
    }
}

/// A literal among a function's arguments.
pub(super) fn argument(function: &Function, at: usize) -> Option<Value> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.get(at)? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => Some(value.value.clone()),
        _ => None,
    }
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
