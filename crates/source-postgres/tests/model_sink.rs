use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType},
    util::display::array_value_to_string,
};
use model::{ChangeBatch, Cursor, Key, Op, TableId, TableSchema};
use pipeline::{Error, Event, Source};
use source_postgres::PostgresSource;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A row: names and texts; NULL is absent.
pub type Row = BTreeMap<String, String>;

/// What silver would hold of one table, made the plain way.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub schema: Option<Arc<TableSchema>>,
    pub rows: Vec<Row>,
    /// The row that the last `d` removed, for the `u` that follows it.
    removed: Option<Row>,
    /// Its columns changed, and it was not copied since: until then a change may name rows as they are and the table hold them as they were.
    reshaped: bool,
}

/// A sink that keeps everything in memory. Only boundaries make changes visible, and only `commit` makes them durable.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub tables: BTreeMap<String, Table>,
    /// Every change ever applied: table, position, operation.
    pub changes: Vec<(String, u64, u64, &'static str)>,
    pub cursor: Option<Cursor>,
    pub failed: Vec<(TableId, String)>,
    pub boundaries: usize,
    pub batches: usize,
    pub resets: Vec<String>,
}

impl Model {
    pub fn table(&self, name: &str) -> &Table {
        self.tables.get(name).unwrap_or_else(|| panic!("no table {name}, only {:?}", self.tables.keys().collect::<Vec<_>>()))
    }

    pub fn apply(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Schema(schema) => {
                    let name = schema.id.to_string();
                    let table = self.tables.entry(name).or_default();
                    table.reshaped |= table.schema.is_some() && !table.rows.is_empty();
                    table.schema = Some(schema);
                }
                Event::Reset(id) => {
                    self.resets.push(id.to_string());
                    let table = self.tables.entry(id.to_string()).or_default();
                    table.rows.clear();
                    table.reshaped = false;
                }
                Event::Rows(batch) => self.batch(&batch),
                Event::Boundary(cursor) => {
                    self.boundaries += 1;
                    self.cursor = Some(cursor);
                }
                Event::TableFailed { table, error } => self.failed.push((table, error.message)),
            }
        }
    }

    fn batch(&mut self, batch: &ChangeBatch) {
        self.batches += 1;
        let schema = batch.schema();
        let name = schema.id.to_string();
        let table = self.tables.get_mut(&name).unwrap_or_else(|| panic!("rows of {name} before its schema"));
        assert_eq!(table.schema.as_ref(), Some(schema), "rows of {name} under another schema than told");
        for r in 0..batch.num_rows() {
            let position = batch.position(r);
            self.changes.push((name.clone(), position.pos, position.seq, batch.op(r).code()));
            let mut row = Row::new();
            for (c, column) in schema.columns.iter().enumerate() {
                if let Some(text) = text(batch.rows().column(c), r) {
                    row.insert(column.name.clone(), text);
                }
            }
            table.change(schema, batch.op(r), row, &batch.unchanged(r));
        }
    }

    /// No change came twice.
    pub fn assert_changes_are_unique(&self) {
        let mut seen = BTreeSet::new();
        for change in &self.changes {
            assert!(seen.insert((&change.0, change.1, change.2)), "{change:?} came twice");
        }
    }
}

impl Table {
    fn find(&self, schema: &TableSchema, row: &Row) -> Option<usize> {
        let indexes = schema.key_indexes();
        self.rows.iter().position(|r| {
            indexes.iter().all(|i| {
                let name = &schema.columns[*i].name;
                r.get(name) == row.get(name)
            })
        })
    }

    fn change(&mut self, schema: &TableSchema, op: Op, mut row: Row, unchanged: &[String]) {
        let keyed = matches!(schema.key, Key::Columns(_));
        match op {
            Op::Truncate => self.rows.clear(),
            Op::Delete => {
                let at = self.find(schema, &row);
                assert!(at.is_some() || self.reshaped, "{}: a delete of {row:?}, which is not there", schema.id);
                self.removed = Some(at.map_or(row, |at| self.rows.remove(at)));
                return;
            }
            Op::Create | Op::Read => {
                // Looking in a large table for every row would take a while.
                let known = keyed && self.rows.len() < 2000 && self.find(schema, &row).is_some();
                assert!(!known, "{}: {row:?} is there already", schema.id);
                self.rows.push(row);
            }
            Op::Update => {
                let before = match self.find(schema, &row).filter(|_| keyed) {
                    Some(at) => self.rows.remove(at),
                    None => {
                        self.removed.take().unwrap_or_else(|| panic!("{}: an update of {row:?}, which is not there", schema.id))
                    }
                };
                for name in unchanged {
                    assert!(!row.contains_key(name));
                    if let Some(value) = before.get(name) {
                        row.insert(name.clone(), value.clone());
                    }
                }
                self.rows.push(row);
            }
        }
        self.removed = None;
    }

    pub fn sorted(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }
}

/// A value as PostgreSQL prints it, as far as tests need.
pub fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => if column.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::Binary => {
            format!("\\x{}", column.as_binary::<i32>().value(row).iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        DataType::Date32 => {
            let (day, bc) = date(i64::from(column.as_primitive::<Date32Type>().value(row)));
            format!("{day}{bc}")
        }
        DataType::Decimal128(..) => {
            let text = array_value_to_string(column, row).unwrap();
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let (day, bc) = date(micros.div_euclid(86_400_000_000));
            let (seconds, fraction) = (micros.rem_euclid(86_400_000_000) / 1_000_000, micros.rem_euclid(1_000_000));
            let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}").trim_end_matches('0').to_owned() };
            let zone = if zone.is_some() { "+00" } else { "" };
            format!("{day} {:02}:{:02}:{:02}{fraction}{zone}{bc}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let all: Vec<String> = (0..items.len()).map(|i| element(&items, i)).collect();
            format!("{{{}}}", all.join(","))
        }
        _ => array_value_to_string(column, row).unwrap(),
    })
}

/// An element of an array as PostgreSQL prints it.
fn element(items: &ArrayRef, row: usize) -> String {
    let Some(plain) = text(items, row) else { return "NULL".into() };
    match items.data_type() {
        DataType::Decimal128(..) => array_value_to_string(items, row).unwrap(),
        DataType::Utf8
            if plain.is_empty() || plain.eq_ignore_ascii_case("null") || plain.contains(['"', '\\', '{', '}', ',', ' ']) =>
        {
            format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => plain,
    }
}

/// The civil date of days since 1970, and its era.
fn date(days: i64) -> (String, &'static str) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (shown, bc) = if year <= 0 { (1 - year, " BC") } else { (year, "") };
    (format!("{shown:04}-{month:02}-{day:02}"), bc)
}

/// Drives a source: reads whole transactions into a model.
pub struct Driver {
    pub source: PostgresSource,
    pub model: Model,
    pending: Vec<Event>,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Driver {
    pub async fn open(mut source: PostgresSource, model: Model) -> Result<Self, Error> {
        let cursor = model.cursor.clone();
        source.open(cursor.as_ref()).await?;
        Ok(Self { source, model, pending: Vec::new() })
    }

    /// As [`Self::open`], waiting while the server still holds the slot for a reader that just died.
    pub async fn open_patiently(make: impl Fn() -> PostgresSource, model: Model) -> Self {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Self::open(make(), model.clone()).await {
                Ok(driver) => return driver,
                Err(e) if matches!(e.kind, pipeline::Kind::InUse | pipeline::Kind::Unreachable) => {
                    assert!(tokio::time::Instant::now() < deadline, "the slot stays in use: {e}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(e) => panic!("{e}: {:?}", e.hint),
            }
        }
    }

    /// The next event; a boundary applies everything before it.
    pub async fn step(&mut self) -> Result<bool, Error> {
        let event = match tokio::time::timeout(PATIENCE, self.source.next()).await {
            Ok(event) => event?,
            Err(_) => panic!("no event for {PATIENCE:?}"),
        };
        let boundary = matches!(event, Event::Boundary(_));
        self.pending.push(event);
        if boundary {
            let events = std::mem::take(&mut self.pending);
            self.model.apply(events);
        }
        Ok(boundary)
    }

    /// Reads until a boundary reaches `lsn`.
    pub async fn reach(&mut self, lsn: &str) {
        self.until(|m| m.cursor.as_ref().is_some_and(|c| number(&c.display) >= number(lsn))).await;
    }

    /// Reads until a boundary after which `done` holds.
    pub async fn until(&mut self, done: impl Fn(&Model) -> bool) {
        if done(&self.model) {
            return;
        }
        loop {
            match self.step().await {
                Ok(true) if done(&self.model) => return,
                Ok(_) => {}
                Err(e) => panic!("{e}: {:?} {:?}", e.hint, e.source),
            }
        }
    }

    pub fn ack(&mut self) {
        if let Some(cursor) = self.model.cursor.clone() {
            self.source.ack(&cursor);
        }
    }

    /// Forgets everything since the last boundary, as a crash does.
    pub fn kill(self) -> Model {
        self.model
    }
}

pub fn number(lsn: &str) -> u64 {
    let (high, low) = lsn.split_once('/').unwrap();
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}
