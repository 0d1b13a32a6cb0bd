use crate::house::{House, is_ok, one, until};
use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use medallion::{Kind, RunningState};
use runtime::Tasks;
use std::{sync::Arc, time::Duration};

const ORDERS: &str = "silver.shop_orders";

fn orders(rows: &[(i64, &str, i64)]) -> Vec<RecordBatch> {
    let fields = [("id", DataType::Int64), ("city", DataType::Utf8), ("amount", DataType::Int64)];
    let schema = Schema::new(fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect::<Vec<_>>());
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>()),
    ];
    vec![RecordBatch::try_new(Arc::new(schema), columns).expect("rows")]
}

const CITIES: &str = "{{ config(description='Orders by city', sort_order=['amount desc']) }}\n\
    select city, sum(amount) as amount from {{ source('shop', 'orders') }} group by city";

const TOTAL: &str = "select count(*) as cities, sum(amount) as amount from {{ ref('cities') }}";

async fn stop(tasks: Tasks) {
    assert_eq!(tasks.shutdown(Duration::from_secs(10)).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_follow_the_tables_that_they_read() {
    let house = House::new().await;
    house.write_model("cities", CITIES);
    house.write_model("total", TOTAL);
    let tasks = Tasks::default();
    let models = house.models(&tasks).await;
    let status = until("the models wait", &models, |s| one(s, "cities").note.is_some()).await;
    assert_eq!(one(&status, "cities").note.as_deref(), Some("it reads silver.shop_orders, which is not there yet"));

    house.put(ORDERS, orders(&[(1, "Oslo", 5), (2, "Riga", 7), (3, "Oslo", 4)])).await;
    let status = until("both are made", &models, |s| is_ok(s, "cities") && is_ok(s, "total")).await;
    assert_eq!(house.rows("select * from gold.cities").await, [["Oslo", "9"], ["Riga", "7"]]);
    assert_eq!(house.rows("select * from gold.total").await, [["2", "16"]]);
    let cities = one(&status, "cities");
    assert_eq!((cities.rows, cities.description.as_str(), cities.schedule.as_str()), (2, "Orders by city", "on commit"));

    house.put(ORDERS, orders(&[(1, "Oslo", 5)])).await;
    until("both are made again", &models, |s| one(s, "total").rows == 1 && one(s, "cities").rows == 1 && is_ok(s, "total")).await;
    let total_is_one = async {
        let mut changes = models.changes();
        while house.rows("select * from gold.total").await != [["1", "5"]] {
            changes.changed().await.expect("the models are there");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), total_is_one).await.expect("the second total");
    let runs = models.runs("total", 10).await.expect("runs");
    assert!(runs.len() >= 2 && runs.iter().all(|r| r.trigger == "commit"), "{runs:?}");
    stop(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_model_keeps_its_rows_and_holds_back_only_what_reads_it() {
    let house = House::new().await;
    house.put(ORDERS, orders(&[(1, "Oslo", 5), (2, "Riga", 7)])).await;
    house.write_model("cities", CITIES);
    house.write_model("total", TOTAL);
    house.write_model("alone", "select max(id) as id from {{ source('shop', 'orders') }}");
    let tasks = Tasks::default();
    let models = house.models(&tasks).await;
    until("all are made", &models, |s| ["cities", "total", "alone"].iter().all(|m| is_ok(s, m))).await;

    house.write_model("cities", &CITIES.replace("sum(amount)", "sum(no_such_column)"));
    models.reload().await.expect("a reload");
    until("cities fails", &models, |s| one(s, "cities").state == RunningState::Failed).await;
    house.put(ORDERS, orders(&[(9, "Oslo", 1)])).await;
    let status = until("alone goes on", &models, |s| one(s, "alone").rows == 1 && is_ok(s, "alone")).await;
    assert!(one(&status, "cities").note.as_deref().is_some_and(|n| n.contains("no_such_column")), "{status:#?}");
    assert!(
        one(&status, "total").note.as_deref().is_some_and(|n| n.contains("`cities`, which it reads, has failed")),
        "{status:#?}"
    );
    assert_eq!(house.rows("select * from gold.total").await, [["2", "12"]]);
    assert_eq!(house.rows("select * from gold.cities").await, [["Riga", "7"], ["Oslo", "5"]]);

    house.write_model("cities", CITIES);
    models.reload().await.expect("a reload");
    until("cities is mended", &models, |s| is_ok(s, "cities") && one(s, "cities").rows == 1 && one(s, "total").note.is_none())
        .await;
    stop(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_runs_only_what_has_moved_or_changed() {
    let house = House::new().await;
    house.put(ORDERS, orders(&[(1, "Oslo", 5)])).await;
    house.write_model("cities", CITIES);
    house.write_model("alone", "select 1 as x");
    let tasks = Tasks::default();
    let models = house.models(&tasks).await;
    until("both are made", &models, |s| is_ok(s, "cities") && is_ok(s, "alone")).await;
    stop(tasks).await;

    house.write_model("alone", "select 2 as x");
    let tasks = Tasks::default();
    let models = house.models(&tasks).await;
    until("the changed one is made", &models, |s| is_ok(s, "alone")).await;
    while house.rows("select x from gold.alone").await != [["2"]] {
        tokio::task::yield_now().await;
    }
    assert_eq!(models.runs("cities", 10).await.expect("runs").len(), 1);
    stop(tasks).await;

    house.put(ORDERS, orders(&[(1, "Oslo", 6)])).await;
    let tasks = Tasks::default();
    let models = house.models(&tasks).await;
    let made_again = async {
        let mut changes = models.changes();
        while house.rows("select amount from gold.cities").await != [["6"]] {
            changes.changed().await.expect("the models are there");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), made_again).await.expect("cities is made again");
    stop(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manual_models_run_when_asked_and_mistakes_are_told() {
    let house = House::new().await;
    house.write_model("by_hand", "{{ config(schedule='manual') }} select 1 as x");
    house.write_model("wrong", "select\n* from {{ ref('by_hands') }}");
    house.write_model("unsorted", "{{ config(schedule='manual', sort_order=['y']) }} select 1 as x");
    let tasks = Tasks::default();
    let models = house.models(&tasks).await;
    assert_eq!(models.status().iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["by_hand", "unsorted", "wrong"]);
    let unknown = models.request("nobody").expect_err("no such model");
    assert_eq!((unknown.kind, unknown.to_string()), (Kind::UnknownModel, "there is no model `nobody`".to_owned()));
    let broken = models.request("wrong").expect_err("a broken model");
    assert_eq!(broken.kind, Kind::BrokenModel);
    assert!(broken.to_string().ends_with("wrong.sql:2: there is no model `by_hands`; did you mean `by_hand`?"), "{broken}");
    models.request("by_hand").expect("a model");
    models.request("unsorted").expect("a model");
    let status =
        until("both have run", &models, |s| is_ok(s, "by_hand") && one(s, "unsorted").state == RunningState::Failed).await;
    assert_eq!(one(&status, "by_hand").last_run.as_ref().map(|r| r.trigger.as_str()), Some("request"));
    assert!(one(&status, "unsorted").note.is_some(), "{status:#?}");
    house.remove_model("wrong");
    models.reload().await.expect("a reload");
    assert!(models.problems().is_empty());
    stop(tasks).await;
}
