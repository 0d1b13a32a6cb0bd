//! Shows what a plugin may do with a table's shape and rows: drop and rename columns, keep only some rows, refuse others, add a column.

use lakebox_transform::{Answer, Batch, Column, DataType, Info, OutColumn, Plan, Plugin, Table, column_of};
use serde::Deserialize;

/// The configuration.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Reshape {
    /// Columns to leave out.
    drop: Vec<String>,
    /// Columns to rename: `[from, to]`.
    rename: Vec<(String, String)>,
    /// Rows to leave out: where this text column has this value.
    drop_where: Option<Match>,
    /// Rows to refuse: where this text column has this value.
    refuse_where: Option<Match>,
    /// A new int64 column with the characters of a text column.
    length_of: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    column: String,
    equals: String,
}

/// Where a table's columns are.
struct Shape {
    /// Of each column of the plan, the batch's column.
    sources: Vec<usize>,
    drop_where: Option<usize>,
    refuse_where: Option<usize>,
    length_of: Option<usize>,
}

impl Plugin for Reshape {
    type Shape = Shape;

    fn describe() -> Info {
        Info {
            name: "reshape".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Drops and renames columns, leaves rows out and refuses rows.".to_owned(),
            config_schema: r#"{"type":"object"}"#.to_owned(),
        }
    }

    fn configure(config: &str) -> Result<Self, String> {
        serde_json::from_str(config).map_err(|e| e.to_string())
    }

    fn schema(&mut self, table: &Table) -> Result<(Plan, Shape), String> {
        let (mut columns, mut sources) = (Vec::new(), Vec::new());
        for (index, column) in table.columns.iter().enumerate().filter(|(_, c)| !self.drop.contains(&c.name)) {
            let renamed = self.rename.iter().find(|(from, _)| *from == column.name).map(|(_, to)| to.clone());
            let name = renamed.unwrap_or_else(|| column.name.clone());
            columns.push(OutColumn { name, data_type: column.data_type.clone(), origin: Some(column.name.clone()) });
            sources.push(index);
        }
        if let Some(of) = &self.length_of {
            columns.push(OutColumn { name: format!("{of}_length"), data_type: DataType::Int64, origin: None });
        }
        let find = |name: Option<&String>| match name {
            Some(name) => table.index_of(name).map(Some).ok_or_else(|| format!("it has no column `{name}`")),
            None => Ok(None),
        };
        let shape = Shape {
            sources,
            drop_where: find(self.drop_where.as_ref().map(|m| &m.column))?,
            refuse_where: find(self.refuse_where.as_ref().map(|m| &m.column))?,
            length_of: find(self.length_of.as_ref())?,
        };
        Ok((Plan { columns, reads: None }, shape))
    }

    fn transform(&mut self, shape: &Shape, batch: &Batch<'_>, answer: &mut Answer) -> Result<(), String> {
        for (column, source) in shape.sources.iter().enumerate() {
            answer.set(column, Column::Same(*source));
        }
        if let (Some(index), Some(wanted)) = (shape.drop_where, &self.drop_where) {
            let rows = batch.text(index)?.iter().enumerate().filter(|(_, v)| *v == Some(wanted.equals.as_str()));
            rows.for_each(|(row, _)| answer.drop_row(row));
        }
        if let (Some(index), Some(unwanted)) = (shape.refuse_where, &self.refuse_where) {
            let rows = batch.text(index)?.iter().enumerate().filter(|(_, v)| *v == Some(unwanted.equals.as_str()));
            rows.for_each(|(row, value)| answer.refuse(row, format!("`{}` is {value:?}", unwanted.column)));
        }
        if let Some(index) = shape.length_of {
            let lengths = batch.text(index)?.iter().map(|v| v.map(|v| i64::try_from(v.chars().count()).unwrap_or(i64::MAX)));
            answer.set(shape.sources.len(), column_of(&DataType::Int64, lengths));
        }
        Ok(())
    }
}

lakebox_transform::export!(Reshape);
