//! Partitioned tables, as every engine reads them.

use crate::{
    outside,
    world::{World, check_outside, printed, rows, sorted, write},
};
use futures::StreamExt;
use lake::{Kind, PartitionField, ReplaceOptions, SendableBatches, TableChange, TableState, Thresholds};
use model::{LakeTable, Layer};
use roaring::RoaringBitmap;
use runtime::CancellationToken;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

fn by(fields: &[&str]) -> Vec<PartitionField> {
    fields.iter().map(|f| f.parse().unwrap()).collect()
}

fn table() -> LakeTable {
    LakeTable::new(Layer::Gold, "parts")
}

async fn replace(world: &World, ids: &[i64], partition_by: &[&str]) -> Result<Arc<TableState>, lake::Error> {
    let batches: Vec<_> = ids.chunks(97).map(rows).collect();
    let options = ReplaceOptions {
        schema: batches[0].schema(),
        key: Vec::new(),
        sort_order: vec![("id".to_owned(), false)],
        summary: BTreeMap::new(),
        writer: None,
    };
    let stream: SendableBatches = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
    world.lake.replace_partitioned(table(), stream, options, &by(partition_by)).await?;
    Ok(world.lake.tables().state(&table()).unwrap())
}

fn expected(ids: impl IntoIterator<Item = i64>) -> Vec<Value> {
    sorted(ids.into_iter().map(printed).collect())
}

/// Numbers without order.
fn mixed(most: i64) -> Vec<i64> {
    (0..most).map(|i| (i * 7919) % most + 1).collect()
}

/// Each engine finds single rows, whichever partitions it leaves out for that.
fn check_found(state: &TableState, ids: &[i64]) {
    for reader in outside::READERS {
        for id in ids {
            let (rows, count) = outside::read(reader, state.metadata_location(), &[&format!("--where=id = {id}")]);
            assert_eq!((rows, count), (vec![printed(*id)], 1), "{reader} looks for {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_lie_by_partition_and_all_engines_read_and_find_them() {
    let world = World::new().await;
    let ids = mixed(500);
    let state = replace(&world, &ids, &["month(day)", "bucket(4, id)"]).await.unwrap();
    assert_eq!(state.partition_by(), Some(by(&["month(day)", "bucket(4, id)"])));
    // 500 days are 17 months and a bit, and days without a date are a partition of their own.
    assert!(state.files().len() > 17 * 4, "{} files", state.files().len());
    assert!(state.files().iter().all(|f| f.stats[&1].bucket.is_some_and(|(of, bucket)| of == 4 && bucket.is_some())));
    check_outside(state.metadata_location(), &expected(1..=500));
    check_found(&state, &[1, 7, 123, 500]);

    for (fields, ids) in [
        (&["bucket(8, note)"][..], 1..=300),
        (&["year(day)", "truncate(50, id)"], 1..=300),
        (&["hour(at)", "flag"], 1..=300),
        (&["day(at)", "truncate(3, note)", "void(small)"], 1..=200),
        (&["bucket(5, amount)", "bucket(3, raw)"], 1..=200),
        (&["small"], 1..=60),
        (&[], 1..=100),
    ] {
        let former = state.view().snapshot_id.unwrap();
        let state = replace(&world, &ids.clone().rev().collect::<Vec<_>>(), fields).await.unwrap();
        assert_eq!(state.partition_by(), Some(by(fields)));
        check_outside(state.metadata_location(), &expected(ids));
        check_found(&state, &[1, 42]);
        let was = world.lake.tables().state_at(&table(), former).await.unwrap();
        assert_eq!(was.view().live_rows(), 500, "former contents keep their partitions");
    }
    let world = world.reopen().await;
    check_outside(world.lake.tables().state(&table()).unwrap().metadata_location(), &expected(1..=100));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_and_rewrites_stay_within_partitions() {
    let world = World::new().await;
    let state = replace(&world, &mixed(400), &["year(day)", "bucket(3, id)"]).await.unwrap();
    // The first row of every file goes, in one commit.
    let mut change = TableChange::new(table());
    change.deletes = state.files().iter().map(|f| (f.path.clone(), RoaringBitmap::from([0]))).collect();
    let files = state.files().len();
    let state = world.lake.commit(vec![change], None).await.unwrap().remove(0);
    assert_eq!(state.view().live_rows(), 400 - files as u64);
    let read = outside::read("pyiceberg", state.metadata_location(), &[]).0;
    assert_eq!(read.len(), 400 - files);
    check_outside(state.metadata_location(), &read);
    let left: Vec<i64> = read.iter().map(|row| row[0].as_i64().unwrap()).collect();
    drop(state);

    // What is on disk says the same as memory did.
    let world = world.reopen().await;
    let buckets = |state: &TableState| -> Vec<_> { state.files().iter().map(|f| f.stats[&1].bucket.unwrap()).collect() };
    let mut rewrites = 0;
    loop {
        let stop = CancellationToken::new();
        let done = world.lake.rewrite_files(&table(), &Thresholds::default(), true, &stop).await.unwrap();
        if !done.anything() {
            break;
        }
        assert_eq!((done.files_before, done.files_after), (files as u64, files as u64), "each partition has one file");
        rewrites += 1;
    }
    assert_eq!(rewrites, 1);
    let state = world.lake.tables().state(&table()).unwrap();
    assert_eq!(state.files().len(), files);
    assert!(state.files().iter().all(|f| f.deleted.is_none()));
    let (mut now, mut all) = (buckets(&state), 0);
    now.sort_unstable();
    now.dedup();
    all += now.len();
    assert_eq!(all, 3);
    check_outside(state.metadata_location(), &expected(left.iter().copied()));
    check_found(&state, &left[..2]);
    world.lake.merge_manifests(&table()).await.unwrap();
    let state = world.lake.tables().state(&table()).unwrap();
    check_outside(state.metadata_location(), &expected(left));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_partitioned_is_told_and_changes_nothing() {
    let world = World::new().await;
    for (fields, said) in [
        (&["rate"][..], "gold.parts can't be partitioned by `rate`: the column is Float64, which takes nothing"),
        (
            &["hour(day)"],
            "gold.parts can't be partitioned by `hour(day)`: the column is Date32, which takes the column itself, year(…), month(…), day(…), bucket(16, …)",
        ),
        (&["day(nope)"], "gold.parts can't be partitioned by `day(nope)`: it has no column `nope`"),
    ] {
        let error = replace(&world, &[1, 2], fields).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Schema, said));
    }
    assert!(world.lake.tables().state(&table()).is_none());
    let error = replace(&world, &mixed(10_001), &["id"]).await.unwrap_err();
    assert_eq!(error.message, "gold.parts would have more than 10000 partitions");
    let state = replace(&world, &[1, 2], &["id"]).await.unwrap();

    // A file that was written without a partition does not slip in.
    let mut change = TableChange::new(table());
    change.append = vec![write(&world.lake, &table(), &[3])];
    let error = world.lake.commit(vec![change], None).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::Schema, "rows for gold.parts were not written for its partitions"));
    check_outside(state.metadata_location(), &expected([1, 2]));
}
