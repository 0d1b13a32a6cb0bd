//! What a schema can't say: names that must exist, files that must be there, ports and slots that must not meet.

use super::{
    checked::{Commit, Config, Iceberg, Lake, Server, Source, SourceKind, Transform},
    problem::{Place, Problem, Report, suggest},
    secret::Secret,
    sources::{self, TYPES},
    units::{Address, Size, Time},
    written,
    yaml::{Node, Value},
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use transform::TransformConfig;

/// Turns sound nodes into settings. Parts that are broken already are left out, so that nothing is said twice;
/// the settings are then not to be used, as the report has errors.
pub(super) fn check(root: &Node, folder: &Path, report: &mut Report) -> Option<Config> {
    let mut check = Check { root, folder, report };
    let (lake, commit) = check.lake();
    let server = check.server();
    let transforms = check.transforms();
    let sources = check.sources(commit);
    check.slots(&sources);
    check.unused_transforms();
    let models = check.models();
    let crawlers = check.crawlers(&server.files);
    let upkeep = super::upkeep::check(root, report);
    Some(Config { lake, server, upkeep, sources, crawlers, transforms, models })
}

pub(super) struct Check<'a> {
    pub(super) root: &'a Node,
    pub(super) folder: &'a Path,
    pub(super) report: &'a mut Report,
}

/// What is sound of a part of the file as its written form; `None` where it is absent or broken as a whole.
pub(super) fn read<T: DeserializeOwned>(node: Option<&Node>) -> Option<T> {
    node.filter(|n| !n.broken).and_then(|n| serde_json::from_value(n.json(false)).ok())
}

impl Check<'_> {
    pub(super) fn wrong(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.report.push(Problem::error(place, message).hint(hint));
    }

    /// The place of a value; where it is absent, of what should hold it.
    pub(super) fn place(&self, path: &[&str]) -> Place {
        let found = (0..=path.len()).rev().find_map(|n| self.root.find(&path[..n]));
        found.map_or(Place { line: 1, column: 1 }, |n| n.place)
    }

    pub(super) fn absolute(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let path = path.strip_prefix("./").unwrap_or(path);
        self.folder.join(path)
    }

    fn lake(&mut self) -> (Lake, Commit) {
        let written: written::Lake = read(self.root.get("lake")).unwrap_or_default();
        let warehouse = self.warehouse(written.warehouse.as_deref().unwrap_or("./lake"));
        let catalog = match written.catalog {
            Some(catalog) => self.catalog(&catalog),
            // Beside the tables where they are on this disk, else beside the configuration.
            None if warehouse.contains("://") => sqlite(&self.absolute("lake").join("catalog.db")),
            None => sqlite(&Path::new(&warehouse).join("catalog.db")),
        };
        let memory = written.memory.map_or(128 << 20, |Size(bytes)| bytes);
        if memory < 16 << 20 {
            self.wrong(self.place(&["lake", "memory"]), "lake.memory is too small to work with", "Give it at least 16MiB.");
        }
        let memory_bytes_max = usize::try_from(memory).unwrap_or(usize::MAX);
        let is_remote = warehouse.contains("://");
        let store = super::store::check(self.root, self.folder, is_remote, written.store, written.cache, self.report);
        let lake = Lake { warehouse, catalog, options: written.options, store, memory_bytes_max };
        let every = Duration::from_secs(if lake.is_remote() { 60 } else { 5 });
        let defaults = Commit { every, rows_max: 500_000, bytes_max: 256 << 20 };
        let commit = self.commit(written.commit, defaults, &["lake", "commit"]);
        (lake, commit)
    }

    fn warehouse(&mut self, written: &str) -> String {
        match written.split_once("://") {
            None if written.is_empty() => {
                self.wrong(self.place(&["lake", "warehouse"]), "lake.warehouse is empty", "Name a folder, for example ./lake.");
                String::new()
            }
            None => self.absolute(written).display().to_string(),
            Some(("file", path)) => self.absolute(path).display().to_string(),
            Some(("s3" | "s3a" | "gs" | "az" | "abfs" | "abfss", bucket)) if !bucket.trim_matches('/').is_empty() => {
                written.trim_end_matches('/').to_owned()
            }
            Some((scheme @ ("s3" | "s3a" | "gs" | "az" | "abfs" | "abfss"), _)) => {
                let hint = format!("Write {scheme}://bucket/prefix.");
                self.wrong(self.place(&["lake", "warehouse"]), "lake.warehouse names no bucket", hint);
                String::new()
            }
            Some((scheme, _)) => {
                let scheme =
                    self.root.find(&["lake", "warehouse"]).map_or_else(String::new, |n| n.quoted(&format!("{scheme}://")));
                let message = format!("lake.warehouse: lakebox has no store for {scheme}");
                let hint = "Write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.";
                self.wrong(self.place(&["lake", "warehouse"]), message, hint);
                String::new()
            }
        }
    }

    fn catalog(&mut self, written: &Secret) -> Secret {
        let url = written.expose();
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.is_empty() {
                return if path == ":memory:" { written.clone() } else { sqlite(&self.absolute(path)) };
            }
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let place = self.place(&["lake", "catalog"]);
            sources::check_postgres_url(written, &mut |message| {
                let hint = "Write postgres://user:password@host:5432/database.";
                self.report.push(Problem::error(place, format!("lake.catalog {message}")).hint(hint));
            });
            return written.clone();
        }
        let hint = "Write sqlite:PATH, for example sqlite:./lake/catalog.db, or postgres://user:password@host/database.";
        self.wrong(self.place(&["lake", "catalog"]), "lake.catalog is neither SQLite nor PostgreSQL", hint);
        written.clone()
    }

    fn commit(&mut self, written: Option<written::Commit>, defaults: Commit, path: &[&str]) -> Commit {
        let written = written.unwrap_or_default();
        let commit = Commit {
            every: written.every.map_or(defaults.every, |Time(every)| every),
            rows_max: written.max_rows.unwrap_or(defaults.rows_max),
            bytes_max: written.max_bytes.map_or(defaults.bytes_max, |Size(bytes)| bytes),
        };
        let name = path.join(".");
        // What is taken over was checked where it is written.
        if written.every.is_some() && !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&commit.every) {
            self.wrong(
                self.place(&[path, &["every"]].concat()),
                format!("{name}.every is out of bounds"),
                "It may be 100ms to 1h.",
            );
        }
        if written.max_bytes.is_some() && commit.bytes_max < 1 << 20 {
            self.wrong(
                self.place(&[path, &["max_bytes"]].concat()),
                format!("{name}.max_bytes is too small"),
                "Give it at least 1MiB.",
            );
        }
        commit
    }

    fn server(&mut self) -> Server {
        let root = self.root;
        let written: written::Server = read(root.get("server")).unwrap_or_default();
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let http = written.http.map_or(loopback(8480), |Address(a)| a);
        let server = Server {
            http,
            iceberg: self.iceberg(written.iceberg, http),
            pgwire: written.pgwire.map_or(loopback(5480), |Address(a)| a),
            flight: written.flight.map_or(loopback(8481), |Address(a)| a),
            users: self.users(&written.users),
            tls: self.tls(written.tls.as_ref()),
            query_timeout: written.query_timeout.map_or(Duration::from_secs(600), |Time(t)| t),
            query_memory_bytes_max: written.query_memory.map_or(1 << 30, |Size(b)| usize::try_from(b).unwrap_or(usize::MAX)),
            query_spill_bytes_max: written.query_spill.map_or(64 << 30, |Size(b)| b),
            query_bytes_scanned_max: written.query_scan_max.map_or(0, |Size(b)| b),
            query_price_per_tb: written.query_price_per_tb.unwrap_or(5.0),
            queries_running_max: written.queries_max.unwrap_or(8) as usize,
            queue_wait: written.queue_wait.map_or(Duration::from_secs(120), |Time(t)| t),
            query_light_bytes_max: written.query_light.map_or(64 << 20, |Size(b)| b),
            files: self.files(&written.files),
            upload_bytes_max: written.upload_max.map_or(2 << 30, |Size(b)| b),
            hosts: written.hosts,
        };
        self.ports(&server);
        self.open_doors(&server);
        if server.query_memory_bytes_max < 16 << 20 {
            self.wrong(
                self.place(&["server", "query_memory"]),
                "server.query_memory is too small to work with",
                "Give it at least 16MiB.",
            );
        }
        if !(server.query_price_per_tb.is_finite() && server.query_price_per_tb >= 0.0) {
            self.wrong(
                self.place(&["server", "query_price_per_tb"]),
                "server.query_price_per_tb is not a price",
                "Give it a number from 0 up.",
            );
        }
        for (key, time) in [("query_timeout", server.query_timeout), ("queue_wait", server.queue_wait)] {
            if time.is_zero() {
                let message = format!("server.{key} leaves queries no time");
                self.wrong(self.place(&["server", key]), message, "Give them at least 1s.");
            }
        }
        server
    }

    /// Each server has a port of its own.
    fn ports(&mut self, server: &Server) {
        let root = self.root;
        let sound = |key| root.find(&["server", key]).is_none_or(|n| !n.broken);
        let ports = [("http", server.http), ("pgwire", server.pgwire), ("flight", server.flight)];
        for (i, (a, first)) in ports.iter().enumerate() {
            for (b, second) in &ports[i + 1..] {
                if first.port() == 0 || first.port() != second.port() || !meet(*first, *second) || !sound(a) || !sound(b) {
                    continue;
                }
                let message = format!("server.{a} and server.{b} both want port {}", first.port());
                let later = self.place(&["server", a]).max(self.place(&["server", b]));
                self.wrong(later, message, "Give each its own port; the usual ones are 8480, 5480 and 8481.");
            }
        }
    }

    /// A port that other machines reach lets nobody in unasked.
    fn open_doors(&mut self, server: &Server) {
        let written = self.root.find(&["server", "users"]).is_some_and(|n| n.broken);
        for (key, address) in [("pgwire", server.pgwire), ("flight", server.flight)] {
            if address.ip().is_loopback() || !server.users.is_empty() || written {
                continue;
            }
            let message =
                format!("server.{key} listens on {}, where whoever can reach it may read and change everything", address.ip());
            let hint = "Say who may connect, under `server`: users: [{ name: analyst, password: \"${ANALYST_PASSWORD}\" }]. Or listen on 127.0.0.1.";
            self.wrong(self.place(&["server", key]), message, hint);
        }
    }

    fn users(&mut self, written: &[written::User]) -> Vec<(String, Secret)> {
        let mut users: Vec<(String, Secret)> = Vec::new();
        for (i, user) in written.iter().enumerate() {
            let (Some(name), Some(password)) = (&user.name, &user.password) else { continue };
            let list = self.root.find(&["server", "users"]);
            let node = list.and_then(|n| if let Value::List(items) = &n.value { items.get(i) } else { None });
            let place = node.map_or(self.place(&["server", "users"]), |n| n.place);
            if name.is_empty() || name.len() > 63 {
                self.wrong(place, "a user's name must have 1 to 63 bytes", "Choose a short name, for example analyst.");
            } else if users.iter().any(|(known, _)| known == name) {
                self.wrong(place, format!("there are two users `{name}`"), "Each user needs a name of its own.");
            } else if password.expose().is_empty() {
                self.wrong(
                    place,
                    format!("the user `{name}` has an empty password"),
                    "Set one, best from the environment: ${NAME}.",
                );
            }
            users.push((name.clone(), password.clone()));
        }
        users
    }

    fn tls(&mut self, written: Option<&written::Tls>) -> Option<(PathBuf, PathBuf)> {
        let written = written?;
        let (cert, key) = (self.absolute(written.cert.as_deref()?), self.absolute(written.key.as_deref()?));
        if let Err(error) = crate::tls::load(&cert, &key) {
            let hint =
                "Name PEM files that this user may read: the certificate with its chain, and the private key that belongs to it.";
            self.wrong(self.place(&["server", "tls"]), format!("server.tls can't be used: {error:#}"), hint);
        }
        Some((cert, key))
    }

    fn iceberg(&mut self, written: written::Iceberg, http: SocketAddr) -> Iceberg {
        let place = |keys: &[&str]| self.place(&[&["server", "iceberg"], keys].concat());
        let (clients, lifetime, open) = (place(&["clients"]), place(&["token_lifetime"]), place(&["open"]));
        let mut known = BTreeSet::new();
        for client in &written.clients {
            if client.id.is_empty() || client.id.contains(':') || !known.insert(client.id.as_str()) {
                let message = format!("server.iceberg.clients: the id `{}` is empty, has a colon, or is there twice", client.id);
                self.wrong(clients, message, "Give each client an id of its own, for example `spark`.");
            }
            if client.secret.expose().chars().count() < 8 {
                let message = format!("server.iceberg.clients: the secret of `{}` is too short", client.id);
                self.wrong(clients, message, "Give it at least 8 characters, better 32 random ones.");
            }
        }
        let token_lifetime = written.token_lifetime.map_or(Duration::from_secs(3600), |Time(t)| t);
        if !(Duration::from_secs(60)..=Duration::from_secs(30 * 86_400)).contains(&token_lifetime) {
            self.wrong(lifetime, "server.iceberg.token_lifetime is out of bounds", "It may be 1m to 30d.");
        }
        if written.open == Some(true) && !written.clients.is_empty() {
            self.wrong(open, "server.iceberg is open and has clients", "Remove one: with clients, every request needs a token.");
        }
        Iceberg {
            token_lifetime,
            open: written.clients.is_empty() && written.open.unwrap_or(http.ip().is_loopback()),
            clients: written.clients.into_iter().map(|c| (c.id, c.secret)).collect(),
            vend_credentials: written.vend_credentials.unwrap_or(false),
        }
    }

    pub(super) fn name(&mut self, what: &str, name: &str, place: Place) {
        if !model::is_plain_name(name) {
            let hint = "Start with a letter; use lower-case letters, digits and _, at most 63 of them.";
            self.wrong(place, format!("a {what} can't be named `{name}`"), hint);
        }
    }

    fn transforms(&mut self) -> Vec<Transform> {
        let mut transforms = Vec::new();
        let root = self.root;
        for entry in root.get("transforms").map(Node::entries).unwrap_or_default() {
            self.name("transform", &entry.key, entry.place);
            let node = &entry.value;
            let Some(written) = read::<written::Transform>(Some(node)) else { continue };
            let path = |key| ["transforms", &*entry.key, key];
            let wasm = self.absolute(written.wasm.as_deref().unwrap_or_default());
            if let Some(node) = node.get("wasm").filter(|n| !n.broken && !wasm.is_file()) {
                let hint =
                    "Check the path, which starts at the folder of this file, and build the plugin (plugins/README.md says how).";
                let message = format!("there is no plugin at {}", node.quoted(&wasm.display().to_string()));
                self.wrong(node.place, message, hint);
            }
            let memory_bytes_max = written.memory_max.map_or(64 << 20, |Size(b)| b);
            if !(1 << 20..=2 << 30).contains(&memory_bytes_max) {
                let message = format!("transforms.{}.memory_max is out of bounds", entry.key);
                self.wrong(self.place(&path("memory_max")), message, "It may be 1MiB to 2GiB.");
            }
            let batch_time_max = written.batch_time_max.map_or(Duration::from_secs(1), |Time(t)| t);
            if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&batch_time_max) {
                let message = format!("transforms.{}.batch_time_max is out of bounds", entry.key);
                self.wrong(self.place(&path("batch_time_max")), message, "It may be 10ms to 1m.");
            }
            let config = |shown| node.get("config").map_or_else(|| Json::Object(serde_json::Map::new()), |n| n.json(shown));
            let checked = TransformConfig {
                wasm,
                config: config(false),
                on_error: written.on_error,
                memory_max_bytes: memory_bytes_max,
                batch_ms_max: u64::try_from(batch_time_max.as_millis()).unwrap_or(u64::MAX),
            };
            transforms.push(Transform { name: entry.key.clone(), config: checked, config_shown: config(true) });
        }
        transforms
    }

    fn sources(&mut self, commit: Commit) -> Vec<Source> {
        let mut found = Vec::new();
        let root = self.root;
        for entry in root.get("sources").map(Node::entries).unwrap_or_default() {
            self.name("source", &entry.key, entry.place);
            self.transforms_exist(&entry.key, &entry.value);
            if entry.value.broken {
                continue;
            }
            let Json::Object(mut own) = entry.value.json(false) else { continue };
            let common = ["transforms", "commit"].into_iter().filter_map(|k| own.shift_remove(k).map(|v| (k.to_owned(), v)));
            let Ok(common) = serde_json::from_value::<written::SourceCommon>(Json::Object(common.collect())) else { continue };
            let commit = self.commit(common.commit, commit, &["sources", &entry.key, "commit"]);
            let word = own.shift_remove("type");
            let Some(kind) = TYPES.iter().find(|t| word.as_ref().is_some_and(|w| w == t.name)) else { continue };
            if let Some(kind) = (kind.read)(&entry.key, &entry.value, Json::Object(own), self.report) {
                found.push(Source { name: entry.key.clone(), transforms: common.transforms, commit, kind });
            }
        }
        found
    }

    /// Each name that a source passes its rows to is defined.
    fn transforms_exist(&mut self, source: &str, node: &Node) {
        let root = self.root;
        let Some(Value::List(items)) = node.get("transforms").map(|n| &n.value) else { return };
        for item in items.iter().filter(|i| !i.broken) {
            let Value::Scalar(scalar) = &item.value else { continue };
            let mut known = root.get("transforms").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.as_str());
            if !known.clone().any(|k| k == scalar.text) {
                let hint = match known.next() {
                    None => "Define it under `transforms:` with the plugin's file as `wasm`.".to_owned(),
                    Some(first) => suggest(&scalar.text, std::iter::once(first).chain(known)),
                };
                let name = item.quoted(&scalar.text);
                self.wrong(item.place, format!("sources.{source} names a transform {name} that is not defined"), hint);
            }
        }
    }

    /// No two sources share a replication slot: each would take the other's changes.
    fn slots(&mut self, sources: &[Source]) {
        let mut seen: BTreeMap<(String, &str), &str> = BTreeMap::new();
        for source in sources {
            let SourceKind::Postgres(postgres) = &source.kind else { continue };
            let Some(server) = sources::server_of(&postgres.url) else { continue };
            let slot = (server, postgres.slot.as_str());
            if let Some(first) = seen.get(&slot) {
                let message = format!("sources.{} uses the replication slot of sources.{first}", source.name);
                self.wrong(self.place(&["sources", &source.name, "slot"]), message, "Give each source a `slot` of its own.");
            } else {
                seen.insert(slot, &source.name);
            }
        }
    }

    fn unused_transforms(&mut self) {
        let root = self.root;
        let uses = |name: &str| {
            root.get("sources").map(Node::entries).unwrap_or_default().iter().any(|source| {
                match source.value.get("transforms").map(|n| &n.value) {
                    Some(Value::List(items)) => items.iter().any(|i| matches!(&i.value, Value::Scalar(s) if s.text == name)),
                    _ => false,
                }
            })
        };
        for entry in root.get("transforms").map(Node::entries).unwrap_or_default() {
            if !uses(&entry.key) {
                let problem = Problem::warning(entry.place, format!("no source uses the transform `{}`", entry.key));
                self.report.push(problem.hint(format!("Add it to a source: transforms: [{}].", entry.key)));
            }
        }
    }

    fn models(&mut self) -> Option<PathBuf> {
        let root = self.root;
        let written: Option<String> = read(root.get("models"));
        let folder = self.absolute(written.as_deref().unwrap_or("models"));
        if folder.is_dir() {
            return Some(folder);
        }
        if let Some(node) = root.get("models").filter(|n| !n.broken) {
            let message = format!("there is no folder {}", node.quoted(&folder.display().to_string()));
            self.wrong(node.place, message, "Make it, or remove `models` if there are no gold tables yet.");
        }
        None
    }
}

fn sqlite(path: &Path) -> Secret {
    Secret::new(format!("sqlite:{}", path.display()))
}

/// Whether two listeners of one port would get into each other's way.
fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
}
