//! What may be reordered: a tree of inner joins, its relations and its conditions.

use super::{
    estimate::{Estimate, estimate},
    search::{End, Graph, Set, Tree},
};
use datafusion::{
    common::{
        Column, JoinConstraint, JoinType, NullEquality, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr, ExprSchemable, Filter, Join, LogicalPlan, Projection,
        utils::{conjunction, split_conjunction_owned},
    },
};
use std::sync::Arc;

/// A tree of inner joins, taken apart.
#[derive(Debug)]
pub(super) struct Region {
    pub relations: Vec<LogicalPlan>,
    pub written: Tree,
    pairs: Vec<(Expr, Expr)>,
    filters: Vec<Expr>,
}

/// An equality of two expressions that is no link of columns, or another condition, with the relations it needs.
#[derive(Debug)]
struct Condition {
    needs: Set,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Equal { left: (Set, Expr), right: (Set, Expr) },
    Other(Expr),
}

/// The conditions of a region in a form that any order can use.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Columns that are equal to each other, directly or by way of others.
    classes: Vec<Vec<(usize, Column)>>,
    rest: Vec<Condition>,
}

/// Whether a plan is an inner join whose place may change.
pub(super) fn movable(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner
                && join.null_equality == NullEquality::NullEqualsNothing
                && join.filter.as_ref().is_none_or(|f| !f.is_volatile()) =>
        {
            Some(join)
        }
        _ => None,
    }
}

/// A projection that only leaves columns out, above joins: what it leaves out is found again later.
fn through(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) && inside(&p.input) => Some(&p.input),
        _ => None,
    }
}

/// Whether a plan is part of a region and not one of its relations.
fn inside(plan: &LogicalPlan) -> bool {
    movable(plan).is_some() || through(plan).is_some()
}

impl Region {
    /// The region whose topmost join is `plan`; none where that is no such join.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        movable(plan)?;
        let mut region = Self { relations: Vec::new(), written: Tree::Leaf(0), pairs: Vec::new(), filters: Vec::new() };
        region.written = region.take(plan);
        Some(region)
    }

    fn take(&mut self, plan: &LogicalPlan) -> Tree {
        if let Some(below) = through(plan) {
            return self.take(below);
        }
        let Some(join) = movable(plan) else {
            self.relations.push(plan.clone());
            return Tree::Leaf(self.relations.len() - 1);
        };
        self.pairs.extend(join.on.iter().cloned());
        self.filters.extend(join.filter.iter().flat_map(|f| split_conjunction_owned(f.clone())));
        Tree::Join(Box::new(self.take(&join.left)), Box::new(self.take(&join.right)))
    }

    /// The relations that an expression reads. None where a column belongs to none of them, or could belong to two.
    fn needs(&self, expr: &Expr) -> Option<Set> {
        expr.column_refs().into_iter().try_fold(0, |set, column| Some(set | (1 << self.owner(column)?)))
    }

    fn owner(&self, column: &Column) -> Option<usize> {
        let mut owners = self.relations.iter().enumerate().filter(|(_, r)| r.schema().has_column(column)).map(|(i, _)| i);
        owners.next().filter(|_| owners.next().is_none())
    }

    /// The conditions, where each can be told to belong to certain relations.
    pub(super) fn conditions(&self) -> Option<Conditions> {
        let mut classes: Vec<Vec<(usize, Column)>> = Vec::new();
        let mut rest = Vec::new();
        for (left, right) in &self.pairs {
            let needs = (self.needs(left)?, self.needs(right)?);
            if let (Expr::Column(a), Expr::Column(b)) = (left, right) {
                let (i, j) = (self.owner(a)?, self.owner(b)?);
                // Equality of different types compares after a cast and need not hold from one to the next.
                if left.get_type(self.relations[i].schema()).ok()? == right.get_type(self.relations[j].schema()).ok()? {
                    unite(&mut classes, (i, a.clone()), (j, b.clone()));
                    continue;
                }
            }
            if needs.0 == 0 || needs.1 == 0 {
                return None;
            }
            let kind = Kind::Equal { left: (needs.0, left.clone()), right: (needs.1, right.clone()) };
            rest.push(Condition { needs: needs.0 | needs.1, kind });
        }
        for filter in &self.filters {
            let needs = self.needs(filter).filter(|n| *n != 0)?;
            rest.push(Condition { needs, kind: Kind::Other(filter.clone()) });
        }
        Some(Conditions { classes, rest })
    }

    /// What the search needs to know. None where the size of a relation is not known.
    pub(super) fn graph(&self, conditions: &Conditions) -> Option<Graph> {
        let known: Vec<Estimate> = self.relations.iter().map(estimate).collect::<Option<_>>()?;
        let mut links: Vec<Vec<End>> = conditions
            .classes
            .iter()
            .map(|class| {
                let mut ends: Vec<End> = Vec::new();
                for (relation, column) in class {
                    if ends.iter().all(|e| e.relation != *relation) {
                        ends.push(End { relation: *relation, distinct: known[*relation].distinct(column) });
                    }
                }
                ends
            })
            .collect();
        let mut filters = Vec::new();
        for condition in &conditions.rest {
            match &condition.kind {
                Kind::Equal { left, right } if left.0.count_ones() == 1 && right.0.count_ones() == 1 && left.0 != right.0 => {
                    let end = |(set, expr): &(Set, Expr)| {
                        let relation = set.trailing_zeros() as usize;
                        let distinct = expr.column_refs().into_iter().map(|c| known[relation].distinct(c)).fold(1.0, f64::max);
                        End { relation, distinct }
                    };
                    links.push(vec![end(left), end(right)]);
                }
                Kind::Equal { .. } => filters.push((condition.needs, 0.1)),
                Kind::Other(_) => filters.push((condition.needs, 0.3)),
            }
        }
        Some(Graph { rows: known.iter().map(|k| k.rows).collect(), links, filters })
    }
}

/// Notes that two columns are equal, and with them all that are equal to either.
fn unite(classes: &mut Vec<Vec<(usize, Column)>>, a: (usize, Column), b: (usize, Column)) {
    let find = |classes: &[Vec<(usize, Column)>], c: &(usize, Column)| classes.iter().position(|class| class.contains(c));
    match (find(classes, &a), find(classes, &b)) {
        (Some(i), Some(j)) if i == j => {}
        (Some(i), Some(j)) => {
            let other = classes.remove(i.max(j));
            classes[i.min(j)].extend(other);
        }
        (Some(i), None) => classes[i].push(b),
        (None, Some(j)) => classes[j].push(a),
        (None, None) => classes.push(vec![a, b]),
    }
}

/// The joins of `tree` with every condition at the lowest join that can check it, and the columns of `root` in its order on top.
pub(super) fn build(relations: &[LogicalPlan], conditions: &Conditions, tree: &Tree, root: &LogicalPlan) -> Result<LogicalPlan> {
    let joined = join(relations, conditions, tree)?;
    let columns = root.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(columns, Arc::new(joined), Arc::clone(root.schema()))?))
}

fn join(relations: &[LogicalPlan], conditions: &Conditions, tree: &Tree) -> Result<LogicalPlan> {
    let (left, right) = match tree {
        Tree::Leaf(i) => return relation(*i, &relations[*i], conditions),
        Tree::Join(left, right) => (left, right),
    };
    let (a, b) = (left.set(), right.set());
    let mut on = Vec::new();
    let mut filters = Vec::new();
    for class in &conditions.classes {
        let of = |set: Set| class.iter().find(|(relation, _)| set & (1 << relation) != 0).map(|(_, c)| Expr::Column(c.clone()));
        if let (Some(x), Some(y)) = (of(a), of(b)) {
            on.push((x, y));
        }
    }
    for condition in &conditions.rest {
        let here = condition.needs & !(a | b) == 0 && condition.needs & !a != 0 && condition.needs & !b != 0;
        if !here {
            continue;
        }
        match &condition.kind {
            Kind::Equal { left: (x, l), right: (y, r) } if x & !a == 0 && y & !b == 0 => on.push((l.clone(), r.clone())),
            Kind::Equal { left: (x, l), right: (y, r) } if x & !b == 0 && y & !a == 0 => on.push((r.clone(), l.clone())),
            Kind::Equal { left: (_, l), right: (_, r) } => filters.push(l.clone().eq(r.clone())),
            Kind::Other(filter) => filters.push(filter.clone()),
        }
    }
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(join(relations, conditions, left)?),
        Arc::new(join(relations, conditions, right)?),
        on,
        conjunction(filters),
        JoinType::Inner,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?))
}

/// A relation with the conditions that need no other: columns of it that have to be equal because both equal a third, for one.
fn relation(index: usize, plan: &LogicalPlan, conditions: &Conditions) -> Result<LogicalPlan> {
    let mut filters = Vec::new();
    for class in &conditions.classes {
        let mut own = class.iter().filter(|(relation, _)| *relation == index).map(|(_, c)| Expr::Column(c.clone()));
        if let Some(first) = own.next() {
            filters.extend(own.map(|other| first.clone().eq(other)));
        }
    }
    for condition in conditions.rest.iter().filter(|c| c.needs == 1 << index) {
        filters.push(match &condition.kind {
            Kind::Equal { left, right } => left.1.clone().eq(right.1.clone()),
            Kind::Other(filter) => filter.clone(),
        });
    }
    match conjunction(filters) {
        Some(filter) => Ok(LogicalPlan::Filter(Filter::try_new(filter, Arc::new(plan.clone()))?)),
        None => Ok(plan.clone()),
    }
}

/// A plan whose parts that are no region have been gone through by `each`.
pub(super) fn below(
    plan: LogicalPlan,
    each: &mut impl FnMut(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    if inside(&plan) { plan.map_children(|child| below(child, each)) } else { each(plan) }
}
