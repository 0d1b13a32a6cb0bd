//! What clients ask of the lake's shape: catalogs, schemas, tables, keys, and what the server can do.

use crate::{
    Engine, Error,
    engine::{CATALOG, SERVER_VERSION, SYSTEM},
    pg_catalog::users_schemas,
    sql_types::plain_schema,
};
use arrow::{
    array::{Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::{
    error::Result,
    sql::{
        CommandGetDbSchemas, CommandGetTables, SqlInfo, SqlSupportedTransaction,
        metadata::{SqlInfoData, SqlInfoDataBuilder},
    },
};
use model::{LakeTable, Layer};
use std::sync::Arc;

/// Kinds of tables.
pub(super) const TABLE: &str = "TABLE";
pub(super) const VIEW: &str = "VIEW";

/// What the server can do.
pub(super) fn sql_info() -> std::result::Result<SqlInfoData, Error> {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "lakebox");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.build().map_err(|e| {
        Error::new(crate::Kind::Internal, format!("what Flight SQL tells of itself, as PostgreSQL {SERVER_VERSION}"))
            .with_source(e)
    })
}

/// Names of the schemas.
fn schemas(engine: &Engine) -> Vec<String> {
    let layers = Layer::ALL.iter().map(|l| l.as_str().to_owned());
    let mut users = users_schemas(&engine.view());
    users.extend(engine.crawled().schemas());
    layers.chain(users).chain([SYSTEM.to_owned()]).collect()
}

pub(super) fn db_schemas(engine: &Engine, query: CommandGetDbSchemas) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    for schema in schemas(engine) {
        builder.append(CATALOG, schema);
    }
    builder.build()
}

pub(super) fn tables(engine: &Engine, query: CommandGetTables) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    let view = engine.view();
    let plain = |schema: &Schema| {
        let fields = plain_schema(schema);
        Schema::new(fields.fields().iter().map(|f| f.as_ref().clone().with_metadata(Default::default())).collect::<Vec<_>>())
    };
    for (name, table) in &view.tables {
        builder.append(CATALOG, name.layer.as_str(), &name.name, TABLE, &plain(&table.schema))?;
    }
    for (name, sql) in &view.views {
        builder.append(CATALOG, name.layer.as_str(), &name.name, VIEW, &plain(&sql.schema))?;
    }
    for (schema, name, columns) in engine.crawled().all() {
        builder.append(CATALOG, schema, name, TABLE, &plain(&columns))?;
    }
    for (name, schema) in engine.system_schemas(&view) {
        builder.append(CATALOG, SYSTEM, name, VIEW, &plain(&schema))?;
    }
    builder.build()
}

pub(super) fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The key of a table: what identifies its rows.
pub(super) fn primary_keys(engine: &Engine, schema: Option<&str>, table: &str) -> Result<RecordBatch> {
    let view = engine.view();
    let named = |layer: Layer| view.tables.get(&LakeTable::new(layer, table));
    let found = match schema {
        Some(schema) => schema.parse().ok().and_then(named),
        None => [Layer::Gold, Layer::Silver].into_iter().find_map(named),
    };
    let found = found.filter(|t| t.table.layer != Layer::Bronze);
    let key = found.map_or(&[][..], |t| t.key.as_slice());
    let all = |text: &str| Arc::new(StringArray::from(vec![text.to_owned(); key.len()]));
    let layer = found.map_or("", |t| t.table.layer.as_str());
    Ok(RecordBatch::try_new(
        primary_keys_schema(),
        vec![
            all(CATALOG),
            all(layer),
            all(table),
            Arc::new(key.iter().map(|k| Some(k.as_str())).collect::<StringArray>()),
            all(&format!("{table}_pkey")),
            Arc::new((1..).take(key.len()).collect::<Int32Array>()),
        ],
    )?)
}

/// Columns of lists of foreign keys, of which there are none.
pub(super) fn foreign_keys_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name"),
        text("pk_db_schema_name"),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        text("fk_catalog_name"),
        text("fk_db_schema_name"),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name"),
        text("pk_key_name"),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}
