use super::{
    assembler::{Assembler, Step},
    pgoutput::{EPOCH_US, Relation},
};
use crate::{
    config::Settings,
    connect::{Client, Lsn, Mode, Refusal, literal, message, quoted},
    cursor::State,
    decode::{Kind as ColumnKind, ShapeColumn},
    discover::{TypeCatalog, describe},
    outlet::{Outlet, Telling},
    watcher::Fingerprint,
};
use pipeline::{Error, Event, Kind};
use runtime::{CancellationToken, SharedClock};
use std::time::Duration;
use tokio::sync::watch;

/// How often the server hears from us whatever happens; far below any sensible `wal_sender_timeout`.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// Under load, small transactions are gathered so many lingers long.
const LINGERS_UNDER_LOAD: u32 = 5;
/// A read that brought less than this under load is followed by a short pause, so that the next brings more.
const SMALL_READ: usize = 64 << 10;
const GULP_PAUSE: Duration = Duration::from_millis(2);
/// How long a slot may still be held by a reader that has just gone, and how often to ask.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);
const SLOT_PAUSE: Duration = Duration::from_millis(20);
/// Rows since the last boundary from which on the stream counts as loaded.
const LOADED_ROWS: usize = 2_000;

/// Why streaming stopped, other than by an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The tables are to be looked at anew: some appeared, or must be copied again.
    Rediscover,
    /// The source was closed.
    Closed,
}

/// The connection that streams, and what it needs to hand over.
pub(crate) struct Replication<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) clock: &'a SharedClock,
    pub(crate) outlet: &'a Outlet,
    pub(crate) telling: &'a Telling,
    pub(crate) cancel: &'a CancellationToken,
    /// The durable position.
    pub(crate) acked: watch::Receiver<Lsn>,
    /// Changes whenever the watcher sees other tables than ours.
    pub(crate) tables_changed: watch::Receiver<Fingerprint>,
    pub(crate) types: &'a mut TypeCatalog,
    pub(crate) state: &'a mut State,
}

struct Stream {
    client: Client,
    assembler: Assembler,
    /// Monotonic time of the last boundary.
    boundary_at: Duration,
    status_at: Duration,
    /// The server asked for everything to be confirmed, as it does before it shuts down.
    asked: bool,
    /// A table has other columns than before.
    reshaped: bool,
    received: Lsn,
}

impl Replication<'_> {
    /// Streams from the state's position until told to stop; the state and `assembler` are at the last boundary then.
    pub(crate) async fn run(&mut self, assembler: Assembler) -> Result<(End, Assembler), Error> {
        let publications = [self.settings.publication.clone(), self.settings.inserts_publication()].map(|p| quoted(&p)).join(",");
        // The position is always said: without one the server would start wherever the slot happens to stand.
        let sql = format!(
            "START_REPLICATION SLOT \"{}\" LOGICAL {} (proto_version '1', publication_names {})",
            self.settings.slot,
            self.state.lsn,
            literal(&publications)
        );
        let client = self.start(&sql).await?;
        tracing::info!(source = self.settings.source, slot = self.settings.slot, from = %self.state.lsn, "streaming changes");
        let now = self.clock.monotonic();
        let mut stream = Stream {
            client,
            assembler,
            boundary_at: now,
            status_at: now,
            asked: false,
            reshaped: false,
            received: self.state.lsn,
        };
        self.send_status(&mut stream).await?;
        let end = self.stream(&mut stream).await?;
        stream.client.finish().await;
        Ok((end, stream.assembler))
    }

    /// Begins to stream. The server lets go of a slot a moment after its reader, which may have been us, is gone.
    async fn start(&self, sql: &str) -> Result<Client, Error> {
        let doing = format!("starting to stream from slot {}", self.settings.slot);
        let deadline = self.clock.monotonic() + SLOT_PATIENCE;
        loop {
            let mut client = Client::connect(&self.settings.address, Mode::Replication).await?;
            match client.start_copy(sql, &doing).await {
                Ok(()) => return Ok(client),
                Err(error) if error.kind == Kind::InUse && self.clock.monotonic() < deadline => {
                    client.finish().await;
                    tokio::select! {
                        biased;
                        () = self.cancel.cancelled() => return Err(error),
                        () = self.clock.sleep(SLOT_PAUSE) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn stream(&mut self, stream: &mut Stream) -> Result<End, Error> {
        let mut rediscover = false;
        let mut last_read = usize::MAX;
        loop {
            self.drain(stream).await?;
            // Names and types alone don't tell a renamed column from a dropped and an added one; the catalog does.
            rediscover |= stream.reshaped || !stream.assembler.stale().is_empty() || self.met_stranger(stream);
            let now = self.clock.monotonic();
            let mut pause = None;
            if !stream.assembler.in_transaction() {
                let due = self.boundary_due(stream, now, rediscover);
                if due.is_zero() {
                    self.boundary(stream).await?;
                } else {
                    pause = Some(due);
                }
                if rediscover && stream.assembler.reached() == self.state.lsn && stream.assembler.waiting_rows() == 0 {
                    return Ok(End::Rediscover);
                }
            }
            let status_in = STATUS_EVERY.saturating_sub(now.saturating_sub(stream.status_at));
            let loaded = last_read < SMALL_READ && stream.assembler.waiting_rows() >= LOADED_ROWS;
            let wait = pause.map_or(status_in, |p| p.min(status_in));
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(End::Closed),
                changed = self.acked.changed() => {
                    if changed.is_err() { return Ok(End::Closed); }
                    self.send_status(stream).await?;
                }
                changed = self.tables_changed.changed() => rediscover |= changed.is_ok(),
                () = self.clock.sleep(wait) => {
                    if pause.is_none_or(|p| p >= status_in) { self.send_status(stream).await?; }
                }
                read = Self::read(stream, loaded.then(|| self.clock.sleep(GULP_PAUSE))) => last_read = read?,
            }
        }
    }

    async fn read(stream: &mut Stream, pause: Option<futures::future::BoxFuture<'static, ()>>) -> Result<usize, Error> {
        if let Some(pause) = pause {
            pause.await;
        }
        stream.client.wire.read_more().await
    }

    /// How long until a boundary should be set; zero: now. The longest wait where there is nothing to bound.
    fn boundary_due(&self, stream: &Stream, now: Duration, rediscover: bool) -> Duration {
        let since = now.saturating_sub(stream.boundary_at);
        if stream.assembler.waiting_rows() > 0 {
            return self.settings.linger.saturating_sub(since);
        }
        if stream.assembler.reached() > self.state.lsn {
            let idle = if rediscover || stream.asked { Duration::ZERO } else { self.settings.idle };
            return idle.saturating_sub(since);
        }
        STATUS_EVERY
    }

    /// Takes every message that is here.
    async fn drain(&mut self, stream: &mut Stream) -> Result<(), Error> {
        let ingest_us = self.clock.now_us();
        while let Some(frame) = stream.client.wire.take()? {
            match (frame.tag, frame.body) {
                (b'd', [b'w', rest @ ..]) => {
                    let Some((header, body)) = rest.split_first_chunk::<24>() else { return Err(self.corrupt("a cut change")) };
                    let mut end = [0; 8];
                    end.copy_from_slice(&header[8..16]);
                    stream.received = stream.received.max(Lsn(u64::from_be_bytes(end)));
                    match stream.assembler.message(body, ingest_us)? {
                        Step::Go => {}
                        Step::Full => self.hand_over(stream).await?,
                        Step::Committed => {
                            if self.should_bound_under_load(stream) {
                                self.boundary(stream).await?;
                            }
                        }
                        Step::Describe(relation) => stream.reshaped |= self.describe(stream, &relation).await?,
                    }
                }
                (b'd', [b'k', rest @ ..]) => {
                    let Some((end, [.., reply])) = rest.split_first_chunk::<8>() else {
                        return Err(self.corrupt("a cut keepalive"));
                    };
                    let (end, reply) = (Lsn(u64::from_be_bytes(*end)), *reply == 1);
                    stream.assembler.idle_at(end);
                    stream.received = stream.received.max(end);
                    self.telling.saw_head(end);
                    if reply {
                        stream.asked = true;
                        self.send_status(stream).await?;
                    }
                }
                (b'E', body) => {
                    return Err(Refusal::parse(body).into_error(&format!("streaming from slot {}", self.settings.slot)));
                }
                (b'c' | b'C', _) => {
                    return Err(Error::new(
                        Kind::Unreachable,
                        format!("PostgreSQL at {} ended the stream", self.settings.address),
                    ));
                }
                _ => {}
            }
        }
        self.telling.received(stream.received);
        Ok(())
    }

    fn should_bound_under_load(&self, stream: &Stream) -> bool {
        let waiting = &stream.assembler;
        if waiting.waiting_rows() >= self.settings.batch_rows_max * 2
            || waiting.waiting_bytes() >= crate::snapshot::BATCH_BYTES_MAX * 2
        {
            return true;
        }
        self.clock.monotonic().saturating_sub(stream.boundary_at) >= self.settings.linger * LINGERS_UNDER_LOAD
            && waiting.waiting_rows() > 0
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::new(Kind::Corrupt, format!("PostgreSQL at {} sent {what}", self.settings.address))
    }

    /// A relation of our publications that we don't follow but should.
    fn met_stranger(&self, stream: &mut Stream) -> bool {
        stream.assembler.take_strangers().iter().any(|id| self.settings.follows(id))
    }

    /// Sets a boundary after everything taken in so far. Only between transactions.
    async fn boundary(&mut self, stream: &mut Stream) -> Result<(), Error> {
        stream.assembler.flush()?;
        self.hand_over(stream).await?;
        self.state.lsn = stream.assembler.reached();
        // A crash from here on must find them not copied.
        self.state.tables.retain(|t| !stream.assembler.stale().contains(&t.id));
        for table in stream.assembler.tables() {
            let odd = table.shape.odd_names();
            if let Some(attached) = self.state.tables.iter_mut().find(|t| t.id == table.shape.id && t.odd.len() != odd.len()) {
                attached.odd = odd.to_vec();
            }
        }
        let cursor = self.state.cursor(0, stream.assembler.commit_us())?;
        self.deliver(stream, Event::Boundary(cursor)).await?;
        stream.boundary_at = self.clock.monotonic();
        stream.asked = false;
        Ok(())
    }

    async fn hand_over(&mut self, stream: &mut Stream) -> Result<(), Error> {
        for event in stream.assembler.take_events() {
            self.deliver(stream, event).await?;
        }
        Ok(())
    }

    /// Waits for room without letting the server think that we are gone.
    async fn deliver(&mut self, stream: &mut Stream, event: Event) -> Result<(), Error> {
        let outlet = self.outlet.clone();
        let mut sending = Box::pin(outlet.send(event));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent,
                () = self.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "the source was closed")),
                changed = self.acked.changed() => {
                    if changed.is_err() { return Err(Error::new(Kind::Cancelled, "the source was closed")); }
                    self.send_status(stream).await?;
                }
                () = self.clock.sleep(STATUS_EVERY) => self.send_status(stream).await?,
            }
        }
    }

    /// Tells the server what is durable in the lake, and nothing more than that: it may then forget the log before.
    async fn send_status(&mut self, stream: &mut Stream) -> Result<(), Error> {
        let flushed = *self.acked.borrow_and_update();
        let mut body = Vec::with_capacity(34);
        body.push(b'r');
        for lsn in [stream.received.max(flushed), flushed, flushed] {
            body.extend(lsn.0.to_be_bytes());
        }
        body.extend((self.clock.now_us() - EPOCH_US).to_be_bytes());
        body.push(0);
        stream.status_at = self.clock.monotonic();
        stream.client.wire.send(&message(b'd', &body)).await
    }

    /// Finds out what the columns of a relation are: names and types as the log says, what else there is to know from the catalog. True where
    /// they are others than before.
    async fn describe(&mut self, stream: &mut Stream, relation: &Relation) -> Result<bool, Error> {
        let known =
            stream.assembler.tables().iter().find(|t| t.oid == relation.oid).map(|t| t.shape.columns.clone()).unwrap_or_default();
        let same = known.len() == relation.columns.len()
            && known
                .iter()
                .zip(&relation.columns)
                .all(|(k, r)| k.name == r.name && self.types.kind(r.type_oid, r.typmod) == Some(k.kind.clone()));
        if same {
            stream.assembler.follow(relation, known, &[])?;
            return Ok(false);
        }
        let mut side = Client::connect(&self.settings.address, Mode::Sql).await?;
        self.types.learn(&mut side, relation.columns.iter().map(|c| c.type_oid)).await?;
        let types: Vec<(u32, i32)> = relation.columns.iter().map(|c| (c.type_oid, c.typmod)).collect();
        let described = describe(&mut side, relation.oid, &types).await?;
        side.finish().await;
        let columns = relation.columns.iter().zip(described.type_names).map(|(column, source_type)| ShapeColumn {
            name: column.name.clone(),
            kind: self.types.kind(column.type_oid, column.typmod).unwrap_or(ColumnKind::Printed),
            nullable: !described.required.contains(&column.name),
            source_type,
        });
        let columns = columns.collect();
        tracing::info!(source = self.settings.source, table = %format_args!("{}.{}", relation.schema, relation.name), "the table has other columns now");
        stream.assembler.follow(relation, columns, &described.filled)?;
        Ok(true)
    }
}
