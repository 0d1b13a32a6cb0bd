use crate::{
    Error, Kind,
    system::{batch, int, optional, required, schema_of, time, times},
};
use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field},
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::{catalog::TableProvider, datasource::MemTable};
use lake::{ColumnStats, TableState, field_id};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// What of a table's metadata can be asked for, as `"table$files"` and so on. Names and columns are near those of Trino and Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inspected {
    /// One row per snapshot that has not expired.
    Snapshots,
    /// Which snapshot was the current one from when on.
    History,
    /// One row per live file, delete files included.
    Files,
    /// One row per manifest.
    Manifests,
    /// One row per partition of each partition spec; tables without partitions have one.
    Partitions,
    /// Branches and tags.
    Refs,
    /// One row per change between the oldest snapshot and the newest.
    Changes,
}

impl Inspected {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Snapshots, Self::History, Self::Files, Self::Manifests, Self::Partitions, Self::Refs, Self::Changes];

    /// The word behind the `$`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::History => "history",
            Self::Files => "files",
            Self::Manifests => "manifests",
            Self::Partitions => "partitions",
            Self::Refs => "refs",
            Self::Changes => "changes",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|i| i.as_str() == text)
    }

    /// The rows of `state`, all in memory: there are as many as files or snapshots, not as many as rows.
    pub(super) fn provider(self, state: &TableState) -> Result<Arc<dyn TableProvider>, Error> {
        let rows = match self {
            Self::Snapshots => snapshots(state)?,
            Self::History => history(state)?,
            Self::Files => files(state)?,
            Self::Manifests => manifests(state)?,
            Self::Partitions => partitions(state)?,
            Self::Refs => refs(state)?,
            Self::Changes => return Err(Error::new(Kind::Internal, "the change feed is not metadata")),
        };
        Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn owned(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    longs(values.map(|n| Some(int(n))))
}

fn snapshots(state: &TableState) -> Result<RecordBatch, Error> {
    let points = state.points();
    let summary = |p: &lake::SnapshotPoint| {
        let entries = p.summary.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str())));
        Value::Object(entries.collect()).to_string()
    };
    batch(
        schema_of(vec![
            required("committed_at", time()),
            required("snapshot_id", DataType::Int64),
            optional("parent_id", DataType::Int64),
            required("sequence_number", DataType::Int64),
            required("operation", DataType::Utf8),
            optional("source", DataType::Utf8),
            optional("position", DataType::Utf8),
            required("is_current_ancestor", DataType::Boolean),
            required("manifest_list", DataType::Utf8),
            required("summary", DataType::Utf8),
        ]),
        vec![
            times(points.iter().map(|p| Some(p.at_us))),
            longs(points.iter().map(|p| Some(p.id))),
            longs(points.iter().map(|p| p.parent)),
            longs(points.iter().map(|p| Some(p.sequence))),
            texts(points.iter().map(|p| Some(p.operation.as_str()))),
            texts(points.iter().map(|p| p.summary(lake::SUMMARY_SOURCE))),
            texts(points.iter().map(|p| p.summary(lake::SUMMARY_POSITION))),
            Arc::new(points.iter().map(|p| Some(p.ancestor)).collect::<BooleanArray>()),
            texts(points.iter().map(|p| Some(p.manifest_list.as_str()))),
            owned(points.iter().map(|p| Some(summary(p)))),
        ],
    )
}

fn history(state: &TableState) -> Result<RecordBatch, Error> {
    let (log, points) = (state.history(), state.points());
    let point = |id: i64| points.iter().find(|p| p.id == id);
    batch(
        schema_of(vec![
            required("made_current_at", time()),
            required("snapshot_id", DataType::Int64),
            optional("parent_id", DataType::Int64),
            required("is_current_ancestor", DataType::Boolean),
        ]),
        vec![
            times(log.iter().map(|h| Some(h.at_us))),
            longs(log.iter().map(|h| Some(h.snapshot_id))),
            longs(log.iter().map(|h| point(h.snapshot_id)?.parent)),
            Arc::new(log.iter().map(|h| Some(point(h.snapshot_id).is_some_and(|p| p.ancestor))).collect::<BooleanArray>()),
        ],
    )
}

fn files(state: &TableState) -> Result<RecordBatch, Error> {
    let infos = state.file_infos();
    // Data files come first, in the order of the view.
    let columns = infos.iter().enumerate().map(|(i, info)| {
        let file = state.files().get(i).filter(|_| !info.is_deletes)?;
        let of = |field: &Arc<Field>| Some((field.name().clone(), described(file.stats.get(&field_id(field)?)?)));
        Some(Value::Object(state.schema().fields().iter().filter_map(of).collect()).to_string())
    });
    batch(
        schema_of(vec![
            required("content", DataType::Utf8),
            required("file_path", DataType::Utf8),
            required("file_format", DataType::Utf8),
            required("record_count", DataType::Int64),
            required("deleted_count", DataType::Int64),
            required("file_size_in_bytes", DataType::Int64),
            required("sequence_number", DataType::Int64),
            optional("columns", DataType::Utf8),
            required("spec_id", DataType::Int32),
            optional("partition", DataType::Utf8),
        ]),
        vec![
            texts(infos.iter().map(|f| Some(if f.is_deletes { "position_deletes" } else { "data" }))),
            texts(infos.iter().map(|f| Some(f.location.as_str()))),
            owned(infos.iter().map(|f| Some(f.location.rsplit_once('.').map_or("parquet", |(_, e)| e).to_lowercase()))),
            counts(infos.iter().map(|f| f.rows)),
            counts(infos.iter().map(|f| f.deleted_rows)),
            counts(infos.iter().map(|f| f.bytes)),
            longs(infos.iter().map(|f| Some(f.sequence))),
            owned(columns),
            Arc::new(infos.iter().map(|f| Some(f.spec_id)).collect::<Int32Array>()),
            texts(infos.iter().map(|f| f.partition.as_deref())),
        ],
    )
}

/// What is known of a column in a file, as JSON.
fn described(stats: &ColumnStats) -> Value {
    let bound = |array: &Option<ArrayRef>| {
        let array = array.as_ref()?;
        let shown = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()).ok()?;
        Some(shown.value(0).to_string())
    };
    json!({ "min": bound(&stats.min), "max": bound(&stats.max), "exact": stats.exact, "nulls": stats.nulls, "bytes": stats.bytes })
}

fn manifests(state: &TableState) -> Result<RecordBatch, Error> {
    let all = state.manifests();
    batch(
        schema_of(vec![
            required("content", DataType::Utf8),
            required("path", DataType::Utf8),
            required("length", DataType::Int64),
            required("added_snapshot_id", DataType::Int64),
            required("sequence_number", DataType::Int64),
            required("added_files_count", DataType::Int64),
            required("existing_files_count", DataType::Int64),
            required("deleted_files_count", DataType::Int64),
            required("added_rows_count", DataType::Int64),
        ]),
        vec![
            texts(all.iter().map(|m| Some(if m.is_deletes { "deletes" } else { "data" }))),
            texts(all.iter().map(|m| Some(m.location.as_str()))),
            longs(all.iter().map(|m| Some(m.bytes))),
            longs(all.iter().map(|m| Some(m.snapshot_id))),
            longs(all.iter().map(|m| Some(m.sequence))),
            counts(all.iter().map(|m| u64::from(m.added_files))),
            counts(all.iter().map(|m| u64::from(m.existing_files))),
            counts(all.iter().map(|m| u64::from(m.removed_files))),
            counts(all.iter().map(|m| m.added_rows)),
        ],
    )
}

fn partitions(state: &TableState) -> Result<RecordBatch, Error> {
    let infos = state.file_infos();
    let mut found: BTreeMap<(i32, Option<&str>), Totals> = BTreeMap::new();
    if infos.is_empty() && state.partitioned_by(state.spec_id()).is_empty() {
        // A table without partitions has one, even if nothing is in it.
        found.insert((state.spec_id(), None), Totals::default());
    }
    for info in &infos {
        found.entry((info.spec_id, info.partition.as_deref())).or_default().add(info);
    }
    let partitioned_by = |spec_id: i32| Some(state.partitioned_by(spec_id)).filter(|by| !by.is_empty());
    batch(
        schema_of(vec![
            optional("partition", DataType::Utf8),
            required("spec_id", DataType::Int32),
            optional("partitioned_by", DataType::Utf8),
            required("record_count", DataType::Int64),
            required("deleted_count", DataType::Int64),
            required("file_count", DataType::Int64),
            required("delete_file_count", DataType::Int64),
            required("total_size", DataType::Int64),
        ]),
        vec![
            texts(found.keys().map(|(_, partition)| *partition)),
            Arc::new(found.keys().map(|(spec_id, _)| Some(*spec_id)).collect::<Int32Array>()),
            owned(found.keys().map(|(spec_id, _)| partitioned_by(*spec_id))),
            counts(found.values().map(|t| t.rows)),
            counts(found.values().map(|t| t.deleted)),
            counts(found.values().map(|t| t.files)),
            counts(found.values().map(|t| t.delete_files)),
            counts(found.values().map(|t| t.bytes)),
        ],
    )
}

/// What the files of a partition come to.
#[derive(Debug, Default)]
struct Totals {
    rows: u64,
    deleted: u64,
    files: u64,
    delete_files: u64,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, file: &lake::FileInfo) {
        self.bytes += file.bytes;
        if file.is_deletes {
            self.delete_files += 1;
        } else {
            self.files += 1;
            self.rows += file.rows;
            self.deleted += file.deleted_rows;
        }
    }
}

fn refs(state: &TableState) -> Result<RecordBatch, Error> {
    let refs = state.refs().map_err(|e| Error::new(Kind::Internal, e.to_string()).with_source(e))?;
    batch(
        schema_of(vec![
            required("name", DataType::Utf8),
            required("type", DataType::Utf8),
            required("snapshot_id", DataType::Int64),
            optional("max_reference_age_in_ms", DataType::Int64),
            optional("min_snapshots_to_keep", DataType::Int32),
            optional("max_snapshot_age_in_ms", DataType::Int64),
        ]),
        vec![
            texts(refs.iter().map(|r| Some(r.name.as_str()))),
            texts(refs.iter().map(|r| Some(if r.is_branch { "BRANCH" } else { "TAG" }))),
            longs(refs.iter().map(|r| Some(r.snapshot_id))),
            longs(refs.iter().map(|r| r.ref_age_ms)),
            Arc::new(refs.iter().map(|r| r.snapshots_kept).collect::<Int32Array>()),
            longs(refs.iter().map(|r| r.snapshot_age_ms)),
        ],
    )
}
