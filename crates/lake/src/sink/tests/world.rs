//! A lake on a disk of its own, a sink into it, and eyes that read what queries would.

use super::{
    lookups::{self, Asked},
    upstream::{Row, Upstream},
};
use crate::{
    Lake, LakeSink, LakeView, SinkSettings, Store, TableView, field_id,
    index::IndexSettings,
    sink::{former, shape::project},
    table::{DeleteRecord, FileRecord, TableState, load},
};
use arrow::{
    array::{Array, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use catalog::Catalog;
use model::{CHANGE_COLUMNS, ChangeBatch, Cursor, LakeTable, Layer};
use pipeline::{BoundaryInfo, CommitTicket, Error, Sink};
use roaring::RoaringBitmap;
use runtime::ByteBudget;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use testkit::VirtualClock;

pub const SOURCE: &str = "shop";

pub struct World {
    pub dir: tempfile::TempDir,
    pub clock: VirtualClock,
    pub lake: Lake,
    pub catalog: Catalog,
    pub settings: SinkSettings,
    pub sink: LakeSink,
    /// A commit that began and has not ended.
    pub ticket: Option<(CommitTicket, usize)>,
    /// What was asked of the key indexes.
    pub asked: Asked,
}

impl World {
    /// An empty lake and an open sink. `budget` are the bytes of memory for rows.
    pub async fn new(budget: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = VirtualClock::new();
        let mut settings = SinkSettings::new(dir.path().join("index"), ByteBudget::new(budget));
        settings.publish_every = Duration::ZERO;
        settings.encode_rows = 4;
        settings.file_rows_max = 16;
        settings.index = IndexSettings { hot_entries_max: 12, fan_in: 2 };
        let (lake, catalog) = open(&dir, &clock).await;
        let sink = lake.sink(SOURCE, settings.clone());
        Self { dir, clock, lake, catalog, settings, sink, ticket: None, asked: Asked::default() }
    }

    /// Opens the sink, announces the tables, and says how many transactions are durable.
    pub async fn start(&mut self, upstream: &Upstream) -> usize {
        let resume = self.sink.open().await.unwrap();
        for schema in &upstream.schemas {
            self.sink.schema(schema).await.unwrap();
        }
        resume.map_or(0, |cursor| cursor.position.pos as usize)
    }

    /// The sink is gone, whatever it had.
    pub async fn restart_sink(&mut self, upstream: &Upstream) -> usize {
        self.ticket = None;
        self.sink = self.lake.sink(SOURCE, self.settings.clone());
        self.start(upstream).await
    }

    /// The process is gone; what is on disk stays.
    pub async fn restart_process(self, upstream: &Upstream) -> (Self, usize) {
        let Self { dir, clock, lake, catalog, settings, sink, ticket, asked } = self;
        drop((sink, ticket, lake, catalog));
        let (lake, catalog) = open(&dir, &clock).await;
        let sink = lake.sink(SOURCE, settings.clone());
        let mut world = Self { dir, clock, lake, catalog, settings, sink, ticket: None, asked };
        let durable = world.start(upstream).await;
        (world, durable)
    }

    pub async fn write(&mut self, batch: ChangeBatch) -> Result<(), Error> {
        self.sink.write(batch).await
    }

    pub async fn boundary(&mut self, cursor: &Cursor) -> BoundaryInfo {
        self.sink.boundary(cursor).await.unwrap()
    }

    /// What queries see: how many transactions, and that every table is as it was after them.
    pub async fn check_view(&self, upstream: &Upstream) -> usize {
        let view = self.lake.view();
        let n = view.sources.get(SOURCE).map_or(0, |cursor| cursor.position.pos as usize);
        lookups::check(self.lake.warehouse(), &view, &self.asked).await;
        self.check_tables(upstream, n, |table| view.tables.get(table).cloned()).await;
        n
    }

    /// What readers of the committed tables see after `n` transactions.
    pub async fn check_durable(&self, upstream: &Upstream, n: usize) {
        let stored = self.catalog.cursor(SOURCE).await.unwrap().map_or(0, |c| c.cursor.position.pos as usize);
        assert_eq!(stored, n, "the stored cursor");
        self.check_tables(upstream, n, |table| self.lake.tables().state(table).map(|s| Arc::clone(s.view()))).await;
    }

    async fn check_tables(&self, upstream: &Upstream, n: usize, of: impl Fn(&LakeTable) -> Option<Arc<TableView>>) {
        for (number, schema) in upstream.schemas.iter().enumerate() {
            let name = model::lake_name(SOURCE, &schema.id);
            let mut silver = match of(&LakeTable::new(Layer::Silver, name.clone())) {
                Some(table) => rows(self.lake.warehouse(), &table).await,
                None => Vec::new(),
            };
            silver.sort();
            assert_eq!(silver, upstream.silver(number, n), "silver.{name} after {n} transactions");
            let bronze = match of(&LakeTable::new(Layer::Bronze, name.clone())) {
                Some(table) => changes(self.lake.warehouse(), &table).await,
                None => Vec::new(),
            };
            let by_position: BTreeMap<_, _> = bronze.iter().cloned().collect();
            assert_eq!(by_position.len(), bronze.len(), "bronze.{name} has a change twice");
            assert_eq!(by_position, upstream.bronze(number, n), "bronze.{name} after {n} transactions");
        }
    }

    /// Every table as it is in memory is as its files say, and no two rows of a table have one id.
    pub async fn check_loaded(&self) {
        for record in self.catalog.tables().await.unwrap() {
            let table = record.table.clone();
            let known = self.lake.tables().state(&table).unwrap();
            let loaded = load::load(self.lake.warehouse(), record).await.unwrap();
            let files = |state: &TableState| -> Vec<_> {
                let files = state.parts.files.iter();
                let of = |f: &FileRecord| {
                    (
                        f.view.path.clone(),
                        f.view.deleted.clone(),
                        f.in_wide.clone(),
                        f.sequence,
                        f.first_row_id,
                        f.manifest.clone(),
                    )
                };
                files.map(of).collect()
            };
            assert_eq!(files(&known), files(&loaded), "files of {table}");
            let deletes = |state: &TableState| -> Vec<_> {
                let of = |d: &DeleteRecord| {
                    let (entry, file) = (&d.entry, &d.entry.data_file);
                    let place = (file.file_path().to_owned(), file.content_offset(), file.referenced_data_file());
                    (place, entry.sequence_number, entry.snapshot_id, d.scope.clone(), d.manifest.clone())
                };
                state.parts.deletes.iter().map(of).collect()
            };
            assert_eq!(deletes(&known), deletes(&loaded), "delete files of {table}");
            if !known.has_lineage() || known.view().snapshot_id.is_none() {
                continue;
            }
            let ids = known.parts.files.iter().filter_map(|f| Some((f.first_row_id?, f.view.rows.cast_signed())));
            let mut ids: Vec<(i64, i64)> = ids.collect();
            ids.sort_unstable();
            assert!(ids.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0), "{table}: {ids:?}");
            let next = known.parts.metadata.next_row_id().cast_signed();
            assert!(ids.last().is_none_or(|(first, rows)| first + rows <= next), "{table}: {ids:?}, {next}");
            let vectors: Vec<_> = known.parts.deletes.iter().filter(|d| d.entry.data_file.content_offset().is_some()).collect();
            let scopes: std::collections::HashSet<_> = vectors.iter().map(|d| &d.scope).collect();
            assert_eq!(scopes.len(), vectors.len(), "{table}: one vector for each data file at most");
        }
    }

    pub fn view(&self) -> Arc<LakeView> {
        self.lake.view()
    }
}

async fn open(dir: &tempfile::TempDir, clock: &VirtualClock) -> (Lake, Catalog) {
    let url = format!("sqlite:{}", dir.path().join("catalog.db").display());
    let catalog = Catalog::open(&url, clock.shared()).await.unwrap();
    let store = Store::open(dir.path().join("lake").to_str().unwrap(), &BTreeMap::new()).await.unwrap();
    let lake = Lake::over(store, catalog.clone(), clock.shared()).await.unwrap();
    (lake, catalog)
}

/// The rows of a table that a query would see, under the table's columns.
pub async fn batches(store: &Store, table: &TableView) -> Vec<RecordBatch> {
    let ids: Vec<i32> = table.schema.fields().iter().filter_map(|f| field_id(f)).collect();
    let mut found = Vec::new();
    for file in table.files.iter() {
        let mut first = 0u32;
        former::read(store, &file.path, ids.clone(), None, |batch| {
            let rows = first..first + batch.num_rows() as u32;
            first = rows.end;
            let gone = file.deleted.as_ref().map(|d| d.range(rows.clone()).map(|r| r - rows.start).collect::<RoaringBitmap>());
            found.push(live(&project(&batch, &batch.schema(), &table.schema)?, gone.as_ref()));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(u64::from(first), file.rows, "rows of {}", file.path);
    }
    found.extend(table.hot.iter().map(|hot| live(&hot.rows, hot.deleted.as_deref())));
    let counted: u64 = found.iter().map(|b| b.num_rows() as u64).sum();
    assert_eq!(counted, table.live_rows(), "the view counts other rows than it has");
    found
}

fn live(batch: &RecordBatch, gone: Option<&RoaringBitmap>) -> RecordBatch {
    let keep: arrow::array::BooleanArray =
        (0..batch.num_rows() as u32).map(|row| Some(!gone.is_some_and(|g| g.contains(row)))).collect();
    arrow::compute::filter_record_batch(batch, &keep).unwrap()
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let column = batch.column(column);
    let options = FormatOptions::default();
    column.is_valid(row).then(|| ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string())
}

/// The data columns of a table's rows as text.
pub async fn rows(store: &Store, table: &TableView) -> Vec<Row> {
    let is_data = |name: &str| !CHANGE_COLUMNS.contains(&name);
    let columns: Vec<_> = table.schema.fields().iter().enumerate().filter(|(_, f)| is_data(f.name())).map(|(i, _)| i).collect();
    let mut rows = Vec::new();
    for batch in batches(store, table).await {
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|&c| text(&batch, c, row)).collect::<Row>()));
    }
    rows
}

type Change = ((u64, u64), (char, Row));

/// The changes that a bronze table holds.
async fn changes(store: &Store, table: &TableView) -> Vec<Change> {
    let at = |name: &str| table.schema.index_of(name).unwrap();
    let (op, pos, seq) = (at("_op"), at("_pos"), at("_seq"));
    let mut found = Vec::new();
    for batch in batches(store, table).await {
        for row in 0..batch.num_rows() {
            let number = |c: usize| text(&batch, c, row).unwrap().parse().unwrap();
            let data = (0..batch.num_columns()).filter(|&c| !CHANGE_COLUMNS.contains(&table.schema.field(c).name().as_str()));
            let values = data.map(|c| text(&batch, c, row)).collect();
            found.push(((number(pos), number(seq)), (text(&batch, op, row).unwrap().chars().next().unwrap(), values)));
        }
    }
    found
}
