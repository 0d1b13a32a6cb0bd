use crate::{config::Settings, connect::Client};
use pipeline::{Error, Kind};

/// The oldest server with everything that is used here (`publish_via_partition_root`).
const VERSION_MIN: u32 = 130_000;

/// Checks what every later step counts on, and tells the cluster's identifier.
pub(crate) async fn check_server(client: &mut Client, settings: &Settings) -> Result<String, Error> {
    let place = client.wire.place().to_owned();
    if client.version() < VERSION_MIN {
        return Err(Error::new(Kind::Misconfigured, format!("PostgreSQL at {place} is older than version 13"))
            .with_hint("Upgrade the server; lakebox is tested with 15, 17 and 18."));
    }
    let rows = client
        .query(
            "SELECT current_setting('wal_level'), (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), \
             (SELECT system_identifier FROM pg_control_system())",
            "checking the server's settings",
        )
        .await;
    let rows = match rows {
        // The control data may be closed to the role; then only the identifier is not known.
        Err(e) if e.kind == Kind::Refused => {
            client
                .query(
                    "SELECT current_setting('wal_level'), (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), ''",
                    "checking the server's settings",
                )
                .await?
        }
        other => other?,
    };
    let text = |at: usize| rows.first().and_then(|r| r.get(at)).and_then(|v| v.as_deref()).unwrap_or("");
    if text(0) != "logical" {
        return Err(Error::new(
            Kind::Misconfigured,
            format!("PostgreSQL at {place} has wal_level = {}, which carries no row changes", text(0)),
        )
        .with_hint("Set wal_level = logical (ALTER SYSTEM SET wal_level = 'logical') and restart PostgreSQL."));
    }
    let user = &settings.address.user;
    // Managed servers give the right through a role instead of the attribute; there the slot's creation is the judge.
    if text(1) != "t" && !has_replication_role(client).await? {
        return Err(Error::new(Kind::Refused, format!("the role {user} may not replicate from {place}"))
            .with_hint(format!("Run once as a superuser: ALTER ROLE \"{user}\" REPLICATION;")));
    }
    Ok(text(2).to_owned())
}

async fn has_replication_role(client: &mut Client) -> Result<bool, Error> {
    let rows = client
        .query(
            "SELECT 1 FROM pg_roles WHERE rolname IN ('rds_replication', 'rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser') \
             AND pg_has_role(current_user, oid, 'member')",
            "checking the role's rights",
        )
        .await?;
    Ok(!rows.is_empty())
}
