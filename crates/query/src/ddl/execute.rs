use super::{
    rows::{into_table, places},
    statement::{ColumnOf, Ddl, ObjectPath, optional, writable},
};
use crate::{
    Engine, Error, Kind, QueryRequest, QueryRunning,
    dml::{RowChange, Sorter, cast_parameter, select},
    engine::{Prepared, parse, with_params},
    travel,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::ScalarValue,
    sql::{
        parser::Statement,
        resolve::resolve_table_references,
        sqlparser::ast::{Query, SetExpr, Statement as Sql},
    },
};
use futures::FutureExt;
use lake::{Lake, LakeView, ObjectTransaction, ReplaceOptions, RowDelta, SQL_WRITER, SqlView};
use model::{LakeTable, Layer};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    /// The words that acknowledge it.
    pub tag: &'static str,
    /// Rows that it wrote, for those that write some.
    pub rows: Option<u64>,
    /// Whether it found nothing to do, because of IF EXISTS or IF NOT EXISTS.
    pub skipped: bool,
}

/// Carries statements out, in a transaction.
pub(crate) struct Executor<'a> {
    pub engine: &'a Engine,
    pub lake: &'a Lake,
    pub transaction: &'a mut ObjectTransaction,
    /// Schemas in which names without one are looked for.
    pub path: Arc<[Layer]>,
    /// The statement as it came, for the list of queries.
    pub sql: &'a str,
    /// How long a query of the statement may take.
    pub timeout: Option<std::time::Duration>,
    /// The id by which the statement is cancelled.
    pub id: String,
    /// Who asks.
    pub client: &'a str,
    /// Values of `$1`, `$2`, …
    pub values: Vec<ScalarValue>,
}

/// What a table is like that a statement makes.
struct NewTable<'a> {
    schema: SchemaRef,
    key: Vec<String>,
    partition_by: &'a [lake::PartitionField],
    format_version: u8,
}

/// The rows of an INSERT with each parameter cast to the type of its column, as which clients then learn it.
pub(crate) fn typed_values(table: &Schema, columns: &[String], query: &Query) -> Result<Query, Error> {
    let mut query = query.clone();
    let SetExpr::Values(values) = query.body.as_mut() else { return Ok(query) };
    for row in &mut values.rows {
        let places = places(table, columns, row.content.len())?;
        for (field, place) in table.fields().iter().zip(places) {
            let Some(expr) = place.and_then(|i| row.content.get_mut(i)) else { continue };
            *expr = cast_parameter(expr.clone(), field)?;
        }
    }
    Ok(query)
}

pub(crate) fn lake_error(error: lake::Error) -> Error {
    // An error of the rows themselves came through the lake, which only carried it.
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(own) = inner.downcast_ref::<Error>() {
            let copy = Error::new(own.kind, own.message.clone());
            return match &own.hint {
                Some(hint) => copy.with_hint(hint.clone()),
                None => copy,
            };
        }
        cause = inner.source();
    }
    let kind = match error.kind {
        lake::Kind::NotFound => Kind::UnknownTable,
        lake::Kind::Schema => Kind::Invalid,
        lake::Kind::Conflict => Kind::Conflict,
        lake::Kind::Invalid | lake::Kind::Exists => Kind::Invalid,
        lake::Kind::Owned => Kind::Unsupported,
        lake::Kind::Storage | lake::Kind::Catalog => Kind::Storage,
        _ => Kind::Internal,
    };
    let hint = error.hint.clone();
    let out = Error::new(kind, error.to_string()).with_source(error);
    match hint {
        Some(hint) => out.with_hint(hint.into_owned()),
        None => out,
    }
}

/// Makes what a transaction changed durable and visible.
pub(crate) async fn commit(lake: &Lake, transaction: ObjectTransaction) -> Result<(), Error> {
    transaction.commit(lake).boxed().await.map_err(lake_error)
}

impl Executor<'_> {
    fn view(&self) -> Arc<LakeView> {
        self.transaction.over(&self.lake.view())
    }

    /// Carries one statement out. Nobody else sees it before the transaction is committed.
    ///
    /// # Errors
    /// Why not: nothing of the statement was done then.
    pub(crate) async fn run(&mut self, ddl: Ddl) -> Result<Done, Error> {
        let tag = ddl.tag();
        let done = |rows| Done { tag, rows, skipped: false };
        let skipped = Done { tag, rows: None, skipped: true };
        match ddl {
            Ddl::CreateSchema { name, if_not_exists } => {
                let layer = writable(&name)?;
                if crate::pg_catalog::users_schemas(&self.view()).contains(&name) {
                    return if if_not_exists { Ok(skipped) } else { Err(exists("schema", &name)) };
                }
                self.transaction.add_schema(self.lake, layer);
                Ok(done(None))
            }
            Ddl::DropSchema { names, if_exists, cascade } => {
                let mut dropped = false;
                for name in names {
                    dropped |= self.drop_schema(&name, if_exists, cascade)?;
                }
                Ok(if dropped { done(None) } else { skipped })
            }
            Ddl::CreateView { name, columns, query, or_replace } => {
                self.create_view(&name, columns, *query, or_replace).boxed().await.map(|()| done(None))
            }
            Ddl::CreateTable { name, columns, key, partition_by, format_version, if_not_exists } => {
                let table = self.target(&name)?;
                if self.find(&table).is_some() {
                    return if if_not_exists { Ok(skipped) } else { Err(exists("relation", &table.to_string())) };
                }
                let schema = self.columns(columns).boxed().await?;
                if let Some(unknown) = key.iter().find(|k| schema.column_with_name(k).is_none()) {
                    return Err(Error::new(Kind::UnknownColumn, format!("the key names `{unknown}`, which is no column")));
                }
                let new = NewTable { schema, key, partition_by: &partition_by, format_version };
                self.put(table, new, Box::pin(futures::stream::empty())).boxed().await?;
                Ok(done(None))
            }
            Ddl::CreateTableAs { name, query, partition_by, format_version, or_replace, if_not_exists } => {
                let table = self.target(&name)?;
                match self.find(&table) {
                    Some(_) if if_not_exists => return Ok(skipped),
                    Some(false) if or_replace => {}
                    Some(_) => return Err(exists("relation", &table.to_string())),
                    None => {}
                }
                let running = self.start(*query).boxed().await?;
                let schema = optional(&running.schema);
                unique(&schema)?;
                let all = (0..schema.fields().len()).map(Some).collect();
                let rows = into_table(running.stream, Arc::clone(&schema), all);
                let new = NewTable { schema, key: Vec::new(), partition_by: &partition_by, format_version };
                self.put(table, new, rows).boxed().await.map(|rows| done(Some(rows)))
            }
            Ddl::Drop { views, names, if_exists, cascade } => {
                let mut dropped = false;
                for name in names {
                    dropped |= self.drop(&name, views, if_exists, cascade)?;
                }
                Ok(if dropped { done(None) } else { skipped })
            }
            Ddl::Rename { name, to, if_exists } => {
                let Some((from, is_view)) = self.existing(&name) else {
                    return if if_exists { Ok(skipped) } else { Err(missing("relation", &name)) };
                };
                let to = LakeTable::new(from.layer, checked(&to)?);
                self.rename(&from, &to, is_view).map(|()| done(None))
            }
            Ddl::SetSchema { name, schema } => {
                let (from, is_view) = self.existing(&name).ok_or_else(|| missing("relation", &name))?;
                let to = self.target(&ObjectPath { schema: Some(schema), name: from.name.clone() })?;
                self.rename(&from, &to, is_view).map(|()| done(None))
            }
            Ddl::Truncate { names } => {
                for name in names {
                    let (table, _) = self.table(&name)?;
                    let view = self.view();
                    let Some(known) = view.tables.get(&table) else { return Err(missing("table", &name)) };
                    let (schema, key) = (crate::sql_types::plain_schema(&known.schema), known.key.clone());
                    let state = self.transaction.touch(self.lake, &table).boxed().await.map_err(lake_error)?;
                    let partition_by = state.partition_by().unwrap_or_default();
                    let format_version = state.format_version();
                    let new = NewTable { schema, key, partition_by: &partition_by, format_version };
                    self.put(table, new, Box::pin(futures::stream::empty())).boxed().await?;
                }
                Ok(done(None))
            }
            Ddl::Insert { name, columns, query } => {
                let (table, schema) = self.table(&name)?;
                let query = if self.values.is_empty() { *query } else { typed_values(&schema, &columns, &query)? };
                let running = self.start(query).boxed().await?;
                let places = places(&schema, &columns, running.schema.fields().len())?;
                let rows = into_table(running.stream, schema, places);
                let rows = self.transaction.append(self.lake, &table, rows).boxed().await.map_err(lake_error)?;
                Ok(done(Some(rows)))
            }
            Ddl::Alter { name, if_exists, steps } => {
                let did = self.alter(&name, if_exists, &steps).boxed().await?;
                Ok(if did { done(None) } else { skipped })
            }
            Ddl::Comment { name, column, comment } => self.comment(&name, column, comment).boxed().await.map(|()| done(None)),
            Ddl::Rows(change) => self.change_rows(&change).boxed().await.map(|rows| done(Some(rows))),
        }
    }

    /// Deletes, updates and adds rows of a table as a statement says. Yields how many.
    async fn change_rows(&mut self, change: &RowChange) -> Result<u64, Error> {
        let (table, _) = self.table(&change.name)?;
        let state = self.transaction.touch(self.lake, &table).boxed().await.map_err(lake_error)?;
        let columns = crate::sql_types::plain_schema(state.schema());
        let selection = select(change, &table, &columns, &state.spec().key)?;
        let running = self.start(selection.query).boxed().await?;
        let files = Arc::clone(state.files());
        let sorter = Arc::new(Mutex::new(Sorter::new(columns, selection.effects, change.once, files.len())));
        let rows = Sorter::incoming(&sorter, running.stream);
        let append = self.transaction.write(self.lake, &table, rows).boxed().await.map_err(lake_error)?;
        let (deletes, changed) = sorter.lock().end(&files);
        let delta = RowDelta { deletes, append, exclusive: change.once };
        self.transaction.change_rows(self.lake, &table, delta).boxed().await.map_err(lake_error)?;
        Ok(changed)
    }

    /// A table of a user that rows can be added to, with its columns.
    pub(crate) fn table(&self, name: &ObjectPath) -> Result<(LakeTable, SchemaRef), Error> {
        match self.existing(name) {
            Some((table, false)) => {
                writable(table.layer.as_str())?;
                let view = self.view();
                let schema = view.tables.get(&table).map(|t| crate::sql_types::plain_schema(&t.schema));
                schema.map(|schema| (table, schema)).ok_or_else(|| missing("table", name))
            }
            Some((view, true)) => Err(Error::new(Kind::Invalid, format!("{view} is a view: it has no rows of its own"))),
            None => Err(missing("table", name)),
        }
    }

    /// The columns that identify a row of a table.
    pub(crate) fn key(&self, table: &LakeTable) -> Vec<String> {
        self.view().tables.get(table).map(|t| t.key.clone()).unwrap_or_default()
    }

    /// The name that something new gets.
    fn target(&self, path: &ObjectPath) -> Result<LakeTable, Error> {
        let layer = match &path.schema {
            Some(schema) => writable(schema)?,
            None => self.path.iter().find(|l| l.is_users()).copied().ok_or_else(|| {
                Error::new(Kind::Invalid, format!("there is no schema to make `{}` in", path.name))
                    .with_hint("Write schema.name, or SET search_path to a schema of your own.")
            })?,
        };
        if !crate::pg_catalog::users_schemas(&self.view()).contains(layer.as_str()) {
            return Err(Error::new(Kind::UnknownTable, format!("schema \"{layer}\" does not exist"))
                .with_hint(format!("CREATE SCHEMA {layer}")));
        }
        Ok(LakeTable::new(layer, checked(&path.name)?))
    }

    /// What there is of a name: whether it is a view.
    fn find(&self, name: &LakeTable) -> Option<bool> {
        let view = self.view();
        if view.tables.contains_key(name) { Some(false) } else { view.views.contains_key(name).then_some(true) }
    }

    /// The table or view that a name means, and whether it is a view.
    fn existing(&self, path: &ObjectPath) -> Option<(LakeTable, bool)> {
        let layers: Vec<Layer> = match &path.schema {
            Some(schema) => vec![schema.parse().ok()?],
            None => self.path.to_vec(),
        };
        layers.into_iter().find_map(|layer| {
            let name = LakeTable::new(layer, path.name.clone());
            self.find(&name).map(|is_view| (name, is_view))
        })
    }

    fn rename(&mut self, from: &LakeTable, to: &LakeTable, is_view: bool) -> Result<(), Error> {
        writable(from.layer.as_str())?;
        if self.find(to).is_some() {
            return Err(exists("relation", &to.to_string()));
        }
        let renamed = match is_view {
            true => self.transaction.rename_view(self.lake, from, to),
            false => self.transaction.rename_table(self.lake, from, to),
        };
        renamed.map_err(lake_error)
    }

    async fn put(&mut self, table: LakeTable, new: NewTable<'_>, rows: lake::SendableBatches) -> Result<u64, Error> {
        let NewTable { schema, key, partition_by, format_version } = new;
        let options =
            ReplaceOptions { schema, key, sort_order: Vec::new(), summary: BTreeMap::new(), writer: Some(SQL_WRITER.to_owned()) };
        let put = self.transaction.put_table(self.lake, table, rows, options, partition_by, format_version);
        put.boxed().await.map_err(lake_error)
    }

    /// Runs a query of the statement on what the transaction sees.
    pub(super) async fn start(&self, query: Query) -> Result<QueryRunning, Error> {
        let request =
            QueryRequest { id: Some(self.id.clone()), timeout: self.timeout, ..QueryRequest::new(self.sql, self.client) };
        let (engine, view, path, values) = (self.engine.clone(), self.view(), Arc::clone(&self.path), self.values.clone());
        let planning = Box::pin(async move {
            let prepared = plan(&engine, view, path, query).await?;
            if values.is_empty() {
                return Ok(prepared);
            }
            Ok(Prepared { plan: with_params(prepared.plan, values)?, ..prepared })
        });
        self.engine.start(request, planning).boxed().await
    }

    async fn create_view(
        &mut self,
        name: &ObjectPath,
        columns: Vec<String>,
        mut query: Query,
        or_replace: bool,
    ) -> Result<(), Error> {
        let target = self.target(name)?;
        match self.find(&target) {
            Some(true) if or_replace => {}
            Some(_) => return Err(exists("relation", &target.to_string())),
            None => {}
        }
        if !columns.is_empty() {
            let names: Vec<String> = columns.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect();
            let wrapped = format!("SELECT * FROM ({query}) AS _view ({})", names.join(", "));
            if let Statement::Statement(sql) = parse(&wrapped)?
                && let Sql::Query(wrapped) = *sql
            {
                query = *wrapped;
            }
        }
        let definition = query.to_string();
        let (engine, view, path) = (self.engine.clone(), self.view(), Arc::clone(&self.path));
        let schema = self.engine.on_threads(async move {
            let prepared = plan(&engine, view, path, query).await?;
            if !prepared.plan.get_parameter_types()?.is_empty() {
                return Err(Error::new(Kind::Invalid, "a view can't have parameters"));
            }
            Ok(prepared.labels.apply(crate::sql_types::plain_schema(prepared.plan.schema().as_arrow())))
        });
        let schema = optional(schema.await?.as_ref());
        unique(&schema)?;
        self.transaction.set_view(self.lake, SqlView::new(target, definition, schema));
        Ok(())
    }

    async fn columns(&self, columns: Vec<ColumnOf>) -> Result<SchemaRef, Error> {
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            let data_type = self.engine.sql_type(&column.data_type).await?;
            fields.push(Field::new(column.name, data_type, !column.required));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        unique(&schema)?;
        Ok(crate::sql_types::plain_schema(&schema))
    }

    fn drop_schema(&mut self, name: &str, if_exists: bool, cascade: bool) -> Result<bool, Error> {
        let layer = writable(name)?;
        let view = self.view();
        if !crate::pg_catalog::users_schemas(&view).contains(name) {
            let gone = Error::new(Kind::UnknownTable, format!("schema \"{name}\" does not exist"));
            return if if_exists { Ok(false) } else { Err(gone) };
        }
        let inside: Vec<ObjectPath> = view
            .tables
            .keys()
            .chain(view.views.keys())
            .filter(|t| t.layer == layer)
            .map(|t| ObjectPath { schema: Some(name.to_owned()), name: t.name.clone() })
            .collect();
        if !inside.is_empty() && !cascade {
            let message = format!("schema {name} still holds {} tables and views", inside.len());
            return Err(Error::new(Kind::Invalid, message).with_hint("Use DROP … CASCADE to drop them too."));
        }
        for path in inside {
            if let Some((found, is_view)) = self.existing(&path) {
                self.drop(&path, is_view, true, true)?;
                debug_assert!(found.layer == layer);
            }
        }
        self.transaction.remove_schema(self.lake, layer);
        Ok(true)
    }

    /// Drops one table or view, and with CASCADE the views that stand on it.
    fn drop(&mut self, path: &ObjectPath, views: bool, if_exists: bool, cascade: bool) -> Result<bool, Error> {
        let what = if views { "view" } else { "table" };
        let Some((name, is_view)) = self.existing(path) else {
            return if if_exists { Ok(false) } else { Err(missing(what, path)) };
        };
        if is_view != views {
            return Err(Error::new(Kind::Invalid, format!("\"{name}\" is not a {what}")).with_hint(if is_view {
                "Use DROP VIEW."
            } else {
                "Use DROP TABLE."
            }));
        }
        writable(name.layer.as_str())?;
        let dependent = dependents(&self.view(), &name);
        if !dependent.is_empty() && !cascade {
            let names: Vec<String> = dependent.iter().map(ToString::to_string).collect();
            let message = format!("{what} {name} can't be dropped: {} depends on it", names.join(", "));
            return Err(Error::new(Kind::Invalid, message).with_hint("Use DROP … CASCADE to drop what depends on it too."));
        }
        for view in dependent {
            self.transaction.remove_view(self.lake, &view);
        }
        if is_view {
            self.transaction.remove_view(self.lake, &name);
        } else {
            self.transaction.remove_table(self.lake, &name);
        }
        Ok(true)
    }
}

async fn plan(engine: &Engine, view: Arc<LakeView>, path: Arc<[Layer]>, query: Query) -> Result<Prepared, Error> {
    let statement = Statement::Statement(Box::new(Sql::Query(Box::new(query))));
    engine.plan(engine.session_on(view, path), statement).await
}

/// Views that stand on `name`, directly or on each other.
fn dependents(view: &LakeView, name: &LakeTable) -> BTreeSet<LakeTable> {
    let reads: BTreeMap<&LakeTable, BTreeSet<LakeTable>> = view.views.iter().map(|(n, v)| (n, read_by(view, v))).collect();
    let mut out = BTreeSet::new();
    let mut open = vec![name.clone()];
    while let Some(next) = open.pop() {
        for (reader, _) in reads.iter().filter(|(_, read)| read.contains(&next)) {
            if *reader != name && out.insert((*reader).clone()) {
                open.push((*reader).clone());
            }
        }
    }
    out
}

/// The tables and views that a view's statement names.
fn read_by(view: &LakeView, reader: &SqlView) -> BTreeSet<LakeTable> {
    let Ok(statement) = parse(&reader.definition) else { return BTreeSet::new() };
    let Ok((tables, _)) = resolve_table_references(&statement, true) else { return BTreeSet::new() };
    let there = |t: &LakeTable| view.tables.contains_key(t) || view.views.contains_key(t);
    // `orders$files` and `orders` as of some moment stand on `orders`.
    let one = |layer: Layer, name: &str| {
        Some(LakeTable::new(layer, name))
            .filter(there)
            .or_else(|| Some(LakeTable::new(layer, travel::named(name).base)).filter(there))
    };
    let named = |t: datafusion::common::TableReference| match t.schema() {
        Some(schema) => one(schema.parse().ok()?, t.table()),
        None => [Layer::Gold, Layer::Silver].into_iter().find_map(|layer| one(layer, t.table())),
    };
    tables.into_iter().filter_map(named).collect()
}

/// A name that a file path and every client can carry.
fn checked(name: &str) -> Result<String, Error> {
    let plain = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        return Ok(name.to_owned());
    }
    Err(Error::new(Kind::Invalid, format!("`{name}` can't be the name of a table or view"))
        .with_hint("Start with a letter or _; use lower-case letters, digits and _, at most 63 of them."))
}

fn exists(what: &str, name: &str) -> Error {
    Error::new(Kind::Invalid, format!("{what} \"{name}\" already exists"))
}

pub(super) fn missing(what: &str, path: &ObjectPath) -> Error {
    let name = path.schema.as_ref().map_or_else(|| path.name.clone(), |schema| format!("{schema}.{}", path.name));
    Error::new(Kind::UnknownTable, format!("{what} \"{name}\" does not exist"))
}

/// No two columns of a table or view may have one name.
fn unique(schema: &Schema) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match schema.fields().iter().find(|f| !seen.insert(f.name().as_str())) {
        None => Ok(()),
        Some(twice) => Err(Error::new(Kind::Invalid, format!("column \"{}\" specified more than once", twice.name()))
            .with_hint("Give one of them an alias with AS.")),
    }
}
