use super::{Oids, PgCatalog, oids::Object};
use crate::{
    engine::SYSTEM,
    sql_types::{plain_schema, type_modifier, wire_type},
};
use arrow::datatypes::{Field, SchemaRef};
use lake::LakeView;
use model::Layer;
use std::sync::Arc;

/// A table or view as clients see it.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub oid: i32,
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    pub columns: SchemaRef,
    /// Names of the columns of the primary key.
    pub key: Vec<String>,
    pub rows: u64,
    pub bytes: u64,
    /// The statement of a view.
    pub definition: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    View,
    /// The index behind a primary key.
    Index,
}

impl RelationKind {
    /// PostgreSQL's letter for it.
    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::Table => "r",
            Self::View => "v",
            Self::Index => "i",
        }
    }
}

impl Relation {
    /// The number of a column by its name, from one; none for one that is not there.
    fn number_of(&self, column: &str) -> Option<i16> {
        self.columns.index_of(column).ok().and_then(|i| i16::try_from(i + 1).ok())
    }

    /// Numbers of the key's columns.
    pub(super) fn key_numbers(&self) -> Vec<i16> {
        self.key.iter().filter_map(|column| self.number_of(column)).collect()
    }

    /// Whether it has what clients call a primary key.
    pub(super) fn has_key(&self) -> bool {
        self.kind == RelationKind::Table && !self.key.is_empty() && self.key_numbers().len() == self.key.len()
    }

    /// The name of the primary key and of its index.
    pub(super) fn key_name(&self) -> String {
        format!("{}_pkey", self.name)
    }

    pub(super) fn index_oid(&self, oids: &Oids) -> i32 {
        oids.of(Object::Index(self.schema.clone(), self.name.clone()))
    }

    pub(super) fn constraint_oid(&self, oids: &Oids) -> i32 {
        oids.of(Object::Constraint(self.schema.clone(), self.name.clone()))
    }

    /// The index as a relation of its own, as `pg_class` has it.
    pub(super) fn index(&self, oids: &Oids) -> Option<Self> {
        let columns = self.key_numbers().into_iter().filter_map(|n| usize::try_from(n - 1).ok()).collect::<Vec<_>>();
        let columns = self.has_key().then(|| self.columns.project(&columns).ok()).flatten()?;
        Some(Self {
            oid: self.index_oid(oids),
            schema: self.schema.clone(),
            name: self.key_name(),
            kind: RelationKind::Index,
            columns: Arc::new(columns),
            key: Vec::new(),
            rows: self.rows,
            bytes: 0,
            definition: None,
        })
    }
}

/// PostgreSQL's number and modifier of a column's type.
pub(super) fn type_of(field: &Arc<Field>) -> (i32, i32) {
    (i32::try_from(wire_type(field).oid()).unwrap_or(0), type_modifier(field.data_type()))
}

/// Everything that a view of the lake shows and that crawlers found, ordered by schema and name.
pub(super) fn all(catalog: &PgCatalog, view: &LakeView) -> Vec<Relation> {
    let oid = |schema: &str, name: &str| catalog.oids.of(Object::Relation(schema.to_owned(), name.to_owned()));
    let tables = view.tables.iter().map(|(table, t)| Relation {
        oid: oid(table.layer.as_str(), &table.name),
        schema: table.layer.as_str().to_owned(),
        name: table.name.clone(),
        kind: RelationKind::Table,
        columns: plain_schema(&t.schema),
        // Only silver's key says what identifies a row; bronze has many changes of one.
        key: if table.layer == Layer::Bronze { Vec::new() } else { t.key.clone() },
        rows: t.live_rows(),
        bytes: t.files.iter().map(|f| f.bytes).sum(),
        definition: None,
    });
    let views = view.views.iter().map(|(name, v)| Relation {
        oid: oid(name.layer.as_str(), &name.name),
        schema: name.layer.as_str().to_owned(),
        name: name.name.clone(),
        kind: RelationKind::View,
        columns: plain_schema(&v.schema),
        key: Vec::new(),
        rows: 0,
        bytes: 0,
        definition: Some(v.definition.clone()),
    });
    let crawled = catalog.crawled.all().into_iter().map(|(schema, name, columns)| Relation {
        oid: oid(&schema, &name),
        schema,
        name,
        kind: RelationKind::Table,
        columns: plain_schema(&columns),
        key: Vec::new(),
        rows: 0,
        bytes: 0,
        definition: None,
    });
    let system = catalog.system.schemas(view).into_iter().map(|(name, schema)| Relation {
        oid: oid(SYSTEM, &name),
        schema: SYSTEM.to_owned(),
        name,
        kind: RelationKind::View,
        columns: plain_schema(&schema),
        key: Vec::new(),
        rows: 0,
        bytes: 0,
        definition: None,
    });
    let mut out: Vec<Relation> = tables.chain(views).chain(crawled).chain(system).collect();
    out.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    out
}
