//! The rules for outside engines, over a lake in a temporary folder. Real engines go through them in the black-box tests.

use super::*;
use crate::{
    LakeSettings, TableChange, TableSpec,
    commit::manifests::{self, Listing, Stamp},
    table::with_field_id,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use catalog::{Catalog, Properties};
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, FormatVersion, ManifestContentType};
use object_store::path::Path;
use runtime::SystemClock;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

struct World {
    dir: tempfile::TempDir,
    lake: Lake,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = open(dir.path()).await;
        lake.outside().create_namespace("own", &Properties::new()).await.unwrap();
        Self { dir, lake }
    }

    fn outside(&self) -> Outside {
        self.lake.outside()
    }

    async fn table(&self, name: &str) -> LakeTable {
        self.outside().create_table(own(), create(name)).await.unwrap();
        LakeTable::new(own(), name)
    }

    async fn commit(&self, table: &LakeTable, requirements: Value, updates: Value) -> Result<LoadedTable, Error> {
        let done = self.outside().commit(vec![(table.clone(), change(requirements, updates))]).await?;
        Ok(done.into_iter().next().unwrap())
    }

    /// Files in the warehouse whose path has this text.
    fn files(&self, part: &str) -> usize {
        fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path().display().to_string()) }
            }
        }
        let mut found = Vec::new();
        walk(&self.dir.path().join("lake"), &mut found);
        found.iter().filter(|f| f.contains(part)).count()
    }
}

async fn open(dir: &std::path::Path) -> Lake {
    let clock = SystemClock::shared();
    let catalog = Catalog::open(&format!("sqlite:{}", dir.join("catalog.db").display()), clock.clone()).await.unwrap();
    let settings = LakeSettings { warehouse: dir.join("lake").to_str().unwrap().to_owned(), options: BTreeMap::new() };
    Lake::open(settings, catalog, clock).await.unwrap()
}

fn own() -> Layer {
    "own".parse().unwrap()
}

fn columns(names: &[&str]) -> Value {
    let fields: Vec<Value> =
        (1..).zip(names).map(|(id, name)| json!({"id": id, "name": name, "required": false, "type": "long"})).collect();
    json!({"type": "struct", "schema-id": 0, "fields": fields})
}

fn create_with(name: &str, more: Value) -> Result<CreateTable, Error> {
    let mut request = json!({"name": name, "schema": columns(&["id", "n"]), "location": null, "stage-create": false});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    CreateTable::parse(request)
}

fn create(name: &str) -> CreateTable {
    create_with(name, json!({})).unwrap()
}

fn change(requirements: Value, updates: Value) -> CommitTable {
    CommitTable::parse(json!({"requirements": requirements, "updates": updates})).unwrap()
}

fn add_column(name: &str) -> Value {
    json!([{"action": "add-schema", "schema": columns(&["id", "n", name]), "last-column-id": 3}, {"action": "set-current-schema", "schema-id": -1}])
}

#[tokio::test(flavor = "multi_thread")]
async fn of_commits_that_race_exactly_one_wins_and_all_see_it() {
    let world = World::new().await;
    let table = world.table("t").await;
    let requirement = json!([{"type": "assert-current-schema-id", "current-schema-id": 0}]);
    let names: Vec<String> = (0..8).map(|i| format!("c{i}")).collect();
    let tries = names.iter().map(|name| world.commit(&table, requirement.clone(), add_column(name)));
    let ended = futures::future::join_all(tries).await;
    let won: Vec<&String> = names.iter().zip(&ended).filter(|(_, e)| e.is_ok()).map(|(n, _)| n).collect();
    assert_eq!(won.len(), 1);
    for lost in ended.iter().filter_map(|e| e.as_ref().err()) {
        assert_eq!(lost.kind, Kind::Conflict, "{lost}");
    }
    let seen = Arc::clone(&world.lake.view().tables[&table]);
    assert_eq!(seen.schema.field(2).name(), won[0]);
    assert_eq!(open_again(world).await.tables().state(&table).unwrap().schema().field(2).name(), won[0]);
}

async fn open_again(world: World) -> Lake {
    let World { dir, lake } = world;
    drop(lake);
    let lake = open(dir.path()).await;
    // The folder must outlive the lake in these short tests.
    std::mem::forget(dir);
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_moves_all_tables_or_none() {
    let world = World::new().await;
    let (a, b) = (world.table("a").await, world.table("b").await);
    let mut heard = world.lake.committed();
    let wrong = json!([{"type": "assert-last-assigned-field-id", "last-assigned-field-id": 99}]);
    let commits = |requirement: Value| {
        vec![(a.clone(), change(json!([]), add_column("x"))), (b.clone(), change(requirement, add_column("y")))]
    };
    let before = [world.outside().metadata_location(&a).unwrap(), world.outside().metadata_location(&b).unwrap()];
    assert_eq!(world.outside().commit(commits(wrong)).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!([world.outside().metadata_location(&a).unwrap(), world.outside().metadata_location(&b).unwrap()], before);
    assert!(heard.try_recv().is_err());
    world.outside().commit(commits(json!([]))).await.unwrap();
    assert_eq!(heard.try_recv().unwrap().tables, [a.clone(), b.clone()]);
    assert_eq!(world.lake.view().tables[&b].schema.fields().len(), 3);
    let twice = vec![(a.clone(), change(json!([]), json!([]))), (a.clone(), change(json!([]), json!([])))];
    assert_eq!(world.outside().commit(twice).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_table_is_made_by_its_commit_with_the_ids_it_was_promised() {
    let world = World::new().await;
    let request = create_with("t", json!({"stage-create": true, "properties": {"format-version": "2", "k": "v"}})).unwrap();
    let staged = world.outside().create_table(own(), request).await.unwrap();
    assert_eq!(staged.metadata_location, None);
    let table = LakeTable::new(own(), "t");
    assert_eq!(world.outside().table(&table).unwrap_err().kind, Kind::NotFound);
    let m = &staged.metadata;
    // Ids with a gap: whoever wrote files by them would lose its columns if they were numbered anew.
    let mut schema = m["schemas"][0].clone();
    schema["fields"][1]["id"] = json!(7);
    let updates = json!([
        {"action": "assign-uuid", "uuid": m["table-uuid"]},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "add-schema", "schema": schema},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"spec-id": 0, "fields": [{"source-id": 7, "field-id": 1000, "name": "part", "transform": "bucket[4]"}]}},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": m["location"]},
        {"action": "set-properties", "updates": {"k": "v"}},
    ]);
    let made = world.commit(&table, json!([{"type": "assert-create"}]), updates.clone()).await.unwrap();
    assert_eq!(made.metadata["table-uuid"], m["table-uuid"]);
    assert_eq!(made.metadata["current-schema-id"], 0);
    assert_eq!(made.metadata["schemas"][0]["fields"][1]["id"], 7);
    assert_eq!(made.metadata["default-spec-id"], 0);
    assert_eq!(made.metadata["partition-specs"].as_array().unwrap().len(), 1);
    assert_eq!(made.metadata["location"], m["location"]);
    let again = world.commit(&table, json!([{"type": "assert-create"}]), updates).await.unwrap_err();
    assert_eq!(again.kind, Kind::Exists);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lakebox_could_not_read_is_refused_before_it_is_made() {
    let world = World::new().await;
    let typed = |kind: Value| json!({"schema": {"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "c", "required": false, "type": kind}]}});
    let map = json!({"type": "map", "key-id": 2, "key": "string", "value-id": 3, "value": "int", "value-required": false});
    for (more, part) in [
        (json!({"properties": {"format-version": "4"}}), "format version"),
        (json!({"properties": {"format-version": "1"}}), "format version 1"),
        (json!({"location": "file:///elsewhere/t"}), "not inside the warehouse"),
        (json!({"location": format!("{}/silver/t", world.lake.warehouse().root())}), "lakebox's own"),
        (json!({"location": format!("{}/.lakebox/t", world.lake.warehouse().root())}), "lakebox's own"),
        (json!({"location": world.lake.warehouse().root()}), "not inside the warehouse"),
        (typed(json!("uuid")), "uuid"),
        (typed(map), "map"),
    ] {
        let error = world.outside().create_table(own(), create_with("t", more).unwrap()).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Invalid | Kind::Schema), "{error}");
        assert!(error.message.contains(part) && error.hint.is_some(), "{error}");
    }
    for name in ["", "a b", "a/b", "..", "ü", "1a", &"n".repeat(129)] {
        let error = world.outside().create_table(own(), create(name)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{name}");
    }
    assert!(world.outside().tables(own()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_inside_a_column_keeps_its_name_but_a_column_may_be_renamed() {
    let world = World::new().await;
    let schema = |column: &str, inner: &str| {
        let inside = json!({"type": "struct", "fields": [{"id": 2, "name": inner, "required": false, "type": "int"}]});
        json!({"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": column, "required": false, "type": inside}]})
    };
    world.outside().create_table(own(), create_with("t", json!({"schema": schema("s", "a")})).unwrap()).await.unwrap();
    let table = LakeTable::new(own(), "t");
    let wear =
        |schema: Value| json!([{"action": "add-schema", "schema": schema}, {"action": "set-current-schema", "schema-id": -1}]);
    world.commit(&table, json!([]), wear(schema("renamed", "a"))).await.unwrap();
    let error = world.commit(&table, json!([]), wear(schema("renamed", "b"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Schema);
    assert!(error.message.contains("renamed or made anew"), "{error}");
}

/// A snapshot with one file, as an engine adds it.
async fn snapshot_with(world: &World, table: &LakeTable, content: DataContentType, format: DataFileFormat) -> Value {
    let store = world.lake.warehouse();
    let state = world.lake.tables().state(table).unwrap();
    let stamp = Stamp { snapshot_id: 77, parent: None, sequence: 1, version: FormatVersion::V2, next_row_id: 0 };
    let home = format!("own/{}", table.name);
    let mut builder = DataFileBuilder::default();
    builder
        .content(content)
        .file_path(format!("file:{}/{home}/data/f", store.directory().unwrap().display()))
        .file_format(format);
    builder.record_count(1).file_size_in_bytes(10);
    if content == DataContentType::EqualityDeletes {
        builder.equality_ids(Some(vec![1]));
    }
    let kind = if content == DataContentType::Data { ManifestContentType::Data } else { ManifestContentType::Deletes };
    let listing = Listing { added: vec![builder.build().unwrap()], ..Listing::default() };
    let schema = Arc::clone(state.parts.metadata.current_schema());
    let (path, spec) = (Path::from(format!("{home}/metadata/m.avro")), iceberg::spec::PartitionSpec::unpartition_spec());
    let manifest = manifests::encode(store, path, kind, schema, spec, stamp, listing).await.unwrap();
    let list = Path::from(format!("{home}/metadata/list.avro"));
    let (list, bytes) = manifests::encode_list(store, &list, stamp, std::slice::from_ref(&manifest.file)).await.unwrap();
    store.put_all(vec![(manifest.path, manifest.bytes), (list.clone(), bytes)]).await.unwrap();
    let now_ms = world.lake.clock().now_us() / 1000;
    json!([
        {"action": "add-snapshot", "snapshot": {"snapshot-id": 77, "sequence-number": 1, "timestamp-ms": now_ms, "schema-id": 0,
            "manifest-list": store.location(&list), "summary": {"operation": "append"}}},
        {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 77},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_lakebox_could_not_read_keep_their_commit_out() {
    let world = World::new().await;
    for (i, (content, format, part)) in [
        (DataContentType::EqualityDeletes, DataFileFormat::Parquet, "equality deletes"),
        (DataContentType::Data, DataFileFormat::Avro, "avro"),
        (DataContentType::Data, DataFileFormat::Orc, "orc"),
        (DataContentType::Data, DataFileFormat::Puffin, "puffin"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = world.table(&format!("t{i}")).await;
        let updates = snapshot_with(&world, &table, content, format).await;
        let error = world.commit(&table, json!([]), updates).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.message.contains(part) && error.hint.is_some(), "{error}");
        assert_eq!(world.lake.view().tables[&table].snapshot_id, None);
    }
    // The same way in is open to what can be read.
    let table = world.table("good").await;
    let updates = snapshot_with(&world, &table, DataContentType::Data, DataFileFormat::Parquet).await;
    let absent = json!([{"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": null}]);
    world.commit(&table, absent.clone(), updates).await.unwrap();
    let seen = Arc::clone(&world.lake.view().tables[&table]);
    assert_eq!((seen.snapshot_id, seen.live_rows(), seen.files[0].path.as_ref()), (Some(77), 1, "own/good/data/f"));
    assert_eq!(world.commit(&table, absent, json!([])).await.unwrap_err().kind, Kind::Conflict);
}

/// A table as a pipeline makes it.
async fn kept(world: &World) -> LakeTable {
    let table = LakeTable::new(Layer::Silver, "shop_orders");
    let mut first = TableChange::new(table.clone());
    let id = with_field_id(&Field::new("id", DataType::Int64, false), 101);
    first.spec = Some(TableSpec::new(Arc::new(ArrowSchema::new(vec![id]))));
    first.writer = Some("shop".to_owned());
    world.lake.commit(vec![first], None).await.unwrap();
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_pipeline_takes_properties_and_nothing_else() {
    let world = World::new().await;
    let table = kept(&world).await;
    let properties = |key: &str| json!([{"action": "set-properties", "updates": {key: "x"}}]);
    let done = world.commit(&table, json!([]), properties("comment")).await.unwrap();
    assert_eq!(done.metadata["properties"]["comment"], "x");
    assert!(!world.lake.view().tables.contains_key(&table), "what is seen of it is the pipeline's to publish");
    // The pipeline goes on from there.
    let mut next = TableChange::new(table.clone());
    next.properties.insert("more".to_owned(), Some("y".to_owned()));
    world.lake.commit(vec![next], None).await.unwrap();
    let state = world.lake.tables().state(&table).unwrap();
    assert_eq!((state.property("comment"), state.property("more"), state.writer()), (Some("x"), Some("y"), Some("shop")));

    let tag = json!([{"action": "set-snapshot-ref", "ref-name": "eoy", "type": "tag", "snapshot-id": 1}]);
    for (updates, part) in [
        (properties("gc.enabled"), "the property `gc.enabled`"),
        (properties("lakebox.key"), "the property `lakebox.key`"),
        (properties("history.expire.min-snapshots-to-keep"), "the property"),
        (add_column("x"), "its columns"),
        (tag, "its branch or tag `eoy`"),
        (json!([{"action": "remove-snapshots", "snapshot-ids": [1]}]), "its rows"),
        (json!([{"action": "set-location", "location": "file:///x"}]), "its metadata"),
    ] {
        // The owner is named even where the client's picture of the table is old, so that it does not try again.
        let old = json!([{"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": 12345}]);
        let error = world.commit(&table, old, updates).await.unwrap_err();
        assert_eq!(error.kind, Kind::Owned, "{error}");
        assert!(error.message.contains("the pipeline `shop`") && error.message.contains(part), "{error}");
    }
    let outside = world.outside();
    let new = LakeTable::new(own(), "mine");
    assert_eq!(outside.drop_table(&table, false).await.unwrap_err().kind, Kind::Owned);
    assert_eq!(outside.rename_table(&table, &new).await.unwrap_err().kind, Kind::Owned);
    assert_eq!(outside.create_table(Layer::Gold, create("t")).await.unwrap_err().kind, Kind::Owned);
    world.table("mine").await;
    assert_eq!(outside.rename_table(&new, &LakeTable::new(Layer::Gold, "t")).await.unwrap_err().kind, Kind::Owned);
    assert_eq!(outside.drop_namespace(Layer::Bronze).await.unwrap_err().kind, Kind::Owned);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shared_by_tables_and_views_and_follow_a_rename() {
    let world = World::new().await;
    let table = world.table("t").await;
    let outside = world.outside();
    assert_eq!(outside.create_table(own(), create("t")).await.unwrap_err().kind, Kind::Exists);
    let nowhere: Layer = "nowhere".parse().unwrap();
    assert_eq!(outside.create_table(nowhere, create("t")).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(outside.drop_namespace(own()).await.unwrap_err().kind, Kind::NotEmpty);

    let view = |name: &str| {
        let version = json!({"version-id": 1, "schema-id": 0, "timestamp-ms": world.lake.clock().now_us() / 1000, "summary": {},
            "representations": [{"type": "sql", "sql": "select 1", "dialect": "spark"}], "default-namespace": ["own"]});
        CreateView::parse(json!({"name": name, "schema": columns(&["a"]), "view-version": version, "properties": {}})).unwrap()
    };
    assert_eq!(outside.create_view(own(), view("t")).await.unwrap_err().kind, Kind::Exists);
    let made = outside.create_view(own(), view("v")).await.unwrap();
    assert_eq!(outside.create_table(own(), create("v")).await.unwrap_err().kind, Kind::Exists);
    let v = LakeTable::new(own(), "v");
    let other = json!([{"type": "assert-view-uuid", "uuid": "00000000-0000-0000-0000-000000000000"}]);
    let replace = |requirements: Value| {
        CommitView::parse(json!({"requirements": requirements, "updates": [{"action": "set-properties", "updates": {"a": "b"}}]}))
            .unwrap()
    };
    assert_eq!(outside.replace_view(&v, replace(other)).await.unwrap_err().kind, Kind::Conflict);
    let same = json!([{"type": "assert-view-uuid", "uuid": made.metadata["view-uuid"]}]);
    assert_eq!(outside.replace_view(&v, replace(same)).await.unwrap().metadata["properties"]["a"], "b");
    let w = LakeTable::new(own(), "w");
    outside.rename_view(&v, &w).await.unwrap();
    assert_eq!(outside.view(&v).await.unwrap_err().kind, Kind::NotFound);
    outside.drop_view(&w).await.unwrap();

    let renamed = LakeTable::new(own(), "u");
    outside.rename_table(&table, &renamed).await.unwrap();
    assert_eq!(world.lake.view().tables.keys().collect::<Vec<_>>(), [&renamed]);
    // The old name is free, and its folder is not shared.
    world.table("t").await;
    let location = |t: &LakeTable| outside.table(t).unwrap().location;
    assert_ne!(location(&table), location(&renamed));
    drop(outside);
    let lake = open_again(world).await;
    assert_eq!(lake.view().tables.keys().collect::<Vec<_>>(), [&table, &renamed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_with_purge_removes_the_tables_files_and_no_others() {
    let world = World::new().await;
    let (a, b) = (world.table("a").await, world.table("b").await);
    world.commit(&a, json!([]), add_column("x")).await.unwrap();
    assert_eq!((world.files("/own/a/"), world.files("/own/b/")), (2, 1));
    world.outside().drop_table(&a, true).await.unwrap();
    assert_eq!((world.files("/own/a/"), world.files("/own/b/")), (0, 1));
    assert_eq!(world.lake.view().tables.keys().collect::<Vec<_>>(), [&b]);
    assert_eq!(world.outside().drop_table(&a, true).await.unwrap_err().kind, Kind::NotFound);
    // Forgotten, but still there to be registered.
    let location = world.outside().metadata_location(&b).unwrap();
    world.outside().drop_table(&b, false).await.unwrap();
    assert_eq!(world.files("/own/b/"), 1);
    let other = location.replace("file:///", "/");
    let back = world.outside().register_table(&a, &other, false).await.unwrap();
    assert_eq!(back.metadata_location.as_deref(), Some(location.as_str()));
    assert_eq!(world.outside().register_table(&a, &other, false).await.unwrap_err().kind, Kind::Exists);
    world.outside().register_table(&a, &other, true).await.unwrap();
    // Two names for the same files: purging one leaves them to the other.
    world.outside().register_table(&b, &other, false).await.unwrap();
    world.outside().drop_table(&a, true).await.unwrap();
    assert_eq!(world.files("/own/b/"), 1);
    world.commit(&b, json!([]), json!([{"action": "set-properties", "updates": {"gc.enabled": "false"}}])).await.unwrap();
    assert_eq!(world.outside().drop_table(&b, true).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_broke_is_left_out_and_can_be_dropped() {
    let world = World::new().await;
    let (good, bad) = (world.table("good").await, world.table("bad").await);
    let location = world.outside().metadata_location(&bad).unwrap();
    std::fs::remove_file(location.strip_prefix("file://").unwrap()).unwrap();
    let lake = open_again(world).await;
    assert_eq!(lake.view().tables.keys().collect::<Vec<_>>(), [&good]);
    assert_eq!(lake.outside().table(&bad).unwrap_err().kind, Kind::NotFound);
    assert_eq!(lake.outside().create_table(own(), create("bad")).await.unwrap_err().kind, Kind::Exists);
    lake.outside().drop_table(&bad, true).await.unwrap();
    lake.outside().create_table(own(), create("bad")).await.unwrap();
}
