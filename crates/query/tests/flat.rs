//! What queries cost does not grow with the number of commits a table has had, nor with the number of tables there are. Work is counted, not timed.

use crate::support::rows;
use ::lake::{
    DataFileWriter, Lake, LakeSettings, Retention, TableChange, TableSpec, Thresholds, WriterOptions, new_data_path,
    with_field_id,
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use model::{LakeTable, Layer};
use query::{Engine, QueryRequest, QuerySettings};
use roaring::RoaringBitmap;
use runtime::CancellationToken;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use testkit::VirtualClock;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type, id| with_field_id(&Field::new(name, data_type, true), id);
    Arc::new(Schema::new(vec![field("id", DataType::Int64, 101), field("name", DataType::Utf8, 102)]))
}

fn batch(first: i64, count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new((first..first + count).collect::<Int64Array>());
    let names: ArrayRef = Arc::new((first..first + count).map(|id| Some(format!("n{id}"))).collect::<StringArray>());
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

async fn open(dir: &Path, clock: &VirtualClock) -> Lake {
    let url = format!("sqlite:{}", dir.join("catalog.db").display());
    let catalog = catalog::Catalog::open(&url, clock.shared()).await.unwrap();
    let settings = LakeSettings { warehouse: dir.join("lake").to_str().unwrap().to_owned(), options: BTreeMap::new() };
    Lake::open(settings, catalog, clock.shared()).await.unwrap()
}

fn engine(lake: &Lake, clock: &VirtualClock) -> Engine {
    let settings = QuerySettings { threads: 2, ..QuerySettings::default() };
    Engine::new(Arc::new(lake.clone()), lake.store(), settings, clock.shared()).unwrap()
}

async fn commit(lake: &Lake, table: &LakeTable, first: i64, count: i64) {
    let mut change = TableChange::new(table.clone());
    change.spec = Some(TableSpec { schema: schema(), key: vec!["id".to_owned()], sort_order: Vec::new() });
    if let Some(file) = lake.tables().state(table).and_then(|s| s.files().last().cloned()) {
        change.deletes = vec![(file.path, RoaringBitmap::from([0]))];
    }
    let mut writer = DataFileWriter::create(lake.warehouse(), new_data_path(table), &schema(), WriterOptions::default()).unwrap();
    writer.write(&batch(first, count)).unwrap();
    change.append = vec![Arc::new(writer.finish().unwrap())];
    let states = lake.commit(vec![change], None).await.unwrap();
    lake.publish(None, states.iter().map(|s| Arc::clone(s.view())).collect());
}

/// What a table costs whoever plans on it or opens it.
#[derive(Debug)]
struct Cost {
    files: usize,
    snapshots: usize,
    metadata_bytes: u64,
    /// Reads to open the lake with this table alone.
    opening_reads: u64,
}

/// A lake with one table of so many commits, kept in shape each minute of its own time.
async fn aged(commits: i64) -> Cost {
    let dir = tempfile::tempdir().unwrap();
    let clock = VirtualClock::new();
    let lake = open(dir.path(), &clock).await;
    let table = LakeTable::new(Layer::Silver, "t");
    for number in 0..commits {
        commit(&lake, &table, number * 5, 5).await;
        clock.advance(Duration::from_secs(5));
        if number % 12 == 11 || number + 1 == commits {
            let stop = CancellationToken::new();
            while lake.rewrite_files(&table, &Thresholds::default(), false, &stop).await.unwrap().anything() {}
            lake.merge_manifests(&table).await.unwrap();
            lake.expire_snapshots(&table, &Retention::default()).await.unwrap();
        }
    }
    let engine = engine(&lake, &clock);
    let sql = "SELECT count(name) FROM silver.t WHERE id > 7";
    let before = lake.stats().requests;
    engine.estimate(QueryRequest::new(sql, "test")).await.unwrap();
    rows(&engine, &format!("EXPLAIN {sql}")).await.unwrap();
    assert_eq!(lake.stats().requests, before, "planning asked the object store");
    // A row of each commit but the last was deleted by the next one.
    assert_eq!(rows(&engine, "SELECT count(*) FROM silver.t").await.unwrap(), [(commits * 4 + 1).to_string()]);
    let state = lake.tables().state(&table).unwrap();
    let metadata = state.metadata_location().trim_start_matches("file://");
    let (files, snapshots, metadata_bytes) =
        (state.files().len(), state.snapshots().len(), std::fs::metadata(metadata).unwrap().len());
    drop((engine, state, lake));
    let again = open(dir.path(), &clock).await;
    Cost { files, snapshots, metadata_bytes, opening_reads: again.stats().requests.gets }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_many_commits_costs_what_one_of_few_does() {
    let (few, some, many) = (aged(10).await, aged(150).await, aged(450).await);
    assert!(many.files <= few.files + 8, "{few:?} {many:?}");
    assert!(many.opening_reads <= few.opening_reads + 12, "{few:?} {many:?}");
    // Ten minutes of snapshots are kept, and one for each hour: that is reached early and does not grow with age.
    assert!(many.snapshots <= 170 && many.snapshots <= some.snapshots + 6, "{some:?} {many:?}");
    assert!(many.metadata_bytes <= some.metadata_bytes * 12 / 10, "{some:?} {many:?}");
}

#[tokio::test]
async fn lists_of_tables_read_nothing_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let clock = VirtualClock::new();
    let lake = open(dir.path(), &clock).await;
    for number in 0..60 {
        commit(&lake, &LakeTable::new(Layer::Silver, format!("t{number}")), 0, 3).await;
    }
    let engine = engine(&lake, &clock);
    let before = lake.stats().requests;
    for sql in [
        "SELECT table_name FROM system.tables WHERE table_schema = 'silver'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'silver'",
        "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = 'silver'",
    ] {
        assert_eq!(rows(&engine, sql).await.unwrap().len(), 60, "{sql}");
    }
    assert_eq!(engine.schema_tree().tables.iter().filter(|t| t.schema == "silver").count(), 60);
    assert_eq!(lake.stats().requests, before);
}
