//! Layouts that somebody applied to tables, beside the configuration.

use super::{TablePolicy, Upkeep};
use crate::{AppliedLayout, Error, Kind, LayoutRule, layout::failed};
use catalog::LayoutRecord;
use lake::FileSettings;
use model::LakeTable;

impl Upkeep {
    /// What the configuration says of a table.
    pub fn configured(&self, table: &LakeTable) -> TablePolicy {
        self.shared.settings.policy_of(table)
    }

    /// What holds for a table: the configuration, and where it says nothing, what was applied.
    pub(super) fn policy_of(&self, table: &LakeTable) -> TablePolicy {
        let mut of = self.configured(table);
        if let Some(rule) = self.shared.applied.lock().get(table).map(|a| &a.rule) {
            of.layout = of.layout.or_else(|| rule.layout.clone());
            of.files = of.files.or_else(|| rule.files());
        }
        of
    }

    /// What was applied to a table.
    pub fn applied(&self, table: &LakeTable) -> Option<AppliedLayout> {
        self.shared.applied.lock().get(table).cloned()
    }

    /// What was applied, of all tables.
    pub fn all_applied(&self) -> Vec<AppliedLayout> {
        self.shared.applied.lock().values().cloned().collect()
    }

    /// Reads what was applied before. Until then tables keep to what they declare themselves, which is the same.
    ///
    /// # Errors
    /// [`Kind::Catalog`].
    pub(crate) async fn load_applied(&self) -> Result<(), Error> {
        let records = self.shared.catalog.layouts().await.map_err(|e| failed("reading layouts", e))?;
        let parsed = records.into_iter().filter_map(|r| {
            let rule = serde_json::from_value(r.rule).ok()?;
            Some((r.table.clone(), AppliedLayout { table: r.table, rule, applied_us: r.applied_us }))
        });
        let mut applied = self.shared.applied.lock();
        for (table, rule) in parsed {
            applied.entry(table).or_insert(rule);
        }
        Ok(())
    }

    /// Lays a table out by a rule from now on.
    ///
    /// # Errors
    /// [`Kind::Catalog`] where it can't be remembered: then nothing changes.
    pub(crate) async fn apply(&self, table: &LakeTable, rule: LayoutRule) -> Result<AppliedLayout, Error> {
        let shared = &self.shared;
        let applied_us = shared.clock.now_us();
        let json = serde_json::to_value(&rule).unwrap_or_default();
        let record = LayoutRecord { table: table.clone(), rule: json, applied_us };
        shared.catalog.set_layout(&record).await.map_err(|e| failed("remembering a layout", e))?;
        let applied = AppliedLayout { table: table.clone(), rule, applied_us };
        shared.applied.lock().insert(table.clone(), applied.clone());
        Ok(applied)
    }

    /// Takes back what was applied to a table. Returns what it was.
    ///
    /// # Errors
    /// [`Kind::Catalog`] or [`Kind::Lake`].
    pub(crate) async fn take_back(&self, table: &LakeTable) -> Result<Option<LayoutRule>, Error> {
        let shared = &self.shared;
        shared.catalog.remove_layout(table).await.map_err(|e| failed("forgetting a layout", e))?;
        let Some(former) = shared.applied.lock().remove(table) else { return Ok(None) };
        let of = self.configured(table);
        let unwritten = |e: lake::Error| Error::new(Kind::Lake, format!("{table} can't be changed: {e}")).with_source(e);
        // What the configuration declares stays; the rest is no longer declared.
        if of.layout.is_none() && former.rule.layout.is_some() {
            shared.lake.set_layout(table, None).await.or_else(gone).map_err(unwritten)?;
        }
        if of.files.is_none() && former.rule.files().is_some() {
            shared.lake.set_file_settings(table, &FileSettings::default()).await.or_else(gone).map_err(unwritten)?;
        }
        Ok(Some(former.rule))
    }
}

/// A table that is gone declares nothing.
fn gone(error: lake::Error) -> Result<(), lake::Error> {
    if error.kind == lake::Kind::NotFound { Ok(()) } else { Err(error) }
}
