use crate::{Error, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// What becomes of rows that the plugin can't take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// They are kept, as they came to this transform, in the source's table of dead letters.
    #[default]
    DeadLetter,
    /// They are left out and counted.
    Skip,
    /// They go on as they came. Only for plugins that keep a table's shape. A plugin that masks then lets unmasked values through.
    Pass,
    /// The pipeline stops with an error.
    Stop,
}

impl OnError {
    /// The word that the configuration and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Stop => "stop",
        }
    }
}

/// An entry of `transforms:` in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformConfig {
    /// The plugin's file, relative to the configuration file.
    pub wasm: PathBuf,
    /// What the plugin itself is told; its own schema says what it takes.
    #[serde(default = "empty_object")]
    pub config: serde_json::Value,
    /// What becomes of rows that the plugin can't take.
    #[serde(default)]
    pub on_error: OnError,
    /// Bytes of memory that one instance of the plugin may use, 1 MiB to 2 GiB.
    #[serde(default = "default_memory_max")]
    #[schemars(range(min = 1_048_576, max = 2_147_483_648_u64))]
    pub memory_max_bytes: u64,
    /// Milliseconds of CPU time that the plugin may take for one batch, 10 to 60 000.
    #[serde(default = "default_batch_ms_max")]
    #[schemars(range(min = 10, max = 60_000))]
    pub batch_ms_max: u64,
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

const fn default_memory_max() -> u64 {
    64 << 20
}

const fn default_batch_ms_max() -> u64 {
    1000
}

impl TransformConfig {
    /// The plugin at `wasm` with default limits and an empty configuration.
    pub fn new(wasm: impl Into<PathBuf>) -> Self {
        Self {
            wasm: wasm.into(),
            config: empty_object(),
            on_error: OnError::default(),
            memory_max_bytes: default_memory_max(),
            batch_ms_max: default_batch_ms_max(),
        }
    }

    pub(crate) fn limits(&self, transform: &str) -> Result<Limits, Error> {
        let out_of_bounds = |what: &str, is: u64, bounds: &str| {
            let message = format!("transform `{transform}`: {what} is {is}, which is out of bounds");
            Error::new(Kind::Config, message, format!("Set {what} to {bounds}."))
        };
        if !(1 << 20..=2 << 30).contains(&self.memory_max_bytes) {
            return Err(out_of_bounds("memory_max_bytes", self.memory_max_bytes, "1048576 to 2147483648"));
        }
        if !(10..=60_000).contains(&self.batch_ms_max) {
            return Err(out_of_bounds("batch_ms_max", self.batch_ms_max, "10 to 60000"));
        }
        let memory_max = usize::try_from(self.memory_max_bytes).unwrap_or(usize::MAX);
        Ok(Limits { memory_max, call_max: Duration::from_millis(self.batch_ms_max) })
    }
}

/// Checked limits of one instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of linear memory, all memories together.
    pub memory_max: usize,
    /// CPU time of one call.
    pub call_max: Duration,
}

impl Limits {
    /// Bytes of one packed batch: the guest needs room for it, for its answer and for working on it.
    pub fn batch_bytes_max(self) -> usize {
        self.memory_max / 4
    }

    /// CPU time for the calls that set an instance up.
    pub fn setup_max(self) -> Duration {
        self.call_max.max(Duration::from_secs(1))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_max: 64 << 20, call_max: Duration::from_secs(1) }
    }
}
