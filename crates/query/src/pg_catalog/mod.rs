//! The lake as PostgreSQL's own catalog describes it: `pg_catalog` with its tables and functions, as far as clients ask for them.
//!
//! What PostgreSQL itself brings along (types, operators, functions, collations) comes from a library; what the lake holds is told here.

mod functions;
mod information;
mod lookup;
mod oids;
mod relations;
mod rows;
mod tables;

pub(crate) use functions::register;
pub(crate) use information::InformationSchema;
pub(crate) use lookup::{Lookup, name_parts};
pub(crate) use oids::{Object, Oids};
pub(crate) use tables::users_schemas;

use crate::{Error, engine::ViewSource, files::CrawledTables, system::SystemTables};
use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    error::{DataFusionError, Result},
};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables, context::EmptyContextProvider,
};
use lake::LakeView;
use std::{fmt, sync::Arc};

/// Whom everything belongs to in clients' eyes.
pub(crate) const OWNER: &str = "postgres";

/// What all statements share: PostgreSQL's own rows, and the numbers that objects of the lake were given.
pub(crate) struct PgCatalog {
    /// The library's tables, for those that say nothing of the lake.
    library: PgCatalogSchemaProvider<NoLake, EmptyContextProvider>,
    pub(crate) oids: Oids,
    views: Arc<dyn ViewSource>,
    system: Arc<SystemTables>,
    /// Tables of files.
    crawled: CrawledTables,
    /// Types by number: name, length, number of the array type's item (0 where it is none).
    types: lookup::Types,
}

impl fmt::Debug for PgCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgCatalog")
    }
}

impl PgCatalog {
    /// # Errors
    /// [`crate::Kind::Internal`] where the library's rows can't be read.
    pub(crate) fn new(
        views: Arc<dyn ViewSource>,
        system: Arc<SystemTables>,
        crawled: CrawledTables,
    ) -> std::result::Result<Self, Error> {
        let statics = Arc::new(PgCatalogStaticTables::try_new()?);
        let library = PgCatalogSchemaProvider::try_new(NoLake, Arc::clone(&statics), EmptyContextProvider)?;
        let types = lookup::Types::read(&statics);
        Ok(Self { library, oids: Oids::default(), views, system, crawled, types })
    }

    /// What the lake holds now, for functions that look numbers and names up.
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        Lookup::new(self, self.views.view())
    }
}

/// The schema `pg_catalog` in one statement's world.
#[derive(Debug)]
pub(crate) struct PgSchema {
    pub(crate) catalog: Arc<PgCatalog>,
    pub(crate) view: Arc<LakeView>,
}

#[async_trait]
impl SchemaProvider for PgSchema {
    fn table_names(&self) -> Vec<String> {
        PG_CATALOG_TABLES.iter().chain(tables::MORE).map(ToString::to_string).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(own) = tables::own(&self.catalog, &self.view, name)? {
            return Ok(Some(own));
        }
        tables::library(&self.catalog, name)
    }

    fn table_exist(&self, name: &str) -> bool {
        PG_CATALOG_TABLES.contains(&name) || tables::MORE.contains(&name)
    }
}

/// The library lists nothing by itself: all that is in the lake is told by [`tables`].
#[derive(Debug, Clone)]
struct NoLake;

#[async_trait]
impl datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo for NoLake {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn schema_names(&self, _: &str) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn table_names(&self, _: &str, _: &str) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn table_schema(&self, _: &str, _: &str, _: &str) -> Result<Option<arrow::datatypes::SchemaRef>> {
        Ok(None)
    }

    async fn table_type(&self, _: &str, _: &str, _: &str) -> Result<Option<datafusion::datasource::TableType>> {
        Ok(None)
    }
}
