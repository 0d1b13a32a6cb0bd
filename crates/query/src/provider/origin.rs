use datafusion::{
    datasource::{
        physical_plan::{FileScanConfig, ParquetSource},
        source::DataSourceExec,
    },
    physical_expr::utils::collect_columns,
    physical_plan::ExecutionPlan,
};
use lake::ColumnStats;
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
    if let Some(size) = crate::files::scan_size(plan) {
        return Some(size);
    }
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
