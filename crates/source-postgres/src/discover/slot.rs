use crate::{
    config::Settings,
    connect::{Client, Lsn, literal, lost_hint},
};
use pipeline::{Error, Kind};

/// What the server says of our slot.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    plugin: String,
    database: String,
    active_pid: Option<u32>,
    confirmed: Option<Lsn>,
    restart: Option<Lsn>,
    lost: bool,
}

pub(crate) async fn find_slot(client: &mut Client, name: &str) -> Result<Option<Slot>, Error> {
    let rows = client
        .query(
            &format!(
                "SELECT plugin, database, active_pid, confirmed_flush_lsn, restart_lsn, wal_status FROM pg_replication_slots WHERE slot_name = {}",
                literal(name)
            ),
            "reading the replication slots",
        )
        .await?;
    Ok(rows.first().map(|row| {
        let text = |at: usize| row.get(at).and_then(|v| v.as_deref());
        Slot {
            plugin: text(0).unwrap_or("").to_owned(),
            database: text(1).unwrap_or("").to_owned(),
            active_pid: text(2).and_then(|p| p.parse().ok()),
            confirmed: text(3).and_then(|l| l.parse().ok()),
            restart: text(4).and_then(|l| l.parse().ok()),
            lost: text(5) == Some("lost"),
        }
    }))
}

impl Slot {
    fn usable(&self, settings: &Settings) -> Result<(), Error> {
        let (name, source) = (&settings.slot, &settings.source);
        if self.plugin != "pgoutput" || self.database != settings.address.database {
            return Err(Error::new(
                Kind::Misconfigured,
                format!(
                    "the slot {name} of source {source} belongs to something else (plugin {}, database {})",
                    self.plugin, self.database
                ),
            )
            .with_hint("Give this source a slot name of its own with `slot`."));
        }
        match self.active_pid {
            None => Ok(()),
            Some(pid) => {
                Err(Error::new(Kind::InUse, format!("the slot {name} of source {source} is in use by server process {pid}"))
                    .with_hint(format!(
                        "Another lakebox or tool reads it. Stop that one, or end its session: SELECT pg_terminate_backend({pid});"
                    )))
            }
        }
    }

    /// Whether streaming may go on from `cursor`. The slot must still have everything after it; an error says why not.
    pub(crate) fn check_resume(&self, settings: &Settings, cursor: Lsn) -> Result<(), Error> {
        let lost = |why: String| {
            let error = Error::new(Kind::PositionLost, format!("source {} can't resume at {cursor}: {why}", settings.source));
            match lost_hint() {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        };
        if self.lost || self.restart.is_none() {
            return Err(lost(format!("the server has thrown away the log that the slot {} needed", settings.slot)));
        }
        if let Some(confirmed) = self.confirmed.filter(|c| *c > cursor) {
            return Err(lost(format!(
                "the slot {} was moved on to {confirmed}, past changes that the lake does not have",
                settings.slot
            )));
        }
        self.usable(settings)
    }
}

/// The slot is gone though a cursor counts on it.
pub(crate) fn missing(settings: &Settings, cursor: Lsn) -> Error {
    let error = Error::new(
        Kind::PositionLost,
        format!("source {} can't resume at {cursor}: the slot {} is gone", settings.source, settings.slot),
    );
    match lost_hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Without a cursor nothing of a slot's past counts: a leftover of ours is dropped, whatever it stands for (a crash in mid-copy leaves one).
pub(crate) async fn drop_leftover(client: &mut Client, settings: &Settings) -> Result<(), Error> {
    let Some(slot) = find_slot(client, &settings.slot).await? else { return Ok(()) };
    slot.usable(settings)?;
    tracing::warn!(
        source = settings.source,
        slot = settings.slot,
        "the slot exists, but the lake has no position of this source: dropping it and copying all tables"
    );
    let sql = format!("SELECT pg_drop_replication_slot({})", literal(&settings.slot));
    client.query(&sql, &format!("dropping the leftover slot {}", settings.slot)).await?;
    Ok(())
}

/// A new slot: the position from which its changes flow, and the name of the snapshot that shows the rows as of there. The snapshot lives
/// until the connection runs its next command or ends.
#[derive(Debug, Clone)]
pub(crate) struct NewSlot {
    pub(crate) consistent: Lsn,
    pub(crate) snapshot: String,
}

/// Makes a slot on a replication connection and exports its snapshot.
pub(crate) async fn create_slot(replication: &mut Client, name: &str, temporary: bool) -> Result<NewSlot, Error> {
    let word = if temporary { " TEMPORARY" } else { "" };
    let sql = if replication.version() >= 150_000 {
        format!("CREATE_REPLICATION_SLOT \"{name}\"{word} LOGICAL pgoutput (SNAPSHOT 'export')")
    } else {
        format!("CREATE_REPLICATION_SLOT \"{name}\"{word} LOGICAL pgoutput EXPORT_SNAPSHOT")
    };
    let doing = format!("creating the replication slot {name}");
    let rows = replication.query(&sql, &doing).await?;
    let text = |at: usize| rows.first().and_then(|r| r.get(at)).and_then(|v| v.as_deref());
    match (text(1).and_then(|l| l.parse().ok()), text(2)) {
        (Some(consistent), Some(snapshot)) => Ok(NewSlot { consistent, snapshot: snapshot.to_owned() }),
        _ => Err(Error::new(Kind::Corrupt, format!("PostgreSQL answered {doing} without a position or snapshot"))),
    }
}
