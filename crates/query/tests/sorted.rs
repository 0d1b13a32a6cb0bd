//! Tables that are sorted: queries that want their order get it without sorting, and no other order is taken for it.

use crate::disk::OnDisk;
use ::lake::{PartitionField, ReplaceOptions};
use arrow::{
    array::{Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use model::LakeTable;
use std::{collections::BTreeMap, ops::Deref, sync::Arc};

const ROWS: i64 = 3000;

struct World(OnDisk);

impl Deref for World {
    type Target = OnDisk;

    fn deref(&self) -> &OnDisk {
        &self.0
    }
}

async fn world() -> World {
    World(OnDisk::new().await)
}

/// Rows in an order without order: `a` from 0 to 299 ten times or NULL, `b` once each, `f` with NULL and NaN among numbers.
fn batch(nulls: bool) -> RecordBatch {
    let all: Vec<i64> = (0..ROWS).map(|i| (i * 1381) % ROWS).collect();
    let fields = [("a", DataType::Int64), ("b", DataType::Utf8), ("f", DataType::Float64)];
    let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
    let float = |k: &i64| match k % 7 {
        0 => Some(f64::NAN),
        1 if nulls => None,
        other => Some(*k as f64 / 4.0 - other as f64),
    };
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(all.iter().map(|k| (!nulls || k % 13 != 0).then_some(k / 10)).collect::<Int64Array>()),
            Arc::new(all.iter().map(|k| Some(format!("{k:05}"))).collect::<StringArray>()),
            Arc::new(all.iter().map(float).collect::<Float64Array>()),
        ],
    )
    .unwrap()
}

impl World {
    /// Makes `gold.<name>` in this order and in files by partition.
    async fn make(&self, name: &str, order: &[&str], by: &[&str], nulls: bool) {
        let batch = batch(nulls);
        let column = |text: &&str| match text.split_once(' ') {
            Some((name, _)) => (name.to_owned(), true),
            None => ((*text).to_owned(), false),
        };
        let options = ReplaceOptions {
            schema: batch.schema(),
            key: Vec::new(),
            sort_order: order.iter().map(column).collect(),
            summary: BTreeMap::new(),
            writer: None,
        };
        let by: Vec<PartitionField> = by.iter().map(|field| field.parse().unwrap()).collect();
        let table = LakeTable::new(model::Layer::Gold, name);
        self.lake.replace_partitioned(table, Box::pin(futures::stream::iter([Ok(batch)])), options, &by).await.unwrap();
    }

    /// Whether the plan of a statement sorts.
    async fn sorts(&self, sql: &str) -> bool {
        self.ask(&format!("EXPLAIN {sql}")).await.iter().any(|line| line.contains("Sort by"))
    }

    /// The rows of `sql`, each once and in an order that a sort of the same rows without a table would give.
    async fn check(&self, sql: &str, table: &str) {
        let found = self.ask(sql).await;
        // What a statement calculates first is in no order that a table has.
        let shuffled = format!("(SELECT a + 0 AS a, b || '' AS b, f + 0.0::double AS f FROM {table})");
        let expected = self.ask(&sql.replace(table, &format!("{shuffled} AS t"))).await;
        assert_eq!(found.len(), expected.len(), "{sql}");
        assert_eq!(found, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sorted_table_is_not_sorted_again_and_no_order_is_mistaken() {
    let world = world().await;
    for (name, order, by, nulls) in [
        ("one", &["a", "b desc"][..], &[][..], true),
        ("down", &["a desc", "b"], &[], true),
        ("apart", &["a", "b"], &["truncate(40, a)"], false),
        ("apart_with_nulls", &["a", "b"], &["truncate(40, a)"], true),
        ("mixed", &["a", "b"], &["bucket(4, b)"], true),
        ("floats", &["f", "b"], &[], true),
        ("floats_apart", &["f", "b"], &["truncate(60, a)"], false),
    ] {
        let table = format!("gold.{name}");
        world.make(name, order, by, nulls).await;
        for wanted in
            ["a, b", "a, b DESC", "a DESC, b", "a NULLS FIRST, b", "a DESC NULLS LAST, b", "f, b", "f DESC, b", "b", "b DESC"]
        {
            world.check(&format!("SELECT a, b, f FROM {table} ORDER BY {wanted}"), &table).await;
            world.check(&format!("SELECT b FROM {table} WHERE a > 41 ORDER BY {wanted} LIMIT 500"), &table).await;
            world.check(&format!("SELECT b, row_number() OVER (ORDER BY {wanted}) FROM {table} ORDER BY b"), &table).await;
        }
        world.check(&format!("SELECT a, count(*), min(b), max(b) FROM {table} GROUP BY a ORDER BY a"), &table).await;
        world.check(&format!("SELECT DISTINCT ON (a) a, b FROM {table} ORDER BY a, b"), &table).await;
    }
    for (table, order, sorts) in [
        ("one", "a, b DESC", false),
        ("one", "a", false),
        ("one", "a, b", true),
        ("one", "a NULLS FIRST, b DESC", true),
        ("down", "a DESC, b", false),
        ("down", "a, b", true),
        ("apart", "a, b", false),
        ("apart", "b", true),
        ("apart_with_nulls", "a, b", true),
        ("floats", "f, b", false),
        ("floats_apart", "f, b", true),
    ] {
        assert_eq!(world.sorts(&format!("SELECT a, b FROM gold.{table} ORDER BY {order}")).await, sorts, "{table} by {order}");
    }
    // A table that is made anew in another order has the files of that order.
    world.make("one", &["b"], &[], true).await;
    assert!(world.sorts("SELECT a FROM gold.one ORDER BY a, b DESC").await);
    assert!(!world.sorts("SELECT a FROM gold.one ORDER BY b").await);
    world.check("SELECT a, b, f FROM gold.one ORDER BY a, b DESC", "gold.one").await;
}

/// Parquet leaves NaN out of the bounds of pages, row groups and files, and SQL sorts it above every number.
#[tokio::test(flavor = "multi_thread")]
async fn no_bound_hides_rows_with_nan() {
    let world = world().await;
    world.make("apart", &["a", "b"], &["truncate(40, a)"], false).await;
    world.make("one", &["a"], &[], true).await;
    for table in ["gold.apart", "gold.one"] {
        let nan = (0..ROWS).filter(|k| k % 7 == 0).count().to_string();
        for condition in [
            "f > 1000000::double precision",
            "f >= 1000000::double precision",
            "f = 'NaN'::double precision",
            "NOT f < 1000000::double precision",
            "f BETWEEN 5000::double precision AND 'NaN'::double precision",
            "f IN (5000::double precision, 'NaN'::double precision)",
        ] {
            let found = world.ask(&format!("SELECT count(*) FROM {table} AS t WHERE {condition}")).await;
            assert_eq!(found, [nan.as_str()], "{table}: {condition}");
        }
        assert_eq!(world.ask(&format!("SELECT max(f) FROM {table} AS t")).await, ["NaN"], "{table}");
        // The filter that a limit makes as it goes depends on which file is read first.
        for _ in 0..20 {
            let found = world.ask(&format!("SELECT b FROM {table} AS t ORDER BY f DESC NULLS LAST, b LIMIT 429")).await;
            assert!(found.iter().all(|b| b.trim_matches('"').parse::<i64>().unwrap() % 7 == 0), "{table}: {found:?}");
        }
    }
}
