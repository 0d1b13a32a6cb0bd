//! Durations, sizes and addresses as people write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::{borrow::Cow, net::SocketAddr, str::FromStr, time::Duration};

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// What a duration must look like, for hints.
pub(super) const DURATION_HINT: &str = "Write a number with a unit (ms, s, m, h or d), for example 500ms, 5s or 1m30s.";
/// What a size must look like, for hints.
pub(super) const SIZE_HINT: &str =
    "Write a number with a unit (B, KiB, MiB, GiB or TiB; KB, MB, GB and TB count in thousands), for example 64MiB.";
/// What an address must look like, for hints.
pub(super) const ADDRESS_HINT: &str =
    "Write address:port, for example 127.0.0.1:8480 for this machine alone or 0.0.0.0:8480 for all its networks.";

/// A duration in a written configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Duration);

/// A number of bytes in a written configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Size(pub(super) u64);

/// An address to listen at in a written configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Address(pub(super) SocketAddr);

/// Splits `1m30s` into numbers and units.
fn parts(text: &str) -> Option<Vec<(f64, &str)>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        parts.push((number.parse().ok()?, unit));
        rest = tail.trim_start();
    }
    (!parts.is_empty()).then_some(parts)
}

impl FromStr for Time {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ms = 0.0;
        for (number, unit) in parts(text).ok_or(DURATION_HINT)? {
            let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit).ok_or(DURATION_HINT)?;
            ms += number * *factor as f64;
        }
        Duration::try_from_secs_f64(ms / 1000.0).map(Self).map_err(|_| DURATION_HINT)
    }
}

impl FromStr for Size {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = parts(text).ok_or(SIZE_HINT)?;
        let [(number, unit)] = parts[..] else { return Err(SIZE_HINT) };
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(SIZE_HINT),
        };
        let bytes = number * factor as f64;
        if bytes >= 9.0e18 {
            return Err(SIZE_HINT);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "digits alone are never negative, and the bound is above"
        )]
        Ok(Self(bytes.round() as u64))
    }
}

impl FromStr for Address {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        numeric.parse().map(Self).map_err(|_| ADDRESS_HINT)
    }
}

macro_rules! written_as_text {
    ($type:ident, $name:literal, $format:literal, $description:literal, $examples:tt) => {
        impl TryFrom<String> for $type {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format, "description": $description, "examples": $examples})
            }
        }
    };
}
written_as_text!(Time, "Duration", "duration-text", "A number with a unit: ms, s, m, h or d.", ["500ms", "5s", "1m30s"]);
written_as_text!(Size, "Size", "size-text", "A number with a unit: B, KiB, MiB, GiB or TiB.", ["64MiB", "1GiB"]);
written_as_text!(Address, "Address", "address-text", "An address and a port to listen at.", ["127.0.0.1:8480"]);

/// What is wrong with a text of one of our formats, as a hint; `None` where nothing is, or the format is not ours.
pub(super) fn format_hint(format: &str, text: &str) -> Option<&'static str> {
    match format {
        "duration-text" => text.parse::<Time>().err(),
        "size-text" => text.parse::<Size>().err(),
        "address-text" => text.parse::<Address>().err(),
        _ => None,
    }
}

/// What a format is called in messages.
pub(super) fn format_noun(format: &str) -> &'static str {
    match format {
        "duration-text" => "a duration",
        "size-text" => "a size",
        "address-text" => "an address",
        _ => "a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, ms) in [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000), ("2 d", 172_800_000), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(ms))), "{text}");
        }
        for text in ["5", "", "s", "5 sec", "-5s", "5s5", "1e3s", "1..2s", "99999999999999999999999d"] {
            assert_eq!(text.parse::<Time>(), Err(DURATION_HINT), "{text}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        for (text, bytes) in [("64MiB", 64 << 20), ("1.5 GiB", 3 << 29), ("10mb", 10_000_000), ("7B", 7), ("2TiB", 2 << 40)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["64", "64M", "MiB", "1GiB 5MiB", "-1MiB", "99999999TiB"] {
            assert_eq!(text.parse::<Size>(), Err(SIZE_HINT), "{text}");
        }
    }

    #[test]
    fn addresses_need_a_port() {
        assert_eq!("localhost:80".parse::<Address>(), "127.0.0.1:80".parse());
        assert!("[::1]:8480".parse::<Address>().is_ok());
        for text in ["8480", ":8480", "127.0.0.1", "example.com:80", "127.0.0.1:99999"] {
            assert_eq!(text.parse::<Address>(), Err(ADDRESS_HINT), "{text}");
        }
    }
}
