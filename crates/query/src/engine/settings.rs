use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Limits of the query engine. Everything has a bound: `running_max` queries of `memory_bytes_max` each are the most memory queries can hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySettings {
    /// Threads for queries alone; 0 for as many as there are cores.
    pub threads: usize,
    /// Memory one query may hold before it spills to disk, in bytes.
    pub memory_bytes_max: usize,
    /// Disk that all queries together may use for spilled data, in bytes.
    pub spill_bytes_max: u64,
    /// Where spilled data goes; the system's temporary folder where unset. Emptied by the queries that filled it.
    pub spill_dir: Option<PathBuf>,
    /// Queries that run at once; others wait.
    pub running_max: usize,
    /// Queries that wait; more are refused.
    pub waiting_max: usize,
    /// The longest that a query waits for a place to run.
    pub wait_max: Duration,
    /// Bytes of data files that a light query reads at most, by its plan. Heavy queries leave some places to light ones.
    pub light_bytes_max: u64,
    /// The longest a query may take, waiting and sending included, in milliseconds; requests may ask for less.
    pub timeout_ms: u64,
    /// Bytes of data files that one query may read; 0 for any number. A query that reads more is ended.
    pub bytes_scanned_max: u64,
    /// What reading a terabyte (10^12 bytes) costs, in US dollars: for showing people what a query is worth.
    pub price_per_tb: f64,
    /// Memory for the footers of data files, shared by all queries, in bytes.
    pub metadata_cache_bytes_max: usize,
    /// Ended queries to remember.
    pub history_max: usize,
    /// Connections that the PostgreSQL port accepts at once; more are told that there are too many.
    pub connections_max: usize,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            threads: 0,
            memory_bytes_max: 1 << 30,
            spill_bytes_max: 64 << 30,
            spill_dir: None,
            running_max: 8,
            waiting_max: 128,
            wait_max: Duration::from_secs(120),
            light_bytes_max: 64 << 20,
            timeout_ms: 10 * 60 * 1000,
            bytes_scanned_max: 0,
            price_per_tb: 5.0,
            metadata_cache_bytes_max: 32 << 20,
            history_max: 500,
            connections_max: 200,
        }
    }
}

impl QuerySettings {
    /// Threads to start.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        }
    }

    /// The time a query gets that asks for `wanted`.
    pub(crate) fn timeout(&self, wanted: Option<Duration>) -> Duration {
        let most = Duration::from_millis(self.timeout_ms);
        wanted.map_or(most, |w| w.min(most))
    }
}
