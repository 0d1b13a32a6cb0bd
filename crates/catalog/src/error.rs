use model::{Fault, LakeTable};
use std::borrow::Cow;

/// What went wrong, as far as callers act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The catalog's server can't be reached or went away. Whether a commit that was under way is durable is unknown: read again.
    Unreachable,
    /// The server or file system refused us: password, rights, database missing.
    Refused,
    /// The catalog's URL is wrong.
    Misconfigured,
    /// The disk is full, broken or read-only.
    Storage,
    /// The file is not a catalog or is damaged.
    Corrupt,
    /// A newer lakebox has written this catalog.
    Newer,
    /// Another process holds the catalog or the claim.
    Locked,
    /// A table pointer or cursor was not where the commit expected it; nothing was changed. See [`Error::moved`].
    Conflict,
    /// A broken invariant of ours.
    Bug,
}

impl Kind {
    /// Every kind, for tests that walk them.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Refused,
        Self::Misconfigured,
        Self::Storage,
        Self::Corrupt,
        Self::Newer,
        Self::Locked,
        Self::Conflict,
        Self::Bug,
    ];

    /// The stable word that logs, API and pages show.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Misconfigured => "misconfigured",
            Self::Storage => "storage",
            Self::Corrupt => "corrupt",
            Self::Newer => "newer",
            Self::Locked => "locked",
            Self::Conflict => "conflict",
            Self::Bug => "bug",
        }
    }

    /// Who can mend it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Refused | Self::Misconfigured | Self::Newer => Fault::User,
            Self::Bug => Fault::Us,
            _ => Fault::Outside,
        }
    }
}

/// What a commit expected and did not find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// A table's pointer.
    Table {
        /// Which table.
        table: LakeTable,
        /// What the commit expected; `None` for "no such table".
        expected: Option<String>,
        /// What the catalog holds.
        found: Option<String>,
    },
    /// A source's cursor.
    Cursor {
        /// Which source.
        source: String,
        /// The version the commit expected; `None` for "no cursor".
        expected: Option<i64>,
        /// The version the catalog holds.
        found: Option<i64>,
    },
}

/// An error of the catalog: one sentence that says what and where without secrets, and a hint that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which case the caller sees.
    pub kind: Kind,
    /// Who can mend it.
    pub fault: Fault,
    /// What happened and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
    /// For [`Kind::Conflict`]: what had moved.
    pub moved: Option<Box<Moved>>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, fault: kind.fault(), message: message.into(), hint: None, moved: None, source: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn conflict(moved: Moved) -> Self {
        let message = match &moved {
            Moved::Table { table, expected: None, found: Some(found) } => {
                format!("another writer has created table {table} first: the catalog already points to {found}")
            }
            Moved::Table { table, expected: Some(expected), found: Some(found) } => {
                format!("another writer moved table {table} first: expected {expected}, but the catalog points to {found}")
            }
            Moved::Table { table, expected, .. } => {
                let expected = expected.as_deref().unwrap_or("no table");
                format!("another writer dropped table {table} first: expected {expected}, but the catalog has no such table")
            }
            Moved::Cursor { source, expected, found } => {
                let word = |v: &Option<i64>| v.map_or_else(|| "no cursor".to_owned(), |v| format!("version {v}"));
                format!(
                    "another writer moved the cursor of source {source} first: expected {}, but the catalog has {}",
                    word(expected),
                    word(found)
                )
            }
        };
        let hint = "Read the catalog again and start over from what it holds. If this comes back, two lakebox processes write the same lake.";
        Self { moved: Some(Box::new(moved)), ..Self::new(Kind::Conflict, message).with_hint(hint) }
    }
}

/// The one place that reads a driver's error. `place` is where the catalog is (without secrets), `doing` what was tried.
pub(crate) fn from_driver(place: &str, doing: &str, error: sqlx::Error) -> Error {
    let (kind, hint) = classify(&error);
    let what = match kind {
        Kind::Unreachable => format!("the catalog at {place} can't be reached"),
        Kind::Refused => format!("the catalog at {place} refused"),
        Kind::Misconfigured => format!("the catalog URL {place} is wrong"),
        Kind::Storage => format!("the catalog at {place} can't write to its disk"),
        Kind::Corrupt => format!("the catalog at {place} is damaged, or is not a lakebox catalog"),
        Kind::Locked => format!("the catalog at {place} is locked by another process"),
        Kind::Newer | Kind::Conflict | Kind::Bug => format!("the catalog at {place} failed"),
    };
    let cause = match &error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        other => other.to_string(),
    };
    let error = Error::new(kind, format!("{what} ({doing}): {cause}")).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn classify(error: &sqlx::Error) -> (Kind, Option<&'static str>) {
    match error {
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            if e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                classify_postgres(&code)
            } else {
                classify_sqlite(code.parse().unwrap_or(1))
            }
        }
        sqlx::Error::Configuration(_) => {
            (Kind::Misconfigured, Some("Write sqlite:PATH or postgres://user:password@host/database."))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            (Kind::Unreachable, Some("Check that the server runs, and that host, port and TLS mode in lake.catalog are right."))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            (Kind::Corrupt, Some("The catalog holds something that lakebox does not write. Restore it from a backup."))
        }
        _ => (Kind::Bug, None),
    }
}

/// Whether SQLite refused because another connection has the file right now.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    classify(error).0 == Kind::Locked
}

/// SQLite's extended result codes; the low byte is the primary code.
fn classify_sqlite(code: u32) -> (Kind, Option<&'static str>) {
    match code & 0xff {
        5 | 6 => (Kind::Locked, Some("Stop the other process that uses this catalog file, or give each lakebox its own lake.")),
        13 => (Kind::Storage, Some("Free some space on the disk that holds the catalog.")),
        8 => (Kind::Storage, Some("The file or its folder is read-only: mount the disk for writing, or mend the rights.")),
        10 => (Kind::Storage, Some("The disk reported an error; look at the system's log.")),
        14 => (Kind::Storage, Some("The file or its folder can't be opened: check the path, the rights and the free space.")),
        3 | 23 => (Kind::Refused, Some("Check the rights of the catalog file and its folder.")),
        11 | 26 => (Kind::Corrupt, Some("Check the path in lake.catalog. If it is right, restore the file from a backup.")),
        _ => (Kind::Bug, None),
    }
}

/// PostgreSQL's SQLSTATE.
fn classify_postgres(code: &str) -> (Kind, Option<&'static str>) {
    match code {
        "25006" => (Kind::Storage, Some("The server is read-only; point lake.catalog at the primary.")),
        "40001" | "40P01" | "55P03" => (Kind::Locked, None),
        "42501" => (Kind::Refused, Some("Grant the user CREATE on the database (lakebox keeps its tables in schema `lakebox`).")),
        "3D000" => (Kind::Refused, Some("Create the database first, or mend its name in lake.catalog.")),
        "XX001" | "XX002" | "42P01" | "42703" => (Kind::Corrupt, Some("Restore schema `lakebox` from a backup.")),
        _ if code.starts_with("28") => {
            (Kind::Refused, Some("Check user and password in lake.catalog and the server's pg_hba.conf."))
        }
        _ if code.starts_with("53") && code != "53300" => (Kind::Storage, Some("Free space or memory on the catalog's server.")),
        _ if code.starts_with("08") || code.starts_with("57P") || code == "53300" => (Kind::Unreachable, None),
        _ => (Kind::Bug, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Layer;

    #[test]
    fn every_kind_has_its_own_word_and_a_fault() {
        let mut words: Vec<_> = Kind::ALL.iter().map(|k| k.code()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
        assert_eq!(Error::new(Kind::Bug, "x").fault, Fault::Us);
        assert_eq!(Error::new(Kind::Newer, "x").fault, Fault::User);
    }

    #[test]
    fn driver_codes_become_kinds() {
        for (code, kind) in
            [(5, Kind::Locked), (261, Kind::Locked), (13, Kind::Storage), (1032, Kind::Storage), (26, Kind::Corrupt)]
        {
            assert_eq!(classify_sqlite(code).0, kind, "{code}");
        }
        for (code, kind) in [
            ("28P01", Kind::Refused),
            ("3D000", Kind::Refused),
            ("53100", Kind::Storage),
            ("53300", Kind::Unreachable),
            ("57P01", Kind::Unreachable),
            ("40P01", Kind::Locked),
            ("22012", Kind::Bug),
        ] {
            assert_eq!(classify_postgres(code).0, kind, "{code}");
        }
    }

    #[test]
    fn a_conflict_names_what_moved() {
        let table = LakeTable::new(Layer::Silver, "shop_orders");
        let error = Error::conflict(Moved::Table { table, expected: Some("a".into()), found: Some("b".into()) });
        assert_eq!(error.kind, Kind::Conflict);
        assert_eq!(
            error.to_string(),
            "another writer moved table silver.shop_orders first: expected a, but the catalog points to b"
        );
        let error = Error::conflict(Moved::Cursor { source: "shop".into(), expected: None, found: Some(3) });
        assert_eq!(
            error.to_string(),
            "another writer moved the cursor of source shop first: expected no cursor, but the catalog has version 3"
        );
    }
}
