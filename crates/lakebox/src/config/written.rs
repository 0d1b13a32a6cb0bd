//! The configuration as it is written. The doc comments here are what editors show.

use super::{
    secret::Secret,
    sources,
    units::{Address, Size, Time},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The configuration of lakebox.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes the file; its parts are read one by one, so that one bad part hides no other")]
struct Root {
    /// Where the lake is and how it commits.
    lake: Option<Lake>,
    /// Where lakebox listens, and the limits of queries.
    server: Option<Server>,
    /// What keeps tables in shape: small files are merged, deleted rows dropped, old snapshots let go.
    upkeep: Option<Upkeep>,
    /// Systems to follow, by a name of your choice. The name becomes part of table names: `silver.<source>_<table>`.
    sources: Option<BTreeMap<String, sources::Entry>>,
    /// What looks for tables among files, by a name of your choice. The name becomes the schema of the tables: `<crawler>.<table>`.
    crawlers: Option<BTreeMap<String, Crawler>>,
    /// WebAssembly plugins that change rows on their way, by a name of your choice.
    transforms: Option<BTreeMap<String, Transform>>,
    /// The folder of the SQL models that make the gold tables. Default: `./models`, where it exists.
    models: Option<String>,
}

/// Where the lake is and how it commits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lake {
    /// The folder of all tables, relative to this file, or `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    /// Default: `./lake`.
    pub(super) warehouse: Option<String>,
    /// What lakebox remembers: `sqlite:PATH`, or `postgres://user:password@host/database` where it is to live in a database of yours.
    /// Default: `catalog.db` in the warehouse's folder, or in `./lake` where the warehouse is a bucket.
    pub(super) catalog: Option<Secret>,
    /// Options of the object store under their usual names, for example `aws_region`, `aws_access_key_id`, `aws_endpoint`.
    #[serde(default)]
    pub(super) options: BTreeMap<String, Secret>,
    /// How long an object store is waited for.
    #[serde(default)]
    pub(super) store: ObjectStore,
    /// A cache on this machine's disk for what is read of an object store. Default: none.
    pub(super) cache: Option<Cache>,
    /// Memory for rows that are not committed yet, all sources together; more go to disk or wait. Default: 128MiB.
    pub(super) memory: Option<Size>,
    /// When changes are committed, for every source that does not say it itself.
    pub(super) commit: Option<Commit>,
}

/// How long an object store is waited for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectStore {
    /// The longest that one request may take, its answer included; at most 8 MiB go in one. Default: 30s.
    pub(super) request_timeout: Option<Time>,
    /// The longest that connecting may take. Default: 5s.
    pub(super) connect_timeout: Option<Time>,
    /// How long a request that fails is tried again, ten times at most, with pauses that grow and are drawn at random. Default: 2m.
    pub(super) retry_for: Option<Time>,
}

/// A cache on this machine's disk for what is read of an object store: ranges and footers of data files, delete files and manifests.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    /// Its folder, this lakebox's alone, relative to this file. It may be emptied whenever lakebox does not run.
    #[schemars(required)]
    pub(super) dir: Option<String>,
    /// Disk that it may use; what was not asked for the longest leaves first. Default: 10GiB.
    pub(super) max_bytes: Option<Size>,
}

/// When changes are committed. Whichever comes first; always between two transactions of the source.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Commit {
    /// The longest time between a change and its commit. Queries see changes long before. Default: 5s, and 60s on object stores.
    pub(super) every: Option<Time>,
    /// Changes in a commit. Default: 500000.
    #[schemars(range(min = 1))]
    pub(super) max_rows: Option<u64>,
    /// Bytes of changes in a commit, as they are held in memory. Default: 256MiB.
    pub(super) max_bytes: Option<Size>,
}

/// Where lakebox listens, and the limits of queries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// The dashboard and the HTTP API. Default: 127.0.0.1:8480.
    pub(super) http: Option<Address>,
    /// SQL for PostgreSQL clients. Default: 127.0.0.1:5480.
    pub(super) pgwire: Option<Address>,
    /// SQL for Arrow Flight SQL clients (ADBC). Default: 127.0.0.1:8481.
    pub(super) flight: Option<Address>,
    /// Who may connect over the PostgreSQL wire and Flight SQL. Without users whoever reaches a port is let in, so the ports must be of
    /// this machine alone then.
    #[serde(default)]
    pub(super) users: Vec<User>,
    /// A certificate, to encrypt connections over the PostgreSQL wire and Flight SQL with.
    pub(super) tls: Option<Tls>,
    /// The longest a query may take. Default: 10m.
    pub(super) query_timeout: Option<Time>,
    /// Memory that one query may hold before it spills to disk. Default: 1GiB.
    pub(super) query_memory: Option<Size>,
    /// Disk that all queries together may use for what they spill. Default: 64GiB.
    pub(super) query_spill: Option<Size>,
    /// Bytes of data files that one query may read before it is ended. Default: no limit.
    pub(super) query_scan_max: Option<Size>,
    /// What reading a terabyte of data files is worth in US dollars: only for showing what a query costs. Default: 5.
    #[schemars(range(min = 0))]
    pub(super) query_price_per_tb: Option<f64>,
    /// Queries that run at once; others wait. Default: 8.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) queries_max: Option<u32>,
    /// The longest that a query waits for a place to run. Default: 2m.
    pub(super) queue_wait: Option<Time>,
    /// Queries that read at most so much, by their plan, are light: heavier ones leave a quarter of the places to them. Default: 64MiB.
    pub(super) query_light: Option<Size>,
    /// Folders and prefixes of buckets whose files SQL may read, beside what was uploaded: `/data`, `s3://bucket/prefix`. Whoever may query
    /// may read all of them. Buckets are asked with `lake.options`.
    #[serde(default)]
    pub(super) files: Vec<String>,
    /// The largest file that may be uploaded. Default: 2GiB.
    pub(super) upload_max: Option<Size>,
    /// Host names under which clients may reach the HTTP port, besides `localhost` and addresses. Others are refused.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// The Iceberg REST catalog at `/iceberg` of the HTTP port.
    #[serde(default)]
    pub(super) iceberg: Iceberg,
}

/// The Iceberg REST catalog at `/iceberg` of the HTTP port.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Iceberg {
    /// Programs that may use it. Where there are any, every request needs a token, which these credentials buy.
    #[serde(default)]
    pub(super) clients: Vec<IcebergClient>,
    /// How long a token is good for. Default: 1h.
    pub(super) token_lifetime: Option<Time>,
    /// Whether anybody may use it without a token. Default: only where `server.http` is on loopback and there are no clients.
    pub(super) open: Option<bool>,
    /// Whether clients that ask for it are given the credentials of the object store in `lake.options`. Default: false, they bring their own.
    pub(super) vend_credentials: Option<bool>,
}

/// A program that may use the Iceberg REST catalog.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IcebergClient {
    /// Its name: the client id of OAuth.
    pub(super) id: String,
    /// Its password, at least 8 characters: the client secret of OAuth. Take it from the environment: `${SPARK_SECRET}`.
    pub(super) secret: Secret,
}

/// What keeps tables in shape: small files are merged, deleted rows dropped, old snapshots let go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upkeep {
    /// Whether upkeep works by itself; asked for, it always does. Default: true.
    pub(super) enabled: Option<bool>,
    /// Size of the files that upkeep makes. Default: 128MiB.
    pub(super) file_size: Option<Size>,
    /// Percent of deleted rows at which a file is written anew without them. Default: 10.
    pub(super) deleted_percent: Option<f64>,
    /// Which former states of tables stay readable.
    pub(super) snapshots: Option<Snapshots>,
    /// How old a file that no table names must be before it is removed; other engines write files before they commit them. Default: 1d.
    pub(super) orphans_after: Option<Time>,
    /// What holds for single tables, by `layer.name`, where `*` stands for anything. Of several that fit, the last counts.
    #[serde(default)]
    #[expect(dead_code, reason = "it is read from the file's nodes, which keep their order")]
    pub(super) tables: BTreeMap<String, UpkeepTable>,
}

/// Which former states of tables stay readable.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshots {
    /// Every state younger than this. Default: 10m.
    pub(super) all: Option<Time>,
    /// One for each hour, younger than this. Default: 1d.
    pub(super) hourly: Option<Time>,
    /// One for each day, younger than this. Default: 7d.
    pub(super) daily: Option<Time>,
}

/// How upkeep treats some tables.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpkeepTable {
    /// Whether upkeep works on them by itself.
    pub(super) enabled: Option<bool>,
    /// Size of the files that upkeep makes.
    pub(super) file_size: Option<Size>,
    /// Percent of deleted rows at which a file is written anew without them.
    pub(super) deleted_percent: Option<f64>,
    /// Which former states stay readable.
    pub(super) snapshots: Option<Snapshots>,
    /// Columns by which upkeep sorts rows, for queries that filter by the first of them: `column` or `column desc`.
    pub(super) sort: Option<Vec<String>>,
    /// Columns by which upkeep keeps rows together along a Z-order curve, for queries that filter by any of them.
    pub(super) zorder: Option<Vec<String>>,
    /// Columns with a bloom filter in every row group, for queries that look for single values: text, binary, whole numbers or decimals.
    pub(super) bloom: Option<Vec<String>>,
    /// Columns that get a dictionary, whatever their first rows look like.
    pub(super) dictionary: Option<Vec<String>>,
    /// Columns that get no dictionary.
    pub(super) no_dictionary: Option<Vec<String>>,
    /// Rows of a row group at most. Default: 131072.
    pub(super) row_group_rows: Option<usize>,
    /// Rows of a page at most. Default: 20000.
    pub(super) page_rows: Option<usize>,
    /// The Iceberg format version: 3 has row lineage, and deletion vectors in the place of position delete files. A table never goes back to 2. Default: 2.
    pub(super) format_version: Option<u8>,
}

/// Somebody who may connect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// The name to connect with.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// The password. Take it from the environment: `${ANALYST_PASSWORD}`.
    #[schemars(required)]
    pub(super) password: Option<Secret>,
}

/// A certificate with its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The file of the certificate, with those that vouch for it, in PEM; relative to this file.
    #[schemars(required)]
    pub(super) cert: Option<String>,
    /// The file of its private key, in PEM; relative to this file.
    #[schemars(required)]
    pub(super) key: Option<String>,
}

/// What every source has, whatever its type.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct SourceCommon {
    /// Transforms that every row passes, in this order.
    #[serde(default)]
    pub(super) transforms: Vec<String>,
    /// When changes are committed. What is not said here is taken from `lake.commit`.
    pub(super) commit: Option<Commit>,
}

/// A PostgreSQL database, followed through logical replication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Postgres {
    /// Where the database is: `postgres://user:password@host:5432/database?sslmode=require`. The user needs LOGIN, REPLICATION and SELECT
    /// on the tables; to make publications by itself, lakebox also needs CREATE on the database and ownership of the tables.
    #[schemars(required)]
    pub(super) url: Option<Secret>,
    /// Which tables: `schema.table` with `*` and `?`, and `!` in front of what to leave out. Default: `["public.*"]`.
    pub(super) tables: Option<Vec<String>>,
    /// The replication slot, this source's alone. Default: `lakebox_<source>`.
    pub(super) slot: Option<String>,
    /// The publication. Default: `lakebox_<source>`.
    pub(super) publication: Option<String>,
    /// The first copy of the tables.
    #[serde(default)]
    pub(super) snapshot: Snapshot,
    /// Write-ahead log that the server may keep for this source before lakebox warns; 0B for never. Default: 20GiB.
    pub(super) wal_budget: Option<Size>,
    /// Memory for changes read ahead of the lake. Default: 64MiB.
    pub(super) read_ahead: Option<Size>,
}

/// The first copy of the tables.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    /// Connections that copy at once. Default: 2.
    #[schemars(range(min = 1, max = 32))]
    pub(super) connections: Option<u32>,
}

/// A bank that lakebox makes up, for trying things out: customers, loans, payments and a ledger that always sums to zero.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Simulator {
    /// The same seed gives the same bank. Default: 7.
    pub(super) seed: Option<u64>,
    /// Transactions per second on average; 0 for as fast as they are read. Default: 200.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) rate: Option<f64>,
    /// How many customers there are at any time. Default: 6000.
    #[schemars(range(min = 20, max = 10_000_000))]
    pub(super) customers: Option<u32>,
    /// The bank's date at the first transaction, as YYYY-MM-DD. Default: 2026-01-01.
    pub(super) starts_on: Option<String>,
    /// Which time changes carry as their commit time: the time they are told at, or the bank's own. Default: `now`.
    pub(super) commit_time: Option<source_simulator::CommitTime>,
    /// How often changes are told; all of one tick come together. Default: 100ms.
    pub(super) tick: Option<Time>,
    /// Falls silent after this many transactions.
    pub(super) stop_after: Option<u64>,
}

/// What looks for tables among files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Crawler {
    /// The folder or the bucket's prefix below which it looks, one of `server.files` or inside of one.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// The one format that it takes. Default: all, and Delta and Iceberg tables as well.
    pub(super) format: Option<CrawlFormat>,
    /// From the end of one crawl to the beginning of the next. Default: 10m.
    pub(super) every: Option<Time>,
}

/// A format of files.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CrawlFormat {
    /// Text between delimiters.
    Csv,
    /// JSON documents.
    Json,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro.
    Avro,
}

/// A WebAssembly plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transform {
    /// The plugin's file, relative to this file.
    #[schemars(required)]
    pub(super) wasm: Option<String>,
    /// What the plugin itself is told.
    #[serde(default)]
    #[expect(dead_code, reason = "it is read from the file's nodes, which know what is secret")]
    pub(super) config: serde_json::Map<String, Json>,
    /// What becomes of rows that the plugin can't take. Default: `dead_letter`.
    #[serde(default)]
    pub(super) on_error: transform::OnError,
    /// Memory that one instance of the plugin may use. Default: 64MiB.
    pub(super) memory_max: Option<Size>,
    /// CPU time that the plugin may take for one batch. Default: 1s.
    pub(super) batch_time_max: Option<Time>,
}

/// The JSON Schema of the configuration file.
pub(super) fn schema() -> Json {
    let mut schema = json!(SchemaGenerator::new(SchemaSettings::draft07()).into_root_schema_for::<Root>());
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "lakebox.yaml".into());
    }
    schema
}

/// The JSON Schema of the configuration file as `lakebox config-schema` prints it.
pub fn schema_json() -> String {
    format!("{:#}\n", schema())
}
