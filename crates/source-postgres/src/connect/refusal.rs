use pipeline::{Error, Kind};
use std::{borrow::Cow, fmt};

/// An ErrorResponse of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        self.detail.as_ref().map_or(Ok(()), |d| write!(f, ": {d}"))
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Reads the fields of an ErrorResponse or NoticeResponse. Whatever can't be read is left out.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut refusal = Self::default();
        for field in body.split(|b| *b == 0) {
            let Some((code, text)) = field.split_first() else { continue };
            let text = String::from_utf8_lossy(text).into_owned();
            match code {
                b'C' => refusal.code = text,
                b'M' => refusal.message = text,
                b'D' => refusal.detail = Some(text),
                b'H' => refusal.hint = Some(text),
                _ => {}
            }
        }
        refusal
    }

    /// The error that the pipeline sees; `doing` completes "while …" and names the place.
    pub(crate) fn into_error(self, doing: &str) -> Error {
        let (kind, hint) = self.judge();
        let hint = hint.or_else(|| self.hint.clone().map(Cow::Owned));
        let error = Error::new(kind, format!("PostgreSQL refused while {doing}: {}", self.message));
        let error = match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        error.with_source(self)
    }

    /// What the code means to the loop, and what the operator can do.
    fn judge(&self) -> (Kind, Option<Cow<'static, str>>) {
        let hint = |text: &'static str| Some(Cow::Borrowed(text));
        let says = |part: &str| self.message.contains(part);
        match self.code.as_str() {
            "28P01" => (Kind::Refused, hint("Check user and password in the source's url.")),
            "28000" if says("pg_hba.conf") => (
                Kind::Refused,
                hint(
                    "Allow this host and user in the server's pg_hba.conf (for lakebox: `host <database> <user> <address> scram-sha-256`), then reload it.",
                ),
            ),
            "28000" => (Kind::Refused, hint("Check that the role of the source's url exists and may log in.")),
            "3D000" => (Kind::Refused, hint("Check the database name at the end of the source's url.")),
            "42501" if says("replication") || says("walsender") || says("REPLICATION") => {
                (Kind::Refused, hint("Grant the right once as a superuser: ALTER ROLE <user of the url> REPLICATION;"))
            }
            "42501" => (Kind::Refused, hint("Grant the missing right to the role of the source's url.")),
            "55006" => (
                Kind::InUse,
                hint(
                    "Another process reads this slot. Stop it (SELECT pg_terminate_backend(<pid>)), or give this source a slot name of its own.",
                ),
            ),
            "53400" if says("slot") => (
                Kind::Misconfigured,
                hint("Raise max_replication_slots and restart PostgreSQL, or drop slots that nobody needs."),
            ),
            "53300" if says("wal_senders") => (Kind::Misconfigured, hint("Raise max_wal_senders and restart PostgreSQL.")),
            "53300" => (Kind::Unreachable, hint("The server has no connection left; raise max_connections or close some.")),
            "55000" if says("wal_level") => (
                Kind::Misconfigured,
                hint("Set wal_level = logical (ALTER SYSTEM SET wal_level = 'logical') and restart PostgreSQL."),
            ),
            "55000" if says("can no longer get changes") || says("invalidated") => (Kind::PositionLost, lost_hint()),
            "58P01" if says("WAL segment") => (Kind::PositionLost, lost_hint()),
            "42704" if says("slot") => (Kind::PositionLost, lost_hint()),
            "42704" if says("publication") => {
                (Kind::Misconfigured, hint("Somebody dropped the publication; restart the pipeline and lakebox makes it again."))
            }
            // Our queries name what the catalog just told; what is gone by then was altered or dropped in between.
            "42703" | "42P01" => {
                (Kind::Conflict, hint("A table changed its shape while it was being read. lakebox reads it again."))
            }
            code if code.starts_with("08") || code.starts_with("57") => (Kind::Unreachable, None),
            _ => (Kind::Refused, None),
        }
    }
}

/// What to do when changes since the last commit are gone.
pub(crate) fn lost_hint() -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(
        "The server no longer has the changes since the last commit. Resync the pipeline to copy its tables again; a larger max_slot_wal_keep_size prevents this.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_become_kinds_with_a_hint() {
        let cases = [
            ("28P01", "password authentication failed for user \"u\"", Kind::Refused, "password"),
            ("28000", "no pg_hba.conf entry for host", Kind::Refused, "pg_hba.conf"),
            ("3D000", "database \"x\" does not exist", Kind::Refused, "database name"),
            ("42501", "must be superuser or replication role to use replication slots", Kind::Refused, "REPLICATION"),
            ("42501", "permission denied for table t", Kind::Refused, "Grant"),
            ("42703", "column \"c\" does not exist", Kind::Conflict, "reads it again"),
            ("55006", "replication slot \"s\" is active for PID 7", Kind::InUse, "pg_terminate_backend"),
            ("53400", "all replication slots are in use", Kind::Misconfigured, "max_replication_slots"),
            ("55000", "logical decoding requires wal_level >= logical", Kind::Misconfigured, "wal_level = logical"),
            ("55000", "can no longer get changes from replication slot \"s\"", Kind::PositionLost, "Resync"),
            ("58P01", "requested WAL segment 0001 has already been removed", Kind::PositionLost, "Resync"),
            ("42704", "replication slot \"s\" does not exist", Kind::PositionLost, "Resync"),
        ];
        for (code, message, kind, hint) in cases {
            let refusal = Refusal { code: code.into(), message: message.into(), ..Refusal::default() };
            let error = refusal.into_error("testing");
            assert_eq!(error.kind, kind, "{message}");
            assert!(error.hint.as_deref().unwrap_or("").contains(hint), "{message}: {:?}", error.hint);
        }
    }

    #[test]
    fn any_bytes_make_some_refusal() {
        let refusal = Refusal::parse(b"SERROR\0C42501\0Mno\0Dbecause\0\0");
        assert_eq!(refusal.to_string(), "no (SQLSTATE 42501): because");
        for bytes in [&b""[..], b"\0\0\0", b"C", &[0xff, 0xfe]] {
            let _ = Refusal::parse(bytes);
        }
    }
}
