//! Layouts that fit the queries: what queries do to tables is summed up, layouts that would let them read less are proposed with what they would save,
//! and one call applies them.

mod advise;
mod advisor;
mod rule;
mod sums;

pub use advise::{Advice, Proposal};
pub use advisor::Advisor;
pub(crate) use advisor::failed;
pub use rule::{AppliedLayout, LayoutRule};
