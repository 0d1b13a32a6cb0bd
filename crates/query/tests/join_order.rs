//! Joins in another order than written give the same rows.

use crate::support::{Dice, Lake, field, rows, schema};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use query::{Engine, QuerySettings};
use std::sync::Arc;

/// A table: its name, its rows, and its columns with the values that they stay below.
type Table = (&'static str, u64, &'static [(&'static str, u64)]);

/// Tables whose columns are `name`_id and then whole numbers that point into the tables named, with some NULLs and some that point at nothing.
async fn made(tables: &[Table], seed: u64) -> Engine {
    let lake = Lake::default();
    let mut dice = Dice(seed);
    for (name, count, columns) in tables {
        let mut fields =
            vec![field(&format!("{name}_id"), DataType::Int64, 1), field(&format!("{name}_text"), DataType::Utf8, 2)];
        let texts: ArrayRef = Arc::new((0..*count).map(|i| (i % 7 != 3).then(|| format!("x{}", i % 5))).collect::<StringArray>());
        let mut arrays: Vec<ArrayRef> = vec![Arc::new((0..*count).map(|i| i.cast_signed()).collect::<Int64Array>()), texts];
        for (index, (column, below)) in columns.iter().enumerate() {
            fields.push(field(column, DataType::Int64, i32::try_from(index).unwrap() + 3));
            let values = (0..*count).map(|_| (!dice.one_in(30)).then(|| dice.below(*below + *below / 10 + 1).cast_signed()));
            arrays.push(Arc::new(values.collect::<Int64Array>()));
        }
        let fields = schema(fields);
        let batch = RecordBatch::try_new(Arc::clone(&fields), arrays).unwrap();
        let deleted: Vec<u32> = (0..count / 50).map(|_| u32::try_from(dice.below(*count)).unwrap()).collect();
        let file = lake.file(name, &batch, &deleted).await;
        lake.put(&format!("gold.{name}"), &fields, vec![file], vec![]);
    }
    lake.engine_with(QuerySettings { threads: 2, ..QuerySettings::default() })
}

const SHOP: &[Table] = &[
    ("sale", 5000, &[("buyer", 400), ("item", 60), ("shop", 40), ("paid", 1000)]),
    ("buyer", 400, &[("town", 20), ("age", 90)]),
    ("item", 60, &[("kind", 8), ("maker", 20)]),
    ("shop", 40, &[("town", 20), ("size", 4)]),
    ("town", 20, &[("land", 4)]),
    ("land", 4, &[("tax", 3)]),
];

/// The lines of the plan that name tables, in the order of the plan.
async fn order(engine: &Engine, sql: &str) -> Vec<String> {
    let plan = rows(engine, &format!("EXPLAIN VERBOSE {sql}")).await.unwrap().join("\n");
    let names = |line: &str| SHOP.iter().map(|(n, ..)| *n).find(|n| line.contains(&format!("data/{n}.parquet")));
    plan.lines().filter_map(names).map(str::to_owned).collect()
}

#[tokio::test]
async fn any_order_of_the_from_clause_gives_the_same_rows() {
    // The conditions: a chain with a cycle (towns of buyer and shop), one over two tables that is no equality, one with a cast, some constants.
    let conditions = "s.buyer = b.buyer_id AND s.shop = h.shop_id AND s.item = i.item_id AND b.town = t.town_id AND h.town = t.town_id \
                      AND t.land = l.land_id AND l.land_text <> 'x0' AND (b.age > 30 OR h.size = 2) AND s.paid + 0 >= i.maker";
    let tables = ["sale s", "buyer b", "item i", "shop h", "town t", "land l"];
    let mut dice = Dice(5);
    for seed in 0..3 {
        let engine = made(SHOP, seed).await;
        let mut expected: Option<Vec<String>> = None;
        for _ in 0..6 {
            let mut shuffled = tables.to_vec();
            for i in (1..shuffled.len()).rev() {
                shuffled.swap(i, usize::try_from(dice.below(i as u64 + 1)).unwrap());
            }
            let sql = format!(
                "SELECT s.sale_id, b.buyer_id, b.buyer_text, i.kind, h.size, t.town_id, l.tax FROM {} WHERE {conditions} ORDER BY 1, 2, 4, 5",
                shuffled.join(", ")
            );
            let got = rows(&engine, &sql).await.unwrap();
            assert!(!got.is_empty(), "a test of nothing");
            assert_eq!(&got, expected.get_or_insert_with(|| got.clone()), "{sql}");
        }
        // What no rule touches: every table filtered alone first and joined with hints of the dialect left out, by way of outer joins.
        let plain = "SELECT s.sale_id, b.buyer_id, b.buyer_text, i.kind, h.size, t.town_id, l.tax FROM sale s \
             LEFT JOIN buyer b ON s.buyer = b.buyer_id LEFT JOIN item i ON s.item = i.item_id LEFT JOIN shop h ON s.shop = h.shop_id \
             LEFT JOIN town t ON coalesce(b.town, -1) = t.town_id LEFT JOIN land l ON t.land = l.land_id \
             WHERE coalesce(b.buyer_id, -1) >= 0 AND coalesce(i.item_id, -1) >= 0 AND coalesce(h.shop_id, -1) >= 0 AND coalesce(h.town, -2) = t.town_id \
             AND l.land_text <> 'x0' AND (b.age > 30 OR h.size = 2) AND s.paid + 0 >= i.maker ORDER BY 1, 2, 4, 5";
        assert_eq!(rows(&engine, plain).await.unwrap(), expected.unwrap());
    }
}

#[tokio::test]
async fn columns_that_equal_a_third_are_equal_to_each_other_in_any_order() {
    let engine = made(SHOP, 11).await;
    // Both columns of `sale` equal the same one of `item`; the link between them is only implied.
    let sql = "SELECT s.sale_id FROM sale s, item i, shop h, town t WHERE s.item = i.item_id AND s.shop = i.item_id AND h.shop_id = s.shop \
               AND h.town = t.town_id ORDER BY 1";
    let plain = "SELECT s.sale_id FROM sale s JOIN item i ON s.item = i.item_id JOIN shop h ON h.shop_id = s.shop \
                 LEFT JOIN town t ON h.town = t.town_id WHERE s.item = s.shop AND coalesce(t.town_id, -1) >= 0 ORDER BY 1";
    let got = rows(&engine, sql).await.unwrap();
    assert!(!got.is_empty());
    assert_eq!(got, rows(&engine, plain).await.unwrap());
}

#[tokio::test]
async fn a_small_filtered_table_is_joined_before_large_ones_meet() {
    let engine = made(SHOP, 2).await;
    let sql = "SELECT count(*) FROM sale s, buyer b, town t, land l WHERE s.buyer = b.buyer_id AND b.town = t.town_id AND t.land = l.land_id AND l.land_id = 1";
    let tables = order(&engine, sql).await;
    let (land, sale) = (tables.iter().rposition(|t| t == "land"), tables.iter().rposition(|t| t == "sale"));
    assert!(land < sale, "{tables:?}");
}

#[tokio::test]
async fn the_same_table_twice_and_columns_of_the_same_name_are_no_trouble() {
    let engine = made(SHOP, 7).await;
    for sql in [
        "SELECT count(*) FROM buyer a, buyer b, town t, land l WHERE a.town = b.town AND a.town = t.town_id AND t.land = l.land_id AND l.land_id = 1",
        "SELECT count(*) FROM (SELECT b.*, t.* FROM buyer b JOIN town t ON b.town = t.town_id) x JOIN land l ON x.land = l.land_id JOIN shop h ON h.town = x.town_id WHERE l.tax = 1",
    ] {
        let got = rows(&engine, sql).await.unwrap();
        assert_ne!(got, ["0"], "{sql}");
    }
}
