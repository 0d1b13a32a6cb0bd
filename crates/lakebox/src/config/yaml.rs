//! YAML text to nodes with places.

use super::problem::{Place, Problem, Report};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value as Json;
use std::collections::HashMap;

/// Nodes that aliases may multiply to, so that a small file can't grow without end.
const NODES_MAX: usize = 20_000;
/// How deep nodes may nest.
const DEPTH_MAX: usize = 64;

/// A value of the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// Something about it has been reported; whoever reads it on says nothing more.
    pub(super) broken: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar as it is written; what type it has is the reader's question.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Not quoted, so it may be a number, a truth value or nothing.
    pub(super) plain: bool,
    /// Part of it came from the environment.
    pub(super) secret: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Scalar {
    /// The value under YAML's core schema.
    pub(super) fn json(&self) -> Json {
        if !self.plain {
            return Json::String(self.text.clone());
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Json::Null,
            "true" | "True" | "TRUE" => Json::Bool(true),
            "false" | "False" | "FALSE" => Json::Bool(false),
            text => number(text).unwrap_or_else(|| Json::String(text.to_owned())),
        }
    }
}

fn number(text: &str) -> Option<Json> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let whole = text.parse::<i64>().map(Json::from).or_else(|_| text.parse::<u64>().map(Json::from));
    whole.ok().or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Json::Number))
}

impl Node {
    pub(super) fn new(place: Place, value: Value) -> Self {
        Self { place, value, broken: false }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.json().is_null())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A value of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// A value some maps down.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// As JSON, without what is broken, so that the rest can still be looked at. With `shown`, secrets are masked.
    pub(super) fn json(&self, shown: bool) -> Json {
        match &self.value {
            Value::Scalar(scalar) if scalar.secret && shown => Json::String("(secret)".into()),
            Value::Scalar(scalar) => scalar.json(),
            Value::List(items) => items.iter().filter(|n| !n.broken).map(|n| n.json(shown)).collect(),
            Value::Map(entries) => {
                Json::Object(entries.iter().filter(|e| !e.value.broken).map(|e| (e.key.clone(), e.value.json(shown))).collect())
            }
        }
    }

    /// A part of this value for a message. What came from the environment is not repeated.
    pub(super) fn quoted(&self, part: &str) -> String {
        if self.has_secret() { "the value from the environment".to_owned() } else { format!("`{part}`") }
    }

    fn has_secret(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.secret,
            Value::List(items) => items.iter().any(Self::has_secret),
            Value::Map(entries) => entries.iter().any(|e| e.value.has_secret()),
        }
    }
}

/// Reads one document. `None` where the text is not YAML; duplicate keys are reported, and the first one stays.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    let mut builder = Builder { report, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, documents: 0 };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, &span)?,
            Err(e) => {
                let marker = e.marker();
                let place = Place { line: marker.line(), column: marker.col() + 1 };
                let problem = Problem::error(place, format!("this is not YAML: {}", e.info()));
                builder.report.push(
                    problem.hint("Check the indentation (spaces, never tabs), and quote texts that hold `: ` or `#`, or that stand inside { } and hold ${NAME}."),
                );
                return None;
            }
        }
    }
    let nothing = || Node::new(Place { line: 1, column: 1 }, Value::Map(Vec::new()));
    Some(builder.root.filter(|n| !n.is_null()).unwrap_or_else(nothing))
}

/// A list or map that is still being read.
struct Open {
    place: Place,
    anchor: usize,
    items: Vec<Node>,
    /// For a map: its entries, and the key whose value comes next.
    entries: Option<(Vec<Entry>, Option<Pending>)>,
}

/// A key that was read, and where.
type Pending = (String, Place);

struct Builder<'a> {
    report: &'a mut Report,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// `None` stops the reading.
    fn event(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let place = Place { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let problem = Problem::error(place, "a second YAML document starts here");
                    self.report.push(problem.hint("Keep everything in one document: remove the `---`."));
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain, secret: false };
                self.add(Node::new(place, Value::Scalar(scalar)), anchor)?;
            }
            Event::Alias(anchor) => {
                if let Some(node) = self.anchors.get(&anchor).cloned() {
                    self.nodes += size(&node);
                    self.add(node, 0)?;
                }
            }
            Event::SequenceStart(anchor, _) => self.open(Open { place, anchor, items: Vec::new(), entries: None })?,
            Event::MappingStart(anchor, _) => {
                self.open(Open { place, anchor, items: Vec::new(), entries: Some((Vec::new(), None)) })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { place, anchor, items, entries } = self.stack.pop()?;
                let value = match entries {
                    Some((entries, _)) => Value::Map(entries),
                    None => Value::List(items),
                };
                self.add(Node::new(place, value), anchor)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn open(&mut self, open: Open) -> Option<()> {
        if self.stack.len() >= DEPTH_MAX {
            self.report.push(Problem::error(open.place, format!("the file nests deeper than {DEPTH_MAX} levels")));
            return None;
        }
        self.stack.push(open);
        Some(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.report.push(Problem::error(node.place, format!("the file holds more than {NODES_MAX} values, aliases counted")));
            return None;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        let Some((entries, key)) = &mut open.entries else {
            open.items.push(node);
            return Some(());
        };
        match key.take() {
            None => {
                let Value::Scalar(scalar) = node.value else {
                    let problem = Problem::error(node.place, "a key must be a plain word");
                    self.report.push(problem.hint(
                        "Quote a value that begins with `{` or `[`; write `${NAME}` as \"${NAME}\" if it stands for a key.",
                    ));
                    return None;
                };
                *key = Some((scalar.text, node.place));
            }
            Some((name, place)) => match entries.iter().find(|e| e.key == name) {
                Some(first) => {
                    let problem = Problem::error(place, format!("key `{name}` is here for the second time"));
                    self.report
                        .push(problem.hint(format!("It was given in line {} already; keep one of them.", first.place.line)));
                }
                None => entries.push(Entry { key: name, place, value: node }),
            },
        }
        Some(())
    }
}

/// How many nodes an alias brings along.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|e| size(&e.value)).sum(),
    }
}
