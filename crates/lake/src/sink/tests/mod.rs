//! The sink against a source that knows its own state at every position.

mod cases;
mod planted;
mod random;
mod upstream;
mod world;
