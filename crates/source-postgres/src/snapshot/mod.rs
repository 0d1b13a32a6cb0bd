//! The first copy: all rows of some tables as of one exported snapshot, over several connections.

mod tuples;

use crate::{
    config::Settings,
    connect::{Client, Mode, Refusal, literal, quoted},
    cursor::included,
    decode::{BatchBuilder, Origin, Shape},
    discover::{Found, NewSlot, Part},
    outlet::{Outlet, Telling},
};
use futures::future::try_join_all;
use model::TableId;
use pipeline::{Error, Event, Kind};
use runtime::SharedClock;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::Mutex;
use tuples::{Place, push_tuples};

/// A batch is handed over when it has received so many bytes, whatever its rows.
pub(crate) const BATCH_BYTES_MAX: usize = 4 << 20;
/// Parts above this are split between connections.
const SPLIT_PAGES_MIN: u64 = 8192;
/// Pages of one piece of a split part at least.
const PIECE_PAGES_MIN: u64 = 4096;
/// Rows for which a batch makes room before it knows better.
const FIRST_ROWS: usize = 1024;

/// A table under copy. Its lock is held while a batch is finished and sent, so that versions of its schema arrive in order.
struct Copied {
    shape: Mutex<Shape>,
    select: String,
    columns: usize,
    /// Pieces that are not copied yet.
    left: AtomicUsize,
    /// The table was truncated or rewritten between the snapshot and its copy.
    torn: AtomicBool,
}

struct Piece {
    table: usize,
    oid: u32,
    sql: String,
}

/// All that the connections of one copy share.
pub(crate) struct Copy<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) clock: &'a SharedClock,
    pub(crate) outlet: &'a Outlet,
    pub(crate) telling: &'a Telling,
}

impl Copy<'_> {
    /// Copies `tables` as `slot`'s snapshot shows them, which must be kept alive meanwhile. Returns their shapes, in order (none for a
    /// table whose copy is not to be trusted and must be made anew), and the
    /// number of positions used. `version` says which version of its schema a table begins with.
    pub(crate) async fn run(
        &self,
        slot: &NewSlot,
        tables: &[Found],
        version: impl Fn(&TableId) -> u32,
    ) -> Result<(Vec<Option<Shape>>, u64), Error> {
        let mut copied = Vec::with_capacity(tables.len());
        for table in tables {
            let shape = Shape::new(table.id.clone(), table.columns.clone(), table.key.clone(), Vec::new(), version(&table.id));
            self.outlet.send(Event::Reset(table.id.clone())).await?;
            self.outlet.send(Event::Schema(Arc::clone(shape.schema()))).await?;
            let columns = shape.columns.len();
            let (select, shape) = (select_list(&shape), Mutex::new(shape));
            copied.push(Copied { select, shape, columns, left: AtomicUsize::new(0), torn: AtomicBool::new(false) });
        }
        self.telling.snapshot_begins(tables.len(), tables.iter().flat_map(|t| &t.parts).map(|p| p.rows).sum());
        let first = Client::connect(&self.settings.address, Mode::Sql).await?;
        let pieces = self.pieces(tables, &copied, first.version() >= 140_000);
        tracing::info!(
            source = self.settings.source,
            tables = tables.len(),
            pieces = pieces.len(),
            at = %slot.consistent,
            "copying tables from one snapshot"
        );
        let connections = self.settings.snapshot_connections.min(pieces.len()).max(1);
        let queue = parking_lot::Mutex::new(pieces);
        let seq = AtomicU64::new(0);
        let mut clients = vec![first];
        for _ in 1..connections {
            clients.push(Client::connect(&self.settings.address, Mode::Sql).await?);
        }
        let origin = Origin { pos: included(slot.consistent), commit_ts_us: None, xid: None };
        try_join_all(clients.into_iter().map(|client| self.work(client, &slot.snapshot, &queue, &copied, origin, &seq))).await?;
        self.telling.snapshot_ends();
        let done = |c: Copied| (!c.torn.into_inner()).then(|| c.shape.into_inner());
        Ok((copied.into_iter().map(done).collect(), seq.into_inner()))
    }

    fn pieces(&self, tables: &[Found], copied: &[Copied], split: bool) -> VecDeque<Piece> {
        let mut pieces = Vec::new();
        for (at, (table, copied)) in tables.iter().zip(copied).enumerate() {
            for part in &table.parts {
                for filter in ranges(part, self.settings.snapshot_connections, split) {
                    let from = format!("{}.{}", quoted(&part.id.schema), quoted(&part.id.name));
                    let sql = format!("COPY (SELECT {} FROM ONLY {from}{filter}) TO STDOUT (FORMAT binary)", copied.select);
                    copied.left.fetch_add(1, Ordering::Relaxed);
                    pieces.push((part.pages, Piece { table: at, oid: part.oid, sql }));
                }
            }
            if table.parts.is_empty() {
                self.telling.table_done();
            }
        }
        // The largest first, so that no connection ends up alone with one.
        pieces.sort_by_key(|(pages, _)| std::cmp::Reverse(*pages));
        pieces.into_iter().map(|(_, piece)| piece).collect()
    }

    async fn work(
        &self,
        mut client: Client,
        snapshot: &str,
        queue: &parking_lot::Mutex<VecDeque<Piece>>,
        copied: &[Copied],
        origin: Origin,
        seq: &AtomicU64,
    ) -> Result<(), Error> {
        loop {
            let Some(piece) = queue.lock().pop_front() else { break };
            let Some(table) = copied.get(piece.table) else { continue };
            // A transaction for each piece: one that kept the locks of several tables could make the application's own fail with a deadlock.
            begin(&mut client, snapshot).await?;
            self.copy_piece(&mut client, &piece, table, origin, seq).await?;
            if !is_whole(&mut client, piece.oid).await? {
                table.torn.store(true, Ordering::Release);
            }
            client.query("COMMIT", "ending the copy of a table").await?;
            if table.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.telling.table_done();
            }
        }
        client.finish().await;
        Ok(())
    }

    async fn copy_piece(
        &self,
        client: &mut Client,
        piece: &Piece,
        table: &Copied,
        origin: Origin,
        seq: &AtomicU64,
    ) -> Result<(), Error> {
        let (id, mut builder) = {
            let shape = table.shape.lock().await;
            (shape.id.clone(), BatchBuilder::new(&shape, FIRST_ROWS))
        };
        let doing = format!("copying table {id}");
        client.start_copy(&piece.sql, &doing).await?;
        let block = u64::try_from(self.settings.batch_rows_max).unwrap_or(u64::MAX).saturating_mul(2);
        let mut next_seq = seq.fetch_add(block, Ordering::Relaxed);
        let mut place = Place { origin, ingest_us: self.clock.now_us() };
        let mut refused: Option<Error> = None;
        loop {
            while let Some(frame) = client.wire.take()? {
                match frame.tag {
                    b'd' => {
                        let rows = push_tuples(frame.body, table.columns, place, &mut next_seq, &mut builder)
                            .map_err(|e| Error::new(Kind::Corrupt, format!("PostgreSQL sent {e} while {doing}")))?;
                        self.telling.rows.fetch_add(u64::try_from(rows).unwrap_or(0), Ordering::Relaxed);
                    }
                    b'E' => refused = Some(Refusal::parse(frame.body).into_error(&doing)),
                    b'Z' => {
                        return match refused {
                            Some(error) => Err(error),
                            None => self.hand_over(table, &mut builder).await,
                        };
                    }
                    _ => {}
                }
                if builder.rows() >= self.settings.batch_rows_max || builder.bytes() >= BATCH_BYTES_MAX {
                    self.hand_over(table, &mut builder).await?;
                    // Numbers are taken in blocks: gaps do no harm, equal ones would.
                    next_seq = seq.fetch_add(block, Ordering::Relaxed);
                }
            }
            let read = client.wire.read_more().await?;
            self.telling.bytes.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
            place.ingest_us = self.clock.now_us();
        }
    }

    async fn hand_over(&self, table: &Copied, builder: &mut BatchBuilder) -> Result<(), Error> {
        if builder.rows() == 0 {
            return Ok(());
        }
        let mut shape = table.shape.lock().await;
        let (batch, grown) = builder.finish(&mut shape)?;
        if grown {
            self.outlet.send(Event::Schema(Arc::clone(shape.schema()))).await?;
        }
        self.outlet.send(Event::Rows(batch)).await
    }
}

async fn begin(client: &mut Client, snapshot: &str) -> Result<(), Error> {
    // With row security off, rows that a policy would hide make an error instead of being left out.
    let sql = format!(
        "SET row_security = off; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        literal(snapshot)
    );
    client.query(&sql, "opening the exported snapshot").await.map(|_| ())
}

/// Whether the rows of a part were still those of the snapshot when they were copied.
///
/// TRUNCATE and rewriting ALTERs empty a table for older snapshots too. They give it another file: the snapshot's catalog names the old one,
/// the function the present one. The copy's lock is still held, so what is true now was true during the copy.
async fn is_whole(client: &mut Client, oid: u32) -> Result<bool, Error> {
    let sql = format!("SELECT relfilenode = pg_relation_filenode(oid) FROM pg_class WHERE oid = {oid}");
    let rows = client.query(&sql, "checking a copied table").await?;
    Ok(rows.first().and_then(|r| r.first()).is_some_and(|v| v.as_deref() == Some("t")))
}

/// The columns as they are asked for. What has no binary form that we read comes as its output function prints it, exactly as in the stream;
/// a cast to text would print some types (inet, char(n)) otherwise.
fn select_list(shape: &Shape) -> String {
    let column = |c: &crate::decode::ShapeColumn| {
        let name = quoted(&c.name);
        if c.kind.has_binary_form() {
            name
        } else {
            // IS DISTINCT FROM, because IS NOT NULL is false for a composite with a NULL inside.
            format!("CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.concat({name}) END")
        }
    };
    shape.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Filters that together take every row of a part once.
fn ranges(part: &Part, connections: usize, split: bool) -> Vec<String> {
    if !split || part.pages < SPLIT_PAGES_MIN || connections < 2 {
        return vec![String::new()];
    }
    let connections = u64::try_from(connections).unwrap_or(1);
    let step = (part.pages / (connections * 4)).max(PIECE_PAGES_MIN);
    let mut filters = Vec::new();
    let mut from = 0;
    loop {
        let to = from + step;
        // The last piece has no end: the table may have grown since it was measured.
        if to >= part.pages {
            filters.push(format!(" WHERE ctid >= '({from},0)'::tid"));
            return filters;
        }
        filters.push(format!(" WHERE ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid"));
        from = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_parts_are_cut_into_ranges_without_gap_or_overlap() {
        let part = |pages| Part { oid: 1, id: TableId::new("s", "t"), pages, rows: 0 };
        assert_eq!(ranges(&part(100), 4, true), [""]);
        assert_eq!(ranges(&part(100_000), 1, true), [""]);
        assert_eq!(ranges(&part(100_000), 4, false), [""]);
        let cut = ranges(&part(10_000), 2, true);
        assert_eq!(
            cut,
            [
                " WHERE ctid >= '(0,0)'::tid AND ctid < '(4096,0)'::tid",
                " WHERE ctid >= '(4096,0)'::tid AND ctid < '(8192,0)'::tid",
                " WHERE ctid >= '(8192,0)'::tid"
            ]
        );
    }
}
