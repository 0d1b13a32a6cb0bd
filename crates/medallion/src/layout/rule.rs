use lake::{Clustering, FileSettings};
use model::LakeTable;
use serde::{Deserialize, Serialize};

/// A layout that somebody applied to a table, beside the configuration. Where the configuration says something of the same, that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayoutRule {
    /// In which order rows are laid out.
    pub layout: Option<Clustering>,
    /// Columns with bloom filters.
    pub bloom: Vec<String>,
}

/// A [`LayoutRule`] in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedLayout {
    /// The table.
    pub table: LakeTable,
    /// What was applied.
    pub rule: LayoutRule,
    /// When, in microseconds since 1970.
    pub applied_us: i64,
}

impl LayoutRule {
    /// How files are to be encoded, where the rule says anything of it.
    pub fn files(&self) -> Option<FileSettings> {
        (!self.bloom.is_empty()).then(|| FileSettings { bloom: self.bloom.clone(), ..FileSettings::default() })
    }

    /// The rule as people read it: `sorted by a, b desc; bloom filters on c`.
    pub fn describe(&self) -> String {
        let order = self.layout.as_ref().map(|layout| match layout {
            Clustering::Sort(by) => {
                let by: Vec<_> = by.iter().map(|(c, desc)| if *desc { format!("{c} desc") } else { c.clone() }).collect();
                format!("sorted by {}", by.join(", "))
            }
            Clustering::Zorder(columns) => format!("along a Z-order curve over {}", columns.join(", ")),
        });
        let bloom = (!self.bloom.is_empty()).then(|| format!("bloom filters on {}", self.bloom.join(", ")));
        order.into_iter().chain(bloom).collect::<Vec<_>>().join("; ")
    }
}
