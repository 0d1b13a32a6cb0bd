use model::Fault;
use std::borrow::Cow;

/// What went wrong, as far as callers act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no model of that name.
    UnknownModel,
    /// The model's file can't be used as it stands.
    BrokenModel,
    /// The model's statement failed.
    Query,
    /// The table could not be written.
    Lake,
    /// The catalog could not be read or written.
    Catalog,
    /// The folder of models can't be read.
    Folder,
    /// There is no table of that name.
    UnknownTable,
    /// There is no such advice.
    UnknownAdvice,
}

impl Kind {
    /// Every kind, for tests that walk them.
    pub const ALL: [Self; 8] = [
        Self::UnknownModel,
        Self::BrokenModel,
        Self::Query,
        Self::Lake,
        Self::Catalog,
        Self::Folder,
        Self::UnknownTable,
        Self::UnknownAdvice,
    ];

    /// The stable word that logs, API and pages show.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown_model",
            Self::BrokenModel => "broken_model",
            Self::Query => "query",
            Self::Lake => "lake",
            Self::Catalog => "catalog",
            Self::Folder => "folder",
            Self::UnknownTable => "unknown_table",
            Self::UnknownAdvice => "unknown_advice",
        }
    }

    /// Who can mend it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::UnknownModel | Self::BrokenModel | Self::Query | Self::UnknownTable | Self::UnknownAdvice => Fault::User,
            Self::Lake | Self::Catalog | Self::Folder => Fault::Outside,
        }
    }
}

/// An error of the models: one sentence that says what and where, and a hint that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which case the caller sees.
    pub kind: Kind,
    /// What happened and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who can mend it.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word() {
        let mut words: Vec<_> = Kind::ALL.iter().map(|k| k.code()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
    }
}
