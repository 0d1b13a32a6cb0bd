use super::fields::field_id;
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Schema},
};
use datafusion::{
    logical_expr::{BinaryExpr, Operator, expr::InList},
    prelude::Expr,
    scalar::ScalarValue,
};

/// Keys that one query is looked up for at most; more are quicker found by reading the table.
const KEYS_MOST: usize = 1000;

/// The values that key columns must have; nothing for a column that may have any.
type Pinned = Vec<Option<ScalarValue>>;

/// A key column: its name and type in the table.
struct KeyColumn<'a> {
    name: &'a str,
    data_type: &'a DataType,
}

/// All keys that a row can have for which every one of `filters` is true: the key columns in the order of `key_ids`, one row for each key. Nothing
/// where the filters leave a key column open, name too many keys, or compare in a way in which different values are equal.
pub(super) fn pinned(filters: &[Expr], schema: &Schema, key_ids: &[i32]) -> Option<Vec<ArrayRef>> {
    let key: Vec<KeyColumn<'_>> = key_ids
        .iter()
        .map(|id| schema.fields().iter().find(|f| field_id(f) == Some(*id)))
        .map(|field| field.map(|f| KeyColumn { name: f.name(), data_type: f.data_type() }))
        .collect::<Option<_>>()?;
    // SQL takes -0.0 and 0.0 for equal, and what equality of lists means is decided elsewhere.
    if key.is_empty() || key.iter().any(|k| k.data_type.is_floating() || k.data_type.is_nested()) {
        return None;
    }
    let open = vec![vec![None; key.len()]];
    let all = filters.iter().fold(open, |known, filter| both(known, alternatives(filter, &key)));
    let rows: Vec<Vec<ScalarValue>> = all.into_iter().map(|row| row.into_iter().collect()).collect::<Option<_>>()?;
    (0..key.len())
        .map(|at| match rows.is_empty() {
            true => Some(arrow::array::new_empty_array(key[at].data_type)),
            false => ScalarValue::iter_to_array(rows.iter().map(|row| row[at].clone())).ok(),
        })
        .collect()
}

/// What a key can be where `filter` is true: one of these, or, where one of them pins nothing, anything.
fn alternatives(filter: &Expr, key: &[KeyColumn<'_>]) -> Vec<Pinned> {
    let open = || vec![vec![None; key.len()]];
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => both(alternatives(left, key), alternatives(right, key)),
            Operator::Or => {
                let mut either = alternatives(left, key);
                either.extend(alternatives(right, key));
                if either.len() > KEYS_MOST { open() } else { either }
            }
            Operator::Eq => equal(left, right, key).or_else(|| equal(right, left, key)).unwrap_or_else(open),
            _ => open(),
        },
        Expr::InList(InList { expr, list, negated: false }) if list.len() <= KEYS_MOST => {
            let each: Option<Vec<Vec<Pinned>>> = list.iter().map(|value| equal(expr, value, key)).collect();
            each.map_or_else(open, |each| each.into_iter().flatten().collect())
        }
        _ => open(),
    }
}

/// What `column = value` pins; nothing where it is no such comparison of a key column.
fn equal(column: &Expr, value: &Expr, key: &[KeyColumn<'_>]) -> Option<Vec<Pinned>> {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, value) else { return None };
    let at = key.iter().position(|k| k.name == column.name)?;
    // Nothing equals NULL.
    if value.is_null() {
        return Some(Vec::new());
    }
    let mut pinned = vec![None; key.len()];
    pinned[at] = Some(as_type(value, key[at].data_type)?);
    Some(vec![pinned])
}

/// The value under the column's type, where that is the same value.
fn as_type(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    let given = value.data_type();
    let binary = |t: &DataType| matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    if given == *data_type {
        return Some(value.clone());
    }
    let alike = (given.is_string() && data_type.is_string()) || (binary(&given) && binary(data_type));
    if alike { value.cast_to(data_type).ok() } else { None }
}

/// What a key can be where both are true.
fn both(left: Vec<Pinned>, right: Vec<Pinned>) -> Vec<Pinned> {
    if left.len() * right.len() > KEYS_MOST {
        // Each of the two alone is true, too.
        return if right.len() < left.len() { right } else { left };
    }
    let join = |l: &Pinned, r: &Pinned| l.iter().zip(r).map(|(l, r)| l.clone().or_else(|| r.clone())).collect();
    left.iter().flat_map(|l| right.iter().map(move |r| join(l, r))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};
    use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
    use std::collections::HashMap;

    fn schema() -> Schema {
        let field = |name: &str, data_type, id: i32| {
            let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
            arrow::datatypes::Field::new(name, data_type, true).with_metadata(id)
        };
        Schema::new(vec![field("a", DataType::Int64, 1), field("b", DataType::Utf8View, 2), field("f", DataType::Float64, 3)])
    }

    /// The keys as text, sorted; nothing where they are not pinned.
    fn keys(filters: &[Expr], ids: &[i32]) -> Option<Vec<String>> {
        let columns = pinned(filters, &schema(), ids)?;
        let options = arrow::util::display::FormatOptions::default();
        let shown: Vec<_> =
            columns.iter().map(|c| arrow::util::display::ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        let mut rows: Vec<String> = (0..columns[0].len())
            .map(|row| shown.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("/"))
            .collect();
        rows.sort();
        Some(rows)
    }

    #[test]
    fn equalities_lists_and_alternatives_pin_keys() {
        let check = |filters: &[Expr], ids: &[i32], expected: Option<&[&str]>| {
            let expected = expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert_eq!(keys(filters, ids), expected, "{filters:?}");
        };
        let a = |n: i64| col("a").eq(lit(n));
        let b = |s: &str| col("b").eq(lit(s));
        check(&[a(1)], &[1], Some(&["1"]));
        check(&[lit(1_i64).eq(col("a"))], &[1], Some(&["1"]));
        check(&[a(1), col("b").gt(lit("x"))], &[1], Some(&["1"]));
        check(&[a(1).or(a(2)).or(a(3))], &[1], Some(&["1", "2", "3"]));
        check(&[col("a").in_list(vec![lit(4_i64), lit(5_i64), lit(ScalarValue::Int64(None))], false)], &[1], Some(&["4", "5"]));
        check(&[col("a").in_list(vec![lit(4_i64), lit(5_i64)], true)], &[1], None);
        check(&[col("a").in_list(vec![lit(4_i64), col("a")], false)], &[1], None);
        check(&[a(1).or(b("x"))], &[1], None);
        check(&[a(1).or(b("x")), a(7)], &[1], Some(&["1", "7"]));
        check(&[col("a").gt(lit(1_i64))], &[1], None);
        check(&[col("a").eq(lit(1_i32))], &[1], None);
        check(&[col("a").eq(lit(ScalarValue::Int64(None)))], &[1], Some(&[]));
        check(&[a(1), b("x")], &[1, 2], Some(&["1/x"]));
        check(&[a(1), b("x")], &[2, 1], Some(&["x/1"]));
        check(&[a(1)], &[1, 2], None);
        check(&[a(1).and(b("x")).or(a(2).and(b("y")))], &[1, 2], Some(&["1/x", "2/y"]));
        check(&[col("f").eq(lit(0.0))], &[3], None);
        check(&[a(1)], &[9], None);
        check(&[], &[1], None);
    }

    #[test]
    fn too_many_keys_are_none() {
        let list = |from: i64, count: i64| col("a").in_list((from..from + count).map(lit).collect(), false);
        assert_eq!(keys(&[list(0, 1000)], &[1]).map(|k| k.len()), Some(1000));
        assert_eq!(keys(&[list(0, 1001)], &[1]), None);
        // Of two lists the shorter is enough.
        assert_eq!(keys(&[list(0, 1000), list(0, 2)], &[1]).map(|k| k.len()), Some(2));
    }
}
