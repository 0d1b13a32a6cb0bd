//! Where the catalogs of these tests live.

use catalog::{Catalog, Error};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;
use testkit::VirtualClock;

pub async fn open(url: &str) -> Catalog {
    try_open(url).await.unwrap()
}

pub async fn try_open(url: &str) -> Result<Catalog, Error> {
    Catalog::open(url, VirtualClock::new().shared()).await
}

pub struct SqlitePlace {
    pub folder: TempDir,
}

impl SqlitePlace {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("lake/catalog.db").display())
    }
}

/// A PostgreSQL server of our own; stopped when dropped.
pub struct Server {
    folder: TempDir,
    bin: PathBuf,
    pub port: u16,
}

/// Starts a server, or says on standard error that this machine has none.
pub fn server() -> Option<Server> {
    let Some(bin) = newest_bin() else {
        eprintln!("no PostgreSQL server found in /usr/lib/postgresql/*/bin: the catalog is tested on SQLite alone");
        return None;
    };
    let folder = TempDir::new().unwrap();
    let port = (0..200).map(|i| 27_400 + i).find(|p| TcpListener::bind(("127.0.0.1", *p)).is_ok()).unwrap();
    let server = Server { folder, bin, port };
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(server.folder.path()));
    }
    let data = server.data();
    run(server.tool("initdb").arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "--no-instructions", "--no-sync"]));
    server.start();
    Some(server)
}

impl Server {
    /// A new empty database; returns its URL.
    pub fn database(&self, name: &str) -> String {
        let short: String = name.chars().take(60).collect();
        run(self.tool("createdb").args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string(), &short]));
        format!("postgres://postgres@127.0.0.1:{}/{short}?sslmode=disable", self.port)
    }

    /// Starts the server, set to acknowledge commits early, as some are. Its own crash loses those; `fsync` only guards against the machine's.
    pub fn start(&self) {
        let socket = self.folder.path().display();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{socket}' -c synchronous_commit=off -c fsync=off",
            self.port
        );
        let log = self.folder.path().join("log");
        run(self.tool("pg_ctl").arg("-D").arg(self.data()).arg("-l").arg(log).args(["-o", &options, "-w", "start"]));
    }

    pub fn stop(&self) {
        run(self.tool("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "stop"]));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of the server's tools. The server refuses to run as root, so root becomes the user `postgres`.
    fn tool(&self, name: &str) -> Command {
        let tool = self.bin.join(name);
        if !is_root() {
            return Command::new(tool);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(tool);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be stopped already; there is nothing to be done about a failure here.
        let _ = self.tool("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]).stdout(Stdio::null()).status();
    }
}

fn newest_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut bins: Vec<_> =
        versions.filter_map(|v| v.ok()).map(|v| v.path().join("bin")).filter(|b| b.join("initdb").exists()).collect();
    bins.sort();
    bins.pop()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|m| m.uid() == 0)
}

fn run(command: &mut Command) {
    let status = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
