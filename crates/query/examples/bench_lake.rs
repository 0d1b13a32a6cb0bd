//! The parts of `make bench-lake` that need Rust: lakes with thousands of commits or tables, and a client that looks rows up.
//!
//! `commits <project> <table> <rows> <commits>` makes a table of so many rows in so many commits, five seconds of its clock apart and with upkeep
//! in between. `tables <project> <count>` makes so many tables. `lookup <url> <table> <keys> <connections> <seconds>` looks random keys up with a
//! prepared statement on each connection, and prints a line of JSON.

use anyhow::{Context, Result, bail, ensure};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use catalog::Catalog;
use futures::future::try_join_all;
use lake::{
    DataFileWriter, Lake, LakeSettings, Retention, Step, TableChange, TableSpec, Thresholds, WriterOptions, new_data_path,
    with_field_id,
};
use model::{LakeTable, Layer};
use roaring::RoaringBitmap;
use runtime::{CancellationToken, SharedClock, SystemClock};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::VirtualClock;
use tokio_postgres::NoTls;

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commits after which upkeep looks at the table, as it would after a minute.
const UPKEEP_EVERY: u64 = 12;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    match arguments.as_slice() {
        ["commits", project, table, rows, times] => {
            runtime.block_on(commits(project, table.parse()?, rows.parse()?, times.parse()?))
        }
        ["tables", project, count] => runtime.block_on(tables(project, count.parse()?)),
        ["lookup", url, table, keys, connections, seconds] => {
            runtime.block_on(lookups(url, table, keys.parse()?, connections.parse()?, seconds.parse()?))
        }
        _ => bail!("say commits, tables or lookup, with their arguments"),
    }
}

async fn open(project: &str, clock: SharedClock) -> Result<Lake> {
    let home = Path::new(project).join("lake");
    std::fs::create_dir_all(&home)?;
    let catalog = Catalog::open(&format!("sqlite:{}", home.join("catalog.db").display()), Arc::clone(&clock)).await?;
    let settings = LakeSettings { warehouse: std::fs::canonicalize(&home)?.display().to_string(), options: BTreeMap::new() };
    Ok(Lake::open(settings, catalog, clock).await?)
}

fn schema() -> SchemaRef {
    let fields = [("id", DataType::Int64), ("name", DataType::Utf8), ("amount", DataType::Int64), ("day", DataType::Int64)];
    let field = |(at, (name, data_type)): (i32, (&str, DataType))| with_field_id(&Field::new(name, data_type, true), at);
    Arc::new(Schema::new((101..).zip(fields).map(field).collect::<Vec<_>>()))
}

fn rows(first: i64, count: i64) -> Result<RecordBatch> {
    let ids = || first..first + count;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids().collect::<Int64Array>()),
        Arc::new(ids().map(|id| Some(format!("name {id}"))).collect::<StringArray>()),
        Arc::new(ids().map(|id| id.wrapping_mul(2_654_435_761) % 1_000_000).collect::<Int64Array>()),
        Arc::new(ids().map(|id| id / 1000).collect::<Int64Array>()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn file(lake: &Lake, table: &LakeTable, rows: &RecordBatch) -> Result<Arc<lake::WrittenFile>> {
    let mut writer = DataFileWriter::create(lake.warehouse(), new_data_path(table), &schema(), WriterOptions::default())?;
    writer.write(rows)?;
    Ok(Arc::new(writer.finish()?))
}

async fn commit(lake: &Lake, change: TableChange) -> Result<()> {
    let states = lake.commit(vec![change], None).await?;
    lake.publish(None, states.iter().map(|s| Arc::clone(s.view())).collect());
    Ok(())
}

async fn commits(project: &str, table: LakeTable, rows_total: i64, commits: u64) -> Result<()> {
    let began = Instant::now();
    let clock = VirtualClock::new();
    let lake = open(project, clock.shared()).await?;
    let each = rows_total / i64::try_from(commits)?;
    let stop = CancellationToken::new();
    let mut most = 0;
    for number in 0..commits {
        let first = i64::try_from(number)? * each;
        let mut change = TableChange::new(table.clone());
        if number == 0 {
            change.spec = Some(TableSpec { schema: schema(), key: vec!["id".to_owned()], sort_order: Vec::new() });
        } else if let Some(former) = lake.tables().state(&table).and_then(|s| s.files().last().cloned()) {
            // A row that goes, as an update takes its former image away.
            change.deletes = vec![(former.path, RoaringBitmap::from([0]))];
        }
        change.append = vec![file(&lake, &table, &rows(first, each)?)?];
        commit(&lake, change).await?;
        clock.advance(Duration::from_secs(5));
        if number % UPKEEP_EVERY == UPKEEP_EVERY - 1 || number + 1 == commits {
            upkeep(&lake, &table, &stop).await?;
        }
        most = most.max(lake.tables().state(&table).map_or(0, |s| s.files().len()));
    }
    let state = lake.tables().state(&table).context("a table")?;
    let metadata = std::fs::metadata(state.metadata_location().trim_start_matches("file://"))?.len();
    println!(
        "{}",
        json!({
            "table": table.to_string(), "commits": commits, "rows": state.view().live_rows(), "files": state.files().len(), "files_most": most,
            "snapshots": state.snapshots().len(), "metadata_bytes": metadata, "seconds": began.elapsed().as_secs_f64(),
        })
    );
    Ok(())
}

/// What the keeper does: rewrites until nothing is due, then the other steps once.
async fn upkeep(lake: &Lake, table: &LakeTable, stop: &CancellationToken) -> Result<()> {
    for step in Step::ALL {
        match step {
            Step::Rewrite => while lake.rewrite_files(table, &Thresholds::default(), false, stop).await?.anything() {},
            Step::Manifests => drop(lake.merge_manifests(table).await?),
            Step::Expire => drop(lake.expire_snapshots(table, &Retention::default()).await?),
            Step::Orphans => {}
        }
    }
    Ok(())
}

async fn tables(project: &str, count: u32) -> Result<()> {
    let began = Instant::now();
    let lake = open(project, SystemClock::shared()).await?;
    let one = rows(0, 10)?;
    for number in 0..count {
        let layer = if number % 2 == 0 { Layer::Bronze } else { Layer::Silver };
        let table = LakeTable::new(layer, format!("table_{:05}", number / 2));
        let mut change = TableChange::new(table.clone());
        change.spec = Some(TableSpec { schema: schema(), key: vec!["id".to_owned()], sort_order: Vec::new() });
        change.append = vec![file(&lake, &table, &one)?];
        lake.commit(vec![change], None).await?;
    }
    println!("{}", json!({ "tables": count, "seconds": began.elapsed().as_secs_f64() }));
    Ok(())
}

async fn lookups(url: &str, table: &str, keys: i64, connections: u64, seconds: f64) -> Result<()> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let each = (0..connections).map(|number| one_connection(url, table, keys, number, until));
    let mut times: Vec<f64> = try_join_all(each).await?.into_iter().flatten().collect();
    ensure!(!times.is_empty(), "no lookup came to its end");
    times.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a position in a list"
    )]
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!(
        "{}",
        json!({
            "lookups": times.len(), "connections": connections, "seconds": seconds,
            "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": at(1.0),
        })
    );
    Ok(())
}

/// Looks keys up one after the other until the time is over; says how many milliseconds each took.
async fn one_connection(url: &str, table: &str, keys: i64, number: u64, until: Instant) -> Result<Vec<f64>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let work = async {
        let statement = client.prepare(&format!("SELECT * FROM {table} WHERE id = $1")).await?;
        let mut dice = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number + 1);
        let mut times = Vec::new();
        while Instant::now() < until {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = i64::try_from(dice >> 33)? % keys + 1;
            let began = Instant::now();
            let rows = client.query(&statement, &[&key]).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            ensure!(rows.len() == 1 && rows[0].get::<_, i64>("id") == key, "key {key} has {} rows", rows.len());
        }
        anyhow::Ok(times)
    };
    tokio::select! {
        times = work => times,
        ended = connection => bail!("the connection ended: {ended:?}"),
    }
}
