//! Cursors that clients open by name (`DECLARE`) and read in portions (`FETCH`, `MOVE`). Each is a running query whose rows wait.

use super::{
    command::{Declare, Fetch},
    errors::{refused, to_wire},
    handlers::{Handler, format_of},
    wire,
};
use crate::{QueryRunning, RowStream};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo,
        portal::Format,
        results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag},
    },
    error::PgWireResult,
    messages::{data::DataRow, response::TransactionStatus},
};
use futures::StreamExt;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::OwnedMutexGuard;

/// The open cursors of a connection, by name.
#[derive(Default)]
pub(super) struct Cursors(Mutex<BTreeMap<String, Entry>>);

struct Entry {
    cursor: Arc<OpenCursor>,
    /// Outlives its transaction.
    hold: bool,
    /// Its transaction has not ended.
    fresh: bool,
}

/// A query that was declared, and the rows of it that were not fetched.
pub(super) struct OpenCursor {
    /// The query's id, by which it is cancelled.
    pub id: String,
    /// The query's text, for errors.
    pub sql: String,
    pub schema: SchemaRef,
    /// Whether rows go out in binary form unasked.
    pub binary: bool,
    rows: Arc<tokio::sync::Mutex<Rows>>,
}

struct Rows {
    stream: RowStream,
    /// What is left of the batch that the last portion ended in.
    rest: Option<RecordBatch>,
}

impl Rows {
    /// The next rows, at most `most`; none at the end.
    async fn next(&mut self, most: usize) -> Option<Result<RecordBatch, crate::Error>> {
        let batch = loop {
            match self.rest.take() {
                Some(batch) if batch.num_rows() > 0 => break batch,
                _ => match self.stream.next().await? {
                    Ok(batch) => self.rest = Some(batch),
                    Err(error) => return Some(Err(error)),
                },
            }
        };
        let taken = batch.num_rows().min(most);
        self.rest = Some(batch.slice(taken, batch.num_rows() - taken));
        Some(Ok(batch.slice(0, taken)))
    }
}

impl Cursors {
    /// The cursors of the connection.
    pub(super) fn of<C: ClientInfo + ?Sized>(client: &C) -> Arc<Self> {
        client.session_extensions().get_or_insert_with(Self::default)
    }

    /// Keeps a query that runs under a name.
    ///
    /// # Errors
    /// When there is a cursor of that name.
    pub(super) fn open(&self, name: &str, hold: bool, binary: bool, running: QueryRunning, sql: String) -> PgWireResult<()> {
        self.check_free(name)?;
        let rows = Rows { stream: running.stream, rest: None };
        let cursor =
            OpenCursor { id: running.id, sql, schema: running.schema, binary, rows: Arc::new(tokio::sync::Mutex::new(rows)) };
        self.0.lock().insert(name.to_owned(), Entry { cursor: Arc::new(cursor), hold, fresh: true });
        Ok(())
    }

    /// That no cursor has this name.
    pub(super) fn check_free(&self, name: &str) -> PgWireResult<()> {
        if self.0.lock().contains_key(name) {
            return Err(refused("42P03", format!("cursor \"{name}\" already exists")));
        }
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<OpenCursor>> {
        self.0.lock().get(name).map(|entry| Arc::clone(&entry.cursor))
    }

    pub(super) fn get(&self, name: &str) -> PgWireResult<Arc<OpenCursor>> {
        self.find(name).ok_or_else(|| refused("34000", format!("cursor \"{name}\" does not exist")))
    }

    /// Ends a cursor and its query.
    pub(super) fn close(&self, name: &str) -> PgWireResult<()> {
        self.get(name)?;
        self.0.lock().remove(name);
        Ok(())
    }

    pub(super) fn close_all(&self) {
        self.0.lock().clear();
    }

    /// Ends what does not outlive the transaction.
    pub(super) fn end_transaction(&self, committed: bool) {
        self.0.lock().retain(|_, entry| {
            let stays = entry.hold && (committed || !entry.fresh);
            entry.fresh = false;
            stays
        });
    }
}

impl OpenCursor {
    /// The columns in the formats asked for.
    pub(super) fn fields(&self, format: impl Fn(usize) -> FieldFormat) -> Vec<FieldInfo> {
        wire::describe(&self.schema, |i| if self.binary { FieldFormat::Binary } else { format(i) })
    }

    fn rows(&self) -> PgWireResult<OwnedMutexGuard<Rows>> {
        let rows = Arc::clone(&self.rows).try_lock_owned();
        rows.map_err(|_| refused("55006", "the cursor is being read by another portal of this connection"))
    }

    /// The next `most` rows, sent as they are computed; all that are left without it. `guard` lives until they are sent.
    ///
    /// # Errors
    /// When another portal reads the cursor.
    pub(super) fn fetch<G: Send + 'static>(
        self: &Arc<Self>,
        most: Option<usize>,
        format: &Format,
        guard: G,
    ) -> PgWireResult<QueryResponse> {
        let fields = Arc::new(self.fields(|i| format_of(format, i)));
        let (rows, columns, cursor) = (self.rows()?, Arc::clone(&fields), Arc::clone(self));
        let portions = futures::stream::unfold((rows, most.unwrap_or(usize::MAX)), |(mut rows, left)| async move {
            if left == 0 {
                return None;
            }
            let batch = rows.next(left).await?;
            let left = batch.as_ref().map_or(0, |b| left - b.num_rows());
            Some((batch, (rows, left)))
        });
        let rows = portions.flat_map(move |batch| {
            let _ = &guard;
            let rows: Vec<PgWireResult<DataRow>> = match batch {
                Ok(batch) => wire::rows(&batch, &columns).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(to_wire(&error, &cursor.sql))],
            };
            futures::stream::iter(rows)
        });
        let mut response = QueryResponse::new(fields, rows);
        response.set_command_tag("FETCH");
        Ok(response)
    }

    /// Leaves out the next `most` rows and says how many there were.
    ///
    /// # Errors
    /// When the query fails or another portal reads the cursor.
    pub(super) async fn skip(&self, most: Option<usize>) -> PgWireResult<usize> {
        let (mut rows, mut left) = (self.rows()?, most.unwrap_or(usize::MAX));
        let wanted = left;
        while left > 0 {
            match rows.next(left).await {
                Some(batch) => left -= batch.map_err(|e| to_wire(&e, &self.sql))?.num_rows(),
                None => break,
            }
        }
        Ok(wanted - left)
    }
}

impl Handler {
    /// Opens a cursor.
    pub(super) async fn declare<C: ClientInfo>(
        &self,
        client: &C,
        declare: &Declare,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<Response> {
        if !declare.hold && client.transaction_status() != TransactionStatus::Transaction {
            return Err(refused("25P01", "DECLARE CURSOR can only be used in transaction blocks"));
        }
        let cursors = Cursors::of(client);
        cursors.check_free(&declare.name)?;
        let (started, _) = self.run(client, &declare.query, values).await?;
        cursors.open(&declare.name, declare.hold, declare.binary, started, declare.query.sql.clone())?;
        Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
    }

    /// Reads on in a cursor.
    pub(super) async fn fetch<C: ClientInfo>(&self, client: &C, fetch: &Fetch, format: &Format) -> PgWireResult<Response> {
        let cursor = Cursors::of(client).get(&fetch.name)?;
        let running = self.running(client, cursor.id.clone());
        if fetch.moves {
            let rows = cursor.skip(fetch.most).await?;
            return Ok(Response::Execution(Tag::new("MOVE").with_rows(rows)));
        }
        cursor.fetch(fetch.most, format, running).map(Response::Query)
    }
}
