//! Lookups through the key index against every row of the view, for the view of now and for former ones that a slow query still has.

use super::world::SOURCE;
use crate::{FoundRows, KeyLookup, LakeView, Store, TableView, sink::former, sink::shape::position};
use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, StringArray},
    util::display::{ArrayFormatter, FormatOptions},
};
use model::{LakeTable, Layer};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Former views whose answers must stay what they were.
const HELD: usize = 6;

/// A view's lookup and the rows that each key has in it.
struct Held {
    name: &'static str,
    lookup: Arc<KeyLookup>,
    truth: HashMap<Vec<String>, FoundRows>,
}

/// What was asked so far.
#[derive(Default)]
pub struct Asked {
    held: Mutex<VecDeque<Held>>,
    /// Keys whose rows the index told.
    pub told: AtomicUsize,
    /// Keys that had to be looked for in the table.
    pub untold: AtomicUsize,
}

/// Asks for every key of the keyed tables of `view`, and once more in former views.
pub async fn check(store: &Store, view: &LakeView, asked: &Asked) {
    for name in ["numbered", "paired"] {
        let Some(table) = view.tables.get(&LakeTable::new(Layer::Silver, format!("{SOURCE}_{name}"))) else { continue };
        let Some(lookup) = &table.lookup else { continue };
        let held = Held { name, lookup: Arc::clone(lookup), truth: truth(store, table, lookup.key_ids()).await };
        held.check(asked);
        let mut all = asked.held.lock();
        if !all.iter().any(|h| Arc::ptr_eq(&h.lookup, lookup)) {
            all.push_back(held);
        }
        if all.len() > HELD {
            all.pop_front();
        }
    }
    asked.held.lock().iter().for_each(|held| held.check(asked));
}

impl Held {
    fn check(&self, asked: &Asked) {
        let mut all = FoundRows::default();
        let keys: Vec<Vec<String>> = (0..30).map(|key| key_of(self.name, key)).collect();
        let mut told = true;
        for key in &keys {
            let truth = self.truth.get(key).cloned().unwrap_or_default();
            let Some(found) = self.lookup.find(&columns(self.name, std::slice::from_ref(key))) else {
                asked.untold.fetch_add(1, Ordering::Relaxed);
                told = false;
                continue;
            };
            asked.told.fetch_add(1, Ordering::Relaxed);
            assert_eq!(found, truth, "the rows of {key:?} in {}", self.name);
            for (at, rows) in found.files {
                *all.files.entry(at).or_default() |= rows;
            }
            for (at, rows) in found.hot {
                *all.hot.entry(at).or_default() |= rows;
            }
        }
        if told {
            assert_eq!(self.lookup.find(&columns(self.name, &keys)), Some(all));
        }
    }
}

/// The columns of a key, in the order of the table's key.
fn key_of(table: &str, key: i32) -> Vec<String> {
    match table {
        "numbered" => vec![key.to_string()],
        _ => vec![format!("w{}", key / 5), (key % 5).to_string()],
    }
}

fn columns(table: &str, keys: &[Vec<String>]) -> Vec<ArrayRef> {
    let number = |at: usize| keys.iter().map(move |k| k[at].parse::<i32>().unwrap());
    match table {
        "numbered" => vec![Arc::new(number(0).map(i64::from).collect::<Int64Array>())],
        _ => {
            let words: StringArray = keys.iter().map(|k| Some(k[0].as_str())).collect();
            vec![Arc::new(words), Arc::new(number(1).collect::<Int32Array>())]
        }
    }
}

/// Where the live rows of a view are, by key.
async fn truth(store: &Store, table: &TableView, ids: &[i32]) -> HashMap<Vec<String>, FoundRows> {
    let mut truth: HashMap<Vec<String>, FoundRows> = HashMap::new();
    let text = |columns: &[&ArrayRef], row: usize| -> Vec<String> {
        let options = FormatOptions::default();
        columns.iter().map(|c| ArrayFormatter::try_new(*c, &options).unwrap().value(row).to_string()).collect()
    };
    for (at, file) in table.files.iter().enumerate() {
        let mut position_in_file = 0;
        former::read(store, &file.path, ids.to_vec(), None, |batch| {
            let schema = batch.schema();
            let columns: Vec<_> = ids.iter().map(|id| batch.column(position(&schema, Some(*id)).unwrap())).collect();
            for row in 0..batch.num_rows() {
                if !file.deleted.as_ref().is_some_and(|d| d.contains(position_in_file)) {
                    truth.entry(text(&columns, row)).or_default().files.entry(at).or_default().insert(position_in_file);
                }
                position_in_file += 1;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    for (at, batch) in table.hot.iter().enumerate() {
        let columns: Vec<_> = ids.iter().map(|id| batch.rows.column(position(&table.schema, Some(*id)).unwrap())).collect();
        for row in 0..batch.rows.num_rows() {
            if !batch.deleted.as_ref().is_some_and(|d| d.contains(row as u32)) {
                truth.entry(text(&columns, row)).or_default().hot.entry(at).or_default().insert(row as u32);
            }
        }
    }
    truth
}
