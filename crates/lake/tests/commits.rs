use crate::world::{World, check_outside, printed, rows, schema, write};
use lake::{SUMMARY_POSITION, TableChange};
use model::{Cursor, LakeTable, Layer, Position};
use object_store::path::Path;
use std::{collections::BTreeSet, sync::Arc};

fn ids(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

/// Files under a directory of the warehouse whose names end so.
fn on_disk(world: &World, directory: &str, end: &str) -> BTreeSet<String> {
    let directory = world.dir.path().join("lake").join(directory);
    let names = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.ends_with(end)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_on_old_files_and_on_files_of_the_same_commit_are_read_alike_by_all() {
    let mut world = World::new().await;
    world.commit(&[ids(1..5000)], &[]).await;
    world.check();
    world.commit(&[ids(5000..6000), ids(6000..6100)], &(4900..5100).collect::<Vec<_>>()).await;
    world.check();
    let state = world.lake.tables().state(&world.table).unwrap();
    assert_eq!(
        state.info().files.iter().filter(|f| f.is_deletes).count(),
        2,
        "one delete file for each data file that was touched"
    );
    world.commit(&[], &(1..3000).step_by(3).collect::<Vec<_>>()).await;
    world.check();
    let state = world.lake.tables().state(&world.table).unwrap();
    assert_eq!(state.info().files.iter().filter(|f| f.is_deletes).count(), 2, "old and new deletes of a data file are merged");
    let world = world.reopen().await;
    world.check();
    let again = world.lake.tables().state(&world.table).unwrap();
    for (a, b) in state.files().iter().zip(again.files().iter()) {
        assert_eq!((&a.path, a.rows, a.bytes, &a.deleted), (&b.path, b.rows, b.bytes, &b.deleted));
        assert_eq!(format!("{:?}", a.stats), format!("{:?}", b.stats), "statistics survive a restart");
    }
    assert_eq!(state.info(), again.info());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_rows_are_all_deleted_leaves_the_table() {
    let mut world = World::new().await;
    world.commit(&[ids(1..100), ids(100..200)], &[]).await;
    world.commit(&[ids(200..300)], &ids(1..101)).await;
    assert_eq!(world.lake.tables().state(&world.table).unwrap().files().len(), 2);
    world.commit(&[ids(300..310)], &ids(300..310)).await;
    assert_eq!(world.lake.tables().state(&world.table).unwrap().files().len(), 2, "a file of dead rows does not even join");
    world.check();
    world.commit(&[], &ids(100..300)).await;
    world.check();
    assert!(world.reopen().await.lake.tables().state(&LakeTable::new(Layer::Silver, "shop_orders")).unwrap().files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_touches_many_files_shares_one_delete_file_and_those_are_folded() {
    let mut world = World::new().await;
    let files: Vec<Vec<i64>> = (0..15).map(|f| ids(f * 100 + 1..f * 100 + 101)).collect();
    world.commit(&files, &[]).await;
    for round in 0..20 {
        let gone: Vec<i64> = (0..15).map(|f| f * 100 + 1 + round).collect();
        world.commit(&[], &gone).await;
        let deletes = world.lake.tables().state(&world.table).unwrap().info().files.iter().filter(|f| f.is_deletes).count();
        assert!(deletes <= 17, "{deletes} delete files after round {round}");
        if round == 3 {
            // A narrow commit on a file that a wide delete file covers as well.
            world.commit(&[], &[50, 51]).await;
            world.check();
        }
    }
    world.check();
    world.reopen().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_takes_all_former_rows_and_keeps_those_of_the_same_commit() {
    let mut world = World::new().await;
    world.commit(&[ids(1..100)], &[5]).await;
    world.expected.clear();
    let mut change = world.change(&[ids(500..600)], &[501]);
    change.drop_all_rows = true;
    world.lake.commit(vec![change], None).await.unwrap();
    world.check();
    world.commit(&[], &[502]).await;
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn bronze_and_silver_share_a_file_and_each_sees_its_own_rows() {
    let world = World::new().await;
    let tables = [LakeTable::new(Layer::Bronze, "shop_orders"), world.table.clone()];
    let all = ids(1..301);
    let file = write(&world.lake, &tables[0], &all);
    let cursor =
        Cursor { position: Position::new(77, 3), commit_ts_us: None, state: serde_json::Value::Null, display: "0/4D".into() };
    let mut changes: Vec<TableChange> = tables.iter().map(|t| TableChange::new(t.clone())).collect();
    for change in &mut changes {
        change.spec = Some(world.spec());
        change.append.push(Arc::clone(&file));
        change.note_cursor("shop", &cursor);
        change.share_files();
    }
    changes[1].deletes.push((file.path.clone(), (0..100).collect()));
    let swap = catalog::CursorSwap { source: "shop".into(), expected_version: None, cursor: cursor.clone(), rows: 300 };
    world.lake.commit(changes, Some(swap)).await.unwrap();
    for (table, first) in tables.iter().zip([1, 101]) {
        let state = world.lake.tables().state(table).unwrap();
        check_outside(state.metadata_location(), &(first..301).map(printed).collect::<Vec<_>>());
        assert_eq!(state.summary(SUMMARY_POSITION), Some("0/4D"));
        assert_eq!(state.property("gc.enabled"), Some("false"));
    }
    assert_eq!(world.lake.tables().catalog().cursor("shop").await.unwrap().unwrap().cursor, cursor);
    assert_eq!(world.lake.stats().files, 2, "the shared data file counts once");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_stays_bounded_however_many_commits_there_are() {
    let mut world = World::new().await;
    let mut change = world.change(&[ids(1..50)], &[]);
    change.properties.insert(lake::SNAPSHOTS_KEPT_MOST.into(), Some("5".into()));
    change.share_files();
    world.lake.commit(vec![change], None).await.unwrap();
    for i in 1..90 {
        let from = i * 50;
        world.commit(&[ids(from..from + 50)], &[from - 1, from - 25]).await;
    }
    world.check();
    let info = world.lake.info(&world.table).unwrap();
    assert!(info.snapshots.len() <= 16, "{} snapshots", info.snapshots.len());
    let metadata = "silver/shop_orders/metadata";
    assert!(on_disk(&world, metadata, ".metadata.json").len() <= 21, "old metadata files are deleted");
    assert!(on_disk(&world, metadata, ".avro").len() <= 16 + 3 * 31, "old manifests and lists are deleted");
    let live: BTreeSet<String> = info.files.iter().map(|f| f.location.rsplit('/').next().unwrap().to_owned()).collect();
    let data = on_disk(&world, "silver/shop_orders/data", ".parquet");
    assert!(live.is_subset(&data), "no live file is deleted");
    assert_eq!(data.iter().filter(|n| !n.contains("deletes")).count(), 90, "data files that are shared are never deleted here");
    assert!(data.iter().filter(|n| n.contains("deletes")).count() < 90 + 60, "replaced delete files are deleted");
    world.reopen().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_told_and_a_cursor_moves_alone() {
    let mut world = World::new().await;
    world.commit(&[ids(1..3)], &[]).await;
    let before = world.lake.info(&world.table).unwrap().metadata_location;
    let mut told = world.lake.committed();
    let cursor =
        Cursor { position: Position::new(9, 0), commit_ts_us: None, state: serde_json::Value::Null, display: String::new() };
    let swap = catalog::CursorSwap { source: "s".into(), expected_version: None, cursor: cursor.clone(), rows: 0 };
    let mut same = world.change(&[], &[]);
    same.deletes = vec![(Path::from("not/here"), [1].into())];
    world.lake.commit(vec![same], Some(swap)).await.unwrap();
    assert_eq!(world.lake.info(&world.table).unwrap().metadata_location, before, "a change that changes nothing moves nothing");
    assert!(told.try_recv().is_err(), "nobody is told of what the view does not show yet");
    world.lake.publish(Some(("s", &cursor)), Vec::new());
    let told = told.recv().await.unwrap();
    assert_eq!((told.source.as_deref(), told.tables.len()), (Some("s"), 0));
}

/// Not a promise but a measurement: `cargo nextest run --workspace --run-ignored only -E 'package(lake)' --no-capture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn how_long_a_commit_of_one_table_takes() {
    let mut world = World::new().await;
    let mut took = Vec::new();
    for i in 0..200i64 {
        let change = world.change(&[ids(i * 50..i * 50 + 50)], &[i * 50 - 1, i * 50 - 25]);
        let start = std::time::Instant::now();
        world.lake.commit(vec![change], None).await.unwrap();
        took.push(start.elapsed());
    }
    for part in took.chunks(40) {
        let mut part = part.to_vec();
        part.sort();
        eprintln!("commit: median {:?}, worst {:?}", part[part.len() / 2], part[part.len() - 1]);
    }
    let batches: Vec<_> = ids(1..1_000_001).chunks(10_000).map(rows).collect();
    let start = std::time::Instant::now();
    let file = crate::world::write_batches(&world.lake, &world.table, &schema(), batches.into_iter());
    let took = start.elapsed();
    eprintln!(
        "encode: {} rows of 11 columns, {} bytes, {:?}, {} ns a row",
        file.rows,
        file.bytes,
        took,
        took.as_nanos() as u64 / file.rows
    );
}
