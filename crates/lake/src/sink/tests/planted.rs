//! Faults that others shipped, planted around the sink: the oracle must notice each of them.

use super::{
    upstream::{Change, NUMBERED, Upstream, Wish, batch},
    world::{SOURCE, World},
};
use catalog::{Commit, CursorSwap};
use futures::FutureExt;
use pipeline::Sink;
use std::panic::AssertUnwindSafe;

fn insert(key: u8) -> Wish {
    Wish { table: 0, kind: 0, key, value: key }
}

/// A world with one durable transaction, and a second one that was accepted.
async fn with_two_transactions() -> (World, Upstream) {
    let mut world = World::new(64 << 20).await;
    let mut upstream = Upstream::new();
    world.start(&upstream).await;
    for n in 1..=2 {
        upstream.transact(&[insert(n), insert(n + 10)]);
        send(&mut world, &upstream, n as usize - 1).await;
        if n == 1 {
            world.sink.commit().unwrap().await.unwrap();
        }
    }
    (world, upstream)
}

async fn send(world: &mut World, upstream: &Upstream, n: usize) {
    for batch in upstream.batches(n, 1) {
        world.write(batch).await.unwrap();
    }
    world.boundary(&Upstream::cursor(n + 1)).await;
}

async fn restart_and_replay(mut world: World, upstream: &Upstream) -> World {
    let mut sent = world.restart_sink(upstream).await;
    while sent < upstream.log.len() {
        send(&mut world, upstream, sent).await;
        sent += 1;
    }
    world
}

/// Whether the oracle finds a fault in what queries see.
async fn is_caught(world: &World, upstream: &Upstream) -> bool {
    let check = async {
        assert_eq!(world.check_view(upstream).await, upstream.log.len());
    };
    AssertUnwindSafe(check).catch_unwind().await.is_err()
}

#[tokio::test]
async fn anchor_2_a_cursor_stored_before_its_data_is_caught() {
    let (world, upstream) = with_two_transactions().await;
    let healthy = restart_and_replay(world, &upstream).await;
    assert!(!is_caught(&healthy, &upstream).await, "without the fault nothing is lost");

    let (world, upstream) = with_two_transactions().await;
    let version = world.catalog.cursor(SOURCE).await.unwrap().unwrap().version;
    let cursor =
        Some(CursorSwap { source: SOURCE.into(), expected_version: Some(version), cursor: Upstream::cursor(2), rows: 0 });
    world.catalog.commit(Commit { swaps: Vec::new(), cursor }).await.unwrap();
    let faulty = restart_and_replay(world, &upstream).await;
    assert!(is_caught(&faulty, &upstream).await, "transaction 2 is lost and nobody noticed");
}

#[tokio::test]
async fn anchor_2_a_commit_that_finds_a_moved_cursor_changes_nothing() {
    let (mut world, upstream) = with_two_transactions().await;
    let version = world.catalog.cursor(SOURCE).await.unwrap().unwrap().version;
    let cursor =
        Some(CursorSwap { source: SOURCE.into(), expected_version: Some(version), cursor: Upstream::cursor(1), rows: 0 });
    world.catalog.commit(Commit { swaps: Vec::new(), cursor }).await.unwrap();
    let error = world.sink.commit().unwrap().await.unwrap_err();
    assert_eq!(error.kind, pipeline::Kind::Conflict);
    let world = restart_and_replay(world, &upstream).await;
    assert!(!is_caught(&world, &upstream).await);
}

#[tokio::test]
async fn anchor_6_a_resume_that_skips_a_row_is_caught() {
    let (mut world, mut upstream) = with_two_transactions().await;
    world.sink.commit().unwrap().await.unwrap();
    upstream.transact(&[insert(3), insert(4)]);
    let resumed = world.restart_sink(&upstream).await;
    assert_eq!(resumed, 2);
    // The planted fault: the first row after the cursor is skipped.
    for batch in upstream.batches(resumed, 1).into_iter().skip(1) {
        world.write(batch).await.unwrap();
    }
    world.boundary(&Upstream::cursor(3)).await;
    assert!(is_caught(&world, &upstream).await, "a skipped row went unnoticed");
    let world = restart_and_replay(world, &upstream).await;
    assert!(!is_caught(&world, &upstream).await, "a right resume has every row");
}

#[tokio::test]
async fn anchor_7_an_unchanged_value_that_is_lost_is_caught() {
    for plant in [false, true] {
        let mut world = World::new(64 << 20).await;
        let mut upstream = Upstream::new();
        world.start(&upstream).await;
        // An insert and a partial update of one key.
        upstream.transact(&[insert(5), Wish { table: 0, kind: 1, key: 5, value: 9 }]);
        let mut changes: Vec<Change> = upstream.log[0].clone();
        assert_eq!(changes.iter().map(|c| c.unchanged.len()).collect::<Vec<_>>(), [0, 1]);
        if plant {
            changes[1].unchanged.clear();
        }
        world.write(batch(&upstream.schemas[NUMBERED], &changes)).await.unwrap();
        world.boundary(&Upstream::cursor(1)).await;
        assert_eq!(is_caught(&world, &upstream).await, plant);
    }
}
