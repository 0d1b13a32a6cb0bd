use super::{
    layout::{Laid, Layout},
    oids::TypeCatalog,
    stored::Stored,
};
use crate::{
    config::Settings,
    connect::{Client, Row, literal},
    decode::ShapeColumn,
};
use model::{Key, TableId};
use pipeline::{Error, Kind};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

/// A table of the server, with all that copying and following it needs.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) oid: u32,
    pub(crate) id: TableId,
    pub(crate) columns: Vec<ShapeColumn>,
    /// The same columns as the catalog numbers them.
    pub(crate) layout: Layout,
    /// How its rows are stored.
    pub(crate) stored: Stored,
    pub(crate) key: Key,
    /// Why its rows can't be read; such a table is told of and left alone.
    pub(crate) barred: Option<String>,
    /// Whether its changes come with the stream.
    pub(crate) published: bool,
    /// Where its rows lie: the table itself, or the leaves of a partitioned one.
    pub(crate) parts: Vec<Part>,
}

/// A relation with rows.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) oid: u32,
    pub(crate) id: TableId,
    pub(crate) pages: u64,
    pub(crate) rows: u64,
}

/// Whether rows from before a column was added may have values in it.
const FILLED: &str = "atthasmissing OR atthasdef OR attidentity <> ''";

struct Head {
    oid: u32,
    id: TableId,
    partitioned: bool,
    identity: char,
    may_select: bool,
    row_security: bool,
    part: Part,
    /// The number of the file that its rows are in.
    file: u32,
}

/// All tables that `matches` takes, with columns, keys and parts, in the order of their names.
pub(crate) async fn find_tables(
    client: &mut Client,
    types: &mut TypeCatalog,
    matches: impl Fn(&TableId) -> bool,
) -> Result<Vec<Found>, Error> {
    let heads: Vec<Head> = heads(client).await?.into_iter().filter(|h| matches(&h.id)).collect();
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let oids = heads.iter().map(|h| h.oid.to_string()).collect::<Vec<_>>().join(",");
    let mut columns = columns(client, types, &oids).await?;
    let keys = identities(client, &oids).await?;
    let mut leaves = leaves(client, &oids).await?;
    Ok(heads
        .into_iter()
        .map(|head| {
            let mine = leaves.remove(&head.oid).unwrap_or_default();
            let Columns { columns, layout, defined } = columns.remove(&head.oid).unwrap_or_default();
            let stored = stored(&head, &mine, defined);
            let key = key_of(&head, &mine, keys.get(&head.oid));
            let barred = if !head.may_select {
                Some(format!("the role may not read table {}: permission denied", head.id))
            } else if head.row_security {
                Some(format!("row level security hides rows of table {} from the role", head.id))
            } else if columns.is_empty() {
                Some(format!("table {} has no columns", head.id))
            } else {
                None
            };
            let parts = if head.partitioned { mine.into_iter().filter_map(|l| l.part).collect() } else { vec![head.part] };
            Found { oid: head.oid, id: head.id, columns, layout, stored, key, barred, published: true, parts }
        })
        .collect())
}

fn stored(head: &Head, leaves: &[Leaf], columns: Vec<(i16, u32)>) -> Stored {
    let mut hasher = DefaultHasher::new();
    head.file.hash(&mut hasher);
    leaves.iter().for_each(|leaf| (leaf.oid, leaf.file).hash(&mut hasher));
    let attached = leaves.iter().filter(|leaf| leaf.attached);
    let with_rows = attached.clone().filter(|leaf| leaf.part.as_ref().is_some_and(|part| part.pages > 0));
    let mut stored = Stored {
        files: hasher.finish(),
        columns,
        attached: attached.map(|leaf| leaf.oid).collect(),
        attached_with_rows: with_rows.map(|leaf| leaf.oid).collect(),
    };
    stored.attached.sort_unstable();
    stored
}

async fn heads(client: &mut Client) -> Result<Vec<Head>, Error> {
    let rows = client
        .query(
            "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid), \
             pg_relation_size(c.oid) / current_setting('block_size')::int, greatest(c.reltuples, 0)::bigint, c.relfilenode FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' \
             AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 2, 3",
            "reading the catalog of tables",
        )
        .await?;
    Ok(rows.iter().filter_map(head).collect())
}

fn text(row: &Row, at: usize) -> &str {
    row.get(at).and_then(|v| v.as_deref()).unwrap_or("")
}

fn number<T: std::str::FromStr + Default>(row: &Row, at: usize) -> T {
    text(row, at).parse().unwrap_or_default()
}

fn head(row: &Row) -> Option<Head> {
    let id = TableId::new(text(row, 1), text(row, 2));
    Some(Head {
        oid: text(row, 0).parse().ok()?,
        partitioned: text(row, 3) == "p",
        identity: text(row, 4).chars().next()?,
        may_select: text(row, 5) == "t",
        row_security: text(row, 6) == "t",
        part: Part { oid: number(row, 0), id: id.clone(), pages: number(row, 7), rows: number(row, 8) },
        file: number(row, 9),
        id,
    })
}

/// The columns of a table.
#[derive(Default)]
struct Columns {
    /// To decode.
    columns: Vec<ShapeColumn>,
    /// As they are laid out.
    layout: Layout,
    /// The transaction that last defined each.
    defined: Vec<(i16, u32)>,
}

/// The columns of the tables `oids`.
async fn columns(client: &mut Client, types: &mut TypeCatalog, oids: &str) -> Result<HashMap<u32, Columns>, Error> {
    let rows = client
        .query(
            &format!(
                "SELECT attrelid, attname, atttypid, atttypmod, attnotnull, format_type(atttypid, atttypmod), attnum, {FILLED}, xmin FROM pg_attribute \
                 WHERE attrelid IN ({oids}) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attrelid, attnum"
            ),
            "reading the catalog of columns",
        )
        .await?;
    types.learn(client, rows.iter().map(|r| number(r, 2))).await?;
    let mut found: HashMap<u32, Columns> = HashMap::new();
    for row in &rows {
        let Columns { columns, layout, defined } = found.entry(number(row, 0)).or_default();
        defined.push((number(row, 6), number(row, 8)));
        layout.0.push(Laid {
            number: number(row, 6),
            name: text(row, 1).to_owned(),
            type_oid: number(row, 2),
            typmod: number(row, 3),
            filled: text(row, 7) == "t",
        });
        columns.push(ShapeColumn {
            name: text(row, 1).to_owned(),
            kind: types.kind(number(row, 2), number(row, 3)).unwrap_or(crate::decode::Kind::Printed),
            nullable: text(row, 4) != "t",
            source_type: text(row, 5).to_owned(),
        });
    }
    Ok(found)
}

/// The columns of the indexes that may identify rows.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// The primary key, if it may serve as replica identity.
    primary: Option<Vec<String>>,
    /// The index that REPLICA IDENTITY USING INDEX names.
    chosen: Option<Vec<String>>,
}

async fn identities(client: &mut Client, oids: &str) -> Result<BTreeMap<u32, Identity>, Error> {
    let rows = client
        .query(
            &format!(
                "SELECT i.indrelid, i.indisprimary, i.indisreplident, a.attname FROM pg_index i \
                 CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, ord) \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
                 WHERE i.indrelid IN ({oids}) AND i.indisvalid AND i.indisunique AND (i.indisreplident OR (i.indisprimary AND i.indimmediate)) \
                 AND k.ord <= i.indnkeyatts ORDER BY i.indrelid, i.indexrelid, a.attnum"
            ),
            "reading the catalog of keys",
        )
        .await?;
    let mut identities: BTreeMap<u32, Identity> = BTreeMap::new();
    for row in &rows {
        let identity = identities.entry(number(row, 0)).or_default();
        if text(row, 1) == "t" {
            identity.primary.get_or_insert_default().push(text(row, 3).to_owned());
        }
        if text(row, 2) == "t" {
            identity.chosen.get_or_insert_default().push(text(row, 3).to_owned());
        }
    }
    Ok(identities)
}

struct Leaf {
    oid: u32,
    identity: char,
    part: Option<Part>,
    /// The number of the file that its rows are in.
    file: u32,
    /// Whether it, or what it is a partition of below the table, was a table of its own before. One that was made in the transaction that
    /// attached it is not told apart from one that was made as a partition.
    attached: bool,
}

async fn leaves(client: &mut Client, oids: &str) -> Result<HashMap<u32, Vec<Leaf>>, Error> {
    let rows = client
        .query(
            &format!(
                "SELECT p.oid, n.nspname, c.relname, c.relkind, c.relreplident, pg_relation_size(c.oid) / current_setting('block_size')::int, greatest(c.reltuples, 0)::bigint, c.oid, c.relfilenode, \
                 EXISTS (SELECT FROM pg_partition_ancestors(c.oid) above(oid) JOIN pg_inherits i ON i.inhrelid = above.oid \
                   JOIN pg_attribute a ON a.attrelid = above.oid AND a.attnum = -6 WHERE i.xmin <> a.xmin) \
                 FROM pg_class p CROSS JOIN LATERAL pg_partition_tree(p.oid) t \
                 JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE p.oid IN ({oids}) AND p.relkind = 'p' AND t.isleaf AND c.relkind <> 'p' ORDER BY 1, 2, 3"
            ),
            "reading the catalog of partitions",
        )
        .await?;
    let mut leaves: HashMap<u32, Vec<Leaf>> = HashMap::new();
    for row in &rows {
        let part = Part {
            oid: number(row, 7),
            id: TableId::new(text(row, 1), text(row, 2)),
            pages: number(row, 5),
            rows: number(row, 6),
        };
        // Foreign partitions have no rows here and no changes in the log.
        let part = (text(row, 3) == "r").then_some(part);
        leaves.entry(number(row, 0)).or_default().push(Leaf {
            oid: number(row, 7),
            identity: text(row, 4).chars().next().unwrap_or('d'),
            part,
            file: number(row, 8),
            attached: text(row, 9) == "t",
        });
    }
    Ok(leaves)
}

/// How rows of a table are told apart: what the server will put into the old image of updates and deletes decides.
fn key_of(head: &Head, leaves: &[Leaf], identity: Option<&Identity>) -> Key {
    let primary = identity.and_then(|i| i.primary.clone());
    if leaves.iter().any(|l| l.identity == 'n') {
        return Key::None;
    }
    match head.identity {
        'n' => Key::None,
        'i' => identity.and_then(|i| i.chosen.clone()).map_or(Key::None, Key::Columns),
        'f' => match primary {
            Some(columns) => Key::Columns(columns),
            None if leaves.iter().all(|l| l.identity == 'f') => Key::WholeRow,
            None => Key::None,
        },
        _ => primary.map_or(Key::None, Key::Columns),
    }
}

/// An error for a table that can't be read.
pub(crate) fn barred_error(why: &str) -> Error {
    Error::new(Kind::Table, why.to_owned())
        .with_hint("Grant the role of the source's url what it lacks (GRANT SELECT ON <table> TO <role>; for row level security, BYPASSRLS), or leave the table out with `!schema.table`. lakebox then copies it by itself.")
}

/// What the catalog adds to the columns that the log tells.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// The types asked for, as the server spells them.
    pub(crate) type_names: Vec<String>,
    /// Columns that are NOT NULL.
    pub(crate) required: Vec<String>,
    /// Columns that rows from before the column was added have values in.
    pub(crate) filled: Vec<String>,
}

/// Asks for the columns of one table, and for the spelling of `types` (oid and modifier each).
pub(crate) async fn describe(client: &mut Client, oid: u32, types: &[(u32, i32)]) -> Result<Described, Error> {
    let doing = "reading the catalog of columns";
    let mut described = Described::default();
    if !types.is_empty() {
        let spelled = types.iter().map(|(oid, typmod)| format!("format_type({oid}, {typmod})")).collect::<Vec<_>>();
        // A row of a query holds at most 1664 values; tables hold fewer columns.
        let rows = client.query(&format!("SELECT {}", spelled.join(", ")), doing).await?;
        described.type_names = rows.first().map(|r| (0..r.len()).map(|i| text(r, i).to_owned()).collect()).unwrap_or_default();
    }
    let sql = format!(
        "SELECT attname, attnotnull, {FILLED} FROM pg_attribute \
         WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped"
    );
    for row in client.query(&sql, doing).await? {
        if text(&row, 1) == "t" {
            described.required.push(text(&row, 0).to_owned());
        }
        if text(&row, 2) == "t" {
            described.filled.push(text(&row, 0).to_owned());
        }
    }
    Ok(described)
}

/// A number that changes when tables appear, vanish, are renamed, become readable, get other columns, columns defined anew, or partitions.
pub(crate) async fn tables_fingerprint(client: &mut Client, settings: &Settings) -> Result<u64, Error> {
    let heads: Vec<Head> = heads(client).await?.into_iter().filter(|h| settings.follows(&h.id)).collect();
    let mut hasher = DefaultHasher::new();
    for head in &heads {
        (head.oid, &head.id.schema, &head.id.name, head.may_select, head.row_security, head.identity).hash(&mut hasher);
    }
    if !heads.is_empty() {
        let oids = heads.iter().map(|h| h.oid.to_string()).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT attrelid, attnum, attname, atttypid, atttypmod, xmin FROM pg_attribute \
             WHERE attrelid IN ({oids}) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY 1, 2"
        );
        client.query(&sql, "reading the catalog of columns").await?.hash(&mut hasher);
    }
    if heads.iter().any(|head| head.partitioned) {
        let sql = "SELECT inhrelid, inhparent, xmin FROM pg_inherits ORDER BY 1, 2";
        client.query(sql, "reading the catalog of partitions").await?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// A number that changes when tables join or leave a publication of ours.
pub(crate) async fn publications_fingerprint(client: &mut Client, settings: &Settings) -> Result<u64, Error> {
    let mut hasher = DefaultHasher::new();
    let sql = format!(
        "SELECT pubname, prrelid FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE pubname IN ({}, {}) ORDER BY 1, 2",
        literal(&settings.publication),
        literal(&settings.inserts_publication())
    );
    client.query(&sql, "reading the publications").await?.hash(&mut hasher);
    Ok(hasher.finish())
}
