//! Which columns a scan's condition is about.

use super::FilterKind;
use datafusion::{
    logical_expr::Operator,
    physical_expr::{
        expressions::{BinaryExpr, CastExpr, Column, InListExpr, Literal},
        split_conjunction,
    },
    physical_plan::PhysicalExpr,
    scalar::ScalarValue,
};
use std::{collections::BTreeMap, sync::Arc};

/// From where to where values are looked for; open where nothing is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Bounds {
    pub from: Option<ScalarValue>,
    pub to: Option<ScalarValue>,
}

/// How a column is filtered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filtered {
    /// Where the column is in the scan's schema.
    pub index: usize,
    pub kind: FilterKind,
    /// Bounds of a range.
    pub bounds: Bounds,
}

/// The columns that a condition compares with constants, by name. A part of it that is about several columns, or that no statistics could help, is left out.
pub(crate) fn filtered(condition: &Arc<dyn PhysicalExpr>) -> BTreeMap<String, Filtered> {
    let mut all: BTreeMap<String, Filtered> = BTreeMap::new();
    for part in split_conjunction(condition) {
        let Some((name, new)) = comparison(part) else { continue };
        match all.get_mut(&name) {
            None => drop(all.insert(name, new)),
            // Equality says more than any range beside it.
            Some(known) if known.kind == FilterKind::Equality => {}
            Some(known) if new.kind == FilterKind::Equality => *known = new,
            Some(known) => {
                known.bounds.from = known.bounds.from.take().or(new.bounds.from);
                known.bounds.to = known.bounds.to.take().or(new.bounds.to);
            }
        }
    }
    all
}

fn comparison(part: &Arc<dyn PhysicalExpr>) -> Option<(String, Filtered)> {
    if let Some(list) = part.downcast_ref::<InListExpr>() {
        let column = column(list.expr()).filter(|_| !list.negated())?;
        return Some(of(&column, FilterKind::Equality, Bounds::default()));
    }
    let binary = part.downcast_ref::<BinaryExpr>()?;
    if *binary.op() == Operator::Or {
        let (left, right) = (comparison(binary.left())?, comparison(binary.right())?);
        let same = left.0 == right.0 && left.1.kind == FilterKind::Equality && right.1.kind == FilterKind::Equality;
        return same.then_some(left);
    }
    let (column, value, op) = match (column(binary.left()), value(binary.right())) {
        (Some(column), Some(value)) => (column, value, *binary.op()),
        _ => (column(binary.right())?, value(binary.left())?, binary.op().swap()?),
    };
    let (kind, bounds) = match op {
        Operator::Eq => (FilterKind::Equality, Bounds::default()),
        Operator::Lt | Operator::LtEq => (FilterKind::Range, Bounds { from: None, to: Some(value) }),
        Operator::Gt | Operator::GtEq => (FilterKind::Range, Bounds { from: Some(value), to: None }),
        _ => return None,
    };
    Some(of(&column, kind, bounds))
}

fn of(column: &Column, kind: FilterKind, bounds: Bounds) -> (String, Filtered) {
    // A column whose name older files may use for another one has its id behind its name.
    let name = column.name().split('\0').next().unwrap_or_default().to_owned();
    (name, Filtered { index: column.index(), kind, bounds })
}

fn column(expr: &Arc<dyn PhysicalExpr>) -> Option<Column> {
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return column(cast.expr());
    }
    expr.downcast_ref::<Column>().cloned()
}

fn value(expr: &Arc<dyn PhysicalExpr>) -> Option<ScalarValue> {
    expr.downcast_ref::<Literal>().map(|l| l.value().clone()).filter(|v| !v.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::{
        common::DFSchema,
        execution::context::SessionContext,
        prelude::{Expr, col, lit},
    };

    fn check(condition: Expr, expected: &[(&str, FilterKind)]) {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
        let schema = DFSchema::try_from(schema).unwrap();
        let condition = SessionContext::new().create_physical_expr(condition, &schema).unwrap();
        let found = filtered(&condition);
        let found: Vec<_> = found.iter().map(|(name, f)| (name.as_str(), f.kind)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_that_are_compared_with_constants_are_found() {
        use FilterKind::{Equality, Range};
        check(col("a").eq(lit(1_i64)).and(col("b").gt(lit("x"))), &[("a", Equality), ("b", Range)]);
        check(lit(1_i64).lt(col("a")).and(col("a").lt_eq(lit(9_i64))), &[("a", Range)]);
        check(col("a").in_list(vec![lit(1_i64), lit(2_i64), lit(3_i64), lit(4_i64), lit(5_i64)], false), &[("a", Equality)]);
        check(col("a").eq(lit(1_i64)).or(col("a").eq(lit(2_i64))), &[("a", Equality)]);
        check(col("a").eq(lit(1_i64)).or(col("b").eq(lit("x"))), &[]);
        check(col("a").not_eq(lit(1_i64)).and(col("b").is_null()), &[]);
        check(col("a").gt(lit(1_i64)).and(col("a").eq(lit(3_i64))), &[("a", Equality)]);
    }
}
