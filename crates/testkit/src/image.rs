use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::{ChangeBatch, Key, Op, Position, TableSchema};
use std::{collections::BTreeMap, sync::Arc};

/// One change as text, easy to compare in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The operation.
    pub op: Op,
    /// Where it stands.
    pub position: Position,
    /// The data columns as Arrow prints them; `None` for NULL.
    pub values: Vec<Option<String>>,
    /// Indexes of columns that the source did not send.
    pub unchanged: Vec<usize>,
}

/// The rows of a batch as text.
pub fn change_rows(batch: &ChangeBatch) -> Vec<ChangeRow> {
    let options = FormatOptions::default();
    let rows = batch.rows();
    let width = batch.data_width();
    let columns: Vec<_> = rows.columns()[..width].iter().map(|c| (c, ArrayFormatter::try_new(c, &options).ok())).collect();
    let text = |row: usize| {
        columns.iter().map(move |(column, format)| match format {
            _ if column.is_null(row) => None,
            Some(format) => Some(format.value(row).to_string()),
            None => Some(format!("<{}>", column.data_type())),
        })
    };
    (0..batch.num_rows())
        .map(|row| ChangeRow {
            op: batch.op(row),
            position: batch.position(row),
            values: text(row).collect(),
            unchanged: batch.unchanged(row).iter().filter_map(|name| batch.schema().index_of(name)).collect(),
        })
        .collect()
}

/// Current rows of one table, made by applying changes in order: what silver must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Rows by key. For tables without a key, by the whole row; equal rows are counted in `copies`.
    pub rows: BTreeMap<Vec<Option<String>>, Vec<Option<String>>>,
    /// How often a row exists, where that is not once.
    pub copies: BTreeMap<Vec<Option<String>>, usize>,
}

impl Image {
    /// Applies a batch.
    pub fn apply(&mut self, batch: &ChangeBatch) {
        // A changed key arrives as `d` of the old and `u` of the new key; the new one takes unchanged values from the deleted row.
        let mut last_deleted: Option<(u64, Vec<Option<String>>)> = None;
        for change in change_rows(batch) {
            self.apply_row(batch.schema(), change, &mut last_deleted);
        }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len() + self.copies.values().map(|n| n - 1).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn apply_row(&mut self, schema: &Arc<TableSchema>, change: ChangeRow, last_deleted: &mut Option<(u64, Vec<Option<String>>)>) {
        let key_of = |values: &[Option<String>]| -> Vec<Option<String>> {
            schema.key_indexes().into_iter().map(|i| values[i].clone()).collect()
        };
        let keyed = matches!(schema.key, Key::Columns(_));
        let mut values = change.values;
        match change.op {
            Op::Truncate => self.clear(),
            Op::Delete => {
                let key = key_of(&values);
                if let Some(n) = self.copies.get_mut(&key) {
                    *n -= 1;
                    if *n == 1 {
                        self.copies.remove(&key);
                    }
                } else if let Some(old) = self.rows.remove(&key) {
                    *last_deleted = Some((change.position.pos, old));
                }
            }
            Op::Create | Op::Update | Op::Read => {
                let key = if schema.key == Key::None { values.clone() } else { key_of(&values) };
                let deleted = last_deleted.take().filter(|(pos, _)| *pos == change.position.pos).map(|(_, row)| row);
                let former = self.rows.get(&key).or(deleted.as_ref());
                for i in change.unchanged {
                    values[i] = former.and_then(|f| f[i].clone());
                }
                let existed = self.rows.insert(key.clone(), values).is_some();
                if existed && !keyed {
                    *self.copies.entry(key).or_insert(1) += 1;
                }
            }
        }
    }
}
