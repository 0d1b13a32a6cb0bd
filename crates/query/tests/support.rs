//! A lake made by hand: Parquet files in memory, deleted rows, hot batches.

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use futures::StreamExt;
use lake::{ColumnStats, HotBatch, LakeView, TableView, ViewFile};
use model::{Cursor, LakeTable, Position};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use parking_lot::Mutex;
use parquet::{
    arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY},
    file::properties::{EnabledStatistics, WriterProperties},
};
use query::{Engine, Error, QueryRequest, QuerySettings};
use roaring::RoaringBitmap;
use runtime::SystemClock;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub fn field(name: &str, data_type: DataType, id: i32) -> Field {
    Field::new(name, data_type, true).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
}

pub fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// A store and the view that shows what is in it.
#[derive(Clone)]
pub struct Lake {
    pub store: Arc<InMemory>,
    pub view: Arc<Mutex<Arc<LakeView>>>,
}

impl Default for Lake {
    fn default() -> Self {
        let cursor = Cursor {
            position: Position::new(7, 0),
            commit_ts_us: Some(1_000_000),
            state: serde_json::Value::Null,
            display: "0/7".to_owned(),
        };
        let view =
            LakeView { tables: BTreeMap::new(), sources: BTreeMap::from([("shop".to_owned(), cursor)]), ..LakeView::default() };
        Self { store: Arc::new(InMemory::new()), view: Arc::new(Mutex::new(Arc::new(view))) }
    }
}

/// The statistics that the lake keeps: bounds per column over all rows.
fn stats(batch: &RecordBatch) -> BTreeMap<i32, ColumnStats> {
    let mut out = BTreeMap::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(id) = field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok()) else { continue };
        let options = Some(arrow::compute::SortOptions { descending: false, nulls_first: false });
        let sorted = arrow::compute::sort(column, options).expect("sortable");
        let values = column.len() - column.null_count();
        let at = |i: usize| (values > 0).then(|| sorted.slice(i, 1));
        let (min, max) = (at(0), at(values.saturating_sub(1)));
        out.insert(id, ColumnStats { min, max, exact: true, nulls: Some(column.null_count() as u64), ..ColumnStats::default() });
    }
    out
}

impl Lake {
    /// Writes a file with small row groups and pages, so that pruning has something to do.
    pub async fn file(&self, name: &str, batch: &RecordBatch, deleted: &[u32]) -> ViewFile {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(16))
            .set_data_page_row_count_limit(4)
            .set_write_batch_size(2)
            .set_statistics_enabled(EnabledStatistics::Page)
            .build();
        self.file_with(name, batch, deleted, properties).await
    }

    pub async fn file_with(&self, name: &str, batch: &RecordBatch, deleted: &[u32], properties: WriterProperties) -> ViewFile {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a writer");
        writer.write(batch).expect("written");
        writer.close().expect("closed");
        let size = bytes.len() as u64;
        let path = object_store::path::Path::from(format!("silver/t/data/{name}.parquet"));
        self.store.put(&path, bytes.into()).await.expect("stored");
        let deleted: RoaringBitmap = deleted.iter().copied().collect();
        ViewFile {
            path,
            bytes: size,
            rows: batch.num_rows() as u64,
            deleted: (!deleted.is_empty()).then(|| Arc::new(deleted)),
            stats: Arc::new(stats(batch)),
            sorted: false,
        }
    }

    /// Puts a table into the view.
    pub fn put(&self, table: &str, schema: &SchemaRef, files: Vec<ViewFile>, hot: Vec<HotBatch>) {
        let table: LakeTable = table.parse().expect("a table name");
        let view = TableView {
            table: table.clone(),
            schema: Arc::clone(schema),
            key: vec!["id".to_owned()],
            sort_order: Vec::new(),
            snapshot_id: Some(1),
            files: files.into(),
            hot: hot.into(),
            lookup: None,
        };
        let mut current = self.view.lock();
        let mut next = LakeView::clone(&current);
        next.tables.insert(table, Arc::new(view));
        *current = Arc::new(next);
    }

    pub fn engine(&self) -> Engine {
        self.engine_with(QuerySettings { threads: 2, ..QuerySettings::default() })
    }

    pub fn engine_with(&self, settings: QuerySettings) -> Engine {
        let view = Arc::clone(&self.view);
        let views = Arc::new(move || Arc::clone(&view.lock()));
        Engine::new(views, Arc::clone(&self.store) as Arc<dyn ObjectStore>, settings, SystemClock::shared()).expect("an engine")
    }
}

/// A lake with the tables that most tests ask: `silver.shop_orders`, `gold.revenue` and dead letters.
pub async fn shop() -> Lake {
    use arrow::array::{Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};
    let lake = Lake::default();
    let utc = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let orders = schema(vec![
        field("id", DataType::Int64, 101),
        field("customer", DataType::Utf8, 102),
        field("total", DataType::Decimal128(12, 2), 103),
        field("placed_at", utc, 104),
    ]);
    let rows: Vec<i64> = (0..100).collect();
    let totals = rows.iter().map(|i| Some(i128::from(*i) * 101)).collect::<Decimal128Array>();
    let batch = RecordBatch::try_new(
        Arc::clone(&orders),
        vec![
            Arc::new(Int64Array::from(rows.clone())),
            Arc::new(rows.iter().map(|i| (i % 7 != 0).then(|| format!("c{}", i % 5))).collect::<StringArray>()),
            Arc::new(totals.with_precision_and_scale(12, 2).expect("fits")),
            Arc::new(
                rows.iter()
                    .map(|i| Some(1_700_000_000_000_000 + i * 1_000_001))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ],
    )
    .expect("orders");
    let file = lake.file("orders", &batch, &[1, 2, 3]).await;
    lake.put("silver.shop_orders", &orders, vec![file], vec![]);
    let revenue = schema(vec![field("day", DataType::Date32, 101), field("amount", DataType::Int64, 102)]);
    let batch = RecordBatch::try_new(
        Arc::clone(&revenue),
        vec![Arc::new(arrow::array::Date32Array::from(vec![20000, 20001])), Arc::new(Int64Array::from(vec![5, 6]))],
    )
    .expect("revenue");
    let file = lake.file("revenue", &batch, &[]).await;
    lake.put("gold.revenue", &revenue, vec![file], vec![]);
    lake
}

/// All batches of a query.
pub async fn batches(engine: &Engine, request: QueryRequest) -> Result<Vec<RecordBatch>, Error> {
    let mut running = engine.query(request).await?;
    let mut out = Vec::new();
    while let Some(batch) = running.stream.next().await {
        out.push(batch?);
    }
    Ok(out)
}

/// All rows of a query as text, in the order they came.
pub async fn rows(engine: &Engine, sql: &str) -> Result<Vec<String>, Error> {
    Ok(batches(engine, QueryRequest::new(sql, "test")).await?.iter().flat_map(text).collect())
}

/// The rows of a batch as text.
pub fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|c: &ArrayRef| ArrayFormatter::try_new(c, &options).expect("formattable")).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")).collect()
}
