//! The schema `information_schema`, with types and keys as the standard spells them. Tables about the engine itself are DataFusion's.

use super::{
    OWNER, PgCatalog,
    relations::{self, Relation, RelationKind},
    rows::{ints, nulls, table, texts},
    tables::schema_names,
};
use crate::{engine::CATALOG, sql_types::sql_type_name};
use arrow::{
    array::{ArrayRef, Int32Array, StringArray},
    datatypes::{DataType, Field},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider, information_schema::InformationSchemaProvider},
    error::{DataFusionError, Result},
};
use lake::LakeView;
use std::sync::Arc;

/// Tables that are made here.
const OWN: &[&str] = &[
    "tables",
    "columns",
    "views",
    "schemata",
    "table_constraints",
    "key_column_usage",
    "constraint_column_usage",
    "referential_constraints",
    "check_constraints",
    "sequences",
    "triggers",
    "table_privileges",
    "role_table_grants",
    "column_privileges",
    "element_types",
    "domains",
    "enabled_roles",
    "applicable_roles",
    "information_schema_catalog_name",
    "character_sets",
    "view_table_usage",
];

/// The schema in one statement's world.
#[derive(Debug)]
pub(crate) struct InformationSchema {
    pub(crate) catalog: Arc<PgCatalog>,
    pub(crate) view: Arc<LakeView>,
    pub(crate) engine: InformationSchemaProvider,
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = OWN.iter().map(ToString::to_string).collect();
        names.extend(self.engine.table_names().into_iter().filter(|n| !OWN.contains(&n.as_str())));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if !OWN.contains(&name) {
            return self.engine.table(name).await;
        }
        let all = relations::all(&self.catalog, &self.view);
        match name {
            "tables" => tables(&all),
            "columns" => columns(&self.catalog, &all),
            "views" => views(&all),
            "schemata" => schemata(&schema_names(&self.catalog, &self.view)),
            "table_constraints" => constraints(&all),
            "key_column_usage" | "constraint_column_usage" => key_columns(&all),
            "information_schema_catalog_name" => table(vec![("catalog_name", texts([CATALOG]))]),
            "enabled_roles" | "applicable_roles" => table(vec![("role_name", texts([OWNER])), ("grantee", texts([OWNER]))]),
            "character_sets" => table(vec![
                ("character_set_catalog", nulls(1)),
                ("character_set_schema", nulls(1)),
                ("character_set_name", texts(["UTF8"])),
                ("default_collate_catalog", texts([CATALOG])),
                ("default_collate_schema", texts(["pg_catalog"])),
                ("default_collate_name", texts(["C.UTF-8"])),
            ]),
            other => empty(other),
        }
        .map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        OWN.contains(&name) || self.engine.table_exist(name)
    }
}

type Made = Result<Arc<dyn TableProvider>>;

fn same(value: &str, rows: usize) -> ArrayRef {
    texts(std::iter::repeat_n(value.to_owned(), rows))
}

fn tables(all: &[Relation]) -> Made {
    let rows = all.len();
    let kind = |r: &Relation| if r.kind == RelationKind::View { "VIEW" } else { "BASE TABLE" };
    table(vec![
        ("table_catalog", same(CATALOG, rows)),
        ("table_schema", texts(all.iter().map(|r| &r.schema))),
        ("table_name", texts(all.iter().map(|r| &r.name))),
        ("table_type", texts(all.iter().map(kind))),
        ("self_referencing_column_name", nulls(rows)),
        ("reference_generation", nulls(rows)),
        ("user_defined_type_catalog", nulls(rows)),
        ("user_defined_type_schema", nulls(rows)),
        ("user_defined_type_name", nulls(rows)),
        ("is_insertable_into", same("NO", rows)),
        ("is_typed", same("NO", rows)),
        ("commit_action", nulls(rows)),
    ])
}

fn views(all: &[Relation]) -> Made {
    let all: Vec<&Relation> = all.iter().filter(|r| r.kind == RelationKind::View).collect();
    let no = || same("NO", all.len());
    table(vec![
        ("table_catalog", same(CATALOG, all.len())),
        ("table_schema", texts(all.iter().map(|r| &r.schema))),
        ("table_name", texts(all.iter().map(|r| &r.name))),
        ("view_definition", Arc::new(all.iter().map(|r| r.definition.clone()).collect::<StringArray>())),
        // DataFusion's name of the same, which SHOW CREATE TABLE reads.
        ("definition", Arc::new(all.iter().map(|r| r.definition.clone()).collect::<StringArray>())),
        ("check_option", same("NONE", all.len())),
        ("is_updatable", no()),
        ("is_insertable_into", no()),
        ("is_trigger_updatable", no()),
        ("is_trigger_deletable", no()),
        ("is_trigger_insertable_into", no()),
    ])
}

fn schemata(names: &[String]) -> Made {
    table(vec![
        ("catalog_name", same(CATALOG, names.len())),
        ("schema_name", texts(names)),
        ("schema_owner", same(OWNER, names.len())),
        ("default_character_set_catalog", nulls(names.len())),
        ("default_character_set_schema", nulls(names.len())),
        ("default_character_set_name", nulls(names.len())),
        ("sql_path", nulls(names.len())),
    ])
}

/// The type's name without its modifiers, which have columns of their own.
fn standard_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(_) => "ARRAY".to_owned(),
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::UInt64 => "numeric".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone".to_owned(),
        other => sql_type_name(other),
    }
}

/// Digits and, of those, digits behind the point.
fn digits(data_type: &DataType) -> (Option<i32>, Option<i32>) {
    match data_type {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => (Some(i32::from(*p)), Some(i32::from(*s))),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => (Some(16), Some(0)),
        DataType::Int32 | DataType::UInt16 => (Some(32), Some(0)),
        DataType::Int64 | DataType::UInt32 => (Some(64), Some(0)),
        DataType::Float32 => (Some(24), None),
        DataType::Float64 => (Some(53), None),
        _ => (None, None),
    }
}

fn columns(catalog: &PgCatalog, all: &[Relation]) -> Made {
    let columns: Vec<(&Relation, i32, &Arc<Field>)> =
        all.iter().flat_map(|r| r.columns.fields().iter().zip(1..).map(move |(f, n)| (r, n, f))).collect();
    let rows = columns.len();
    let text = |f: &dyn Fn(&Relation, &Field) -> String| texts(columns.iter().map(|(r, _, c)| f(r, c)));
    let int = |f: &dyn Fn(&DataType) -> Option<i32>| -> ArrayRef {
        Arc::new(columns.iter().map(|(.., c)| f(c.data_type())).collect::<Int32Array>())
    };
    let nullable = |r: &Relation, c: &Field| c.is_nullable() && !(r.has_key() && r.key.contains(c.name()));
    let udt = |c: &Arc<Field>| catalog.types.name(relations::type_of(c).0);
    table(vec![
        ("table_catalog", same(CATALOG, rows)),
        ("table_schema", text(&|r, _| r.schema.clone())),
        ("table_name", text(&|r, _| r.name.clone())),
        ("column_name", text(&|_, c| c.name().clone())),
        ("ordinal_position", ints(columns.iter().map(|(_, n, _)| *n))),
        ("column_default", nulls(rows)),
        ("is_nullable", text(&|r, c| if nullable(r, c) { "YES" } else { "NO" }.to_owned())),
        ("data_type", text(&|_, c| standard_name(c.data_type()))),
        ("character_maximum_length", int(&|_| None)),
        ("character_octet_length", int(&|_| None)),
        ("numeric_precision", int(&|t| digits(t).0)),
        ("numeric_precision_radix", int(&|t| digits(t).0.map(|_| if t.is_decimal() { 10 } else { 2 }))),
        ("numeric_scale", int(&|t| digits(t).1)),
        ("datetime_precision", int(&|t| if matches!(t, DataType::Date32) { Some(0) } else { t.is_temporal().then_some(6) })),
        ("interval_type", nulls(rows)),
        ("character_set_name", nulls(rows)),
        ("collation_name", nulls(rows)),
        ("domain_name", nulls(rows)),
        ("udt_catalog", same(CATALOG, rows)),
        ("udt_schema", same("pg_catalog", rows)),
        ("udt_name", texts(columns.iter().map(|(.., c)| udt(c)))),
        ("is_self_referencing", same("NO", rows)),
        ("is_identity", same("NO", rows)),
        ("identity_generation", nulls(rows)),
        ("is_generated", same("NEVER", rows)),
        ("generation_expression", nulls(rows)),
        ("is_updatable", same("NO", rows)),
    ])
}

fn constraints(all: &[Relation]) -> Made {
    let keyed: Vec<&Relation> = all.iter().filter(|r| r.has_key()).collect();
    let rows = keyed.len();
    table(vec![
        ("constraint_catalog", same(CATALOG, rows)),
        ("constraint_schema", texts(keyed.iter().map(|r| &r.schema))),
        ("constraint_name", texts(keyed.iter().map(|r| r.key_name()))),
        ("table_catalog", same(CATALOG, rows)),
        ("table_schema", texts(keyed.iter().map(|r| &r.schema))),
        ("table_name", texts(keyed.iter().map(|r| &r.name))),
        ("constraint_type", same("PRIMARY KEY", rows)),
        ("is_deferrable", same("NO", rows)),
        ("initially_deferred", same("NO", rows)),
        ("enforced", same("YES", rows)),
    ])
}

fn key_columns(all: &[Relation]) -> Made {
    let keyed = all.iter().filter(|r| r.has_key());
    let columns: Vec<(&Relation, i32, &String)> =
        keyed.flat_map(|r| r.key.iter().zip(1..).map(move |(c, n)| (r, n, c))).collect();
    let rows = columns.len();
    table(vec![
        ("constraint_catalog", same(CATALOG, rows)),
        ("constraint_schema", texts(columns.iter().map(|(r, ..)| &r.schema))),
        ("constraint_name", texts(columns.iter().map(|(r, ..)| r.key_name()))),
        ("table_catalog", same(CATALOG, rows)),
        ("table_schema", texts(columns.iter().map(|(r, ..)| &r.schema))),
        ("table_name", texts(columns.iter().map(|(r, ..)| &r.name))),
        ("column_name", texts(columns.iter().map(|(.., c)| *c))),
        ("ordinal_position", ints(columns.iter().map(|(_, n, _)| *n))),
        ("position_in_unique_constraint", Arc::new(columns.iter().map(|_| None::<i32>).collect::<Int32Array>())),
    ])
}

/// Tables about what lakebox has not.
fn empty(name: &str) -> Made {
    let columns: &[&'static str] = match name {
        "referential_constraints" => &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
        "check_constraints" => &["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"],
        "sequences" => &[
            "sequence_catalog",
            "sequence_schema",
            "sequence_name",
            "data_type",
            "start_value",
            "minimum_value",
            "maximum_value",
            "increment",
            "cycle_option",
        ],
        "triggers" => &[
            "trigger_catalog",
            "trigger_schema",
            "trigger_name",
            "event_manipulation",
            "event_object_schema",
            "event_object_table",
            "action_statement",
            "action_orientation",
            "action_timing",
        ],
        "domains" => &["domain_catalog", "domain_schema", "domain_name", "data_type"],
        "view_table_usage" => &["view_catalog", "view_schema", "view_name", "table_catalog", "table_schema", "table_name"],
        "element_types" => {
            &["object_catalog", "object_schema", "object_name", "object_type", "collection_type_identifier", "data_type"]
        }
        _ => &[
            "grantor",
            "grantee",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "privilege_type",
            "is_grantable",
            "with_hierarchy",
        ],
    };
    table(columns.iter().map(|c| (*c, texts::<&str>([]))).collect())
}
