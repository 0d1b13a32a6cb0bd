//! Starting, owning and stopping work: tasks, the clock, the byte budget and the door to blocking threads.
//!
//! This crate knows nothing of data. It is the only place that may call `tokio::spawn`.

mod blocking;
mod budget;
mod clock;
mod tasks;

pub use blocking::{Abandoned, blocking};
pub use budget::{ByteBudget, Share};
pub use clock::{Clock, SharedClock, SystemClock};
pub use tasks::{TaskEnd, Tasks};
pub use tokio_util::sync::CancellationToken;
