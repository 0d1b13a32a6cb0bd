use chrono::NaiveDate;
use pipeline::{Error, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which time a change says it was committed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommitTime {
    /// The time at which the source told it, so that freshness can be measured.
    #[default]
    Now,
    /// The bank's own calendar, so that every byte is the same in every run.
    Simulated,
}

/// Settings of the `simulator` source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SimulatorConfig {
    /// Chooses names, amounts and fates. The same seed gives the same bank.
    pub seed: u64,
    /// Transactions per second on average over a simulated day; by day there are more, at night fewer. 0 means as fast as they are read.
    pub rate: f64,
    /// How many customers are under way at any time, and how many there are at the start. A simulated day has 1.8 transactions for
    /// each; with the default rate it takes a minute.
    pub customers: u32,
    /// The bank's date at the first transaction (YYYY-MM-DD, from 1971 on).
    #[schemars(with = "String")]
    pub starts_on: NaiveDate,
    /// Which time changes carry as their commit time.
    pub commit_time: CommitTime,
    /// How often the source tells what has happened, in milliseconds; all transactions of a tick end at one boundary.
    pub tick_ms: u32,
    /// Falls silent after this many transactions.
    pub stop_after: Option<u64>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            seed: 7,
            rate: 200.0,
            customers: 6000,
            starts_on: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default(),
            commit_time: CommitTime::Now,
            tick_ms: 100,
            stop_after: None,
        }
    }
}

/// Fewest customers with which each step of a life has a round of its own.
const CUSTOMERS_MIN: u32 = 20;
const CUSTOMERS_MAX: u32 = 10_000_000;
const RATE_MAX: f64 = 1_000_000.0;
const TICK_MS_MAX: u32 = 60_000;

impl SimulatorConfig {
    /// Says what is wrong with the settings, the first thing only.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`], with the setting's name and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::new(Kind::Misconfigured, text));
        if !(CUSTOMERS_MIN..=CUSTOMERS_MAX).contains(&self.customers) {
            return wrong(format!("`customers` is {}; it may be {CUSTOMERS_MIN} to {CUSTOMERS_MAX}", self.customers));
        }
        if !(0.0..=RATE_MAX).contains(&self.rate) {
            return wrong(format!("`rate` is {}; it may be 0 to {RATE_MAX} transactions per second", self.rate));
        }
        if !(1..=TICK_MS_MAX).contains(&self.tick_ms) {
            return wrong(format!("`tick_ms` is {}; it may be 1 to {TICK_MS_MAX}", self.tick_ms));
        }
        let year = chrono::Datelike::year(&self.starts_on);
        if !(1971..=9000).contains(&year) {
            return wrong(format!("`starts_on` is {}; its year may be 1971 to 9000", self.starts_on));
        }
        Ok(())
    }
}
