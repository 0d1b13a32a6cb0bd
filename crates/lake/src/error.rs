use model::{Fault, LakeTable};
use std::{borrow::Cow, fmt::Display};

/// What went wrong in the lake, as far as a caller must tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The warehouse URL or its options can't work.
    Misconfigured,
    /// Another lakebox holds the warehouse.
    InUse,
    /// The disk or bucket is full, refuses, or can't be reached.
    Storage,
    /// The catalog can't be reached or refuses.
    Catalog,
    /// Another writer moved a table or cursor first; what was in memory about it is out of date.
    Conflict,
    /// A file that is not what the metadata says.
    Corrupt,
    /// A table, column or type that the lake can't hold.
    Schema,
    /// No such table, view or namespace.
    NotFound,
    /// The name is taken.
    Exists,
    /// A namespace that still holds tables or views.
    NotEmpty,
    /// A request that can't be carried out as it is put.
    Invalid,
    /// A change to a table that belongs to somebody else: a pipeline or a model.
    Owned,
    /// A broken invariant of ours.
    Bug,
}

impl Kind {
    /// Every kind, for tests that walk them.
    pub const ALL: [Self; 13] = [
        Self::Misconfigured,
        Self::InUse,
        Self::Storage,
        Self::Catalog,
        Self::Conflict,
        Self::Corrupt,
        Self::Schema,
        Self::NotFound,
        Self::Exists,
        Self::NotEmpty,
        Self::Invalid,
        Self::Owned,
        Self::Bug,
    ];

    /// Who can mend it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Misconfigured | Self::NotFound | Self::Exists | Self::NotEmpty | Self::Invalid | Self::Owned | Self::Schema => {
                Fault::User
            }
            Self::Bug => Fault::Us,
            Self::InUse | Self::Storage | Self::Catalog | Self::Conflict | Self::Corrupt => Fault::Outside,
        }
    }

    /// The case that the pipeline loop sees.
    const fn for_pipeline(self) -> pipeline::Kind {
        match self {
            Self::Misconfigured => pipeline::Kind::Misconfigured,
            Self::InUse => pipeline::Kind::InUse,
            Self::Storage => pipeline::Kind::Storage,
            Self::Catalog => pipeline::Kind::Unreachable,
            Self::Conflict => pipeline::Kind::Conflict,
            Self::Corrupt => pipeline::Kind::Corrupt,
            Self::Schema | Self::NotFound | Self::Exists | Self::NotEmpty | Self::Invalid | Self::Owned => pipeline::Kind::Table,
            Self::Bug => pipeline::Kind::Bug,
        }
    }
}

/// An error of the lake: one sentence that says what and where, and a hint that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which case.
    pub kind: Kind,
    /// What happened and where, without secrets.
    pub message: String,
    /// What the operator can do.
    pub hint: Option<Cow<'static, str>>,
    /// The table it is about, where it is about one.
    pub table: Option<Box<LakeTable>>,
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

    /// Adds the table it is about.
    #[must_use]
    pub fn with_table(mut self, table: &LakeTable) -> Self {
        self.table = Some(Box::new(table.clone()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who can mend it.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }

    pub(crate) fn corrupt(what: impl Display, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Kind::Corrupt, format!("{what} can't be read")).with_source(cause)
    }

    pub(crate) fn bug(what: impl Display, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Kind::Bug, format!("{what} failed")).with_source(cause)
    }
}

impl From<runtime::Abandoned> for Error {
    fn from(error: runtime::Abandoned) -> Self {
        Self::new(Kind::Bug, error.to_string())
    }
}

impl From<Error> for pipeline::Error {
    fn from(error: Error) -> Self {
        let Error { kind, message, hint, source, .. } = error;
        Self { hint, source, ..Self::new(kind.for_pipeline(), message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_fault_and_a_case_of_the_loop() {
        for kind in Kind::ALL {
            let error = Error::new(kind, "x").with_hint("do y");
            let fault = error.fault();
            let seen: pipeline::Error = error.into();
            assert_eq!(seen.hint.as_deref(), Some("do y"));
            assert_eq!(fault == Fault::Us, seen.kind == pipeline::Kind::Bug, "{kind:?}");
        }
    }
}
