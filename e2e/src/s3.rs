use crate::{postgres::free_port, python, until};
use anyhow::{Context, Result, ensure};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::process::{Child, Command};

/// An S3 server that can be told to refuse, cut off or leave unanswered a share of its requests; stopped when dropped.
///
/// It takes every key and secret. What meets a fault is decided by the seed and the number of the request.
#[derive(Debug)]
pub struct S3 {
    _child: Child,
    port: u16,
    client: reqwest::Client,
}

impl S3 {
    /// The secret key that [`Self::settings`] names, to be looked for where it must not be.
    pub const SECRET: &'static str = "wJalrXUtnFEMI-hunter2";

    /// Starts it, without a bucket and without faults.
    ///
    /// # Errors
    /// When it does not start; `make setup` installs what it is made of.
    pub async fn start(seed: u64) -> Result<Self> {
        let port = free_port()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/fault_proxy.py");
        let child = Command::new(python("s3")?)
            .arg(script)
            .args([port.to_string(), seed.to_string()])
            // It ends when this pipe does, also where nothing is dropped.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        let server = Self { _child: child, port, client };
        until("the S3 server", Duration::from_secs(60), || async { server.seen().await.map(Some) }).await?;
        Ok(server)
    }

    /// The `lake:` section for a warehouse in `bucket`.
    pub fn settings(&self, bucket: &str) -> String {
        format!(
            "lake:\n  warehouse: s3://{bucket}/wh\n  options:\n    aws_endpoint: http://127.0.0.1:{}\n    aws_region: us-east-1\n    \
             aws_access_key_id: AKLAKEBOX\n    aws_secret_access_key: {}\n    aws_allow_http: \"true\"\n",
            self.port,
            Self::SECRET
        )
    }

    /// As [`Self::settings`], with a short patience for answers and what else is to stand under `lake:`, each line as YAML of its own.
    pub fn settings_with(&self, bucket: &str, more: &[&str]) -> String {
        let more: String = more.iter().map(|line| format!("  {line}\n")).collect();
        format!("{}  store: {{ request_timeout: 2s }}\n{more}", self.settings(bucket))
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When it is not made.
    pub async fn make_bucket(&self, bucket: &str) -> Result<()> {
        let answer = self.client.put(format!("http://127.0.0.1:{}/{bucket}", self.port)).send().await?;
        ensure!(answer.status().is_success(), "making the bucket: {}", answer.text().await?);
        Ok(())
    }

    /// Every kind of failing, stalling and lying that a bucket's network can do and that must cost nothing but time.
    pub const FAULTS: [&'static str; 12] = [
        "slow_down",
        "cut",
        "unanswered",
        "failed_after",
        "stalled",
        "stalled_after",
        "torn",
        "short",
        "garbled",
        "other_range",
        "missing",
        "not_done",
    ];

    /// From now on this share of all requests meets one of these faults, of those that its method can meet. `slow_down` (503), `denied` (403),
    /// `cut` (the connection ends before the request is looked at), `unanswered` (it ends after the request was done) and the others are
    /// explained in `servers/fault_proxy.py`.
    ///
    /// # Errors
    /// When the server is gone.
    pub async fn faults(&self, share: f64, kinds: &[&str]) -> Result<()> {
        let wanted = serde_json::json!({ "share": share, "kinds": kinds });
        let answer = self.client.put(self.control()).json(&wanted).send().await?;
        ensure!(answer.status().is_success(), "setting faults: {}", answer.text().await?);
        Ok(())
    }

    /// How many requests came since it was started, and how many of them met a fault of this kind.
    ///
    /// # Errors
    /// When the server is gone.
    pub async fn met(&self, kind: &str) -> Result<u64> {
        Ok(self.seen().await?.get(kind).and_then(serde_json::Value::as_u64).unwrap_or(0))
    }

    async fn seen(&self) -> Result<serde_json::Value> {
        self.client.get(self.control()).send().await?.json().await.context("what the S3 server has seen")
    }

    fn control(&self) -> String {
        format!("http://127.0.0.1:{}/_faults", self.port)
    }
}
