//! How tables are laid out, as queries feel it: bloom filters, partitions, and what is noted of queries.

use crate::disk::OnDisk;
use ::lake::{FileSettings, ReplaceOptions, Thresholds};
use arrow::{
    array::{ArrayRef, BinaryArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{Field, Schema, SchemaRef},
};
use model::LakeTable;
use query::FilterKind;
use runtime::CancellationToken;
use std::{collections::BTreeMap, ops::Deref, sync::Arc};

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

const ROWS: i64 = 8000;

/// A row for each number below [`ROWS`], in an order without order, with the number in many types.
fn numbers() -> RecordBatch {
    let all: Vec<i64> = (0..ROWS).map(|i| (i * 7919) % ROWS).collect();
    let decimals = |precision, scale| {
        let values = all.iter().map(|k| Some(i128::from(*k) * 100)).collect::<Decimal128Array>();
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("word", Arc::new(all.iter().map(|k| Some(format!("user-{k}"))).collect::<StringArray>())),
        ("long", Arc::new(all.iter().map(|k| k * 1_000_003).collect::<Int64Array>())),
        ("short", Arc::new(all.iter().map(|k| *k as i32 * 2).collect::<Int32Array>())),
        ("price", decimals(12, 2)),
        ("huge", decimals(38, 2)),
        ("raw", Arc::new(all.iter().map(|k| Some(k.to_be_bytes())).collect::<BinaryArray>())),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect()).unwrap()
}

fn options(schema: SchemaRef) -> ReplaceOptions {
    ReplaceOptions { schema, key: Vec::new(), sort_order: Vec::new(), summary: BTreeMap::new(), writer: None }
}

impl World {
    async fn replace(&self, table: &LakeTable, batch: RecordBatch) {
        let options = options(batch.schema());
        self.lake.replace(table.clone(), Box::pin(futures::stream::iter([Ok(batch)])), options).await.unwrap();
    }

    /// How many row groups a query reads, of how many.
    async fn row_groups(&self, sql: &str) -> (usize, usize) {
        let text = self.ask(&format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
        let before = text.split(" row groups").next().unwrap_or_else(|| panic!("{text}"));
        let mut words = before.rsplit([' ', ',']);
        let all = words.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}"));
        (words.nth(1).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}")), all)
    }
}

#[tokio::test]
async fn bloom_filters_find_the_row_groups_of_single_values_of_every_type() {
    let world = world().await;
    let table: LakeTable = "gold.numbers".parse().unwrap();
    world.replace(&table, numbers().slice(0, 10)).await;
    let bloom = numbers().schema().fields().iter().map(|f| f.name().clone()).collect();
    let files = FileSettings { bloom, row_group_rows: Some(1000), page_rows: Some(200), ..FileSettings::default() };
    world.lake.set_file_settings(&table, &files).await.unwrap();
    // What a model writes is as asked for at once, and what upkeep rewrites is as well.
    world.replace(&table, numbers()).await;
    let stop = CancellationToken::new();
    let rewritten = world.lake.rewrite_files(&table, &Thresholds::default(), true, &stop).await.unwrap();
    assert!(!rewritten.anything(), "{rewritten:?}");
    for (condition, found) in [
        ("word = 'user-4711'", 1),
        ("word = 'user-4711x'", 0),
        ("long = 4711014133", 1),
        ("long = 4711014134", 0),
        ("short = 9422", 1),
        ("short = 9423", 0),
        ("price = 4711.00", 1),
        ("price = 4711.50", 0),
        ("huge = 4711.00", 1),
        ("huge = 4711.50", 0),
        ("raw = x'0000000000001267'", 1),
        ("raw = x'0000000000001267ff'", 0),
        ("word IN ('user-1', 'user-2', 'none')", 2),
        ("word = 'user-1' AND price = 1.00", 1),
    ] {
        let count = world.ask(&format!("SELECT count(word) FROM gold.numbers WHERE {condition}")).await;
        assert_eq!(count, [found.to_string()], "{condition}");
        let (read, all) = world.row_groups(&format!("SELECT word, long FROM gold.numbers WHERE {condition}")).await;
        // One false answer in a hundred, of eight row groups: one more than needed is bad luck, two are not.
        assert!(all == 8 && read <= found + 1, "{condition}: {read} of {all}");
    }
    // The filters spare nothing that a range asks for, and every row is there.
    assert_eq!(world.ask("SELECT count(*), min(short), max(short) FROM gold.numbers WHERE long >= 0").await, ["8000|0|15998"]);
    for refused in ["nope", "at"] {
        let files = FileSettings { bloom: vec![refused.into()], ..FileSettings::default() };
        assert_eq!(world.lake.set_file_settings(&table, &files).await.unwrap_err().kind, ::lake::Kind::Schema);
    }
    world.lake.set_file_settings(&table, &FileSettings::default()).await.unwrap();
    assert!(
        !world.lake.rewrite_files(&table, &Thresholds::default(), true, &stop).await.unwrap().anything(),
        "what is asked for no more may stay"
    );
    assert!(world.row_groups("SELECT word FROM gold.numbers WHERE short = 9423").await.0 <= 1);
}

#[tokio::test]
async fn what_queries_do_to_tables_is_noted() {
    let world = world().await;
    let table: LakeTable = "gold.numbers".parse().unwrap();
    world.replace(&table, numbers()).await;
    assert!(world.engine.take_accesses().is_empty());
    world.ask("SELECT max(word) FROM gold.numbers WHERE short >= 8000 AND word = 'user-4711'").await;
    world.ask("SELECT max(word) FROM gold.numbers WHERE word IN ('user-1', 'user-2') AND short > 3998").await;
    world.ask("SELECT count(DISTINCT word) FROM gold.numbers").await;
    world.ask("EXPLAIN SELECT max(word) FROM gold.numbers").await;
    world.ask("SELECT 1").await;
    let noted = world.engine.take_accesses();
    let kinds: Vec<_> = noted.iter().map(|(kind, sum)| (kind.table.as_str(), kind.columns.clone(), sum.queries)).collect();
    let both = vec![("short".to_owned(), FilterKind::Range), ("word".to_owned(), FilterKind::Equality)];
    assert_eq!(kinds, [("gold.numbers", vec![], 1), ("gold.numbers", both, 2)]);
    let sum = &noted[1].1;
    // One half and three quarters of the numbers; of the rest one row in eight thousand, and none.
    assert!((sum.shares[0] - 1.25).abs() < 0.01 && sum.shares[1] < 0.001, "{sum:?}");
    assert!(sum.read_bytes > 0 && sum.full_bytes >= sum.read_bytes, "{sum:?}");
    assert!(noted[0].1.shares.is_empty() && world.engine.take_accesses().is_empty());
}

#[tokio::test]
async fn partitions_leave_files_out() {
    let world = world().await;
    let table: LakeTable = "gold.numbers".parse().unwrap();
    let batch = numbers();
    let options = options(batch.schema());
    let by = ["bucket(8, long)", "truncate(6, word)"].map(|f| f.parse().unwrap());
    let rows = Box::pin(futures::stream::iter([Ok(batch)]));
    world.lake.replace_partitioned(table, rows, options, &by).await.unwrap();
    let files = |text: String| -> (usize, usize) {
        let before = text.split(" files").next().unwrap();
        let mut words = before.rsplit([' ', ',']);
        let all = words.next().unwrap().parse().unwrap();
        (words.nth(1).unwrap().parse().unwrap(), all)
    };
    let total = files(world.ask("EXPLAIN SELECT * FROM gold.numbers").await.join("\n")).1;
    assert!(total >= 8 * 9, "{total} files");
    for k in [0_i64, 1, 4711, 7999] {
        let condition = format!("long = {}", k * 1_000_003);
        assert_eq!(world.ask(&format!("SELECT word FROM gold.numbers WHERE {condition}")).await, [format!("user-{k}")]);
        let (read, _) = files(world.ask(&format!("EXPLAIN SELECT * FROM gold.numbers WHERE {condition}")).await.join("\n"));
        assert!(read <= total / 8, "{read} of {total} files");
    }
    let both = "SELECT count(*) FROM gold.numbers WHERE long IN (1000003, 2000006, 3)";
    assert_eq!(world.ask(both).await, ["2"]);
    // No file has this bucket and these bounds, or the file that has it does not hold the value.
    assert_eq!(world.ask("SELECT count(*) FROM gold.numbers WHERE long = 4").await, ["0"]);
    assert_eq!(world.ask("SELECT count(*) FROM gold.numbers WHERE word LIKE 'user-7%'").await, ["1111"]);
    assert_eq!(world.ask("SELECT count(*), count(DISTINCT long) FROM gold.numbers WHERE long <> 0").await, ["7999|7999"]);
}
