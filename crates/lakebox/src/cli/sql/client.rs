//! The HTTP side.

use api::{Problem, SchemaTree, SqlRequest, SqlResponse};
use futures::StreamExt;
use reqwest::{Response, header::ACCEPT};
use std::{future::Future, io, time::Duration};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Why a statement gave no result, or not all of it.
#[derive(Debug)]
pub(super) enum Failure {
    /// lakebox answered with a problem.
    Refused { problem: Box<Problem>, statement: String },
    /// Nobody answers there.
    Unreachable { url: String, reason: String },
    /// Something answered, but not as lakebox does, or it stopped in the middle.
    Broken { url: String, reason: String },
    /// What was asked makes no sense.
    Usage { message: String, hint: &'static str },
    /// Our own input or output failed.
    Output(io::Error),
    /// Ctrl-C.
    Cancelled,
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/').to_owned();
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_PATIENCE);
        let host = url::Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
        if host == "localhost" || host == "[::1]" || host.starts_with("127.") {
            // A proxy of the environment could not reach this machine's own address.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| Failure::Broken { url: base.clone(), reason: innermost(&e) })?;
        Ok(Self { http, base })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A result of at most `max_rows` rows.
    pub(super) async fn rows(&self, statement: &str, max_rows: u64) -> Result<SqlResponse, Failure> {
        let body = self.json(statement, max_rows).await?;
        serde_json::from_slice(&body).map_err(|e| self.broken(format!("its answer can't be read: {e}")))
    }

    /// The same as the server's own JSON.
    pub(super) async fn json(&self, statement: &str, max_rows: u64) -> Result<Vec<u8>, Failure> {
        self.cancellable(statement, Some(max_rows), "application/json", async |response| {
            Ok(response.bytes().await.map_err(|e| self.cut(&e))?.to_vec())
        })
        .await
    }

    /// Copies a result in another form to `out` while it arrives.
    pub(super) async fn copy(&self, statement: &str, accept: &'static str, out: &mut impl io::Write) -> Result<(), Failure> {
        self.cancellable(statement, None, accept, async |response| {
            let mut chunks = response.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                out.write_all(&chunk.map_err(|e| self.cut(&e))?).map_err(Failure::Output)?;
            }
            out.flush().map_err(Failure::Output)
        })
        .await
    }

    /// What tables and columns there are.
    pub(super) async fn schema(&self) -> Result<SchemaTree, Failure> {
        self.get("/api/v1/schema").await
    }

    /// Reads JSON.
    pub(super) async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let sent = self.http.get(format!("{}{path}", self.base)).send().await;
        let response = sent.map_err(|e| self.unreachable(&e))?;
        let response = self.answered(response, "").await?;
        response.json().await.map_err(|e| self.cut(&e))
    }

    /// Sends JSON and reads JSON; on Ctrl-C gives up, while the server goes on.
    pub(super) async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, Failure> {
        let work = async {
            let sent = self.http.post(format!("{}{path}", self.base)).json(body).send().await;
            let response = self.answered(sent.map_err(|e| self.unreachable(&e))?, "").await?;
            response.json().await.map_err(|e| self.cut(&e))
        };
        until_interrupted(work, async {}).await
    }

    /// Sends a statement and reads its answer; on Ctrl-C tells the server to stop and gives up.
    async fn cancellable<T>(
        &self,
        statement: &str,
        max_rows: Option<u64>,
        accept: &'static str,
        read: impl AsyncFnOnce(Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let id = uuid::Uuid::new_v4().to_string();
        let request = SqlRequest {
            query: statement.to_owned(),
            params: Vec::new(),
            id: Some(id.clone()),
            max_rows,
            timeout_ms: None,
            dry_run: false,
        };
        let work = async {
            let post = self.http.post(format!("{}/api/v1/sql", self.base)).header(ACCEPT, accept).json(&request);
            let response = post.send().await.map_err(|e| self.unreachable(&e))?;
            read(self.answered(response, statement).await?).await
        };
        until_interrupted(work, async {
            // The server notices a closed connection as well; this only makes it quick.
            let delete = self.http.delete(format!("{}/api/v1/queries/{id}", self.base)).timeout(CONNECT_PATIENCE);
            let _ = delete.send().await;
        })
        .await
    }

    /// Passes a good answer on; turns a bad one into its problem.
    async fn answered(&self, response: Response, statement: &str) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|e| self.cut(&e))?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(Failure::Refused { problem: Box::new(problem), statement: statement.to_owned() }),
            Err(_) => Err(self.broken(format!("it answered {status}"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable { url: self.base.clone(), reason: innermost(error) }
    }

    fn cut(&self, error: &reqwest::Error) -> Failure {
        self.broken(format!("the result ended too early: {}", innermost(error)))
    }

    fn broken(&self, reason: String) -> Failure {
        Failure::Broken { url: self.base.clone(), reason }
    }
}

async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    on_interrupt: impl Future<Output = ()>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        result = work => result,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(Failure::Output)?;
            on_interrupt.await;
            Err(Failure::Cancelled)
        }
    }
}

/// The last cause, which is the one that says something ("Connection refused").
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
