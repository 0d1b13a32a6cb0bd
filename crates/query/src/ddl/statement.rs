use super::{options, partitions};
use crate::{
    Error, Kind,
    dml::{RowChange, row_change},
    engine::CATALOG,
    sql_types::stored_type,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, CommentObject, CreateTable, CreateTableOptions,
    CreateView, Ident, ObjectName, ObjectType, Query, RenameTableNameKind, SchemaName, SetExpr, Statement as Sql,
    TableConstraint, TableObject,
};
use lake::PartitionField;
use model::Layer;
use std::sync::Arc;

/// A name as written: with its schema, or without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectPath {
    pub schema: Option<String>,
    pub name: String,
}

/// A statement that makes or changes something.
#[derive(Debug, Clone)]
pub(crate) enum Ddl {
    CreateSchema {
        name: String,
        if_not_exists: bool,
    },
    DropSchema {
        names: Vec<String>,
        if_exists: bool,
        cascade: bool,
    },
    CreateView {
        name: ObjectPath,
        columns: Vec<String>,
        query: Box<Query>,
        or_replace: bool,
    },
    CreateTable {
        name: ObjectPath,
        columns: Vec<ColumnOf>,
        key: Vec<String>,
        partition_by: Vec<PartitionField>,
        format_version: u8,
        if_not_exists: bool,
    },
    CreateTableAs {
        name: ObjectPath,
        query: Box<Query>,
        partition_by: Vec<PartitionField>,
        format_version: u8,
        or_replace: bool,
        if_not_exists: bool,
    },
    Drop {
        views: bool,
        names: Vec<ObjectPath>,
        if_exists: bool,
        cascade: bool,
    },
    Rename {
        name: ObjectPath,
        to: String,
        if_exists: bool,
    },
    SetSchema {
        name: ObjectPath,
        schema: String,
    },
    Truncate {
        names: Vec<ObjectPath>,
    },
    Insert {
        name: ObjectPath,
        columns: Vec<String>,
        query: Box<Query>,
    },
    /// Rows of a table change.
    Rows(Box<RowChange>),
    /// Columns of a table change.
    Alter {
        name: ObjectPath,
        if_exists: bool,
        steps: Vec<ColumnStep>,
    },
    /// A table, or a column of it, is described.
    Comment {
        name: ObjectPath,
        column: Option<String>,
        comment: Option<String>,
    },
}

/// One change to the columns of a table.
#[derive(Debug, Clone)]
pub(crate) enum ColumnStep {
    Add { column: ColumnOf, if_not_exists: bool },
    Drop { name: String, if_exists: bool },
    Rename { from: String, to: String },
    Retype { name: String, data_type: datafusion::sql::sqlparser::ast::DataType },
    Require { name: String, required: bool },
    Partition(Vec<PartitionField>),
    Version(u8),
}

/// A column of a new table.
#[derive(Debug, Clone)]
pub(crate) struct ColumnOf {
    pub name: String,
    pub data_type: datafusion::sql::sqlparser::ast::DataType,
    pub required: bool,
}

impl Ddl {
    /// The words that acknowledge it.
    pub(crate) const fn tag(&self) -> &'static str {
        match self {
            Self::CreateSchema { .. } => "CREATE SCHEMA",
            Self::DropSchema { .. } => "DROP SCHEMA",
            Self::CreateView { .. } => "CREATE VIEW",
            Self::CreateTable { .. } => "CREATE TABLE",
            // PostgreSQL acknowledges it with the rows that it wrote.
            Self::CreateTableAs { .. } => "SELECT",
            Self::Drop { views: true, .. } => "DROP VIEW",
            Self::Drop { views: false, .. } => "DROP TABLE",
            Self::Rename { .. } | Self::SetSchema { .. } | Self::Alter { .. } => "ALTER TABLE",
            Self::Truncate { .. } => "TRUNCATE TABLE",
            Self::Insert { .. } => "INSERT 0",
            Self::Rows(change) => change.tag,
            Self::Comment { .. } => "COMMENT",
        }
    }
}

/// The statement as one that makes or changes something; none for all others.
///
/// # Errors
/// [`Kind::Unsupported`] where it asks for more than lakebox does.
pub(crate) fn ddl_of(statement: &Sql) -> Result<Option<Ddl>, Error> {
    if let Some(change) = row_change(statement)? {
        return Ok(Some(Ddl::Rows(Box::new(change))));
    }
    Ok(Some(match statement {
        // `WITH … INSERT …`: what it names, the rows of the INSERT may read.
        Sql::Query(outer) => {
            let SetExpr::Insert(insert) = outer.body.as_ref() else { return Ok(None) };
            let Some(Ddl::Insert { name, columns, mut query }) = ddl_of(insert)? else { return Ok(None) };
            if query.with.is_some() && outer.with.is_some() {
                return Err(unsupported("WITH before INSERT and before its SELECT").with_hint("Put both before INSERT."));
            }
            query.with = query.with.or_else(|| outer.with.clone());
            Ddl::Insert { name, columns, query }
        }
        Sql::CreateSchema { schema_name, if_not_exists, .. } => {
            let (SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _)) = schema_name else {
                return Err(unsupported("CREATE SCHEMA without a name"));
            };
            Ddl::CreateSchema { name: schema_of(name)?, if_not_exists: *if_not_exists }
        }
        Sql::CreateView(view) => create_view(view)?,
        Sql::CreateTable(table) => create_table(table)?,
        Sql::Drop { object_type, if_exists, names, cascade, .. } => {
            let (if_exists, cascade) = (*if_exists, *cascade);
            match object_type {
                ObjectType::Schema => {
                    let names = names.iter().map(schema_of).collect::<Result<_, _>>()?;
                    Ddl::DropSchema { names, if_exists, cascade }
                }
                ObjectType::Table | ObjectType::View => {
                    let views = matches!(object_type, ObjectType::View);
                    Ddl::Drop { views, names: paths(names)?, if_exists, cascade }
                }
                // There are none, so `IF EXISTS` has nothing to do and finds it done.
                ObjectType::MaterializedView if if_exists => Ddl::Drop { views: true, names: Vec::new(), if_exists, cascade },
                other => return Err(unsupported(&format!("DROP {other}"))),
            }
        }
        Sql::AlterTable(alter) => match alter.operations.as_slice() {
            [AlterTableOperation::RenameTable { table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to) }] => {
                let path = path_of(to)?;
                Ddl::Rename { name: path_of(&alter.name)?, to: path.name, if_exists: alter.if_exists }
            }
            [operation] if operation.to_string().starts_with("SET SCHEMA ") => {
                let text = operation.to_string();
                let schema = text.trim_start_matches("SET SCHEMA ").trim_matches('"').to_owned();
                Ddl::SetSchema { name: path_of(&alter.name)?, schema }
            }
            operations => {
                let steps = operations.iter().map(column_steps).collect::<Result<Vec<_>, _>>()?.concat();
                Ddl::Alter { name: path_of(&alter.name)?, if_exists: alter.if_exists, steps }
            }
        },
        Sql::Comment { object_type, object_name, comment, .. } => {
            let comment = comment.clone().filter(|c| !c.is_empty());
            match object_type {
                CommentObject::Table => Ddl::Comment { name: path_of(object_name)?, column: None, comment },
                CommentObject::Column => {
                    let mut table = object_name.0.clone();
                    let column = table.pop().as_ref().and_then(|p| p.as_ident().map(identifier));
                    Ddl::Comment { name: path_of(&ObjectName(table))?, column, comment }
                }
                other => return Err(unsupported(&format!("COMMENT ON {other}"))),
            }
        }
        Sql::Truncate(truncate) => {
            let names = truncate.table_names.iter().map(|t| path_of(&t.name)).collect::<Result<_, _>>()?;
            Ddl::Truncate { names }
        }
        Sql::Insert(insert) => {
            let TableObject::TableName(name) = &insert.table else { return Err(unsupported("INSERT into a function")) };
            if insert.returning.is_some() {
                return Err(unsupported("INSERT with RETURNING"));
            }
            let Some(query) = insert.source.clone() else { return Err(unsupported("INSERT of default values")) };
            let columns = insert.columns.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
            Ddl::Insert { name: path_of(name)?, columns: columns.into_iter().map(|c| c.name).collect(), query }
        }
        _ => return Ok(None),
    }))
}

/// What an operation of ALTER TABLE does to columns.
fn column_steps(operation: &AlterTableOperation) -> Result<Vec<ColumnStep>, Error> {
    Ok(match operation {
        AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
            let column = column_of(column_def)?;
            vec![ColumnStep::Add { column, if_not_exists: *if_not_exists }]
        }
        AlterTableOperation::DropColumn { column_names, if_exists, .. } => {
            let drop = |name: &Ident| ColumnStep::Drop { name: identifier(name), if_exists: *if_exists };
            column_names.iter().map(drop).collect()
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            vec![ColumnStep::Rename { from: identifier(old_column_name), to: identifier(new_column_name) }]
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            let name = identifier(column_name);
            vec![match op {
                AlterColumnOperation::SetNotNull => ColumnStep::Require { name, required: true },
                AlterColumnOperation::DropNotNull => ColumnStep::Require { name, required: false },
                AlterColumnOperation::SetDataType { data_type, using: None, .. } => {
                    ColumnStep::Retype { name, data_type: data_type.clone() }
                }
                other => return Err(unsupported(&format!("ALTER TABLE … ALTER COLUMN {name} {other}"))),
            }]
        }
        AlterTableOperation::SetOptionsParens { options } => match partitions::of_options(options)? {
            Some(by) => vec![ColumnStep::Partition(by)],
            None => vec![ColumnStep::Version(options::format_version(options)?)],
        },
        other => return Err(unsupported(&format!("ALTER TABLE … {other}"))),
    })
}

/// A column of an ALTER TABLE.
fn column_of(column: &ColumnDef) -> Result<ColumnOf, Error> {
    let mut required = false;
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => required = true,
            other => return Err(unsupported(&format!("the column option {other}"))),
        }
    }
    Ok(ColumnOf { name: identifier(&column.name), data_type: column.data_type.clone(), required })
}

fn create_view(view: &CreateView) -> Result<Ddl, Error> {
    if view.materialized || view.temporary {
        let what = if view.materialized { "a materialized view" } else { "a temporary view" };
        return Err(unsupported(what)
            .with_hint("A model in gold is what a materialized view is elsewhere: a table that stays up to date."));
    }
    Ok(Ddl::CreateView {
        name: path_of(&view.name)?,
        columns: view.columns.iter().map(|c| identifier(&c.name)).collect(),
        query: view.query.clone(),
        or_replace: view.or_replace,
    })
}

fn create_table(table: &CreateTable) -> Result<Ddl, Error> {
    if table.temporary {
        return Err(unsupported("a temporary table").with_hint("Use a WITH query, or a table in a schema of your own."));
    }
    let format_version = match &table.table_options {
        CreateTableOptions::None => options::NEW,
        CreateTableOptions::With(options) => options::format_version(options)?,
        _ => return Err(unsupported("CREATE TABLE with such options").with_hint("Write them in WITH (…), behind the columns.")),
    };
    if table.external {
        return Err(unsupported("CREATE EXTERNAL TABLE"));
    }
    let (name, if_not_exists) = (path_of(&table.name)?, table.if_not_exists);
    let partition_by = table.partition_by.as_deref().map_or_else(|| Ok(Vec::new()), partitions::fields)?;
    if let Some(query) = &table.query {
        let or_replace = table.or_replace;
        return Ok(Ddl::CreateTableAs { name, query: query.clone(), partition_by, format_version, or_replace, if_not_exists });
    }
    let mut key = Vec::new();
    for constraint in &table.constraints {
        match constraint {
            TableConstraint::PrimaryKey(primary) => {
                key.extend(primary.columns.iter().map(|c| c.column.expr.to_string().trim_matches('"').to_owned()));
            }
            other => return Err(unsupported(&format!("the constraint {other}"))),
        }
    }
    let mut columns = Vec::new();
    for column in &table.columns {
        let mut required = false;
        for option in &column.options {
            match &option.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull => required = true,
                ColumnOption::PrimaryKey(_) => {
                    required = true;
                    key.push(identifier(&column.name));
                }
                other => return Err(unsupported(&format!("the column option {other}"))),
            }
        }
        columns.push(ColumnOf { name: identifier(&column.name), data_type: column.data_type.clone(), required });
    }
    if columns.is_empty() {
        return Err(Error::new(Kind::Invalid, "a table needs columns"));
    }
    Ok(Ddl::CreateTable { name, columns, key, partition_by, format_version, if_not_exists })
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{what} is not possible here")).with_hint(
        "SQL makes schemas, views, and tables in schemas of your own: CREATE TABLE [AS], INSERT, UPDATE, DELETE, MERGE, TRUNCATE, ALTER, DROP.",
    )
}

/// The name that an identifier stands for: in lower case unless it is quoted.
pub(crate) fn identifier(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn parts(name: &ObjectName) -> Result<Vec<String>, Error> {
    let part = |p: &datafusion::sql::sqlparser::ast::ObjectNamePart| p.as_ident().map(identifier);
    let parts: Option<Vec<String>> = name.0.iter().map(part).collect();
    parts.ok_or_else(|| Error::new(Kind::Invalid, format!("`{name}` is no name")))
}

fn check_catalog(catalog: &str) -> Result<(), Error> {
    if catalog == CATALOG {
        return Ok(());
    }
    Err(Error::new(Kind::Unsupported, format!("the database `{catalog}` does not exist: there is one, `{CATALOG}`")))
}

/// A name of a table or view.
pub(crate) fn path_of(name: &ObjectName) -> Result<ObjectPath, Error> {
    match parts(name)?.as_slice() {
        [name] => Ok(ObjectPath { schema: None, name: name.clone() }),
        [schema, name] => Ok(ObjectPath { schema: Some(schema.clone()), name: name.clone() }),
        [catalog, schema, name] => {
            check_catalog(catalog)?;
            Ok(ObjectPath { schema: Some(schema.clone()), name: name.clone() })
        }
        _ => Err(Error::new(Kind::Invalid, format!("`{name}` is no name of a table"))),
    }
}

fn paths(names: &[ObjectName]) -> Result<Vec<ObjectPath>, Error> {
    names.iter().map(path_of).collect()
}

fn schema_of(name: &ObjectName) -> Result<String, Error> {
    match parts(name)?.as_slice() {
        [name] => Ok(name.clone()),
        [catalog, name] => check_catalog(catalog).map(|()| name.clone()),
        _ => Err(Error::new(Kind::Invalid, format!("`{name}` is no name of a schema"))),
    }
}

/// The schema of a name that SQL may write to.
///
/// # Errors
/// [`Kind::Unsupported`] for the layers, which pipelines and models write, and for names that no schema can have.
pub(crate) fn writable(schema: &str) -> Result<Layer, Error> {
    let layer: Result<Layer, _> = schema.parse();
    match layer {
        Ok(layer) if layer.is_users() => Ok(layer),
        Ok(layer) => Err(Error::new(Kind::Unsupported, format!("SQL only reads the schema {layer}"))
            .with_hint("Tables there are written by pipelines (bronze, silver) and by models (gold). Make a schema of your own: CREATE SCHEMA analytics.")),
        Err(_) => Err(Error::new(Kind::Unsupported, format!("`{schema}` can't be the name of a schema of yours"))
            .with_hint("Use a letter, then lower-case letters, digits and _; not system, public, lakebox, information_schema or pg_….")),
    }
}

/// The columns of a query's result as a table keeps them; all optional.
pub(crate) fn optional(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| Field::new(f.name(), stored_type(f.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::parse;
    use datafusion::sql::parser::Statement;

    fn read(sql: &str) -> Result<Option<Ddl>, Error> {
        match parse(sql)? {
            Statement::Statement(sql) => ddl_of(&sql),
            _ => Ok(None),
        }
    }

    #[test]
    fn the_format_version_is_read_or_told_what_is_wrong_with_it() {
        let new = |sql: &str| match read(sql)? {
            Some(Ddl::CreateTable { format_version, .. } | Ddl::CreateTableAs { format_version, .. }) => {
                Ok::<u8, Error>(format_version)
            }
            _ => panic!("{sql}"),
        };
        for (sql, version) in [
            ("create table a.b (id int)", 2),
            ("create table a.b (id int) with (format_version = 3)", 3),
            ("create table a.b (id int) with (\"format-version\" = '3') partitioned by (id)", 3),
            ("create table a.b with (FORMAT_VERSION = 2) as select 1 as x", 2),
        ] {
            assert_eq!(new(sql).unwrap(), version, "{sql}");
        }
        for (sql, said) in [
            ("create table a.b (id int) with (format_version = 4)", "`format_version = 4`: the format version is 2 or 3"),
            ("create table a.b (id int) with (fillfactor = 70)", "`fillfactor = 70` is no option of a table here"),
            ("alter table a.b set (format_version = 'x')", "`format_version = 'x'`: the format version is 2 or 3"),
        ] {
            let error = read(sql).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (Kind::Invalid, said));
        }
        let Some(Ddl::Alter { steps, .. }) = read("alter table a.b set (format_version = 3)").unwrap() else {
            panic!("no alter")
        };
        assert!(matches!(steps[..], [ColumnStep::Version(3)]));
    }

    #[test]
    fn partitions_are_read_or_told_what_is_wrong_with_them() {
        let by = |list: &str| {
            let made = read(&format!("create table a.b (id int) partitioned by ({list})"))?;
            let Some(Ddl::CreateTable { partition_by, .. }) = made else { panic!("{list}") };
            Ok::<_, Error>(partition_by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        for (list, expected) in [
            ("Day(At), bucket(16, id), truncate(4, code), city", "day(at); bucket(16, id); truncate(4, code); city"),
            ("bucket(id, 16), hours(at)", "bucket(16, id); hour(at)"),
            ("\"City\", identity(b)", "City; b"),
        ] {
            assert_eq!(by(list).unwrap(), expected);
        }
        for (list, said) in [
            ("week(at)", "PARTITIONED BY: `week(at)` is no partition transform"),
            ("bucket(id)", "PARTITIONED BY: `bucket(id)` needs a number above 0 before the column"),
            ("day(3, at)", "PARTITIONED BY: `day(3, at)` takes no number"),
            ("id + 1", "PARTITIONED BY: `id + 1` is no partition transform"),
        ] {
            let error = by(list).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (Kind::Invalid, said));
            assert!(error.hint.unwrap().starts_with("Write a column, or year, month"), "{list}");
        }
    }

    #[test]
    fn statements_that_make_something_are_told_from_those_that_read() {
        for (sql, tag) in [
            ("create schema if not exists analytics", "CREATE SCHEMA"),
            ("create or replace view a.b as select 1", "CREATE VIEW"),
            ("create  table \"lakebox\".\"a\".\"b__dbt_tmp\" as (select 1 as id)", "SELECT"),
            ("create table a.b (id integer primary key, name text)", "CREATE TABLE"),
            ("drop view if exists \"lakebox\".\"a\".\"b\" cascade", "DROP VIEW"),
            ("alter table a.b rename to c", "ALTER TABLE"),
            ("insert into a.b (id) values (1)", "INSERT 0"),
            ("truncate table a.b", "TRUNCATE TABLE"),
            ("with s as (select 1 as id) insert into a.b select id from s", "INSERT 0"),
            ("update a.b set id = 2", "UPDATE"),
            ("alter table a.b add column c int, drop column d", "ALTER TABLE"),
            ("comment on column a.b.c is 'x'", "COMMENT"),
            ("create table a.b (id int, at timestamp) partitioned by (days(at), bucket(16, id))", "CREATE TABLE"),
            ("create table a.b partitioned by (id) as select 1 as id", "SELECT"),
            ("alter table a.b set partitioned by (year(at), truncate(4, \"Code\"))", "ALTER TABLE"),
            ("alter table a.b reset partitioned by", "ALTER TABLE"),
            ("insert into a.b values (1) on conflict do nothing", "INSERT 0"),
        ] {
            assert_eq!(read(sql).unwrap().map(|d| d.tag()), Some(tag), "{sql}");
        }
        assert!(read("select 1").unwrap().is_none());
    }

    #[test]
    fn what_can_not_be_made_is_refused_with_a_hint() {
        for sql in [
            "create temporary table a (id int)",
            "create materialized view a.b as select 1",
            "create table other.a.b as select 1",
            "insert into a.b values (1) returning id",
            "create table a.b (id int check (id > 0))",
        ] {
            assert_eq!(read(sql).unwrap_err().kind, Kind::Unsupported, "{sql}");
        }
        for schema in ["silver", "system", "pg_temp", "Upper"] {
            assert_eq!(writable(schema).unwrap_err().kind, Kind::Unsupported, "{schema}");
        }
        assert!(writable("analytics").is_ok());
    }
}
