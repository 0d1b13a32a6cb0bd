//! The search for a cheap order, knowing nothing but numbers of rows.

/// A set of relations, one bit each.
pub(super) type Set = u64;

/// Up to this many relations all orders are compared; beyond, the cheapest next join is taken again and again.
const ALL_ORDERS: usize = 10;

/// What a row costs that is put into a hash table, that is looked up in one, and that a join hands on; relative to each other.
const BUILD: f64 = 2.0;
const PROBE: f64 = 1.0;
const OUT: f64 = 1.0;

/// Which relation is joined with which: left is built into the hash table, right is looked up in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Leaf(usize),
    Join(Box<Self>, Box<Self>),
}

impl Tree {
    pub(super) fn set(&self) -> Set {
        match self {
            Self::Leaf(leaf) => 1 << leaf,
            Self::Join(left, right) => left.set() | right.set(),
        }
    }
}

/// A relation's side of an equality.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub relation: usize,
    /// Different values that it has, about.
    pub distinct: f64,
}

/// What is known of the relations and of the equalities between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    /// Rows of each relation after its own filters.
    pub rows: Vec<f64>,
    /// What is equal: the ends of each link have the same value in every row of the result. One end per relation.
    pub links: Vec<Vec<End>>,
    /// Other conditions over several relations, and the share of rows they keep.
    pub filters: Vec<(Set, f64)>,
}

impl Graph {
    /// The order with the least cost that never multiplies unrelated relations. None where they are not all connected, or are too few or too many.
    pub(super) fn best(&self) -> Option<Tree> {
        match self.rows.len() {
            0..=2 => None,
            n if n <= ALL_ORDERS => self.compare_all(n),
            n if n < Set::BITS as usize => self.cheapest_next(n),
            _ => None,
        }
    }

    /// What a tree costs.
    pub(super) fn cost(&self, tree: &Tree) -> f64 {
        match tree {
            Tree::Leaf(_) => 0.0,
            Tree::Join(left, right) => self.cost(left) + self.cost(right) + self.step(left.set(), right.set()),
        }
    }

    /// What one join costs beside its inputs.
    fn step(&self, left: Set, right: Set) -> f64 {
        let (a, b) = (self.rows_of(left), self.rows_of(right));
        BUILD.mul_add(a.min(b), PROBE.mul_add(a.max(b), OUT * self.rows_of(left | right)))
    }

    /// Rows of the join of a set: the same in whatever order it is made.
    fn rows_of(&self, set: Set) -> f64 {
        let members = |set: Set| (0..self.rows.len()).filter(move |i| set & (1 << i) != 0);
        let mut rows: f64 = members(set).map(|i| self.rows[i]).product();
        // Equalities over the same relations depend on each other: together they tell apart no more values than the smallest relation has rows.
        let mut together: Vec<(Set, Vec<&[End]>)> = Vec::new();
        for link in &self.links {
            let within = link.iter().filter(|e| set & (1 << e.relation) != 0).fold(0, |s, e| s | (1 << e.relation));
            if u64::count_ones(within) < 2 {
                continue;
            }
            match together.iter_mut().find(|(s, _)| *s == within) {
                Some((_, links)) => links.push(link),
                None => together.push((within, vec![link])),
            }
        }
        for (within, links) in together {
            let share: f64 = links.iter().map(|l| share(l, within)).product();
            let least = members(within).map(|i| self.rows[i].max(1.0)).fold(f64::INFINITY, f64::min);
            let bound = least.powi(1 - i32::try_from(u64::count_ones(within)).unwrap_or(2));
            rows *= if links.len() > 1 { share.max(bound) } else { share };
        }
        for (needs, share) in &self.filters {
            if needs & !set == 0 {
                rows *= share;
            }
        }
        rows.max(1.0)
    }

    fn linked(&self, a: Set, b: Set) -> bool {
        self.links.iter().any(|link| {
            let all = link.iter().fold(0, |s: Set, e| s | (1 << e.relation));
            all & a != 0 && all & b != 0
        })
    }

    /// Every way to split every connected set in two.
    fn compare_all(&self, n: usize) -> Option<Tree> {
        let full: Set = (1 << n) - 1;
        let places = usize::try_from(full).ok()? + 1;
        // The cost of the best tree of each set, and the left half of its topmost join.
        let mut best: Vec<Option<(f64, Set)>> = vec![None; places];
        let at = |set: Set| usize::try_from(set).unwrap_or(0);
        for i in 0..n {
            best[1 << i] = Some((0.0, 0));
        }
        for set in 1..=full {
            let mut left = (set - 1) & set;
            while left > 0 {
                let right = set ^ left;
                if left < right
                    && let (Some((a, _)), Some((b, _))) = (best[at(left)], best[at(right)])
                    && self.linked(left, right)
                {
                    let cost = a + b + self.step(left, right);
                    if best[at(set)].is_none_or(|(least, _)| cost < least) {
                        best[at(set)] = Some((cost, left));
                    }
                }
                left = (left - 1) & set;
            }
        }
        self.tree(full, &|set| best[at(set)].map(|(_, left)| left))
    }

    fn tree(&self, set: Set, split: &impl Fn(Set) -> Option<Set>) -> Option<Tree> {
        if set.count_ones() == 1 {
            return Some(Tree::Leaf(set.trailing_zeros() as usize));
        }
        let left = split(set)?;
        Some(self.join(self.tree(left, split)?, self.tree(set ^ left, split)?))
    }

    /// Two trees, the smaller one first.
    fn join(&self, a: Tree, b: Tree) -> Tree {
        let (a, b) = if self.rows_of(a.set()) <= self.rows_of(b.set()) { (a, b) } else { (b, a) };
        Tree::Join(Box::new(a), Box::new(b))
    }

    fn cheapest_next(&self, n: usize) -> Option<Tree> {
        let mut trees: Vec<Tree> = (0..n).map(Tree::Leaf).collect();
        while trees.len() > 1 {
            let mut least: Option<(f64, usize, usize)> = None;
            for i in 0..trees.len() {
                for j in i + 1..trees.len() {
                    let (a, b) = (trees[i].set(), trees[j].set());
                    if self.linked(a, b) {
                        let cost = self.step(a, b);
                        if least.is_none_or(|(c, ..)| cost < c) {
                            least = Some((cost, i, j));
                        }
                    }
                }
            }
            let (_, i, j) = least?;
            let (b, a) = (trees.remove(j), trees.remove(i));
            trees.push(self.join(a, b));
        }
        trees.pop()
    }
}

/// The share of all pairs (or triples, …) of rows of `within` that agree on a link: values of the side with fewer are among those of the others.
fn share(link: &[End], within: Set) -> f64 {
    let ends = link.iter().filter(|e| within & (1 << e.relation) != 0).map(|e| e.distinct.max(1.0));
    let (all, least) = ends.fold((1.0, f64::INFINITY), |(all, least), d| (all * d, f64::min(least, d)));
    if least.is_finite() { least / all } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(relation: usize, distinct: f64) -> End {
        End { relation, distinct }
    }

    #[test]
    fn the_smallest_relations_meet_first_whatever_the_order_of_the_statement() {
        // A chain: events (1 M) – users (10 k) – towns (100, of which one is left).
        let graph = Graph {
            rows: vec![1e6, 1e4, 1.0],
            links: vec![vec![end(0, 1e4), end(1, 1e4)], vec![end(1, 100.0), end(2, 100.0)]],
            filters: vec![],
        };
        let tree = graph.best().unwrap();
        let inner = Tree::Join(Box::new(Tree::Leaf(2)), Box::new(Tree::Leaf(1)));
        assert_eq!(tree, Tree::Join(Box::new(inner), Box::new(Tree::Leaf(0))));
    }

    #[test]
    fn what_is_not_connected_is_left_alone() {
        let graph = Graph { rows: vec![10.0, 10.0, 10.0], links: vec![vec![end(0, 5.0), end(1, 5.0)]], filters: vec![] };
        assert_eq!(graph.best(), None);
    }

    #[test]
    fn two_equalities_over_the_same_relations_are_not_counted_as_independent() {
        let key = |d| vec![end(0, d), end(1, d)];
        let graph = Graph {
            rows: vec![1e6, 1e4, 10.0],
            links: vec![key(1e4), key(5e3), vec![end(1, 10.0), end(2, 10.0)]],
            filters: vec![],
        };
        assert!((graph.rows_of(0b11) - 1e6).abs() < 1.0, "{}", graph.rows_of(0b11));
    }

    fn graphs(relations: std::ops::Range<usize>) -> impl Strategy<Value = Graph> {
        relations.prop_flat_map(|n| {
            let rows = prop::collection::vec((0u32..7).prop_map(|e| 10f64.powi(e.cast_signed())), n);
            // A tree over all relations, so that they are connected, and some links more.
            let parents = prop::collection::vec(any::<prop::sample::Index>(), n - 1);
            let more = prop::collection::vec((0..n, 0..n, 1u32..1000, 1u32..1000), 0..4);
            (rows, parents, more).prop_map(move |(rows, parents, more)| {
                let mut links: Vec<Vec<End>> = parents
                    .iter()
                    .enumerate()
                    .map(|(i, p)| vec![end(i + 1, rows[i + 1]), end(p.index(i + 1), rows[p.index(i + 1)])])
                    .collect();
                links.extend(
                    more.into_iter()
                        .filter(|(a, b, ..)| a != b)
                        .map(|(a, b, x, y)| vec![end(a, f64::from(x)), end(b, f64::from(y))]),
                );
                Graph { rows, links, filters: vec![] }
            })
        })
    }

    /// A left-deep tree over the relations in the order of the statement, where it never multiplies unrelated ones.
    fn as_written(graph: &Graph) -> Option<Tree> {
        (1..graph.rows.len()).try_fold(Tree::Leaf(0), |tree, next| {
            graph.linked(tree.set(), 1 << next).then(|| Tree::Join(Box::new(tree), Box::new(Tree::Leaf(next))))
        })
    }

    proptest! {
        #[test]
        fn every_relation_is_joined_once_and_never_for_more_than_as_written(graph in graphs(3..9)) {
            let best = graph.best().unwrap();
            prop_assert_eq!(best.set(), (1 << graph.rows.len()) - 1);
            fn leaves(tree: &Tree) -> usize { match tree { Tree::Leaf(_) => 1, Tree::Join(a, b) => leaves(a) + leaves(b) } }
            prop_assert_eq!(leaves(&best), graph.rows.len());
            if let Some(written) = as_written(&graph) {
                prop_assert!(graph.cost(&best) <= graph.cost(&written) * 1.000_001);
            }
        }

        #[test]
        fn many_relations_are_ordered_too(graph in graphs(11..30)) {
            let best = graph.best().unwrap();
            prop_assert_eq!(best.set(), (1 << graph.rows.len()) - 1);
        }
    }
}
