//! What else is remembered.

use crate::places::open;
use catalog::{Catalog, CrawlRecord, CrawledRecord, Desired, DriftRecord, Kind, RunEnd, RunState};
use futures::future::join_all;
use serde_json::json;
use std::time::Duration;
use testkit::VirtualClock;

pub async fn pipelines_run_unless_somebody_paused_them(url: &str) {
    let catalog = open(url).await;
    assert_eq!(catalog.desired("shop").await.unwrap(), Desired::Running);
    for desired in [Desired::Paused, Desired::Paused, Desired::Running, Desired::Paused] {
        catalog.set_desired("shop", desired).await.unwrap();
        assert_eq!(catalog.desired("shop").await.unwrap(), desired);
    }
    let all: Vec<_> = catalog.pipelines().await.unwrap().into_iter().map(|p| (p.source, p.desired)).collect();
    assert_eq!(all, [("shop".to_owned(), Desired::Paused)]);
}

pub async fn crawls_are_kept_with_what_they_saw_change(url: &str) {
    let catalog = open(url).await;
    let table = CrawledRecord {
        name: "orders".into(),
        path: "/data/orders".into(),
        format: "csv".into(),
        columns: vec![("id".into(), "bigint".into())],
        partitions: vec!["day".into()],
        files: 2,
        bytes: 30,
        rows: None,
        error: None,
        hint: Some("none".into()),
    };
    let mut crawl =
        CrawlRecord { crawler: "landing".into(), started_us: 1, finished_us: 2, tables: vec![table], error: None, hint: None };
    catalog.set_crawl(&crawl, &[]).await.unwrap();
    let seen = |at: i64, column: &str| DriftRecord {
        id: String::new(),
        crawler: "landing".into(),
        table: "orders".into(),
        kind: "column_added".into(),
        column: column.into(),
        was: None,
        becomes: Some("text".into()),
        file: Some("/data/orders/b.csv".into()),
        seen_us: at,
    };
    (crawl.finished_us, crawl.error) = (9, Some("gone".into()));
    catalog.set_crawl(&crawl, &[seen(8, "a"), seen(9, "b")]).await.unwrap();
    assert_eq!(catalog.crawls().await.unwrap(), [crawl]);
    let drift = catalog.crawl_drift("landing", 10).await.unwrap();
    assert_eq!(drift.iter().map(|d| d.column.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(DriftRecord { id: String::new(), ..drift[1].clone() }, seen(8, "a"));
    assert!(catalog.crawl_drift("other", 10).await.unwrap().is_empty());
}

pub async fn runs_are_kept_newest_first_and_pruned(url: &str) {
    let clock = VirtualClock::new();
    let catalog = Catalog::open(url, clock.shared()).await.unwrap();
    let mut ids = Vec::new();
    for i in 0..5_u64 {
        let run = catalog.start_run("daily", "commit", json!([{"source": "shop", "cursor": i}])).await.unwrap();
        clock.advance(Duration::from_millis(10));
        let end = if i == 3 { RunEnd::Failed { error: "no such column".into() } } else { RunEnd::Ok { rows: i } };
        assert!(catalog.finish_run(&run.id, &end).await.unwrap());
        assert!(!catalog.finish_run(&run.id, &end).await.unwrap(), "a run ends once");
        ids.push(run.id);
    }
    let running = catalog.start_run("daily", "request", json!([])).await.unwrap();
    let other = catalog.start_run("hourly", "schedule", json!(null)).await.unwrap();

    let runs = catalog.runs("daily", 3).await.unwrap();
    let seen: Vec<_> = runs.iter().map(|r| (r.id.as_str(), r.state, r.rows, r.error.as_deref())).collect();
    assert_eq!(
        seen,
        [
            (running.id.as_str(), RunState::Running, 0, None),
            (ids[4].as_str(), RunState::Ok, 4, None),
            (ids[3].as_str(), RunState::Failed, 0, Some("no such column")),
        ]
    );
    assert_eq!(runs[0], running);
    assert_eq!(runs[1].finished_us, Some(runs[1].started_us + 10_000));
    assert_eq!(catalog.last_runs().await.unwrap(), [running.clone(), other]);

    assert_eq!(catalog.prune_runs("daily", 2).await.unwrap(), 4);
    let left: Vec<_> = catalog.runs("daily", 100).await.unwrap().into_iter().map(|r| r.id).collect();
    assert_eq!(left, [running.id.clone(), ids[4].clone()]);
    assert_eq!(catalog.prune_runs("daily", 0).await.unwrap(), 1, "what is under way stays");
    assert_eq!(catalog.runs("hourly", 10).await.unwrap().len(), 1);
}

pub async fn runs_of_a_dead_process_become_failed(url: &str) {
    let catalog = open(url).await;
    let run = catalog.start_run("daily", "commit", json!([])).await.unwrap();
    assert_eq!(catalog.abandon_runs().await.unwrap(), 1);
    assert_eq!(catalog.abandon_runs().await.unwrap(), 0);
    let found = catalog.runs("daily", 1).await.unwrap().remove(0);
    assert_eq!((found.id, found.state), (run.id, RunState::Failed));
    assert_eq!(found.error.as_deref(), Some("lakebox stopped before the run ended"));
}

pub async fn model_states_are_replaced_whole(url: &str) {
    let catalog = open(url).await;
    assert_eq!(catalog.model_state("daily").await.unwrap(), None);
    catalog.set_model_state("daily", "f1", &json!({"silver.a": "m1"})).await.unwrap();
    catalog.set_model_state("daily", "f2", &json!(["x"])).await.unwrap();
    let state = catalog.model_state("daily").await.unwrap().unwrap();
    assert_eq!((state.fingerprint.as_str(), &state.inputs), ("f2", &json!(["x"])));
    assert_eq!(catalog.model_states().await.unwrap(), [state]);
    assert!(catalog.remove_model_state("daily").await.unwrap());
    assert!(!catalog.remove_model_state("daily").await.unwrap());
}

pub async fn saved_queries_can_be_made_changed_and_removed(url: &str) {
    let clock = VirtualClock::new();
    let catalog = Catalog::open(url, clock.shared()).await.unwrap();
    let b = catalog.add_saved_query("b: it's \"quoted\"", "select '€', 1;\n-- end").await.unwrap();
    let a = catalog.add_saved_query("A", "select 2").await.unwrap();
    assert_eq!(catalog.saved_queries().await.unwrap(), [a.clone(), b.clone()]);
    clock.advance(Duration::from_secs(1));
    let changed = catalog.set_saved_query(&a.id, "z", "select 3").await.unwrap().unwrap();
    assert_eq!((changed.created_us, changed.updated_us), (a.created_us, a.updated_us + 1_000_000));
    assert_eq!(catalog.saved_queries().await.unwrap(), [b.clone(), changed]);
    assert!(catalog.remove_saved_query(&b.id).await.unwrap());
    assert!(!catalog.remove_saved_query(&b.id).await.unwrap());
    assert_eq!(catalog.set_saved_query(&b.id, "x", "y").await.unwrap(), None);
    assert_eq!(catalog.saved_query(&b.id).await.unwrap(), None);
}

pub async fn settings_hold_any_json(url: &str) {
    let catalog = open(url).await;
    assert_eq!(catalog.setting("lake.id").await.unwrap(), None);
    for value in [json!("x"), json!(null), json!({"a": [1, 2.5, "ü"]})] {
        catalog.set_setting("lake.id", &value).await.unwrap();
        assert_eq!(catalog.setting("lake.id").await.unwrap(), Some(value));
    }
    assert!(catalog.remove_setting("lake.id").await.unwrap());
    assert!(!catalog.remove_setting("lake.id").await.unwrap());
}

pub async fn everything_is_there_after_opening_again(url: &str) {
    let first = open(url).await;
    first.set_setting("k", &json!(1)).await.unwrap();
    let query = first.add_saved_query("q", "select 1").await.unwrap();
    drop(first);
    let second = open(url).await;
    second.ping().await.unwrap();
    assert_eq!(second.setting("k").await.unwrap(), Some(json!(1)));
    assert_eq!(second.saved_queries().await.unwrap(), [query]);
}

pub async fn many_may_open_at_once(url: &str) {
    let all = join_all((0..6).map(|_| open(url))).await;
    all[0].set_setting("k", &json!(1)).await.unwrap();
    for catalog in &all {
        assert_eq!(catalog.setting("k").await.unwrap(), Some(json!(1)));
    }
}

pub async fn a_claim_keeps_others_out_until_it_is_dropped(url: &str) {
    let (one, two) = (open(url).await, open(url).await);
    let claim = one.claim("pipelines").await.unwrap();
    let error = two.claim("pipelines").await.unwrap_err();
    assert_eq!(error.kind, Kind::Locked);
    assert_eq!(
        error.to_string(),
        format!("another lakebox already uses the lake of the catalog at {} (it holds `pipelines`)", two.place())
    );
    let _other = two.claim("models").await.unwrap();
    drop(claim);
    // A server notices the end of a session a moment later.
    let mut patience = 200;
    while let Err(error) = two.claim("pipelines").await {
        assert!(patience > 0 && error.kind == Kind::Locked, "{error}");
        patience -= 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn namespaces_and_views_change_with_tables_or_not_at_all(url: &str) {
    use catalog::{Commit, ObjectChange, PointerSwap, ViewSwap};
    let catalog = open(url).await;
    let view = |name: &str, expected: Option<&str>, new: Option<&str>| {
        let (expected, new) = (expected.map(str::to_owned), new.map(str::to_owned));
        ObjectChange::SwapView(ViewSwap { view: format!("analytics.{name}").parse().unwrap(), expected, new })
    };
    let table = |name: &str, expected: Option<&str>, new: Option<&str>| PointerSwap {
        table: format!("analytics.{name}").parse().unwrap(),
        expected: expected.map(str::to_owned),
        new: new.map(str::to_owned),
        writer: Some("sql".to_owned()),
    };
    let views = async || {
        let all = catalog.all_views().await.unwrap();
        all.into_iter().map(|v| format!("{}={}", v.view, v.metadata_location)).collect::<Vec<_>>()
    };
    let (analytics, other) = ("analytics".parse().unwrap(), "other".parse().unwrap());
    let made = [ObjectChange::AddNamespace(analytics), view("v", None, Some("a"))];
    let commit = Commit { swaps: vec![table("t", None, Some("one.json"))], cursor: None };
    catalog.commit_with(commit, &made).await.unwrap();
    assert_eq!(catalog.namespaces().await.unwrap()[0].layer, analytics);
    assert_eq!(views().await, ["analytics.v=a"]);

    // One thing that is not as expected keeps everything as it was.
    for refused in [
        ObjectChange::AddNamespace(analytics),
        ObjectChange::RemoveNamespace(other),
        ObjectChange::RemoveNamespace(analytics),
        view("v", None, Some("b")),
        view("v", Some("b"), Some("c")),
        view("v", Some("b"), None),
        view("w", Some("a"), Some("b")),
    ] {
        let commit = Commit { swaps: vec![table("t", Some("one.json"), Some("two.json"))], cursor: None };
        let error = catalog.commit_with(commit, &[view("x", None, Some("c")), refused]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict, "{error}");
    }
    assert_eq!(views().await, ["analytics.v=a"]);
    assert_eq!(catalog.tables().await.unwrap()[0].metadata_location, "one.json");

    catalog.commit_with(Commit::default(), &[view("v", Some("a"), Some("d")), view("w", None, Some("e"))]).await.unwrap();
    assert_eq!(views().await, ["analytics.v=d", "analytics.w=e"]);
    let last = [view("v", Some("d"), None), view("w", Some("e"), None), ObjectChange::RemoveNamespace(analytics)];
    let commit = Commit { swaps: vec![table("t", Some("one.json"), None)], cursor: None };
    catalog.commit_with(commit, &last).await.unwrap();
    assert!(views().await.is_empty() && catalog.namespaces().await.unwrap().is_empty());
}
