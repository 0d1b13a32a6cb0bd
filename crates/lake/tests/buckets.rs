//! The lake on an object store.

use crate::world::{printed, rows, schema, sorted};
use arrow::{
    array::{ArrayRef, BinaryArray, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use catalog::Catalog;
use lake::{
    DataFileWriter, Lake, LakeSettings, Store, TableChange, TableSpec, WriterOptions, WrittenFile, new_data_path, with_field_id,
};
use model::{LakeTable, Layer};
use std::{collections::BTreeMap, sync::Arc};

fn table() -> LakeTable {
    LakeTable::new(Layer::Silver, "shop_orders")
}

async fn catalog(dir: &tempfile::TempDir) -> Catalog {
    Catalog::open(&format!("sqlite:{}", dir.path().join("c.db").display()), runtime::SystemClock::shared()).await.unwrap()
}

async fn write(lake: &Lake, schema: SchemaRef, batches: Vec<RecordBatch>) -> Arc<WrittenFile> {
    let store = lake.warehouse().clone();
    let write = move || {
        let mut writer = DataFileWriter::create(&store, new_data_path(&table()), &schema, WriterOptions::default()).unwrap();
        for batch in batches {
            writer.write(&batch).unwrap();
        }
        Arc::new(writer.finish().unwrap())
    };
    runtime::blocking("writing a file", write).await.unwrap()
}

async fn commit(lake: &Lake, schema: SchemaRef, file: &Arc<WrittenFile>, deleted: std::ops::Range<u32>) {
    let mut change = TableChange::new(table());
    change.spec = Some(TableSpec::new(schema));
    change.append.push(Arc::clone(file));
    change.deletes.push((file.path.clone(), deleted.collect()));
    lake.commit(vec![change], None).await.unwrap();
}

/// Rows that don't compress, so that a file has several parts.
fn noise(ids: std::ops::Range<i64>) -> (SchemaRef, Vec<RecordBatch>) {
    let fields = [("id", DataType::Int64, 101), ("raw", DataType::Binary, 102)];
    let schema = Arc::new(Schema::new(fields.map(|(name, t, id)| with_field_id(&Field::new(name, t, true), id)).to_vec()));
    let ids: Vec<i64> = ids.collect();
    let batch = |ids: &[i64]| {
        let hash = |i: &i64| {
            (0..8).flat_map(|n| xxhash_rust::xxh3::xxh3_64_with_seed(&i.to_le_bytes(), n).to_le_bytes()).collect::<Vec<u8>>()
        };
        let raw: BinaryArray = ids.iter().map(|i| Some(hash(i))).collect();
        let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(Int64Array::from(ids.to_vec()))), ("raw", Arc::new(raw))];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    (schema, ids.chunks(20_000).map(batch).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_holds_a_lake_as_a_disk_does() {
    let objects: Arc<dyn object_store::ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let dir = tempfile::tempdir().unwrap();
    let catalog = catalog(&dir).await;
    let lake = Lake::over(Store::over(Arc::clone(&objects)), catalog.clone(), runtime::SystemClock::shared()).await.unwrap();
    let (schema, batches) = noise(0..300_000);
    let file = write(&lake, schema.clone(), batches).await;
    assert!(file.bytes > 16 << 20, "{} bytes are more than one part", file.bytes);
    commit(&lake, schema, &file, 0..1000).await;
    assert!(lake.stats().requests.puts >= 8, "{:?}", lake.stats());
    drop(lake);
    let again = Lake::over(Store::over(objects), catalog, runtime::SystemClock::shared()).await.unwrap();
    assert_eq!(again.view().tables[&table()].live_rows(), 300_000 - 1000);
    let bytes = again.warehouse().get(&file.path).await.unwrap();
    assert_eq!(bytes.len() as u64, file.bytes);
    let footer = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    assert_eq!(footer.metadata().file_metadata().num_rows(), 300_000);
}

/// Needs a bucket: `LAKEBOX_S3_WAREHOUSE=s3://bucket/prefix` and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server"]
async fn a_bucket_is_read_by_outside_engines_too() {
    let at = |name: &str| {
        std::env::vars().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_else(|| panic!("{name} is not set"))
    };
    let options = [
        ("aws_endpoint", at("AWS_ENDPOINT_URL")),
        ("aws_access_key_id", at("AWS_ACCESS_KEY_ID")),
        ("aws_secret_access_key", at("AWS_SECRET_ACCESS_KEY")),
        ("aws_region", at("AWS_REGION")),
        ("aws_allow_http", "true".to_owned()),
    ];
    let options: BTreeMap<String, String> = options.map(|(k, v)| (k.to_owned(), v)).into();
    let warehouse = format!("{}/{}", at("LAKEBOX_S3_WAREHOUSE"), std::process::id());
    let dir = tempfile::tempdir().unwrap();
    let settings = LakeSettings { warehouse, options };
    let lake = Lake::open(settings, catalog(&dir).await, runtime::SystemClock::shared()).await.unwrap();
    let ids: Vec<i64> = (1..3000).collect();
    let file = write(&lake, schema(), vec![rows(&ids)]).await;
    commit(&lake, schema(), &file, 0..500).await;
    let state = lake.tables().state(&table()).unwrap();
    let expected: Vec<_> = (501..3000).map(printed).collect();
    let (read, count) = crate::outside::read("pyiceberg", state.metadata_location(), &[]);
    assert_eq!((sorted(read), count), (sorted(expected), 2499));
    eprintln!("requests: {:?}", lake.stats().requests);
}
