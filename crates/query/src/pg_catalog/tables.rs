use super::{
    OWNER, Object, PgCatalog,
    relations::{self, Relation, RelationKind, type_of},
    rows::{bools, filled, floats, ints, longs, nulls, numbers, plain, shorts, table, texts},
};
use crate::engine::{CATALOG, PG_CATALOG, SYSTEM};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{catalog::TableProvider, error::Result};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::PgCatalogTable;
use lake::LakeView;
use model::Layer;
use std::sync::Arc;

/// Tables that are here and not in the library.
pub(super) const MORE: &[&str] = &[
    "pg_user",
    "pg_group",
    "pg_shadow",
    "pg_indexes",
    "pg_sequences",
    "pg_rules",
    "pg_locks",
    "pg_cursors",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_policies",
    "pg_stat_activity",
    "pg_stat_database",
    "pg_stat_all_tables",
    "pg_statio_user_tables",
    "pg_available_extensions",
    "pg_timezone_names",
    "pg_transform",
    "pg_parameter_acl",
    "pg_ts_config_map",
    "pg_stats",
];

type Made = Result<Option<Arc<dyn TableProvider>>>;

/// A table that says what the lake holds; none where `name` is not one of those.
pub(super) fn own(catalog: &PgCatalog, view: &LakeView, name: &str) -> Made {
    let all = || relations::all(catalog, view);
    match name {
        "pg_namespace" => namespaces(catalog, view),
        "pg_class" => classes(catalog, &all()),
        "pg_attribute" => attributes(catalog, &all()),
        "pg_index" => indexes(catalog, &all()),
        "pg_constraint" => constraints(catalog, &all()),
        "pg_database" => database(catalog),
        "pg_tables" => tables(&all()),
        "pg_views" => views(&all()),
        "pg_indexes" => index_list(&all()),
        "pg_stat_user_tables" | "pg_stat_all_tables" | "pg_statio_user_tables" => statistics(&all()),
        "pg_roles" | "pg_authid" => roles(catalog),
        "pg_user" | "pg_shadow" => users(),
        "pg_settings" => settings(),
        // These describe PostgreSQL's own tables, of which there are none here.
        "pg_attrdef" | "pg_collation" | "pg_depend" | "pg_init_privs" | "pg_rewrite" | "pg_statistic" | "pg_shdepend" => {
            empty_like(catalog, name)
        }
        _ => no_rows(name),
    }
}

/// A table that says what PostgreSQL itself brings along.
pub(super) fn library(catalog: &PgCatalog, name: &str) -> Made {
    Ok(match catalog.library.build_table_by_name(name)? {
        Some(PgCatalogTable::Static(rows)) => Some(plain(&rows.schema(), rows.data())?),
        Some(other) => Some(other.try_into_table_provider()?),
        None => None,
    })
}

fn empty_like(catalog: &PgCatalog, name: &str) -> Made {
    Ok(match catalog.library.build_table_by_name(name)? {
        Some(table) => Some(plain(&table.schema(), &[])?),
        None => None,
    })
}

/// Schemas that exist: the layers, users' own, those of crawlers, and those that describe everything.
pub(super) fn schema_names(catalog: &PgCatalog, view: &LakeView) -> Vec<String> {
    let mut names: Vec<String> = Layer::ALL.iter().map(|l| l.as_str().to_owned()).collect();
    let mut users = users_schemas(view);
    users.extend(catalog.crawled.schemas());
    names.extend(users);
    names.extend([SYSTEM, PG_CATALOG, "information_schema"].map(str::to_owned));
    names
}

/// Schemas that users made, and those of tables that came by another door.
pub(crate) fn users_schemas(view: &LakeView) -> std::collections::BTreeSet<String> {
    let of_tables = view.tables.keys().chain(view.views.keys()).filter(|t| t.layer.is_users());
    view.schemas.iter().copied().chain(of_tables.map(|t| t.layer)).map(|layer| layer.to_string()).collect()
}

fn namespaces(catalog: &PgCatalog, view: &LakeView) -> Made {
    let names = schema_names(catalog, view);
    let oids = names.iter().map(|name| catalog.oids.of(Object::Schema(name.clone())));
    let given = vec![("oid", ints(oids)), ("nspname", texts(&names)), ("nspowner", ints(names.iter().map(|_| 10)))];
    let mut fields: Vec<Field> = ["oid", "nspname", "nspowner"].iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect();
    fields.push(Field::new("nspacl", DataType::Utf8, true));
    filled(&Schema::new(fields), names.len(), given).map(Some)
}

fn schema_oid(catalog: &PgCatalog, relation: &Relation) -> i32 {
    catalog.oids.of(Object::Schema(relation.schema.clone()))
}

fn classes(catalog: &PgCatalog, all: &[Relation]) -> Made {
    let indexes: Vec<Relation> = all.iter().filter_map(|r| r.index(&catalog.oids)).collect();
    let all: Vec<&Relation> = all.iter().chain(&indexes).collect();
    let each = |f: &dyn Fn(&Relation) -> i32| ints(all.iter().map(|r| f(r)));
    let text = |f: &dyn Fn(&Relation) -> &str| texts(all.iter().map(|r| f(r)));
    let given = vec![
        ("oid", each(&|r| r.oid)),
        ("relname", text(&|r| &r.name)),
        ("relnamespace", each(&|r| schema_oid(catalog, r))),
        ("relowner", each(&|_| 10)),
        // The numbers of the access methods heap and btree.
        (
            "relam",
            each(&|r| match r.kind {
                RelationKind::Table => 2,
                RelationKind::View => 0,
                RelationKind::Index => 403,
            }),
        ),
        ("relpages", each(&|r| i32::try_from(r.bytes / 8192).unwrap_or(i32::MAX))),
        ("reltuples", floats(all.iter().map(|r| r.rows as f32))),
        ("relhasindex", bools(all.iter().map(|r| r.has_key()))),
        ("relpersistence", text(&|_| "p")),
        ("relkind", text(&|r| r.kind.letter())),
        ("relnatts", shorts(all.iter().map(|r| i16::try_from(r.columns.fields().len()).unwrap_or(i16::MAX)))),
        ("relhasrules", bools(all.iter().map(|r| r.kind == RelationKind::View))),
        ("relispopulated", bools(all.iter().map(|_| true))),
        ("relreplident", text(&|_| "d")),
        ("relhasoids", bools(all.iter().map(|_| false))),
        ("relacl", nulls(all.len())),
        ("reloptions", nulls(all.len())),
    ];
    filled(&catalog.statics_schema("pg_class")?, all.len(), given).map(Some)
}

fn attributes(catalog: &PgCatalog, all: &[Relation]) -> Made {
    let indexes: Vec<Relation> = all.iter().filter_map(|r| r.index(&catalog.oids)).collect();
    let columns: Vec<(&Relation, i16, &Arc<Field>)> = all
        .iter()
        .chain(&indexes)
        .flat_map(|r| r.columns.fields().iter().zip(1..).map(move |(field, number)| (r, number, field)))
        .collect();
    let types: Vec<(i32, i32)> = columns.iter().map(|(_, _, field)| type_of(field)).collect();
    let required = |r: &Relation, field: &Field| !field.is_nullable() || (r.has_key() && r.key.contains(field.name()));
    let given = vec![
        ("attrelid", ints(columns.iter().map(|(r, ..)| r.oid))),
        ("attname", texts(columns.iter().map(|(_, _, f)| f.name()))),
        ("atttypid", ints(types.iter().map(|(oid, _)| *oid))),
        ("attlen", shorts(types.iter().map(|(oid, _)| catalog.types.length(*oid)))),
        ("attnum", shorts(columns.iter().map(|(_, number, _)| *number))),
        ("attcacheoff", ints(columns.iter().map(|_| -1))),
        ("atttypmod", ints(types.iter().map(|(_, modifier)| *modifier))),
        ("attndims", shorts(columns.iter().map(|(_, _, f)| i16::from(matches!(f.data_type(), DataType::List(_)))))),
        ("attalign", texts(columns.iter().map(|_| "i"))),
        ("attstorage", texts(columns.iter().map(|_| "p"))),
        ("attcompression", texts(columns.iter().map(|_| ""))),
        ("attnotnull", bools(columns.iter().map(|(r, _, f)| required(r, f)))),
        ("attidentity", texts(columns.iter().map(|_| ""))),
        ("attgenerated", texts(columns.iter().map(|_| ""))),
        ("attislocal", bools(columns.iter().map(|_| true))),
        // The default collation, which columns of text have.
        ("attcollation", ints(types.iter().map(|(oid, _)| if catalog.types.is_text(*oid) { 100 } else { 0 }))),
        ("attstattarget", shorts(columns.iter().map(|_| -1))),
    ];
    filled(&catalog.statics_schema("pg_attribute")?, columns.len(), given).map(Some)
}

fn keyed(all: &[Relation]) -> Vec<&Relation> {
    all.iter().filter(|r| r.has_key()).collect()
}

fn indexes(catalog: &PgCatalog, all: &[Relation]) -> Made {
    let keyed = keyed(all);
    let width = |r: &&Relation| i16::try_from(r.key.len()).unwrap_or(i16::MAX);
    let list = |value: i16| numbers(keyed.iter().map(|r| vec![value; r.key.len()]));
    let yes = || bools(keyed.iter().map(|_| true));
    let given = vec![
        ("indexrelid", ints(keyed.iter().map(|r| r.index_oid(&catalog.oids)))),
        ("indrelid", ints(keyed.iter().map(|r| r.oid))),
        ("indnatts", shorts(keyed.iter().map(width))),
        ("indnkeyatts", shorts(keyed.iter().map(width))),
        ("indisunique", yes()),
        ("indisprimary", yes()),
        ("indimmediate", yes()),
        ("indisvalid", yes()),
        ("indisready", yes()),
        ("indislive", yes()),
        ("indkey", numbers(keyed.iter().map(|r| r.key_numbers()))),
        ("indcollation", list(0)),
        ("indclass", list(0)),
        ("indoption", list(0)),
    ];
    filled(&catalog.statics_schema("pg_index")?, keyed.len(), given).map(Some)
}

fn constraints(catalog: &PgCatalog, all: &[Relation]) -> Made {
    let keyed = keyed(all);
    let text = |value: &str| texts(keyed.iter().map(|_| value.to_owned()));
    let given = vec![
        ("oid", ints(keyed.iter().map(|r| r.constraint_oid(&catalog.oids)))),
        ("conname", texts(keyed.iter().map(|r| r.key_name()))),
        ("connamespace", ints(keyed.iter().map(|r| schema_oid(catalog, r)))),
        ("contype", text("p")),
        ("convalidated", bools(keyed.iter().map(|_| true))),
        ("conrelid", ints(keyed.iter().map(|r| r.oid))),
        ("conindid", ints(keyed.iter().map(|r| r.index_oid(&catalog.oids)))),
        ("confupdtype", text(" ")),
        ("confdeltype", text(" ")),
        ("confmatchtype", text(" ")),
        ("conislocal", bools(keyed.iter().map(|_| true))),
        ("connoinherit", bools(keyed.iter().map(|_| true))),
        ("conkey", numbers(keyed.iter().map(|r| r.key_numbers()))),
        ("confkey", numbers(keyed.iter().map(|_| Vec::new()))),
    ];
    filled(&catalog.statics_schema("pg_constraint")?, keyed.len(), given).map(Some)
}

fn database(catalog: &PgCatalog) -> Made {
    let given = vec![
        ("oid", ints([16_383])),
        ("datname", texts([CATALOG])),
        ("datdba", ints([10])),
        // The number of UTF-8.
        ("encoding", ints([6])),
        ("datlocprovider", texts(["c"])),
        ("datallowconn", bools([true])),
        ("datconnlimit", ints([-1])),
        ("dattablespace", ints([1663])),
        ("datcollate", texts(["C.UTF-8"])),
        ("datctype", texts(["C.UTF-8"])),
        ("datlocale", nulls(1)),
        ("datcollversion", nulls(1)),
        ("datacl", nulls(1)),
        // Clients written for versions before 16 ask for it by this name.
        ("daticulocale", nulls(1)),
        ("datistemplate", bools([false])),
    ];
    filled(&catalog.statics_schema("pg_database")?, 1, given).map(Some)
}

fn tables(all: &[Relation]) -> Made {
    let all: Vec<&Relation> = all.iter().filter(|r| r.kind == RelationKind::Table).collect();
    let no = || bools(all.iter().map(|_| false));
    table(vec![
        ("schemaname", texts(all.iter().map(|r| &r.schema))),
        ("tablename", texts(all.iter().map(|r| &r.name))),
        ("tableowner", texts(all.iter().map(|_| OWNER))),
        ("tablespace", nulls(all.len())),
        ("hasindexes", bools(all.iter().map(|r| r.has_key()))),
        ("hasrules", no()),
        ("hastriggers", no()),
        ("rowsecurity", no()),
    ])
    .map(Some)
}

fn views(all: &[Relation]) -> Made {
    let all: Vec<&Relation> = all.iter().filter(|r| r.kind == RelationKind::View).collect();
    table(vec![
        ("schemaname", texts(all.iter().map(|r| &r.schema))),
        ("viewname", texts(all.iter().map(|r| &r.name))),
        ("viewowner", texts(all.iter().map(|_| OWNER))),
        ("definition", texts(all.iter().map(|r| r.definition.clone().unwrap_or_default()))),
    ])
    .map(Some)
}

fn index_list(all: &[Relation]) -> Made {
    let keyed = keyed(all);
    table(vec![
        ("schemaname", texts(keyed.iter().map(|r| &r.schema))),
        ("tablename", texts(keyed.iter().map(|r| &r.name))),
        ("indexname", texts(keyed.iter().map(|r| r.key_name()))),
        ("tablespace", nulls(keyed.len())),
        ("indexdef", texts(keyed.iter().map(|r| index_definition(r)))),
    ])
    .map(Some)
}

/// The index of a primary key, as PostgreSQL would spell it.
pub(super) fn index_definition(relation: &Relation) -> String {
    let Relation { schema, name, key, .. } = relation;
    format!("CREATE UNIQUE INDEX {} ON {schema}.{name} USING btree ({})", relation.key_name(), key.join(", "))
}

fn statistics(all: &[Relation]) -> Made {
    let all: Vec<&Relation> = all.iter().filter(|r| r.kind == RelationKind::Table).collect();
    let zero = || longs(all.iter().map(|_| 0));
    table(vec![
        ("relid", ints(all.iter().map(|r| r.oid))),
        ("schemaname", texts(all.iter().map(|r| &r.schema))),
        ("relname", texts(all.iter().map(|r| &r.name))),
        ("seq_scan", zero()),
        ("seq_tup_read", zero()),
        ("idx_scan", zero()),
        ("idx_tup_fetch", zero()),
        ("n_tup_ins", zero()),
        ("n_tup_upd", zero()),
        ("n_tup_del", zero()),
        ("n_live_tup", longs(all.iter().map(|r| i64::try_from(r.rows).unwrap_or(i64::MAX)))),
        ("n_dead_tup", zero()),
    ])
    .map(Some)
}

/// The one owner of everything. Who may connect is no business of whoever is connected.
fn roles(catalog: &PgCatalog) -> Made {
    let yes = || bools([true]);
    let given = vec![
        ("oid", ints([10])),
        ("rolname", texts([OWNER])),
        ("rolsuper", bools([false])),
        ("rolinherit", yes()),
        ("rolcanlogin", yes()),
        ("rolconnlimit", ints([-1])),
        ("rolconfig", nulls(1)),
    ];
    filled(&catalog.statics_schema("pg_authid")?, 1, given).map(Some)
}

fn users() -> Made {
    let no = || bools([false]);
    let nothing = || nulls(1);
    table(vec![
        ("usename", texts([OWNER])),
        ("usesysid", ints([10])),
        ("usecreatedb", no()),
        ("usesuper", no()),
        ("userepl", no()),
        ("usebypassrls", no()),
        ("passwd", nothing()),
        ("valuntil", nothing()),
        ("useconfig", nothing()),
    ])
    .map(Some)
}

/// Settings that clients look up before they set or believe something, with PostgreSQL's values.
const SETTINGS: [(&str, &str, &str); 18] = [
    ("application_name", "", "string"),
    ("bytea_output", "hex", "enum"),
    ("client_encoding", "UTF8", "string"),
    ("datestyle", "ISO, MDY", "string"),
    ("extra_float_digits", "1", "integer"),
    ("intervalstyle", "postgres", "enum"),
    ("lock_timeout", "0", "integer"),
    ("max_identifier_length", "63", "integer"),
    ("max_index_keys", "32", "integer"),
    ("search_path", "gold, silver", "string"),
    ("server_encoding", "UTF8", "string"),
    ("server_version", crate::engine::SERVER_VERSION, "string"),
    ("server_version_num", crate::engine::SERVER_VERSION_NUMBER, "integer"),
    ("standard_conforming_strings", "on", "bool"),
    ("statement_timeout", "0", "integer"),
    ("timezone", "UTC", "string"),
    ("transaction_isolation", "read committed", "enum"),
    ("work_mem", "4096", "integer"),
];

fn settings() -> Made {
    let rows = SETTINGS.len();
    let same = |value: &str| texts(std::iter::repeat_n(value.to_owned(), rows));
    let internal = |name: &str| name.starts_with("server_") || name.starts_with("max_");
    table(vec![
        ("name", texts(SETTINGS.map(|(name, ..)| name))),
        ("setting", texts(SETTINGS.map(|(_, value, _)| value))),
        ("unit", nulls(rows)),
        ("category", same("Client Connection Defaults")),
        ("short_desc", nulls(rows)),
        ("extra_desc", nulls(rows)),
        ("context", texts(SETTINGS.map(|(name, ..)| if internal(name) { "internal" } else { "user" }))),
        ("vartype", texts(SETTINGS.map(|(.., kind)| kind))),
        ("source", same("default")),
        ("min_val", nulls(rows)),
        ("max_val", nulls(rows)),
        ("enumvals", nulls(rows)),
        ("boot_val", texts(SETTINGS.map(|(_, value, _)| value))),
        ("reset_val", texts(SETTINGS.map(|(_, value, _)| value))),
        ("sourcefile", nulls(rows)),
        ("sourceline", ints(std::iter::repeat_n(0, rows))),
        ("pending_restart", bools(std::iter::repeat_n(false, rows))),
    ])
    .map(Some)
}

/// Tables that clients ask for and that have no rows here: their columns and types.
fn no_rows(name: &str) -> Made {
    let columns: &[(&'static str, &str)] = match name {
        "pg_group" => &[("groname", "t"), ("grosysid", "i"), ("grolist", "t")],
        "pg_sequences" => &[
            ("schemaname", "t"),
            ("sequencename", "t"),
            ("sequenceowner", "t"),
            ("data_type", "t"),
            ("start_value", "l"),
            ("min_value", "l"),
            ("max_value", "l"),
            ("increment_by", "l"),
            ("cycle", "b"),
            ("cache_size", "l"),
            ("last_value", "l"),
        ],
        "pg_rules" => &[("schemaname", "t"), ("tablename", "t"), ("rulename", "t"), ("definition", "t")],
        "pg_locks" => &[
            ("locktype", "t"),
            ("database", "i"),
            ("relation", "i"),
            ("pid", "i"),
            ("mode", "t"),
            ("granted", "b"),
            ("transactionid", "t"),
            ("virtualtransaction", "t"),
        ],
        "pg_cursors" => &[("name", "t"), ("statement", "t"), ("is_holdable", "b"), ("is_binary", "b"), ("is_scrollable", "b")],
        "pg_prepared_statements" => &[("name", "t"), ("statement", "t"), ("from_sql", "b")],
        "pg_prepared_xacts" => &[("transaction", "t"), ("gid", "t"), ("prepared", "t"), ("owner", "t"), ("database", "t")],
        "pg_policies" => &[("schemaname", "t"), ("tablename", "t"), ("policyname", "t"), ("cmd", "t")],
        "pg_matviews" => &[
            ("schemaname", "t"),
            ("matviewname", "t"),
            ("matviewowner", "t"),
            ("tablespace", "t"),
            ("hasindexes", "b"),
            ("ispopulated", "b"),
            ("definition", "t"),
        ],
        "pg_stat_activity" => &[
            ("datid", "i"),
            ("datname", "t"),
            ("pid", "i"),
            ("usesysid", "i"),
            ("usename", "t"),
            ("application_name", "t"),
            ("client_addr", "t"),
            ("client_port", "i"),
            ("state", "t"),
            ("query", "t"),
            ("backend_type", "t"),
            ("wait_event_type", "t"),
            ("wait_event", "t"),
        ],
        "pg_stat_database" => {
            &[("datid", "i"), ("datname", "t"), ("numbackends", "i"), ("xact_commit", "l"), ("xact_rollback", "l")]
        }
        "pg_available_extensions" => &[("name", "t"), ("default_version", "t"), ("installed_version", "t"), ("comment", "t")],
        "pg_extension" => &[
            ("oid", "i"),
            ("extname", "t"),
            ("extowner", "i"),
            ("extnamespace", "i"),
            ("extrelocatable", "b"),
            ("extversion", "t"),
            ("extconfig", "t"),
            ("extcondition", "t"),
        ],
        "pg_timezone_names" => &[("name", "t"), ("abbrev", "t"), ("utc_offset", "t"), ("is_dst", "b")],
        "pg_transform" => &[("oid", "i"), ("trftype", "i"), ("trflang", "i"), ("trffromsql", "i"), ("trftosql", "i")],
        "pg_parameter_acl" => &[("oid", "i"), ("parname", "t"), ("paracl", "t")],
        "pg_ts_config_map" => &[("mapcfg", "i"), ("maptokentype", "i"), ("mapseqno", "i"), ("mapdict", "i")],
        "pg_stats" => &[("schemaname", "t"), ("tablename", "t"), ("attname", "t"), ("null_frac", "l"), ("n_distinct", "l")],
        "pg_description" | "pg_seclabel" | "pg_shseclabel" => {
            &[("objoid", "i"), ("classoid", "i"), ("objsubid", "i"), ("description", "t"), ("provider", "t"), ("label", "t")]
        }
        "pg_shdescription" => &[("objoid", "i"), ("classoid", "i"), ("description", "t")],
        _ => return Ok(None),
    };
    let column = |(name, kind): &(&'static str, &str)| {
        let array = match *kind {
            "i" => ints([]),
            "l" => longs([]),
            "b" => bools([]),
            _ => texts::<&str>([]),
        };
        (*name, array)
    };
    table(columns.iter().map(column).collect()).map(Some)
}

impl PgCatalog {
    /// The columns that PostgreSQL's table of this name has.
    fn statics_schema(&self, name: &str) -> Result<Schema> {
        Ok(self.library.build_table_by_name(name)?.map_or_else(Schema::empty, |t| t.schema().as_ref().clone()))
    }
}
