use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Settings of the gold models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsSettings {
    /// The folder with one `.sql` file for each model; folders inside it count too. It need not exist.
    pub folder: PathBuf,
    /// How long after the start of a run the next one may start when data moves, in milliseconds, unless the model says otherwise.
    pub debounce_ms: u64,
    /// The longest a run may take, in milliseconds.
    pub timeout_ms: u64,
    /// Models that run at once.
    pub running_max: usize,
    /// How often the folder is looked at for changed files, in milliseconds; 0 for only when asked.
    pub poll_ms: u64,
    /// Runs of each model that are remembered.
    pub runs_kept: u32,
}

impl Default for ModelsSettings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("models"),
            debounce_ms: 5_000,
            timeout_ms: 600_000,
            running_max: 2,
            poll_ms: 2_000,
            runs_kept: 100,
        }
    }
}
