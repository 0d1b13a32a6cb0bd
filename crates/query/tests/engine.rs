use crate::support::{Lake, batches, field, rows, schema, shop};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use futures::StreamExt;
use lake::HotBatch;
use query::{Kind, QueryRequest, QuerySettings, QueryState, from_rows};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// A query that would run for years.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b, generate_series(1, 1000) c \
                       WHERE a.value + b.value = c.value * 7919";

#[tokio::test]
async fn names_without_a_schema_find_gold_then_silver() {
    let engine = shop().await.engine();
    assert_eq!(rows(&engine, "SELECT sum(amount) FROM revenue").await.unwrap(), ["11"]);
    assert_eq!(rows(&engine, "SELECT count(*) FROM shop_orders").await.unwrap(), ["97"]);
    assert_eq!(rows(&engine, "SELECT count(*) FROM lakebox.silver.shop_orders").await.unwrap(), ["97"]);
    let tables = rows(&engine, "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2").await.unwrap();
    assert!(tables.contains(&"gold|revenue".to_owned()) && tables.contains(&"system|queries".to_owned()), "{tables:?}");
    assert!(!rows(&engine, "SHOW TABLES").await.unwrap().is_empty());
    assert_eq!(rows(&engine, "DESCRIBE silver.shop_orders").await.unwrap().len(), 4);
}

#[tokio::test]
async fn parameters_take_the_type_of_their_place() {
    let engine = shop().await.engine();
    let ask = |sql: &str, params: Vec<serde_json::Value>| {
        let request = QueryRequest { params, ..QueryRequest::new(sql, "test") };
        let engine = engine.clone();
        async move { batches(&engine, request).await.map(|b| b.iter().flat_map(crate::support::text).collect::<Vec<_>>()) }
    };
    let got = ask("SELECT id FROM shop_orders WHERE total = $1 OR id = $2 ORDER BY id", vec![json!("10.10"), json!(12)]).await;
    assert_eq!(got.unwrap(), ["10", "12"]);
    let got = ask("SELECT count(*) FROM shop_orders WHERE placed_at < $1", vec![json!("2023-11-14T22:13:25Z")]).await;
    assert_eq!(got.unwrap(), ["2"]);
    assert_eq!(ask("SELECT id FROM shop_orders WHERE id = $1", vec![]).await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(ask("SELECT id FROM shop_orders WHERE id = $1", vec![json!("x")]).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn max_rows_cuts_and_says_so() {
    let engine = shop().await.engine();
    for (max, expected, truncated) in [(10, 10, true), (97, 97, false), (96, 96, true), (0, 0, true), (1000, 97, false)] {
        let request = QueryRequest { max_rows: Some(max), ..QueryRequest::new("SELECT * FROM shop_orders", "test") };
        let mut running = engine.query(request).await.unwrap();
        let mut got = 0;
        while let Some(batch) = running.stream.next().await {
            got += batch.unwrap().num_rows();
        }
        assert_eq!((got, running.counters.truncated()), (expected, truncated), "max_rows {max}");
        assert_eq!(running.counters.rows(), expected as u64);
    }
}

#[tokio::test]
async fn a_query_tells_what_it_read_and_up_to_where() {
    let engine = shop().await.engine();
    let mut running = engine.query(QueryRequest::new("SELECT sum(total) FROM shop_orders", "test")).await.unwrap();
    assert_eq!(running.as_of[0].0, "shop");
    assert_eq!(running.as_of[0].1.display, "0/7");
    while running.stream.next().await.is_some() {}
    assert!(running.counters.bytes_scanned() > 0);
    let record = &engine.history()[0];
    assert_eq!((record.state, record.rows, record.client.as_str()), (QueryState::Done, 1, "test"));
    assert_eq!(record.bytes_scanned, running.counters.bytes_scanned());
}

#[tokio::test]
async fn cancelling_by_id_ends_a_query_and_is_recorded() {
    let engine = shop().await.engine();
    let request = QueryRequest { id: Some("mine".into()), ..QueryRequest::new(ENDLESS, "test") };
    let mut running = engine.query(request.clone()).await.unwrap();
    assert_eq!(engine.running()[0].id, "mine");
    assert_eq!(engine.query(request).await.unwrap_err().kind, Kind::Invalid, "one id, one query");
    assert!(engine.cancel("mine"));
    let end = running.stream.next().await.unwrap().unwrap_err();
    assert_eq!(end.kind, Kind::Cancelled);
    assert!(running.stream.next().await.is_none());
    assert!(!engine.cancel("mine"));
    assert_eq!((engine.running().len(), engine.history()[0].state), (0, QueryState::Cancelled));
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_query() {
    let engine = shop().await.engine();
    let running = engine.query(QueryRequest::new(ENDLESS, "test")).await.unwrap();
    drop(running);
    let gone = async {
        while !engine.running().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the query ends when nobody reads it");
}

#[tokio::test]
async fn a_query_ends_when_its_time_is_over() {
    let engine = shop().await.engine();
    let request = QueryRequest { timeout: Some(Duration::from_millis(300)), ..QueryRequest::new(ENDLESS, "test") };
    let error = batches(&engine, request).await.unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (Kind::Timeout, "the query took longer than 300 ms"));
    assert_eq!(engine.history()[0].state, QueryState::Failed);
}

#[tokio::test]
async fn a_sort_larger_than_memory_spills_and_one_without_disk_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let settings = |spill_bytes_max| QuerySettings {
        threads: 2,
        memory_bytes_max: 48 << 20,
        spill_bytes_max,
        spill_dir: Some(dir.path().to_owned()),
        ..QuerySettings::default()
    };
    let sql = "SELECT md5(value::text) AS pad, value FROM generate_series(1, 1200000) ORDER BY pad, value";
    let engine = shop().await.engine_with(settings(4 << 30));
    let mut running = engine.query(QueryRequest::new(sql, "test")).await.unwrap();
    let mut got = 0;
    let mut last = String::new();
    while let Some(batch) = running.stream.next().await {
        let batch = batch.unwrap();
        got += batch.num_rows();
        for pad in batch.column(0).as_any().downcast_ref::<StringArray>().unwrap().iter().flatten() {
            assert!(pad >= last.as_str());
            pad.clone_into(&mut last);
        }
    }
    assert_eq!(got, 1_200_000);
    assert!(running.counters.bytes_spilled() > 0);
    drop(running);

    let engine = shop().await.engine_with(settings(1 << 20));
    let error = batches(&engine, QueryRequest::new(sql, "test")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Memory, "{error}");
    assert_eq!(rows(&engine, "SELECT 1").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn no_more_queries_run_at_once_than_allowed() {
    let settings = QuerySettings { threads: 2, running_max: 1, waiting_max: 1, ..QuerySettings::default() };
    let engine = shop().await.engine_with(settings);
    let first = engine.query(QueryRequest::new(ENDLESS, "test")).await.unwrap();
    let waits = QueryRequest { id: Some("waits".into()), ..QueryRequest::new("SELECT 1", "test") };
    let mut second = Box::pin(engine.query(waits));
    assert!(futures::poll!(second.as_mut()).is_pending());
    let third = engine.query(QueryRequest::new("SELECT 1", "test")).await.unwrap_err();
    assert_eq!(third.kind, Kind::Busy);
    drop(first);
    let mut second = second.await.unwrap();
    assert_eq!(second.stream.next().await.unwrap().unwrap().num_rows(), 1);
}

#[tokio::test]
async fn a_light_query_passes_heavy_ones_that_wait_and_a_wait_has_an_end() {
    // Every scan is heavy; what reads no file is light.
    let wait_max = Duration::from_millis(300);
    let settings = QuerySettings { threads: 2, running_max: 2, light_bytes_max: 0, wait_max, ..QuerySettings::default() };
    let engine = shop().await.engine_with(settings);
    let heavy = format!("SELECT sum(id + n) FROM ({ENDLESS}) AS endless(n), silver.shop_orders WHERE id > 0");
    let _first = engine.query(QueryRequest::new(&heavy, "report")).await.unwrap();
    let waits = QueryRequest { id: Some("waits".into()), ..QueryRequest::new(&heavy, "report") };
    let mut second = Box::pin(engine.query(waits));
    let position = |id: &str| engine.running().iter().find(|q| q.id == id).and_then(|q| q.queue_position);
    while position("waits").is_none() {
        assert!(futures::poll!(second.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(position("waits"), Some(1));
    assert_eq!(rows(&engine, "SELECT 1").await.unwrap(), ["1"], "it does not wait behind the heavy one");
    let error = second.await.unwrap_err();
    assert_eq!(error.kind, Kind::Busy);
    assert!(error.message.contains("1 queries run") && error.hint.unwrap().contains("server.queue_wait"), "{}", error.message);
}

#[tokio::test]
async fn all_tables_of_a_statement_stand_at_one_moment() {
    // Two tables always hold the same number; the writer moves both at once, and no query may ever see them differ.
    let lake = Lake::default();
    let one = schema(vec![field("n", DataType::Int64, 101)]);
    let publish = |n: i64| {
        let hot = || {
            let rows = RecordBatch::try_new(Arc::clone(&one), vec![Arc::new(Int64Array::from(vec![n])) as ArrayRef]).unwrap();
            vec![HotBatch { rows, deleted: None }]
        };
        let next = Lake::default();
        next.put("silver.a", &one, vec![], hot());
        next.put("silver.b", &one, vec![], hot());
        let view = Arc::clone(&next.view.lock());
        *lake.view.lock() = view;
    };
    publish(0);
    let engine = lake.engine();
    for n in 1..60 {
        let asked = rows(&engine, "SELECT a.n - b.n, (SELECT n FROM b) - (SELECT max(n) FROM a) FROM a, b");
        let (got, ()) = tokio::join!(asked, async { publish(n) });
        assert_eq!(got.unwrap(), ["0|0"]);
    }
}

#[tokio::test]
async fn system_tables_describe_the_lake() {
    let lake = shop().await;
    let letters = schema(vec![field("transform", DataType::Utf8, 101), field("error", DataType::Utf8, 102)]);
    let column = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let batch = RecordBatch::try_new(Arc::clone(&letters), vec![column("mask"), column("trap")]).unwrap();
    let file = lake.file("dead", &batch, &[]).await;
    let engine = lake.engine();
    assert_eq!(rows(&engine, "SELECT count(*) FROM system.dead_letters").await.unwrap(), ["0"]);
    lake.put("bronze.shop__dead_letters", &letters, vec![file.clone()], vec![]);
    lake.put("bronze.crm__dead_letters", &letters, vec![file], vec![]);
    let dead = rows(&engine, "SELECT source, error FROM system.dead_letters ORDER BY source").await.unwrap();
    assert_eq!(dead, ["crm|trap", "shop|trap"]);
    let tables = rows(&engine, "SELECT table_name, rows, deleted_rows FROM system.tables WHERE table_schema = 'silver'").await;
    assert_eq!(tables.unwrap(), ["shop_orders|97|3"]);
    let columns = rows(&engine, "SELECT data_type FROM system.columns WHERE table_name = 'shop_orders' ORDER BY position").await;
    assert_eq!(columns.unwrap(), ["bigint", "text", "numeric(12,2)", "timestamp with time zone"]);
    assert_eq!(rows(&engine, "SELECT count(*) FROM system.files WHERE table_schema = 'gold'").await.unwrap(), ["1"]);
    let runs = rows(&engine, "SELECT state FROM system.queries WHERE query LIKE '%system.queries%'").await.unwrap();
    assert_eq!(runs, ["running"]);
    let schema = schema(vec![field("name", DataType::Utf8, 1)]);
    let of = Arc::clone(&schema);
    let table = from_rows("models", schema, move || {
        Ok(RecordBatch::try_new(Arc::clone(&of), vec![Arc::new(StringArray::from(vec!["daily"])) as ArrayRef]).unwrap())
    });
    engine.register_system_table(table);
    assert_eq!(rows(&engine, "SELECT name FROM system.models").await.unwrap(), ["daily"]);
    let tree = engine.schema_tree();
    assert!(tree.tables.iter().any(|t| t.schema == "system" && t.name == "models"));
    assert!(tree.functions.iter().any(|f| f == "date_trunc") && tree.functions.iter().any(|f| f == "json_get"));
}

#[tokio::test]
async fn common_sql_just_works() {
    let engine = shop().await.engine();
    for (sql, expected) in [
        ("SELECT 0.1 + 0.2", "0.3"),
        (r#"SELECT '{"a": {"b": 2}}' ->> 'a'"#, r#"{"b": 2}"#),
        (r#"SELECT '{"a": {"b": 2}}' -> 'a' -> 'b'"#, "2"),
        ("SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM shop_orders", "51.0"),
        ("SELECT round(avg(total), 2) FROM shop_orders", "51.48"),
        ("SELECT total::double precision / 2 FROM shop_orders WHERE id = 10", "5.05"),
        ("SELECT date_trunc('day', placed_at)::date FROM shop_orders LIMIT 1", "2023-11-14"),
        ("SELECT power(2, 0.5) > 1.41", "true"),
        ("SELECT count(*) FILTER (WHERE customer IS NULL) FROM shop_orders", "15"),
        ("SELECT id = ANY(ARRAY[1, 2, 10]) FROM shop_orders WHERE id = 10", "true"),
        ("SELECT current_database()", "lakebox"),
        ("WITH t AS (SELECT 1 AS shop_orders) SELECT * FROM t", "1"),
    ] {
        let got = rows(&engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(got, [expected], "{sql}");
    }
}
