//! How many rows a plan has, about.

use arrow::datatypes::DataType;
use datafusion::{
    catalog::default_table_source::source_as_provider,
    common::{Column, ScalarValue, stats::Precision},
    logical_expr::{Aggregate, BinaryExpr, Expr, JoinType, LogicalPlan, Operator, TableScan, utils::split_conjunction},
};
use std::collections::HashMap;

/// Shares of rows that conditions keep of which nothing is known.
const EQUAL: f64 = 0.05;
const RANGE: f64 = 0.33;
const LIKE: f64 = 0.1;
const OTHER: f64 = 0.25;

/// What is known of a plan's rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimate {
    pub rows: f64,
    columns: HashMap<Column, Values>,
}

/// What is known of a column.
#[derive(Debug, Clone, Copy, Default)]
struct Values {
    /// Different values, before any filter.
    distinct: Option<f64>,
    range: Option<(f64, f64)>,
}

impl Estimate {
    /// Different values of a column that are left, about.
    pub(super) fn distinct(&self, column: &Column) -> f64 {
        self.columns.get(column).and_then(|v| v.distinct).unwrap_or(self.rows).min(self.rows).max(1.0)
    }

    fn filtered(mut self, conditions: &[&Expr]) -> Self {
        self.rows = (self.rows * self.share_of_all(conditions)).max(1.0);
        self
    }

    /// The share of rows that fulfil all conditions. Two bounds of one column are taken together: they are a range, not two accidents.
    fn share_of_all(&self, conditions: &[&Expr]) -> f64 {
        let mut share = 1.0;
        let mut ranges: HashMap<&Column, f64> = HashMap::new();
        for condition in conditions {
            match self.bound(condition) {
                // What lies outside of either bound is left out.
                Some((column, kept)) => *ranges.entry(column).or_insert(1.0) -= 1.0 - kept,
                None => share *= self.share(condition),
            }
        }
        ranges.into_values().fold(share, |share, kept| share * kept.max(0.001))
    }

    /// The column and the share of its range that a comparison with a constant keeps, where both are known.
    fn bound<'a>(&self, condition: &'a Expr) -> Option<(&'a Column, f64)> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
        let (column, op, constant) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(c), Expr::Literal(v, _)) => (c, *op, v),
            (Expr::Literal(v, _), Expr::Column(c)) => (c, op.swap()?, v),
            _ => return None,
        };
        let (low, high) = self.columns.get(column)?.range?;
        let below = ((number(constant)? - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        match op {
            Operator::Lt | Operator::LtEq => Some((column, below)),
            Operator::Gt | Operator::GtEq => Some((column, 1.0 - below)),
            _ => None,
        }
    }

    fn share(&self, condition: &Expr) -> f64 {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => self.share_of_all(&split_conjunction(condition)),
                Operator::Or => {
                    let (a, b) = (self.share(left), self.share(right));
                    a + b - a * b
                }
                Operator::Eq => self.equal(left, right),
                Operator::NotEq => 1.0 - self.equal(left, right),
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                    self.bound(condition).map_or(RANGE, |(_, kept)| kept)
                }
                _ => OTHER,
            },
            Expr::Not(inner) => 1.0 - self.share(inner),
            Expr::Between(between) => {
                if between.negated {
                    1.0 - RANGE
                } else {
                    RANGE
                }
            }
            Expr::Like(like) => {
                if like.negated {
                    1.0 - LIKE
                } else {
                    LIKE
                }
            }
            Expr::InList(list) => {
                let n = u32::try_from(list.list.len()).unwrap_or(u32::MAX);
                let kept = (f64::from(n) * self.one_of(&list.expr)).min(1.0);
                if list.negated { 1.0 - kept } else { kept }
            }
            Expr::IsNull(_) => EQUAL,
            Expr::IsNotNull(_) => 1.0,
            Expr::Literal(ScalarValue::Boolean(Some(kept)), _) => f64::from(*kept),
            Expr::Alias(alias) => self.share(&alias.expr),
            _ => OTHER,
        }
    }

    fn equal(&self, left: &Expr, right: &Expr) -> f64 {
        match (left, right) {
            (Expr::Literal(..), other) | (other, Expr::Literal(..)) => self.one_of(other),
            _ => self.one_of(left).min(self.one_of(right)),
        }
    }

    /// The share of rows that have a certain value.
    fn one_of(&self, expr: &Expr) -> f64 {
        match expr {
            Expr::Column(column) => self.columns.get(column).and_then(|v| v.distinct).map_or(EQUAL, |d| 1.0 / d.max(1.0)),
            _ => EQUAL,
        }
    }
}

/// Rows and columns of a plan; none where a table does not tell its size.
pub(super) fn estimate(plan: &LogicalPlan) -> Option<Estimate> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(table(scan)?.filtered(&scan.filters.iter().collect::<Vec<_>>())),
        LogicalPlan::Filter(filter) => {
            let conditions = split_conjunction(&filter.predicate);
            match filter.input.as_ref() {
                // A table that may leave rows out has been given the same conditions as the filter above it.
                LogicalPlan::TableScan(scan) => Some(table(scan)?.filtered(&conditions)),
                other => Some(estimate(other)?.filtered(&conditions)),
            }
        }
        LogicalPlan::Projection(projection) => {
            let input = estimate(&projection.input)?;
            let columns = projection
                .expr
                .iter()
                .zip(projection.schema.columns())
                .filter_map(|(expr, out)| match expr.clone().unalias() {
                    Expr::Column(column) => Some((out, *input.columns.get(&column)?)),
                    _ => None,
                })
                .collect();
            Some(Estimate { rows: input.rows, columns })
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = estimate(&alias.input)?;
            let inner = alias.input.schema().columns();
            let columns =
                inner.iter().zip(alias.schema.columns()).filter_map(|(i, o)| Some((o, *input.columns.get(i)?))).collect();
            Some(Estimate { rows: input.rows, columns })
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
        LogicalPlan::Distinct(_) | LogicalPlan::Sort(_) | LogicalPlan::Repartition(_) | LogicalPlan::Window(_) => {
            estimate(plan.inputs().first()?)
        }
        LogicalPlan::Limit(_) => {
            let input = estimate(plan.inputs().first()?)?;
            let most = plan.max_rows().and_then(|n| u32::try_from(n).ok()).map_or(f64::INFINITY, f64::from);
            Some(Estimate { rows: input.rows.min(most), ..input })
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (estimate(&join.left)?, estimate(&join.right)?);
            let rows = match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.rows * 0.5,
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.rows * 0.5,
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => left.rows.max(right.rows),
            };
            let mut columns = left.columns;
            columns.extend(right.columns);
            Some(Estimate { rows: rows.max(1.0), columns })
        }
        LogicalPlan::EmptyRelation(_) => Some(Estimate { rows: 1.0, ..Estimate::default() }),
        LogicalPlan::Values(values) => {
            Some(Estimate { rows: u32::try_from(values.values.len()).map_or(f64::INFINITY, f64::from), ..Estimate::default() })
        }
        _ => None,
    }
}

fn grouped(aggregate: &Aggregate) -> Option<Estimate> {
    let input = estimate(&aggregate.input)?;
    let mut groups = 1.0;
    let mut columns = HashMap::new();
    for expr in &aggregate.group_expr {
        let Expr::Column(column) = expr else {
            groups *= 10.0;
            continue;
        };
        // Of a column that nothing is known of, a tenth of the values is taken for new.
        groups *= input.columns.get(column).and_then(|v| v.distinct).unwrap_or(input.rows / 10.0).max(1.0);
        if let Some(values) = input.columns.get(column) {
            columns.insert(column.clone(), *values);
        }
    }
    Some(Estimate { rows: groups.min(input.rows), columns })
}

fn table(scan: &TableScan) -> Option<Estimate> {
    let statistics = source_as_provider(&scan.source).ok()?.statistics()?;
    let rows = float(*statistics.num_rows.get_value()?);
    let fields = scan.source.schema();
    let columns = fields
        .fields()
        .iter()
        .zip(&statistics.column_statistics)
        .map(|(field, known)| {
            let end = |value: &Precision<ScalarValue>| value.get_value().and_then(number);
            let range = end(&known.min_value).zip(end(&known.max_value)).filter(|(low, high)| low <= high);
            // A whole number has no more values than its range has room for.
            let room = range.zip(step(field.data_type())).map(|((low, high), step)| (high - low) / step + 1.0);
            let distinct = known.distinct_count.get_value().map(|n| float(*n)).or_else(|| room.map(|r| r.min(rows)));
            (Column::new(Some(scan.table_name.clone()), field.name()), Values { distinct, range })
        })
        .collect();
    Some(Estimate { rows: rows.max(1.0), columns })
}

fn float(n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let n = n as f64;
    n
}

/// The distance of neighbouring values of a type whose values are often close together.
fn step(data_type: &DataType) -> Option<f64> {
    match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Date32 => Some(1.0),
        DataType::Decimal128(_, scale) => Some(10f64.powi(-i32::from(*scale))),
        _ => None,
    }
}

/// A value on a line, where its type has one.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Decimal128(Some(v), _, scale) => {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let v = *v as f64;
            Some(v * 10f64.powi(-i32::from(*scale)))
        }
        ScalarValue::Date32(Some(days)) => Some(f64::from(*days)),
        other if other.data_type().is_numeric() || matches!(other.data_type(), DataType::Timestamp(..)) => {
            let whole = match other.cast_to(&DataType::Float64) {
                Ok(cast) => cast,
                Err(_) => other.cast_to(&DataType::Int64).ok()?.cast_to(&DataType::Float64).ok()?,
            };
            match whole {
                ScalarValue::Float64(v) => v,
                _ => None,
            }
        }
        _ => None,
    }
}
