//! The sink against a source that knows its own state at every position.

mod cases;
mod lookups;
mod planted;
mod random;
mod upstream;
mod world;
