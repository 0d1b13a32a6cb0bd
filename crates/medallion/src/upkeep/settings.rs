use lake::{Clustering, FileSettings, Policy, Retention};
use model::LakeTable;
use std::time::Duration;

/// How upkeep works.
#[derive(Debug, Clone, PartialEq)]
pub struct UpkeepSettings {
    /// Whether it works by itself; asked for, it always does.
    pub enabled: bool,
    /// What holds for tables that no rule says otherwise of.
    pub policy: Policy,
    /// Rules in order; of several that name a table, the later wins.
    pub rules: Vec<TableRule>,
    /// How often tables are looked at when nothing happens.
    pub every: Duration,
    /// How often snapshots of a table expire.
    pub expire_every: Duration,
    /// How often the warehouse is searched for orphans.
    pub orphans_every: Duration,
    /// How old a file is before it can be an orphan.
    pub orphans_after: Duration,
    /// How long runs are remembered.
    pub runs_kept: Duration,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            policy: Policy::default(),
            rules: Vec::new(),
            every: Duration::from_secs(5),
            expire_every: Duration::from_secs(60),
            orphans_every: Duration::from_secs(6 * 3600),
            orphans_after: Duration::from_secs(24 * 3600),
            runs_kept: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// What holds for some tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableRule {
    /// `layer.name`, with `*` for any number of characters.
    pub tables: String,
    /// Whether upkeep works on them by itself.
    pub enabled: Option<bool>,
    /// Bytes of a rewritten file.
    pub file_bytes: Option<u64>,
    /// Share of deleted rows at which a file is rewritten.
    pub deleted_share: Option<f64>,
    /// Which snapshots are kept.
    pub retention: Option<Retention>,
    /// In which order rows are laid out.
    pub layout: Option<Clustering>,
    /// How files are encoded.
    pub files: Option<FileSettings>,
    /// The Iceberg format version, 2 or 3, that they get where they have a lower one.
    pub format_version: Option<u8>,
}

/// What holds for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePolicy {
    /// Whether upkeep works on it by itself.
    pub enabled: bool,
    /// How.
    pub policy: Policy,
    /// The order that the configuration declares.
    pub layout: Option<Clustering>,
    /// How the configuration wants files to be encoded.
    pub files: Option<FileSettings>,
    /// The Iceberg format version that it gets where it has a lower one.
    pub format_version: Option<u8>,
}

impl UpkeepSettings {
    /// What holds for `table`.
    pub fn policy_of(&self, table: &LakeTable) -> TablePolicy {
        let mut of = TablePolicy { enabled: self.enabled, policy: self.policy, layout: None, files: None, format_version: None };
        let name = table.to_string();
        for rule in self.rules.iter().filter(|rule| matches(&rule.tables, &name)) {
            of.enabled = rule.enabled.map_or(of.enabled, |enabled| enabled && self.enabled);
            of.policy.thresholds.file_bytes = rule.file_bytes.unwrap_or(of.policy.thresholds.file_bytes);
            of.policy.thresholds.deleted_share = rule.deleted_share.unwrap_or(of.policy.thresholds.deleted_share);
            of.policy.retention = rule.retention.unwrap_or(of.policy.retention);
            of.layout = rule.layout.clone().or(of.layout);
            of.files = rule.files.clone().or(of.files);
            of.format_version = rule.format_version.or(of.format_version);
        }
        of
    }
}

/// Whether a name fits a pattern with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|name| (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| matches(rest, &name[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Layer;

    #[test]
    fn later_rules_win_and_what_they_leave_open_stays() {
        let rule = |tables: &str| TableRule { tables: tables.to_owned(), ..TableRule::default() };
        let settings = UpkeepSettings {
            rules: vec![
                TableRule { file_bytes: Some(1), enabled: Some(false), ..rule("silver.*") },
                TableRule { file_bytes: Some(2), ..rule("*orders") },
            ],
            ..UpkeepSettings::default()
        };
        let of = |layer, name: &str| settings.policy_of(&LakeTable::new(layer, name));
        let orders = of(Layer::Silver, "shop_orders");
        assert_eq!((orders.policy.thresholds.file_bytes, orders.enabled), (2, false));
        let lines = of(Layer::Silver, "shop_lines");
        assert_eq!((lines.policy.thresholds.file_bytes, lines.enabled), (1, false));
        assert_eq!(of(Layer::Gold, "revenue").policy, Policy::default());
        assert!(of(Layer::Gold, "revenue").enabled);
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fits) in [
            ("*", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "ab", false),
            ("*b*d", "abcd", true),
            ("a", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
