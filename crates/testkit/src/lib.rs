//! Doubles of the seams for tests: a clock that stands still, a sink and a source in memory, faults on cue, small fixtures.
//!
//! Only ever a dev-dependency. The doubles hold the seams' contracts against whoever drives them: what breaks one is kept as a
//! violation that the test can read. `pipeline` itself can use them from its `tests/` folder only, not from unit tests, since a
//! unit test's `pipeline` is another crate to the compiler than the one this crate was built with.

mod clock;
mod fault;
mod fixture;
mod image;
mod sink;
mod source;

pub use clock::VirtualClock;
pub use fault::{Fault, FaultScript, Gate, Step};
pub use fixture::{KvRow, cursor_at, kv_batch, kv_schema};
pub use image::{ChangeRow, Image, change_rows};
pub use sink::{MemoryLake, MemorySink};
pub use source::{Item, ScriptedSource, Upstream};
