//! `upkeep:`.

use super::{
    check::read,
    problem::{Place, Problem, Report},
    units::{Size, Time},
    written,
    yaml::Node,
};
use lake::{Clustering, FileSettings, GROUP_ROWS_ALLOWED, PAGE_ROWS_ALLOWED, Retention};
use medallion::{TableRule, UpkeepSettings};
use std::time::Duration;

const FILE_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(4 << 30);

/// The settings of upkeep.
pub(super) fn check(root: &Node, report: &mut Report) -> UpkeepSettings {
    let mut settings = UpkeepSettings::default();
    let Some(node) = root.get("upkeep") else { return settings };
    let written: written::Upkeep = read(Some(node)).unwrap_or_default();
    let place = |key: &str| node.get(key).unwrap_or(node).place;
    let mut wrong = Wrong { report };
    settings.enabled = written.enabled.unwrap_or(true);
    let thresholds = &mut settings.policy.thresholds;
    if let Some(bytes) = wrong.file_size(written.file_size, place("file_size")) {
        thresholds.file_bytes = bytes;
    }
    if let Some(share) = wrong.share(written.deleted_percent, place("deleted_percent")) {
        thresholds.deleted_share = share;
    }
    if let Some(snapshots) = written.snapshots {
        settings.policy.retention = retention(snapshots, settings.policy.retention);
    }
    if let Some(Time(after)) = written.orphans_after {
        if after < Duration::from_secs(600) {
            wrong.say(
                place("orphans_after"),
                "upkeep.orphans_after is too short",
                "Give other engines at least 10m to commit what they wrote.",
            );
        }
        settings.orphans_after = after;
    }
    for entry in node.get("tables").map(Node::entries).unwrap_or_default() {
        let Some(written) = read::<written::UpkeepTable>(Some(&entry.value)) else { continue };
        let of = |key: &str| entry.value.get(key).unwrap_or(&entry.value).place;
        if !entry.key.contains('.') && !entry.key.contains('*') {
            let hint = "Write layer.name, for example silver.shop_orders or gold.*.";
            wrong.say(entry.place, &format!("upkeep.tables: `{}` names no table", entry.key), hint);
        }
        let layout = match (written.sort, written.zorder) {
            (Some(_), Some(_)) => {
                wrong.say(of("zorder"), &format!("upkeep.tables.{} has both sort and zorder", entry.key), "Keep one of them.");
                None
            }
            (Some(sort), None) => Some(Clustering::Sort(sort.iter().map(|column| by(column)).collect())),
            (None, Some(zorder)) => Some(Clustering::Zorder(zorder)),
            (None, None) => None,
        };
        let files = FileSettings {
            bloom: written.bloom.unwrap_or_default(),
            dictionary: written.dictionary.unwrap_or_default(),
            no_dictionary: written.no_dictionary.unwrap_or_default(),
            row_group_rows: wrong.rows(written.row_group_rows, GROUP_ROWS_ALLOWED, "row_group_rows", of("row_group_rows")),
            page_rows: wrong.rows(written.page_rows, PAGE_ROWS_ALLOWED, "page_rows", of("page_rows")),
        };
        settings.rules.push(TableRule {
            tables: entry.key.clone(),
            enabled: written.enabled,
            file_bytes: wrong.file_size(written.file_size, of("file_size")),
            deleted_share: wrong.share(written.deleted_percent, of("deleted_percent")),
            retention: written.snapshots.map(|s| retention(s, settings.policy.retention)),
            layout,
            files: (!files.is_default()).then_some(files),
            format_version: wrong.version(written.format_version, of("format_version")),
        });
    }
    settings
}

/// `column` or `column desc`.
fn by(written: &str) -> (String, bool) {
    match written.trim().rsplit_once(char::is_whitespace) {
        Some((column, word)) if word.eq_ignore_ascii_case("desc") => (column.trim().to_owned(), true),
        Some((column, word)) if word.eq_ignore_ascii_case("asc") => (column.trim().to_owned(), false),
        _ => (written.trim().to_owned(), false),
    }
}

fn retention(written: written::Snapshots, or: Retention) -> Retention {
    let time = |written: Option<Time>, or: Duration| written.map_or(or, |Time(time)| time);
    Retention { all: time(written.all, or.all), hourly: time(written.hourly, or.hourly), daily: time(written.daily, or.daily) }
}

struct Wrong<'a> {
    report: &'a mut Report,
}

impl Wrong<'_> {
    fn say(&mut self, place: Place, message: &str, hint: &'static str) {
        self.report.push(Problem::error(place, message.to_owned()).hint(hint.to_owned()));
    }

    fn file_size(&mut self, written: Option<Size>, place: Place) -> Option<u64> {
        let Size(bytes) = written?;
        if !FILE_BYTES.contains(&bytes) {
            self.say(place, "file_size is out of bounds", "It may be 1MiB to 4GiB.");
        }
        Some(bytes)
    }

    fn rows(
        &mut self,
        written: Option<usize>,
        allowed: std::ops::RangeInclusive<usize>,
        key: &str,
        place: Place,
    ) -> Option<usize> {
        let rows = written?;
        if !allowed.contains(&rows) {
            let message = format!("{key} is out of bounds: it may be {} to {}", allowed.start(), allowed.end());
            self.say(place, &message, "Leave it out where nothing speaks for another number.");
        }
        Some(rows)
    }

    fn version(&mut self, written: Option<u8>, place: Place) -> Option<u8> {
        let version = written?;
        if !(2..=3).contains(&version) {
            let message = format!("format_version {version} is not one that lakebox writes");
            self.say(place, &message, "Write 2 or 3, or leave it out for 2.");
        }
        Some(version)
    }

    fn share(&mut self, written: Option<f64>, place: Place) -> Option<f64> {
        let percent = written?;
        if !(0.1..=100.0).contains(&percent) {
            self.say(place, "deleted_percent is out of bounds", "It may be 0.1 to 100.");
        }
        Some(percent / 100.0)
    }
}
