use crate::{disk::Disk, postgres::free_port, until};
use anyhow::{Context, Result, bail, ensure};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A folder with a configuration, whose lake outlives the processes that serve it.
#[derive(Debug)]
pub struct Project {
    dir: TempDir,
    http: u16,
    pgwire: u16,
    flight: u16,
    disk: Option<Disk>,
}

/// A running `lakebox serve`, killed (SIGKILL) when dropped.
#[derive(Debug)]
pub struct Lakebox {
    child: Child,
    http: String,
    pgwire: u16,
    client: reqwest::Client,
    log: PathBuf,
}

impl Project {
    /// A project whose `lakebox.yaml` is `body` plus a server section with free ports.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn new(body: &str) -> Result<Self> {
        Self::with_server(body, "")
    }

    /// As [`Self::new`], with more settings of the server: `, users: […]`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn with_server(body: &str, server: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lakebox-e2e").tempdir()?;
        let (http, pgwire, flight) = (free_port()?, free_port()?, free_port()?);
        std::fs::create_dir_all(dir.path().join("models"))?;
        let ports = format!("http: \"127.0.0.1:{http}\", pgwire: \"127.0.0.1:{pgwire}\", flight: \"127.0.0.1:{flight}\"");
        let text = format!("{body}\nserver: {{ {ports}{server} }}\n");
        std::fs::write(dir.path().join("lakebox.yaml"), text)?;
        Ok(Self { dir, http, pgwire, flight, disk: None })
    }

    /// Puts the folder `folder` of the project on a disk of its own of so many megabytes. The disk begins and ends with each server and is seen
    /// by it alone; [`Lakebox::inside`] leads there. False where this machine allows no such thing.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub async fn on_disk_of_its_own(&mut self, folder: &str, megabytes: u32) -> Result<bool> {
        std::fs::create_dir_all(self.dir.path().join(folder))?;
        self.disk = Disk::new(folder, megabytes).await?;
        Ok(self.disk.is_some())
    }

    /// Flight SQL's port.
    pub fn flight_port(&self) -> u16 {
        self.flight
    }

    /// Adds a setting to the server section, as one line of YAML.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn in_server(&mut self, setting: &str) -> Result<()> {
        let file = self.dir.path().join("lakebox.yaml");
        let text = std::fs::read_to_string(&file)?.replacen("server: { ", &format!("server: {{ {setting}, "), 1);
        Ok(std::fs::write(file, text)?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The same lake under a configuration with other ports.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn moved(&self) -> Result<Elsewhere<'_>> {
        let (http, pgwire, flight) = (free_port()?, free_port()?, free_port()?);
        let mut text = std::fs::read_to_string(self.dir.path().join("lakebox.yaml"))?;
        for (old, new) in [(self.http, http), (self.pgwire, pgwire), (self.flight, flight)] {
            text = text.replace(&old.to_string(), &new.to_string());
        }
        std::fs::write(self.dir.path().join("elsewhere.yaml"), text)?;
        Ok(Elsewhere { project: self, http, pgwire })
    }

    /// Starts the server without waiting for anything.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn spawn(&self) -> Result<Lakebox> {
        self.spawn_with("lakebox.yaml", self.http, self.pgwire)
    }

    fn spawn_with(&self, config: &str, http: u16, pgwire: u16) -> Result<Lakebox> {
        let log = self.dir.path().join("lakebox.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = self.disk.as_ref().map_or_else(|| Command::new(binary()), |disk| disk.command(&binary()));
        let child = command
            .args(["serve", "--config", config])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary().display()))?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?;
        Ok(Lakebox { child, http: format!("http://127.0.0.1:{http}"), pgwire, client, log })
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// When it is not ready in time; with the end of its log.
    pub async fn serve(&self) -> Result<Lakebox> {
        let lakebox = self.spawn()?;
        lakebox.ready().await?;
        Ok(lakebox)
    }
}

/// A project's lake under other ports, made by [`Project::moved`].
#[derive(Debug)]
pub struct Elsewhere<'a> {
    project: &'a Project,
    http: u16,
    pgwire: u16,
}

impl Elsewhere<'_> {
    /// Starts the server without waiting for anything.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn spawn(&self) -> Result<Lakebox> {
        self.project.spawn_with("elsewhere.yaml", self.http, self.pgwire)
    }
}

impl Lakebox {
    /// Waits for `/readyz`.
    ///
    /// # Errors
    /// When it is not ready in time; with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        until("/readyz", Duration::from_secs(60), || async {
            let answer = self.client.get(format!("{}/readyz", self.http)).send().await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await
        .with_context(|| self.log_tail())
    }

    /// The base URL.
    pub fn url(&self) -> &str {
        &self.http
    }

    /// The PostgreSQL wire's port.
    pub fn pgwire_port(&self) -> u16 {
        self.pgwire
    }

    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// A path as the server sees it, for looking from outside at a disk that is its own.
    ///
    /// # Errors
    /// When it has ended.
    pub fn inside(&self, path: &Path) -> Result<PathBuf> {
        let pid = self.child.id().context("it has ended already")?;
        let path = path.strip_prefix("/").context("an absolute path")?;
        Ok(PathBuf::from(format!("/proc/{pid}/root")).join(path))
    }

    /// Memory that it holds, in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_kib(&self) -> Result<u64> {
        let pid = self.child.id().context("it has ended already")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Everything that it and its predecessors in this project have logged.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("the end of the log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"))
    }

    /// Kills it without warning and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it still runs after 30 seconds.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        Ok(tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("it still runs")??)
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When it does not end within 30 seconds, or with an error.
    pub async fn terminate(mut self) -> Result<()> {
        let pid = self.child.id().context("it has ended already")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("it did not drain")??;
        ensure!(status.success(), "it ended with {status}: {}", self.log_tail());
        Ok(())
    }

    /// A GET of the API.
    ///
    /// # Errors
    /// When the answer is not JSON or not a success.
    pub async fn get(&self, path: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    /// A GET of anything, as text.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn text(&self, path: &str) -> Result<String> {
        let answer = self.client.get(format!("{}{path}", self.http)).send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "GET {path}: {status}: {body}");
        Ok(body)
    }

    /// Asks for all upkeep of all tables and waits until it is done.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn upkeep(&self) -> Result<serde_json::Value> {
        let body = serde_json::json!({"wait": true});
        let answer = self.client.post(format!("{}/api/v1/upkeep", self.http)).json(&body).send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "POST /api/v1/upkeep: {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// A POST of the API without a body.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn post(&self, path: &str) -> Result<()> {
        let answer = self.client.post(format!("{}{path}", self.http)).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "POST {path}: {status}: {}", answer.text().await?);
        Ok(())
    }

    /// The rows of a query as JSON.
    ///
    /// # Errors
    /// The API's problem, as text.
    pub async fn sql(&self, query: &str) -> Result<Vec<Vec<serde_json::Value>>> {
        let body = serde_json::json!({ "query": query });
        let answer = self.client.post(format!("{}/api/v1/sql", self.http)).json(&body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{status}: {text}");
        }
        let response: api::SqlResponse = serde_json::from_str(&text)?;
        Ok(response.rows)
    }

    /// The result of a query as CSV.
    ///
    /// # Errors
    /// The API's problem, as text.
    pub async fn csv(&self, query: &str) -> Result<String> {
        let body = serde_json::json!({ "query": query });
        let request = self.client.post(format!("{}/api/v1/sql", self.http)).header("accept", "text/csv").json(&body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok(text)
    }
}

/// The binary that is tested.
pub fn binary() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests take their places from make")]
    let target =
        std::env::var("CARGO_TARGET_DIR").map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    #[expect(clippy::disallowed_methods, reason = "tests take their places from make")]
    std::env::var("LAKEBOX_BIN").map_or_else(|_| target.join("debug/lakebox"), PathBuf::from)
}
