use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a change stands in the total order of one source.
///
/// `pos` and `seq` are the commit LSN and the index in the transaction for PostgreSQL, cluster time and ordinal for
/// MongoDB, offset and partition for Kafka. Both stay below 2^63, because Iceberg has no unsigned type and stores them as `long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The major order, for example a commit LSN.
    pub pos: u64,
    /// The order inside one `pos`, from zero.
    pub seq: u64,
}

impl Position {
    /// The position before every change.
    pub const ZERO: Self = Self { pos: 0, seq: 0 };

    /// A position from its two parts.
    pub const fn new(pos: u64, seq: u64) -> Self {
        Self { pos, seq }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pos, self.seq)
    }
}

/// From where a source resumes: everything up to and including `position` has been handed over.
///
/// A cursor always stands on a source transaction boundary. The catalog stores it in the same database transaction that
/// swaps the table pointers, and only a stored cursor is ever acknowledged to the source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The last change that is included.
    pub position: Position,
    /// Commit time at the source of the last transaction included, in microseconds since 1970, where the source tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_ts_us: Option<i64>,
    /// What the source itself needs to resume, opaque to everyone else (for PostgreSQL: slot, LSN and attached tables).
    #[serde(default)]
    pub state: serde_json::Value,
    /// How people read the position, for example `0/16B3748`.
    #[serde(default)]
    pub display: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_order_by_pos_then_seq() {
        let mut all = vec![Position::new(2, 0), Position::new(1, 9), Position::new(1, 2)];
        all.sort();
        assert_eq!(all, [Position::new(1, 2), Position::new(1, 9), Position::new(2, 0)]);
    }

    #[test]
    fn a_cursor_survives_json() -> Result<(), serde_json::Error> {
        let cursor = Cursor {
            position: Position::new(7, 3),
            commit_ts_us: Some(-1),
            state: serde_json::json!({"slot": "s"}),
            display: "0/7".into(),
        };
        assert_eq!(serde_json::from_str::<Cursor>(&serde_json::to_string(&cursor)?)?, cursor);
        Ok(())
    }
}
