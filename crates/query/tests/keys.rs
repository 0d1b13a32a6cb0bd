//! Lookups by key through the key index give what a scan gives: while rows arrive, after rewrites and restarts, on the view of now and on former ones.

use crate::support::{Dice, batches, rows, text};
use ::lake::{Lake, LakeSettings, LakeSink, LakeView, SinkSettings, Thresholds};
use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::DataType,
};
use model::{ChangeBatch, Column, Cursor, Key, LakeTable, Layer, Position, TableId, TableSchema};
use parking_lot::Mutex;
use pipeline::Sink;
use query::{Engine, QueryRequest, QuerySettings};
use runtime::{ByteBudget, CancellationToken, SystemClock};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SOURCE: &str = "shop";
const KEYS: u64 = 60;

/// A row of the source: its number, and a value; `shelf` and `place` are a key of two columns.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: i64,
    customer: String,
    amount: i64,
}

impl Row {
    fn shelf(id: i64) -> String {
        format!("s{}", id / 10)
    }

    fn text(&self) -> String {
        format!("{}|{}|{}", self.id, self.customer, self.amount)
    }
}

/// One change as it is sent: its letter and its row.
type Change = (char, Row);

struct World {
    lake: Lake,
    sink: LakeSink,
    settings: SinkSettings,
    schemas: [Arc<TableSchema>; 2],
    /// What the source holds, by key.
    truth: BTreeMap<i64, Row>,
    pos: u64,
    dice: Dice,
    frozen: Arc<Mutex<Option<Arc<LakeView>>>>,
    engine: Engine,
    _dir: tempfile::TempDir,
}

fn schema(name: &str, columns: &[(&str, DataType)], key: &[&str]) -> Arc<TableSchema> {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nullable: true,
        source_type: String::new(),
    };
    let key = Key::Columns(key.iter().map(|k| (*k).to_owned()).collect());
    Arc::new(TableSchema { id: TableId::new("public", name), version: 1, columns: columns.iter().map(column).collect(), key })
}

fn batch(schema: &Arc<TableSchema>, pos: u64, changes: &[Change]) -> ChangeBatch {
    let longs = |of: fn(&Row) -> i64| -> ArrayRef { Arc::new(changes.iter().map(|c| Some(of(&c.1))).collect::<Int64Array>()) };
    let customers: ArrayRef = Arc::new(changes.iter().map(|c| Some(c.1.customer.clone())).collect::<StringArray>());
    let mut columns: Vec<ArrayRef> = match schema.id.name.as_str() {
        "orders" => vec![longs(|r| r.id), customers, longs(|r| r.amount)],
        _ => vec![
            Arc::new(changes.iter().map(|c| i32::try_from(c.1.id % 10).ok()).collect::<Int32Array>()),
            Arc::new(changes.iter().map(|c| Some(Row::shelf(c.1.id))).collect::<StringArray>()),
            customers,
            longs(|r| r.amount),
        ],
    };
    let time = || -> ArrayRef {
        Arc::new(changes.iter().map(|_| Some(1_000_000)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let numbers =
        |of: &dyn Fn(usize) -> i64| -> ArrayRef { Arc::new((0..changes.len()).map(|i| Some(of(i))).collect::<Int64Array>()) };
    columns.extend([
        Arc::new(changes.iter().map(|c| Some(c.0.to_string())).collect::<StringArray>()) as ArrayRef,
        time(),
        time(),
        numbers(&|_| pos.cast_signed()),
        numbers(&|i| i64::try_from(i).unwrap()),
        numbers(&|_| pos.cast_signed()),
        Arc::new(changes.iter().map(|_| None::<String>).collect::<StringArray>()),
    ]);
    ChangeBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn cursor(pos: u64) -> Cursor {
    Cursor { position: Position::new(pos, 0), commit_ts_us: None, state: serde_json::Value::Null, display: pos.to_string() }
}

async fn world(seed: u64) -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    let url = format!("sqlite:{}", dir.path().join("catalog.db").display());
    let catalog = catalog::Catalog::open(&url, clock.clone()).await.unwrap();
    let warehouse = LakeSettings { warehouse: dir.path().join("lake").to_str().unwrap().to_owned(), options: BTreeMap::new() };
    let lake = Lake::open(warehouse, catalog, clock.clone()).await.unwrap();
    let mut settings = SinkSettings::new(dir.path().join("index"), ByteBudget::new(64 << 20));
    settings.publish_every = Duration::ZERO;
    settings.file_rows_max = 16;
    let frozen: Arc<Mutex<Option<Arc<LakeView>>>> = Arc::default();
    let (now, held) = (lake.clone(), Arc::clone(&frozen));
    let views = Arc::new(move || held.lock().clone().unwrap_or_else(|| now.view()));
    let engine = Engine::new(views, lake.store(), QuerySettings { threads: 2, ..QuerySettings::default() }, clock).unwrap();
    let number = |name| (name, DataType::Int64);
    let schemas = [
        schema("orders", &[number("id"), ("customer", DataType::Utf8), number("amount")], &["id"]),
        schema(
            "stock",
            &[("place", DataType::Int32), ("shelf", DataType::Utf8), ("customer", DataType::Utf8), number("amount")],
            &["shelf", "place"],
        ),
    ];
    let sink = lake.sink(SOURCE, settings.clone());
    let mut world =
        World { lake, sink, settings, schemas, truth: BTreeMap::new(), pos: 0, dice: Dice(seed), frozen, engine, _dir: dir };
    world.open().await;
    world
}

impl World {
    async fn open(&mut self) {
        let resumed = self.sink.open().await.unwrap();
        assert_eq!(resumed.map_or(0, |c| c.position.pos), if self.pos == 0 { 0 } else { self.pos });
        for schema in &self.schemas {
            self.sink.schema(schema).await.unwrap();
        }
    }

    /// Changes of one transaction: inserts, updates, deletes and changes of keys.
    fn transaction(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..=self.dice.below(12) {
            let id = self.dice.below(KEYS).cast_signed();
            let row = Row { id, customer: format!("c{}", self.dice.below(9)), amount: self.dice.below(1000).cast_signed() };
            match (self.dice.below(8), self.truth.contains_key(&id)) {
                (0, true) => changes.push(('d', self.truth.remove(&id).unwrap())),
                (1, true) => {
                    let to = (id + 7) % KEYS.cast_signed();
                    if !self.truth.contains_key(&to) {
                        changes.push(('d', self.truth.remove(&id).unwrap()));
                        let moved = Row { id: to, ..row };
                        self.truth.insert(to, moved.clone());
                        changes.push(('u', moved));
                    }
                }
                (_, known) => {
                    self.truth.insert(id, row.clone());
                    changes.push((if known { 'u' } else { 'c' }, row));
                }
            }
        }
        changes
    }

    async fn send(&mut self) {
        let changes = self.transaction();
        self.pos += 1;
        for schema in self.schemas.clone() {
            for part in changes.chunks(3) {
                self.sink.write(batch(&schema, self.pos, part)).await.unwrap();
            }
        }
    }

    async fn commit(&mut self) {
        self.sink.commit().unwrap().await.unwrap();
    }

    /// Writes files anew, and lets the sink hear of it or not.
    async fn rewrite(&mut self) {
        let thresholds = Thresholds { file_bytes: 1 << 10, files_min: 2, deleted_share: 0.01, ..Thresholds::default() };
        let all = self.dice.one_in(2);
        for name in ["orders", "stock"] {
            let table = LakeTable::new(Layer::Silver, format!("{SOURCE}_{name}"));
            self.lake.rewrite_files(&table, &thresholds, all, &CancellationToken::new()).await.unwrap();
        }
        if self.dice.one_in(2) {
            self.sink.tend().await.unwrap();
        }
    }

    async fn ask(&self, sql: &str) -> Vec<String> {
        let mut found = rows(&self.engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        found.sort();
        found
    }

    /// Looks keys up in both tables.
    async fn check(&mut self, truth: &BTreeMap<i64, Row>) {
        for _ in 0..3 {
            let ids: Vec<i64> = (0..=self.dice.below(4)).map(|_| self.dice.below(KEYS + 5).cast_signed()).collect();
            let mut expected: Vec<String> = truth.values().filter(|row| ids.contains(&row.id)).map(Row::text).collect();
            expected.sort();
            let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let orders = format!("SELECT id, customer, amount FROM silver.shop_orders WHERE id IN ({list})");
            assert_eq!(self.ask(&orders).await, expected, "{orders}");
            let pairs = ids.iter().map(|id| format!("shelf = '{}' AND place = {}", Row::shelf(*id), id % 10));
            let stock = format!(
                "SELECT cast(substr(shelf, 2) AS int) * 10 + place, customer, amount FROM silver.shop_stock WHERE {}",
                pairs.collect::<Vec<_>>().join(" OR ")
            );
            assert_eq!(self.ask(&stock).await, expected, "{stock}");
            let amount = self.dice.below(1000);
            let narrower = format!("SELECT id FROM silver.shop_orders WHERE id IN ({list}) AND amount > {amount} ORDER BY id");
            let above = |row: &&Row| ids.contains(&row.id) && row.amount > amount.cast_signed();
            let above: Vec<String> = truth.values().filter(above).map(|row| row.id.to_string()).collect();
            assert_eq!(rows(&self.engine, &narrower).await.unwrap(), above, "{narrower}");
        }
        // A condition that hides the key from the index reads the whole table.
        let mut all: Vec<String> = truth.values().map(Row::text).collect();
        all.sort();
        assert_eq!(self.ask("SELECT id, customer, amount FROM silver.shop_orders WHERE id + 0 >= 0").await, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_is_what_a_scan_would_find_whatever_happens_meanwhile() {
    for seed in [3, 11] {
        let mut world = world(seed).await;
        let mut held: Option<(Arc<LakeView>, BTreeMap<i64, Row>)> = None;
        for step in 0..36 {
            world.send().await;
            if step % 3 == 0 {
                // In the middle of a transaction the index knows more than the view.
                world.sink.publish_now().unwrap();
            }
            world.sink.boundary(&cursor(world.pos)).await.unwrap();
            let truth = world.truth.clone();
            world.check(&truth).await;
            match world.dice.below(10) {
                0..=2 => world.commit().await,
                3 | 4 => {
                    world.commit().await;
                    world.rewrite().await;
                }
                5 => {
                    world.commit().await;
                    world.sink = world.lake.sink(SOURCE, world.settings.clone());
                    world.open().await;
                }
                6 => held = Some((world.lake.view(), world.truth.clone())),
                7 => world.sink.tend().await.unwrap(),
                _ => {}
            }
            let truth = world.truth.clone();
            world.check(&truth).await;
            // A query that takes its time goes on seeing what it began with.
            if let Some((view, truth)) = &held {
                *world.frozen.lock() = Some(Arc::clone(view));
                let truth = truth.clone();
                world.check(&truth).await;
                *world.frozen.lock() = None;
            }
        }
    }
}

#[tokio::test]
async fn the_plan_says_that_the_key_index_was_asked_and_reads_one_row() {
    let mut world = world(5).await;
    let many: Vec<Change> = (0..500).map(|id| ('r', Row { id, customer: "c".to_owned(), amount: id * 2 })).collect();
    world.pos = 1;
    for schema in world.schemas.clone() {
        for part in many.chunks(100) {
            world.sink.write(batch(&schema, 1, part)).await.unwrap();
        }
    }
    world.sink.boundary(&cursor(1)).await.unwrap();
    let hot = world.ask("EXPLAIN SELECT * FROM silver.shop_orders WHERE id = 77").await.join("\n");
    assert!(hot.contains("Rows by key that are not committed yet"), "{hot}");
    world.commit().await;
    let plan = world.ask("EXPLAIN SELECT * FROM silver.shop_orders WHERE id = 77").await.join("\n");
    assert!(plan.contains("key index: 1 of 5 files, 1 row"), "{plan}");
    let plan = world.ask("EXPLAIN SELECT * FROM silver.shop_orders WHERE id IN (3, 450, 451, 9999)").await.join("\n");
    assert!(plan.contains("key index: 2 of 5 files, 3 rows"), "{plan}");
    // Nothing is there, so nothing is read.
    let plan = world.ask("EXPLAIN SELECT * FROM silver.shop_orders WHERE id = 9999").await.join("\n");
    assert!(plan.contains("Nothing to read"), "{plan}");
    // Half a key, and bronze, which has many rows of one key, are looked for.
    for sql in ["SELECT * FROM silver.shop_stock WHERE place = 3", "SELECT * FROM bronze.shop_orders WHERE id = 77"] {
        let plan = world.ask(&format!("EXPLAIN {sql}")).await.join("\n");
        assert!(!plan.contains("key index"), "{plan}");
    }
    let found = batches(&world.engine, QueryRequest::new("SELECT id, amount FROM shop_orders WHERE id = 77", "test")).await;
    assert_eq!(found.unwrap().iter().flat_map(text).collect::<Vec<_>>(), ["77|154"]);
}

/// Rows arrive on one thread while others look keys up: each answer is the row before or after some transaction, never none and never two.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn lookups_beside_a_busy_sink_find_each_row_once() {
    let mut world = world(9).await;
    let all: Vec<Change> = (0..200).map(|id| ('r', Row { id, customer: "c".to_owned(), amount: 0 })).collect();
    world.pos = 1;
    world.sink.write(batch(&world.schemas[0], 1, &all)).await.unwrap();
    world.sink.boundary(&cursor(1)).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..2_u64)
        .map(|seed| {
            let (engine, done) = (world.engine.clone(), Arc::clone(&done));
            let read = async move {
                let mut dice = Dice(seed);
                let mut asked = 0;
                while done.load(Ordering::Acquire) == 0 || asked < 50 {
                    let id = dice.below(200);
                    let sql = format!("SELECT id, customer FROM silver.shop_orders WHERE id = {id}");
                    assert_eq!(rows(&engine, &sql).await.unwrap(), [format!("{id}|c")]);
                    asked += 1;
                }
            };
            runtime_task(read)
        })
        .collect();
    for round in 2..200_u64 {
        let changes: Vec<Change> = (0..20)
            .map(|_| world.dice.below(200).cast_signed())
            .map(|id| ('u', Row { id, customer: "c".to_owned(), amount: round.cast_signed() }))
            .collect();
        world.pos = round;
        for part in changes.chunks(7) {
            world.sink.write(batch(&world.schemas[0], round, part)).await.unwrap();
        }
        world.sink.boundary(&cursor(round)).await.unwrap();
        match round % 20 {
            5 => world.commit().await,
            15 => {
                world.commit().await;
                world.rewrite().await;
            }
            _ => {}
        }
    }
    done.store(1, Ordering::Release);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's reader, awaited at its end")]
fn runtime_task(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work)
}
