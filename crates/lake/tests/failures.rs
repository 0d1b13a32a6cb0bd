use crate::world::{World, open, write};
use lake::{Kind, TableChange};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_writing_and_the_catalog_leaves_the_lake_as_it_was() {
    let mut world = World::new().await;
    world.commit(&[(1..100).collect()], &[3]).await;
    let before = world.lake.info(&world.table).unwrap();
    // Another writer moves the pointer, so the catalog refuses after everything was written.
    let catalog = world.lake.tables().catalog().clone();
    let elsewhere = |from: &str, to: &str| catalog::Commit {
        swaps: vec![catalog::PointerSwap {
            table: world.table.clone(),
            expected: Some(from.into()),
            new: Some(to.into()),
            writer: None,
        }],
        cursor: None,
    };
    let (true_place, false_place) = (before.metadata_location.clone(), "file:///nowhere/v1.metadata.json".to_owned());
    catalog.commit(elsewhere(&true_place, &false_place)).await.unwrap();
    let mut lost = TableChange::new(world.table.clone());
    lost.append.push(write(&world.lake, &world.table, &[1000, 1001]));
    lost.deletes.push((world.expected.keys().next().unwrap().clone(), [7].into()));
    let cursor = model::Cursor {
        position: model::Position::new(5, 0),
        commit_ts_us: None,
        state: serde_json::Value::Null,
        display: String::new(),
    };
    let swap = catalog::CursorSwap { source: "shop".into(), expected_version: None, cursor, rows: 2 };
    let error = world.lake.commit(vec![lost.clone()], Some(swap.clone())).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    assert_eq!(error.table.as_deref(), Some(&world.table));
    assert_eq!(world.lake.info(&world.table).unwrap(), before);
    assert!(catalog.cursor("shop").await.unwrap().is_none(), "the cursor moves with the tables or not at all");
    // Once the pointer is back, the same change goes through: nothing of the failed try is in the way.
    catalog.commit(elsewhere(&false_place, &true_place)).await.unwrap();
    world.check();
    world.lake.commit(vec![lost], Some(swap)).await.unwrap();
    assert_eq!(world.lake.tables().state(&world.table).unwrap().view().live_rows(), 98 + 2 - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_brings_memory_in_line_with_the_catalog() {
    let mut world = World::new().await;
    world.commit(&[(1..10).collect()], &[]).await;
    let first = world.lake.info(&world.table).unwrap().metadata_location;
    world.commit(&[(10..20).collect()], &[]).await;
    let second = world.lake.info(&world.table).unwrap().metadata_location;
    let back =
        catalog::PointerSwap { table: world.table.clone(), expected: Some(second), new: Some(first.clone()), writer: None };
    world.lake.tables().catalog().commit(catalog::Commit { swaps: vec![back], cursor: None }).await.unwrap();
    world.lake.tables().refresh(std::slice::from_ref(&world.table)).await.unwrap();
    let state = world.lake.tables().state(&world.table).unwrap();
    assert_eq!((state.metadata_location(), state.view().live_rows()), (first.as_str(), 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanished_is_named_when_the_lake_opens() {
    let mut world = World::new().await;
    world.commit(&[(1..10).collect()], &[]).await;
    let metadata = world.lake.info(&world.table).unwrap().metadata_location;
    let World { dir, lake, .. } = world;
    drop(lake);
    std::fs::remove_file(metadata.strip_prefix("file://").unwrap()).unwrap();
    let clock = runtime::SystemClock::shared();
    let catalog =
        catalog::Catalog::open(&format!("sqlite:{}", dir.path().join("catalog.db").display()), clock.clone()).await.unwrap();
    let settings =
        lake::LakeSettings { warehouse: dir.path().join("lake").to_str().unwrap().to_owned(), options: Default::default() };
    let error = lake::Lake::open(settings, catalog, clock).await.unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt);
    assert!(error.message.contains(&metadata), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_is_gone_for_queries_and_after_a_restart() {
    let mut world = World::new().await;
    world.commit(&[(1..10).collect()], &[]).await;
    world.lake.publish(None, vec![world.lake.tables().state(&world.table).unwrap().view().clone()]);
    assert!(world.lake.view().tables.contains_key(&world.table));
    world.lake.drop_table(&world.table).await.unwrap();
    assert!(world.lake.view().tables.is_empty());
    assert_eq!(world.lake.drop_table(&world.table).await.unwrap_err().kind, Kind::NotFound);
    let World { dir, lake, .. } = world;
    drop(lake);
    assert!(open(dir.path()).await.view().tables.is_empty());
}
