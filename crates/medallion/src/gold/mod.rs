//! From files to tables: `render` reads a file, `graph` orders the models, `agenda` decides when each runs, `runner` runs one, `models`
//! is the task that ties them together.

mod agenda;
mod graph;
mod models;
mod render;
mod runner;
mod schedule;
mod settings;
mod status;
mod tables;

pub use graph::{Loaded, Problem, load, load_texts};
pub use models::Models;
pub use render::Model;
pub use schedule::{Schedule, Trigger};
pub use settings::ModelsSettings;
pub use status::{AsOf, ModelStatus, Progress, RunningState};
