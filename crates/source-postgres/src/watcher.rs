use crate::{
    config::Settings,
    connect::{Client, Lsn, Mode, literal},
    discover::{publications_fingerprint, tables_fingerprint},
    outlet::Telling,
};
use pipeline::Error;
use runtime::{CancellationToken, SharedClock};
use std::sync::Arc;
use tokio::sync::watch;

/// Of the tables, and of the publications.
pub(crate) type Fingerprint = (u64, u64);

/// Looks at the server beside the stream: how far its log is, how much of it is kept for us, and which tables there are.
pub(crate) struct Watcher {
    pub(crate) settings: Settings,
    pub(crate) clock: SharedClock,
    pub(crate) telling: Arc<Telling>,
    /// Holds the fingerprint of the tables seen last.
    pub(crate) changed: watch::Sender<Fingerprint>,
}

impl Watcher {
    /// Runs until cancelled. Its errors stop nothing: the stream has its own connection and its own errors.
    pub(crate) async fn run(&self, cancel: &CancellationToken) {
        let mut client: Option<Client> = None;
        let mut warned = false;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                looked = self.look(&mut client, &mut warned) => {
                    if let Err(error) = looked {
                        tracing::debug!(source = self.settings.source, "can't look at the server: {error}");
                        client = None;
                    }
                }
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = self.clock.sleep(self.settings.watch) => {}
            }
        }
        if let Some(client) = client {
            client.finish().await;
        }
    }

    async fn look(&self, slot: &mut Option<Client>, warned: &mut bool) -> Result<(), Error> {
        let client = match slot {
            Some(client) => client,
            None => slot.insert(Client::connect(&self.settings.address, Mode::Sql).await?),
        };
        let sql = format!(
            "SELECT head, head - restart_lsn FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) h(head) \
             LEFT JOIN pg_replication_slots ON slot_name = {}",
            literal(&self.settings.slot)
        );
        let rows = client.query(&sql, "reading the end of the log").await?;
        let text = |at: usize| rows.first().and_then(|r| r.get(at)).and_then(|v| v.as_deref());
        if let Some(head) = text(0).and_then(|l| l.parse::<Lsn>().ok()) {
            self.telling.saw_head(head);
        }
        let kept: u64 = text(1).and_then(|b| b.parse().ok()).unwrap_or(0);
        let budget = self.settings.wal_budget_bytes;
        let over = budget > 0 && kept > budget;
        let warning = over.then(|| {
            format!(
                "The server keeps {} MiB of its log for the slot {}, more than the budget of {} MiB.",
                kept >> 20,
                self.settings.slot,
                budget >> 20
            )
        });
        if let Some(warning) = warning.as_deref().filter(|_| !*warned) {
            tracing::warn!(
                source = self.settings.source,
                "{warning} Find out why the pipeline lags before the server's disk is full."
            );
        }
        self.telling.warn(warning);
        *warned = over;
        let now = (tables_fingerprint(client, &self.settings).await?, publications_fingerprint(client, &self.settings).await?);
        self.changed.send_if_modified(|seen| std::mem::replace(seen, now) != now);
        Ok(())
    }
}
