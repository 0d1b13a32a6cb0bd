use super::{
    command::{Command, Declare, Fetch, Query, Reader},
    cursors::Cursors,
    declared,
    errors::{refused, to_wire},
    params,
    planning::{Shape, plan_bound, shape},
    session,
    transaction::{Scope, Transaction},
    wire,
};
use crate::{Engine, QueryRequest, QueryRunning, ddl::Ddl, sql_types::wire_type};
use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type,
        cancel::CancelHandler,
        portal::{Format, Portal, PortalExecutionState},
        query::{
            ExtendedQueryHandler, SimpleQueryHandler, send_describe_response, send_execution_response, send_query_response,
            send_ready_for_query,
        },
        results::{DescribePortalResponse, FieldFormat, FieldInfo, QueryResponse, Response, Tag},
        stmt::QueryParser,
        store::{Entry, PortalStore},
    },
    error::{PgWireError, PgWireResult},
    messages::{
        PgWireBackendMessage,
        cancel::CancelRequest,
        data::DataRow,
        extendedquery::{Describe, Execute, PortalSuspended, TARGET_TYPE_BYTE_PORTAL},
        response::{EmptyQueryResponse, TransactionStatus},
        simplequery,
        startup::SecretKey,
    },
};
use futures::{Sink, SinkExt, StreamExt};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt::Debug, sync::Arc};

/// A statement that a client prepared.
#[derive(Debug, Clone)]
pub(super) struct PreparedStatement {
    command: Command,
    /// What a query, or that of a cursor, returns and takes; none for other commands.
    shape: Option<Arc<Shape>>,
    /// Rows go out in binary form unasked.
    binary: bool,
}

/// Answers queries of all connections.
pub(super) struct Service {
    engine: Engine,
    reader: Reader,
    /// The query that each connection runs, for cancel requests, which come over connections of their own.
    running: Mutex<HashMap<(i32, Vec<u8>), String>>,
}

/// Forgets a connection's query when its rows are all sent or dropped.
pub(super) struct Running {
    service: Arc<Service>,
    connection: (i32, Vec<u8>),
    id: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.service.running.lock();
        if running.get(&self.connection) == Some(&self.id) {
            running.remove(&self.connection);
        }
    }
}

/// What runs and asks on behalf of one connection; shared by both protocols.
#[derive(Clone)]
pub(super) struct Handler(pub(super) Arc<Service>);

fn connection<C: ClientInfo>(client: &C) -> (i32, Vec<u8>) {
    let (pid, key) = client.pid_and_secret_key();
    (pid, key_bytes(&key))
}

fn key_bytes(key: &SecretKey) -> Vec<u8> {
    match key {
        SecretKey::I32(key) => key.to_be_bytes().to_vec(),
        SecretKey::Bytes(key) => key.to_vec(),
    }
}

impl Service {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, reader: Reader::default(), running: Mutex::default() }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Handler {
    /// Makes cancel requests of the connection mean this query.
    pub(super) fn running<C: ClientInfo>(&self, client: &C, id: String) -> Running {
        let connection = connection(client);
        self.0.running.lock().insert(connection.clone(), id.clone());
        Running { service: Arc::clone(&self.0), connection, id }
    }

    /// Starts a query.
    pub(super) async fn run<C: ClientInfo>(
        &self,
        client: &C,
        query: &Arc<Query>,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<(QueryRunning, Running)> {
        let id = uuid::Uuid::new_v4().to_string();
        let running = self.running(client, id.clone());
        let request = QueryRequest {
            id: Some(id),
            timeout: session::statement_timeout(client.metadata()),
            ..QueryRequest::new(query.sql.clone(), super::CLIENT)
        };
        let planning = Box::pin(plan_bound(self.0.engine.clone(), Arc::clone(query), values, Scope::of(client)));
        let started = self.0.engine.start(request, planning).await.map_err(|e| to_wire(&e, &query.sql))?;
        Ok((started, running))
    }

    /// Starts a query and describes its rows in the formats asked for.
    async fn start<C: ClientInfo>(
        &self,
        client: &C,
        query: &Arc<Query>,
        values: Vec<ScalarValue>,
        format: &Format,
        expected: Option<&Shape>,
    ) -> PgWireResult<QueryResponse> {
        let (started, running) = self.run(client, query, values).await?;
        let formats = |i| format_of(format, i);
        let fields = wire::describe(&started.schema, formats);
        if let Some(expected) = expected {
            let before = wire::describe(&expected.schema, formats);
            let types = |fields: &[FieldInfo]| fields.iter().map(|f| f.datatype().clone()).collect::<Vec<_>>();
            if types(&before) != types(&fields) {
                return Err(refused("0A000", "cached plan must not change result type"));
            }
        }
        Ok(response(started, fields, query.sql.clone(), running))
    }

    /// Runs any command of the simple protocol.
    async fn answer<C: ClientInfo>(&self, client: &mut C, command: &Command) -> PgWireResult<Response> {
        match command {
            Command::Query(query) => self.start(client, query, Vec::new(), &Format::UnifiedText, None).await.map(Response::Query),
            Command::Declare(declare) => self.declare(client, declare, Vec::new()).await,
            Command::Fetch(fetch) => self.fetch(client, fetch, &Format::UnifiedText).await,
            other => self.without_query(client, other, Vec::new()).await,
        }
    }

    /// Runs a command that returns no rows of the lake.
    pub(super) fn command<C: ClientInfo + ?Sized>(&self, client: &mut C, command: &Command) -> PgWireResult<Response> {
        let failed = client.transaction_status() == TransactionStatus::Error;
        Ok(match command {
            Command::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Command::Commit => Response::TransactionEnd(Tag::new(if failed { "ROLLBACK" } else { "COMMIT" })),
            Command::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Command::Savepoint(name) => {
                if client.transaction_status() != TransactionStatus::Transaction {
                    return Err(refused("25P01", "SAVEPOINT can only be used in transaction blocks"));
                }
                Transaction::of(client).savepoint(name);
                Response::Execution(Tag::new("SAVEPOINT"))
            }
            Command::RollbackTo(name) => {
                if !Transaction::of(client).back_to(name) {
                    return Err(refused("3B001", format!("savepoint \"{name}\" does not exist")));
                }
                Response::TransactionStart(Tag::new("ROLLBACK"))
            }
            Command::SetConfig(name, value) => {
                session::set(client, name, value)?;
                Response::Query(one_text("set_config", value))
            }
            Command::Reset(name) => {
                session::reset(client, name.as_deref());
                Response::Execution(Tag::new("RESET"))
            }
            Command::Set(name, value) => {
                session::set(client, name, value)?;
                Response::Execution(Tag::new("SET"))
            }
            Command::Show(name) => Response::Query(one_text(name, &session::get(client.metadata(), name)?)),
            Command::Deallocate(_) => Response::Execution(Tag::new("DEALLOCATE")),
            Command::Nothing(tag) => Response::Execution(Tag::new(tag)),
            Command::Close(name) => {
                let cursors = Cursors::of(client);
                match name {
                    Some(name) => cursors.close(name)?,
                    None => cursors.close_all(),
                }
                Response::Execution(Tag::new("CLOSE CURSOR"))
            }
            Command::Query(_) | Command::Declare(_) | Command::Fetch(_) | Command::Ddl(_) | Command::Copy(_) => {
                return Err(refused("XX000", "a query is not a command"));
            }
        })
    }
}

/// In a failed transaction only its end is accepted, as in PostgreSQL: clients rely on being told.
fn check_transaction<C: ClientInfo + ?Sized>(client: &C, command: &Command) -> PgWireResult<()> {
    let ends = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo(_));
    if client.transaction_status() == TransactionStatus::Error && !ends {
        return Err(refused("25P02", "current transaction is aborted, commands ignored until end of transaction block"));
    }
    Ok(())
}

pub(super) fn format_of(format: &Format, i: usize) -> FieldFormat {
    match format {
        Format::Individual(codes) => codes.get(i).map_or(FieldFormat::Text, |code| FieldFormat::from(*code)),
        other => other.format_for(i),
    }
}

fn response(running: QueryRunning, fields: Vec<FieldInfo>, sql: String, guard: Running) -> QueryResponse {
    let fields = Arc::new(fields);
    let columns = Arc::clone(&fields);
    let rows = running.stream.flat_map(move |batch| {
        let _ = &guard;
        let rows: Vec<PgWireResult<DataRow>> = match batch {
            Ok(batch) => wire::rows(&batch, &columns).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(to_wire(&error, &sql))],
        };
        futures::stream::iter(rows)
    });
    QueryResponse::new(fields, rows)
}

/// One row with one text, as SHOW answers.
fn one_text(name: &str, value: &str) -> QueryResponse {
    let field = FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text);
    let mut data = BytesMut::new();
    data.put_i32(i32::try_from(value.len()).unwrap_or(0));
    data.put_slice(value.as_bytes());
    let row = DataRow::new(data, 1);
    let mut response = QueryResponse::new(Arc::new(vec![field]), futures::stream::iter([Ok(row)]));
    response.set_command_tag("SHOW");
    response
}

/// Sends what a command answered and says what became of the transaction.
async fn send<C>(client: &mut C, response: Response) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    match response {
        Response::Query(rows) => send_query_response(client, rows, true).await,
        Response::Execution(tag) => send_execution_response(client, tag).await,
        Response::TransactionStart(tag) => {
            client.set_transaction_status(TransactionStatus::Transaction);
            send_execution_response(client, tag).await
        }
        Response::TransactionEnd(tag) => {
            client.set_transaction_status(TransactionStatus::Idle);
            send_execution_response(client, tag).await
        }
        _ => client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await.map_err(Into::into),
    }
}

#[async_trait]
impl SimpleQueryHandler for Handler {
    /// One statement after the other: the next starts when the rows of the one before are sent.
    async fn on_query<C>(&self, client: &mut C, query: simplequery::Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let empty = query.query.chars().all(|c| c == ';' || c.is_whitespace());
        let commands = if empty {
            Vec::new()
        } else {
            self.0.reader.read(&query.query, &session::Who::of(client)).map_err(|e| to_wire(&e, &query.query))?
        };
        if commands.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for command in &commands {
            check_transaction(client, command)?;
            if let Command::Copy(copy) = command {
                if self.copy(client, copy, false).await? {
                    return Ok(());
                }
                continue;
            }
            let response = self.answer(client, command).await?;
            forget(client, command);
            send(client, response).await?;
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut responses = Vec::new();
        for command in self.0.reader.read(query, &session::Who::of(client)).map_err(|e| to_wire(&e, query))? {
            responses.push(self.answer(client, &command).await?);
        }
        Ok(responses)
    }
}

/// Drops what a command says is no longer needed.
fn forget<C>(client: &C, command: &Command)
where
    C: ClientInfo + ClientPortalStore,
    C::PortalStore: PortalStore,
{
    match command {
        Command::Deallocate(Some(name)) => client.portal_store().rm_statement(name),
        Command::Commit | Command::Rollback => {
            client.portal_store().clear_portals();
            let committed = matches!(command, Command::Commit) && client.transaction_status() != TransactionStatus::Error;
            Cursors::of(client).end_transaction(committed);
        }
        Command::Nothing("DISCARD ALL") => Cursors::of(client).close_all(),
        _ => {}
    }
}

#[async_trait]
impl QueryParser for Handler {
    type Statement = PreparedStatement;

    async fn parse_sql<C>(&self, client: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<PreparedStatement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut commands = self.0.reader.read(sql, &session::Who::of(client)).map_err(|e| to_wire(&e, sql))?;
        let Some(mut command) = commands.pop() else { return Ok(None) };
        if !commands.is_empty() {
            return Err(refused("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let mut binary = false;
        let shape = match &command.clone() {
            Command::Query(query) | Command::Declare(Declare { query, .. }) => {
                let shape = shape(&self.0.engine, Arc::clone(query), types.to_vec(), Scope::of(client));
                Some(Box::pin(shape).await.map_err(|e| to_wire(&e, sql))?)
            }
            Command::Ddl(statement) => match &statement.0 {
                Ddl::Insert { name, columns, query } => {
                    let (typed, shape) =
                        Box::pin(self.insert_shape(client, (name, columns, query), types)).await.map_err(|e| to_wire(&e, sql))?;
                    let ddl = Ddl::Insert { name: name.clone(), columns: columns.clone(), query: Box::new(typed) };
                    command = Command::Ddl(Arc::new((ddl, statement.1.clone())));
                    Some(shape)
                }
                Ddl::Rows(change) => Some(Box::pin(self.rows_shape(client, change, types)).await.map_err(|e| to_wire(&e, sql))?),
                _ => None,
            },
            Command::Fetch(Fetch { name, moves: false, .. }) => {
                let cursor = Cursors::of(client).get(name)?;
                binary = cursor.binary;
                Some(Shape { schema: Arc::clone(&cursor.schema), params: Vec::new(), exact: Vec::new() })
            }
            _ => None,
        };
        let command = match command {
            Command::Query(query) => Command::Query(Arc::new(declared::with_types(query.as_ref(), types))),
            Command::Declare(declare) => {
                let query = Arc::new(declared::with_types(declare.query.as_ref(), types));
                Command::Declare(Declare { query, ..declare })
            }
            other => other,
        };
        Ok(Some(PreparedStatement { command, shape: shape.map(Arc::new), binary }))
    }

    fn get_parameter_types(&self, statement: &PreparedStatement) -> PgWireResult<Vec<Type>> {
        let Some(shape) = &statement.shape else { return Ok(Vec::new()) };
        let field = |t: &Option<arrow::datatypes::DataType>| match t {
            Some(data_type) => wire_type(&Arc::new(arrow::datatypes::Field::new("", data_type.clone(), true))),
            None => Type::TEXT,
        };
        Ok(shape.params.iter().map(field).collect())
    }

    fn get_result_schema(&self, statement: &PreparedStatement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let formats = |i| format.map_or(FieldFormat::Text, |f| format_of(f, i));
        Ok(match (&statement.command, &statement.shape) {
            (Command::SetConfig(..), _) => {
                vec![FieldInfo::new("set_config".to_owned(), None, None, Type::TEXT, FieldFormat::Text)]
            }
            (Command::Show(name), _) => vec![FieldInfo::new(name.clone(), None, None, Type::TEXT, FieldFormat::Text)],
            (Command::Declare(_) | Command::Ddl(_), _) => Vec::new(),
            (_, Some(shape)) if statement.binary => wire::describe(&shape.schema, |_| FieldFormat::Binary),
            (_, Some(shape)) => wire::describe(&shape.schema, formats),
            _ => Vec::new(),
        })
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = PreparedStatement;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// Cursors are portals too: drivers ask for the columns of what they declared.
    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = PreparedStatement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let cursor = match (message.target_type, message.name.as_deref()) {
            (TARGET_TYPE_BYTE_PORTAL, Some(name)) => Cursors::of(client).find(name),
            _ => None,
        };
        match cursor {
            Some(cursor) => {
                let fields = cursor.fields(|_| FieldFormat::Text);
                send_describe_response(client, &DescribePortalResponse::new(fields)).await
            }
            None => self._on_describe(client, message).await,
        }
    }

    /// Runs a portal, or goes on with one, and sends its rows as they come instead of gathering them.
    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = PreparedStatement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                return Ok(());
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        client.set_state(PgWireConnectionState::QueryInProgress);
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            let command = &portal.statement.statement.command;
            check_transaction(client, command)?;
            if let Command::Copy(copy) = command {
                *state = PortalExecutionState::Finished;
                if !self.copy(client, copy, true).await? {
                    client.set_state(PgWireConnectionState::ReadyForQuery);
                }
                return Ok(());
            }
            let response = ExtendedQueryHandler::do_query(self, client, &portal, 0).await?;
            forget(client, command);
            match response {
                Response::Query(rows) => *state = PortalExecutionState::Suspended(rows),
                other => {
                    *state = PortalExecutionState::Finished;
                    send(client, other).await?;
                    client.set_state(PgWireConnectionState::ReadyForQuery);
                    return Ok(());
                }
            }
        }
        let most = usize::try_from(message.max_rows).unwrap_or(0);
        let mut sent = 0;
        let mut tag = "SELECT".to_owned();
        if let PortalExecutionState::Suspended(rows) = &mut *state {
            rows.command_tag().clone_into(&mut tag);
            while let Some(row) = rows.data_rows().next().await {
                client.feed(PgWireBackendMessage::DataRow(row?)).await?;
                sent += 1;
                if sent == most {
                    client.feed(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?;
                    client.set_state(PgWireConnectionState::ReadyForQuery);
                    return Ok(());
                }
            }
        }
        *state = PortalExecutionState::Finished;
        send_execution_response(client, Tag::new(&tag).with_rows(sent)).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<PreparedStatement>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = PreparedStatement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = &portal.statement.statement;
        let (query, shape) = match (&statement.command, &statement.shape) {
            (Command::Fetch(fetch), _) => return self.fetch(client, fetch, &portal.result_column_format).await,
            (Command::Query(query) | Command::Declare(Declare { query, .. }), Some(shape)) => (Some(query), shape),
            (other, None) => return self.without_query(client, other, Vec::new()).await,
            (Command::Ddl(_), Some(shape)) => (None, shape),
            (other, Some(_)) => return self.without_query(client, other, Vec::new()).await,
        };
        let told = self.get_parameter_types(statement)?;
        let given = &portal.statement.parameter_types;
        let types: Vec<Type> = told
            .into_iter()
            .enumerate()
            .map(|(i, told)| given.get(i).cloned().flatten().filter(|t| *t != Type::UNKNOWN).unwrap_or(told))
            .collect();
        let values = params::bound(portal, &types, &shape.wanted())?;
        if let Command::Declare(declare) = &statement.command {
            return self.declare(client, declare, values).await;
        }
        let Some(query) = query else { return self.without_query(client, &statement.command, values).await };
        // A parameter whose place says nothing of its type takes that of its value, and with it the columns that show it.
        let fixed = shape.is_fixed().then_some(shape.as_ref());
        let rows = self.start(client, query, values, &portal.result_column_format, fixed).await?;
        Ok(Response::Query(rows))
    }
}

#[async_trait]
impl CancelHandler for Handler {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let id = self.0.running.lock().get(&(request.pid, key_bytes(&request.secret_key))).cloned();
        if let Some(id) = id {
            self.0.engine.cancel(&id);
        }
    }
}
