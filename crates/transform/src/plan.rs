use crate::contract::{Shape, WirePlan, WireType, from_wire};
use crate::layout::kind;
use arrow::datatypes::DataType;
use model::{CHANGE_COLUMNS, Column, Key, TableSchema};
use std::{collections::HashSet, sync::Arc};

/// What a plugin makes of one shape of table, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The number by which batches name the shape.
    pub id: u32,
    /// The shape that comes.
    pub input: Arc<TableSchema>,
    /// The shape that goes on; the same `Arc` where nothing changes.
    pub output: Arc<TableSchema>,
    /// For each column of a batch, change columns included: whether the plugin sees it.
    pub reads: Vec<bool>,
    /// Types of the output's data columns.
    pub types: Vec<DataType>,
    /// Names of the output's data columns.
    pub names: Vec<String>,
    /// Types of a batch's columns, change columns included.
    pub inputs: Vec<DataType>,
    /// Output columns that identify a row, with the input column each comes from.
    pub key: Vec<(usize, usize)>,
    /// For each input column, the names of the output columns that come from it; `None` where that is each column alone under its own name.
    pub renamed: Option<Vec<Vec<String>>>,
    /// As the plugin said it, to hold later instances to it.
    pub said: WirePlan,
}

const COLUMNS_MAX: usize = 4000;
const NAME_BYTES_MAX: usize = 255;

impl Plan {
    /// Checks what a plugin said about `input`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn check(id: u32, input: &Arc<TableSchema>, said: WirePlan) -> Result<Self, String> {
        if said.columns.is_empty() || said.columns.len() > COLUMNS_MAX {
            return Err(format!("it would have {} columns; 1 to {COLUMNS_MAX} are possible", said.columns.len()));
        }
        let mut columns = Vec::with_capacity(said.columns.len());
        let mut origins = Vec::with_capacity(said.columns.len());
        let mut seen = HashSet::new();
        for out in &said.columns {
            check_name(&out.name)?;
            if !seen.insert(out.name.as_str()) {
                return Err(format!("it would have two columns `{}`", out.name));
            }
            let origin = match &out.origin {
                Some(name) => Some(
                    input
                        .index_of(name)
                        .ok_or_else(|| format!("`{}` would come from `{name}`, which does not exist", out.name))?,
                ),
                None => None,
            };
            columns.push(column(&out.name, &out.data_type, origin.and_then(|i| input.columns.get(i)))?);
            origins.push(origin);
        }
        let (key, key_columns) = key(input, &columns, &origins)?;
        let renamed: Vec<Vec<String>> = (0..input.columns.len())
            .map(|i| columns.iter().zip(&origins).filter(|(_, o)| **o == Some(i)).map(|(c, _)| c.name.clone()).collect())
            .collect();
        let plain = renamed.iter().zip(&input.columns).all(|(out, c)| matches!(out.as_slice(), [name] if *name == c.name));
        let output = if columns == input.columns {
            Arc::clone(input)
        } else {
            Arc::new(TableSchema { id: input.id.clone(), version: input.version, columns, key })
        };
        Ok(Self {
            id,
            reads: reads(input, said.reads.as_deref())?,
            types: output.columns.iter().map(|c| c.data_type.clone()).collect(),
            names: output.columns.iter().map(|c| c.name.clone()).collect(),
            inputs: input.batch_schema().fields().iter().map(|f| f.data_type().clone()).collect(),
            key: key_columns,
            renamed: (!plain).then_some(renamed),
            input: Arc::clone(input),
            output,
            said,
        })
    }

    /// Whether rows may go on as they came.
    pub(crate) fn keeps_shape(&self) -> bool {
        Arc::ptr_eq(&self.input, &self.output) && self.renamed.is_none()
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "a column would be called {:?}; names have 1 to {NAME_BYTES_MAX} bytes and no control characters",
            clip(name)
        ));
    }
    if CHANGE_COLUMNS.contains(&name) {
        return Err(format!("a column would be called `{name}`, which is the name of a change column"));
    }
    Ok(())
}

fn clip(name: &str) -> String {
    name.chars().take(60).collect()
}

fn column(name: &str, wire: &WireType, origin: Option<&Column>) -> Result<Column, String> {
    let data_type = match (wire, origin) {
        (WireType::Opaque(_), Some(from)) if Shape::of(&from.data_type).kind == kind::OPAQUE => from.data_type.clone(),
        (WireType::Opaque(text), _) => {
            return Err(format!("`{name}` would be of type {}, which no column it comes from has", clip(text)));
        }
        (wire, _) => from_wire(wire).unwrap_or(DataType::Null),
    };
    if let DataType::Decimal128(precision, scale) = data_type {
        let scale_fits = u8::try_from(scale).is_ok_and(|s| s <= precision);
        if !(1..=38).contains(&precision) || !scale_fits {
            return Err(format!("`{name}` would be decimal({precision},{scale}); precision is 1 to 38, scale 0 to precision"));
        }
    }
    Ok(match origin {
        Some(from) if from.data_type == data_type => Column { name: name.to_owned(), ..from.clone() },
        _ => Column { name: name.to_owned(), source_type: data_type.to_string(), data_type, nullable: true },
    })
}

type KeyColumns = Vec<(usize, usize)>;

fn key(input: &TableSchema, columns: &[Column], origins: &[Option<usize>]) -> Result<(Key, KeyColumns), String> {
    let Key::Columns(names) = &input.key else { return Ok((input.key.clone(), Vec::new())) };
    let mut out_names = Vec::with_capacity(names.len());
    let mut pairs = Vec::with_capacity(names.len());
    for name in names {
        let from = input.index_of(name);
        let out = origins.iter().position(|origin| origin.is_some() && *origin == from);
        let (Some(out), Some(from)) = (out, from) else {
            return Err(format!("it would lose `{name}`, which is part of the key"));
        };
        out_names.extend(columns.get(out).map(|c| c.name.clone()));
        pairs.push((out, from));
    }
    Ok((Key::Columns(out_names), pairs))
}

fn reads(input: &TableSchema, names: Option<&[String]>) -> Result<Vec<bool>, String> {
    let all = input.columns.len() + CHANGE_COLUMNS.len();
    let Some(names) = names else { return Ok(vec![true; all]) };
    let mut reads = vec![false; all];
    for name in names {
        let change = CHANGE_COLUMNS.iter().position(|c| c == name).map(|i| input.columns.len() + i);
        let place = input.index_of(name).or(change).and_then(|i| reads.get_mut(i));
        *place.ok_or_else(|| format!("it wants to read `{}`, which does not exist", clip(name)))? = true;
    }
    Ok(reads)
}
