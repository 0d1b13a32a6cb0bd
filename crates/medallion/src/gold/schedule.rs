use chrono::{DateTime, Utc};
use croner::Cron;
use std::{fmt, str::FromStr};

/// When a model runs.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// Whenever a table that it reads has moved.
    OnCommit,
    /// At times given by a cron expression, in UTC.
    Cron(Box<Cron>),
    /// Only when asked to.
    Manual,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// A table that it reads has moved, or it was never made as it now stands.
    Commit,
    /// Its time had come.
    Schedule,
    /// Somebody asked.
    Request,
}

impl Trigger {
    /// The word that the catalog keeps and the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Schedule => "schedule",
            Self::Request => "request",
        }
    }
}

impl Schedule {
    /// The next time after `now_us` that a cron expression names, in microseconds since 1970.
    pub(crate) fn next_us(&self, now_us: i64) -> Option<i64> {
        let Self::Cron(cron) = self else { return None };
        let now = DateTime::<Utc>::from_timestamp_micros(now_us)?;
        cron.find_next_occurrence(&now, false).ok().map(|next| next.timestamp_micros())
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "on_commit" | "on commit" => Ok(Self::OnCommit),
            "manual" => Ok(Self::Manual),
            cron => cron.parse().map(|cron| Self::Cron(Box::new(cron))).map_err(|e| {
                format!("schedule `{cron}` is neither `on_commit` nor `manual` nor a cron expression such as `*/15 * * * *`: {e}")
            }),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnCommit => f.write_str("on commit"),
            Self::Cron(cron) => f.write_str(cron.as_str()),
            Self::Manual => f.write_str("manual"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_expression_names_its_next_time_and_others_none() {
        let every_quarter: Schedule = "*/15 * * * *".parse().expect("a cron expression");
        let noon = 1_767_268_800_000_000;
        assert_eq!(every_quarter.next_us(noon), Some(noon + 900_000_000));
        assert_eq!(every_quarter.to_string(), "*/15 * * * *");
        assert_eq!(Schedule::OnCommit.next_us(noon), None);
        assert!("now and then".parse::<Schedule>().is_err_and(|e| e.contains("now and then")));
    }
}
