//! What a commit promises.

use crate::places::open;
use catalog::{Catalog, Commit, CursorSwap, Kind, Moved, PointerSwap, Snapshot};
use futures::future::join_all;
use model::{Cursor, LakeTable, Layer, Position};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

fn table(name: &str) -> LakeTable {
    LakeTable::new(Layer::Silver, name)
}

fn cursor(pos: u64) -> Cursor {
    Cursor {
        position: Position::new(pos, 0),
        commit_ts_us: Some(7),
        state: serde_json::json!({"slot": "s"}),
        display: format!("0/{pos:X}"),
    }
}

fn swap(name: &str, expected: Option<&str>, new: Option<&str>) -> PointerSwap {
    PointerSwap { table: table(name), expected: expected.map(Into::into), new: new.map(Into::into), writer: Some("shop".into()) }
}

fn move_cursor(expected_version: Option<i64>, pos: u64, rows: u64) -> CursorSwap {
    CursorSwap { source: "shop".into(), expected_version, cursor: cursor(pos), rows }
}

async fn pointers(catalog: &Catalog) -> Vec<(String, String)> {
    catalog.tables().await.unwrap().into_iter().map(|t| (t.table.name, t.metadata_location)).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

pub async fn a_commit_moves_all_pointers_and_the_cursor_or_nothing(url: &str) {
    let catalog = open(url).await;
    let first =
        Commit { swaps: vec![swap("b", None, Some("b1")), swap("a", None, Some("a1"))], cursor: Some(move_cursor(None, 10, 5)) };
    catalog.commit(first).await.unwrap();
    assert_eq!(pointers(&catalog).await, pairs(&[("a", "a1"), ("b", "b1")]));
    assert_eq!(catalog.cursor("shop").await.unwrap().unwrap().cursor, cursor(10));

    // Any one stale expectation undoes all the rest.
    let stale = [
        (vec![swap("a", Some("a1"), Some("a2")), swap("b", Some("b0"), Some("b2"))], Some(1)),
        (vec![swap("a", Some("a1"), Some("a2")), swap("c", None, Some("c1")), swap("b", None, Some("b2"))], Some(1)),
        (vec![swap("a", Some("a1"), None), swap("gone", Some("g1"), Some("g2"))], Some(1)),
        (vec![swap("a", Some("a1"), Some("a2")), swap("b", Some("b1"), None)], Some(2)),
        (vec![swap("a", Some("a1"), Some("a2"))], None),
    ];
    for (swaps, version) in stale {
        let commit = Commit { swaps, cursor: Some(move_cursor(version, 20, 100)) };
        let error = catalog.commit(commit.clone()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict, "{commit:?}: {error}");
        assert!(error.moved.is_some() && error.hint.is_some());
        assert_eq!(pointers(&catalog).await, pairs(&[("a", "a1"), ("b", "b1")]), "{commit:?}");
        let stored = catalog.cursor("shop").await.unwrap().unwrap();
        assert_eq!((stored.cursor, stored.version, stored.rows_total), (cursor(10), 1, 5));
    }
}

pub async fn a_pointer_is_made_moved_and_dropped_only_from_where_it_was_expected(url: &str) {
    let catalog = open(url).await;
    let one = |swap: PointerSwap| Commit { swaps: vec![swap], cursor: None };
    catalog.commit(one(swap("t", None, None))).await.unwrap();
    catalog.commit(one(swap("t", None, Some("1")))).await.unwrap();
    let made = catalog.table(&table("t")).await.unwrap().unwrap();
    assert_eq!((made.metadata_location.as_str(), made.writer.as_deref()), ("1", Some("shop")));

    let keep_writer = PointerSwap { writer: None, ..swap("t", Some("1"), Some("2")) };
    catalog.commit(one(keep_writer)).await.unwrap();
    assert_eq!(catalog.table(&table("t")).await.unwrap().unwrap().writer.as_deref(), Some("shop"));

    for (bad, found) in
        [(swap("t", None, Some("9")), Some("2")), (swap("t", Some("1"), None), Some("2")), (swap("t", None, None), Some("2"))]
    {
        let expected = bad.expected.clone();
        let error = catalog.commit(one(bad)).await.unwrap_err();
        let moved = Moved::Table { table: table("t"), expected, found: found.map(Into::into) };
        assert_eq!(error.moved.as_deref(), Some(&moved), "{error}");
    }
    catalog.commit(one(swap("t", Some("2"), None))).await.unwrap();
    assert_eq!(catalog.table(&table("t")).await.unwrap(), None);
    let error = catalog.commit(one(swap("t", Some("2"), Some("3")))).await.unwrap_err();
    assert_eq!(error.to_string(), "another writer dropped table silver.t first: expected 2, but the catalog has no such table");
    // The same name in another layer is another table.
    let gold = PointerSwap { table: LakeTable::new(Layer::Gold, "t"), ..swap("t", None, Some("g")) };
    catalog.commit(Commit { swaps: vec![swap("t", None, Some("s")), gold], cursor: None }).await.unwrap();
    assert_eq!(pointers(&catalog).await, pairs(&[("t", "g"), ("t", "s")]));
}

pub async fn a_cursor_moves_only_from_its_version_and_counts_rows(url: &str) {
    let catalog = open(url).await;
    let step = |swap: CursorSwap| Commit { swaps: Vec::new(), cursor: Some(swap) };
    assert_eq!(catalog.cursor("shop").await.unwrap(), None);
    let error = catalog.commit(step(move_cursor(Some(1), 1, 1))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "another writer moved the cursor of source shop first: expected version 1, but the catalog has no cursor"
    );
    catalog.commit(step(move_cursor(None, 1, 3))).await.unwrap();
    catalog.commit(step(move_cursor(Some(1), 2, 4))).await.unwrap();
    let stored = catalog.cursor("shop").await.unwrap().unwrap();
    assert_eq!((stored.version, stored.rows_total, stored.cursor), (2, 7, cursor(2)));
    let error = catalog.commit(step(move_cursor(Some(1), 9, 1))).await.unwrap_err();
    assert_eq!(error.moved.as_deref(), Some(&Moved::Cursor { source: "shop".into(), expected: Some(1), found: Some(2) }));
    let error = catalog.commit(step(move_cursor(None, 9, 1))).await.unwrap_err();
    assert_eq!(error.moved.as_deref(), Some(&Moved::Cursor { source: "shop".into(), expected: None, found: Some(2) }));
    // Another source is another cursor.
    catalog.commit(step(CursorSwap { source: "crm".into(), ..move_cursor(None, 5, 1) })).await.unwrap();
    let all: Vec<_> = catalog.cursors().await.unwrap().into_iter().map(|(name, c)| (name, c.rows_total)).collect();
    assert_eq!(all, [("crm".to_owned(), 1), ("shop".to_owned(), 7)]);
}

pub async fn a_forgotten_cursor_never_gets_a_former_version_back(url: &str) {
    let catalog = open(url).await;
    let step = |swap: CursorSwap| Commit { swaps: Vec::new(), cursor: Some(swap) };
    assert!(!catalog.forget_cursor("shop").await.unwrap());
    catalog.commit(step(move_cursor(None, 1, 3))).await.unwrap();
    assert!(catalog.forget_cursor("shop").await.unwrap());
    assert_eq!(catalog.cursor("shop").await.unwrap(), None);
    assert!(catalog.snapshot().await.unwrap().cursors.is_empty());
    // A pipeline that was still running can't bring the old cursor back.
    assert_eq!(catalog.commit(step(move_cursor(Some(1), 2, 1))).await.unwrap_err().kind, Kind::Conflict);
    catalog.commit(step(move_cursor(None, 1, 3))).await.unwrap();
    let stored = catalog.cursor("shop").await.unwrap().unwrap();
    assert_eq!((stored.version, stored.rows_total), (3, 6));
    assert_eq!(catalog.commit(step(move_cursor(Some(1), 2, 1))).await.unwrap_err().kind, Kind::Conflict);
}

pub async fn of_many_that_race_exactly_one_wins(url: &str) {
    // Several handles stand for several processes: each has connections of its own.
    let handles = [open(url).await, open(url).await, open(url).await];
    let mut expected: Option<String> = None;
    for round in 0..12_u64 {
        let version = (round > 0).then(|| i64::try_from(round).unwrap());
        let tries = (0..9_usize).map(|i| {
            let new = format!("{round}-{i}");
            let mut swaps = vec![swap("a", expected.as_deref(), Some(&new)), swap("b", expected.as_deref(), Some(&new))];
            if i % 2 == 0 {
                swaps.reverse();
            }
            let commit = Commit { swaps, cursor: Some(move_cursor(version, round + 1, 1)) };
            let catalog = &handles[i % handles.len()];
            async move { (new, catalog.commit(commit).await) }
        });
        let (won, lost): (Vec<_>, Vec<_>) = join_all(tries).await.into_iter().partition(|(_, result)| result.is_ok());
        assert_eq!(won.len(), 1, "round {round}");
        for (_, result) in lost {
            let error = result.unwrap_err();
            assert_eq!(error.kind, Kind::Conflict, "{error}");
        }
        let winner = won[0].0.clone();
        assert_eq!(pointers(&handles[0]).await, pairs(&[("a", &winner), ("b", &winner)]));
        let stored = handles[1].cursor("shop").await.unwrap().unwrap();
        assert_eq!((stored.rows_total, stored.cursor), (round + 1, cursor(round + 1)));
        expected = Some(winner);
    }
}

/// Runs a future for at most `polls` polls, then drops it where it stands, as a crash of its task would.
async fn at_most<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The poll that would be one too many need not wait for a reason to wake.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The invariant behind the commit protocol: every table of a source stands exactly where the source's cursor stands.
fn is_whole(state: &Snapshot) -> bool {
    let stored = state.cursors.get("shop").map_or(0, |c| c.cursor.position.pos).to_string();
    state.tables.iter().all(|t| t.metadata_location == stored) && (stored == "0") == state.tables.is_empty()
}

/// The commit that takes `state` one step further, as a sink makes it.
fn next_step(state: &Snapshot) -> Commit {
    let stored = state.cursors.get("shop");
    let pos = stored.map_or(0, |c| c.cursor.position.pos);
    let (old, new) = ((pos > 0).then(|| pos.to_string()), (pos + 1).to_string());
    let swaps = ["a", "b", "c"].map(|name| swap(name, old.as_deref(), Some(&new)));
    Commit { swaps: swaps.into(), cursor: Some(move_cursor(stored.map(|c| c.version), pos + 1, 1)) }
}

pub async fn a_commit_dropped_anywhere_is_whole_or_absent(url: &str) {
    let catalog = open(url).await;
    let (mut done, mut dropped) = (0, 0);
    // How many polls a commit takes depends on the machine: a fast database answers before it is asked again. So the short ones,
    // which drop it early on any machine, come often, and each round ends with one that is left to finish.
    for polls in [1, 1, 2, 2, 3, 4, 6, 9, 14, 24, usize::MAX].repeat(8) {
        let before = catalog.snapshot().await.unwrap();
        let result = at_most(catalog.commit(next_step(&before)), polls).await;
        let after = catalog.snapshot().await.unwrap();
        assert!(is_whole(&after), "dropped after {polls} polls: {after:?}");
        match result {
            Some(Ok(())) => {
                assert_ne!(before, after);
                done += 1;
            }
            // A server may have taken the dropped commit's last word after we looked. It arrived whole, and ours then found it.
            Some(Err(error)) => assert_eq!(error.kind, Kind::Conflict, "{error}"),
            None => dropped += 1,
        }
    }
    assert!(done > 3 && dropped > 3, "{done} done, {dropped} dropped: the cases must cover both");
}

pub async fn a_cursor_stored_apart_from_its_tables_is_caught(url: &str) {
    // The planted bug: state and data in two transactions, in either order, with a crash in between.
    for cursor_first in [true, false] {
        let catalog = open(url).await;
        let state = catalog.snapshot().await.unwrap();
        assert!(is_whole(&state));
        let Commit { swaps, cursor } = next_step(&state);
        let halves = [Commit { swaps, cursor: None }, Commit { swaps: Vec::new(), cursor }];
        let [first, second] = if cursor_first { [&halves[1], &halves[0]] } else { [&halves[0], &halves[1]] };
        catalog.commit(first.clone()).await.unwrap();
        assert!(
            !is_whole(&open(url).await.snapshot().await.unwrap()),
            "the invariant must see the crash (cursor first: {cursor_first})"
        );
        catalog.commit(second.clone()).await.unwrap();
        assert!(is_whole(&catalog.snapshot().await.unwrap()));
        // The true commit never shows such a state, whoever looks whenever.
        let step = next_step(&catalog.snapshot().await.unwrap());
        let looks = join_all((0..8).map(|_| catalog.snapshot()));
        let (committed, seen) = futures::join!(catalog.commit(step), looks);
        committed.unwrap();
        assert!(seen.into_iter().all(|state| is_whole(&state.unwrap())));
    }
}

pub async fn a_table_named_twice_is_refused(url: &str) {
    let catalog = open(url).await;
    let commit = Commit { swaps: vec![swap("t", None, Some("1")), swap("t", Some("1"), Some("2"))], cursor: None };
    let error = catalog.commit(commit).await.unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (Kind::Bug, "a commit names table silver.t twice"));
    assert!(catalog.tables().await.unwrap().is_empty());
}
