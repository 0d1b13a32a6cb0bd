//! Parameters whose type the client says when it prepares a statement: `select $1` with a bigint, `id = any($1)` with a list.

use super::command::Query;
use datafusion::sql::{
    parser::Statement,
    sqlparser::ast::{ArrayElemTypeDef, CastKind, DataType, ExactNumberInfo, Expr, TimezoneInfo, Value, visit_expressions_mut},
};
use datafusion_postgres::pgwire::api::Type;
use std::ops::ControlFlow;

/// The query with each parameter cast to the type that the client gave it. Text is left to its place, as are types that the engine has no
/// one name for: there the place says more than the client. In `x = ANY($1)` the place wants a list, of text where nobody says of what.
pub(super) fn with_types(query: &Query, types: &[Option<Type>]) -> Query {
    with_names(query, types, name)
}

/// As [`with_types`], for asking what the columns are: a numeric parameter is then one of some precision. Its values must not pass through this,
/// since each keeps the digits that it came with.
pub(super) fn with_numerics(query: &Query, types: &[Option<Type>]) -> Query {
    let numeric = |wire: &Type| match *wire {
        Type::NUMERIC => Some(DataType::Numeric(ExactNumberInfo::PrecisionAndScale(38, 10))),
        _ => name(wire),
    };
    with_names(query, types, numeric)
}

fn with_names(query: &Query, types: &[Option<Type>], name: impl Fn(&Type) -> Option<DataType>) -> Query {
    let mut query = query.clone();
    let named: Vec<Option<DataType>> = types.iter().map(|t| t.as_ref().and_then(&name)).collect();
    for statement in [&mut query.plain, &mut query.translated].into_iter().flatten() {
        let Statement::Statement(sql) = statement else { continue };
        // Inner expressions come first, so a parameter that was cast is none any more where it stands after ANY.
        let _ = visit_expressions_mut(sql.as_mut(), |expr| {
            if let Some(data_type) = number(expr).and_then(|n| named.get(n - 1)?.clone()) {
                cast(expr, data_type);
            }
            if let Expr::AnyOp { right, .. } = expr
                && number(right).is_some()
            {
                query.lists.extend(number(right));
                cast(right, list(DataType::Text));
            }
            ControlFlow::<()>::Continue(())
        });
    }
    query
}

fn cast(expr: &mut Expr, data_type: DataType) {
    let inner = Box::new(expr.clone());
    *expr = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
}

/// Which parameter an expression is, counted from one.
fn number(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(name) = &value.value else { return None };
    name.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)
}

fn name(wire: &Type) -> Option<DataType> {
    Some(match *wire {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::SmallInt(None),
        Type::INT4 => DataType::Integer(None),
        Type::INT8 => DataType::BigInt(None),
        Type::FLOAT4 => DataType::Real,
        Type::FLOAT8 => DataType::DoublePrecision,
        Type::BYTEA => DataType::Bytea,
        Type::DATE => DataType::Date,
        Type::TIMESTAMP => DataType::Timestamp(None, TimezoneInfo::None),
        Type::TIMESTAMPTZ => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        Type::BOOL_ARRAY => list(DataType::Boolean),
        Type::INT2_ARRAY => list(DataType::SmallInt(None)),
        Type::INT4_ARRAY => list(DataType::Integer(None)),
        Type::INT8_ARRAY => list(DataType::BigInt(None)),
        Type::FLOAT4_ARRAY => list(DataType::Real),
        Type::FLOAT8_ARRAY => list(DataType::DoublePrecision),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => list(DataType::Text),
        Type::DATE_ARRAY => list(DataType::Date),
        _ => return None,
    })
}

fn list(item: DataType) -> DataType {
    DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(item), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;

    #[test]
    fn parameters_take_the_types_that_the_client_gives() {
        let cast = |sql: &str, types: &[Option<Type>]| {
            let plain = Some(parse(sql).unwrap());
            let query = Query { sql: sql.into(), plain, translated: None, catalog: false, lists: Vec::new() };
            with_types(&query, types).plain.unwrap().to_string()
        };
        assert_eq!(cast("SELECT $1, $2", &[Some(Type::INT8), None]), "SELECT CAST($1 AS BIGINT), $2");
        assert_eq!(
            cast("SELECT a FROM t WHERE a = ANY($1) AND b = $2", &[Some(Type::INT4_ARRAY), Some(Type::TEXT)]),
            "SELECT a FROM t WHERE a = ANY(CAST($1 AS INTEGER[])) AND b = $2"
        );
        assert_eq!(cast("SELECT $3", &[Some(Type::INT8)]), "SELECT $3");
        assert_eq!(cast("SELECT a = ANY($1)", &[]), "SELECT a = ANY(CAST($1 AS TEXT[]))");
    }
}
