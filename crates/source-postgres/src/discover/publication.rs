use super::catalog::Found;
use crate::{
    config::Settings,
    connect::{Client, literal, quoted},
};
use model::{Key, TableId};
use pipeline::{Error, Kind};
use std::collections::BTreeSet;

/// Makes the two publications hold exactly these tables: those whose updates can be followed in the first, the others in the one for inserts.
///
/// Must be done before the slot (or the temporary slot that attaches a table) is made, so that every change after its consistent point is published.
pub(crate) async fn publish(client: &mut Client, settings: &Settings, tables: &[&Found]) -> Result<(), Error> {
    let (inserts, full): (Vec<&Found>, Vec<&Found>) = tables.iter().copied().partition(|t| t.key == Key::None);
    let all = "insert, update, delete, truncate";
    let few = "insert, truncate";
    // Out of the wrong publication first: a table without identity must never publish updates, or the application's own would fail.
    for (name, list, publish) in [(settings.publication.clone(), full, all), (settings.inserts_publication(), inserts, few)] {
        let wanted: BTreeSet<TableId> = list.iter().map(|t| t.id.clone()).collect();
        if let Some(sql) = change(client, &name, &wanted, publish).await? {
            tracing::info!(source = settings.source, publication = name, "changing the publication: {sql}");
            if let Err(refusal) = client.try_query(&sql).await? {
                let error = Error::new(Kind::Refused, format!("the publication {name} can't be set up: {}", refusal.message));
                return Err(error.with_hint(format!("Run this once as the owner of the tables: {sql};")).with_source(refusal));
            }
        }
    }
    Ok(())
}

fn names(tables: &BTreeSet<TableId>) -> String {
    tables.iter().map(|t| format!("{}.{}", quoted(&t.schema), quoted(&t.name))).collect::<Vec<_>>().join(", ")
}

/// The statement that is needed, if one is.
async fn change(client: &mut Client, name: &str, wanted: &BTreeSet<TableId>, publish: &str) -> Result<Option<String>, Error> {
    let doing = format!("reading the publication {name}");
    let found = client
        .query(
            &format!(
                "SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication WHERE pubname = {}",
                literal(name)
            ),
            &doing,
        )
        .await?;
    let Some(row) = found.first() else {
        let tables = if wanted.is_empty() { String::new() } else { format!(" FOR TABLE {}", names(wanted)) };
        return Ok(Some(format!(
            "CREATE PUBLICATION {}{tables} WITH (publish = '{publish}', publish_via_partition_root = true)",
            quoted(name)
        )));
    };
    let flags: Vec<bool> = row.iter().map(|v| v.as_deref() == Some("t")).collect();
    let updates = publish.contains("update");
    if flags != [false, true, updates, updates, true, true] {
        return Err(Error::new(
            Kind::Misconfigured,
            format!("the publication {name} exists with other options than lakebox needs"),
        )
        .with_hint(format!(
            "Drop it (DROP PUBLICATION {};) and lakebox makes it anew, or choose another name with `publication`.",
            quoted(name)
        )));
    }
    let members = client
        .query(
            &format!(
                "SELECT n.nspname, c.relname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid \
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = {}",
                literal(name)
            ),
            &doing,
        )
        .await?;
    let text = |v: &Option<String>| v.clone().unwrap_or_default();
    let members: BTreeSet<TableId> = members.iter().map(|r| TableId::new(text(&r[0]), text(&r[1]))).collect();
    if members == *wanted {
        return Ok(None);
    }
    if wanted.is_empty() {
        return Ok(Some(format!("ALTER PUBLICATION {} DROP TABLE {}", quoted(name), names(&members))));
    }
    Ok(Some(format!("ALTER PUBLICATION {} SET TABLE {}", quoted(name), names(wanted))))
}
