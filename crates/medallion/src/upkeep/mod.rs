//! Keeps every table of the lake in shape, one piece of work at a time, and remembers what it did.

mod applied;
mod keeper;
mod queue;
mod settings;

pub use keeper::Upkeep;
pub use queue::{Asked, Doing};
pub use settings::{TablePolicy, TableRule, UpkeepSettings};
