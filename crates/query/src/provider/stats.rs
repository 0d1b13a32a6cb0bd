use super::fields::field_id;
use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, UInt64Array},
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{
    common::{ColumnStatistics, Statistics, stats::Precision},
    physical_optimizer::pruning::PruningStatistics,
    prelude::Column,
    scalar::ScalarValue,
};
use lake::{ColumnStats, TableView, ViewFile};
use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    sync::Arc,
};

/// Rows of a file that queries see.
pub(super) fn live_rows(file: &ViewFile) -> u64 {
    file.rows.saturating_sub(file.deleted.as_ref().map_or(0, |d| d.len()))
}

/// Whether bounds of this type can be trusted: those of floats leave out NaN, which SQL sorts above every number.
fn bounded(data_type: &DataType) -> bool {
    !data_type.is_floating() && !data_type.is_nested()
}

/// A bound as the table's type; bounds are kept in the type the column had when the file was written.
pub(super) fn bound(array: Option<&ArrayRef>, data_type: &DataType) -> Option<ScalarValue> {
    let value = ScalarValue::try_from_array(array?, 0).ok()?;
    let value = if value.data_type() == *data_type { value } else { value.cast_to(data_type).ok()? };
    (!value.is_null()).then_some(value)
}

fn column_stats<'a>(file: &'a ViewFile, schema: &Schema, column: usize) -> Option<&'a ColumnStats> {
    file.stats.get(&field_id(schema.field(column))?)
}

/// A count as DataFusion holds it.
fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The statistics of one file, for pruning while a query runs (dynamic filters) and for ordering files.
///
/// Bounds stay exact when rows are deleted: they may be wider than need be, never narrower, and a file is only ever left out by them. Counts
/// do not: "as many NULLs as rows" must not compare NULLs of deleted rows with the rows that are left.
pub(super) fn file_statistics(file: &ViewFile, schema: &Schema) -> Statistics {
    let whole = file.deleted.as_ref().is_none_or(|d| d.is_empty());
    let counted = |n: u64| if whole { Precision::Exact(count(n)) } else { Precision::Inexact(count(n)) };
    let column_statistics = (0..schema.fields().len())
        .map(|i| {
            let mut out = ColumnStatistics::new_unknown();
            let data_type = schema.field(i).data_type();
            let Some(stats) = column_stats(file, schema, i) else { return out };
            if bounded(data_type) {
                let precise = |v| if stats.exact { Precision::Exact(v) } else { Precision::Inexact(v) };
                out.min_value = bound(stats.min.as_ref(), data_type).map_or(Precision::Absent, precise);
                out.max_value = bound(stats.max.as_ref(), data_type).map_or(Precision::Absent, precise);
            }
            out.null_count = stats.nulls.map_or(Precision::Absent, counted);
            out
        })
        .collect();
    Statistics { num_rows: counted(live_rows(file)), total_byte_size: Precision::Inexact(count(file.bytes)), column_statistics }
}

/// The statistics of `files` together. The row count is exact, so that `count(*)` reads nothing; smallest and largest values are exact only
/// where no row is deleted, because the deleted row may be the one that held them.
pub(super) fn scan_statistics(files: &[ViewFile], view: &TableView, schema: &Schema) -> Statistics {
    let whole = files.iter().all(|f| f.deleted.as_ref().is_none_or(|d| d.is_empty()));
    let rows: u64 = files.iter().map(live_rows).sum();
    let column_statistics = (0..schema.fields().len()).map(|i| merged_column(files, view, schema, i, whole, rows)).collect();
    Statistics {
        num_rows: Precision::Exact(count(rows)),
        total_byte_size: Precision::Inexact(count(files.iter().map(|f| f.bytes).sum())),
        column_statistics,
    }
}

fn merged_column(files: &[ViewFile], view: &TableView, schema: &Schema, i: usize, whole: bool, rows: u64) -> ColumnStatistics {
    let mut out = ColumnStatistics::new_unknown();
    let field = schema.field(i);
    let stats: Option<Vec<&ColumnStats>> = files.iter().map(|f| column_stats(f, schema, i)).collect();
    let Some(stats) = stats.filter(|s| !s.is_empty()) else { return out };
    if let Some(nulls) = stats.iter().map(|s| s.nulls).sum::<Option<u64>>() {
        out.null_count = if whole { Precision::Exact(count(nulls)) } else { Precision::Inexact(count(nulls)) };
    }
    if bounded(field.data_type()) {
        let exact = whole && stats.iter().all(|s| s.exact);
        let precise = |v| if exact { Precision::Exact(v) } else { Precision::Inexact(v) };
        // A file whose column holds only NULLs has no bounds and moves none.
        let valued: Vec<&&ColumnStats> =
            stats.iter().zip(files).filter(|(s, f)| s.nulls != Some(f.rows)).map(|(s, _)| s).collect();
        let all = |pick: fn(&ColumnStats) -> Option<&ArrayRef>| -> Option<Vec<ScalarValue>> {
            valued.iter().map(|s| bound(pick(s), field.data_type())).collect()
        };
        let least = |a: ScalarValue, b: ScalarValue| if b < a { b } else { a };
        let most = |a: ScalarValue, b: ScalarValue| if b > a { b } else { a };
        let min = all(|s| s.min.as_ref()).and_then(|v| v.into_iter().reduce(least));
        let max = all(|s| s.max.as_ref()).and_then(|v| v.into_iter().reduce(most));
        out.min_value = min.map_or(Precision::Absent, precise);
        out.max_value = max.map_or(Precision::Absent, precise);
    }
    if view.key.len() == 1 && view.key[0] == *field.name() {
        out.distinct_count = Precision::Inexact(count(rows));
    }
    out
}

/// What is known of each file, for leaving files out when a query is planned.
pub(super) struct FileStatistics<'a> {
    pub files: &'a [ViewFile],
    pub schema: &'a SchemaRef,
}

impl FileStatistics<'_> {
    fn bounds(&self, column: &Column, pick: fn(&ColumnStats) -> Option<&ArrayRef>) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        let data_type = self.schema.field(index).data_type();
        if !bounded(data_type) {
            return None;
        }
        let null = ScalarValue::try_from(data_type).ok()?;
        let values = self.files.iter().map(|file| {
            column_stats(file, self.schema, index).and_then(|s| bound(pick(s), data_type)).unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |s| s.min.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |s| s.max.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        let nulls: UInt64Array = self.files.iter().map(|f| column_stats(f, self.schema, index).and_then(|s| s.nulls)).collect();
        Some(Arc::new(nulls))
    }

    // All rows, deleted ones included, because the NULL counts include them too.
    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|f| Some(f.rows)).collect::<UInt64Array>()))
    }

    /// Partitions by bucket say of single values which files can't have them.
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        let index = self.schema.index_of(&column.name).ok()?;
        let bucket = |file: &ViewFile| column_stats(file, self.schema, index).and_then(|s| s.bucket);
        if values.is_empty() || values.iter().any(ScalarValue::is_null) || !self.files.iter().any(|f| bucket(f).is_some()) {
            return None;
        }
        let values = ScalarValue::iter_to_array(values.iter().cloned()).ok()?;
        let mut wanted: BTreeMap<u32, Int32Array> = BTreeMap::new();
        let has_none = |file: &ViewFile| {
            let (buckets, bucket) = bucket(file)?;
            if let Entry::Vacant(entry) = wanted.entry(buckets) {
                entry.insert(lake::buckets_of(&values, buckets)?);
            }
            let found = wanted.get(&buckets)?.iter().flatten().any(|b| Some(b) == bucket);
            (!found).then_some(false)
        };
        Some(self.files.iter().map(has_none).collect())
    }
}
