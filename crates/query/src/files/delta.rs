//! Delta tables: the log read through, and its files as a table.

use super::{
    broken,
    look::partition_values,
    merge,
    parquet::footer,
    routes::Routes,
    table::{FilesSpec, Reading, TableFile},
    unreachable,
};
use crate::{Error, Kind};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::{common::ScalarValue, execution::runtime_env::RuntimeEnv};
use formats::delta::{Entry, Log, Snapshot, plan};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;

/// Files of the log that are fetched together.
const TOGETHER: usize = 8;
/// Footers that are read for the types of nested columns.
const FOOTERS: usize = 16;

/// The newest version of the Delta table at `root`.
///
/// # Errors
/// Where the log can't be read, or the table has what is not read here.
pub(super) fn table<'a>(
    routes: &'a Routes,
    root: &'a Path,
    shown: &'a str,
    env: &'a Arc<RuntimeEnv>,
) -> BoxFuture<'a, Result<FilesSpec, Error>> {
    async move {
        let snapshot = snapshot(routes, root, shown).await?;
        let mut schema = Vec::with_capacity(snapshot.columns.len());
        let mut nested = None;
        for (name, data_type) in &snapshot.columns {
            let data_type = match data_type {
                Some(data_type) => data_type.clone(),
                None => {
                    if nested.is_none() {
                        nested = Some(types_of_files(routes, root, &snapshot, shown, env).await?);
                    }
                    let found =
                        nested.as_ref().and_then(|s: &Schema| s.field_with_name(name).ok()).map(|f| f.data_type().clone());
                    found.ok_or_else(|| {
                        broken(shown, formats::Error::new("no file tells the type of this nested column").column(name.clone()))
                    })?
                }
            };
            schema.push(Field::new(name, data_type, true));
        }
        let is_partition = |f: &Field| snapshot.partitions.contains(f.name());
        let partitions: Vec<FieldRef> = snapshot
            .partitions
            .iter()
            .filter_map(|name| schema.iter().find(|f| f.name() == name).cloned().map(Arc::new))
            .collect();
        let mut values: Vec<Vec<ScalarValue>> = vec![Vec::new(); snapshot.files.len()];
        for field in &partitions {
            let text =
                |i: usize| snapshot.files[i].partition.get(field.name()).and_then(|v| v.as_deref()).filter(|t| !t.is_empty());
            let texts: Vec<Option<&str>> = (0..snapshot.files.len()).map(text).collect();
            let column =
                partition_column(field.data_type(), &texts).map_err(|e| broken(shown, e.column(field.name().clone())))?;
            for (file, value) in values.iter_mut().zip(column) {
                file.push(value);
            }
        }
        let files = snapshot.files.iter().zip(values).map(|(file, partition)| {
            let location = below(root, &file.path);
            let meta =
                ObjectMeta { location, last_modified: chrono::DateTime::UNIX_EPOCH, size: file.size, e_tag: None, version: None };
            TableFile { shown: format!("{shown}/{}", file.path), meta, rows: file.rows, partition }
        });
        let files = files.collect();
        let kept: Vec<Field> = schema.iter().filter(|f| !is_partition(f)).cloned().collect();
        let reading = Reading::Parquet { finer_times: true };
        Ok(FilesSpec {
            shown: shown.to_owned(),
            files,
            schema: Arc::new(Schema::new(kept)),
            partitions,
            reading,
            each: Vec::new(),
        })
    }
    .boxed()
}

/// Values of a partition column of whatever type, from their texts.
fn partition_column(data_type: &DataType, texts: &[Option<&str>]) -> Result<Vec<ScalarValue>, formats::Error> {
    if formats::typed::is_readable(data_type) {
        return partition_values(data_type, texts);
    }
    let text = |t: &Option<&str>| {
        ScalarValue::Utf8(t.map(str::to_owned)).cast_to(data_type).map_err(|e| formats::Error::new(e.to_string()))
    };
    texts.iter().map(text).collect()
}

/// A path below another. Names in the log are plain; the store's are escaped where they must be.
fn below(root: &Path, path: &str) -> Path {
    let parts = path.split('/').filter(|part| !part.is_empty());
    let tail = Path::from_iter(parts);
    root.parts().chain(tail.parts()).collect()
}

async fn types_of_files(
    routes: &Routes,
    root: &Path,
    snapshot: &Snapshot,
    shown: &str,
    env: &Arc<RuntimeEnv>,
) -> Result<Schema, Error> {
    let mut schemas = Vec::new();
    for file in snapshot.files.iter().take(FOOTERS) {
        let shown = format!("{shown}/{}", file.path);
        let meta = routes.head(&below(root, &file.path)).await.map_err(|e| unreachable(&shown, e))?;
        schemas.push((shown.clone(), footer(routes, &meta, env, &shown).await?.0));
    }
    let merged = merge::union(schemas.iter().map(|(file, schema)| (file.as_str(), schema)));
    merged.map_err(|clash| Error::new(Kind::Invalid, format!("the files of {shown} disagree on the column `{}`", clash.column)))
}

async fn snapshot(routes: &Routes, root: &Path, shown: &str) -> Result<Snapshot, Error> {
    let folder = below(root, "_delta_log");
    let failed = |e: object_store::Error| unreachable(&format!("{shown}/_delta_log"), e);
    let listed = routes.list_with_delimiter(Some(&folder)).await.map_err(failed)?;
    let entries: Vec<Entry> = listed.objects.iter().filter_map(|o| Entry::of(o.location.filename()?)).collect();
    let entries = plan(&entries).map_err(|e| broken(shown, e))?;
    let fetch = |entry: Entry| {
        let (path, routes) = (below(&folder, &entry.name()), routes.clone());
        async move {
            let bytes = routes.get(&path).await?.bytes().await?;
            Ok::<_, object_store::Error>((entry, bytes))
        }
        .boxed()
    };
    let fetches: Vec<BoxFuture<'static, _>> = entries.into_iter().map(fetch).collect();
    let mut fetched = futures::stream::iter(fetches).buffered(TOGETHER);
    let mut log = Log::default();
    while let Some((entry, bytes)) = fetched.try_next().await.map_err(failed)? {
        let named = format!("{shown}/_delta_log/{}", entry.name());
        let of_log = |e: formats::Error| broken(&named, e);
        match entry {
            Entry::Commit(_) => {
                let text = std::str::from_utf8(&bytes).map_err(|_| of_log(formats::Error::new("the text is not UTF-8")))?;
                log.apply(text).map_err(of_log)?;
            }
            Entry::Checkpoint { .. } => {
                let lines = runtime::blocking("reading a checkpoint", move || lines(bytes)).await;
                let lines = lines.map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
                for lines in lines.map_err(|e| of_log(formats::Error::new(e)))? {
                    log.apply(&lines).map_err(of_log)?;
                }
            }
        }
    }
    log.snapshot().map_err(|e| broken(shown, e))
}

/// The rows of a checkpoint as the lines of a commit would say them.
fn lines(bytes: bytes::Bytes) -> Result<Vec<String>, String> {
    let told = |e: &dyn std::fmt::Display| e.to_string();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build()).map_err(|e| told(&e))?;
    let mut out = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| told(&e))?;
        // Columns such as parsed statistics are not asked for, and may have types that JSON can't say.
        let wanted = ["add", "remove", "metaData", "protocol", "sidecar"];
        let columns: Vec<usize> = wanted.iter().filter_map(|name| batch.schema().index_of(name).ok()).collect();
        let batch = batch.project(&columns).map_err(|e| told(&e))?;
        let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|e| told(&e))?;
        out.push(String::from_utf8(writer.into_inner()).map_err(|e| told(&e))?);
    }
    Ok(out)
}
