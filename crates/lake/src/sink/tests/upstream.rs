//! A source of random transactions over four tables that remembers every change and every state.

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::DataType,
};
use model::{ChangeBatch, Column, Cursor, Key, Position, TableId, TableSchema};
use std::{collections::BTreeMap, sync::Arc};

/// A value as text; none for NULL.
pub type Value = Option<String>;
/// A row as text.
pub type Row = Vec<Value>;

/// Tables of the source by number.
pub const NUMBERED: usize = 0;
pub const PAIRED: usize = 1;
pub const WHOLE: usize = 2;
pub const LOG: usize = 3;

/// One change as the source sends it.
#[derive(Debug, Clone)]
pub struct Change {
    pub table: usize,
    pub op: char,
    pub pos: u64,
    pub seq: u64,
    /// What is sent.
    pub sent: Row,
    /// What bronze must hold: unchanged values filled in.
    pub whole: Row,
    pub unchanged: Vec<&'static str>,
}

/// What a transaction does, before the source knows whether it can.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub table: u8,
    pub kind: u8,
    pub key: u8,
    pub value: u8,
}

/// The state of all tables.
pub type State = [Vec<Row>; 4];

/// The source.
#[derive(Debug)]
pub struct Upstream {
    pub schemas: [Arc<TableSchema>; 4],
    /// Transactions; that with number `n` has the position `n + 1`.
    pub log: Vec<Vec<Change>>,
    /// `states[n]` is the state after `n` transactions.
    pub states: Vec<State>,
}

fn schema(name: &str, columns: &[(&str, DataType)], key: Key) -> Arc<TableSchema> {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nullable: true,
        source_type: String::new(),
    };
    Arc::new(TableSchema { id: TableId::new("public", name), version: 1, columns: columns.iter().map(column).collect(), key })
}

fn columns_key(names: &[&str]) -> Key {
    Key::Columns(names.iter().map(|n| (*n).to_owned()).collect())
}

impl Upstream {
    pub fn new() -> Self {
        let (text, int, long) = (DataType::Utf8, DataType::Int32, DataType::Int64);
        let schemas = [
            schema("numbered", &[("id", long.clone()), ("a", text.clone()), ("b", int.clone())], columns_key(&["id"])),
            schema("paired", &[("a", text.clone()), ("k", int.clone()), ("w", text.clone())], columns_key(&["w", "k"])),
            schema("whole", &[("a", text), ("n", int)], Key::WholeRow),
            schema("log", &[("n", long)], Key::None),
        ];
        Self { schemas, log: Vec::new(), states: vec![State::default()] }
    }

    fn now(&self) -> State {
        self.states.last().cloned().unwrap_or_default()
    }

    /// Adds a transaction of what can be done of `wishes`.
    pub fn transact(&mut self, wishes: &[Wish]) {
        let mut work = Transaction { state: self.now(), changes: Vec::new(), pos: self.log.len() as u64 + 1 };
        wishes.iter().for_each(|wish| work.fulfil(*wish));
        self.states.push(work.state);
        self.log.push(work.changes);
    }

    /// The cursor after `n` transactions.
    pub fn cursor(n: usize) -> Cursor {
        Cursor {
            position: Position::new(n as u64, 0),
            commit_ts_us: None,
            state: serde_json::Value::Null,
            display: n.to_string(),
        }
    }

    /// The changes of a transaction as batches of at most `most` rows.
    pub fn batches(&self, transaction: usize, most: usize) -> Vec<ChangeBatch> {
        let changes = &self.log[transaction];
        let runs = changes.chunk_by(|a, b| a.table == b.table).flat_map(|run| run.chunks(most.max(1)));
        runs.map(|run| batch(&self.schemas[run[0].table], run)).collect()
    }

    /// What bronze must hold of a table after `n` transactions, by position.
    pub fn bronze(&self, table: usize, n: usize) -> BTreeMap<(u64, u64), (char, Row)> {
        let changes = self.log[..n].iter().flatten().filter(|c| c.table == table);
        changes.map(|c| ((c.pos, c.seq), (c.op, c.whole.clone()))).collect()
    }

    /// What silver must hold of a table after `n` transactions, sorted.
    pub fn silver(&self, table: usize, n: usize) -> Vec<Row> {
        let mut rows = self.states[n][table].clone();
        rows.sort();
        rows
    }
}

struct Transaction {
    state: State,
    changes: Vec<Change>,
    pos: u64,
}

impl Transaction {
    fn send(&mut self, table: usize, op: char, sent: Row, whole: Row, unchanged: Vec<&'static str>) {
        let seq = self.changes.len() as u64;
        self.changes.push(Change { table, op, pos: self.pos, seq, sent, whole, unchanged });
    }

    fn plain(&mut self, table: usize, op: char, row: Row) {
        self.send(table, op, row.clone(), row, Vec::new());
    }

    fn fulfil(&mut self, wish: Wish) {
        match wish.table % 8 {
            0..=2 => self.keyed(NUMBERED, wish),
            3 | 4 => self.keyed(PAIRED, wish),
            5 | 6 => self.whole(wish),
            _ => self.append(wish),
        }
    }

    fn keyed(&mut self, table: usize, wish: Wish) {
        let value = Some(format!("v{}-{}", self.pos, wish.value));
        let number = Some((i32::from(wish.value) - 100).to_string());
        let key = i32::from(wish.key % 24);
        let image = |key: i32| match table {
            NUMBERED => vec![Some(key.to_string()), value.clone(), number.clone()],
            _ => vec![value.clone(), Some((key % 5).to_string()), Some(format!("w{}", key / 5))],
        };
        // The column that may stay unsent, and the columns of the key.
        let (toast, keys): (usize, &[usize]) = if table == NUMBERED { (1, &[0]) } else { (0, &[1, 2]) };
        let same = |a: &Row, b: &Row| keys.iter().all(|&i| a[i] == b[i]);
        let key_only =
            |row: &Row| -> Row { row.iter().enumerate().map(|(i, v)| v.clone().filter(|_| keys.contains(&i))).collect() };
        let new = image(key);
        let at = self.state[table].iter().position(|row| same(row, &new));
        match (wish.kind % 16, at) {
            (15, _) => {
                self.state[table].clear();
                self.plain(table, 't', vec![None; 3]);
            }
            (0..=5, Some(at)) | (6..=8, Some(at)) => {
                let keep = wish.kind % 16 <= 5;
                let mut whole = new.clone();
                let mut sent = new;
                if keep {
                    whole[toast] = self.state[table][at][toast].clone();
                    sent[toast] = None;
                }
                self.state[table][at] = whole.clone();
                self.send(table, 'u', sent, whole, if keep { vec!["a"] } else { Vec::new() });
            }
            (9 | 10, Some(at)) => {
                let old = self.state[table].remove(at);
                self.plain(table, 'd', key_only(&old));
            }
            (11..=14, Some(at)) => {
                let moved = image((key + 7) % 24);
                if self.state[table].iter().any(|row| same(row, &moved)) {
                    return;
                }
                let old = self.state[table].remove(at);
                self.plain(table, 'd', key_only(&old));
                let (mut whole, mut sent) = (moved.clone(), moved);
                whole[toast] = old[toast].clone();
                sent[toast] = None;
                self.state[table].push(whole.clone());
                self.send(table, 'u', sent, whole, vec!["a"]);
            }
            (_, None) | (16.., Some(_)) => {
                self.state[table].push(new.clone());
                self.plain(table, if wish.kind.is_multiple_of(2) { 'c' } else { 'r' }, new);
            }
        }
    }

    fn whole(&mut self, wish: Wish) {
        let row: Row = vec![
            Some(format!("x{}", wish.key % 3)),
            Some((wish.value % 2).to_string()).filter(|_| !wish.value.is_multiple_of(5)),
        ];
        match wish.kind % 16 {
            15 => {
                self.state[WHOLE].clear();
                self.plain(WHOLE, 't', vec![None; 2]);
            }
            kind @ 7..=14 if !self.state[WHOLE].is_empty() => {
                let at = wish.key as usize % self.state[WHOLE].len();
                let old = self.state[WHOLE].remove(at);
                self.plain(WHOLE, 'd', old.clone());
                if kind >= 12 {
                    let mut sent = row.clone();
                    let mut whole = row;
                    let keep = kind == 14;
                    if keep {
                        whole[0] = old[0].clone();
                        sent[0] = None;
                    }
                    self.state[WHOLE].push(whole.clone());
                    self.send(WHOLE, 'u', sent, whole, if keep { vec!["a"] } else { Vec::new() });
                }
            }
            _ => {
                self.state[WHOLE].push(row.clone());
                self.plain(WHOLE, 'c', row);
            }
        }
    }

    fn append(&mut self, wish: Wish) {
        if wish.kind % 16 == 15 {
            self.state[LOG].clear();
            self.plain(LOG, 't', vec![None]);
            return;
        }
        let row = vec![Some(wish.value.to_string())];
        self.state[LOG].push(row.clone());
        self.plain(LOG, 'c', row);
    }
}

/// Changes of one table as a batch.
pub fn batch(schema: &Arc<TableSchema>, changes: &[Change]) -> ChangeBatch {
    let mut columns: Vec<ArrayRef> = schema.columns.iter().enumerate().map(|(i, c)| column(&c.data_type, changes, i)).collect();
    let time = || -> ArrayRef {
        Arc::new(
            changes.iter().map(|c| Some(c.pos.cast_signed() * 1000)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        )
    };
    let ints = |of: fn(&Change) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(changes.iter().map(|c| of(c).cast_signed())))
    };
    let unchanged = |c: &Change| (!c.unchanged.is_empty()).then(|| serde_json::to_string(&c.unchanged).unwrap());
    columns.extend([
        Arc::new(StringArray::from_iter_values(changes.iter().map(|c| c.op.to_string()))) as ArrayRef,
        time(),
        time(),
        ints(|c| c.pos),
        ints(|c| c.seq),
        ints(|c| c.pos),
        Arc::new(changes.iter().map(unchanged).collect::<StringArray>()),
    ]);
    ChangeBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn column(data_type: &DataType, changes: &[Change], at: usize) -> ArrayRef {
    let values = changes.iter().map(|c| c.sent[at].as_deref());
    match data_type {
        DataType::Int32 => Arc::new(values.map(|v| v.map(|v| v.parse().unwrap())).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(values.map(|v| v.map(|v| v.parse().unwrap())).collect::<Int64Array>()),
        _ => Arc::new(values.collect::<StringArray>()),
    }
}
