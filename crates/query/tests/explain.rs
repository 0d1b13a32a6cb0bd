//! What people read of a plan, and what a statement would cost.

use crate::support::{batches, rows, shop};
use query::{Kind, QueryRequest, QuerySettings};

#[tokio::test]
async fn explain_shows_a_tree_with_expected_rows_and_bytes() {
    let engine = shop().await.engine();
    let plan = rows(
        &engine,
        "EXPLAIN SELECT customer, sum(total) FROM silver.shop_orders WHERE id > 10 GROUP BY customer ORDER BY 2 DESC LIMIT 3",
    )
    .await
    .unwrap();
    let text = plan.join("\n");
    for part in [
        "expected rows",
        "Sort by",
        "keep the first 3",
        "└ Aggregate sum(",
        "by customer",
        "└ Scan silver.shop_orders",
        "looks for id > 10",
        "1 of 1 files",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("Exec") && !text.contains('@'), "{text}");
    assert!(plan[0].starts_with("reads about "), "{text}");
}

#[tokio::test]
async fn explain_analyze_runs_the_query_and_says_where_rows_and_bytes_went() {
    let engine = shop().await.engine();
    let text = rows(&engine, "EXPLAIN ANALYZE SELECT count(*) FROM silver.shop_orders WHERE id >= 50").await.unwrap().join("\n");
    assert!(text.starts_with("1 rows in "), "{text}");
    for part in ["time  share         rows      read  step", "Scan silver.shop_orders", "of 7 row groups"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let scan = text.lines().find(|l| l.contains("Scan silver")).unwrap();
    assert!(!scan.contains("  0 B  "), "bytes are counted: {text}");
}

#[tokio::test]
async fn explain_takes_parameters_and_verbose_stays_the_engines_own() {
    let engine = shop().await.engine();
    let request =
        QueryRequest { params: vec![7.into()], ..QueryRequest::new("EXPLAIN SELECT * FROM shop_orders WHERE id = $1", "test") };
    let got = batches(&engine, request).await.unwrap();
    assert_eq!(got[0].schema().field(0).name(), "QUERY PLAN");
    let own = rows(&engine, "EXPLAIN VERBOSE SELECT * FROM shop_orders").await.unwrap().join("\n");
    assert!(own.contains("physical_plan") && own.contains("DataSourceExec"), "{own}");
    assert_eq!(rows(&engine, "EXPLAIN SELECT * FROM shop_order").await.unwrap_err().kind, Kind::UnknownTable);
}

#[tokio::test]
async fn a_dry_run_tells_bytes_of_the_needed_columns_and_what_they_cost() {
    let lake = shop().await;
    let engine = lake.engine_with(QuerySettings { price_per_tb: 1e12, ..QuerySettings::default() });
    let all = engine
        .estimate(QueryRequest::new("SELECT * FROM silver.shop_orders o JOIN gold.revenue r ON r.amount = o.id", "test"))
        .await
        .unwrap();
    let mut tables: Vec<&str> = all.scans.iter().map(|s| s.table.as_str()).collect();
    tables.sort_unstable();
    assert_eq!(tables, ["gold.revenue", "silver.shop_orders"]);
    assert_eq!((all.files(), all.files_total()), (2, 2));
    assert!((all.cost_usd - all.bytes() as f64).abs() < 1e-6 && all.bytes() > 0, "{all:?}");
    assert_eq!(all.schema.fields().len(), 6);
    let none = engine.estimate(QueryRequest::new("SELECT * FROM silver.shop_orders WHERE id > 1000", "test")).await.unwrap();
    assert_eq!((none.bytes(), none.files()), (0, 0), "bounds rule the file out");
    let wrong = engine.estimate(QueryRequest::new("SELECT nothing FROM silver.shop_orders", "test")).await.unwrap_err();
    assert_eq!(wrong.kind, Kind::UnknownColumn);
    assert!(engine.history().is_empty(), "nothing ran");
}

#[tokio::test]
async fn a_query_that_reads_more_than_it_may_is_ended_with_the_limit_named() {
    let engine = shop().await.engine_with(QuerySettings { bytes_scanned_max: 10, ..QuerySettings::default() });
    // Reads the table and then goes on for years.
    let sql = "SELECT count(*) FROM (SELECT max(total) m FROM shop_orders) o, generate_series(1, 1000000) a, generate_series(1, 1000000) b \
               WHERE a.value * b.value = o.m + 7919.5";
    let error = rows(&engine, sql).await.unwrap_err();
    assert_eq!(error.kind, Kind::ScanLimit, "{error}");
    assert!(error.hint.unwrap().contains("server.query_scan_max"));
    assert_eq!(rows(&engine, "SELECT count(*) FROM shop_orders").await.unwrap(), ["97"], "counting reads nothing");
}
