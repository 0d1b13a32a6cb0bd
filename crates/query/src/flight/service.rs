use super::{
    kept::Kept,
    metadata::{self, TABLE, VIEW},
    status::{status, too_many, unknown},
};
use crate::{
    Engine, Error, Kind, QueryRequest, Users,
    ddl::{self, Alone, ddl_of, fitted},
    engine::{CATALOG, Prepared, parse, with_params},
};
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
    ipc::writer::IpcWriteOptions,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
    decode::FlightRecordBatchStream,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    flight_service_server::FlightService,
    sql::{
        ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetCatalogs,
        CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys,
        CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
        CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
        TicketStatementQuery,
        metadata::{GetCatalogsBuilder, SqlInfoData},
        server::{FlightSqlService, PeekableFlightDataStream},
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use datafusion::{common::ScalarValue, sql::parser::Statement};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use model::Layer;
use prost::Message;
use std::{pin::Pin, sync::Arc, time::Duration};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

/// Who runs a statement that came over Flight SQL, in lists of queries.
const CLIENT: &str = "flight";

/// Plans that wait to be run, and for how long.
const PLANS: (usize, Duration) = (1000, Duration::from_secs(10 * 60));
/// Prepared statements, and how long unused ones are kept.
const STATEMENTS: (usize, Duration) = (10_000, Duration::from_secs(60 * 60));
/// Clients that proved who they are, and how long silent ones are remembered.
const TOKENS: (usize, Duration) = (10_000, Duration::from_secs(24 * 60 * 60));
/// How often, in results, the server says that it is still there is up to gRPC; batches are as the engine makes them.
type Rows = Response<<Service as FlightService>::DoGetStream>;
type Info = Result<Response<FlightInfo>, Status>;

/// A statement that waits for its ticket.
enum Waiting {
    /// A query, planned on the lake as it was then, with the columns that the client was told.
    Query(Box<Prepared>, SchemaRef, String),
    /// Something that makes or changes; it happens when the ticket comes.
    Change(String),
}

/// A statement that a client prepared, with the values of its parameters.
#[derive(Clone)]
struct PreparedStatement {
    sql: String,
    values: Vec<ScalarValue>,
}

/// Answers all clients.
pub(super) struct Service {
    engine: Engine,
    users: Users,
    info: SqlInfoData,
    waiting: Kept<Waiting>,
    statements: Kept<PreparedStatement>,
    tokens: Kept<String>,
}

impl Service {
    pub(super) fn new(engine: Engine, users: Users) -> Result<Self, Error> {
        let clock = || Arc::clone(&engine.inner.clock);
        Ok(Self {
            info: metadata::sql_info()?,
            waiting: Kept::new(clock(), PLANS.0, PLANS.1),
            statements: Kept::new(clock(), STATEMENTS.0, STATEMENTS.1),
            tokens: Kept::new(clock(), TOKENS.0, TOKENS.1),
            users,
            engine,
        })
    }

    /// Lets the request pass if it comes from a user: by the token that a handshake gave, or by name and password.
    async fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        if self.users.is_open() {
            return Ok(());
        }
        let header = metadata.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
        if let Some(token) = header.strip_prefix("Bearer ")
            && self.tokens.with(token.trim(), |_| ()).is_some()
        {
            return Ok(());
        }
        self.basic(header).await.map(|_| ())
    }

    /// Checks name and password; yields the name.
    async fn basic(&self, header: &str) -> Result<String, Status> {
        let refused = || Status::unauthenticated("give the name and password of a user of this lakebox");
        let encoded = header.strip_prefix("Basic ").ok_or_else(refused)?;
        // Some drivers pad it, some don't.
        let decoded = BASE64_STANDARD_NO_PAD
            .decode(encoded.trim().trim_end_matches('='))
            .ok()
            .and_then(|d| String::from_utf8(d).ok())
            .ok_or_else(refused)?;
        let (name, password) = decoded.split_once(':').ok_or_else(refused)?;
        let (users, name, password) = (self.users.clone(), name.to_owned(), password.to_owned());
        let checked = runtime::blocking("checking a password", move || users.accepts(&name, &password).then_some(name)).await;
        checked.ok().flatten().ok_or_else(refused)
    }

    /// Plans a statement and keeps the plan under a ticket.
    async fn plan(&self, sql: String, values: Vec<ScalarValue>, descriptor: FlightDescriptor) -> Info {
        let (waiting, schema) = match changes(&sql).map_err(|e| status(&e))? {
            true => (Waiting::Change(sql), Arc::new(Schema::empty())),
            false => {
                let (prepared, schema, _) = self.prepared(sql.clone(), values).await.map_err(|e| status(&e))?;
                (Waiting::Query(Box::new(prepared), Arc::clone(&schema), sql), schema)
            }
        };
        let handle = self.waiting.keep(waiting).ok_or_else(|| too_many("statements"))?;
        let ticket = TicketStatementQuery { statement_handle: handle.into() };
        info(&ticket, &schema, descriptor)
    }

    /// A statement planned on the lake as it is now: with its columns and the types of its parameters.
    async fn prepared(
        &self,
        sql: String,
        values: Vec<ScalarValue>,
    ) -> Result<(Prepared, SchemaRef, Vec<(String, arrow::datatypes::DataType)>), Error> {
        let engine = self.engine.clone();
        self.engine
            .on_threads(async move {
                let prepared = engine.prepare(&sql).await?;
                let known = prepared.plan.get_parameter_types()?;
                let mut params: Vec<_> = known
                    .into_iter()
                    .map(|(name, data_type)| (name, data_type.unwrap_or(arrow::datatypes::DataType::Utf8)))
                    .collect();
                params.sort_by_key(|(name, _)| name.trim_start_matches('$').parse::<usize>().unwrap_or(usize::MAX));
                let plan = if values.is_empty() { prepared.plan } else { with_params(prepared.plan, values)? };
                let prepared = Prepared { plan, ..prepared };
                let optimized = prepared.session.state.optimize(&prepared.plan);
                let plan = optimized.as_ref().unwrap_or(&prepared.plan);
                let schema = prepared.labels.apply(crate::sql_types::plain_schema(plan.schema().as_arrow()));
                // What may be NULL is only known for sure when rows come, and the stream must keep what was told here.
                let fields = schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true));
                let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
                Ok((prepared, schema, params))
            })
            .await
    }

    /// Runs what a ticket stands for.
    async fn run(&self, handle: &str) -> Result<Rows, Status> {
        match self.waiting.take(handle).ok_or_else(|| unknown("ticket"))? {
            Waiting::Change(sql) => {
                Box::pin(self.change(&sql)).await.map_err(|e| status(&e))?;
                Ok(stream(Arc::new(Schema::empty()), futures::stream::empty()))
            }
            Waiting::Query(prepared, schema, sql) => {
                let request = QueryRequest { id: Some(handle.to_owned()), ..QueryRequest::new(sql, CLIENT) };
                let running = self.engine.start(request, Box::pin(async move { Ok(*prepared) }));
                let running = running.await.map_err(|e| status(&e))?;
                let (told, places) = (Arc::clone(&schema), (0..schema.fields().len()).map(Some).collect::<Vec<_>>());
                let rows = running.stream.map(move |batch| fitted(&batch?, &told, &places));
                Ok(stream(schema, rows.map_err(|e| FlightError::Tonic(Box::new(status(&e))))))
            }
        }
    }

    /// Makes or changes something, at once and for everybody. Returns the rows that were written.
    async fn change(&self, sql: &str) -> Result<i64, Error> {
        let statement = parse(sql)?;
        let Statement::Statement(inner) = &statement else { return Err(no_change()) };
        let Some(ddl) = ddl_of(inner)? else { return Err(no_change()) };
        let lake = self.engine.lake()?;
        let run = Alone {
            engine: &self.engine,
            lake,
            path: Arc::from([Layer::Gold, Layer::Silver]),
            sql,
            timeout: None,
            id: uuid::Uuid::new_v4().to_string(),
            client: CLIENT,
            values: Vec::new(),
        };
        let done = ddl::alone(run, &ddl).boxed().await?;
        Ok(done.rows.and_then(|n| i64::try_from(n).ok()).unwrap_or(0))
    }
}

fn no_change() -> Error {
    Error::new(Kind::Invalid, "the statement changes nothing").with_hint("Run it as a query.")
}

/// Whether a statement makes or changes something.
fn changes(sql: &str) -> Result<bool, Error> {
    Ok(match parse(sql)? {
        Statement::Statement(inner) => ddl_of(&inner)?.is_some(),
        _ => false,
    })
}

fn info(ticket: &impl ProstMessageExt, schema: &Schema, descriptor: FlightDescriptor) -> Info {
    let ticket = Ticket { ticket: ticket.as_any().encode_to_vec().into() };
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|e| Status::internal(format!("the columns can't be told: {e}")))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

fn stream(schema: SchemaRef, rows: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static) -> Rows {
    let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(rows).map_err(Status::from);
    Response::new(Box::pin(encoded))
}

fn one(batch: Result<RecordBatch, FlightError>) -> Result<Rows, Status> {
    let batch = batch.map_err(Status::from)?;
    Ok(stream(batch.schema(), futures::stream::iter([Ok(batch)])))
}

fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    Ok(message.map_err(|e| Status::internal(e.to_string()))?.0)
}

fn handle_of(bytes: &Bytes) -> Result<String, Status> {
    String::from_utf8(bytes.to_vec()).map_err(|_| unknown("handle"))
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let name = if self.users.is_open() { String::new() } else { self.basic(&header).await? };
        let token = self.tokens.keep(name).ok_or_else(|| too_many("connections"))?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let answers: Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>> =
            Box::pin(futures::stream::iter([Ok(answer)]));
        let mut response = Response::new(answers);
        let bearer = format!("Bearer {token}").parse().map_err(|_| Status::internal("the token is no header"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn get_flight_info_statement(&self, query: CommandStatementQuery, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        self.plan(query.query, Vec::new(), request.into_inner()).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.check(request.metadata()).await?;
        let handle = handle_of(&query.prepared_statement_handle)?;
        let statement = self.statements.with(&handle, |s| s.clone()).ok_or_else(|| unknown("prepared statement"))?;
        self.plan(statement.sql, statement.values, request.into_inner()).await
    }

    async fn get_flight_info_catalogs(&self, query: CommandGetCatalogs, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &query.into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_schemas(&self, query: CommandGetDbSchemas, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &query.clone().into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_tables(&self, query: CommandGetTables, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &query.clone().into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_table_types(&self, query: CommandGetTableTypes, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &query.into_builder().schema(), request.into_inner())
    }

    async fn get_flight_info_sql_info(&self, query: CommandGetSqlInfo, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &self.info.schema(), request.into_inner())
    }

    async fn get_flight_info_primary_keys(&self, query: CommandGetPrimaryKeys, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &metadata::primary_keys_schema(), request.into_inner())
    }

    async fn get_flight_info_exported_keys(&self, query: CommandGetExportedKeys, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &metadata::foreign_keys_schema(), request.into_inner())
    }

    async fn get_flight_info_imported_keys(&self, query: CommandGetImportedKeys, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &metadata::foreign_keys_schema(), request.into_inner())
    }

    async fn get_flight_info_cross_reference(&self, query: CommandGetCrossReference, request: Request<FlightDescriptor>) -> Info {
        self.check(request.metadata()).await?;
        info(&query, &metadata::foreign_keys_schema(), request.into_inner())
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        Box::pin(self.run(&handle_of(&ticket.statement_handle)?)).await
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        let mut builder: GetCatalogsBuilder = query.into_builder();
        builder.append(CATALOG);
        one(builder.build())
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        one(metadata::db_schemas(&self.engine, query))
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        one(metadata::tables(&self.engine, query))
    }

    async fn do_get_table_types(&self, query: CommandGetTableTypes, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        let mut builder = query.into_builder();
        builder.append(TABLE);
        builder.append(VIEW);
        one(builder.build())
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        one(query.into_builder(&self.info).build())
    }

    async fn do_get_primary_keys(&self, query: CommandGetPrimaryKeys, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        one(metadata::primary_keys(&self.engine, query.db_schema.as_deref(), &query.table))
    }

    async fn do_get_exported_keys(&self, _: CommandGetExportedKeys, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        Ok(stream(metadata::foreign_keys_schema(), futures::stream::empty()))
    }

    async fn do_get_imported_keys(&self, _: CommandGetImportedKeys, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        Ok(stream(metadata::foreign_keys_schema(), futures::stream::empty()))
    }

    async fn do_get_cross_reference(&self, _: CommandGetCrossReference, request: Request<Ticket>) -> Result<Rows, Status> {
        self.check(request.metadata()).await?;
        Ok(stream(metadata::foreign_keys_schema(), futures::stream::empty()))
    }

    async fn do_put_statement_update(
        &self,
        update: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.check(request.metadata()).await?;
        Box::pin(self.change(&update.query)).await.map_err(|e| status(&e))
    }

    async fn do_put_prepared_statement_update(
        &self,
        update: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.check(request.metadata()).await?;
        let handle = handle_of(&update.prepared_statement_handle)?;
        let sql = self.statements.with(&handle, |s| s.sql.clone()).ok_or_else(|| unknown("prepared statement"))?;
        Box::pin(self.change(&sql)).await.map_err(|e| status(&e))
    }

    /// Takes the values of a prepared statement's parameters: one row.
    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        self.check(request.metadata()).await?;
        let handle = handle_of(&query.prepared_statement_handle)?;
        let data = request.into_inner().map_err(|e| FlightError::Tonic(Box::new(e)));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(data).try_collect().await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows != 1 {
            return Err(Status::invalid_argument(format!("a query takes one row of parameters, and {rows} came")));
        }
        let values = batches.iter().filter(|b| b.num_rows() == 1).flat_map(|b| b.columns().iter());
        let values = values.map(|c| ScalarValue::try_from_array(c, 0)).collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|e| status(&e.into()))?;
        self.statements.with(&handle, |s| s.values = values).ok_or_else(|| unknown("prepared statement"))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        self.check(request.metadata()).await?;
        let sql = query.query;
        let (schema, params) = match changes(&sql).map_err(|e| status(&e))? {
            true => (Arc::new(Schema::empty()), Vec::new()),
            false => {
                let (_, schema, params) = self.prepared(sql.clone(), Vec::new()).await.map_err(|e| status(&e))?;
                (schema, params)
            }
        };
        let params: Vec<Field> = params.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
        let statement = PreparedStatement { sql, values: Vec::new() };
        let handle = self.statements.keep(statement).ok_or_else(|| too_many("prepared statements"))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema: schema_bytes(&schema)?,
            parameter_schema: schema_bytes(&Schema::new(params))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.check(request.metadata()).await?;
        drop(self.statements.take(&handle_of(&query.prepared_statement_handle)?));
        Ok(())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        self.check(request.metadata()).await?;
        let info = FlightInfo::decode(query.info).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let mut cancelled = false;
        for ticket in info.endpoint.into_iter().filter_map(|e| e.ticket) {
            let named = Any::decode(ticket.ticket).ok().and_then(|any| any.unpack::<TicketStatementQuery>().ok().flatten());
            if let Some(named) = named {
                let handle = handle_of(&named.statement_handle)?;
                cancelled |= self.waiting.take(&handle).is_some() | self.engine.cancel(&handle);
            }
        }
        // The protocol's numbers: 1 for cancelled, 3 for not cancellable.
        Ok(ActionCancelQueryResult { result: if cancelled { 1 } else { 3 } })
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}
