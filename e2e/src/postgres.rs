use crate::until;
use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsStr,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;

/// A private PostgreSQL server with `wal_level=logical`, stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts major version 15 (Debian's), 17 or 18.
    ///
    /// # Errors
    /// When the server does not start; `make setup` installs all three.
    pub async fn start(major: u32) -> Result<Self> {
        let bin = match major {
            15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
            other => servers_dir().join(format!("postgres-{other}/bin")),
        };
        ensure!(bin.join("postgres").exists(), "PostgreSQL {major} is not at {}; run `make setup`", bin.display());
        let dir = tempfile::Builder::new().prefix("lakebox-pg").tempdir()?;
        let server = Self { dir, bin, port: free_port()? };
        server.start_again().await?;
        Ok(server)
    }

    async fn control(&self, script: &str, args: &[&OsStr]) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers").join(script);
        let out = Command::new("bash").arg(&script).arg(self.dir.path()).args(args).output().await?;
        ensure!(out.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&out.stderr));
        Ok(())
    }

    /// Stops the server as an administrator does, and starts it again: what needs a restart takes effect.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&self) -> Result<()> {
        self.control("stop_postgres.sh", &[]).await?;
        self.start_again().await
    }

    async fn start_again(&self) -> Result<()> {
        self.control("start_postgres.sh", &[self.port.to_string().as_ref(), self.bin.as_os_str()]).await
    }

    /// From now on `role`, which exists, has to know its password; everybody else goes in without one.
    ///
    /// # Errors
    /// When the rules can't be written or are not taken.
    pub async fn ask_for_password(&self, role: &str) -> Result<()> {
        let path = self.dir.path().join("data/pg_hba.conf");
        let rules = std::fs::read_to_string(&path)?;
        std::fs::write(&path, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}"))?;
        self.client("postgres").await?.batch_execute("select pg_reload_conf()").await?;
        let without = format!("postgres://{role}@127.0.0.1:{}/postgres", self.port);
        until("the new rules for logging in", Duration::from_secs(20), || async {
            Ok(tokio_postgres::connect(&without, NoTls).await.is_err().then_some(()))
        })
        .await
    }

    /// The URL of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of a database.
    ///
    /// # Errors
    /// When it can't connect.
    pub async fn client(&self, database: &str) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
        #[expect(clippy::disallowed_methods, reason = "the connection ends with its client")]
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs one of the server's own programs (`pgbench`, `psql`) against this server, to its end.
    ///
    /// # Errors
    /// When it fails; with what it printed.
    pub async fn tool(&self, program: &str, args: &[&str]) -> Result<String> {
        let out = self.command(program, args).output().await.with_context(|| format!("starting {program}"))?;
        ensure!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Starts one of the server's own programs in the background; it is killed when the handle is dropped.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn background(&self, program: &str, args: &[&str]) -> Result<Child> {
        let mut command = self.command(program, args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command.spawn()?)
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let path = self.bin.join(program);
        // Wheels do not carry every client program; Debian's speak to all three servers.
        let path = if path.exists() { path } else { Path::new("/usr/lib/postgresql/15/bin").join(program) };
        let mut command = Command::new(path);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]).args(args);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/stop_postgres.sh");
        let _ = std::process::Command::new("bash").arg(script).arg(self.dir.path()).arg("immediate").output();
    }
}

fn servers_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests take their places from make")]
    std::env::var("LAKEBOX_SERVERS").map_or_else(|_| PathBuf::from("/var/tmp/lakebox-servers"), PathBuf::from)
}

/// A port below the kernel's ephemeral range, so that no outgoing connection holds it.
pub(crate) fn free_port() -> Result<u16> {
    let start = 20_000 + (std::process::id() % 9_000) as u16;
    (start..start + 3_000).chain(20_000..start).find(|port| claim(*port)).context("no free port between 20000 and 32000")
}

/// Whether this process may use `port`: it is free, and no other call has had it.
fn claim(port: u16) -> bool {
    static TAKEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&port) || TcpListener::bind(("127.0.0.1", port)).is_err() {
        return false;
    }
    taken.push(port);
    true
}
