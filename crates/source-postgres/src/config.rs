use crate::{connect::Address, discover::Patterns};
use model::TableId;
use pipeline::{Error, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// Settings of a PostgreSQL source.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Where the database is: `postgres://user:password@host:5432/database?sslmode=prefer`. A unix socket's folder goes percent-encoded in the
    /// host's place, or into `?host=/run/postgresql`. `sslmode` is disable, prefer, require, verify-ca or verify-full, with `sslrootcert`
    /// naming a PEM file. The role needs LOGIN, REPLICATION, SELECT on the tables, and, to make publications itself, ownership of them.
    pub url: String,
    /// Which tables to follow: `schema.table` with `*` and `?`, and `!` before what to leave out, for example `["public.*", "!public.secret_*"]`. Tables
    /// that appear later and match are copied and followed too.
    #[serde(default = "default_tables")]
    pub tables: Vec<String>,
    /// The replication slot, which belongs to this source alone. Default: `lakebox_<source>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The publication. Tables without replica identity go to a second one, `<publication>_inserts`, because PostgreSQL would
    /// refuse updates of tables that publish updates without identity. Default: `lakebox_<source>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<String>,
    /// How many connections copy the tables at the start.
    #[serde(default = "default_snapshot_connections")]
    #[schemars(range(min = 1, max = 32))]
    pub snapshot_connections: usize,
    /// Write-ahead log, in MiB, that the server may keep for this source before lakebox warns. 0: never.
    #[serde(default = "default_wal_budget_mb")]
    pub wal_budget_mb: u64,
    /// Changes read ahead of the lake, in MiB of memory.
    #[serde(default = "default_read_ahead_mb")]
    #[schemars(range(min = 1, max = 65536))]
    pub read_ahead_mb: usize,
    /// Rows of one batch at most.
    #[serde(default = "default_batch_rows_max")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_rows_max: usize,
    /// How long small transactions wait for company, in milliseconds. A transaction that arrives alone never waits.
    #[serde(default = "default_linger_ms")]
    #[schemars(range(max = 10_000))]
    pub linger_ms: u64,
    /// How often an idle source moves its position along with the server's log, in milliseconds.
    #[serde(default = "default_idle_ms")]
    #[schemars(range(min = 10))]
    pub idle_ms: u64,
    /// How often to look for new tables and at the server's log, in milliseconds.
    #[serde(default = "default_watch_ms")]
    #[schemars(range(min = 10))]
    pub watch_ms: u64,
}

fn default_tables() -> Vec<String> {
    vec!["public.*".into()]
}
const fn default_snapshot_connections() -> usize {
    2
}
const fn default_wal_budget_mb() -> u64 {
    20 * 1024
}
const fn default_read_ahead_mb() -> usize {
    64
}
const fn default_batch_rows_max() -> usize {
    32_768
}
const fn default_linger_ms() -> u64 {
    10
}
const fn default_idle_ms() -> u64 {
    10_000
}
const fn default_watch_ms() -> u64 {
    5_000
}

impl PostgresConfig {
    /// Settings for `url` with every default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tables: default_tables(),
            slot: None,
            publication: None,
            snapshot_connections: default_snapshot_connections(),
            wal_budget_mb: default_wal_budget_mb(),
            read_ahead_mb: default_read_ahead_mb(),
            batch_rows_max: default_batch_rows_max(),
            linger_ms: default_linger_ms(),
            idle_ms: default_idle_ms(),
            watch_ms: default_watch_ms(),
        }
    }

    /// Checks the settings without connecting; `source` is the source's name.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`], with the setting that is wrong. The message never holds the password.
    pub fn check(&self, source: &str) -> Result<(), Error> {
        Settings::new(source, self).map(|_| ())
    }
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = Address::parse(&self.url).map_or_else(|_| "(not usable)".to_owned(), |a| a.to_string());
        f.debug_struct("PostgresConfig").field("url", &url).field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// Checked settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) source: String,
    pub(crate) address: Address,
    pub(crate) patterns: Patterns,
    /// Tables that are left alone although the patterns take them.
    pub(crate) aside: BTreeSet<TableId>,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) snapshot_connections: usize,
    pub(crate) wal_budget_bytes: u64,
    pub(crate) read_ahead_bytes: usize,
    pub(crate) batch_rows_max: usize,
    pub(crate) linger: Duration,
    pub(crate) idle: Duration,
    pub(crate) watch: Duration,
}

impl Settings {
    /// Whether a table is one of ours.
    pub(crate) fn follows(&self, table: &TableId) -> bool {
        self.patterns.matches(table) && !self.aside.contains(table)
    }

    pub(crate) fn new(source: &str, config: &PostgresConfig) -> Result<Self, Error> {
        let owned_name = || format!("lakebox_{source}");
        let slot = config.slot.clone().unwrap_or_else(owned_name);
        let publication = config.publication.clone().unwrap_or_else(owned_name);
        let wrong = |what: &str, hint: &'static str| {
            Err(Error::new(Kind::Misconfigured, format!("source {source}: {what}")).with_hint(hint))
        };
        if slot.is_empty() || slot.len() > 63 || !slot.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return wrong(
                &format!("`{slot}` can't name a replication slot"),
                "Set `slot` to lower-case letters, digits and _, at most 63 of them.",
            );
        }
        if publication.is_empty() || publication.len() > 63 - INSERTS_SUFFIX.len() {
            return wrong(&format!("`{publication}` can't name a publication"), "Set `publication` to a name of 1 to 54 bytes.");
        }
        if config.tables.is_empty() {
            return wrong("`tables` is empty", "Name tables or patterns, for example [\"public.*\"].");
        }
        for (name, value, least) in [
            ("snapshot_connections", config.snapshot_connections, 1),
            ("read_ahead_mb", config.read_ahead_mb, 1),
            ("batch_rows_max", config.batch_rows_max, 1),
        ] {
            if value < least {
                return wrong(&format!("`{name}` is {value}"), "It must be at least 1.");
            }
        }
        Ok(Self {
            source: source.to_owned(),
            address: Address::parse(&config.url)?,
            patterns: Patterns::parse(&config.tables)?,
            aside: BTreeSet::new(),
            slot,
            publication,
            snapshot_connections: config.snapshot_connections.min(32),
            wal_budget_bytes: config.wal_budget_mb.saturating_mul(1 << 20),
            read_ahead_bytes: config.read_ahead_mb.saturating_mul(1 << 20),
            batch_rows_max: config.batch_rows_max.min(1_000_000),
            linger: Duration::from_millis(config.linger_ms),
            idle: Duration::from_millis(config.idle_ms.max(10)),
            watch: Duration::from_millis(config.watch_ms.max(10)),
        })
    }

    /// The publication of the tables without replica identity.
    pub(crate) fn inserts_publication(&self) -> String {
        format!("{}{INSERTS_SUFFIX}", self.publication)
    }
}

const INSERTS_SUFFIX: &str = "_inserts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_source_unless_given() {
        let mut config = PostgresConfig::new("postgres://u:pw@h/d");
        let settings = Settings::new("shop", &config).unwrap();
        assert_eq!((settings.slot.as_str(), settings.publication.as_str()), ("lakebox_shop", "lakebox_shop"));
        assert_eq!(settings.inserts_publication(), "lakebox_shop_inserts");
        config.slot = Some("Mine".into());
        assert!(config.check("shop").unwrap_err().message.contains("`Mine` can't name"));
        assert!(!format!("{config:?}").contains("pw"));
    }
}
