//! The seams `Source`, `Transform` and `Sink`, and the one loop between them: read, transform, write, settle, acknowledge.
//!
//! This crate knows no source, no file format and no plugin. It never acknowledges a cursor that the sink has not called durable.

mod error;
mod monitor;
mod run;
mod seam;
mod stage;
mod supervise;

pub use error::{Decision, Error, Kind, decide};
pub use monitor::{Failure, Monitor, Report, Second, State, TableReport};
pub use run::{End, Parts, Settings, run};
pub use seam::{
    BoundaryInfo, CommitTicket, DeadLetter, Durable, Event, Sink, SnapshotProgress, Source, SourceStatus, Transform, Transformed,
};
pub use stage::Stage;
pub use supervise::{Desired, Factory, Handle, supervise};
