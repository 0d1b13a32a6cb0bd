//! The bundled example's models and queries, over the simulated bank that they are written for.

use crate::house::{House, is_ok, until};
use arrow::array::RecordBatch;
use pipeline::{Event, Source};
use runtime::Tasks;
use source_simulator::{SimulatorConfig, SimulatorSource};
use std::{collections::BTreeMap, path::Path, time::Duration};

fn demo() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lakebox/demo")
}

/// The first copy of a small bank, by table.
async fn bank() -> BTreeMap<String, Vec<RecordBatch>> {
    let config = SimulatorConfig { customers: 300, ..SimulatorConfig::default() };
    let mut source = SimulatorSource::new(config, runtime::SystemClock::shared());
    source.open(None).await.expect("a bank");
    let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    loop {
        match source.next().await.expect("an event") {
            Event::Rows(batch) => tables.entry(batch.schema().id.name.clone()).or_default().push(batch.rows().clone()),
            Event::Boundary(_) => return tables,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_model_and_query_of_the_example_works_and_the_ledger_sums_to_zero() {
    let house = House::new().await;
    for (table, rows) in bank().await {
        let data: Vec<usize> = (0..rows[0].num_columns() - model::CHANGE_COLUMNS.len()).collect();
        let silver = rows.iter().map(|batch| batch.project(&data).expect("data columns")).collect();
        house.put(&format!("silver.bank_{table}"), silver).await;
        house.put(&format!("bronze.bank_{table}"), rows).await;
    }
    let tasks = Tasks::default();
    let models = house.models_in(&demo().join("models"), &tasks).await;
    assert!(models.problems().is_empty(), "{:?}", models.problems());
    let names: Vec<_> = models.status().into_iter().map(|s| s.name).collect();
    assert!(names.len() >= 4, "{names:?}");
    until("all models are made", &models, |s| names.iter().all(|name| is_ok(s, name))).await;
    for status in models.status() {
        assert!(status.rows > 0, "{} has no rows", status.name);
        assert!(!status.description.is_empty(), "{} says nothing of itself", status.name);
    }
    let off = house.rows("select count(*), sum(balance) from gold.ledger_balance where difference <> 0").await;
    assert_eq!(off[0][0], "0");
    assert_eq!(house.rows("select sum(balance) from gold.ledger_balance").await, [["0.00"]]);
    assert_eq!(house.rows("select sum(amount) from silver.bank_ledger").await, [["0.00"]]);

    let text = std::fs::read_to_string(demo().join("queries.json")).expect("the example's queries");
    let queries: Vec<serde_json::Value> = serde_json::from_str(&text).expect("queries.json is a list");
    for query in queries {
        let (name, sql) = (query["name"].as_str().expect("a name"), query["query"].as_str().expect("a query"));
        let rows = house.rows(sql).await;
        assert!(!rows.is_empty() || name.contains("as they arrived"), "{name} has no rows");
    }
    assert_eq!(tasks.shutdown(Duration::from_secs(10)).await, Vec::<String>::new());
}
