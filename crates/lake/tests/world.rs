//! A lake in a temporary directory, and an oracle that knows which rows it must hold.

use crate::outside;
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit},
};
use catalog::Catalog;
use lake::{
    DataFileWriter, Lake, LakeSettings, TableChange, TableSpec, WriterOptions, WrittenFile, new_data_path, with_field_id,
};
use model::{LakeTable, Layer};
use object_store::path::Path;
use roaring::RoaringBitmap;
use runtime::SystemClock;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A lake, and the rows that it must hold.
pub struct World {
    pub dir: tempfile::TempDir,
    pub lake: Lake,
    pub table: LakeTable,
    /// Rows by file, each with its value of `id`; what is deleted is taken out.
    pub expected: BTreeMap<Path, BTreeMap<u32, i64>>,
}

/// Columns of every type that matters, with ids; `id` identifies a row and all other values follow from it.
pub fn schema() -> SchemaRef {
    let zone = Some("UTC".into());
    let item = with_field_id(&Field::new("element", DataType::Int32, true), 110);
    let fields = [
        Field::new("id", DataType::Int64, false),
        Field::new("flag", DataType::Boolean, true),
        Field::new("small", DataType::Int32, true),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        Field::new("huge", DataType::Decimal128(38, 18), true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, zone), true),
        Field::new("note", DataType::Utf8, true),
        Field::new("raw", DataType::Binary, true),
        Field::new("tags", DataType::List(Arc::new(item)), true),
        Field::new("rate", DataType::Float64, true),
    ];
    let ids = [101, 102, 103, 104, 105, 106, 107, 108, 109, 111, 112];
    Arc::new(Schema::new(fields.iter().zip(ids).map(|(f, id)| with_field_id(f, id)).collect::<Vec<_>>()))
}

/// The row of an id, as a batch holds it.
pub fn rows(ids: &[i64]) -> RecordBatch {
    let some = |id: &i64| (id % 7 != 0).then_some(*id);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(ids.iter().map(|i| some(i).map(|i| i % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(ids.iter().map(|i| some(i).map(|i| (i % 1000) as i32 - 500)).collect::<Int32Array>()),
        Arc::new(
            ids.iter()
                .map(|i| some(i).map(|i| i128::from(i * 101 - 5000)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Arc::new(
            ids.iter()
                .map(|i| some(i).map(|i| i128::from(i) << 60))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(38, 18)
                .unwrap(),
        ),
        Arc::new(ids.iter().map(|i| some(i).map(|i| (i % 40_000) as i32 - 10_000)).collect::<Date32Array>()),
        Arc::new(
            ids.iter().map(|i| some(i).map(|i| i * 1_000_003 - 7)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        ),
        Arc::new(
            ids.iter()
                .map(|i| some(i).map(|i| format!("a note that is longer than sixteen characters, ünïcode {i}")))
                .collect::<StringArray>(),
        ),
        Arc::new(ids.iter().map(|i| some(i).map(|i| i.to_be_bytes())).collect::<BinaryArray>()),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            ids.iter().map(|i| some(i).map(|i| (0..i % 3).map(|x| (x != 1).then_some(x as i32)).collect::<Vec<_>>())),
        )),
        Arc::new(ids.iter().map(|i| some(i).map(|i| i as f64 / 8.0)).collect::<Float64Array>()),
    ];
    let plain: Vec<Field> =
        schema().fields().iter().zip(&columns).map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(plain)), columns).unwrap()
}

/// The row of an id, as a reader prints it.
pub fn printed(id: i64) -> Value {
    if id % 7 == 0 {
        return json!([id, null, null, null, null, null, null, null, null, null, null]);
    }
    let decimal = |unscaled: i128, scale: usize| {
        let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
        let (whole, part) = digits.split_at(digits.len() - scale);
        format!("{}{whole}.{part}", if unscaled < 0 { "-" } else { "" })
    };
    let tags: Vec<Value> = (0..id % 3).map(|x| if x == 1 { Value::Null } else { json!(x) }).collect();
    let raw: String = id.to_be_bytes().iter().map(|b| format!("{b:02x}")).collect();
    json!([
        id,
        id % 2 == 0,
        id % 1000 - 500,
        decimal(i128::from(id * 101 - 5000), 2),
        decimal(i128::from(id) << 60, 18),
        id % 40_000 - 10_000,
        id * 1_000_003 - 7,
        format!("a note that is longer than sixteen characters, ünïcode {id}"),
        raw,
        tags,
        id as f64 / 8.0,
    ])
}

pub async fn open(dir: &std::path::Path) -> Lake {
    let clock = SystemClock::shared();
    let catalog = Catalog::open(&format!("sqlite:{}", dir.join("catalog.db").display()), clock.clone()).await.unwrap();
    let settings = LakeSettings { warehouse: dir.join("lake").to_str().unwrap().to_owned(), options: BTreeMap::new() };
    Lake::open(settings, catalog, clock).await.unwrap()
}

/// Writes one data file with these ids in this order.
pub fn write(lake: &Lake, table: &LakeTable, ids: &[i64]) -> Arc<WrittenFile> {
    write_batches(lake, table, &schema(), ids.chunks(1000).map(rows))
}

pub fn write_batches(
    lake: &Lake,
    table: &LakeTable,
    schema: &SchemaRef,
    batches: impl Iterator<Item = RecordBatch>,
) -> Arc<WrittenFile> {
    let mut writer = DataFileWriter::create(lake.warehouse(), new_data_path(table), schema, WriterOptions::default()).unwrap();
    for batch in batches {
        writer.write(&batch).unwrap();
    }
    Arc::new(writer.finish().unwrap())
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = open(dir.path()).await;
        Self { dir, lake, table: LakeTable::new(Layer::Silver, "shop_orders"), expected: BTreeMap::new() }
    }

    pub fn spec(&self) -> TableSpec {
        TableSpec { schema: schema(), key: vec!["id".to_owned()], sort_order: Vec::new() }
    }

    /// A change that the oracle follows: files with these ids, and rows of these ids deleted, wherever they are.
    pub fn change(&mut self, append: &[Vec<i64>], delete: &[i64]) -> TableChange {
        let mut change = TableChange::new(self.table.clone());
        change.spec = Some(self.spec());
        for ids in append {
            let file = write(&self.lake, &self.table, ids);
            self.expected.insert(file.path.clone(), (0..).zip(ids.iter().copied()).collect());
            change.append.push(file);
        }
        let delete: BTreeSet<i64> = delete.iter().copied().collect();
        for (path, rows) in &mut self.expected {
            let gone: RoaringBitmap = rows.iter().filter(|(_, id)| delete.contains(id)).map(|(row, _)| *row).collect();
            rows.retain(|row, _| !gone.contains(*row));
            if !gone.is_empty() {
                change.deletes.push((path.clone(), gone));
            }
        }
        change
    }

    pub async fn commit(&mut self, append: &[Vec<i64>], delete: &[i64]) {
        let change = self.change(append, delete);
        self.lake.commit(vec![change], None).await.unwrap();
    }

    /// Where the expected rows are now, after files were rewritten: their files are read.
    pub async fn find_places(&mut self) {
        let state = self.lake.tables().state(&self.table).unwrap();
        let mut found = BTreeMap::new();
        for file in state.files().iter() {
            let path = self.dir.path().join("lake").join(file.path.as_ref());
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap());
            let mut rows = BTreeMap::new();
            let mut next = 0u32;
            for batch in reader.unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let ids = batch.column_by_name("id").unwrap();
                let ids = ids.as_any().downcast_ref::<Int64Array>().unwrap();
                for id in ids.values() {
                    if file.deleted.as_ref().is_none_or(|d| !d.contains(next)) {
                        rows.insert(next, *id);
                    }
                    next += 1;
                }
            }
            found.insert(file.path.clone(), rows);
        }
        let ids = |places: &BTreeMap<Path, BTreeMap<u32, i64>>| -> Vec<i64> {
            let mut ids: Vec<i64> = places.values().flat_map(|rows| rows.values().copied()).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(&found), ids(&self.expected), "the rows are others than expected");
        self.expected = found;
    }

    pub fn expected_rows(&self) -> Vec<Value> {
        sorted(self.expected.values().flat_map(|rows| rows.values()).map(|id| printed(*id)).collect())
    }

    /// Our own state, and every outside engine, hold exactly the expected rows.
    pub fn check(&self) {
        let state = self.lake.tables().state(&self.table).unwrap();
        let expected = self.expected_rows();
        assert_eq!(state.view().live_rows(), expected.len() as u64);
        check_outside(state.metadata_location(), &expected);
    }

    /// The lake anew, from its files alone.
    pub async fn reopen(mut self) -> Self {
        let Self { dir, lake, table, expected } = self;
        drop(lake);
        self = Self { lake: open(dir.path()).await, dir, table, expected };
        self
    }
}

/// Every outside engine returns exactly these rows from this metadata file.
pub fn check_outside(metadata: &str, expected: &[Value]) {
    for reader in outside::READERS {
        let (rows, count) = outside::read(reader, metadata, &[]);
        assert_eq!(count, expected.len() as u64, "count(*) of {reader}");
        let (rows, expected) = (sorted(rows), sorted(expected.to_vec()));
        let differ = rows.iter().zip(&expected).find(|(a, b)| a != b);
        assert!(
            differ.is_none() && rows.len() == expected.len(),
            "{reader} read {} rows, not {}: {differ:?}",
            rows.len(),
            expected.len()
        );
    }
}

pub fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_cached_key(Value::to_string);
    rows
}
