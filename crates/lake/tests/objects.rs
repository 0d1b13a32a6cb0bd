//! What SQL makes: tables, views and schemas in transactions, seen by all at once or not at all.

use crate::world::{World, check_outside, printed, rows, schema};
use futures::StreamExt;
use lake::{CreateView, Kind, Lake, ObjectTransaction, ReplaceOptions, RowDelta, SendableBatches, SqlView, Thresholds};
use model::{LakeTable, Layer};
use serde_json::json;

fn stream(ids: &[i64]) -> SendableBatches {
    futures::stream::iter([Ok(rows(ids))]).boxed()
}

fn options() -> ReplaceOptions {
    let writer = Some(lake::SQL_WRITER.to_owned());
    ReplaceOptions { schema: schema(), key: Vec::new(), sort_order: Vec::new(), summary: [].into(), writer }
}

fn named(name: &str) -> LakeTable {
    format!("analytics.{name}").parse().unwrap()
}

fn view_of(name: &str) -> SqlView {
    SqlView::new(named(name), "SELECT 1".to_owned(), schema())
}

async fn made(lake: &Lake) {
    let mut transaction = ObjectTransaction::default();
    transaction.add_schema(lake, "analytics".parse().unwrap());
    transaction.put_table(lake, named("t"), stream(&[1, 2, 3]), options(), &[], 2).await.unwrap();
    transaction.set_view(lake, view_of("v"));
    let before = lake.view();
    assert!(!before.tables.contains_key(&named("t")) && before.views.is_empty() && before.schemas.is_empty());
    let own = transaction.over(&before);
    assert_eq!((own.tables[&named("t")].live_rows(), own.views.len(), own.schemas.len()), (3, 1, 1));
    transaction.commit(lake).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_made_is_seen_at_its_commit_and_after_a_restart() {
    let world = World::new().await;
    made(&world.lake).await;
    let world = world.reopen().await;
    let view = world.lake.view();
    assert_eq!(view.tables[&named("t")].live_rows(), 3);
    let kept = &view.views[&named("v")];
    assert_eq!((kept.definition.as_str(), &kept.schema, kept.is_ours()), ("SELECT 1", &schema(), true));
    assert!(view.schemas.contains(&"analytics".parse().unwrap()));
    assert_eq!(world.lake.info(&named("t")).unwrap().writer.as_deref(), Some("sql"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_swapped_for_another_by_renaming_both_and_rows_are_added() {
    let world = World::new().await;
    let lake = &world.lake;
    made(lake).await;
    let mut transaction = ObjectTransaction::default();
    transaction.put_table(lake, named("t__new"), stream(&[7, 8]), options(), &[], 2).await.unwrap();
    transaction.append(lake, &named("t__new"), stream(&[9])).await.unwrap();
    transaction.rename_table(lake, &named("t"), &named("t__old")).unwrap();
    transaction.rename_table(lake, &named("t__new"), &named("t")).unwrap();
    transaction.rename_view(lake, &named("v"), &named("w")).unwrap();
    transaction.remove_table(lake, &named("t__old"));
    transaction.commit(lake).await.unwrap();
    let world = world.reopen().await;
    let view = world.lake.view();
    let names: Vec<String> = view.tables.keys().filter(|t| t.layer.is_users()).map(ToString::to_string).collect();
    assert_eq!(names, ["analytics.t"]);
    assert_eq!(view.tables[&named("t")].live_rows(), 3);
    assert_eq!(view.views.keys().map(ToString::to_string).collect::<Vec<_>>(), ["analytics.w"]);
    let info = world.lake.info(&named("t")).unwrap();
    assert!(info.files.iter().all(|f| f.location.contains("/analytics/t__new/data/")), "files stay where they were written");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_transactions_on_one_name_the_second_fails_and_changes_nothing() {
    let world = World::new().await;
    let lake = &world.lake;
    made(lake).await;
    let (mut first, mut second) = (ObjectTransaction::default(), ObjectTransaction::default());
    first.append(lake, &named("t"), stream(&[4])).await.unwrap();
    second.put_table(lake, named("t"), stream(&[5, 6]), options(), &[], 2).await.unwrap();
    second.set_view(lake, view_of("other"));
    first.commit(lake).await.unwrap();
    assert_eq!(second.commit(lake).await.unwrap_err().kind, Kind::Conflict);
    let view = lake.view();
    assert_eq!((view.tables[&named("t")].live_rows(), view.views.len()), (4, 1));
    let mut third = ObjectTransaction::default();
    third.append(lake, &named("t"), stream(&[5, 6])).await.unwrap();
    third.commit(lake).await.unwrap();
    assert_eq!(lake.view().tables[&named("t")].live_rows(), 6);
    assert_eq!(ObjectTransaction::default().rename_table(lake, &named("no"), &named("yes")).unwrap_err().kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_change_different_rows_of_a_table_all_take_place_and_upkeep_gives_way_to_them() {
    let world = World::new().await;
    let lake = &world.lake;
    made(lake).await;
    let (mut first, mut second) = (ObjectTransaction::default(), ObjectTransaction::default());
    first.append(lake, &named("t"), stream(&[4])).await.unwrap();
    let file = second.touch(lake, &named("t")).await.unwrap().files()[0].path.clone();
    let append = second.write(lake, &named("t"), stream(&[30])).await.unwrap();
    let delta = |rows: &[u32], append| RowDelta {
        deletes: vec![(file.clone(), rows.iter().copied().collect())],
        append,
        exclusive: false,
    };
    second.change_rows(lake, &named("t"), delta(&[2], append)).await.unwrap();
    let (mut third, mut fourth) = (second.clone(), ObjectTransaction::default());
    fourth.change_rows(lake, &named("t"), RowDelta { exclusive: true, ..delta(&[0], Vec::new()) }).await.unwrap();
    first.commit(lake).await.unwrap();
    let stop = runtime::CancellationToken::new();
    let error = lake.rewrite_files(&named("t"), &Thresholds::default(), true, &stop).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    second.commit(lake).await.unwrap();
    assert_eq!(lake.view().tables[&named("t")].live_rows(), 4);
    third.append(lake, &named("t"), stream(&[99])).await.unwrap();
    assert_eq!(third.commit(lake).await.unwrap_err().kind, Kind::Conflict, "the row is gone already");
    assert_eq!(fourth.commit(lake).await.unwrap_err().kind, Kind::Conflict, "it bears nobody beside it");
    let expected: Vec<_> = [1, 2, 4, 30].map(printed).into();
    check_outside(lake.tables().state(&named("t")).unwrap().metadata_location(), &expected);
    // Nobody is at work on it now.
    let done = lake.rewrite_files(&named("t"), &Thresholds::default(), true, &stop).await.unwrap();
    assert_eq!((done.files_before, done.files_after, done.deleted_rows), (3, 1, 1));
    check_outside(lake.tables().state(&named("t")).unwrap().metadata_location(), &expected);
    let world = world.reopen().await;
    assert_eq!(world.lake.view().tables[&named("t")].live_rows(), 4);
}

fn layer() -> Layer {
    "analytics".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_and_views_of_sql_are_namespaces_and_views_of_the_rest_catalog_and_the_other_way_round() {
    let world = World::new().await;
    let (lake, outside) = (&world.lake, world.lake.outside());
    made(lake).await;
    assert!(outside.namespaces().await.unwrap().contains(&layer()));
    let first = outside.view(&named("v")).await.unwrap().metadata;
    let statement = |m: &serde_json::Value| {
        let current = m["current-version-id"].as_i64();
        let versions = m["versions"].as_array().unwrap();
        versions.iter().find(|v| v["version-id"].as_i64() == current).unwrap()["representations"].clone()
    };
    assert_eq!(statement(&first), json!([{ "type": "sql", "sql": "SELECT 1", "dialect": "lakebox" }]));

    let mut again = ObjectTransaction::default();
    again.set_view(lake, SqlView::new(named("v"), "SELECT 2".to_owned(), schema()));
    again.commit(lake).await.unwrap();
    let second = outside.view(&named("v")).await.unwrap().metadata;
    assert_eq!(statement(&second)[0]["sql"], "SELECT 2");
    assert_eq!((&second["view-uuid"], second["versions"].as_array().unwrap().len()), (&first["view-uuid"], 2));

    let request = json!({
        "name": "w",
        "schema": { "type": "struct", "schema-id": 0, "fields": [{ "id": 1, "name": "n", "required": false, "type": "long" }] },
        "view-version": {
            "version-id": 1, "timestamp-ms": 1_700_000_000_000_i64, "schema-id": 0, "summary": {}, "default-namespace": ["analytics"],
            "representations": [{ "type": "sql", "sql": "select 3L", "dialect": "spark" }],
        },
    });
    outside.create_view(layer(), CreateView::parse(request.clone()).unwrap()).await.unwrap();
    let view = lake.view();
    let made_outside = &view.views[&named("w")];
    assert_eq!(
        (made_outside.dialect.as_str(), made_outside.is_ours(), made_outside.schema.field(0).name().as_str()),
        ("spark", false, "n")
    );

    // One space of names, and nothing is dropped from under something.
    assert_eq!(outside.drop_namespace(layer()).await.unwrap_err().kind, Kind::NotEmpty);
    let mut taken = request;
    taken["name"] = json!("t");
    assert_eq!(outside.create_view(layer(), CreateView::parse(taken).unwrap()).await.unwrap_err().kind, Kind::Exists);
    let mut clash = ObjectTransaction::default();
    clash.put_table(lake, named("w"), stream(&[1]), options(), &[], 2).await.unwrap();
    assert_eq!(clash.commit(lake).await.unwrap_err().kind, Kind::Conflict);

    outside.drop_view(&named("v")).await.unwrap();
    outside.rename_view(&named("w"), &named("x")).await.unwrap();
    assert_eq!(lake.view().views.keys().map(ToString::to_string).collect::<Vec<_>>(), ["analytics.x"]);
    outside.create_namespace("empty", &[].into()).await.unwrap();
    assert!(lake.view().schemas.contains(&"empty".parse().unwrap()));
    outside.drop_namespace("empty".parse().unwrap()).await.unwrap();
    drop(outside);
    let world = world.reopen().await;
    let view = world.lake.view();
    assert_eq!((view.views.len(), view.schemas.len(), view.tables.contains_key(&named("t"))), (1, 1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_dropped_tables_go_once_no_query_reads_them() {
    let world = World::new().await;
    let lake = &world.lake;
    made(lake).await;
    let data = world.dir.path().join("lake/analytics/t/data");
    let files = || std::fs::read_dir(&data).map_or(0, |dir| dir.count());
    assert_eq!(files(), 1);
    let read = ObjectTransaction::default().over(&lake.view());
    let mut drop_it = ObjectTransaction::default();
    drop_it.remove_table(lake, &named("t"));
    drop_it.commit(lake).await.unwrap();
    assert_eq!(files(), 1, "a query still reads it");
    drop(read);
    let mut next = ObjectTransaction::default();
    next.put_table(lake, named("u"), stream(&[1]), options(), &[], 2).await.unwrap();
    next.commit(lake).await.unwrap();
    let mut next = ObjectTransaction::default();
    next.remove_table(lake, &named("u"));
    next.commit(lake).await.unwrap();
    assert_eq!(files(), 0);
}
