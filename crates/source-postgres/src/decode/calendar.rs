//! Dates and times as PostgreSQL prints them under `DateStyle = ISO`, and the few that must be printed again.

const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(crate) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days between PostgreSQL's epoch (2000-01-01) and Unix's.
pub(crate) const EPOCH_DAYS: i64 = 10_957;

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (year 0 is 1 BC).
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of days since 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

fn two(bytes: &[u8], at: usize) -> Option<u32> {
    let (a, b) = (bytes.get(at)?.wrapping_sub(b'0'), bytes.get(at + 1)?.wrapping_sub(b'0'));
    (a < 10 && b < 10).then(|| u32::from(a) * 10 + u32::from(b))
}

/// Splits a trailing ` BC` off.
fn split_bc(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |rest| (rest, true))
}

/// `YYYY-MM-DD` with at least four digits of year; days since 1970.
fn civil_date(text: &[u8], bc: bool) -> Option<i64> {
    let year_digits = text.len().checked_sub(6)?;
    if !(4..=9).contains(&year_digits) || text[year_digits] != b'-' || text[year_digits + 3] != b'-' {
        return None;
    }
    let mut year = 0_i64;
    for b in &text[..year_digits] {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        year = year * 10 + i64::from(digit);
    }
    let (month, day) = (two(text, year_digits + 1)?, two(text, year_digits + 4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days_from_civil(if bc { 1 - year } else { year }, month, day))
}

/// `HH:MM:SS[.ffffff]`; microseconds since midnight and the length read. 24:00:00 is not a time of day that Arrow holds.
fn clock(text: &[u8]) -> Option<(i64, usize)> {
    let (hour, minute, second) = (two(text, 0)?, two(text, 3)?, two(text, 6)?);
    if text[2] != b':' || text[5] != b':' || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 8;
    let mut micros = 0_i64;
    if text.get(8) == Some(&b'.') {
        at = 9;
        let mut scale = 100_000_i64;
        while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            if scale == 0 {
                return None;
            }
            micros += i64::from(digit) * scale;
            scale /= 10;
            at += 1;
        }
        if at == 9 {
            return None;
        }
    }
    Some(((i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * MICROS_PER_SECOND + micros, at))
}

/// `±HH[:MM[:SS]]`; seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = i64::from(two(text, 1)?);
    let part = |at: usize| (text.get(at) == Some(&b':')).then(|| two(text, at + 1)).flatten().map(i64::from);
    let rest = match text.len() {
        3 => 0,
        6 => part(3)? * 60,
        9 => part(3)? * 60 + part(6)?,
        _ => return None,
    };
    Some(sign * (hours * 3600 + rest))
}

/// A date; `None` for `infinity` and whatever else is no day.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let (text, bc) = split_bc(text);
    i32::try_from(civil_date(text, bc)?).ok()
}

/// A time of day in microseconds.
pub(crate) fn time(text: &[u8]) -> Option<i64> {
    let (micros, read) = clock(text)?;
    (read == text.len()).then_some(micros)
}

/// A timestamp in microseconds since 1970, with an offset where `zoned`.
pub(crate) fn timestamp(text: &[u8], zoned: bool) -> Option<i64> {
    let (text, bc) = split_bc(text);
    // The date of nearly every value has ten bytes; only years beyond 9999 have more.
    let space = if text.get(10) == Some(&b' ') { 10 } else { text.iter().position(|b| *b == b' ')? };
    let days = civil_date(&text[..space], bc)?;
    let rest = &text[space + 1..];
    let (micros, read) = clock(rest)?;
    let east = match (&rest[read..], zoned) {
        ([], false) => 0,
        (zone, true) => offset(zone)?,
        _ => return None,
    };
    days.checked_mul(MICROS_PER_DAY)?.checked_add(micros)?.checked_sub(east * MICROS_PER_SECOND)
}

/// A timestamp (microseconds since 2000) as PostgreSQL prints it, for those that Arrow's epoch can't hold.
pub(crate) fn print_timestamp(micros: i64, zoned: bool) -> String {
    match micros {
        i64::MAX => return "infinity".into(),
        i64::MIN => return "-infinity".into(),
        _ => {}
    }
    let (days, rest) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    let (year, month, day) = civil_from_days(days + EPOCH_DAYS);
    let (shown, bc) = if year <= 0 { (1 - year, " BC") } else { (year, "") };
    let (seconds, fraction) = (rest / MICROS_PER_SECOND, rest % MICROS_PER_SECOND);
    let mut text = format!("{shown:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    if zoned {
        text.push_str("+00");
    }
    text.push_str(bc);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_days_since_1970_and_infinity_is_none() {
        let cases: &[(&str, Option<i32>)] = &[
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(11_016)),
            ("0001-12-31 BC", Some(-719_163)),
            ("4713-01-01 BC", Some(-2_440_550)),
            ("5874897-12-31", Some(2_145_042_905)),
            ("infinity", None),
            ("-infinity", None),
            ("2000-13-01", None),
            ("2000-1-01", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(date(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn times_end_before_midnight() {
        let cases: &[(&str, Option<i64>)] = &[
            ("00:00:00", Some(0)),
            ("23:59:59.999999", Some(MICROS_PER_DAY - 1)),
            ("12:00:00.5", Some(43_200_500_000)),
            ("24:00:00", None),
            ("12:00:00.", None),
            ("12:00:00.1234567", None),
            ("12:00:00+00", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn timestamps_with_offsets_and_eras() {
        let cases: &[(&str, bool, Option<i64>)] = &[
            ("1970-01-01 00:00:00", false, Some(0)),
            ("1969-12-31 23:59:59.999999", false, Some(-1)),
            ("1970-01-01 01:00:00+01", true, Some(0)),
            ("1970-01-01 05:30:00+05:30", true, Some(0)),
            ("1969-12-31 23:59:28+00:00:00", true, Some(-32_000_000)),
            ("0044-03-15 12:00:00 BC", false, Some(-63_517_780_800_000_000)),
            ("294276-12-31 23:59:59.999999", false, None),
            ("infinity", true, None),
            ("1970-01-01 00:00:00", true, None),
            ("1970-01-01 00:00:00+00", false, None),
        ];
        for (text, zoned, expected) in cases {
            assert_eq!(timestamp(text.as_bytes(), *zoned), *expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_printable_timestamp_is_read_back(micros in -210_000_000_000_000_000_i64..9_000_000_000_000_000_000, zoned: bool) {
            let text = print_timestamp(micros, zoned);
            prop_assert_eq!(timestamp(text.as_bytes(), zoned), Some(micros + EPOCH_DAYS * MICROS_PER_DAY), "{}", text);
        }

        #[test]
        fn days_and_civil_dates_are_inverse(days in -3_000_000_i64..2_150_000_000) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
        }

        #[test]
        fn no_text_makes_the_calendar_panic(text: Vec<u8>, zoned: bool) {
            let _ = (date(&text), time(&text), timestamp(&text, zoned));
        }
    }
}
