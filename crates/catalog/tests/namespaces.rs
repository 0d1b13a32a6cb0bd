//! Namespaces of people's own, their properties, and views.

use crate::places::open;
use catalog::{Commit, NamespaceDrop, PointerSwap, Properties};
use model::{LakeTable, Layer};

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub async fn a_namespace_is_made_once_and_dropped_when_it_holds_nothing(url: &str) {
    let catalog = open(url).await;
    let layer: Layer = "analytics".parse().unwrap();
    assert_eq!(catalog.drop_namespace(layer).await.unwrap(), NamespaceDrop::Unknown);
    assert!(catalog.create_namespace(layer, &properties(&[("owner", "ann")])).await.unwrap());
    assert!(!catalog.create_namespace(layer, &Properties::new()).await.unwrap());
    let found = catalog.namespace(layer).await.unwrap().unwrap();
    assert_eq!((found.layer, found.properties), (layer, properties(&[("owner", "ann")])));

    let table = LakeTable::new(layer, "t");
    let swap = |expected: Option<&str>, new: Option<&str>| PointerSwap {
        table: table.clone(),
        expected: expected.map(str::to_owned),
        new: new.map(str::to_owned),
        writer: None,
    };
    catalog.commit(Commit { swaps: vec![swap(None, Some("m1"))], cursor: None }).await.unwrap();
    assert_eq!(catalog.tables().await.unwrap()[0].table, table);
    let view = LakeTable::new(layer, "v");
    assert!(catalog.swap_view(&view, None, Some("w1")).await.unwrap());
    assert_eq!(catalog.drop_namespace(layer).await.unwrap(), NamespaceDrop::Holds(2));
    catalog.commit(Commit { swaps: vec![swap(Some("m1"), None)], cursor: None }).await.unwrap();
    assert!(catalog.swap_view(&view, Some("w1"), None).await.unwrap());
    assert_eq!(catalog.drop_namespace(layer).await.unwrap(), NamespaceDrop::Dropped);
    assert!(catalog.namespaces().await.unwrap().is_empty());
}

pub async fn properties_change_in_one_step(url: &str) {
    let catalog = open(url).await;
    let own: Layer = "own".parse().unwrap();
    assert_eq!(catalog.change_namespace(own, &[], &properties(&[("a", "1")])).await.unwrap(), None);
    catalog.create_namespace(own, &properties(&[("a", "1"), ("b", "2")])).await.unwrap();
    let removed = ["a".to_owned(), "nothing".to_owned()];
    let former = catalog.change_namespace(own, &removed, &properties(&[("c", "3")])).await.unwrap().unwrap();
    assert_eq!(former, properties(&[("a", "1"), ("b", "2")]));
    assert_eq!(catalog.namespace(own).await.unwrap().unwrap().properties, properties(&[("b", "2"), ("c", "3")]));
    // A layer is there without having been made.
    let former = catalog.change_namespace(Layer::Gold, &[], &properties(&[("team", "bi")])).await.unwrap();
    assert_eq!(former, Some(Properties::new()));
    assert_eq!(catalog.namespace(Layer::Gold).await.unwrap().unwrap().properties, properties(&[("team", "bi")]));
}

pub async fn a_view_moves_only_from_where_it_was_expected(url: &str) {
    let catalog = open(url).await;
    let layer: Layer = "own".parse().unwrap();
    let (view, other) = (LakeTable::new(layer, "v"), LakeTable::new(layer, "w"));
    assert!(!catalog.swap_view(&view, Some("1"), Some("2")).await.unwrap());
    assert!(catalog.swap_view(&view, None, Some("1")).await.unwrap());
    assert!(!catalog.swap_view(&view, None, Some("2")).await.unwrap());
    assert!(catalog.swap_view(&view, Some("1"), Some("2")).await.unwrap());
    assert_eq!(catalog.view(&view).await.unwrap().unwrap().metadata_location, "2");
    assert!(catalog.rename_view(&view, &other).await.unwrap());
    assert!(!catalog.rename_view(&view, &other).await.unwrap());
    let names: Vec<_> = catalog.views(layer).await.unwrap().into_iter().map(|v| v.view.name).collect();
    assert_eq!(names, ["w"]);
    assert!(!catalog.swap_view(&other, Some("1"), None).await.unwrap());
    assert!(catalog.swap_view(&other, Some("2"), None).await.unwrap());
    assert_eq!(catalog.view(&other).await.unwrap(), None);
}
