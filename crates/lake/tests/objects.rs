//! What SQL makes: tables, views and schemas in transactions, seen by all at once or not at all.

use crate::world::{World, rows, schema};
use futures::StreamExt;
use lake::{Kind, Lake, ObjectTransaction, ReplaceOptions, SendableBatches, SqlView};
use model::LakeTable;

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
    transaction.put_table(lake, named("t"), stream(&[1, 2, 3]), options()).await.unwrap();
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
    transaction.put_table(lake, named("t__new"), stream(&[7, 8]), options()).await.unwrap();
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
    second.append(lake, &named("t"), stream(&[5, 6])).await.unwrap();
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
