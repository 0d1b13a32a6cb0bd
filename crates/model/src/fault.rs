use serde::{Deserialize, Serialize};

/// Who can mend an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The user: a wrong setting, a wrong query, a missing right.
    User,
    /// The outside: a network, a disk, another server.
    Outside,
    /// lakebox itself: a broken invariant.
    Us,
}
