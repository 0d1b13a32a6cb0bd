//! What changes something: statements that make or drop, the end of a transaction, rows in bulk.

use super::{
    CLIENT,
    command::{Command, Query},
    copy::Copy,
    errors::to_wire,
    handlers::Handler,
    planning::{Shape, shape},
    session,
    transaction::{Scope, Transaction},
};
use crate::{
    Engine,
    ddl::{self, Alone, Ddl, Executor, ObjectPath},
    dml::{RowChange, select},
};
use datafusion::{
    common::ScalarValue,
    sql::{
        parser::Statement,
        sqlparser::ast::{Expr, Query as SqlQuery, Statement as Sql, Value, visit_expressions},
    },
};
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, Type,
        results::{Response, Tag},
    },
    error::{PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, response::TransactionStatus},
};
use futures::{FutureExt, Sink};
use std::{fmt::Debug, ops::ControlFlow, sync::Arc};

impl Handler {
    /// Runs a command that is no query of its own.
    pub(super) async fn without_query<C: ClientInfo>(
        &self,
        client: &mut C,
        command: &Command,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<Response> {
        match command {
            Command::Ddl(statement) => Box::pin(self.change(client, &statement.0, &statement.1, values)).await,
            Command::Commit => self.commit(client).await,
            Command::Rollback => {
                drop(Transaction::of(client).end());
                self.command(client, command)
            }
            other => self.command(client, other),
        }
    }

    /// Makes or changes something: seen by this connection at once, by all others when its transaction is committed.
    async fn change<C: ClientInfo>(
        &self,
        client: &mut C,
        ddl: &Ddl,
        sql: &str,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<Response> {
        let failed = |e: crate::Error| to_wire(&e, sql);
        let engine = self.0.engine();
        let lake = engine.lake().map_err(failed)?;
        let id = uuid::Uuid::new_v4().to_string();
        let _running = self.running(client, id.clone());
        let Scope { mut changes, path } = Scope::of(client);
        let timeout = session::statement_timeout(client.metadata());
        let done = if client.transaction_status() == TransactionStatus::Transaction {
            let mut executor =
                Executor { engine, lake, transaction: &mut changes, path, sql, timeout, id, client: CLIENT, values };
            let done = executor.run(ddl.clone()).boxed().await.map_err(failed)?;
            Transaction::of(client).set(changes);
            done
        } else {
            let run = Alone { engine, lake, path, sql, timeout, id, client: CLIENT, values };
            ddl::alone(run, ddl).boxed().await.map_err(failed)?
        };
        let tag = match (done.rows, done.skipped) {
            // Where IF NOT EXISTS found the table, PostgreSQL says this instead of a count.
            (_, true) if done.tag == "SELECT" => Tag::new("CREATE TABLE AS"),
            (Some(rows), _) => Tag::new(done.tag).with_rows(usize::try_from(rows).unwrap_or(usize::MAX)),
            (None, _) => Tag::new(done.tag),
        };
        Ok(Response::Execution(tag))
    }

    /// Ends a transaction and makes what it changed durable and visible, all at once.
    async fn commit<C: ClientInfo>(&self, client: &mut C) -> PgWireResult<Response> {
        let changes = Transaction::of(client).end();
        if client.transaction_status() != TransactionStatus::Error && !changes.is_empty() {
            let lake = self.0.engine().lake().map_err(|e| to_wire(&e, ""))?;
            if let Err(error) = ddl::commit(lake, changes).boxed().await {
                // The transaction is over all the same.
                client.set_transaction_status(TransactionStatus::Idle);
                return Err(to_wire(&error, ""));
            }
        }
        self.command(client, &Command::Commit)
    }

    /// An INSERT whose parameters have the types of the columns that they are for, and those types.
    pub(super) async fn insert_shape<C: ClientInfo>(
        &self,
        client: &C,
        (name, columns, query): (&ObjectPath, &[String], &SqlQuery),
        types: &[Option<Type>],
    ) -> Result<(SqlQuery, Shape), crate::Error> {
        let engine = self.0.engine();
        let lake = engine.lake()?;
        let Scope { mut changes, path } = Scope::of(client);
        let (id, values) = (String::new(), Vec::new());
        let executor =
            Executor { engine, lake, transaction: &mut changes, path, sql: "", timeout: None, id, client: CLIENT, values };
        let (_, schema) = executor.table(name)?;
        let typed = ddl::typed_values(&schema, columns, query)?;
        let plain = Statement::Statement(Box::new(Sql::Query(Box::new(typed.clone()))));
        let rows = Query { sql: typed.to_string(), plain: Some(plain), translated: None, catalog: false, lists: Vec::new() };
        let shape = Box::pin(shape(engine, Arc::new(rows), types.to_vec(), Scope::of(client))).await?;
        let shape = told_by_casts(engine, &typed, shape).boxed().await?;
        Ok((typed, shape))
    }

    /// The types of a statement's parameters where it changes rows of a table.
    pub(super) async fn rows_shape<C: ClientInfo>(
        &self,
        client: &C,
        change: &RowChange,
        types: &[Option<Type>],
    ) -> Result<Shape, crate::Error> {
        let engine = self.0.engine();
        let lake = engine.lake()?;
        let scope = Scope::of(client);
        let Scope { mut changes, path } = scope.clone();
        let (id, values) = (String::new(), Vec::new());
        let executor =
            Executor { engine, lake, transaction: &mut changes, path, sql: "", timeout: None, id, client: CLIENT, values };
        let (table, schema) = executor.table(&change.name)?;
        let key = executor.key(&table);
        let query = select(change, &table, &schema, &key)?.query;
        let plain = Statement::Statement(Box::new(Sql::Query(Box::new(query.clone()))));
        let rows = Query { sql: String::new(), plain: Some(plain), translated: None, catalog: false, lists: Vec::new() };
        let shape = shape(engine, Arc::new(rows), types.to_vec(), scope).boxed().await?;
        told_by_casts(engine, &query, shape).boxed().await
    }

    /// Runs a COPY. Says whether rows are awaited now.
    pub(super) async fn copy<C>(&self, client: &mut C, copy: &Copy, extended: bool) -> PgWireResult<bool>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match copy {
            Copy::Out { query, form } => self.copy_out(client, query, form).await.map(|()| false),
            Copy::In { table, columns, form, sql } => {
                self.copy_in(client, (table, columns, form, sql), extended).await.map(|()| true)
            }
        }
    }
}

/// Parameters whose place is a cast have its type: those that become values of a table's columns.
async fn told_by_casts(engine: &Engine, query: &SqlQuery, mut shape: Shape) -> Result<Shape, crate::Error> {
    let mut casts = Vec::new();
    let _ = visit_expressions(query, |expr| {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Expr::Value(value) = expr.as_ref()
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok())
        {
            casts.push((number, data_type.clone()));
        }
        ControlFlow::<()>::Continue(())
    });
    for (number, data_type) in casts {
        if let Some(unknown) = number.checked_sub(1).and_then(|i| shape.params.get_mut(i)).filter(|p| p.is_none()) {
            *unknown = Some(engine.sql_type(&data_type).boxed().await?);
        }
    }
    Ok(shape)
}
