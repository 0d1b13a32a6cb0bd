use super::catalog::Found;
use crate::{
    config::Settings,
    connect::{Client, literal, quoted},
};
use model::{Key, TableId};
use pipeline::{Error, Kind};
use std::collections::BTreeSet;

/// Makes the two publications hold exactly these tables: those whose updates can be followed in the first, the others in the one for inserts.
/// Says which tables could not be added, and why, where others of the publication can be followed all the same.
///
/// Must be done before the slot (or the temporary slot that attaches a table) is made, so that every change after its consistent point is published.
pub(crate) async fn publish(
    client: &mut Client,
    settings: &Settings,
    tables: &[&Found],
) -> Result<Vec<(TableId, String)>, Error> {
    let (inserts, full): (Vec<&Found>, Vec<&Found>) = tables.iter().copied().partition(|t| t.key == Key::None);
    let all = "insert, update, delete, truncate";
    let few = "insert, truncate";
    let mut left_out = Vec::new();
    // Out of the wrong publication first: a table without identity must never publish updates, or the application's own would fail.
    for (name, list, publish) in [(settings.publication.clone(), full, all), (settings.inserts_publication(), inserts, few)] {
        let wanted: BTreeSet<TableId> = list.iter().map(|t| t.id.clone()).collect();
        let Some(Change { sql, members }) = change(client, &name, &wanted, publish).await? else { continue };
        tracing::info!(source = settings.source, publication = name, "changing the publication: {sql}");
        let Err(refusal) = client.try_query(&sql).await? else { continue };
        let new: BTreeSet<TableId> = wanted.difference(&members).cloned().collect();
        if members.is_empty() || new.is_empty() {
            let error = Error::new(Kind::Refused, format!("the publication {name} can't be set up: {}", refusal.message));
            return Err(error.with_hint(format!("Run this once as the owner of the tables: {sql};")).with_source(refusal));
        }
        // Only new tables are at stake: what is published already goes on.
        for table in new {
            let one = BTreeSet::from([table.clone()]);
            let sql = format!("ALTER PUBLICATION {} ADD TABLE {}", quoted(&name), names(&one));
            if let Err(refusal) = client.try_query(&sql).await? {
                let why = format!(
                    "table {table} can't be added to the publication {name}: {}. Run this once as the owner of the table: {sql};",
                    refusal.message
                );
                left_out.push((table, why));
            }
        }
    }
    Ok(left_out)
}

fn names(tables: &BTreeSet<TableId>) -> String {
    tables.iter().map(|t| format!("{}.{}", quoted(&t.schema), quoted(&t.name))).collect::<Vec<_>>().join(", ")
}

/// What a publication lacks.
struct Change {
    sql: String,
    /// The tables in it now.
    members: BTreeSet<TableId>,
}

/// The statement that is needed, if one is.
async fn change(client: &mut Client, name: &str, wanted: &BTreeSet<TableId>, publish: &str) -> Result<Option<Change>, Error> {
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
        let sql = format!(
            "CREATE PUBLICATION {}{tables} WITH (publish = '{publish}', publish_via_partition_root = true)",
            quoted(name)
        );
        return Ok(Some(Change { sql, members: BTreeSet::new() }));
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
    let sql = if wanted.is_empty() {
        format!("ALTER PUBLICATION {} DROP TABLE {}", quoted(name), names(&members))
    } else {
        format!("ALTER PUBLICATION {} SET TABLE {}", quoted(name), names(wanted))
    };
    Ok(Some(Change { sql, members }))
}
