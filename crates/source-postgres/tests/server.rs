use runtime::SystemClock;
use source_postgres::{PostgresConfig, PostgresSource};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A private cluster, stopped and removed at the end.
pub struct Server {
    dir: TempDir,
    port: u16,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/servers").join(name)
}

fn free_port() -> u16 {
    // Below the ports that the kernel hands out for outgoing connections.
    let start = 20_000 + (std::process::id() % 9_000) as u16;
    (start..start + 900).find(|p| TcpListener::bind(("127.0.0.1", *p)).is_ok()).expect("a free port")
}

impl Server {
    pub fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("lakebox-pg-").permissions(permissions).tempdir().expect("a folder");
        let server = Self { port: free_port(), dir };
        server.run_script("start_postgres.sh", &[&server.port.to_string()]);
        server
    }

    fn run_script(&self, name: &str, more: &[&str]) {
        let done = Command::new(script(name)).arg(self.dir.path()).args(more).output().expect("bash runs");
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn restart(&self) {
        self.run_script("stop_postgres.sh", &["immediate"]);
        self.run_script("start_postgres.sh", &[&self.port.to_string()]);
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/postgres", self.port)
    }

    pub fn unix_url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}&port={}", self.dir.path().display(), self.port)
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("the server's log")
    }

    /// Settings that make a test quick.
    pub fn config(&self) -> PostgresConfig {
        PostgresConfig { idle_ms: 50, watch_ms: 100, linger_ms: 1, ..PostgresConfig::new(self.url()) }
    }

    pub fn source(&self) -> PostgresSource {
        source(&self.config())
    }

    pub async fn sql(&self) -> Sql {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("the server runs");
        #[expect(clippy::disallowed_methods, reason = "the driver's own task, in a test")]
        tokio::spawn(connection);
        Sql(client)
    }
}

pub fn source(config: &PostgresConfig) -> PostgresSource {
    PostgresSource::new("shop", config, SystemClock::shared()).expect("good settings")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(script("stop_postgres.sh")).arg(self.dir.path()).arg("immediate").output();
    }
}

/// A plain SQL session.
pub struct Sql(tokio_postgres::Client);

impl Sql {
    pub async fn run(&self, sql: &str) {
        if let Err(e) = self.0.batch_execute(sql).await {
            panic!("{sql}: {:?}", e.as_db_error().map_or_else(|| e.to_string(), ToString::to_string));
        }
    }

    /// All rows, every value as text.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.0.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let row = |m| match m {
            SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).map(str::to_owned)).collect()),
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    pub async fn one(&self, sql: &str) -> String {
        self.rows(sql).await.first().and_then(|r| r.first().cloned().flatten()).unwrap_or_default()
    }
}
