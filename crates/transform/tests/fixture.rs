//! A table of customers, and transforms over the built plugins.

use arrow::{
    array::{
        ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field},
};
use model::{ChangeBatch, Column, Key, TableId, TableSchema};
use pipeline::{Transform, Transformed};
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use transform::{Host, HostSettings, OnError, Plugin, PluginTransform, TransformConfig, TransformStats};

/// Where the built plugins are.
pub fn dist() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/dist");
    std::env::var_os("LAKEBOX_PLUGINS_DIST").map_or_else(|| beside.into(), PathBuf::from)
}

pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let cache_dir = std::env::temp_dir().join(format!("lakebox-transform-tests-{}", env!("CARGO_PKG_VERSION")));
        Host::new(&HostSettings { cache_dir: Some(cache_dir) }).expect("the engine starts")
    })
}

pub fn plugin(name: &str) -> Plugin {
    let path = dist().join(format!("{name}.wasm"));
    Plugin::load(host(), &path).unwrap_or_else(|e| panic!("{e}; plugins/build.sh builds the tests' plugins"))
}

pub fn config(json: &str) -> TransformConfig {
    TransformConfig { config: serde_json::from_str(json).expect("JSON"), batch_ms_max: 60, ..TransformConfig::new("unused") }
}

pub fn transform_with(name: &str, config: &TransformConfig) -> PluginTransform {
    PluginTransform::new(name, &plugin(name), config, Arc::new(TransformStats::default())).expect("it is configured")
}

pub fn transform(name: &str, json: &str) -> PluginTransform {
    transform_with(name, &config(json))
}

pub fn with_policy(name: &str, json: &str, on_error: OnError) -> PluginTransform {
    transform_with(name, &TransformConfig { on_error, ..config(json) })
}

pub fn customers() -> Arc<TableSchema> {
    table("customers")
}

pub fn table(name: &str) -> Arc<TableSchema> {
    let column = |name: &str, data_type: DataType, source_type: &str| Column {
        name: name.to_owned(),
        data_type,
        nullable: name != "id",
        source_type: source_type.to_owned(),
    };
    Arc::new(TableSchema {
        id: TableId::new("public", name),
        version: 1,
        columns: vec![
            column("id", DataType::Int64, "bigint"),
            column("name", DataType::Utf8, "text"),
            column("email", DataType::Utf8, "text"),
            column("balance", DataType::Decimal128(12, 2), "numeric(12,2)"),
            column("born", DataType::Date32, "date"),
            column("tags", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), "text[]"),
        ],
        key: Key::Columns(vec!["id".to_owned()]),
    })
}

/// A customer: name and e-mail address.
pub type Customer<'a> = (Option<&'a str>, Option<&'a str>);

/// Inserts of customers, with ids and positions from 1.
pub fn inserts(schema: &Arc<TableSchema>, rows: &[Customer<'_>]) -> ChangeBatch {
    changes(schema, rows, &vec!["c"; rows.len()], &vec![None; rows.len()])
}

/// Changes of customers with their operations and unchanged columns.
pub fn changes(schema: &Arc<TableSchema>, rows: &[Customer<'_>], ops: &[&str], unchanged: &[Option<&str>]) -> ChangeBatch {
    let count = i64::try_from(rows.len()).expect("few");
    let numbers = || (1..=count).map(Some);
    let mut tags = ListBuilder::new(StringBuilder::new());
    for i in 0..count {
        tags.append_value([Some(format!("tag{i}"))]);
    }
    let balances = numbers().map(|n| n.map(|n| i128::from(n) * 100 + 5)).collect::<Decimal128Array>();
    let times = || {
        Arc::new(
            numbers().map(|n| n.map(|n| 1_700_000_000_000_000 + n)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        )
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(numbers().collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.0).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<StringArray>()),
        Arc::new(balances.with_precision_and_scale(12, 2).expect("it fits")),
        Arc::new((0..count).map(|n| Some(i32::try_from(n).expect("few"))).collect::<Date32Array>()),
        Arc::new(tags.finish()),
        Arc::new(ops.iter().copied().map(Some).collect::<StringArray>()),
        times(),
        times(),
        Arc::new(numbers().collect::<Int64Array>()),
        Arc::new((0..count).map(Some).collect::<Int64Array>()),
        Arc::new((0..count).map(|_| None).collect::<Int64Array>()),
        Arc::new(unchanged.iter().copied().collect::<StringArray>()),
    ];
    ChangeBatch::try_new(Arc::clone(schema), columns).expect("one schema")
}

/// Many customers; those whose index `is_poison` holds are called `poison`.
pub fn crowd(rows: usize, is_poison: impl Fn(usize) -> bool) -> ChangeBatch {
    let emails: Vec<String> = (0..rows).map(|i| format!("person{i}@example.com")).collect();
    let customers: Vec<Customer<'_>> =
        emails.iter().enumerate().map(|(i, e)| (Some(if is_poison(i) { "poison" } else { "Maria" }), Some(e.as_str()))).collect();
    inserts(&customers_schema(), &customers)
}

fn customers_schema() -> Arc<TableSchema> {
    static SCHEMA: OnceLock<Arc<TableSchema>> = OnceLock::new();
    Arc::clone(SCHEMA.get_or_init(customers))
}

pub fn apply(transform: &mut PluginTransform, batch: ChangeBatch) -> Transformed {
    transform.schema(batch.schema()).expect("the table fits");
    transform.apply(batch).expect("the batch is settled")
}

/// All rows that went on.
pub fn rows(out: &Transformed) -> RecordBatch {
    let schema = out.batches.first().expect("some rows").rows().schema();
    arrow::compute::concat_batches(&schema, out.batches.iter().map(ChangeBatch::rows)).expect("one schema")
}

/// A text column of the rows that went on.
pub fn texts(out: &Transformed, column: &str) -> Vec<Option<String>> {
    let rows = rows(out);
    rows.column_by_name(column).expect("it exists").as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

/// The ids of rows that went on.
pub fn ids(out: &Transformed) -> Vec<i64> {
    if out.batches.is_empty() {
        return Vec::new();
    }
    rows(out).column_by_name("id").expect("it exists").as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
}

/// The ids of dead letters.
pub fn dead_ids(out: &Transformed) -> Vec<i64> {
    let id = |row: &str| serde_json::from_str::<Value>(row).expect("JSON")["id"].as_i64().expect("an id");
    out.dead.iter().map(|letter| id(&letter.row)).collect()
}
