//! The two dialects behind one door. Every statement of this crate is one text that both understand (`$1` parameters, bigint and text),
//! so the difference between SQLite and PostgreSQL ends in this file and in `open`.

use crate::error::{Error, from_driver};
use sqlx::{PgPool, Postgres, Row as _, Sqlite, SqlitePool, Transaction, postgres::PgRow, sqlite::SqliteRow};
use std::sync::Arc;

/// A parameter.
#[derive(Debug, Clone)]
enum Value {
    Text(Option<String>),
    Int(Option<i64>),
}

/// A statement with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    sql: &'static str,
    values: Vec<Value>,
}

/// A statement without parameters yet.
pub(crate) fn sql(sql: &'static str) -> Statement {
    Statement { sql, values: Vec::new() }
}

impl Statement {
    /// The next parameter: a text or NULL.
    pub(crate) fn text<'a>(mut self, value: impl Into<Option<&'a str>>) -> Self {
        self.values.push(Value::Text(value.into().map(str::to_owned)));
        self
    }

    /// The next parameter: a number or NULL.
    pub(crate) fn int(mut self, value: impl Into<Option<i64>>) -> Self {
        self.values.push(Value::Int(value.into()));
        self
    }
}

/// A row of either dialect.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! column {
    ($name:ident, $type:ty) => {
        pub(crate) fn $name(&self, index: usize) -> Result<$type, sqlx::Error> {
            match self {
                Self::Sqlite(row) => row.try_get(index),
                Self::Postgres(row) => row.try_get(index),
            }
        }
    };
}

impl Row {
    column!(text, String);
    column!(text_or_null, Option<String>);
    column!(int, i64);
    column!(int_or_null, Option<i64>);

    /// A column that holds JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, sqlx::Error> {
        serde_json::from_str(&self.text(index)?).map_err(|e| sqlx::Error::Decode(Box::new(e)))
    }
}

/// Binds a statement's parameters, for one dialect.
macro_rules! bound {
    ($db:ty, $statement:expr) => {{
        let mut query = sqlx::query::<$db>($statement.sql);
        for value in $statement.values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Int(int) => query.bind(int),
            };
        }
        query
    }};
}

/// Pools of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) pools: Pools,
    /// Where the catalog is, without secrets.
    pub(crate) place: Arc<str>,
}

#[derive(Debug, Clone)]
pub(crate) enum Pools {
    /// One connection writes, so writers queue here instead of failing on SQLite's lock; the readers see the last commit.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    /// A server sorts writers out by itself.
    Postgres(PgPool),
}

/// A transaction. Dropped without [`Tx::commit`], it changes nothing.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>, Arc<str>),
    Postgres(Transaction<'static, Postgres>, Arc<str>),
}

impl Database {
    /// Runs one statement that reads. `doing` says for errors what it is for.
    pub(crate) async fn rows(&self, doing: &str, statement: Statement) -> Result<Vec<Row>, Error> {
        let rows = match &self.pools {
            Pools::Sqlite { readers, .. } => {
                bound!(Sqlite, statement).fetch_all(readers).await.map(|r| r.into_iter().map(Row::Sqlite).collect())
            }
            Pools::Postgres(pool) => {
                bound!(Postgres, statement).fetch_all(pool).await.map(|r| r.into_iter().map(Row::Postgres).collect())
            }
        };
        rows.map_err(|e| self.error(doing, e))
    }

    /// Reads and converts each row.
    pub(crate) async fn read<T>(
        &self,
        doing: &str,
        statement: Statement,
        convert: impl Fn(&Row) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.rows(doing, statement).await?;
        rows.iter().map(convert).collect::<Result<_, _>>().map_err(|e| self.error(doing, e))
    }

    /// Runs one statement that writes, in a transaction of its own; durable when it returns. Returns how many rows it changed.
    pub(crate) async fn write(&self, doing: &str, statement: Statement) -> Result<u64, Error> {
        let changed = match &self.pools {
            Pools::Sqlite { writer, .. } => bound!(Sqlite, statement).execute(writer).await.map(|d| d.rows_affected()),
            Pools::Postgres(pool) => bound!(Postgres, statement).execute(pool).await.map(|d| d.rows_affected()),
        };
        changed.map_err(|e| self.error(doing, e))
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self, doing: &str) -> Result<Tx, Error> {
        let place = Arc::clone(&self.place);
        let tx = match &self.pools {
            Pools::Sqlite { writer, .. } => begin_immediate(writer).await.map(|tx| Tx::Sqlite(tx, place)),
            Pools::Postgres(pool) => pool.begin().await.map(|tx| Tx::Postgres(tx, place)),
        };
        tx.map_err(|e| self.error(doing, e))
    }

    /// Begins a transaction that only reads, and reads everything at one moment.
    pub(crate) async fn begin_read(&self, doing: &str) -> Result<Tx, Error> {
        let place = Arc::clone(&self.place);
        let tx = match &self.pools {
            Pools::Sqlite { readers, .. } => readers.begin().await.map(|tx| Tx::Sqlite(tx, place)),
            Pools::Postgres(pool) => {
                pool.begin_with("begin isolation level repeatable read read only").await.map(|tx| Tx::Postgres(tx, place))
            }
        };
        tx.map_err(|e| self.error(doing, e))
    }

    pub(crate) fn error(&self, doing: &str, error: sqlx::Error) -> Error {
        from_driver(&self.place, doing, error)
    }
}

/// IMMEDIATE takes the write lock now, under the busy timeout. A lock taken later could fail at once with "database is locked".
async fn begin_immediate(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    match writer.begin_with("begin immediate").await {
        // SQLite ends a transaction by itself when the disk is full; the driver goes on counting it as open, and the connection is of no use.
        Err(sqlx::Error::InvalidSavePointStatement) => {
            writer.acquire().await?.close().await?;
            writer.begin_with("begin immediate").await
        }
        begun => begun,
    }
}

impl Tx {
    pub(crate) async fn rows(&mut self, doing: &str, statement: Statement) -> Result<Vec<Row>, Error> {
        let rows = match self {
            Self::Sqlite(tx, _) => {
                bound!(Sqlite, statement).fetch_all(&mut **tx).await.map(|r| r.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(tx, _) => {
                bound!(Postgres, statement).fetch_all(&mut **tx).await.map(|r| r.into_iter().map(Row::Postgres).collect())
            }
        };
        rows.map_err(|e| self.error(doing, e))
    }

    pub(crate) async fn read<T>(
        &mut self,
        doing: &str,
        statement: Statement,
        convert: impl Fn(&Row) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.rows(doing, statement).await?;
        rows.iter().map(convert).collect::<Result<_, _>>().map_err(|e| self.error(doing, e))
    }

    pub(crate) async fn write(&mut self, doing: &str, statement: Statement) -> Result<u64, Error> {
        let changed = match self {
            Self::Sqlite(tx, _) => bound!(Sqlite, statement).execute(&mut **tx).await.map(|d| d.rows_affected()),
            Self::Postgres(tx, _) => bound!(Postgres, statement).execute(&mut **tx).await.map(|d| d.rows_affected()),
        };
        changed.map_err(|e| self.error(doing, e))
    }

    /// Makes everything since [`Database::begin`] visible and durable at once.
    pub(crate) async fn commit(self, doing: &str) -> Result<(), Error> {
        let (done, place) = match self {
            Self::Sqlite(tx, place) => (tx.commit().await, place),
            Self::Postgres(tx, place) => (tx.commit().await, place),
        };
        done.map_err(|e| from_driver(&place, doing, e))
    }

    fn error(&self, doing: &str, error: sqlx::Error) -> Error {
        let (Self::Sqlite(_, place) | Self::Postgres(_, place)) = self;
        from_driver(place, doing, error)
    }
}
