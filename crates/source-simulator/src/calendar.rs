use crate::SimulatorConfig;
use std::time::Duration;

const DAY_US: i128 = 86_400_000_000;

/// When transactions happen in the bank's own time, which may be before the start (negative numbers are history).
///
/// A day has a fixed number of transactions, dense at noon and sparse at night. The bank's time runs evenly against real time, so the
/// rate that people see is a wave with a period of one simulated day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calendar {
    start_us: i64,
    /// Transactions in a day.
    day: i64,
    /// Real microseconds that a simulated day takes; zero for as fast as possible.
    day_real_us: i128,
}

impl Calendar {
    pub(crate) fn new(config: &SimulatorConfig, day: i64) -> Self {
        let start_us = config.starts_on.and_hms_opt(0, 0, 0).map_or(0, |t| t.and_utc().timestamp_micros());
        let day_real_us = if config.rate > 0.0 { (day as f64 / config.rate * 1e6) as i128 } else { 0 };
        Self { start_us, day, day_real_us }
    }

    /// The bank's time at transaction `n`, in microseconds since 1970. Strictly grows with `n` for days of up to a billion transactions.
    pub(crate) fn time_us(&self, n: i64) -> i64 {
        let elapsed = self.elapsed_us(n);
        self.start_us.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    /// Days since 1970 of a time.
    pub(crate) fn date(time_us: i64) -> i32 {
        i32::try_from(i128::from(time_us).div_euclid(DAY_US)).unwrap_or(i32::MAX)
    }

    /// How long after transaction `from` transaction `to` is due in real time.
    pub(crate) fn due_after(&self, from: i64, to: i64) -> Duration {
        let simulated = self.elapsed_us(to) - self.elapsed_us(from);
        let real = simulated * self.day_real_us / DAY_US;
        Duration::from_micros(u64::try_from(real).unwrap_or(0))
    }

    /// Whether transactions are told without waiting.
    pub(crate) fn is_unpaced(&self) -> bool {
        self.day_real_us == 0
    }

    fn elapsed_us(&self, n: i64) -> i128 {
        let (days, nth, day) = (i128::from(n.div_euclid(self.day)), i128::from(n.rem_euclid(self.day)), i128::from(self.day));
        // t(u) = u + 1.2 u (1-u) (1-2u) for the share u of the day's transactions: slope 2.2 at midnight, 0.4 at noon. In whole numbers
        // so that every machine agrees.
        let wave = nth * (day - nth) * (day - 2 * nth);
        let even = nth * DAY_US / day;
        days * DAY_US + even + 6 * DAY_US / 5 * wave / (day * day * day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banks_time_grows_with_every_transaction_and_days_have_their_length() {
        let calendar = Calendar::new(&SimulatorConfig::default(), 10_800);
        for n in -20_000..20_000 {
            assert!(calendar.time_us(n) < calendar.time_us(n + 1), "{n}");
        }
        assert_eq!(i128::from(calendar.time_us(10_800) - calendar.time_us(0)), DAY_US);
        assert_eq!(calendar.due_after(0, 10_800), Duration::from_secs(54));
    }

    #[test]
    fn there_is_more_going_on_at_noon_than_at_midnight() {
        let calendar = Calendar::new(&SimulatorConfig::default(), 10_000);
        let gap = |n| calendar.time_us(n + 10) - calendar.time_us(n);
        assert!(gap(0) > 4 * gap(5_000));
    }
}
