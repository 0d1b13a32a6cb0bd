use super::{Node, Value};
use crate::typed::{Guess, Look};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use std::{collections::HashMap, sync::Arc};

/// Keys of objects that make columns; objects with more are dictionaries, and stay text.
const KEYS_MAX: usize = 1000;
/// Objects and arrays inside of each other that become columns of their own type; what is deeper stays text.
const DEPTH_MAX: usize = 8;

/// What values look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A single value.
    Scalar(Guess),
    /// Values of one shape.
    List(Box<Shape>),
    /// Values by key, in the order in which the keys were seen first.
    Struct(Vec<(String, Shape)>),
    /// This and that: kept as it is written.
    Mixed,
}

impl Shape {
    fn of(node: &Node<'_>, depth: usize) -> Self {
        match &node.value {
            Value::Null => Self::Scalar(Guess::Nothing),
            Value::Boolean(_) => Self::Scalar(Guess::Boolean),
            Value::Number(text) => Self::Scalar(Guess::number(text).unwrap_or(Guess::Text)),
            Value::String(text) => Self::Scalar(Guess::of(text, Look::Times)),
            Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => Self::Mixed,
            Value::Array(items) => {
                let joined = items.iter().map(|i| Self::of(i, depth + 1)).fold(Self::Scalar(Guess::Nothing), Self::join);
                Self::List(Box::new(joined))
            }
            Value::Object(items) if items.len() > KEYS_MAX => Self::Mixed,
            Value::Object(items) => {
                let mut shapes = Shapes::default();
                for (key, node) in items {
                    shapes.add(key, Self::of(node, depth + 1));
                }
                Self::Struct(shapes.list)
            }
        }
    }

    /// What holds both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Scalar(Guess::Nothing), any) | (any, Self::Scalar(Guess::Nothing)) => any,
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(a.join(b)),
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(*b))),
            (Self::Struct(a), Self::Struct(b)) => {
                let mut shapes = Shapes::default();
                for (key, shape) in a.into_iter().chain(b) {
                    shapes.add(&key, shape);
                }
                if shapes.list.len() > KEYS_MAX { Self::Mixed } else { Self::Struct(shapes.list) }
            }
            _ => Self::Mixed,
        }
    }

    /// The type that holds it. See [`Guess::data_type`] for `sampled`.
    pub fn data_type(&self, sampled: bool) -> DataType {
        match self {
            Self::Scalar(guess) => guess.data_type(sampled),
            Self::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type(sampled), true))),
            Self::Struct(fields) if fields.is_empty() => DataType::Utf8,
            Self::Struct(fields) => DataType::Struct(Self::fields(fields, sampled)),
            Self::Mixed => DataType::Utf8,
        }
    }

    fn fields(shapes: &[(String, Self)], sampled: bool) -> Fields {
        shapes.iter().map(|(name, shape)| Field::new(name, shape.data_type(sampled), true)).collect()
    }

    /// The columns of documents of this shape: the keys of objects, or one column `json` where they are no objects.
    pub fn schema(&self, sampled: bool) -> Schema {
        match self {
            Self::Struct(fields) => Schema::new(Self::fields(fields, sampled)),
            Self::Scalar(Guess::Nothing) => Schema::empty(),
            other => Schema::new(vec![Field::new("json", other.data_type(sampled), true)]),
        }
    }
}

#[derive(Default)]
struct Shapes {
    list: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Shapes {
    fn add(&mut self, key: &str, shape: Shape) {
        if let Some(place) = self.places.get(key) {
            let known = std::mem::replace(&mut self.list[*place].1, Shape::Mixed);
            self.list[*place].1 = known.join(shape);
            return;
        }
        self.places.insert(key.to_owned(), self.list.len());
        self.list.push((key.to_owned(), shape));
    }
}

/// What all documents look like.
pub fn infer<'a>(nodes: impl Iterator<Item = &'a Node<'a>>) -> Shape {
    let mut rows: Option<Shapes> = None;
    let mut other = Shape::Scalar(Guess::Nothing);
    // Objects are joined in place: they are nearly all there is, and have many keys.
    for node in nodes {
        match &node.value {
            Value::Object(items) => {
                let shapes = rows.get_or_insert_default();
                for (key, node) in items {
                    shapes.add(key, Shape::of(node, 1));
                }
            }
            _ => other = other.join(Shape::of(node, 0)),
        }
    }
    match rows {
        Some(shapes) if shapes.list.len() > KEYS_MAX => Shape::Mixed,
        Some(shapes) => Shape::Struct(shapes.list).join(other),
        None => other,
    }
}
