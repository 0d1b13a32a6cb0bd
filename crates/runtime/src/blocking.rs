/// Blocking work did not return: it panicked, or the process is going down.
#[derive(Debug, thiserror::Error)]
#[error("{what} did not finish: {reason}")]
pub struct Abandoned {
    /// The work's name.
    pub what: &'static str,
    /// What is known.
    pub reason: String,
}

/// Runs work that blocks or computes (files, compression, SQLite, WebAssembly) on a thread made for it.
///
/// # Errors
/// [`Abandoned`] where the work panicked. Dropping the future does not stop the work.
pub async fn blocking<T: Send + 'static>(what: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Abandoned> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        let reason = match e.try_into_panic() {
            Ok(panic) => panic_text(&*panic),
            Err(_) => "the process is shutting down".to_owned(),
        };
        Abandoned { what, reason }
    })
}

/// The text of a caught panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "no message".into()))
}
