//! JSON documents (RFC 8259): one behind the other, one a line, or the elements of one array.

mod columns;
mod documents;
mod shape;
mod value;

pub use columns::{Reader, Wanted};
pub use documents::{Documents, Form, Pieces};
pub use shape::{Shape, infer};
pub use value::{Node, Value, parse};
