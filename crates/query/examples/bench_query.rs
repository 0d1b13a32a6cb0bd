//! The parts of `make bench-query` that need Rust: filling a lake from Parquet files, and plain DataFusion to compare with.
//!
//! `load <project> <folder>…` makes one gold table of each Parquet file in the folders. `load-deleted` does the same, but hides superseded
//! images of some rows, as change data capture leaves them. `plain` and `lake` answer statements from standard input, one per line as a JSON
//! text, with one line of JSON each: how long it took and the rows as text.

use anyhow::{Context, Result, bail};
use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use catalog::Catalog;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use lake::{DataFileWriter, Lake, LakeSettings, ReplaceOptions, TableChange, WriterOptions, new_data_path};
use model::LakeTable;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use query::{Engine, QueryRequest, QuerySettings};
use roaring::RoaringBitmap;
use runtime::SystemClock;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of this many rows one had a former image, in a table with deletes.
const REWRITTEN_ONE_IN: usize = 50;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = arguments.split_first().context("say load, load-deleted, plain or lake")?;
    let paths: Vec<PathBuf> = rest.iter().map(PathBuf::from).collect();
    let (project, folders) = paths.split_first().context("name a project folder")?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    match verb.as_str() {
        "load" => runtime.block_on(load(project, folders, false)),
        "load-deleted" => runtime.block_on(load(project, folders, true)),
        "plain" => runtime.block_on(plain(project, threads)),
        "lake" => runtime.block_on(through_engine(project)),
        other => bail!("`{other}` is none of load, load-deleted, plain, lake"),
    }
}

async fn open(project: &Path) -> Result<Lake> {
    std::fs::create_dir_all(project.join("lake"))?;
    let clock = SystemClock::shared();
    let catalog = Catalog::open(&format!("sqlite:{}", project.join("lake/catalog.db").display()), Arc::clone(&clock)).await?;
    let warehouse = std::fs::canonicalize(project.join("lake"))?;
    let settings = LakeSettings { warehouse: warehouse.display().to_string(), options: BTreeMap::new() };
    Ok(Lake::open(settings, catalog, clock).await?)
}

/// The files of a folder by table name.
fn tables(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            let name = path.file_stem().context("a file name")?.to_string_lossy().into_owned();
            out.insert(name, path);
        }
    }
    Ok(out)
}

/// The type that the lake keeps for a column of a foreign file: whole numbers of 32 or 64 bits, times in microseconds.
fn kept(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

fn adapted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns: Result<Vec<ArrayRef>, _> =
        batch.columns().iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type())).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns?)?)
}

async fn load(project: &Path, folders: &[PathBuf], deleted: bool) -> Result<()> {
    let lake = open(project).await?;
    for folder in folders {
        for (name, path) in tables(folder)? {
            let began = Instant::now();
            let table: LakeTable = format!("gold.{name}").parse()?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?)?.with_batch_size(8192);
            let fields: Vec<Field> =
                reader.schema().fields().iter().map(|f| Field::new(f.name(), kept(f.data_type()), true)).collect();
            let schema: SchemaRef = Arc::new(Schema::new(fields));
            let own = Arc::clone(&schema);
            let batches = reader.build()?.map(move |batch| -> Result<RecordBatch> { adapted(&batch?, &own) });
            let rows = if deleted {
                with_deletes(&lake, &table, schema, batches).await?
            } else {
                whole(&lake, &table, schema, batches).await?
            };
            println!("{table}: {rows} rows in {:.1} s", began.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

async fn whole(
    lake: &Lake,
    table: &LakeTable,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>> + Send + 'static,
) -> Result<u64> {
    let options = ReplaceOptions { schema, key: Vec::new(), sort_order: Vec::new(), summary: BTreeMap::new(), writer: None };
    let rows = futures::stream::iter(batches.map(|batch| batch.map_err(Into::into)));
    Ok(lake.replace(table.clone(), Box::pin(rows), options).await?.rows)
}

/// Writes the rows with former images of some before them, and hides those in a second commit, as changes that arrive later do.
async fn with_deletes(
    lake: &Lake,
    table: &LakeTable,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<u64> {
    let empty = ReplaceOptions { schema, key: Vec::new(), sort_order: Vec::new(), summary: BTreeMap::new(), writer: None };
    lake.replace(table.clone(), Box::pin(futures::stream::empty()), empty).await?;
    let spec = lake.tables().state(table).context("a table")?.spec().clone();
    let mut appended = TableChange::new(table.clone());
    let mut hidden = TableChange::new(table.clone());
    let mut open: Option<(DataFileWriter, RoaringBitmap)> = None;
    let mut done = Vec::new();
    let mut total = 0;
    for batch in batches {
        let batch = batch?;
        total += batch.num_rows() as u64;
        let (mut writer, mut deleted) = match open.take() {
            Some(open) => open,
            None => {
                let path = new_data_path(table);
                (DataFileWriter::create(lake.warehouse(), path, &spec.schema, WriterOptions::default())?, RoaringBitmap::new())
            }
        };
        let mut order = Vec::with_capacity(batch.num_rows() + batch.num_rows() / REWRITTEN_ONE_IN + 1);
        for row in 0..batch.num_rows() {
            if row % REWRITTEN_ONE_IN == 7 {
                deleted.insert(u32::try_from(writer.rows() + order.len() as u64)?);
                // Another row's values: a reader that shows the image gets sums wrong.
                order.push(u32::try_from(row / 2)?);
            }
            order.push(u32::try_from(row)?);
        }
        let rows = take_record_batch(&batch, &UInt32Array::from(order))?;
        writer.write(&rows)?;
        if writer.bytes() >= 128 << 20 {
            done.push((writer.finish()?, deleted));
        } else {
            open = Some((writer, deleted));
        }
    }
    if let Some((writer, deleted)) = open {
        done.push((writer.finish()?, deleted));
    }
    for (file, deleted) in done {
        hidden.deletes.push((file.path.clone(), deleted));
        appended.append.push(Arc::new(file));
    }
    for change in [appended, hidden] {
        let states = lake.commit(vec![change], None).await?;
        lake.publish(None, states.iter().map(|s| Arc::clone(s.view())).collect());
    }
    Ok(total)
}

/// Plain DataFusion over the same files, as its own documentation sets it up, with decimals read as decimals so that answers agree.
async fn plain(project: &Path, threads: usize) -> Result<()> {
    let mut config = SessionConfig::new().with_target_partitions(threads);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    for entry in std::fs::read_dir(project.join("lake/gold"))? {
        let folder = entry?.path();
        let name = folder.file_name().context("a name")?.to_string_lossy().into_owned();
        let url = format!("{}/data/", folder.display());
        context.register_parquet(name.as_str(), url.as_str(), ParquetReadOptions::default()).await?;
    }
    for statement in std::io::stdin().lock().lines() {
        let sql: String = serde_json::from_str(&statement?)?;
        let began = Instant::now();
        let rows = match context.sql(&sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        answer(began, rows.map_err(Into::into))?;
    }
    Ok(())
}

/// lakebox's own engine in this process, for finding out where time goes.
async fn through_engine(project: &Path) -> Result<()> {
    let lake = open(project).await?;
    let views = lake.clone();
    let settings = QuerySettings { memory_bytes_max: 4 << 30, ..QuerySettings::default() };
    let engine = Engine::new(Arc::new(views), lake.store(), settings, SystemClock::shared())?;
    for statement in std::io::stdin().lock().lines() {
        let sql: String = serde_json::from_str(&statement?)?;
        let began = Instant::now();
        answer(began, collect(&engine, sql).await)?;
    }
    Ok(())
}

async fn collect(engine: &Engine, sql: String) -> Result<Vec<RecordBatch>> {
    let mut running = engine.query(QueryRequest::new(sql, "bench")).await?;
    let mut out = Vec::new();
    while let Some(batch) = running.stream.next().await {
        out.push(batch?);
    }
    Ok(out)
}

fn answer(began: Instant, rows: Result<Vec<RecordBatch>>) -> Result<()> {
    let ms = began.elapsed().as_secs_f64() * 1e3;
    let line = match rows {
        Ok(batches) => {
            let mut rows = Vec::new();
            let options = FormatOptions::default().with_null("NULL");
            for batch in &batches {
                let columns: Vec<_> =
                    batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
                rows.extend(
                    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>()),
                );
            }
            json!({ "ms": ms, "rows": rows })
        }
        Err(error) => json!({ "ms": ms, "error": format!("{error:#}") }),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
