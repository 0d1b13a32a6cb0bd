use model::Fault;
use std::borrow::Cow;

/// What went wrong before any row was touched, as far as a caller must tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The plugin's file is missing, unreadable, damaged or not a plugin of this contract.
    Plugin,
    /// The plugin does not accept its configuration, or our settings for it make no sense.
    Config,
    /// The plugin can't take a table of this shape; other tables may be fine.
    Schema,
    /// The engine can't be set up on this machine.
    Engine,
}

/// An error of this crate: one sentence that says what and where, and a hint that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which case.
    pub kind: Kind,
    /// Who can mend it.
    pub fault: Fault,
    /// What happened and where.
    pub message: String,
    /// What to do.
    pub hint: Cow<'static, str>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        let fault = match kind {
            Kind::Plugin | Kind::Config | Kind::Schema => Fault::User,
            Kind::Engine => Fault::Outside,
        };
        Self { kind, fault, message: message.into(), hint: hint.into(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl From<Error> for pipeline::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::Plugin | Kind::Config => pipeline::Kind::Misconfigured,
            Kind::Schema => pipeline::Kind::Table,
            Kind::Engine => pipeline::Kind::Storage,
        };
        let hint = error.hint.clone();
        Self::new(kind, error.message.clone()).with_hint(hint).with_source(error)
    }
}
