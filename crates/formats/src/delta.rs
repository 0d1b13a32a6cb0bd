//! The log of a Delta table: which files make a version of it. By the protocol's specification; what of it is not implemented is refused by name.

use crate::{Error, paths::decoded};
use arrow::datatypes::{DataType, TimeUnit};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Features of readers that change nothing of what is read here.
const HARMLESS: [&str; 5] = ["timestampNtz", "vacuumProtocolCheck", "v2Checkpoint", "deletionVectors", "columnMapping"];

/// A version of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Names of all columns, with their types; none for nested ones, whose types are those of the files.
    pub columns: Vec<(String, Option<DataType>)>,
    /// Names of the columns that are in directories' names and not in the files.
    pub partitions: Vec<String>,
    /// Live files.
    pub files: Vec<File>,
}

/// A live file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path below the table's.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Values of the partition columns, NULL as none.
    pub partition: BTreeMap<String, Option<String>>,
    /// Rows, where the log says.
    pub rows: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Action {
    add: Option<Add>,
    remove: Option<Remove>,
    #[serde(rename = "metaData")]
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
    sidecar: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    path: String,
    #[serde(default)]
    partition_values: BTreeMap<String, Option<String>>,
    size: u64,
    stats: Option<String>,
    deletion_vector: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remove {
    path: String,
    deletion_vector: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    schema_string: String,
    #[serde(default)]
    partition_columns: Vec<String>,
    #[serde(default)]
    configuration: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protocol {
    min_reader_version: i32,
    #[serde(default)]
    reader_features: Option<Vec<String>>,
}

/// A log as it is read, oldest first.
#[derive(Debug, Default)]
pub struct Log {
    files: HashMap<String, Add>,
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
}

impl Log {
    /// Takes in one commit, or the rows of a checkpoint: a JSON object on each line.
    ///
    /// # Errors
    /// Where a line is no action, or one that can't be followed.
    pub fn apply(&mut self, lines: &str) -> Result<(), Error> {
        for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let action: Action = serde_json::from_str(line)
                .map_err(|e| Error::new(format!("this is no action of a Delta log: {e}")).line(number as u64 + 1))?;
            if action.sidecar.is_some() {
                return Err(refused("checkpoints with sidecar files"));
            }
            // By the specification a commit never adds and removes one file, vectors of deleted rows aside.
            if let Some(remove) = action.remove {
                let same = |known: &Add| known.deletion_vector == remove.deletion_vector;
                if self.files.get(&remove.path).is_some_and(same) {
                    self.files.remove(&remove.path);
                }
            }
            if let Some(add) = action.add {
                self.files.insert(add.path.clone(), add);
            }
            self.metadata = action.metadata.or(self.metadata.take());
            self.protocol = action.protocol.or(self.protocol.take());
        }
        Ok(())
    }

    /// The version that the log leads to.
    ///
    /// # Errors
    /// What the table has that is not read here, and would give wrong rows.
    pub fn snapshot(self) -> Result<Snapshot, Error> {
        let (Some(metadata), Some(protocol)) = (self.metadata, self.protocol) else {
            return Err(Error::new("the log does not say what the table is").hint("Its first commits may be missing."));
        };
        if protocol.min_reader_version > 3 {
            return Err(refused(&format!("reader version {}", protocol.min_reader_version)));
        }
        let features = protocol.reader_features.unwrap_or_default();
        if let Some(feature) = features.iter().find(|f| !HARMLESS.contains(&f.as_str())) {
            return Err(refused(&format!("the feature `{feature}`")));
        }
        let mapping = metadata.configuration.get("delta.columnMapping.mode").cloned().flatten();
        if let Some(mode) = mapping.filter(|mode| mode != "none") {
            return Err(refused(&format!("column mapping by {mode}")).hint("Write the table anew without column mapping."));
        }
        let mut files = Vec::with_capacity(self.files.len());
        for add in self.files.into_values() {
            if add.deletion_vector.is_some_and(|v| !v.is_null()) {
                return Err(refused("deletion vectors").hint("Fold them: REORG TABLE … APPLY (PURGE), or OPTIMIZE."));
            }
            let path = decoded(&add.path);
            if path.contains("://") || path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(
                    refused(&format!("files elsewhere ({path})")).hint("A shallow clone names the files of another table.")
                );
            }
            let rows = |stats: &String| serde_json::from_str::<Value>(stats).ok()?["numRecords"].as_u64();
            let rows = add.stats.as_ref().and_then(rows);
            files.push(File { path, size: add.size, partition: add.partition_values, rows });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Snapshot { columns: columns(&metadata.schema_string)?, partitions: metadata.partition_columns, files })
    }
}

fn refused(what: &str) -> Error {
    Error::new(format!("the Delta table has {what}, which lakebox does not read"))
}

/// The columns that a schema string says.
fn columns(schema: &str) -> Result<Vec<(String, Option<DataType>)>, Error> {
    let broken = || Error::new("the Delta table's schema can't be read");
    let schema: Value = serde_json::from_str(schema).map_err(|_| broken())?;
    let fields = schema["fields"].as_array().ok_or_else(broken)?;
    let column = |field: &Value| {
        let name = field["name"].as_str().ok_or_else(broken)?.to_owned();
        let data_type = match field["type"].as_str() {
            Some(word) => Some(primitive(word).ok_or_else(|| refused(&format!("the type `{word}`")).column(name.clone()))?),
            None => None,
        };
        Ok((name, data_type))
    };
    fields.iter().map(column).collect()
}

fn primitive(word: &str) -> Option<DataType> {
    Some(match word {
        "string" => DataType::Utf8,
        "long" => DataType::Int64,
        "integer" => DataType::Int32,
        "short" => DataType::Int16,
        "byte" => DataType::Int8,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        decimal => {
            let (precision, scale) = decimal.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse::<i8>().ok()?);
            (1..=38).contains(&precision).then_some(DataType::Decimal128(precision, scale))?
        }
    })
}

/// What a file of the log is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// The changes that make a version.
    Commit(u64),
    /// All of a version; one of several parts.
    Checkpoint {
        /// The version.
        version: u64,
        /// Which part, from one.
        part: u32,
        /// How many parts there are.
        parts: u32,
    },
}

impl Entry {
    /// Reads the name of a file in `_delta_log`; none for what else lies there.
    pub fn of(name: &str) -> Option<Self> {
        let (version, rest) = name.split_at_checked(20)?;
        let version = version.bytes().all(|b| b.is_ascii_digit()).then(|| version.parse().ok())??;
        match rest {
            ".json" => Some(Self::Commit(version)),
            ".checkpoint.parquet" => Some(Self::Checkpoint { version, part: 1, parts: 1 }),
            rest => {
                let numbers = rest.strip_prefix(".checkpoint.")?.strip_suffix(".parquet")?;
                let (part, parts) = numbers.split_once('.')?;
                Some(Self::Checkpoint { version, part: part.parse().ok()?, parts: parts.parse().ok()? })
            }
        }
    }
}

/// Which files lead to the newest version: the parts of its last whole checkpoint, then the commits behind it, in this order.
///
/// # Errors
/// Where commits are missing.
pub fn plan(entries: &[Entry]) -> Result<Vec<Entry>, Error> {
    let mut parts_of: BTreeMap<(u64, u32), Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        if let Entry::Checkpoint { version, parts, .. } = entry {
            parts_of.entry((*version, *parts)).or_default().push(*entry);
        }
    }
    let whole = parts_of.into_iter().rfind(|((_, parts), found)| found.len() == usize::try_from(*parts).unwrap_or(usize::MAX));
    let (from, mut plan) = match whole {
        Some(((version, _), mut found)) => {
            found.sort_unstable();
            (version + 1, found)
        }
        None => (0, Vec::new()),
    };
    let mut commits: Vec<u64> = entries.iter().filter_map(|e| if let Entry::Commit(v) = e { Some(*v) } else { None }).collect();
    commits.sort_unstable();
    for (expected, version) in (from..).zip(commits.into_iter().filter(|v| *v >= from)) {
        if expected != version {
            return Err(Error::new(format!("commit {expected} of the Delta table is missing")));
        }
        plan.push(Entry::Commit(version));
    }
    if plan.is_empty() { Err(Error::new("the Delta table has no commits")) } else { Ok(plan) }
}

impl Entry {
    /// The name of the file.
    pub fn name(&self) -> String {
        match self {
            Self::Commit(version) => format!("{version:020}.json"),
            Self::Checkpoint { version, parts: 1, .. } => format!("{version:020}.checkpoint.parquet"),
            Self::Checkpoint { version, part, parts } => format!("{version:020}.checkpoint.{part:010}.{parts:010}.parquet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}},{\"name\":\"d\",\"type\":\"decimal(12,2)\",\"nullable\":true,\"metadata\":{}},{\"name\":\"l\",\"type\":{\"type\":\"array\",\"elementType\":\"long\",\"containsNull\":true},\"nullable\":true,\"metadata\":{}}]}","partitionColumns":["id"],"configuration":{},"createdTime":1}}
{"add":{"path":"id=1/a%20b.parquet","partitionValues":{"id":"1"},"size":10,"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":3}"}}
{"add":{"path":"id=2/b.parquet","partitionValues":{"id":null},"size":20,"modificationTime":1,"dataChange":true}}"#;

    fn log(more: &str) -> Result<Snapshot, Error> {
        let mut log = Log::default();
        log.apply(FIRST)?;
        log.apply(more)?;
        log.snapshot()
    }

    #[test]
    fn the_log_leads_to_live_files() {
        let snapshot = log(r#"{"remove":{"path":"id=2/b.parquet","deletionTimestamp":1,"dataChange":true}}"#).unwrap();
        assert_eq!(snapshot.files.len(), 1);
        assert_eq!((snapshot.files[0].path.as_str(), snapshot.files[0].rows), ("id=1/a b.parquet", Some(3)));
        let types: Vec<_> = snapshot.columns.into_iter().map(|(_, t)| t).collect();
        assert_eq!(types, [Some(DataType::Int64), Some(DataType::Decimal128(12, 2)), None]);
    }

    #[test]
    fn what_would_give_wrong_rows_is_refused_by_name() {
        for (more, message) in [
            (
                r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["typeWidening"]}}"#,
                "the feature `typeWidening`",
            ),
            (r#"{"protocol":{"minReaderVersion":4,"minWriterVersion":7}}"#, "reader version 4"),
            (r#"{"add":{"path":"c","partitionValues":{},"size":1,"deletionVector":{"storageType":"u"}}}"#, "deletion vectors"),
            (
                r#"{"metaData":{"schemaString":"{\"fields\":[]}","configuration":{"delta.columnMapping.mode":"name"}}}"#,
                "column mapping by name",
            ),
            (r#"{"add":{"path":"s3://x/c","partitionValues":{},"size":1}}"#, "files elsewhere (s3://x/c)"),
            (r#"{"sidecar":{"path":"x"}}"#, "checkpoints with sidecar files"),
        ] {
            let error = log(more).unwrap_err();
            assert_eq!(error.message, format!("the Delta table has {message}, which lakebox does not read"));
        }
    }

    #[test]
    fn a_checkpoint_stands_for_the_commits_before_it_once_it_is_whole() {
        let of = |names: &[&str]| plan(&names.iter().filter_map(|n| Entry::of(n)).collect::<Vec<_>>());
        let commit = |v: u64| Entry::Commit(v).name();
        let names = |plan: Vec<Entry>| plan.iter().map(Entry::name).collect::<Vec<_>>();
        let part = |n| Entry::Checkpoint { version: 1, part: n, parts: 2 }.name();
        let all = [commit(0), commit(1), commit(2), part(1), part(2), "_last_checkpoint".to_owned()];
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(names(of(&all).unwrap()), [part(1), part(2), commit(2)]);
        assert_eq!(names(of(&all[..4]).unwrap()), [commit(0), commit(1), commit(2)]);
        assert_eq!(of(&[&commit(0), &commit(2)]).unwrap_err().message, "commit 1 of the Delta table is missing");
        assert!(of(&[]).is_err());
    }
}
