use std::io::Write;

/// Year, month and day of a day number, 0 being 1970-01-01. Exact for every day that 64-bit microseconds can name, which calendar libraries
/// with a bounded year are not.
fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// How years before 1 and after 9999 are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Years {
    /// ISO 8601: the year 0 is 1 BC, and more than four digits bear a sign.
    Iso,
    /// PostgreSQL: `BC` at the very end, no signs.
    Postgres,
}

/// Writes a date and says whether `BC` is still owed.
fn write_date(out: &mut Vec<u8>, days: i64, years: Years) -> bool {
    let (year, month, day) = civil(days);
    let bc = years == Years::Postgres && year < 1;
    let result = match years {
        Years::Postgres if bc => write!(out, "{:04}-{month:02}-{day:02}", 1 - year),
        Years::Iso if year < 0 => write!(out, "-{:04}-{month:02}-{day:02}", -year),
        Years::Iso if year > 9999 => write!(out, "+{year}-{month:02}-{day:02}"),
        _ => write!(out, "{year:04}-{month:02}-{day:02}"),
    };
    // Writing to memory does not fail.
    result.unwrap_or_default();
    bc
}

/// Writes a date.
pub(crate) fn date(out: &mut Vec<u8>, days: i64, years: Years) {
    if write_date(out, days, years) {
        out.extend_from_slice(b" BC");
    }
}

/// Writes a time of day of `units` per second, without zeros at its end.
pub(crate) fn time(out: &mut Vec<u8>, value: i64, units: i64) {
    let (seconds, fraction) = (value.div_euclid(units), value.rem_euclid(units));
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).unwrap_or_default();
    if fraction > 0 {
        let digits = units.ilog10() as usize;
        let text = format!("{fraction:0digits$}");
        out.push(b'.');
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
}

/// Writes a timestamp of `units` per second; `zone` where it is a moment in UTC.
pub(crate) fn timestamp(out: &mut Vec<u8>, value: i64, units: i64, zone: bool, years: Years) {
    let day = 86_400 * units;
    let bc = write_date(out, value.div_euclid(day), years);
    out.push(if years == Years::Iso { b'T' } else { b' ' });
    time(out, value.rem_euclid(day), units);
    match (zone, years) {
        (true, Years::Iso) => out.push(b'Z'),
        (true, Years::Postgres) => out.extend_from_slice(b"+00"),
        _ => {}
    }
    if bc {
        out.extend_from_slice(b" BC");
    }
}

/// Writes an interval as PostgreSQL does: `1 year 2 mons 3 days 04:05:06.5`.
pub(crate) fn interval(out: &mut Vec<u8>, months: i64, days: i64, nanoseconds: i128) {
    let start = out.len();
    let mut part = |n: i64, one: &str, many: &str| {
        if n != 0 {
            let space = if out.len() > start { " " } else { "" };
            write!(out, "{space}{n} {}", if n == 1 { one } else { many }).unwrap_or_default();
        }
    };
    part(months / 12, "year", "years");
    part(months % 12, "mon", "mons");
    part(days, "day", "days");
    if nanoseconds != 0 || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        if nanoseconds < 0 {
            out.push(b'-');
        }
        let all = nanoseconds.unsigned_abs();
        let (seconds, fraction) = (all / 1_000_000_000, all % 1_000_000_000);
        write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).unwrap_or_default();
        if fraction > 0 {
            out.push(b'.');
            out.extend_from_slice(format!("{fraction:09}").trim_end_matches('0').as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_read_as_people_write_them() {
        let check = |value, zone, years, expected: &str| {
            assert_eq!(text(|o| timestamp(o, value, 1_000_000, zone, years)), expected);
        };
        check(0, true, Years::Iso, "1970-01-01T00:00:00Z");
        check(-1, false, Years::Postgres, "1969-12-31 23:59:59.999999");
        check(1_700_000_000_500_000, true, Years::Postgres, "2023-11-14 22:13:20.5+00");
        check(i64::MAX, true, Years::Iso, "+294247-01-10T04:00:54.775807Z");
        check(-62_167_219_200_000_000, true, Years::Postgres, "0001-01-01 00:00:00+00 BC");
        check(-62_167_219_200_000_000, true, Years::Iso, "0000-01-01T00:00:00Z");
        assert_eq!(text(|o| interval(o, 14, -3, 5_500_000_000)), "1 year 2 mons -3 days 00:00:05.5");
        assert_eq!(text(|o| interval(o, 0, 0, 0)), "00:00:00");
    }

    proptest! {
        #[test]
        fn days_agree_with_the_calendar(days in -900_000_i64..90_000_000) {
            let known = chrono::DateTime::from_timestamp(days * 86_400, 0).map(|t| t.date_naive());
            if let Some(known) = known {
                use chrono::Datelike;
                prop_assert_eq!(civil(days), (i64::from(known.year()), known.month(), known.day()));
            }
        }
    }
}
