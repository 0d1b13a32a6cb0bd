//! Columns that SQL adds, takes away, renames and widens.

use super::{
    execute::{Executor, lake_error, missing},
    statement::{ColumnStep, ObjectPath},
};
use crate::{Error, Kind, engine::parse};
use arrow::datatypes::Field;
use datafusion::sql::{parser::Statement, sqlparser::ast::Statement as Sql};
use futures::{FutureExt, StreamExt};
use lake::ColumnChange;
use model::LakeTable;

impl Executor<'_> {
    /// Changes the columns of a table. Says whether there was anything to do.
    pub(super) async fn alter(&mut self, name: &ObjectPath, if_exists: bool, steps: &[ColumnStep]) -> Result<bool, Error> {
        if if_exists && matches!(self.table(name), Err(e) if e.kind == Kind::UnknownTable) {
            return Ok(false);
        }
        let (table, _) = self.table(name)?;
        // From here on nobody can change it unseen, so that what is found out about its rows stays true.
        self.transaction.touch(self.lake, &table).boxed().await.map_err(lake_error)?;
        let (_, schema) = self.table(name)?;
        let mut names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let mut changes = Vec::with_capacity(steps.len());
        for step in steps {
            let known = |name: &String| names.contains(name);
            let checked = |name: &String| {
                let gone = || Error::new(Kind::UnknownColumn, format!("column \"{name}\" of {table} does not exist"));
                if known(name) { Ok(()) } else { Err(gone()) }
            };
            match step {
                ColumnStep::Add { column, if_not_exists } => {
                    if *if_not_exists && known(&column.name) {
                        continue;
                    }
                    let data_type = self.engine.sql_type(&column.data_type).boxed().await?;
                    names.push(column.name.clone());
                    changes.push(ColumnChange::Add(Field::new(&column.name, data_type, !column.required)));
                }
                ColumnStep::Drop { name, if_exists } => {
                    if *if_exists && !known(name) {
                        continue;
                    }
                    checked(name)?;
                    names.retain(|n| n != name);
                    changes.push(ColumnChange::Drop(name.clone()));
                }
                ColumnStep::Rename { from, to } => {
                    checked(from)?;
                    names.retain(|n| n != from);
                    names.push(to.clone());
                    changes.push(ColumnChange::Rename(from.clone(), to.clone()));
                }
                ColumnStep::Retype { name, data_type } => {
                    checked(name)?;
                    changes.push(ColumnChange::Retype(name.clone(), self.engine.sql_type(data_type).boxed().await?));
                }
                ColumnStep::Partition(by) => {
                    by.iter().try_for_each(|field| checked(&field.column))?;
                    changes.push(ColumnChange::Partition(by.clone()));
                }
                ColumnStep::Version(version) => changes.push(ColumnChange::Version(*version)),
                ColumnStep::Require { name, required } => {
                    checked(name)?;
                    if *required {
                        self.check_filled(&table, name).boxed().await?;
                    }
                    changes.push(ColumnChange::Require(name.clone(), *required));
                }
            }
        }
        if changes.is_empty() {
            return Ok(false);
        }
        self.transaction.alter(self.lake, &table, &changes).boxed().await.map_err(lake_error)?;
        Ok(true)
    }

    /// Describes a table or a column.
    pub(super) async fn comment(
        &mut self,
        name: &ObjectPath,
        column: Option<String>,
        comment: Option<String>,
    ) -> Result<(), Error> {
        let (table, schema) = self.table(name)?;
        match column {
            None => self.transaction.describe(self.lake, &table, comment).boxed().await.map_err(lake_error),
            Some(column) => {
                if schema.column_with_name(&column).is_none() {
                    let path = ObjectPath { schema: name.schema.clone(), name: format!("{}.{column}", name.name) };
                    return Err(Error { kind: Kind::UnknownColumn, ..missing("column", &path) });
                }
                let change = ColumnChange::Describe(column, comment);
                self.transaction.alter(self.lake, &table, &[change]).boxed().await.map_err(lake_error)
            }
        }
    }

    /// Checks that every row has a value in a column.
    async fn check_filled(&self, table: &LakeTable, column: &str) -> Result<(), Error> {
        let column_quoted = column.replace('"', "\"\"");
        let sql = format!("SELECT 1 FROM \"{}\".\"{}\" WHERE \"{column_quoted}\" IS NULL LIMIT 1", table.layer, table.name);
        let Statement::Statement(statement) = parse(&sql)? else { return Ok(()) };
        let Sql::Query(query) = *statement else { return Ok(()) };
        let mut running = self.start(*query).boxed().await?;
        while let Some(batch) = running.stream.next().await {
            if batch?.num_rows() > 0 {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("column {column} must not be NULL, and rows of {table} have no value in it"),
                )
                .with_hint(format!("UPDATE {table} SET {column} = … WHERE {column} IS NULL")));
            }
        }
        Ok(())
    }
}
