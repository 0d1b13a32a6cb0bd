//! Which layout would let the queries of a table read less. Pure: sums and facts in, proposals out.
//!
//! The estimate, for a kind of queries that filter by some columns: sorted by a column whose filter lets a share `s` of the rows through, they read `s` of
//! the bytes, and one piece (a page's rows) more for where the values begin and end. Along a Z-order curve over `k` columns there are `pieces^(1/k)` slices
//! of each column. Queries that a new order does not help are taken to lose what the order of now lets them skip. A bloom filter spares the row groups
//! without any of the rows that pass, as if these were spread over the table at random.

use lake::{Clustering, FileSettings};
use query::{AccessKind, AccessSum, FilterKind};
use std::fmt;

/// Rows that are skipped or read together.
const PIECE_ROWS: f64 = 20_000.0;
/// Rows of a row group.
const GROUP_ROWS: f64 = 131_072.0;
/// Share of row groups that a bloom filter does not spare though they could be.
const BLOOM_FALSE: f64 = 0.01;
/// Bytes of a bloom filter for each different value.
const BLOOM_BYTES: f64 = 1.25;
/// Columns that are tried in each place.
const COLUMNS_TRIED: usize = 4;
/// A curve must save so much more than the best single column: it is harder to understand.
const CURVE_GAIN: f64 = 1.1;

/// When a proposal is worth telling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worth {
    /// Queries that would read less, at least.
    pub queries: u64,
    /// Bytes saved at least.
    pub bytes: u64,
    /// Share of the bytes read that is saved at least.
    pub share: f64,
}

impl Default for Worth {
    fn default() -> Self {
        Self { queries: 3, bytes: 4 << 20, share: 0.2 }
    }
}

/// What is known of a table.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Its name, as `layer.name`.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// The order that its rows are laid out in now.
    pub layout: Option<Clustering>,
    /// How its files are encoded now.
    pub files: FileSettings,
    /// Whether the configuration says nothing of the order.
    pub order_is_free: bool,
    /// Whether the configuration says nothing of the encoding.
    pub files_are_free: bool,
    /// Columns that rows can be sorted by.
    pub sortable: Vec<String>,
    /// Columns that can have a bloom filter.
    pub bloomable: Vec<String>,
}

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// Rows in this order.
    Layout(Clustering),
    /// A bloom filter on this column.
    Bloom(String),
}

/// A layout that would let queries read less.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Names it; the same proposal has the same id tomorrow.
    pub id: String,
    /// The table, as `layer.name`.
    pub table: String,
    /// What is proposed.
    pub proposal: Proposal,
    /// Queries that would read less.
    pub queries: u64,
    /// Bytes that all recorded queries on the table read.
    pub read_bytes: u64,
    /// Bytes that they would read, by estimate.
    pub expected_bytes: u64,
}

impl Advice {
    /// Bytes that would not be read, by estimate.
    pub fn saved_bytes(&self) -> u64 {
        self.read_bytes.saturating_sub(self.expected_bytes)
    }

    /// The columns that it is about.
    pub fn columns(&self) -> Vec<String> {
        match &self.proposal {
            Proposal::Layout(layout) => layout.columns().map(str::to_owned).collect(),
            Proposal::Bloom(column) => vec![column.clone()],
        }
    }

    /// `sort`, `zorder` or `bloom`.
    pub fn kind(&self) -> &'static str {
        match &self.proposal {
            Proposal::Layout(Clustering::Sort(_)) => "sort",
            Proposal::Layout(Clustering::Zorder(_)) => "zorder",
            Proposal::Bloom(_) => "bloom",
        }
    }
}

impl fmt::Display for Advice {
    /// One sentence that says what to do and what for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self.columns().iter().map(|c| format!("`{c}`")).collect();
        let columns = columns.join(" and ");
        match &self.proposal {
            Proposal::Layout(Clustering::Sort(_)) => write!(f, "Sort `{}` by {columns}", self.table)?,
            Proposal::Layout(Clustering::Zorder(_)) => {
                write!(f, "Lay `{}` out along a Z-order curve over {columns}", self.table)?
            }
            Proposal::Bloom(_) => write!(f, "Give `{}` a bloom filter on {columns}", self.table)?,
        }
        let (queries, read, then) = (self.queries, bytes(self.read_bytes), bytes(self.expected_bytes));
        write!(
            f,
            ": {queries} queries of the last seven days would have read less. All queries on it read {read}; then they would read about {then}."
        )
    }
}

/// Bytes as people read them.
fn bytes(n: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// One kind of queries.
type Use = (AccessKind, AccessSum);

/// What to do to a table, the most saving first: one order at most, and bloom filters on columns that it does not serve.
pub(super) fn advise(facts: &Facts, uses: &[Use], worth: Worth) -> Vec<Advice> {
    let mut all = Vec::new();
    if facts.files_are_free {
        for column in columns(uses, |c, kind| kind == FilterKind::Equality && facts.bloomable.iter().any(|b| b == c)) {
            let laid_out = facts.layout.iter().flat_map(Clustering::columns).any(|c| c == column);
            if laid_out || facts.files.bloom.contains(&column) {
                continue;
            }
            let estimate = |u: &Use| bloom_bytes(facts, u, &column).map(|bytes| bytes.min(now_bytes(facts, u)));
            all.extend(weigh(facts, uses, Proposal::Bloom(column.clone()), estimate, worth));
        }
    }
    let order = if facts.order_is_free { best_order(facts, uses, worth) } else { None };
    if let Some(order) = order {
        let served = order.columns();
        let instead = |bloom: &Advice| bloom.columns().iter().all(|c| served.contains(c));
        // A filter that spares as much leaves the rows where they are.
        if !all.iter().any(|bloom| instead(bloom) && bloom.saved_bytes() >= order.saved_bytes()) {
            all.retain(|bloom| !instead(bloom));
            all.push(order);
        }
    }
    all.sort_by_key(|a| std::cmp::Reverse(a.saved_bytes()));
    all
}

fn best_order(facts: &Facts, uses: &[Use], worth: Worth) -> Option<Advice> {
    let tried = columns(uses, |c, _| facts.sortable.iter().any(|s| s == c));
    let weighed = |layout: Clustering| {
        let estimate = |u: &Use| Some(order_bytes(facts, u, &layout));
        weigh(facts, uses, Proposal::Layout(layout.clone()), estimate, worth)
    };
    let best = |all: Vec<Clustering>| {
        let not_now = all.into_iter().filter(|layout| facts.layout.as_ref() != Some(layout));
        not_now.filter_map(weighed).max_by_key(Advice::saved_bytes)
    };
    let sort = best(tried.iter().map(|c| Clustering::Sort(vec![(c.clone(), false)])).collect());
    let pairs = tried.iter().enumerate().flat_map(|(i, a)| tried[i + 1..].iter().map(move |b| vec![a.clone(), b.clone()]));
    let curve = best(pairs.map(Clustering::Zorder).collect());
    match (sort, curve) {
        (Some(sort), Some(curve)) if curve.saved_bytes() as f64 > sort.saved_bytes() as f64 * CURVE_GAIN => Some(curve),
        (None, curve) => curve,
        (sort, _) => sort,
    }
}

/// The columns of most bytes read, first.
fn columns(uses: &[Use], wanted: impl Fn(&str, FilterKind) -> bool) -> Vec<String> {
    let mut bytes: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for (kind, sum) in uses {
        for (column, _) in kind.columns.iter().filter(|(c, k)| wanted(c, *k)) {
            *bytes.entry(column).or_default() += sum.read_bytes;
        }
    }
    let mut columns: Vec<_> = bytes.into_iter().collect();
    columns.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
    columns.into_iter().take(COLUMNS_TRIED).map(|(name, _)| name.to_owned()).collect()
}

/// What a proposal saves; nothing where that is not worth telling. `estimate` gives the bytes that a kind of queries would read, or none where they stay as
/// they are.
fn weigh(
    facts: &Facts,
    uses: &[Use],
    proposal: Proposal,
    estimate: impl Fn(&Use) -> Option<f64>,
    worth: Worth,
) -> Option<Advice> {
    let (mut now, mut then, mut queries) = (0.0, 0.0, 0);
    for u in uses {
        let read = now_bytes(facts, u);
        let expected = estimate(u).unwrap_or(read);
        now += read;
        then += expected;
        queries += if expected < read * 0.95 { u.1.queries } else { 0 };
    }
    let (read_bytes, expected_bytes) = (now.round() as u64, then.round() as u64);
    let saved = read_bytes.saturating_sub(expected_bytes);
    let is_worth = queries >= worth.queries && saved >= worth.bytes && saved as f64 >= now * worth.share;
    let mut advice = Advice { id: String::new(), table: facts.table.clone(), proposal, queries, read_bytes, expected_bytes };
    advice.id = format!("{}:{}:{}", advice.table, advice.kind(), advice.columns().join(","));
    is_worth.then_some(advice)
}

/// What a kind of queries reads under the layout of now. Where that was applied lately, the recorded queries may still have read more.
fn now_bytes(facts: &Facts, u: &Use) -> f64 {
    let read = u.1.read_bytes as f64;
    let by_order = facts.layout.as_ref().filter(|layout| serves(layout, u)).map(|layout| order_bytes(facts, u, layout));
    let by_bloom = facts.files.bloom.iter().filter_map(|column| bloom_bytes(facts, u, column));
    by_order.into_iter().chain(by_bloom).fold(read, f64::min)
}

/// The share of rows that the filter on a column lets through, on average.
fn share(u: &Use, column: &str) -> Option<(FilterKind, f64)> {
    let at = u.0.columns.iter().position(|(c, _)| c == column)?;
    let sum = u.1.shares.get(at).copied().unwrap_or(1.0);
    Some((u.0.columns[at].1, (sum / u.1.queries.max(1) as f64).clamp(0.0, 1.0)))
}

fn serves(layout: &Clustering, u: &Use) -> bool {
    match layout {
        Clustering::Sort(by) => by.first().is_some_and(|(c, _)| share(u, c).is_some()),
        Clustering::Zorder(columns) => columns.iter().any(|c| share(u, c).is_some()),
    }
}

/// Bytes that a kind of queries would read of a table in an order.
fn order_bytes(facts: &Facts, u: &Use, layout: &Clustering) -> f64 {
    let (full, read) = (u.1.full_bytes as f64, u.1.read_bytes as f64);
    if !serves(layout, u) {
        // What was skipped thanks to the order of now is read then.
        return if u.0.columns.is_empty() { read } else { full };
    }
    let pieces = (facts.rows as f64 / PIECE_ROWS).max(1.0);
    let part = match layout {
        Clustering::Sort(by) => {
            let mut part = 1.0;
            for (column, _) in by {
                let Some((kind, share)) = share(u, column) else { break };
                part *= share;
                if kind == FilterKind::Range {
                    break;
                }
            }
            part + 1.0 / pieces
        }
        Clustering::Zorder(columns) => {
            let slices = pieces.powf(1.0 / columns.len().max(1) as f64);
            columns.iter().filter_map(|c| share(u, c)).map(|(_, share)| (share + 1.0 / slices).min(1.0)).product()
        }
    };
    full * part.min(1.0)
}

/// Bytes that a kind of queries would read with a bloom filter on a column; none where it does not ask for single values of it.
fn bloom_bytes(facts: &Facts, u: &Use, column: &str) -> Option<f64> {
    let (_, share) = share(u, column).filter(|(kind, _)| *kind == FilterKind::Equality)?;
    let rows = facts.rows as f64;
    let groups = (rows / GROUP_ROWS).ceil().max(1.0);
    let found = 1.0 - (1.0 - 1.0 / groups).powf((share * rows).max(0.0));
    let filters = rows * BLOOM_BYTES * u.1.queries as f64;
    Some(u.1.full_bytes as f64 * (found + BLOOM_FALSE).min(1.0) + filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn facts() -> Facts {
        let columns = || ["at", "merchant", "status", "mail"].map(str::to_owned).to_vec();
        Facts {
            table: "silver.payments".to_owned(),
            rows: 10_000_000,
            layout: None,
            files: FileSettings::default(),
            order_is_free: true,
            files_are_free: true,
            sortable: columns(),
            bloomable: columns()[1..].to_vec(),
        }
    }

    fn asked(columns: &[(&str, FilterKind, f64)], queries: u64, read: u64, full: u64) -> Use {
        let kind = AccessKind {
            table: "silver.payments".to_owned(),
            columns: columns.iter().map(|(c, k, _)| ((*c).to_owned(), *k)).collect(),
        };
        let shares = columns.iter().map(|(_, _, share)| share * queries as f64).collect();
        (kind, AccessSum { queries, read_bytes: read * queries * MIB, full_bytes: full * queries * MIB, shares })
    }

    fn check(facts: &Facts, uses: &[Use], expected: &[&str]) -> Vec<Advice> {
        let found = advise(facts, uses, Worth::default());
        assert_eq!(found.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), expected, "{found:?}");
        found
    }

    use FilterKind::{Equality, Range};

    #[test]
    fn what_is_filtered_by_alone_is_sorted_by() {
        let uses = [asked(&[("merchant", Equality, 0.01)], 41, 80, 80)];
        let found = check(&facts(), &uses, &["silver.payments:sort:merchant"]);
        assert_eq!((found[0].queries, found[0].read_bytes), (41, 41 * 80 * MIB));
        let said = "Sort `silver.payments` by `merchant`: 41 queries of the last seven days would have read less. All queries on it read 3.4 GB; then they would read about 41.3 MB.";
        assert_eq!(found[0].to_string(), said);
        // One percent, and a page's rows of ten million.
        assert!((found[0].expected_bytes as f64 / found[0].read_bytes as f64 - 0.012).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_new_order_that_takes_from_others_what_it_gives_to_one_is_not_proposed() {
        // Rows lie as they came, so ranges of time skip most already; many such queries outweigh a few others.
        let time = asked(&[("at", Range, 0.02)], 200, 2, 80);
        check(&facts(), &[time.clone(), asked(&[("status", Equality, 0.2)], 10, 80, 80)], &[]);
        // A value that is in few row groups can be found without another order.
        let found = check(&facts(), &[time, asked(&[("mail", Equality, 1e-7)], 50, 80, 80)], &["silver.payments:bloom:mail"]);
        assert!(found[0].saved_bytes() > 50 * 60 * MIB / 2, "{found:?}");
    }

    #[test]
    fn two_columns_of_equal_weight_get_a_curve() {
        let uses = [asked(&[("merchant", Equality, 0.001)], 50, 80, 80), asked(&[("at", Range, 0.01)], 50, 80, 80)];
        check(&facts(), &uses, &["silver.payments:zorder:at,merchant"]);
    }

    #[test]
    fn what_is_in_force_is_not_proposed_again_though_old_queries_read_more() {
        let uses = [asked(&[("merchant", Equality, 0.01)], 41, 80, 80)];
        let by = |column: &str| Some(Clustering::Sort(vec![(column.to_owned(), false)]));
        check(&Facts { layout: by("merchant"), ..facts() }, &uses, &[]);
        check(&Facts { layout: by("at"), ..facts() }, &uses, &["silver.payments:sort:merchant"]);
        check(&Facts { order_is_free: false, ..facts() }, &uses, &[]);
        let mail = [asked(&[("mail", Equality, 1e-7)], 50, 80, 80)];
        let files = FileSettings { bloom: vec!["mail".into()], ..FileSettings::default() };
        check(&Facts { files, order_is_free: false, ..facts() }, &mail, &[]);
    }

    #[test]
    fn little_is_not_worth_telling() {
        check(&facts(), &[asked(&[("merchant", Equality, 0.01)], 2, 80, 80)], &[]);
        check(&Facts { rows: 1000, ..facts() }, &[asked(&[("merchant", Equality, 0.01)], 100, 1, 1)], &[]);
        check(&facts(), &[asked(&[("merchant", Equality, 0.9)], 100, 80, 80)], &[]);
        check(&facts(), &[asked(&[], 100, 80, 80)], &[]);
    }
}
