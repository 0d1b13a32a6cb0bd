use crate::house::House;
use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use lake::{Clustering, Policy, Retention};
use medallion::{Advisor, Kind, TableRule, Upkeep, UpkeepSettings};
use model::LakeTable;
use runtime::{SystemClock, Tasks};
use std::{sync::Arc, time::Duration};

const ROWS: i64 = 200_000;
const PAYMENTS: &str = "silver.shop_payments";

/// Payments as they came: merchants all over the place, and a note that does not compress.
fn payments() -> Vec<RecordBatch> {
    let fields = [("id", DataType::Int64), ("merchant", DataType::Int64), ("note", DataType::Utf8)];
    let schema = Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec()));
    let note = |i: i64| {
        let mut z = i.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        format!("{z:016x}{:016x}", z.wrapping_mul(0x94D0_49BB_1331_11EB))
    };
    let batch = |from: i64| {
        let ids: Vec<i64> = (from..from + 20_000).collect();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.clone())),
            Arc::new(ids.iter().map(|i| (i * 7919) % 1000).collect::<Int64Array>()),
            Arc::new(ids.iter().map(|i| Some(note(*i))).collect::<StringArray>()),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows")
    };
    (0..ROWS).step_by(20_000).map(batch).collect()
}

async fn bytes_of(house: &House, sql: &str) -> u64 {
    use futures::StreamExt;
    let mut running = house.engine.query(query::QueryRequest::new(sql, "test")).await.expect("a query");
    while let Some(batch) = running.stream.next().await {
        batch.expect("rows");
    }
    running.counters.bytes_scanned()
}

async fn start(house: &House, settings: UpkeepSettings, tasks: &Tasks) -> (Upkeep, Advisor) {
    let clock = SystemClock::shared();
    let upkeep = Upkeep::start(settings, house.lake.clone(), house.catalog.clone(), clock.clone(), tasks);
    let (engine, lake, catalog) = (house.engine.clone(), house.lake.clone(), house.catalog.clone());
    let advisor = Advisor::start(engine, lake, catalog, upkeep.clone(), clock, tasks).await.expect("an advisor");
    (upkeep, advisor)
}

fn settings() -> UpkeepSettings {
    let always = Retention { all: Duration::from_secs(3600), ..Retention::default() };
    UpkeepSettings { policy: Policy { retention: always, ..Policy::default() }, ..UpkeepSettings::default() }
}

/// Waits until upkeep has done something to the table.
async fn rewritten(upkeep: &Upkeep, table: &LakeTable) {
    let done = async {
        let mut changes = upkeep.changes();
        while !upkeep.recent().iter().any(|run| run.table.as_ref() == Some(table) && run.step == "rewrite" && run.files_after > 0)
        {
            changes.changed().await.expect("upkeep is there");
        }
    };
    tokio::time::timeout(Duration::from_secs(120), done).await.expect("a rewrite");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advice_follows_the_queries_and_saves_what_it_says() {
    let house = House::new().await;
    house.put(PAYMENTS, payments()).await;
    let tasks = Tasks::default();
    let (upkeep, advisor) = start(&house, settings(), &tasks).await;
    assert!(advisor.advice().is_empty());
    let sql = format!("select count(*), max(note) from {PAYMENTS} where merchant = 417");
    let expected = house.rows(&sql).await;
    let mut before = 0;
    for _ in 0..5 {
        before = bytes_of(&house, &sql).await;
    }
    let advice = advisor.advice();
    assert_eq!(advice.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["silver.shop_payments:sort:merchant"]);
    assert_eq!(advice[0].queries, 6);
    let promised = advice[0].expected_bytes / 6;

    let unknown = advisor.apply("silver.shop_payments:sort:nope").await.expect_err("no such advice");
    assert_eq!(unknown.kind, Kind::UnknownAdvice);
    let table: LakeTable = PAYMENTS.parse().expect("a name");
    let applied = advisor.apply(&advice[0].id).await.expect("applied");
    assert_eq!(applied.rule.describe(), "sorted by merchant");
    rewritten(&upkeep, &table).await;
    assert_eq!(house.rows(&sql).await, expected);
    let after = bytes_of(&house, &sql).await;
    assert!(after * 4 < before, "{before} before, {after} after");
    assert!(after < promised * 2, "{promised} were promised, {after} are read");
    assert!(advisor.advice().is_empty(), "{:?}", advisor.advice());
    assert_eq!(tasks.shutdown(Duration::from_secs(10)).await, Vec::<String>::new());

    // What was applied, and what queries did, is still known after a restart.
    let tasks = Tasks::default();
    let (_upkeep, advisor) = start(&house, settings(), &tasks).await;
    let known = house.catalog.accesses(0).await.expect("sums");
    assert_eq!(known.len(), 1);
    assert!(advisor.applied().len() == 1 && advisor.advice().is_empty());
    assert!(advisor.take_back(&table).await.expect("taken back").is_some());
    assert_eq!(house.lake.declared(&table).0, None);
    assert!(house.catalog.layouts().await.expect("layouts").is_empty() && advisor.applied().is_empty());
    assert_eq!(advisor.advice().len(), 1, "now it is advised again");
    assert_eq!(tasks.shutdown(Duration::from_secs(10)).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_comes_before_what_is_advised() {
    let house = House::new().await;
    house.put(PAYMENTS, payments()).await;
    let tasks = Tasks::default();
    let by_id = Clustering::Sort(vec![("id".into(), false)]);
    let rule = TableRule { tables: "silver.*".to_owned(), layout: Some(by_id.clone()), ..TableRule::default() };
    let (upkeep, advisor) = start(&house, UpkeepSettings { rules: vec![rule], ..settings() }, &tasks).await;
    let table: LakeTable = PAYMENTS.parse().expect("a name");
    // A rule that is new is put into force by itself.
    rewritten(&upkeep, &table).await;
    assert_eq!(house.lake.declared(&table).0, Some(by_id));
    for _ in 0..5 {
        bytes_of(&house, &format!("select max(note) from {PAYMENTS} where note = 'x'")).await;
        bytes_of(&house, &format!("select max(note) from {PAYMENTS} where merchant = 417")).await;
    }
    let kinds: Vec<_> = advisor.advice().iter().map(medallion::Advice::kind).collect();
    assert!(!kinds.contains(&"sort") && !kinds.contains(&"zorder"), "{kinds:?}");
    assert_eq!(tasks.shutdown(Duration::from_secs(10)).await, Vec::<String>::new());
}
