//! The order of joins, chosen by what tables are known to hold. DataFusion joins in the order of the statement and only swaps the two sides of a join;
//! here inner joins are taken apart and put together so that few rows are carried from one to the next.
//!
//! Sizes come from the tables' statistics and from rules of thumb for filters (Selinger et al., 1979); the search compares all connected
//! bushy trees of few relations (Moerkotte and Neumann, 2006) and goes greedily through many. A tree is only replaced where the new one is clearly
//! cheaper, and never where a relation's size is unknown.

mod estimate;
mod region;
mod search;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::LogicalPlan,
    optimizer::{OptimizerConfig, OptimizerRule},
};
use region::Region;
use std::sync::Arc;

/// A new order has to cost at most this share of the statement's own: estimates are rough.
const WORTH: f64 = 0.8;

/// The optimizer rule.
#[derive(Debug)]
pub(crate) struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &'static str {
        "join_order"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        reorder(plan)
    }
}

fn reorder(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let Some(better) = better(&plan)? else {
        return if region::movable(&plan).is_some() { region::below(plan, &mut reorder) } else { plan.map_children(reorder) };
    };
    // What lies below the joins is gone through in its new place.
    let LogicalPlan::Projection(mut top) = better else { return Ok(Transformed::yes(better)) };
    let input = Arc::unwrap_or_clone(top.input);
    top.input = Arc::new(region::below(input, &mut reorder)?.data);
    Ok(Transformed::yes(LogicalPlan::Projection(top)))
}

/// The same rows in a clearly cheaper order, if there is one.
fn better(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let Some(region) = Region::of(plan).filter(|r| r.relations.len() > 2) else { return Ok(None) };
    let Some(conditions) = region.conditions() else { return Ok(None) };
    let Some(graph) = region.graph(&conditions) else { return Ok(None) };
    let Some(tree) = graph.best() else { return Ok(None) };
    if graph.cost(&tree) > WORTH * graph.cost(&region.written) {
        return Ok(None);
    }
    // Two relations may have columns of the same name that a projection in between had left out.
    Ok(region::build(&region.relations, &conditions, &tree, plan).ok())
}
