//! Holds nodes against the JSON Schema: the part of it that our own schema uses.

use super::{
    problem::{Problem, Report, suggest},
    sources,
    units::{format_hint, format_noun},
    yaml::{Entry, Node, Scalar, Value},
};
use serde_json::Value as Json;

/// Reports every breach and marks where it is. An empty value counts as absent and is removed.
pub(super) fn check(root: &mut Node, schema: &Json, report: &mut Report) {
    Shape { definitions: &schema["definitions"], report }.node(root, schema, "");
}

struct Shape<'a> {
    definitions: &'a Json,
    report: &'a mut Report,
}

impl<'a> Shape<'a> {
    fn node(&mut self, node: &mut Node, schema: &'a Json, path: &str) {
        let schema = self.resolve(schema);
        if node.broken {
            return;
        }
        if let Some(alternatives) = schema["oneOf"].as_array() {
            if alternatives.iter().all(|a| a["properties"]["type"]["const"].is_string()) {
                return self.by_type(node, alternatives, path);
            }
            let words: Vec<&str> = alternatives.iter().flat_map(words).collect();
            return self.word(node, &words, path);
        }
        let words = words(schema);
        if !words.is_empty() {
            return self.word(node, &words, path);
        }
        match type_of(schema) {
            Some("object") => self.map(node, schema, path),
            Some("array") => self.list(node, schema, path),
            Some(scalar) => self.scalar(node, schema, scalar, path),
            None => {}
        }
    }

    /// Follows references, and takes the one alternative beside null.
    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        loop {
            if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
                schema = &self.definitions[name];
            } else if let Some(one) = schema["allOf"].as_array().and_then(|a| a.first()) {
                schema = one;
            } else if let Some(one) = schema["anyOf"].as_array().and_then(|a| a.iter().find(|s| s["type"] != "null")) {
                schema = one;
            } else {
                return schema;
            }
        }
    }

    fn wrong(&mut self, node: &mut Node, message: String, hint: impl Into<String>) {
        node.broken = true;
        self.report.push(Problem::error(node.place, message).hint(hint));
    }

    fn by_type(&mut self, node: &mut Node, alternatives: &'a [Json], path: &str) {
        let Value::Map(_) = &node.value else {
            return self.mistyped(node, "a map of settings", path, "Give it a `type` and what that type needs.");
        };
        let mut types = alternatives.iter().filter_map(|a| a["properties"]["type"]["const"].as_str());
        let word = match node.get("type").map(|n| &n.value) {
            Some(Value::Scalar(scalar)) if !scalar.json().is_null() => scalar.text.clone(),
            _ => {
                let hint = format!("Write one of: type: {}.", types.collect::<Vec<_>>().join(", type: "));
                return self.wrong(node, format!("{path} has no `type`"), hint);
            }
        };
        if let Some(at) = types.position(|t| t == word) {
            return self.map(node, &alternatives[at], path);
        }
        let (message, hint) = sources::unknown_type(&word);
        let place = node.get("type").map(|n| n.place);
        node.broken = true;
        self.report.push(Problem::error(place, message).hint(hint));
    }

    fn map(&mut self, node: &mut Node, schema: &'a Json, path: &str) {
        let place = node.place;
        let Value::Map(entries) = &mut node.value else {
            return self.mistyped(node, "a map of settings", path, &example(schema));
        };
        let properties = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        if properties.is_some() {
            entries.retain(|e| e.value.broken || !e.value.is_null());
        }
        for Entry { key, place, value } in entries.iter_mut() {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match properties.and_then(|p| p.get(key.as_str())) {
                Some(schema) => self.node(value, schema, &below),
                None if others.is_object() => self.node(value, others, &below),
                None if *others == Json::Bool(false) => {
                    let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    let inside = if path.is_empty() { String::new() } else { format!(" in {path}") };
                    self.report.push(Problem::error(*place, format!("unknown key `{key}`{inside}")).hint(suggest(key, known)));
                    value.broken = true;
                }
                None => {}
            }
        }
        let missing: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        for name in missing.into_iter().filter(|name| !entries.iter().any(|e| e.key == *name)) {
            let what = schema["properties"][name]["description"].as_str().unwrap_or("");
            let hint = format!("Add `{name}`. {}", what.split_once(". ").map_or(what, |(first, _)| first));
            self.report.push(Problem::error(place, format!("{path} has no `{name}`")).hint(hint.trim_end().to_owned()));
        }
    }

    fn list(&mut self, node: &mut Node, schema: &'a Json, path: &str) {
        let Value::List(items) = &mut node.value else {
            return self.mistyped(node, "a list", path, "Write [one, two], or one item per line, each after a `- `.");
        };
        for (i, item) in items.iter_mut().enumerate() {
            self.node(item, &schema["items"], &format!("{path}[{i}]"));
        }
    }

    fn word(&mut self, node: &mut Node, words: &[&str], path: &str) {
        let Value::Scalar(scalar) = &node.value else {
            return self.mistyped(node, "a word", path, &suggest("", words.iter().copied()));
        };
        if words.contains(&scalar.text.as_str()) {
            return;
        }
        let (is, hint) = (shown(scalar), suggest(&scalar.text, words.iter().copied()));
        self.wrong(node, format!("{path} can't be {is}"), hint);
    }

    fn scalar(&mut self, node: &mut Node, schema: &'a Json, wanted: &str, path: &str) {
        let Value::Scalar(scalar) = &node.value else {
            let noun = if wanted == "string" { "a text" } else { "a number" };
            return self.mistyped(node, noun, path, &example(schema));
        };
        let is = shown(scalar);
        // The environment knows no types: there, a number is a number in quotes too.
        let json = Scalar { plain: scalar.plain || scalar.secret, ..scalar.clone() }.json();
        match wanted {
            "string" => {
                let format = schema["format"].as_str().unwrap_or("");
                if let Some(hint) = format_hint(format, &scalar.text) {
                    return self.wrong(node, format!("{path}: {is} is not {}", format_noun(format)), hint);
                }
                // `5s` is a text, and so would be `5` where a format says how to read it; elsewhere a number is a slip.
                if format.is_empty() && !json.is_string() && !scalar.secret {
                    return self.wrong(node, format!("{path} must be a text, but {is} is {}", noun(&json)), "Put it in quotes.");
                }
                // What reads this next must see a text, whatever it looks like.
                if let Value::Scalar(scalar) = &mut node.value {
                    scalar.plain = false;
                }
            }
            "integer" | "number" => {
                let number = json.as_f64().filter(|_| wanted == "number" || json.is_u64() || json.is_i64());
                let Some(number) = number else {
                    let what = if wanted == "integer" { "a whole number" } else { "a number" };
                    return self.wrong(
                        node,
                        format!("{path} must be {what}, but it is {is}"),
                        "Write digits alone, without quotes, units or separators.",
                    );
                };
                if let Value::Scalar(scalar) = &mut node.value {
                    scalar.plain = true;
                }
                let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
                if least.is_some_and(|l| number < l) || most.is_some_and(|m| number > m) {
                    let bounds = match (least, most) {
                        (Some(least), Some(most)) => format!("It may be {least} to {most}."),
                        (Some(least), None) => format!("It must be at least {least}."),
                        (_, most) => format!("It may be at most {}.", most.unwrap_or_default()),
                    };
                    self.wrong(node, format!("{path} is out of bounds: {is}"), bounds);
                }
            }
            "boolean" if !json.is_boolean() => {
                self.wrong(node, format!("{path} must be true or false, but it is {is}"), "Write true or false.")
            }
            _ => {}
        }
    }

    fn mistyped(&mut self, node: &mut Node, wanted: &str, path: &str, hint: &str) {
        let is = match &node.value {
            Value::Scalar(scalar) => format!("it is {}", shown(scalar)),
            Value::List(_) => "it is a list".to_owned(),
            Value::Map(_) => "it is a map".to_owned(),
        };
        let path = if path.is_empty() { "the file" } else { path };
        self.wrong(node, format!("{path} must be {wanted}, but {is}"), hint);
    }
}

fn type_of(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::String(one) => Some(one),
        Json::Array(several) => several.iter().filter_map(Json::as_str).find(|t| *t != "null"),
        _ => None,
    }
}

fn words(schema: &Json) -> Vec<&str> {
    match (&schema["enum"], &schema["const"]) {
        (Json::Array(words), _) => words.iter().filter_map(Json::as_str).collect(),
        (_, Json::String(word)) => vec![word],
        _ => Vec::new(),
    }
}

/// A value in a message. What came from the environment is not repeated.
fn shown(scalar: &Scalar) -> String {
    if scalar.secret {
        return "the value from the environment".to_owned();
    }
    match scalar.json() {
        Json::Null => "empty".to_owned(),
        _ => format!("`{}`", scalar.text),
    }
}

fn noun(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        _ => "a text",
    }
}

fn example(schema: &Json) -> String {
    match (schema["examples"][0].as_str(), schema["properties"].as_object()) {
        (Some(example), _) => format!("For example {example}."),
        (_, Some(properties)) => {
            format!("Its keys are: {}.", properties.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        _ => "Look at the documentation of this key.".to_owned(),
    }
}
