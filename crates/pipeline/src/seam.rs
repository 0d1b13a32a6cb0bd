use crate::Error;
use async_trait::async_trait;
use futures::future::BoxFuture;
use model::{ChangeBatch, Cursor, Position, TableId, TableSchema};
use serde::Serialize;
use std::sync::Arc;

/// One thing a source tells, in order.
#[derive(Debug)]
pub enum Event {
    /// A table appears, or its shape changes, before the first rows under that shape.
    Schema(Arc<TableSchema>),
    /// The source is about to copy this table anew: what silver holds of it is to be replaced by the rows that follow, at the next commit.
    Reset(TableId),
    /// Changes of one table.
    Rows(ChangeBatch),
    /// All events so far form whole source transactions. The only place where a commit may end and where queries may look.
    Boundary(Cursor),
    /// This table can't go on until an operator acts; the others do.
    TableFailed {
        /// Which table.
        table: TableId,
        /// Why, with a hint.
        error: Error,
    },
}

/// Rows of a first copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotProgress {
    /// Tables that are to be copied.
    pub tables_total: usize,
    /// Tables that are copied.
    pub tables_done: usize,
    /// Rows copied so far.
    pub rows_done: u64,
    /// Rows expected, where the source has an estimate.
    pub rows_estimate: Option<u64>,
    /// Bytes read so far.
    pub bytes_done: u64,
}

/// What a source says of itself between events.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Bytes at the source that are not durable here yet.
    pub lag_bytes: Option<u64>,
    /// Bytes at the source that were not read yet; zero where queries see all there is.
    pub unread_bytes: Option<u64>,
    /// The copy that is under way.
    pub snapshot: Option<SnapshotProgress>,
    /// The source's end as people read it, for example the server's current LSN.
    pub head: Option<String>,
    /// What endangers the source's system if nobody does anything, as a sentence.
    pub warning: Option<String>,
}

/// One outside system to read from.
///
/// Order of calls: `open` once, then `next` until it errs or the loop stops, `ack` at any time in between, `close` last. After any
/// error the source is closed and, if it is tried again, a new one is opened from the durable cursor.
#[async_trait]
pub trait Source: Send {
    /// Connects and gets ready to hand over everything after `resume`; without a cursor, a first copy of all tables and then their changes.
    /// That a slot or offset exists at the source never stands for a cursor.
    async fn open(&mut self, resume: Option<&Cursor>) -> Result<(), Error>;

    /// The next event. Cancel-safe: dropping the future loses nothing. The source reads ahead by itself, bounded in bytes.
    async fn next(&mut self) -> Result<Event, Error>;

    /// `cursor` is durable in the lake; the source may forget everything up to it. Never called before that is true. Must not block.
    fn ack(&mut self, cursor: &Cursor);

    /// Cheap; called at any time.
    fn status(&self) -> SourceStatus {
        SourceStatus::default()
    }

    /// Lets go of connections. Slots and other things that protect unread changes stay.
    async fn close(&mut self) {}
}

/// A row that a transform could not take, kept with what is needed to understand and replay it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The source table.
    pub table: TableId,
    /// The transform's name.
    pub transform: String,
    /// The plugin's own version, and the hash of its bytes.
    pub plugin_version: String,
    /// Why, in one sentence.
    pub error: String,
    /// Where the row stands in its source.
    pub position: Position,
    /// Commit time at the source in microseconds, where known.
    pub commit_ts_us: Option<i64>,
    /// The operation's letter.
    pub op: String,
    /// The row as it came, as a JSON object.
    pub row: String,
}

/// What a transform made of a batch.
#[derive(Debug, Default)]
pub struct Transformed {
    /// The batches that go on, in order.
    pub batches: Vec<ChangeBatch>,
    /// The rows that do not.
    pub dead: Vec<DeadLetter>,
}

/// A step between source and sink. Computes and nothing else; called on a thread that may block.
pub trait Transform: Send {
    /// The name the configuration gave it.
    fn name(&self) -> &str;

    /// What becomes of a table's shape. Called before the first batch of every shape; the result is known before data flows.
    fn schema(&mut self, input: &Arc<TableSchema>) -> Result<Arc<TableSchema>, Error>;

    /// Transforms one batch. Rows the plugin can't take come back in `dead` (or fail the call, where its policy is to stop).
    fn apply(&mut self, batch: ChangeBatch) -> Result<Transformed, Error>;
}

/// What a durable commit did.
#[derive(Debug, Clone, PartialEq)]
pub struct Durable {
    /// Up to where the lake now stands.
    pub cursor: Cursor,
    /// Changes made durable.
    pub rows: u64,
    /// Bytes of the data files written.
    pub bytes: u64,
    /// Lake tables whose pointer moved.
    pub tables: usize,
}

/// A commit under way. Resolves when the group is durable, or has failed as a whole.
pub type CommitTicket = BoxFuture<'static, Result<Durable, Error>>;

/// What the loop may want to know at a boundary to decide whether to commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoundaryInfo {
    /// Rows accepted since the last commit began.
    pub rows: u64,
    /// Bytes they hold in memory.
    pub bytes: u64,
    /// Whether queries do not see the boundary yet. The loop then gives it again after a moment, until they do.
    pub unpublished: bool,
}

/// Where changes go. Accepted is not durable: only a resolved [`CommitTicket`] is.
///
/// Order of calls: `open` once; then any mix of `schema`, `reset`, `write` and `dead`, with `boundary` after whole source transactions; `commit`
/// only directly after a `boundary`. After an error the sink is dropped, and a new one starts from what is durable.
#[async_trait]
pub trait Sink: Send {
    /// Gets ready for one source and says from where it must resume: the cursor of the last durable commit.
    async fn open(&mut self) -> Result<Option<Cursor>, Error>;

    /// A table appears or changes its shape.
    async fn schema(&mut self, schema: &Arc<TableSchema>) -> Result<(), Error>;

    /// Silver of this table starts anew with the next commit.
    async fn reset(&mut self, table: &TableId) -> Result<(), Error>;

    /// Accepts changes. May spill; waits for room in the byte budget rather than grow.
    async fn write(&mut self, batch: ChangeBatch) -> Result<(), Error>;

    /// Accepts dead letters.
    async fn dead(&mut self, letters: Vec<DeadLetter>) -> Result<(), Error>;

    /// Whole transactions end here: queries may see everything accepted so far, all tables at once.
    async fn boundary(&mut self, cursor: &Cursor) -> Result<BoundaryInfo, Error>;

    /// Called about once a second between transactions: time for the sink's own affairs.
    async fn tend(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Seals everything accepted up to the last boundary and starts to make it durable together with that boundary's cursor. Returns at once; at
    /// most one ticket is under way. A group without changes still moves the cursor.
    fn commit(&mut self) -> Result<CommitTicket, Error>;
}
