use model::{Fault, TableId};
use std::{borrow::Cow, time::Duration};

/// What went wrong in a pipeline, as far as the loop must tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The other side can't be reached or went away.
    Unreachable,
    /// The other side answered and refused: password, rights, database missing.
    Refused,
    /// The other side is set up in a way that can't work (`wal_level`), or our configuration is wrong.
    Misconfigured,
    /// Somebody else holds the slot, lock or consumer place that we need.
    InUse,
    /// The position we want to resume from is gone at the source; only a resync helps.
    PositionLost,
    /// One table can't go on (unreadable value, impossible schema change). Others can.
    Table,
    /// Bytes that break the protocol or a file that breaks its format.
    Corrupt,
    /// The disk or bucket is full, or refuses writes.
    Storage,
    /// Another writer moved a table or cursor first.
    Conflict,
    /// We were told to stop.
    Cancelled,
    /// A broken invariant of ours.
    Bug,
}

impl Kind {
    /// Every kind, for tests that walk them.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::Refused,
        Self::Misconfigured,
        Self::InUse,
        Self::PositionLost,
        Self::Table,
        Self::Corrupt,
        Self::Storage,
        Self::Conflict,
        Self::Cancelled,
        Self::Bug,
    ];

    /// The stable word that logs, API and pages show.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Misconfigured => "misconfigured",
            Self::InUse => "in_use",
            Self::PositionLost => "position_lost",
            Self::Table => "table",
            Self::Corrupt => "corrupt",
            Self::Storage => "storage",
            Self::Conflict => "conflict",
            Self::Cancelled => "cancelled",
            Self::Bug => "bug",
        }
    }

    /// Who can mend it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Refused | Self::Misconfigured => Fault::User,
            Self::Bug => Fault::Us,
            _ => Fault::Outside,
        }
    }
}

/// An error of a source, transform, sink or the loop: one sentence that says what and where, and a hint that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which case the loop sees.
    pub kind: Kind,
    /// What happened and where, in one sentence without secrets.
    pub message: String,
    /// What the operator can do, where more is known than [`decide`] says.
    pub hint: Option<Cow<'static, str>>,
    /// The one table that it is about, where all others can go on without that one.
    pub table: Option<Box<TableId>>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without cause or hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, table: None, source: None }
    }

    /// Adds what the operator can do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of an error of [`Kind::Table`], adds which table it is: the others can go on without it.
    #[must_use]
    pub fn about(mut self, table: &TableId) -> Self {
        if self.kind == Kind::Table {
            self.table = Some(Box::new(table.clone()));
        }
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// What the loop does about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start the pipeline again from the durable cursor after a delay.
    Retry {
        /// How long to wait first.
        after: Duration,
    },
    /// Stay down until an operator acts (resume, resync, changed configuration).
    Ask {
        /// What the operator can do.
        hint: Cow<'static, str>,
    },
    /// Stop without complaint.
    Stop,
}

const RETRY_FIRST_MS: u64 = 250;
const RETRY_MOST_MS: u64 = 30_000;

/// The one place that decides between trying again, asking and stopping. `attempt` counts from zero and starts anew after a
/// durable commit. Everything that time or another hand can mend is retried, at the slower pace where only a hand can.
pub fn decide(error: &Error, attempt: u32) -> Decision {
    let backoff = Duration::from_millis((RETRY_FIRST_MS << attempt.min(16)).min(RETRY_MOST_MS));
    let slow = Duration::from_millis(RETRY_MOST_MS);
    match error.kind {
        Kind::Unreachable | Kind::Conflict | Kind::InUse | Kind::Storage => Decision::Retry { after: backoff },
        Kind::Refused | Kind::Misconfigured => Decision::Retry { after: slow.min(backoff * 8) },
        Kind::PositionLost => Decision::Ask {
            hint: error.hint.clone().unwrap_or(Cow::Borrowed(
                "The source no longer has the changes since the last commit. Resync the pipeline to copy its tables again.",
            )),
        },
        Kind::Corrupt | Kind::Bug | Kind::Table => Decision::Retry { after: slow },
        Kind::Cancelled => Decision::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_decision() {
        for kind in Kind::ALL {
            let decision = decide(&Error::new(kind, "x"), 0);
            match kind {
                Kind::Cancelled => assert_eq!(decision, Decision::Stop),
                Kind::PositionLost => assert!(matches!(decision, Decision::Ask { .. }), "{kind:?}"),
                _ => assert!(matches!(decision, Decision::Retry { .. }), "{kind:?}"),
            }
        }
    }

    #[test]
    fn retries_slow_down_to_a_bound() {
        let after = |n| match decide(&Error::new(Kind::Unreachable, "x"), n) {
            Decision::Retry { after } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(0), Duration::from_millis(250));
        assert_eq!(after(1), Duration::from_millis(500));
        assert_eq!(after(40), Duration::from_secs(30));
    }
}
