use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A place in the server's write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Lsn(pub(crate) u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A text that is no LSN.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position in a write-ahead log (like 0/16B3748)")]
pub(crate) struct NoLsn(String);

impl FromStr for Lsn {
    type Err = NoLsn;
    fn from_str(s: &str) -> Result<Self, NoLsn> {
        let parsed = s.split_once('/').and_then(|(high, low)| {
            Some(u64::from(u32::from_str_radix(high, 16).ok()?) << 32 | u64::from(u32::from_str_radix(low, 16).ok()?))
        });
        parsed.map(Self).ok_or_else(|| NoLsn(s.to_owned()))
    }
}

impl TryFrom<String> for Lsn {
    type Error = NoLsn;
    fn try_from(s: String) -> Result<Self, NoLsn> {
        s.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_what_they_print() {
        for lsn in [Lsn(0), Lsn(0x16B_3748), Lsn(0x12_3456_789A)] {
            assert_eq!(lsn.to_string().parse(), Ok(lsn));
        }
        for bad in ["", "1", "x/1", "1/x", "100000000/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
