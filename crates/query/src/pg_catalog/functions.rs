//! The functions of `pg_catalog` that clients call, as far as the engine and its libraries lack them.

use super::{Lookup, OWNER, PgCatalog};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, new_null_array},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility},
    prelude::SessionContext,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

type Eval = Arc<dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync>;

/// A function that takes arguments of any types and sorts them out itself, as PostgreSQL's polymorphic and overloaded ones do.
struct CatalogFunction {
    name: &'static str,
    returns: DataType,
    signature: Signature,
    eval: Eval,
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<_>>()?;
        let out = (self.eval)(&arrays, rows)?;
        if constant {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

fn function(
    name: &'static str,
    returns: DataType,
    eval: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let any = Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Stable);
    ScalarUDF::new_from_impl(CatalogFunction { name, returns, signature: any, eval: Arc::new(eval) })
}

/// An argument as numbers; NULL where it is none.
fn int_argument(args: &[ArrayRef], i: usize) -> Result<Vec<Option<i32>>> {
    let Some(array) = args.get(i) else { return Ok(Vec::new()) };
    let array = cast(array, &DataType::Int64).map_err(DataFusionError::from)?;
    Ok(array.as_primitive::<Int64Type>().iter().map(|v| v.and_then(|v| i32::try_from(v).ok())).collect())
}

/// An argument as texts.
fn text_argument(args: &[ArrayRef], i: usize) -> Result<Vec<Option<String>>> {
    let Some(array) = args.get(i) else { return Ok(Vec::new()) };
    let array = cast(array, &DataType::Utf8).map_err(DataFusionError::from)?;
    Ok(array.as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect())
}

/// Registers all functions.
pub(crate) fn register(context: &SessionContext, catalog: &Arc<PgCatalog>) {
    for name in NULLS {
        context.register_udf(function(name, DataType::Utf8, |_, rows| Ok(new_null_array(&DataType::Utf8, rows))));
    }
    for (name, text) in TEXTS {
        let array = move |_: &[ArrayRef], rows| -> Result<ArrayRef> { Ok(Arc::new(StringArray::from(vec![*text; rows]))) };
        context.register_udf(function(name, DataType::Utf8, array));
    }
    for (name, value) in FLAGS {
        let array = move |_: &[ArrayRef], rows| -> Result<ArrayRef> { Ok(Arc::new(BooleanArray::from(vec![*value; rows]))) };
        context.register_udf(function(name, DataType::Boolean, array));
    }
    for (name, value) in COUNTS {
        let array = move |_: &[ArrayRef], rows| -> Result<ArrayRef> { Ok(Arc::new(Int64Array::from(vec![*value; rows]))) };
        context.register_udf(function(name, DataType::Int64, array));
    }
    register_numbers(context, catalog);
    register_names(context, catalog);
    register_descriptions(context, catalog);
}

/// Functions about what lakebox has not: comments, defaults, triggers, rules.
const NULLS: &[&str] = &[
    "obj_description",
    "col_description",
    "shobj_description",
    "pg_get_expr",
    "pg_get_triggerdef",
    "pg_get_ruledef",
    "pg_get_partkeydef",
    "pg_get_partition_constraintdef",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_functiondef",
    "pg_get_function_arg_default",
    "pg_get_serial_sequence",
    "pg_describe_object",
    "pg_tablespace_location",
    "pg_relation_filepath",
    "inet_client_addr",
    "inet_server_addr",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_current_wal_lsn",
];

const TEXTS: &[(&str, &str)] = &[
    ("pg_get_function_arguments", ""),
    ("pg_get_function_identity_arguments", ""),
    ("pg_get_function_result", ""),
    ("pg_encoding_to_char", "UTF8"),
    ("getdatabaseencoding", "UTF8"),
    ("pg_client_encoding", "UTF8"),
];

/// Whoever is connected may read everything and is nobody's superior; a server is never a copy of another.
const FLAGS: &[(&str, bool)] = &[
    ("pg_type_is_visible", true),
    ("pg_function_is_visible", true),
    ("pg_operator_is_visible", true),
    ("pg_opclass_is_visible", true),
    ("pg_opfamily_is_visible", true),
    ("pg_collation_is_visible", true),
    ("pg_conversion_is_visible", true),
    ("pg_statistics_obj_is_visible", true),
    ("pg_ts_config_is_visible", true),
    ("pg_ts_dict_is_visible", true),
    ("pg_ts_parser_is_visible", true),
    ("pg_ts_template_is_visible", true),
    ("has_table_privilege", true),
    ("has_schema_privilege", true),
    ("has_database_privilege", true),
    ("has_column_privilege", true),
    ("has_any_column_privilege", true),
    ("has_function_privilege", true),
    ("has_language_privilege", true),
    ("has_sequence_privilege", true),
    ("has_tablespace_privilege", true),
    ("has_type_privilege", true),
    ("has_foreign_data_wrapper_privilege", true),
    ("has_server_privilege", true),
    ("pg_has_role", true),
    ("pg_relation_is_publishable", false),
    ("pg_relation_is_updatable", false),
    ("pg_is_in_recovery", false),
    ("pg_is_wal_replay_paused", false),
    ("pg_is_other_temp_schema", false),
    ("row_security_active", false),
];

const COUNTS: &[(&str, i64)] = &[
    ("pg_indexes_size", 0),
    ("pg_my_temp_schema", 0),
    ("pg_stat_get_numscans", 0),
    ("pg_stat_get_live_tuples", 0),
    ("pg_stat_get_dead_tuples", 0),
    ("txid_current", 3),
    ("pg_current_xact_id", 3),
    ("inet_server_port", 5480),
    ("pg_char_to_encoding", 6),
    ("age", 0),
];

type Number = fn(&Lookup<'_>, &str) -> Option<i32>;
type Name = fn(&Lookup<'_>, i32) -> Option<String>;

/// Names to numbers: `to_regclass('t')` is NULL where there is no such thing; the cast `'t'::regclass`, spelt `regclassin` here, is an error.
fn register_numbers(context: &SessionContext, catalog: &Arc<PgCatalog>) {
    const CASTS: [(&str, &str, &str, Number); 5] = [
        ("to_regclass", "regclassin", "relation", |l, n| l.class(n)),
        ("to_regtype", "regtypein", "type", |l, n| l.data_type(n)),
        ("to_regnamespace", "regnamespacein", "schema", |l, n| l.namespace(n)),
        ("to_regproc", "regprocin", "function", |l, n| l.function(n)),
        ("to_regrole", "regrolein", "role", |l, n| l.role(n)),
    ];
    for (optional, strict, what, find) in CASTS {
        let own = Arc::clone(catalog);
        let eval = move |args: &[ArrayRef], _| -> Result<ArrayRef> {
            let lookup = own.lookup();
            let names = text_argument(args, 0)?;
            Ok(Arc::new(names.iter().map(|n| find(&lookup, n.as_deref()?)).collect::<Int32Array>()))
        };
        context.register_udf(function(optional, DataType::Int32, eval));
        let own = Arc::clone(catalog);
        let eval = move |args: &[ArrayRef], _| -> Result<ArrayRef> {
            let lookup = own.lookup();
            let number = |name: &Option<String>| -> Result<Option<i32>> {
                let Some(name) = name else { return Ok(None) };
                let missing = || DataFusionError::Execution(format!("{what} \"{name}\" does not exist"));
                find(&lookup, name).map(Some).ok_or_else(missing)
            };
            Ok(Arc::new(text_argument(args, 0)?.iter().map(number).collect::<Result<Int32Array>>()?))
        };
        context.register_udf(function(strict, DataType::Int32, eval));
    }
}

/// Numbers to names, as a cast to `regclass` shows them. A number that stands for nothing is shown as it is.
fn register_names(context: &SessionContext, catalog: &Arc<PgCatalog>) {
    const CASTS: [(&str, Name); 5] = [
        ("regclassout", |l, n| l.class_name(n)),
        ("regtypeout", |l, n| l.type_name(n, None)),
        ("regnamespaceout", |l, n| l.namespace_name(n)),
        ("regprocout", |l, n| l.function_name(n)),
        ("regroleout", |l, n| l.role_name(n)),
    ];
    for (name, show) in CASTS {
        let own = Arc::clone(catalog);
        let eval = move |args: &[ArrayRef], _| -> Result<ArrayRef> {
            // What is a name already stays one.
            if args.first().is_some_and(|a| matches!(a.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)) {
                let texts = text_argument(args, 0)?;
                let bare = |t: Option<String>| t.map(|t| t.strip_prefix("pg_catalog.").map_or(t.clone(), str::to_owned));
                return Ok(Arc::new(texts.into_iter().map(bare).collect::<StringArray>()));
            }
            let lookup = own.lookup();
            let text =
                |n: &Option<i32>| n.map(|n| show(&lookup, n).unwrap_or_else(|| if n == 0 { "-".into() } else { n.to_string() }));
            Ok(Arc::new(int_argument(args, 0)?.iter().map(text).collect::<StringArray>()))
        };
        context.register_udf(function(name, DataType::Utf8, eval));
    }
}

fn register_descriptions(context: &SessionContext, catalog: &Arc<PgCatalog>) {
    let texts = |name, show: fn(&Lookup<'_>, i32, i32) -> Option<String>| {
        let own = Arc::clone(catalog);
        let eval = move |args: &[ArrayRef], _| -> Result<ArrayRef> {
            let lookup = own.lookup();
            let more = int_argument(args, 1)?;
            let first = match args.first().map(|a| a.data_type()) {
                Some(DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => {
                    text_argument(args, 0)?.iter().map(|n| lookup.class(n.as_deref()?)).collect()
                }
                _ => int_argument(args, 0)?,
            };
            let more = |i: usize| more.get(i).copied().flatten().unwrap_or(0);
            Ok(Arc::new(first.iter().enumerate().map(|(i, n)| show(&lookup, (*n)?, more(i))).collect::<StringArray>()))
        };
        context.register_udf(function(name, DataType::Utf8, eval));
    };
    texts("pg_get_viewdef", |l, oid, _| l.view_definition(oid));
    texts("pg_get_constraintdef", |l, oid, _| l.constraint_definition(oid));
    texts("pg_get_indexdef", |l, oid, column| l.index_definition(oid, column));
    texts("pg_get_userbyid", |_, _, _| Some(OWNER.to_owned()));
    let own = Arc::clone(catalog);
    let format = move |args: &[ArrayRef], _| -> Result<ArrayRef> {
        let lookup = own.lookup();
        let (oids, modifiers) = (int_argument(args, 0)?, int_argument(args, 1)?);
        let show = |(oid, modifier): (Option<i32>, Option<i32>)| {
            oid.map(|oid| lookup.type_name(oid, modifier).unwrap_or_else(|| if oid == 0 { "-".into() } else { "???".into() }))
        };
        let modifiers = modifiers.into_iter().chain(std::iter::repeat(None));
        Ok(Arc::new(oids.into_iter().zip(modifiers).map(show).collect::<StringArray>()))
    };
    context.register_udf(function("format_type", DataType::Utf8, format));
    let own = Arc::clone(catalog);
    let visible = move |args: &[ArrayRef], _| -> Result<ArrayRef> {
        let lookup = own.lookup();
        Ok(Arc::new(int_argument(args, 0)?.iter().map(|oid| oid.map(|oid| lookup.is_visible(oid))).collect::<BooleanArray>()))
    };
    context.register_udf(function("pg_table_is_visible", DataType::Boolean, visible));
    for (name, whole) in
        [("pg_relation_size", false), ("pg_table_size", false), ("pg_total_relation_size", false), ("pg_database_size", true)]
    {
        let own = Arc::clone(catalog);
        let eval = move |args: &[ArrayRef], rows| -> Result<ArrayRef> {
            let lookup = own.lookup();
            if whole {
                return Ok(Arc::new(Int64Array::from(vec![lookup.bytes(None); rows])));
            }
            let oids = match args.first().map(|a| a.data_type()) {
                Some(DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => {
                    text_argument(args, 0)?.iter().map(|n| lookup.class(n.as_deref()?)).collect()
                }
                _ => int_argument(args, 0)?,
            };
            Ok(Arc::new(oids.iter().map(|oid| oid.map(|oid| lookup.bytes(Some(oid)))).collect::<Int64Array>()))
        };
        context.register_udf(function(name, DataType::Int64, eval));
    }
    let pretty = |args: &[ArrayRef], _| -> Result<ArrayRef> {
        let Some(array) = args.first() else { return Ok(new_null_array(&DataType::Utf8, 1)) };
        let array = cast(array, &DataType::Int64).map_err(DataFusionError::from)?;
        Ok(Arc::new(array.as_primitive::<Int64Type>().iter().map(|n| n.map(size)).collect::<StringArray>()))
    };
    context.register_udf(function("pg_size_pretty", DataType::Utf8, pretty));
}

/// Bytes as PostgreSQL shows them: the largest unit that leaves less than ten thousand of it.
fn size(bytes: i64) -> String {
    let mut value = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if value.abs() < 10_240 {
            return format!("{value} {unit}");
        }
        value = (value + 512) / 1024;
    }
    format!("{value} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_as_postgresql_tells_them() {
        for (bytes, text) in [(0, "0 bytes"), (10_239, "10239 bytes"), (10_240, "10 kB"), (12_345_678, "12 MB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
