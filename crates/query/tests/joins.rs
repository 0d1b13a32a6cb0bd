//! Filters that joins hand down to scans must never change an answer.

use crate::support::{Dice, Lake, field, rows, schema};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, SchemaRef},
};
use query::{Engine, QuerySettings};
use std::{collections::BTreeMap, sync::Arc};

const BUYERS: i64 = 300;
const SALES: i64 = 40_000;

fn buyers() -> SchemaRef {
    schema(vec![field("id", DataType::Int64, 1), field("town", DataType::Utf8, 2)])
}

fn sales() -> SchemaRef {
    schema(vec![field("id", DataType::Int64, 1), field("buyer", DataType::Int64, 2), field("amount", DataType::Int64, 3)])
}

/// Buyers in ten towns, and sales that name buyers, some of whom do not exist, or nobody.
async fn shop(seed: u64) -> (Engine, Vec<(Option<i64>, i64)>) {
    let lake = Lake::default();
    let mut dice = Dice(seed);
    let ids: ArrayRef = Arc::new((0..BUYERS).collect::<Int64Array>());
    let towns: ArrayRef = Arc::new((0..BUYERS).map(|i| Some(format!("t{}", i % 10))).collect::<StringArray>());
    let batch = RecordBatch::try_new(buyers(), vec![ids, towns]).unwrap();
    let file = lake.file("buyers", &batch, &[]).await;
    lake.put("gold.buyers", &buyers(), vec![file], vec![]);
    let mut all = Vec::new();
    let mut files = Vec::new();
    for part in 0..4 {
        let made: Vec<(Option<i64>, i64)> = (0..SALES / 4)
            .map(|_| {
                (
                    (!dice.one_in(20)).then(|| i64::try_from(dice.below(2 * BUYERS as u64)).unwrap()),
                    i64::try_from(dice.below(1000)).unwrap(),
                )
            })
            .collect();
        let ids: ArrayRef = Arc::new((0..SALES / 4).map(|i| part * SALES / 4 + i).collect::<Int64Array>());
        let who: ArrayRef = Arc::new(made.iter().map(|m| m.0).collect::<Int64Array>());
        let amounts: ArrayRef = Arc::new(made.iter().map(|m| m.1).collect::<Int64Array>());
        let deleted: Vec<u32> = (0..200).map(|_| u32::try_from(dice.below(SALES as u64 / 4)).unwrap()).collect();
        let batch = RecordBatch::try_new(sales(), vec![ids, who, amounts]).unwrap();
        let properties = parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(2000)).build();
        files.push(lake.file_with(&format!("s{part}"), &batch, &deleted, properties).await);
        all.extend(made.into_iter().enumerate().filter(|(i, _)| !deleted.contains(&u32::try_from(*i).unwrap())).map(|(_, m)| m));
    }
    lake.put("gold.sales", &sales(), files, vec![]);
    (lake.engine_with(QuerySettings { threads: 2, ..QuerySettings::default() }), all)
}

#[tokio::test]
async fn an_aggregate_below_a_join_gives_the_same_sums_with_and_without_the_joins_filter() {
    for seed in 0..4 {
        let (engine, all) = shop(seed).await;
        let sql = "SELECT b.id, s.total FROM buyers b JOIN (SELECT buyer, sum(amount) AS total FROM sales GROUP BY buyer) s ON s.buyer = b.id \
                   WHERE b.town = 't3' ORDER BY b.id";
        let plan = rows(&engine, &format!("EXPLAIN {sql}")).await.unwrap().join("\n");
        assert!(plan.contains("Drop rows that the joins above have no partner for"), "{plan}");
        let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
        for (buyer, amount) in &all {
            if let Some(buyer) = buyer.filter(|b| *b < BUYERS && b % 10 == 3) {
                *expected.entry(buyer).or_default() += amount;
            }
        }
        let expected: Vec<String> = expected.iter().map(|(b, total)| format!("{b}|{total}")).collect();
        assert_eq!(rows(&engine, sql).await.unwrap(), expected, "seed {seed}");
    }
}

#[tokio::test]
async fn joins_that_keep_rows_without_a_partner_lose_none_to_filters() {
    let (engine, all) = shop(9).await;
    let known = |b: &Option<i64>| b.is_some_and(|b| b < BUYERS && b % 10 == 3);
    let with = all.iter().filter(|(b, _)| known(b)).count();
    let check = async |sql: &str, expected: usize| assert_eq!(rows(&engine, sql).await.unwrap(), [expected.to_string()], "{sql}");
    let towns = "(SELECT * FROM buyers WHERE town = 't3')";
    check(&format!("SELECT count(*) FROM sales s JOIN {towns} b ON b.id = s.buyer"), with).await;
    check(&format!("SELECT count(*) FROM sales s LEFT JOIN {towns} b ON b.id = s.buyer"), all.len()).await;
    check(
        &format!("SELECT count(*) FROM sales s WHERE NOT EXISTS (SELECT 1 FROM {towns} b WHERE b.id = s.buyer)"),
        all.len() - with,
    )
    .await;
    check(&format!("SELECT count(*) FROM sales s WHERE s.buyer IN (SELECT id FROM {towns} b)"), with).await;
    let twice = format!("SELECT count(*) FROM sales s JOIN {towns} b ON b.id = s.buyer JOIN sales o ON o.id = s.id");
    check(&twice, with).await;
}

#[tokio::test]
async fn a_recursive_query_whose_turns_join_a_table_finds_all_rows() {
    let (engine, _) = shop(2).await;
    let sql = "WITH RECURSIVE chain(id, turn) AS (SELECT 0 :: bigint AS id, 0 AS turn UNION ALL SELECT b.id + 0, turn + 1 FROM chain c JOIN buyers b ON b.id = c.id + 1 \
               WHERE turn < 20) SELECT count(*), max(id) FROM chain";
    assert_eq!(rows(&engine, sql).await.unwrap(), ["21|20"]);
}
