use arrow::datatypes::SchemaRef;
use datafusion::{
    datasource::{
        physical_plan::{FileScanConfig, ParquetSource},
        source::DataSourceExec,
    },
    physical_expr::utils::collect_columns,
    physical_plan::ExecutionPlan,
};
use lake::{ColumnStats, ViewFile};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// What a scan was chosen from; each of its files carries it.
#[derive(Debug)]
pub(super) struct Origin {
    pub table: String,
    pub files: usize,
    pub bytes: u64,
    /// Every file of the table.
    pub all: Arc<[ViewFile]>,
}

/// A file's share in an estimate.
#[derive(Debug)]
pub(super) struct FileOrigin {
    pub scan: Arc<Origin>,
    pub stats: Arc<BTreeMap<i32, ColumnStats>>,
}

/// What a scan of the lake will read at most, and what it was chosen from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScanSize {
    /// The table, as `layer.name`.
    pub table: String,
    /// Files whose bounds the filters can't rule out.
    pub files: usize,
    /// Files of the table.
    pub files_total: usize,
    /// Bytes of the columns it needs, in these files.
    pub bytes: u64,
    /// Bytes of all files of the table.
    pub bytes_total: u64,
}

/// The size of a scan of the lake; nothing where `plan` is none.
pub(crate) fn scan_size(plan: &dyn ExecutionPlan) -> Option<ScanSize> {
    let (config, source) = plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
    let ids = needed(config, source);
    let mut size = ScanSize::default();
    let mut seen = HashSet::new();
    for file in config.file_groups.iter().flat_map(|g| g.iter()) {
        let origin = file.extension::<FileOrigin>()?;
        size.table.clone_from(&origin.scan.table);
        (size.files_total, size.bytes_total) = (origin.scan.files, origin.scan.bytes);
        // A large file is read in several parts.
        if !seen.insert(&file.object_meta.location) {
            continue;
        }
        size.files += 1;
        let known: Option<u64> = ids.iter().map(|id| origin.stats.get(id).and_then(|s| s.bytes)).sum();
        size.bytes += known.unwrap_or(file.object_meta.size).min(file.object_meta.size);
    }
    (size.files > 0).then_some(size)
}

/// Files that stand for a table that has more.
pub(crate) const FILES_LOOKED_AT: usize = 2000;

/// What is known of the table that a scan reads.
pub(crate) struct ScanFacts {
    /// The table, as `layer.name`.
    pub table: String,
    /// Its files.
    pub files: Arc<[ViewFile]>,
    /// Its committed rows that queries see.
    pub rows: u64,
    /// Bytes of the columns that the scan needs, in all files of the table.
    pub full_bytes: u64,
    schema: SchemaRef,
}

impl ScanFacts {
    /// The Iceberg field id of a column of the scan's schema.
    pub(crate) fn field_id(&self, index: usize) -> Option<i32> {
        super::fields::field_id(self.schema.fields().get(index)?)
    }
}

/// What is known of the table that `plan` scans; nothing where `plan` is no scan of the lake.
pub(crate) fn scan_facts(plan: &dyn ExecutionPlan) -> Option<ScanFacts> {
    let (config, source) = plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
    let file = config.file_groups.iter().flat_map(|g| g.iter()).next()?;
    let origin = &file.extension::<FileOrigin>()?.scan;
    let ids = needed(config, source);
    let of_file = |file: &ViewFile| {
        let known: Option<u64> = ids.iter().map(|id| file.stats.get(id).and_then(|s| s.bytes)).sum();
        known.unwrap_or(file.bytes).min(file.bytes)
    };
    // A query waits for this, so of very many files some stand for all.
    let some = || origin.all.iter().take(FILES_LOOKED_AT);
    let (looked_at, needed): (u64, u64) = (some().map(|f| f.bytes).sum(), some().map(of_file).sum());
    Some(ScanFacts {
        table: origin.table.clone(),
        rows: origin.all.iter().map(super::stats::live_rows).sum(),
        full_bytes: if looked_at == 0 {
            0
        } else {
            (u128::from(origin.bytes) * u128::from(needed) / u128::from(looked_at)) as u64
        },
        files: Arc::clone(&origin.all),
        schema: Arc::clone(config.file_source().table_schema().table_schema()),
    })
}

/// Field ids of the columns that are returned or filtered by.
fn needed(config: &FileScanConfig, source: &ParquetSource) -> BTreeSet<i32> {
    use datafusion::datasource::physical_plan::FileSource;
    let schema = config.file_source().table_schema().table_schema();
    let mut indexes: BTreeSet<usize> = match source.projection() {
        Some(projection) => projection.iter().flat_map(|p| collect_columns(&p.expr)).map(|c| c.index()).collect(),
        None => (0..schema.fields().len()).collect(),
    };
    if let Some(filter) = source.filter() {
        indexes.extend(collect_columns(&filter).iter().map(|c| c.index()));
    }
    indexes.into_iter().filter_map(|i| super::fields::field_id(schema.fields().get(i)?)).collect()
}
