use super::with_params;
use crate::{Error, Kind, sql_types::sql_type_name};
use arrow::datatypes::DataType;
use datafusion::{common::ScalarValue, logical_expr::LogicalPlan};
use serde_json::Value;

/// Puts JSON values in the place of `$1`, `$2`, …
///
/// # Errors
/// [`Kind::Invalid`] where a value is missing, or can't be one of the type its place needs.
pub(crate) fn json_params(plan: LogicalPlan, values: &[Value]) -> Result<LogicalPlan, Error> {
    let types = plan.get_parameter_types()?;
    let wanted = types.keys().filter_map(|k| k.trim_start_matches('$').parse::<usize>().ok()).max().unwrap_or(0);
    if wanted > values.len() {
        return Err(Error::new(
            Kind::Invalid,
            format!("the statement has parameters up to ${wanted}, and {} values came", values.len()),
        ));
    }
    if values.is_empty() {
        return Ok(plan);
    }
    let scalars = values
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let place = format!("${}", i + 1);
            let data_type = types.get(&place).cloned().flatten();
            scalar(value, data_type.as_ref()).map_err(|e| Error { message: format!("parameter {place}: {e}"), ..e })
        })
        .collect::<Result<Vec<_>, _>>()?;
    with_params(plan, scalars)
}

/// Values as their JSON has them, for places that bring them to their own types.
pub(crate) fn plain_scalars(values: &[Value]) -> Result<Vec<ScalarValue>, Error> {
    values.iter().map(|value| scalar(value, None)).collect()
}

fn scalar(value: &Value, wanted: Option<&DataType>) -> Result<ScalarValue, Error> {
    let plain = match value {
        Value::Null => return null(wanted),
        Value::Bool(b) => ScalarValue::Boolean(Some(*b)),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => ScalarValue::Int64(Some(n)),
            (None, Some(n)) => ScalarValue::UInt64(Some(n)),
            // The shortest text of a float is what was meant where a decimal is wanted.
            (None, None) if wanted.is_some_and(DataType::is_decimal) => ScalarValue::Utf8(Some(n.to_string())),
            (None, None) => ScalarValue::Float64(n.as_f64()),
        },
        Value::String(s) => ScalarValue::Utf8(Some(s.clone())),
        Value::Array(_) | Value::Object(_) => ScalarValue::Utf8(Some(value.to_string())),
    };
    let Some(wanted) = wanted.filter(|w| **w != plain.data_type() && **w != DataType::Null) else { return Ok(plain) };
    let cast = plain.cast_to(wanted).map_err(|e| {
        let shown: String = value.to_string().chars().take(60).collect();
        Error::new(Kind::Invalid, format!("{shown} is not a {}", sql_type_name(wanted))).with_source(e)
    })?;
    Ok(cast)
}

fn null(wanted: Option<&DataType>) -> Result<ScalarValue, Error> {
    Ok(match wanted {
        Some(data_type) => ScalarValue::try_from(data_type)?,
        None => ScalarValue::Null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_the_type_their_place_needs_without_losing_digits() {
        let decimal = DataType::Decimal128(38, 2);
        let check = |value: Value, wanted: &DataType, expected: &str| {
            assert_eq!(scalar(&value, Some(wanted)).unwrap().to_string(), expected, "{value}");
        };
        check(json!("123456789012345678901234567890.12"), &decimal, "123456789012345678901234567890.12");
        check(json!(1.1), &decimal, "1.10");
        check(json!("9223372036854775807"), &DataType::Int64, "9223372036854775807");
        check(json!("2026-01-31"), &DataType::Date32, "2026-01-31");
        check(json!(null), &DataType::Int32, "NULL");
        assert_eq!(scalar(&json!("x"), Some(&DataType::Int64)).unwrap_err().kind, Kind::Invalid);
        assert_eq!(scalar(&json!(3_000_000_000_u64), Some(&DataType::Int32)).unwrap_err().kind, Kind::Invalid);
    }
}
