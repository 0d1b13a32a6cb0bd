use crate::{Lakebox, python};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The longest that an engine may take for one command; Spark starts a whole machine for its first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A row as every engine spells it.
pub type Row = Vec<Option<String>>;

/// An outside engine that talks to lakebox's Iceberg REST catalog: a process of its own, killed when dropped.
#[derive(Debug)]
pub struct Engine {
    name: &'static str,
    version: String,
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Engine {
    /// Starts `pyiceberg`, `duckdb` or `spark`, with the credentials `id:secret` where there are any.
    ///
    /// # Errors
    /// When it is not installed, or does not get in.
    pub async fn start(name: &'static str, lakebox: &Lakebox, credential: Option<&str>) -> Result<Self> {
        let environment = if name == "spark" { "spark" } else { "readers" };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/engine.py");
        let mut child = Command::new(python(environment)?)
            .arg(script)
            .args([name, &format!("{}/iceberg", lakebox.url())])
            .args(credential)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("no stdin")?;
        let output = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let mut engine = Self { name, version: String::new(), _child: child, input, output };
        engine.version = engine.answer().await?.as_str().unwrap_or_default().to_owned();
        Ok(engine)
    }

    /// What it calls itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The short name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Carries out one command: `what` with its arguments.
    ///
    /// # Errors
    /// The engine's own error, as text.
    pub async fn tell(&mut self, what: &str, arguments: Value) -> Result<Value> {
        let mut command = arguments;
        command["do"] = json!(what);
        self.input.write_all(format!("{command}\n").as_bytes()).await?;
        self.input.flush().await?;
        self.answer().await.with_context(|| format!("{} {what}", self.name))
    }

    /// The rows of a table, in the order of the first column.
    ///
    /// # Errors
    /// The engine's own error, as text.
    pub async fn rows(&mut self, table: &str, columns: &[&str]) -> Result<Vec<Row>> {
        let rows = self.tell("rows", json!({"table": table, "columns": columns})).await?;
        Ok(serde_json::from_value(rows)?)
    }

    async fn answer(&mut self) -> Result<Value> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
            let line = line.with_context(|| format!("{} does not answer", self.name))??;
            let line = line.with_context(|| format!("{} has ended", self.name))?;
            // Some engines chat before they answer.
            let Ok(answer) = serde_json::from_str::<Value>(&line) else { continue };
            if let Some(error) = answer.get("error") {
                return Err(anyhow!("{}", error.as_str().unwrap_or_default()));
            }
            return Ok(answer["ok"].clone());
        }
    }
}
