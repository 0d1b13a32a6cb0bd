//! What HTTP clients see: every body of the API as a plain type, and nothing else.
//!
//! These types are converted by hand from what rooms hold inside. `openapi.json` and the dashboard's types come from them.
//! Times are microseconds since 1970 in UTC (`…_us`) and durations milliseconds (`…_ms`), as JSON numbers.

mod advice;
mod files;
mod flow;
mod overview;
mod problem;
mod sql;
mod tables;
mod upkeep;

pub use advice::*;
pub use files::*;
pub use flow::*;
pub use overview::*;
pub use problem::*;
pub use sql::*;
pub use tables::*;
pub use upkeep::*;
