//! Rewrites, expiry and orphans, as every engine sees them.

use crate::{
    outside,
    world::{World, check_outside, schema, write},
};
use arrow::datatypes::{DataType, Field, Schema};
use lake::{Clustering, Done, Retention, TableChange, TableSpec, Thresholds, with_field_id};
use model::{LakeTable, Layer};
use runtime::CancellationToken;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

fn ids(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

async fn rewrite_all(world: &World, thresholds: &Thresholds) -> Done {
    world.lake.rewrite_files(&world.table, thresholds, true, &CancellationToken::new()).await.unwrap()
}

const NOTHING: Retention = Retention { all: Duration::ZERO, hourly: Duration::ZERO, daily: Duration::ZERO };

fn on_disk(world: &World, part: &str) -> BTreeSet<String> {
    let directory = world.dir.path().join("lake").join("silver/shop_orders").join(part);
    std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_folds_small_files_and_deletes_and_all_engines_read_the_same() {
    let mut world = World::new().await;
    for i in 0..12 {
        world.commit(&[ids(i * 100 + 1..i * 100 + 101)], &(i * 100 - 30..i * 100).step_by(3).collect::<Vec<_>>()).await;
    }
    let before = world.expected_rows();
    let done = rewrite_all(&world, &Thresholds::default()).await;
    assert_eq!((done.files_before, done.files_after, done.rows), (12, 1, before.len() as u64));
    assert_eq!(done.deleted_rows, 1200 - before.len() as u64);
    let state = world.lake.tables().state(&world.table).unwrap();
    assert_eq!(state.view().live_rows(), before.len() as u64);
    let info = world.lake.info(&world.table).unwrap();
    assert_eq!(info.files.len(), 1, "delete files are gone with the rows that they hid: {:?}", info.files);
    assert_eq!(info.snapshots[0].operation, "replace");
    check_outside(state.metadata_location(), &before);
    assert_eq!(rewrite_all(&world, &Thresholds::default()).await, Done::default(), "nothing is left to be done");
    drop(state);
    let world = world.reopen().await;
    let state = world.lake.tables().state(&world.table).unwrap();
    check_outside(state.metadata_location(), &before);
}

/// ClickHouse 120833: a rewrite after a delete and an added column made the table unreadable.
#[tokio::test(flavor = "multi_thread")]
async fn anchor_8_a_rewrite_after_deletes_and_an_added_column_is_read_alike_by_all() {
    let mut world = World::new().await;
    world.commit(&[ids(1..200), ids(200..300)], &[]).await;
    world.commit(&[], &[3, 5, 250]).await;
    let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(with_field_id(&Field::new("added", DataType::Utf8, true), 113));
    let mut change = world.change(&[], &[7, 201]);
    change.spec = Some(TableSpec { schema: Arc::new(Schema::new(fields)), key: vec!["id".to_owned()], sort_order: Vec::new() });
    world.lake.commit(vec![change], None).await.unwrap();
    let with_added = |row: Value| {
        let mut row = row.as_array().unwrap().clone();
        row.push(Value::Null);
        Value::from(row)
    };
    let expected: Vec<Value> = world.expected_rows().into_iter().map(with_added).collect();
    let done = rewrite_all(&world, &Thresholds::default()).await;
    assert_eq!((done.files_before, done.files_after, done.deleted_rows), (2, 1, 5));
    let state = world.lake.tables().state(&world.table).unwrap();
    check_outside(state.metadata_location(), &expected);
    let world = world.reopen().await;
    check_outside(world.lake.tables().state(&world.table).unwrap().metadata_location(), &expected);
}

/// risingwave 26990: commits kept manifests that named nothing live.
#[tokio::test(flavor = "multi_thread")]
async fn anchor_9_no_manifest_outlives_what_it_names() {
    let mut world = World::new().await;
    for round in 0..4i64 {
        for i in 0..10 {
            let from = 1 + round * 1000 + i * 100;
            world.commit(&[ids(from..from + 100)], &[from - 2, from - 50]).await;
        }
        rewrite_all(&world, &Thresholds::default()).await;
        world.find_places().await;
        world.lake.merge_manifests(&world.table).await.unwrap();
        world.lake.expire_snapshots(&world.table, &NOTHING).await.unwrap();
        let metadata = on_disk(&world, "metadata");
        let of = |end: &str| metadata.iter().filter(|n| n.ends_with(end)).count();
        // A list, a manifest of data, and at most one that tells which delete files the last snapshot removed.
        assert!(of(".avro") <= 3, "round {round}: {metadata:?}");
        assert_eq!(on_disk(&world, "data").len(), 1, "round {round}");
        assert!(of(".metadata.json") <= 21);
    }
    check_outside(world.lake.tables().state(&world.table).unwrap().metadata_location(), &world.expected_rows());
    assert_eq!(world.lake.remove_orphans(Duration::ZERO).await.unwrap().files, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_come_while_files_are_rewritten_are_not_lost_and_a_file_that_left_stops_the_rewrite() {
    let mut world = World::new().await;
    world.commit(&[ids(1..100), ids(100..200)], &[]).await;
    let lake = world.lake.clone();
    let table = world.table.clone();
    // The rewrite reads while commits go on; whichever comes first, no row is lost and none comes back.
    for round in 0..10 {
        let thresholds = Thresholds::default();
        let (lake, table) = (lake.clone(), table.clone());
        let rewriting = async move { lake.rewrite_files(&table, &thresholds, true, &CancellationToken::new()).await };
        let deleted = [round * 7 + 1, round * 9 + 2, round * 5 + 120];
        let change = world.change(&[ids(1000 + round * 10..1010 + round * 10)], &deleted);
        let committing = world.lake.commit(vec![change], None);
        let (rewritten, committed) = tokio::join!(rewriting, committing);
        committed.unwrap();
        rewritten.map(drop).unwrap_or_else(|error| assert_eq!(error.kind, lake::Kind::Conflict, "{error}"));
        let state = world.lake.tables().state(&world.table).unwrap();
        assert_eq!(state.view().live_rows(), world.expected_rows().len() as u64, "round {round}");
        // What the oracle knows of places is out of date after a rewrite, so it starts anew from what is there.
        world.find_places().await;
    }
    check_outside(world.lake.tables().state(&world.table).unwrap().metadata_location(), &world.expected_rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_laid_out_as_declared_however_many_there_are() {
    let mut world = World::new().await;
    let mixed: Vec<i64> = (0..60_000).map(|i| (i * 7919) % 60_000 + 1).collect();
    for part in mixed.chunks(6000) {
        world.commit(&[part.to_vec()], &[]).await;
    }
    let by_id = Clustering::Sort(vec![("id".into(), false)]);
    world.lake.set_layout(&world.table, Some(&by_id)).await.unwrap();
    let thresholds = Thresholds { file_bytes: 64 << 10, ..Thresholds::default() };
    rewrite_all(&world, &thresholds).await;
    let state = world.lake.tables().state(&world.table).unwrap();
    assert!(state.files().len() > 2, "{} files", state.files().len());
    let mut bounds: Vec<(i64, i64)> = state
        .files()
        .iter()
        .map(|f| {
            let stats = &f.stats[&101];
            let value = |a: &Option<arrow::array::ArrayRef>| {
                use arrow::{array::AsArray, datatypes::Int64Type};
                a.as_ref().unwrap().as_primitive::<Int64Type>().value(0)
            };
            (value(&stats.min), value(&stats.max))
        })
        .collect();
    bounds.sort_unstable();
    assert!(bounds.windows(2).all(|w| w[0].1 < w[1].0), "files don't overlap: {bounds:?}");
    check_outside(state.metadata_location(), &world.expected_rows());
    assert_eq!(rewrite_all(&world, &thresholds).await, Done::default(), "what is laid out stays");
    let missing = world.lake.set_layout(&world.table, Some(&Clustering::Zorder(vec!["nope".into()]))).await.unwrap_err();
    assert_eq!(missing.to_string(), "silver.shop_orders can't be laid out by `nope`, which it does not have");
    world.lake.set_layout(&world.table, Some(&Clustering::Zorder(vec!["id".into(), "small".into()]))).await.unwrap();
    assert!(rewrite_all(&world, &thresholds).await.anything(), "another layout makes all files due");
    check_outside(world.lake.tables().state(&world.table).unwrap().metadata_location(), &world.expected_rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_go_once_they_are_old_and_nothing_else_does() {
    let mut world = World::new().await;
    world.commit(&[ids(1..100)], &[5]).await;
    // Written, and never committed; and one that somebody still writes.
    let lost = write(&world.lake, &world.table, &ids(500..600));
    let lost_path = lost.path.clone();
    drop(lost);
    let held = write(&world.lake, &world.table, &ids(600..700));
    let data = world.dir.path().join("lake/silver/shop_orders/data");
    std::fs::write(data.join("foreign.parquet"), b"not of any table").unwrap();
    let kept = world.lake.remove_orphans(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(kept.files, 0, "too young");
    let gone = world.lake.remove_orphans(Duration::ZERO).await.unwrap();
    assert_eq!(gone.files, 2);
    assert!(!data.join(lost_path.filename().unwrap()).exists());
    assert!(data.join(held.path.filename().unwrap()).exists(), "what is being written is no orphan");
    world.check();
    let reader = outside::read("duckdb", world.lake.tables().state(&world.table).unwrap().metadata_location(), &["id"]);
    assert_eq!(reader.1, 98);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_two_tables_share_goes_only_when_neither_has_a_snapshot_of_it() {
    let world = World::new().await;
    let bronze = LakeTable::new(Layer::Bronze, "shop_orders");
    let files = [write(&world.lake, &bronze, &ids(1..100)), write(&world.lake, &bronze, &ids(100..200))];
    let changes = [&bronze, &world.table].map(|table| {
        let mut change = TableChange::new(table.clone());
        change.spec = Some(world.spec());
        change.append = files.to_vec();
        change.share_files();
        change
    });
    world.lake.commit(changes.to_vec(), None).await.unwrap();
    let stop = CancellationToken::new();
    for table in [&bronze, &world.table] {
        // From now on only former snapshots name the shared files, so that no query's view protects them.
        assert_eq!(world.lake.rewrite_files(table, &Thresholds::default(), true, &stop).await.unwrap().files_before, 2);
    }
    let there = || files.iter().filter(|f| world.dir.path().join("lake").join(f.path.as_ref()).exists()).count();
    world.lake.expire_snapshots(&world.table, &NOTHING).await.unwrap();
    assert_eq!(there(), 2, "bronze can still be read as it was");
    world.lake.expire_snapshots(&bronze, &NOTHING).await.unwrap();
    assert_eq!(there(), 0, "nobody can ask for them any more");
}
