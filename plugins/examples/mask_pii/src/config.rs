use lakebox_transform::Table;
use serde::Deserialize;
use serde_json::Value;

/// What to mask, checked.
#[derive(Debug)]
pub struct Config {
    /// Column names as written, plain or with their table in front, and how each is masked.
    pub columns: Vec<(String, Rule)>,
    ignore_missing: Option<bool>,
}

/// How a value is masked.
#[derive(Debug, Clone)]
pub enum Rule {
    /// It is replaced by this text.
    Redact { replacement: String },
    /// It is replaced by a keyed hash, equal for equal values.
    Hash { secret: Vec<u8> },
    /// Some of its characters stay.
    Partial { keep_first: usize, keep_last: usize },
}

impl Rule {
    /// Bytes that a column will need, for allocation only.
    pub fn bytes_expected(&self, rows: usize, bytes: usize) -> usize {
        match self {
            Self::Redact { replacement } => rows * replacement.len(),
            Self::Hash { .. } => rows * 32,
            Self::Partial { .. } => bytes + rows,
        }
    }
}

#[derive(Deserialize, Clone, Default)]
#[serde(default)]
struct RawRule {
    mode: Option<String>,
    replacement: Option<String>,
    secret: Option<String>,
    keep_first: Option<usize>,
    keep_last: Option<usize>,
}

const SECRET_BYTES_MIN: usize = 16;
const KNOWN: [&str; 7] = ["columns", "ignore_missing", "mode", "replacement", "secret", "keep_first", "keep_last"];
const KNOWN_OF_COLUMN: [&str; 6] = ["name", "mode", "replacement", "secret", "keep_first", "keep_last"];

impl Config {
    /// Reads the configuration's JSON.
    pub fn read(json: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(json).map_err(|e| format!("it is not JSON: {e}"))?;
        known_only(&json, &KNOWN)?;
        let columns = json.get("columns").and_then(Value::as_array).filter(|c| !c.is_empty());
        let columns = columns.ok_or("`columns` must list at least one column, such as [\"email\"]")?;
        let defaults = rule_of(&json)?;
        let ignore_missing = match json.get("ignore_missing") {
            None | Some(Value::Null) => None,
            Some(flag) => Some(flag.as_bool().ok_or("`ignore_missing` must be true or false")?),
        };
        let columns = columns.iter().map(|column| one(column, &defaults)).collect::<Result<_, _>>()?;
        Ok(Self { columns, ignore_missing })
    }

    /// Whether a table without the column `name` is an error. By default it is where the name says the table (`customers.email`), because then it can
    /// only be a mistake; a plain name (`email`) is masked wherever it is found.
    pub fn must_exist(&self, table: &Table, name: &str) -> bool {
        match self.ignore_missing {
            Some(ignore) => !ignore && (is_about(table, name) || !name.contains('.')),
            None => is_about(table, name),
        }
    }
}

/// The column that `name` means in a table: `email`, `customers.email` or `public.customers.email`.
pub fn find(table: &Table, name: &str) -> Option<usize> {
    let in_table = qualifiers(table).into_iter().find_map(|q| name.strip_prefix(q.as_str()));
    table.index_of(name).or_else(|| table.index_of(in_table?))
}

fn is_about(table: &Table, name: &str) -> bool {
    qualifiers(table).iter().any(|q| name.starts_with(q.as_str()))
}

fn qualifiers(table: &Table) -> [String; 2] {
    [format!("{}.{}.", table.schema, table.name), format!("{}.", table.name)]
}

fn one(column: &Value, defaults: &RawRule) -> Result<(String, Rule), String> {
    let (name, own) = match column {
        Value::String(name) => (name.as_str(), RawRule::default()),
        Value::Object(object) => {
            known_only(column, &KNOWN_OF_COLUMN)?;
            let name = object.get("name").and_then(Value::as_str).ok_or("a column in `columns` has no `name`")?;
            (name, rule_of(column)?)
        }
        other => return Err(format!("`columns` lists {other}; write a name or an object with a `name`")),
    };
    let rule = RawRule {
        mode: own.mode.or_else(|| defaults.mode.clone()),
        replacement: own.replacement.or_else(|| defaults.replacement.clone()),
        secret: own.secret.or_else(|| defaults.secret.clone()),
        keep_first: own.keep_first.or(defaults.keep_first),
        keep_last: own.keep_last.or(defaults.keep_last),
    };
    Ok((name.to_owned(), checked(name, rule)?))
}

fn rule_of(value: &Value) -> Result<RawRule, String> {
    RawRule::deserialize(value).map_err(|e| e.to_string())
}

fn known_only(value: &Value, known: &[&str]) -> Result<(), String> {
    let object = value.as_object().ok_or("it must be an object")?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("`{key}` is not known; known are {}", known.join(", "))),
        None => Ok(()),
    }
}

fn checked(name: &str, rule: RawRule) -> Result<Rule, String> {
    match rule.mode.as_deref().unwrap_or("redact") {
        "redact" => Ok(Rule::Redact { replacement: rule.replacement.unwrap_or_else(|| "[redacted]".to_owned()) }),
        "hash" => match rule.secret {
            Some(secret) if secret.len() >= SECRET_BYTES_MIN => Ok(Rule::Hash { secret: secret.into_bytes() }),
            _ => Err(format!(
                "`mode: hash` for `{name}` needs a `secret` of at least {SECRET_BYTES_MIN} bytes; without one anybody could hash all phone numbers and compare"
            )),
        },
        "partial" => Ok(Rule::Partial { keep_first: rule.keep_first.unwrap_or(1), keep_last: rule.keep_last.unwrap_or(2) }),
        other => Err(format!("mode `{other}` for `{name}` is not known; known are redact, hash, partial")),
    }
}
