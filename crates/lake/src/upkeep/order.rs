//! The order that rows get when they are rewritten.

use crate::{Error, FileSettings, Kind, TableState};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::SortOptions,
    row::{RowConverter, Rows, SortField},
};
use serde::{Deserialize, Serialize};

/// The table property that declares how upkeep lays rows out, as JSON of [`Clustering`].
pub const LAYOUT: &str = "lakebox.layout";

/// How rows of a table are laid out, so that queries skip most of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Clustering {
    /// Sorted by these columns, the first counting most: for filters on the first column.
    Sort(Vec<(String, bool)>),
    /// Along a Z-order curve over these columns: for filters on any of them.
    Zorder(Vec<String>),
}

impl Clustering {
    /// What is declared for a table: its layout property, else its sort order. None: rows stay in the order they have.
    ///
    /// # Errors
    /// [`Kind::Schema`] where the property can't be read or names a column that the table does not have.
    pub(crate) fn of(state: &TableState) -> Result<Option<Self>, Error> {
        let declared = match state.property(LAYOUT) {
            Some(json) => Some(serde_json::from_str(json).map_err(|e| {
                Error::new(Kind::Schema, format!("the property {LAYOUT} of {} can't be read: {e}", state.table()))
                    .with_table(state.table())
                    .with_hint(r#"Write {"sort": [["column", false]]} or {"zorder": ["a", "b"]}."#)
            })?),
            None if !state.spec().sort_order.is_empty() => Some(Self::Sort(state.spec().sort_order.clone())),
            None => None,
        };
        let Some(declared) = declared else { return Ok(None) };
        if let Some(missing) = declared.columns().find(|c| state.schema().index_of(c).is_err()) {
            let message = format!("{} is laid out by `{missing}`, which it does not have", state.table());
            return Err(Error::new(Kind::Schema, message).with_table(state.table()));
        }
        Ok(Some(declared))
    }

    /// The columns, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let (sort, zorder) = match self {
            Self::Sort(columns) => (Some(columns.iter().map(|(c, _)| c.as_str())), None),
            Self::Zorder(columns) => (None, Some(columns.iter().map(String::as_str))),
        };
        sort.into_iter().flatten().chain(zorder.into_iter().flatten())
    }

    /// Whether files in this order follow the table's Iceberg sort order, which knows no curves.
    pub(crate) fn is_sort_order(&self, of: &[(String, bool)]) -> bool {
        matches!(self, Self::Sort(columns) if columns == of)
    }
}

/// What names of files end with that are laid out and encoded as declared, so that it is known which are: Iceberg's metadata can say neither of a curve nor
/// of bloom filters. None where nothing is declared.
pub(crate) fn mark(clustering: Option<&Clustering>, files: &FileSettings) -> Option<String> {
    let order = clustering.map(|c| serde_json::to_string(c).unwrap_or_default());
    let declared = order.into_iter().chain(files.json()).collect::<Vec<_>>();
    (!declared.is_empty()).then(|| format!("-by-{:08x}", xxhash_rust::xxh3::xxh3_64(declared.join(" ").as_bytes()) >> 32))
}

/// Compares rows by a clustering: each becomes bytes that compare as it does.
pub(crate) struct Comparer {
    clustering: Clustering,
    columns: Vec<usize>,
    converter: RowConverter,
}

/// Bits of each column that a Z-order value takes.
const ZORDER_BYTES: usize = 8;

impl Comparer {
    /// For batches of this schema.
    pub(crate) fn new(clustering: &Clustering, schema: &arrow::datatypes::Schema) -> Result<Self, Error> {
        let failed = |e| Error::bug("comparing rows", e);
        let columns = clustering.columns().map(|c| schema.index_of(c)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let fields: Vec<SortField> = match clustering {
            Clustering::Sort(by) => columns
                .iter()
                .zip(by)
                .map(|(&i, (_, descending))| {
                    let options = SortOptions { descending: *descending, nulls_first: *descending };
                    SortField::new_with_options(schema.field(i).data_type().clone(), options)
                })
                .collect(),
            Clustering::Zorder(_) => vec![SortField::new(arrow::datatypes::DataType::Binary)],
        };
        let converter = RowConverter::new(fields).map_err(failed)?;
        Ok(Self { clustering: clustering.clone(), columns, converter })
    }

    /// The rows of a batch, comparable among all batches of this comparer.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<Rows, Error> {
        let failed = |e| Error::bug("comparing rows", e);
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&i| ArrayRef::clone(batch.column(i))).collect();
        let columns = match self.clustering {
            Clustering::Sort(_) => columns,
            Clustering::Zorder(_) => vec![zorder(&columns)?],
        };
        self.converter.convert_columns(&columns).map_err(failed)
    }

    /// The positions of a batch's rows in order. Equal rows keep theirs.
    pub(crate) fn sorted(&self, batch: &RecordBatch) -> Result<UInt32Array, Error> {
        let rows = self.rows(batch)?;
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)));
        Ok(order.into())
    }
}

/// For every row the bits of its values' first bytes, taken in turn from each column: values that are near in any column are near on the curve.
///
/// A column's bytes are the first of those that arrow's row format compares by, so every type that sorts has them, and the curve means the same in all
/// batches. Text is told apart by its first eight bytes only.
fn zorder(columns: &[ArrayRef]) -> Result<ArrayRef, Error> {
    let failed = |e| Error::bug("computing a Z-order", e);
    let rows = columns.first().map_or(0, |c| c.len());
    let mut parts = Vec::with_capacity(columns.len());
    for column in columns {
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())]).map_err(failed)?;
        let converted = converter.convert_columns(std::slice::from_ref(column)).map_err(failed)?;
        let part = |row: usize| {
            let row = converted.row(row);
            // The first byte says whether there is a value.
            let bytes = row.as_ref();
            let mut taken = [0u8; ZORDER_BYTES];
            for (to, from) in taken.iter_mut().zip(bytes.iter().skip(1)) {
                *to = *from;
            }
            if bytes.first() == Some(&0) { [0u8; ZORDER_BYTES] } else { taken }
        };
        parts.push((0..rows).map(part).collect::<Vec<_>>());
    }
    let mut values = arrow::array::BinaryBuilder::with_capacity(rows, rows * ZORDER_BYTES * columns.len());
    let mut value = Vec::new();
    for row in 0..rows {
        value.clear();
        value.resize(ZORDER_BYTES * columns.len(), 0u8);
        let mut at = 0;
        for bit in 0..ZORDER_BYTES * 8 {
            for part in &parts {
                let set = (part[row][bit / 8] >> (7 - bit % 8)) & 1;
                value[at / 8] |= set << (7 - at % 8);
                at += 1;
            }
        }
        values.append_value(&value);
    }
    Ok(std::sync::Arc::new(values.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::{DataType, Field, Schema},
    };
    use std::sync::Arc;

    fn batch(a: &[i64], b: &[Option<&str>]) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int64Array::from(a.to_vec())), Arc::new(StringArray::from(b.to_vec()))],
        )
        .unwrap()
    }

    fn order(clustering: &Clustering, batch: &RecordBatch) -> Vec<u32> {
        Comparer::new(clustering, &batch.schema()).unwrap().sorted(batch).unwrap().values().to_vec()
    }

    #[test]
    fn rows_are_sorted_as_iceberg_says() {
        let rows = batch(&[2, 1, 2, 3], &[Some("x"), None, Some("a"), Some("b")]);
        let by = |columns: &[(&str, bool)]| Clustering::Sort(columns.iter().map(|(c, d)| ((*c).to_owned(), *d)).collect());
        assert_eq!(order(&by(&[("a", false), ("b", false)]), &rows), [1, 2, 0, 3]);
        assert_eq!(order(&by(&[("a", true)]), &rows), [3, 0, 2, 1]);
        assert_eq!(order(&by(&[("b", false)]), &rows), [2, 3, 0, 1], "nulls last where ascending");
        assert_eq!(order(&by(&[("b", true)]), &rows), [1, 0, 3, 2], "nulls first where descending");
    }

    #[test]
    fn a_curve_keeps_squares_together() {
        let grid: Vec<(i64, i64)> = (0..16).flat_map(|x| (0..16).map(move |y| (x, y))).collect();
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Int64, true)]);
        let column = |of: fn(&(i64, i64)) -> i64| Arc::new(grid.iter().map(of).collect::<Int64Array>()) as ArrayRef;
        let rows = RecordBatch::try_new(Arc::new(schema), vec![column(|p| p.0), column(|p| p.1)]).unwrap();
        let order = order(&Clustering::Zorder(vec!["x".into(), "y".into()]), &rows);
        for part in order.chunks(16) {
            let points: Vec<_> = part.iter().map(|&i| grid[i as usize]).collect();
            let span = |of: fn(&(i64, i64)) -> i64| points.iter().map(of).max().unwrap() - points.iter().map(of).min().unwrap();
            assert_eq!((span(|p| p.0), span(|p| p.1)), (3, 3), "{points:?}");
        }
    }
}
