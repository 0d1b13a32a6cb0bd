//! Numbers to names and back: what casts to `regclass` and the like, and functions that describe objects, ask for.

use super::{
    OWNER, Object, PgCatalog,
    relations::{self, Relation},
    tables::{index_definition, schema_names},
};
use crate::engine::PG_CATALOG;
use arrow::array::AsArray;
use arrow::datatypes::{Int16Type, Int32Type};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::PgCatalogStaticTables;
use lake::LakeView;
use std::{cell::OnceCell, collections::HashMap, sync::Arc};

/// PostgreSQL's types.
#[derive(Debug, Default)]
pub(super) struct Types {
    by_oid: HashMap<i32, PgType>,
    by_name: HashMap<String, i32>,
    functions: HashMap<String, i32>,
    function_names: HashMap<i32, String>,
}

#[derive(Debug)]
struct PgType {
    name: String,
    length: i16,
    /// The type of the items, where it is a list.
    item: i32,
}

/// Names that the standard has for types, beside PostgreSQL's own.
const STANDARD: [(&str, &str); 16] = [
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int4", "int"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("bpchar", "character"),
    ("varchar", "character varying"),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("numeric", "decimal"),
    ("bit", "bit"),
    ("varbit", "bit varying"),
];

impl Types {
    pub(super) fn read(statics: &PgCatalogStaticTables) -> Self {
        let mut out = Self::default();
        for batch in statics.pg_type.data() {
            let text = |name: &str| batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).cloned();
            let int = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int32Type>()).cloned();
            let short = batch.column_by_name("typlen").and_then(|c| c.as_primitive_opt::<Int16Type>()).cloned();
            let (Some(oid), Some(name), Some(item), Some(length), Some(category)) =
                (int("oid"), text("typname"), int("typelem"), short, text("typcategory"))
            else {
                continue;
            };
            for row in 0..batch.num_rows() {
                let item = if category.value(row) == "A" { item.value(row) } else { 0 };
                out.by_name.insert(name.value(row).to_owned(), oid.value(row));
                let known = PgType { name: name.value(row).to_owned(), length: length.value(row), item };
                out.by_oid.insert(oid.value(row), known);
            }
        }
        for batch in statics.pg_proc.data() {
            let oid = batch.column_by_name("oid").and_then(|c| c.as_primitive_opt::<Int32Type>());
            let name = batch.column_by_name("proname").and_then(|c| c.as_string_opt::<i32>());
            let (Some(oid), Some(name)) = (oid, name) else { continue };
            for row in 0..batch.num_rows() {
                out.functions.entry(name.value(row).to_owned()).or_insert(oid.value(row));
                out.function_names.insert(oid.value(row), name.value(row).to_owned());
            }
        }
        out
    }

    /// Bytes of a value; -1 where they differ.
    pub(super) fn length(&self, oid: i32) -> i16 {
        self.by_oid.get(&oid).map_or(-1, |t| t.length)
    }

    pub(super) fn is_text(&self, oid: i32) -> bool {
        self.by_oid.get(&oid).is_some_and(|t| matches!(t.name.as_str(), "text" | "varchar" | "bpchar" | "name"))
    }

    /// PostgreSQL's own name of a type.
    pub(super) fn name(&self, oid: i32) -> &str {
        self.by_oid.get(&oid).map_or("text", |t| t.name.as_str())
    }

    /// The number of a type by any of its names, `[]` and modifiers included.
    fn find(&self, name: &str) -> Option<i32> {
        let name = name.trim().to_lowercase().replace('"', "");
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        if let Some(item) = name.strip_suffix("[]") {
            let item = self.find(item)?;
            return self.by_oid.iter().find(|(_, t)| t.item == item).map(|(oid, _)| *oid);
        }
        let bare = name.split('(').next().unwrap_or(name).trim();
        let bare = STANDARD.iter().find(|(_, standard)| *standard == bare).map_or(bare, |(own, _)| own);
        self.by_name.get(bare).copied()
    }

    /// The name of a type as people read it, with its modifier; none for a number that is no type.
    pub(super) fn format(&self, oid: i32, modifier: Option<i32>) -> Option<String> {
        let known = self.by_oid.get(&oid)?;
        if known.item != 0 && known.name.starts_with('_') {
            return Some(format!("{}[]", self.format(known.item, modifier)?));
        }
        let name =
            STANDARD.iter().find(|(own, _)| *own == known.name && *own != "numeric").map_or(known.name.as_str(), |(_, s)| s);
        let Some(modifier) = modifier.filter(|m| *m >= 0) else { return Some(name.to_owned()) };
        Some(match known.name.as_str() {
            "numeric" if modifier >= 4 => format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0x7ff),
            "varchar" | "bpchar" if modifier >= 4 => format!("{name}({})", modifier - 4),
            "timestamp" | "timestamptz" | "time" | "timetz" => match name.split_once(' ') {
                Some((word, zone)) => format!("{word}({modifier}) {zone}"),
                None => name.to_owned(),
            },
            _ => name.to_owned(),
        })
    }
}

/// What there is at one moment.
pub(crate) struct Lookup<'a> {
    catalog: &'a PgCatalog,
    view: Arc<LakeView>,
    relations: OnceCell<Vec<Relation>>,
}

/// The parts of `a.b` or `"A"."b.c"`: quoted ones as they are, others in lower case.
pub(crate) fn name_parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = name.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                parts.last_mut().into_iter().for_each(|p| p.push('"'));
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c if quoted => parts.last_mut().into_iter().for_each(|p| p.push(c)),
            c => parts.last_mut().into_iter().for_each(|p| p.extend(c.to_lowercase())),
        }
    }
    parts
}

impl<'a> Lookup<'a> {
    pub(super) fn new(catalog: &'a PgCatalog, view: Arc<LakeView>) -> Self {
        Self { catalog, view, relations: OnceCell::new() }
    }

    fn relations(&self) -> &[Relation] {
        self.relations.get_or_init(|| relations::all(self.catalog, &self.view))
    }

    fn relation(&self, oid: i32) -> Option<&Relation> {
        self.relations().iter().find(|r| r.oid == oid)
    }

    /// The number of a table or view, or of an index. Names without a schema are looked for in the order of the search path.
    pub(crate) fn class(&self, name: &str) -> Option<i32> {
        if let Ok(oid) = name.trim().parse() {
            return Some(oid);
        }
        let parts = name_parts(name);
        let oids = &self.catalog.oids;
        let found = |schema: &str, name: &str| {
            if schema == PG_CATALOG && (name.starts_with("pg_")) {
                return Some(oids.of(Object::Relation(schema.to_owned(), name.to_owned())));
            }
            let own = self.relations().iter().find(|r| r.schema == schema && r.name == name).map(|r| r.oid);
            let index = || self.relations().iter().find(|r| r.schema == schema && r.has_key() && r.key_name() == name);
            own.or_else(|| index().map(|r| r.index_oid(oids)))
        };
        match parts.as_slice() {
            [name] => ["gold", "silver", "bronze", PG_CATALOG, "system"]
                .into_iter()
                .map(str::to_owned)
                .chain(super::tables::users_schemas(&self.view))
                .chain(self.catalog.crawled.schemas())
                .find_map(|schema| found(&schema, name)),
            [schema, name] => found(schema, name),
            [_, schema, name] => found(schema, name),
            _ => None,
        }
    }

    /// The name of a table, view or index: without its schema where the search path finds it.
    pub(crate) fn class_name(&self, oid: i32) -> Option<String> {
        match self.catalog.oids.object(oid)? {
            Object::Relation(schema, name) => Some(qualified(&schema, &name)),
            Object::Index(schema, name) => Some(qualified(&schema, &format!("{name}_pkey"))),
            _ => None,
        }
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<i32> {
        if let Ok(oid) = name.trim().parse() {
            return Some(oid);
        }
        let name = name_parts(name).pop()?;
        schema_names(self.catalog, &self.view).contains(&name).then(|| self.catalog.oids.of(Object::Schema(name)))
    }

    pub(crate) fn namespace_name(&self, oid: i32) -> Option<String> {
        match self.catalog.oids.object(oid)? {
            Object::Schema(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn data_type(&self, name: &str) -> Option<i32> {
        name.trim().parse().ok().or_else(|| self.catalog.types.find(name))
    }

    pub(crate) fn type_name(&self, oid: i32, modifier: Option<i32>) -> Option<String> {
        self.catalog.types.format(oid, modifier)
    }

    pub(crate) fn function(&self, name: &str) -> Option<i32> {
        let name = name.split('(').next().unwrap_or(name);
        name.trim().parse().ok().or_else(|| self.catalog.types.functions.get(&name_parts(name).pop()?).copied())
    }

    pub(crate) fn function_name(&self, oid: i32) -> Option<String> {
        self.catalog.types.function_names.get(&oid).cloned()
    }

    pub(crate) fn role(&self, name: &str) -> Option<i32> {
        name.trim().parse().ok().or_else(|| (name_parts(name) == [OWNER]).then_some(10))
    }

    pub(crate) fn role_name(&self, oid: i32) -> Option<String> {
        (oid == 10).then(|| OWNER.to_owned())
    }

    /// Whether the search path finds a relation, so that lists show it.
    pub(crate) fn is_visible(&self, oid: i32) -> bool {
        !matches!(self.catalog.oids.object(oid), Some(Object::Relation(schema, _)) if schema == crate::engine::SYSTEM)
    }

    /// The statement of a view.
    pub(crate) fn view_definition(&self, oid: i32) -> Option<String> {
        self.relation(oid)?.definition.clone()
    }

    /// `PRIMARY KEY (a, b)`.
    pub(crate) fn constraint_definition(&self, oid: i32) -> Option<String> {
        let Object::Constraint(schema, name) = self.catalog.oids.object(oid)? else { return None };
        let relation = self.relations().iter().find(|r| r.schema == schema && r.name == name)?;
        Some(format!("PRIMARY KEY ({})", relation.key.join(", ")))
    }

    /// The whole index where `column` is 0, else the name of one of its columns.
    pub(crate) fn index_definition(&self, oid: i32, column: i32) -> Option<String> {
        let Object::Index(schema, name) = self.catalog.oids.object(oid)? else { return None };
        let relation = self.relations().iter().find(|r| r.schema == schema && r.name == name)?;
        match usize::try_from(column) {
            Ok(0) | Err(_) => Some(index_definition(relation)),
            Ok(column) => relation.key.get(column - 1).cloned(),
        }
    }

    /// Bytes of a table's data files, or of all tables without one.
    pub(crate) fn bytes(&self, oid: Option<i32>) -> i64 {
        let bytes = match oid {
            Some(oid) => self.relation(oid).map_or(0, |r| r.bytes),
            None => self.relations().iter().map(|r| r.bytes).sum(),
        };
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}

fn qualified(schema: &str, name: &str) -> String {
    if schema == PG_CATALOG { name.to_owned() } else { format!("{}.{}", quoted(schema), quoted(name)) }
}

/// An identifier, in quotes where it needs them.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_their_parts() {
        assert_eq!(name_parts("Silver.Orders"), ["silver", "orders"]);
        assert_eq!(name_parts(r#""A.b"."c""d""#), ["A.b", "c\"d"]);
    }

    #[test]
    fn types_go_by_all_their_names() {
        let types = Types::read(&PgCatalogStaticTables::try_new().unwrap());
        for (name, oid, shown) in [
            ("int4", 23, "integer"),
            ("pg_catalog.text", 25, "text"),
            ("timestamp with time zone", 1184, "timestamp with time zone"),
            ("integer[]", 1007, "integer[]"),
            ("numeric(12,2)", 1700, "numeric"),
        ] {
            assert_eq!(types.find(name), Some(oid), "{name}");
            assert_eq!(types.format(oid, None).as_deref(), Some(shown), "{name}");
        }
        assert_eq!(types.find("hstore"), None);
        assert_eq!(types.format(1700, Some(((12 << 16) | 2) + 4)).as_deref(), Some("numeric(12,2)"));
    }
}
