//! Tables of Iceberg format version 3: deletion vectors, and upgrades, as every engine reads them.

use crate::world::World;
use lake::{Retention, TableChange, TableInfo, Thresholds};
use runtime::CancellationToken;
use std::{collections::BTreeSet, time::Duration};

const NOTHING: Retention = Retention { all: Duration::ZERO, hourly: Duration::ZERO, daily: Duration::ZERO };

fn ids(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

/// The Puffin files on disk.
fn puffins(world: &World) -> BTreeSet<String> {
    let data = world.dir.path().join("lake/silver/shop_orders/data");
    let names = std::fs::read_dir(data).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".puffin")).collect()
}

fn info(world: &World) -> TableInfo {
    world.lake.info(&world.table).unwrap()
}

/// The vectors that count, each by its file.
fn vectors(world: &World) -> Vec<String> {
    let deletes = info(world).files.into_iter().filter(|f| f.is_deletes);
    deletes.map(|f| f.location.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

/// Everything that is not needed goes.
async fn clean(world: &World) {
    world.lake.expire_snapshots(&world.table, &NOTHING).await.unwrap();
    world.lake.remove_orphans(Duration::ZERO).await.unwrap();
}

async fn new_table(world: &mut World, append: &[Vec<i64>]) {
    let mut change = world.change(append, &[]);
    change.upgrade = true;
    world.lake.commit(vec![change], None).await.unwrap();
    assert_eq!(info(world).format_version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_vectors_and_a_data_file_has_one_at_most() {
    let mut world = World::new().await;
    // More files than would get a delete file of their own in version 2.
    let files: Vec<Vec<i64>> = (0..14).map(|i| ids(i * 50 + 1..i * 50 + 51)).collect();
    new_table(&mut world, &files).await;
    world.check();
    world.commit(&[], &(1..700).step_by(7).collect::<Vec<_>>()).await;
    assert_eq!((vectors(&world).len(), puffins(&world).len()), (14, 1), "all vectors of a commit are in one file");
    assert_eq!(info(&world).snapshots[0].summary.get("added-dvs").map(String::as_str), Some("14"));
    world.check();
    // Some of them once more, with rows of a new file: their former vectors are replaced by what they and the new ones say.
    world.commit(&[ids(701..760)], &[2, 3, 60, 705]).await;
    assert_eq!((vectors(&world).len(), puffins(&world).len()), (15, 2));
    let summary = &info(&world).snapshots[0].summary;
    assert_eq!(["added-dvs", "removed-dvs"].map(|k| summary.get(k).map(String::as_str)), [Some("3"), Some("2")]);
    world.check();
    // A file whose rows are all gone takes its vector along.
    world.commit(&[], &ids(1..51)).await;
    assert_eq!(vectors(&world).len(), 14);
    world.check();
    let mut world = world.reopen().await;
    world.check();
    world.commit(&[], &[100, 200, 300]).await;
    world.check();

    let done = world.lake.rewrite_files(&world.table, &Thresholds::default(), true, &CancellationToken::new()).await.unwrap();
    assert_eq!((done.files_before, done.files_after), (14, 1));
    assert!(vectors(&world).is_empty());
    world.find_places().await;
    world.check();
    clean(&world).await;
    assert!(puffins(&world).is_empty(), "{:?}", puffins(&world));
    world.reopen().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puffin_file_stays_while_one_of_its_vectors_counts() {
    let mut world = World::new().await;
    new_table(&mut world, &[ids(1..101), ids(101..201)]).await;
    world.commit(&[], &[5, 105]).await;
    let first = puffins(&world);
    world.commit(&[], &[6]).await;
    clean(&world).await;
    assert_eq!((vectors(&world).len(), puffins(&world).len()), (2, 2));
    assert!(puffins(&world).is_superset(&first), "the second file's vector is in there");
    world.check();
    let mut world = world.reopen().await;
    world.commit(&[], &[106]).await;
    clean(&world).await;
    assert_eq!((vectors(&world).len(), puffins(&world).len()), (2, 2));
    assert!(puffins(&world).is_disjoint(&first));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_upgraded_as_it_is() {
    let mut world = World::new().await;
    let files: Vec<Vec<i64>> = (0..12).map(|i| ids(i * 50 + 1..i * 50 + 51)).collect();
    world.commit(&files, &[]).await;
    // One delete file for many data files, then one for two of them each.
    world.commit(&[], &(1..600).step_by(5).collect::<Vec<_>>()).await;
    world.commit(&[], &[2, 52]).await;
    assert_eq!((info(&world).format_version, vectors(&world).len()), (2, 3));
    world.lake.upgrade(&world.table).await.unwrap();
    assert_eq!((info(&world).format_version, puffins(&world).len()), (3, 0));
    world.check();
    let mut world = world.reopen().await;
    world.check();
    // A vector takes in what delete files say of its data file: the one for this file goes, the one for many stays for the others.
    world.commit(&[ids(1001..1051)], &[3, 1001]).await;
    let deletes = vectors(&world);
    assert_eq!(deletes.iter().filter(|name| name.ends_with(".puffin")).count(), 2, "{deletes:?}");
    assert_eq!(deletes.iter().filter(|name| name.ends_with(".parquet")).count(), 2, "{deletes:?}");
    world.check();
    // Where all data files have vectors, no delete file is left.
    world.commit(&[], &(4..600).step_by(50).collect::<Vec<_>>()).await;
    assert!(vectors(&world).iter().all(|name| name.ends_with(".puffin")));
    world.check();
    let mut world = world.reopen().await;
    world.check();
    world.lake.rewrite_files(&world.table, &Thresholds::default(), true, &CancellationToken::new()).await.unwrap();
    world.find_places().await;
    world.check();
    clean(&world).await;
    world.reopen().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_back_and_an_upgrade_twice_is_none() {
    let mut world = World::new().await;
    new_table(&mut world, &[ids(1..10)]).await;
    let before = info(&world).metadata_location;
    world.lake.upgrade(&world.table).await.unwrap();
    assert_eq!(info(&world).metadata_location, before);
    let mut change = TableChange::new(world.table.clone());
    change.properties.insert("k".to_owned(), Some("v".to_owned()));
    world.lake.commit(vec![change], None).await.unwrap();
    assert_eq!(info(&world).format_version, 3);
}
