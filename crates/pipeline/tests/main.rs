//! The loop against doubles of its seams: faults on cue, time under control.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with its first surprise")]

mod faults;
mod loops;
mod planted;

use async_trait::async_trait;
use model::{Cursor, Op, TableId};
use pipeline::{Error, Factory, Parts, Settings, Stage};
use std::{collections::BTreeSet, time::Duration};
use testkit::{Item, MemoryLake, Upstream, cursor_at, kv_batch, kv_schema};

/// Parts from doubles, as often as asked.
struct Doubles {
    upstream: Upstream,
    lake: MemoryLake,
}

#[async_trait]
impl Factory for Doubles {
    async fn parts(&self, _: &BTreeSet<TableId>) -> Result<Parts, Error> {
        Ok(Parts { source: Box::new(self.upstream.source()), stage: Stage::default(), sink: Box::new(self.lake.sink()) })
    }

    async fn forget(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Commits after every boundary, publishes at once.
fn eager() -> Settings {
    Settings { commit_every: Duration::ZERO, commit_rows_max: 1, ..Settings::default() }
}

/// `n` transactions on two tables: each inserts one row in both, and updates the first table's row 1.
fn transactions(n: u64) -> Vec<Item> {
    let (a, b) = (kv_schema("a"), kv_schema("b"));
    let mut items = vec![Item::Schema(a.clone()), Item::Schema(b.clone())];
    for tx in 1..=n {
        let id = tx.cast_signed();
        let value = format!("v{tx}");
        items.push(Item::Rows(kv_batch(&a, &[(Op::Create, tx, 0, id, Some("new")), (Op::Update, tx, 1, 1, Some(&value))])));
        items.push(Item::Rows(kv_batch(&b, &[(Op::Create, tx, 2, id, Some(&value))])));
        items.push(Item::Boundary(cursor_at(tx, 2)));
    }
    items
}

fn last_cursor(items: &[Item]) -> Cursor {
    let found = items.iter().rev().find_map(|i| match i {
        Item::Boundary(c) => Some(c.clone()),
        _ => None,
    });
    found.expect("the script has a boundary")
}

fn table(name: &str) -> TableId {
    TableId::new("public", name)
}
