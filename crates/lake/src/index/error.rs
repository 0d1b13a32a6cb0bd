use std::{io, path::Path};

/// What the caller does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexErrorKind {
    /// A file of the index is not what was written: throw the index away and rebuild it from the table.
    Corrupt,
    /// The local disk refused.
    Storage,
    /// A column type that can't be part of a key.
    Unsupported,
}

/// An error of the key index.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct IndexError {
    /// Which case.
    pub kind: IndexErrorKind,
    /// What and where.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<io::Error>,
}

impl IndexError {
    pub(crate) fn corrupt(path: &Path, what: &str) -> Self {
        Self {
            kind: IndexErrorKind::Corrupt,
            message: format!("the key index file {} is damaged: {what}", path.display()),
            source: None,
        }
    }

    pub(crate) fn io(path: &Path, doing: &str, source: io::Error) -> Self {
        let message =
            format!("the key index could not {doing} {}; check the disk under the lake's state directory", path.display());
        Self { kind: IndexErrorKind::Storage, message, source: Some(source) }
    }

    pub(crate) fn unsupported(message: String) -> Self {
        Self { kind: IndexErrorKind::Unsupported, message, source: None }
    }
}
