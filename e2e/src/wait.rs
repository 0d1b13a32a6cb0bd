use anyhow::{Result, bail};
use std::{future::Future, time::Duration};

const POLL: Duration = Duration::from_millis(50);

/// Asks `probe` again and again until it answers `Some`, or `patience` is over: then an error that says what was waited for and what came last.
///
/// # Errors
/// When time is up. An error of `probe` only counts as "not yet".
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let last = match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet".to_owned(),
            Err(e) => format!("{e:#}"),
        };
        if tokio::time::Instant::now() >= deadline {
            bail!("waited {} s for {what}; last: {last}", patience.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}
