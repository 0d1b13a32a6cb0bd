use crate::{Error, Kind, error::nearest};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use chrono::{DateTime, SecondsFormat};
use lake::{SUMMARY_CURSOR, SnapshotPoint, TableState};
use model::{Cursor, Position};

/// Snapshots that an error names.
const NAMED: usize = 3;

/// A moment of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A snapshot's id, or the name of a tag or branch.
    Version(String),
    /// What was the current snapshot at a time.
    Time(String),
    /// The newest snapshot that is true up to a position of the source or less.
    Position(String),
}

impl Moment {
    /// As a text that [`Self::read`] understands.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Version(v) => format!("version:{v}"),
            Self::Time(t) => format!("time:{t}"),
            Self::Position(p) => format!("position:{p}"),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        match kind {
            "version" => Some(Self::Version(value.to_owned())),
            "time" => Some(Self::Time(value.to_owned())),
            "position" => Some(Self::Position(value.to_owned())),
            _ => None,
        }
    }

    /// What a value means that says no kind: digits are a snapshot's id, a name is a tag or branch, and then come times and positions.
    pub(super) fn guess(text: &str, table: &TableState) -> Result<Self, Error> {
        let version = Self::Version(text.to_owned());
        if text.parse::<i64>().is_ok() || version.resolve(table).is_ok() {
            return Ok(version);
        }
        if micros(text).is_some() {
            return Ok(Self::Time(text.to_owned()));
        }
        match position(text) {
            Some(_) => Ok(Self::Position(text.to_owned())),
            None => version.resolve(table).map(|_| version),
        }
    }

    /// The snapshot that it means.
    ///
    /// # Errors
    /// [`Kind::Invalid`] where there is none, with the snapshots that there are.
    pub(super) fn resolve(&self, table: &TableState) -> Result<i64, Error> {
        let points = table.points();
        if points.is_empty() {
            return Err(Error::new(Kind::Invalid, format!("{} has no snapshot yet", table.table())));
        }
        match self {
            Self::Version(version) => by_version(table, &points, version),
            Self::Time(text) => {
                let at = micros(text).ok_or_else(|| {
                    Error::new(Kind::Invalid, format!("`{text}` is not a time"))
                        .with_hint("Write it like '2026-01-31 18:00:00'; without a zone it is UTC.")
                })?;
                // The log knows of rollbacks, the snapshots do not; where it was cut short they have to do.
                let log = table.history();
                let current = log.iter().rev().find(|h| h.at_us <= at).map(|h| h.snapshot_id);
                let known = current.filter(|id| points.iter().any(|p| p.id == *id));
                let line = || points.iter().rev().find(|p| p.ancestor && p.at_us <= at).map(|p| p.id);
                known.or_else(line).ok_or_else(|| {
                    let message = format!(
                        "{} has no snapshot from {text} or before: snapshots that old have expired, or it did not exist",
                        table.table()
                    );
                    Error::new(Kind::Invalid, message).with_hint(listed(table, &points))
                })
            }
            Self::Position(text) => by_position(table, &points, text),
        }
    }
}

fn by_version(table: &TableState, points: &[SnapshotPoint], version: &str) -> Result<i64, Error> {
    if let Ok(id) = version.parse::<i64>() {
        let known = points.iter().any(|p| p.id == id);
        let missing = || {
            let message = format!("{} has no snapshot {id}: it has expired, or never was", table.table());
            Error::new(Kind::Invalid, message).with_hint(listed(table, points))
        };
        return known.then_some(id).ok_or_else(missing);
    }
    let refs = table.refs().map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    if let Some(found) = refs.iter().find(|r| r.name == version) {
        return Ok(found.snapshot_id);
    }
    let names: Vec<&str> = refs.iter().map(|r| r.name.as_str()).collect();
    let error = Error::new(Kind::Invalid, format!("{} has no tag or branch `{version}`", table.table()));
    Err(match nearest(version, names.iter().copied()) {
        Some(near) => error.with_hint(format!("Did you mean '{near}'?")),
        None => error.with_hint(format!("Names there are: {}. {}", names.join(", "), listed(table, points))),
    })
}

fn by_position(table: &TableState, points: &[SnapshotPoint], text: &str) -> Result<i64, Error> {
    let wanted = position(text).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("`{text}` is not a position of a source"))
            .with_hint("Write it as `system.snapshots` shows it, for example '0/16B3748'.")
    })?;
    let placed: Vec<(&SnapshotPoint, Cursor)> =
        points.iter().filter(|p| p.ancestor).filter_map(|p| Some((p, cursor(p)?))).collect();
    if placed.is_empty() {
        return Err(Error::new(
            Kind::Invalid,
            format!("{} is not kept by a source, so its snapshots have no position", table.table()),
        )
        .with_hint("Use FOR VERSION AS OF or FOR TIMESTAMP AS OF."));
    }
    let newest = placed.iter().rev().find(|(_, c)| c.position <= wanted).map(|(p, _)| p.id);
    newest.ok_or_else(|| {
        let first = placed.first().map_or_else(String::new, |(_, c)| spelled(c));
        let message =
            format!("{} has no snapshot up to {text}: the oldest that has not expired stands at {first}", table.table());
        Error::new(Kind::Invalid, message).with_hint(listed(table, points))
    })
}

/// Up to which cursor of its source a snapshot is true.
pub(super) fn cursor(point: &SnapshotPoint) -> Option<Cursor> {
    serde_json::from_str(point.summary(SUMMARY_CURSOR)?).ok()
}

/// A cursor's position as people read it.
pub(super) fn spelled(cursor: &Cursor) -> String {
    if cursor.display.is_empty() { cursor.position.to_string() } else { cursor.display.clone() }
}

/// A position as sources show it: `16/B374D848` (PostgreSQL), `12345.6`, or a whole number, with or without a word before it (`transaction 3144`).
/// Without a second part it includes all of the first.
fn position(text: &str) -> Option<Position> {
    let text = text.split_whitespace().last()?;
    if let Some((high, low)) = text.split_once('/') {
        let (high, low) = (u32::from_str_radix(high, 16).ok()?, u32::from_str_radix(low, 16).ok()?);
        return Some(Position::new(u64::from(high) << 32 | u64::from(low), u64::MAX));
    }
    match text.split_once('.') {
        Some((pos, seq)) => Some(Position::new(pos.parse().ok()?, seq.parse().ok()?)),
        None => Some(Position::new(text.parse().ok()?, u64::MAX)),
    }
}

/// Microseconds since 1970; a time without a zone is UTC.
fn micros(text: &str) -> Option<i64> {
    // A bare number is an id or a position, never a time.
    if text.trim().parse::<u64>().is_ok() {
        return None;
    }
    let nanos = string_to_timestamp_nanos(text.trim()).ok()?;
    Some(nanos.div_euclid(1000))
}

/// The snapshots there are, in a sentence.
fn listed(table: &TableState, points: &[SnapshotPoint]) -> String {
    let one = |p: &SnapshotPoint| {
        let at =
            DateTime::from_timestamp_micros(p.at_us).map_or_else(String::new, |t| t.to_rfc3339_opts(SecondsFormat::Secs, true));
        match cursor(p) {
            Some(cursor) => format!("{} ({at}, {})", p.id, spelled(&cursor)),
            None => format!("{} ({at})", p.id),
        }
    };
    let name = &table.table().name;
    let rest = format!("`SELECT * FROM {}.\"{name}$snapshots\"` lists them.", table.table().layer);
    match points {
        [first, .., last] if points.len() > NAMED => {
            format!("It has {} snapshots, from {} to {}. {rest}", points.len(), one(first), one(last))
        }
        few => format!("Its snapshots: {}.", few.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_sources_show_them() {
        let check = |text, expected| assert_eq!(position(text), expected, "{text}");
        check("16/B374D848", Some(Position::new(0x16_B374_D848, u64::MAX)));
        check("0/7", Some(Position::new(7, u64::MAX)));
        check("12.3", Some(Position::new(12, 3)));
        check("12", Some(Position::new(12, u64::MAX)));
        check("transaction 3144", Some(Position::new(3144, u64::MAX)));
        check("yesterday", None);
    }

    #[test]
    fn times_without_a_zone_are_utc() {
        assert_eq!(micros("2026-01-01 00:00:01.5"), Some(1_767_225_601_500_000));
        assert_eq!(micros("2026-01-01T01:00:00+01:00"), Some(1_767_225_600_000_000));
        assert_eq!(micros("2026-01-01"), Some(1_767_225_600_000_000));
        assert_eq!(micros("20260101"), None);
    }

    #[test]
    fn moments_survive_being_written_into_a_name() {
        for moment in [Moment::Version("a:b".into()), Moment::Time("2026-01-01 10:00".into()), Moment::Position("0/7".into())] {
            assert_eq!(Moment::read(&moment.written()), Some(moment));
        }
    }
}
