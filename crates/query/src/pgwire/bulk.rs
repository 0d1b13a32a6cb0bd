//! Sends the rows of `COPY … TO STDOUT` and takes those of `COPY … FROM STDIN`.

use super::{
    CLIENT,
    command::Query,
    copy::{CopyForm, CopyFormat, RawRow, RowReader, SIGNATURE},
    errors::{refused, to_wire},
    handlers::{Handler, Running},
    params,
    transaction::{Scope, Transaction},
    wire,
};
use crate::{
    Error, Kind, QueryRunning,
    ddl::{self, Executor, ObjectPath, fitted, places},
    sql_types::wire_type,
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, SchemaRef},
};
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, PgWireConnectionState, Type,
        copy::CopyHandler,
        results::{FieldFormat, FieldInfo, Tag},
    },
    error::{PgWireError, PgWireResult},
    messages::{
        PgWireBackendMessage,
        copy::{CopyData, CopyDone, CopyFail, CopyInResponse, CopyOutResponse},
        response::TransactionStatus,
    },
};
use futures::{Sink, SinkExt, StreamExt};
use lake::ObjectTransaction;
use std::{fmt::Debug, sync::Arc};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

/// Rows that are made columns of together.
const ROWS_AT_ONCE: usize = 8192;
/// Batches that wait for the writer.
const BATCHES_AHEAD: usize = 2;

/// A `COPY … FROM STDIN` under way on a connection.
#[derive(Default)]
pub(super) struct Arriving(Mutex<Option<Arrival>>);

struct Arrival {
    reader: RowReader,
    rows: Vec<RawRow>,
    binary: bool,
    schema: SchemaRef,
    /// The types of the columns that come, in their order.
    coming: Vec<(String, DataType)>,
    places: Vec<Option<usize>>,
    batches: mpsc::Sender<RecordBatch>,
    writing: JoinHandle<Result<(ObjectTransaction, u64), Error>>,
    line: u64,
    _running: Running,
}

fn codes(format: CopyFormat, columns: usize) -> (i8, i16, Vec<i16>) {
    let code = i8::from(format == CopyFormat::Binary);
    (code, i16::try_from(columns).unwrap_or(i16::MAX), vec![i16::from(code); columns])
}

impl Handler {
    /// Sends the rows of a query in bulk.
    pub(super) async fn copy_out<C>(&self, client: &mut C, query: &Arc<Query>, form: &CopyForm) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (started, _running) = self.run(client, query, Vec::new()).await?;
        let QueryRunning { schema, mut stream, .. } = started;
        let (code, columns, each) = codes(form.format, schema.fields().len());
        client.feed(PgWireBackendMessage::CopyOutResponse(CopyOutResponse::new(code, columns, each))).await?;
        let fields: Vec<FieldInfo> = wire::describe(&schema, |_| FieldFormat::Binary);
        // Clients expect the head of the binary form in one message with what comes next.
        let mut head: Vec<u8> = Vec::new();
        match form.format {
            CopyFormat::Binary => head = [SIGNATURE, &[0; 8]].concat(),
            _ if form.header => {
                let head = form.head(schema.fields().iter().map(|f| f.name().as_str()));
                client.feed(PgWireBackendMessage::CopyData(CopyData::new(head.into()))).await?;
            }
            _ => {}
        }
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|e| to_wire(&e, &query.sql))?;
            rows += batch.num_rows();
            let lines: Vec<Bytes> = match form.format {
                CopyFormat::Binary => wire::rows(&batch, &fields)
                    .into_iter()
                    .map(|row| {
                        let mut data = BytesMut::with_capacity(head.len() + row.data.len() + 2);
                        data.put_slice(&std::mem::take(&mut head));
                        data.put_i16(columns);
                        data.put_slice(&row.data);
                        data.freeze()
                    })
                    .collect(),
                _ => form.lines(&batch).into_iter().map(Bytes::from).collect(),
            };
            for line in lines {
                client.feed(PgWireBackendMessage::CopyData(CopyData::new(line))).await?;
            }
        }
        if form.format == CopyFormat::Binary {
            head.extend_from_slice(&[0xff, 0xff]);
            client.feed(PgWireBackendMessage::CopyData(CopyData::new(head.into()))).await?;
        }
        client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
        client.feed(PgWireBackendMessage::CommandComplete(Tag::new("COPY").with_rows(rows).into())).await?;
        Ok(())
    }

    /// Begins to take rows.
    pub(super) async fn copy_in<C>(
        &self,
        client: &mut C,
        (table, columns, form, sql): (&ObjectPath, &[String], &CopyForm, &str),
        extended: bool,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let failed = |e: Error| to_wire(&e, sql);
        let engine = self.0.engine().clone();
        let lake = engine.lake().map_err(failed)?.clone();
        let id = uuid::Uuid::new_v4().to_string();
        let running = self.running(client, id.clone());
        let mut scope = Scope::of(client);
        let path = Arc::clone(&scope.path);
        let values = Vec::new();
        let executor = Executor {
            engine: &engine,
            lake: &lake,
            transaction: &mut scope.changes,
            path,
            sql,
            timeout: None,
            id,
            client: CLIENT,
            values,
        };
        let (target, schema) = executor.table(table).map_err(failed)?;
        let coming: Vec<(String, DataType)> = match columns {
            [] => schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect(),
            named => named
                .iter()
                .map(|n| schema.field_with_name(n).map(|f| (n.clone(), f.data_type().clone())))
                .collect::<Result<_, _>>()
                .map_err(|_| refused("42703", format!("COPY names a column that {target} does not have")))?,
        };
        let places = places(&schema, columns, coming.len()).map_err(failed)?;
        let (batches, mut arriving) = mpsc::channel::<RecordBatch>(BATCHES_AHEAD);
        let mut changes = std::mem::take(&mut scope.changes);
        let write = async move {
            let rows = futures::stream::poll_fn(move |cx| arriving.poll_recv(cx)).map(Ok);
            let rows = changes.append(&lake, &target, Box::pin(rows)).await.map_err(ddl::lake_error)?;
            Ok((changes, rows))
        };
        let writing = engine.spawn(write).ok_or_else(|| refused("57P01", "the server is shutting down"))?;
        let (code, count, each) = codes(form.format, coming.len());
        let arrival = Arrival {
            reader: RowReader::new(form.clone()),
            rows: Vec::new(),
            binary: form.format == CopyFormat::Binary,
            schema,
            coming,
            places,
            batches,
            writing,
            line: 0,
            _running: running,
        };
        let slot = client.session_extensions().get_or_insert_with(Arriving::default);
        *slot.0.lock().await = Some(arrival);
        client.send(PgWireBackendMessage::CopyInResponse(CopyInResponse::new(code, count, each))).await?;
        client.set_state(PgWireConnectionState::CopyInProgress(extended));
        Ok(())
    }
}

impl Arrival {
    async fn take(&mut self, data: &[u8], last: bool) -> Result<(), Error> {
        self.rows.extend(self.reader.push(data, last)?);
        while self.rows.len() >= ROWS_AT_ONCE || (last && !self.rows.is_empty()) {
            let rest = self.rows.split_off(self.rows.len().min(ROWS_AT_ONCE));
            let rows = std::mem::replace(&mut self.rows, rest);
            let batch = self.columns(&rows)?;
            self.line += rows.len() as u64;
            if self.batches.send(batch).await.is_err() {
                // The writer ended early; its error is told at the end.
                return Ok(());
            }
        }
        Ok(())
    }

    fn columns(&self, rows: &[RawRow]) -> Result<RecordBatch, Error> {
        for (at, row) in rows.iter().enumerate() {
            if row.len() != self.coming.len() {
                let message =
                    format!("row {} has {} values for {} columns", self.line + at as u64 + 1, row.len(), self.coming.len());
                return Err(Error::new(Kind::Invalid, format!("COPY: {message}")));
            }
        }
        let column = |(i, (name, data_type)): (usize, &(String, DataType))| -> Result<(String, ArrayRef), Error> {
            let values = rows.iter().map(|r| r[i].as_deref());
            let array = if self.binary || matches!(data_type, DataType::Binary | DataType::List(_)) {
                scalars(values, data_type, self.binary, name)?
            } else {
                let text = |v: Option<&[u8]>| v.map(|v| std::str::from_utf8(v).map(str::to_owned)).transpose();
                let texts = values.map(text).collect::<Result<StringArray, _>>();
                Arc::new(texts.map_err(|_| Error::new(Kind::Invalid, format!("column {name}: not UTF-8")))?)
            };
            Ok((name.clone(), array))
        };
        let columns = self.coming.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
            .map_err(|e| Error::from(datafusion::error::DataFusionError::from(e)))?;
        fitted(&batch, &self.schema, &self.places)
    }
}

fn scalars<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    data_type: &DataType,
    binary: bool,
    name: &str,
) -> Result<ArrayRef, Error> {
    // The names that tables give to items would make equal types unequal here; the batch is brought to the table's types at the end.
    let bare = match data_type {
        DataType::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type().clone(), true))),
        other => other.clone(),
    };
    let data_type = &bare;
    let wire: Type = wire_type(&Arc::new(Field::new("", data_type.clone(), true)));
    let scalar = |value: Option<&[u8]>| -> Result<ScalarValue, Error> {
        let wrong = || Error::new(Kind::Invalid, format!("column {name}: a value is not a valid {}", wire.name()));
        let Some(value) = value else { return Ok(ScalarValue::try_from(data_type)?) };
        let read = if binary { params::from_binary(value, &wire) } else { params::from_text(value, &wire, Some(data_type)) };
        let read = read.ok_or_else(wrong)?;
        if read.data_type() == *data_type { Ok(read) } else { read.cast_to(data_type).map_err(|_| wrong()) }
    };
    let scalars = values.map(scalar).collect::<Result<Vec<_>, _>>()?;
    Ok(ScalarValue::iter_to_array(scalars)?)
}

#[async_trait]
impl CopyHandler for Handler {
    async fn on_copy_data<C>(&self, client: &mut C, data: CopyData) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let slot = client.session_extensions().get_or_insert_with(Arriving::default);
        let mut arrival = slot.0.lock().await;
        let Some(under_way) = arrival.as_mut() else { return Ok(()) };
        if let Err(error) = under_way.take(&data.data, false).await {
            under_way.writing.abort();
            *arrival = None;
            return Err(to_wire(&error, ""));
        }
        Ok(())
    }

    async fn on_copy_done<C>(&self, client: &mut C, _: CopyDone) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let slot = client.session_extensions().get_or_insert_with(Arriving::default);
        let Some(mut arrival) = slot.0.lock().await.take() else {
            return Err(refused("08P01", "there is no COPY under way"));
        };
        if let Err(error) = arrival.take(&[], true).await {
            arrival.writing.abort();
            return Err(to_wire(&error, ""));
        }
        let Arrival { batches, writing, .. } = arrival;
        drop(batches);
        let ended = writing.await.map_err(|_| refused("57P01", "the server is shutting down"))?;
        let (changes, rows) = ended.map_err(|e| to_wire(&e, ""))?;
        if client.transaction_status() == TransactionStatus::Transaction {
            Transaction::of(client).set(changes);
        } else {
            let lake = self.0.engine().lake().map_err(|e| to_wire(&e, ""))?;
            ddl::commit(lake, changes).await.map_err(|e| to_wire(&e, ""))?;
        }
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        client.feed(PgWireBackendMessage::CommandComplete(Tag::new("COPY").with_rows(rows).into())).await?;
        Ok(())
    }

    async fn on_copy_fail<C>(&self, client: &mut C, fail: CopyFail) -> PgWireError
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let slot = client.session_extensions().get_or_insert_with(Arriving::default);
        if let Some(arrival) = slot.0.lock().await.take() {
            arrival.writing.abort();
        }
        refused("57014", format!("COPY from stdin failed: {}", fail.message))
    }
}
