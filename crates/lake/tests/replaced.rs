use crate::{
    outside,
    world::{World, sorted},
};
use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::SchemaRef,
};
use futures::StreamExt;
use lake::{Kind, ReplaceOptions, SendableBatches};
use model::{LakeTable, Layer};
use serde_json::json;
use std::sync::Arc;

fn batch(ids: &[i64]) -> RecordBatch {
    let names: StringArray = ids.iter().map(|i| Some(format!("n{i}"))).collect();
    RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef), ("name", Arc::new(names))]).unwrap()
}

fn stream(batches: Vec<RecordBatch>) -> SendableBatches {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}

fn options(schema: SchemaRef, sort: &[(&str, bool)]) -> ReplaceOptions {
    ReplaceOptions {
        schema,
        key: Vec::new(),
        sort_order: sort.iter().map(|(c, d)| ((*c).to_owned(), *d)).collect(),
        summary: [("lakebox.inputs".to_owned(), "silver.shop_orders".to_owned())].into(),
        writer: Some("revenue".into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_swaps_content_and_columns_at_once_and_is_sorted_as_declared() {
    let world = World::new().await;
    let table = LakeTable::new(Layer::Gold, "revenue");
    let first = batch(&[3, 1, 2]);
    let done = world
        .lake
        .replace(table.clone(), stream(vec![first.clone(), batch(&[9, 7])]), options(first.schema(), &[("id", true)]))
        .await
        .unwrap();
    assert_eq!((done.rows, done.files), (5, 1));
    let view = world.lake.view();
    assert_eq!(view.tables[&table].sort_order, [("id".to_owned(), true)]);
    let info = world.lake.info(&table).unwrap();
    let (rows, _) = outside::read("pyiceberg", &info.metadata_location, &[]);
    assert_eq!(rows.len(), 5);

    let wider = RecordBatch::try_from_iter([
        ("name", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ("id", Arc::new(Int32Array::from(vec![4])) as ArrayRef),
    ])
    .unwrap();
    world.lake.replace(table.clone(), stream(vec![wider.clone()]), options(wider.schema(), &[])).await.unwrap();
    assert_eq!(view.tables[&table].live_rows(), 5, "a query that began before keeps its view");
    let info = world.lake.info(&table).unwrap();
    for reader in outside::READERS {
        assert_eq!(outside::read(reader, &info.metadata_location, &[]), (vec![json!(["x", 4])], 1), "{reader}");
    }
    assert_eq!(info.writer.as_deref(), Some("revenue"));
    assert_eq!(info.snapshots[0].summary["lakebox.inputs"], "silver.shop_orders");

    world.lake.replace(table.clone(), stream(vec![]), options(wider.schema(), &[])).await.unwrap();
    let state = world.lake.tables().state(&table).unwrap();
    assert_eq!(state.view().live_rows(), 0);
    for reader in outside::READERS {
        assert_eq!(sorted(outside::read(reader, state.metadata_location(), &[]).0), Vec::<serde_json::Value>::new(), "{reader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_half_way_leaves_the_table_as_it_was() {
    let world = World::new().await;
    let table = LakeTable::new(Layer::Gold, "revenue");
    let rows = batch(&[1]);
    world.lake.replace(table.clone(), stream(vec![rows.clone()]), options(rows.schema(), &[])).await.unwrap();
    let before = world.lake.info(&table).unwrap();
    let failing: SendableBatches = futures::stream::iter([Ok(batch(&[2])), Err("division by zero".into())]).boxed();
    let error = world.lake.replace(table.clone(), failing, options(rows.schema(), &[])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Schema);
    assert!(error.message.contains("division by zero") && error.message.contains("gold.revenue"), "{error}");
    assert_eq!(world.lake.info(&table).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn former_contents_of_a_replaced_table_are_collected() {
    let world = World::new().await;
    let table = LakeTable::new(Layer::Gold, "revenue");
    for i in 0..40 {
        let rows = batch(&[i, i + 1]);
        world.lake.replace(table.clone(), stream(vec![rows.clone()]), options(rows.schema(), &[])).await.unwrap();
    }
    let data = std::fs::read_dir(world.dir.path().join("lake/gold/revenue/data")).unwrap().count();
    assert!(data <= 16, "{data} data files are left of 40 replacements");
    let state = world.lake.tables().state(&table).unwrap();
    let (rows, _) = outside::read("duckdb", state.metadata_location(), &["id"]);
    assert_eq!(rows, vec![json!([39]), json!([40])]);
}
