use super::{
    ViewSource,
    session::{CATALOG, SEARCH_PATH},
};
use crate::{
    Error,
    provider::LakeTableProvider,
    sql_types::plain_schema,
    system::SystemTables,
    travel::{self, named},
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider},
    datasource::TableType,
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables, catalog_info::CatalogInfo, context::EmptyContextProvider,
};
use lake::{LakeView, TableView};
use model::{LakeTable, Layer};
use std::{collections::BTreeSet, sync::Arc};

const SYSTEM: &str = "system";
const PG_CATALOG: &str = "pg_catalog";

/// The one catalog of one statement, bound to one view of the lake: all tables that the statement names stand at the same moment.
#[derive(Debug)]
pub(super) struct LakeCatalogs {
    lakebox: Arc<LakeCatalog>,
}

struct LakeCatalog {
    views: Arc<dyn ViewSource>,
    view: Arc<LakeView>,
    store: ObjectStoreUrl,
    system: Arc<SystemTables>,
    postgres: Arc<dyn SchemaProvider>,
}

impl std::fmt::Debug for LakeCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeCatalog").field("tables", &self.view.tables.len()).finish_non_exhaustive()
    }
}

impl LakeCatalogs {
    pub(super) fn new(
        views: Arc<dyn ViewSource>,
        view: Arc<LakeView>,
        store: ObjectStoreUrl,
        system: Arc<SystemTables>,
        postgres: Arc<dyn SchemaProvider>,
    ) -> Self {
        Self { lakebox: Arc::new(LakeCatalog { views, view, store, system, postgres }) }
    }

    /// All tables as `schema.table`.
    pub(super) fn table_names(&self) -> Vec<String> {
        let system = self.lakebox.system.names().into_iter().map(|name| format!("{SYSTEM}.{name}"));
        self.lakebox.view.tables.keys().map(ToString::to_string).chain(system).collect()
    }
}

impl CatalogProviderList for LakeCatalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::clone(&self.lakebox) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for LakeCatalog {
    // `pg_catalog` answers to its name but is not listed, so that SHOW TABLES shows the lake.
    fn schema_names(&self) -> Vec<String> {
        let own = own_namespaces(&self.view);
        Layer::ALL.into_iter().chain(own).map(|l| l.to_string()).chain([SYSTEM.to_owned()]).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let layers = match name {
            SEARCH_PATH => Layers::Path,
            SYSTEM => Layers::System,
            PG_CATALOG => return Some(Arc::clone(&self.postgres)),
            _ => Layers::One(name.parse().ok().filter(|layer| is_there(&self.view, layer))?),
        };
        let (view, store, system) = (Arc::clone(&self.view), self.store.clone(), Arc::clone(&self.system));
        Some(Arc::new(LakeSchema { layers, views: Arc::clone(&self.views), view, store, system }))
    }
}

/// Namespaces beside the layers that have tables; SQL knows no others.
fn own_namespaces(view: &LakeView) -> BTreeSet<Layer> {
    view.tables.keys().map(|t| t.layer).filter(|l| !l.is_kept()).collect()
}

fn is_there(view: &LakeView, layer: &Layer) -> bool {
    layer.is_kept() || view.tables.keys().any(|t| t.layer == *layer)
}

#[derive(Debug, Clone, Copy)]
enum Layers {
    One(Layer),
    /// Gold, then silver: what people mean when they name no layer.
    Path,
    System,
}

struct LakeSchema {
    layers: Layers,
    views: Arc<dyn ViewSource>,
    view: Arc<LakeView>,
    store: ObjectStoreUrl,
    system: Arc<SystemTables>,
}

impl std::fmt::Debug for LakeSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeSchema").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl LakeSchema {
    fn find(&self, name: &str) -> Option<&Arc<TableView>> {
        let layers: &[Layer] = match &self.layers {
            Layers::One(layer) => std::slice::from_ref(layer),
            Layers::Path => &[Layer::Gold, Layer::Silver],
            Layers::System => &[],
        };
        layers.iter().find_map(|layer| self.view.tables.get(&LakeTable::new(*layer, name)))
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        match self.layers {
            Layers::One(layer) => self.view.tables.keys().filter(|t| t.layer == layer).map(|t| t.name.clone()).collect(),
            Layers::Path => Vec::new(),
            Layers::System => self.system.names(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.layers {
            Layers::System => self.system.provider(name, &self.view, &self.store),
            _ => {
                let wanted = named(name);
                match self.find(name).or_else(|| self.find(wanted.base)) {
                    // A table that is called so itself comes first.
                    Some(view) if view.table.name != name => {
                        let table = travel::provider(&wanted, &view.table, &self.views, &self.view, &self.store).await;
                        table.map(Some).map_err(|e| DataFusionError::External(Box::new(e)))
                    }
                    view => Ok(view.map(|v| Arc::new(LakeTableProvider::new(Arc::clone(v), self.store.clone())) as _)),
                }
            }
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        match self.layers {
            Layers::System => Ok(self.table_exist(name).then_some(TableType::View)),
            _ => Ok(self.table_exist(name).then_some(if self.find(name).is_some() { TableType::Base } else { TableType::View })),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        match self.layers {
            Layers::System => self.system.names().iter().any(|n| n == name),
            _ => self.find(name).is_some() || (named(name).is_special() && self.find(named(name).base).is_some()),
        }
    }
}

/// The lake as PostgreSQL's own catalog describes it. Its rows follow the newest view, because clients ask for an object's number in one
/// statement and use it in the next: the numbers must outlive statements.
#[derive(Clone)]
pub(crate) struct PostgresCatalog {
    views: Arc<dyn ViewSource>,
}

impl PostgresCatalog {
    /// The schema `pg_catalog`.
    pub(super) fn schema(views: Arc<dyn ViewSource>) -> std::result::Result<Arc<dyn SchemaProvider>, Error> {
        let tables = Arc::new(PgCatalogStaticTables::try_new()?);
        Ok(Arc::new(PgCatalogSchemaProvider::try_new(Self { views }, tables, EmptyContextProvider)?))
    }

    fn layer(&self, catalog: &str, schema: &str) -> Option<Layer> {
        if catalog != CATALOG {
            return None;
        }
        schema.parse().ok().filter(|layer| is_there(&self.views.view(), layer))
    }
}

impl std::fmt::Debug for PostgresCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresCatalog")
    }
}

#[async_trait]
impl CatalogInfo for PostgresCatalog {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>> {
        let own = own_namespaces(&self.views.view());
        let names = Layer::ALL.into_iter().chain(own).map(|l| l.to_string()).chain([PG_CATALOG.to_owned()]).collect();
        Ok((catalog == CATALOG).then_some(names))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        let Some(layer) = self.layer(catalog, schema) else { return Ok(None) };
        Ok(Some(self.views.view().tables.keys().filter(|t| t.layer == layer).map(|t| t.name.clone()).collect()))
    }

    async fn table_schema(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>> {
        let Some(layer) = self.layer(catalog, schema) else { return Ok(None) };
        Ok(self.views.view().tables.get(&LakeTable::new(layer, table)).map(|t| plain_schema(&t.schema)))
    }

    async fn table_type(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableType>> {
        let Some(layer) = self.layer(catalog, schema) else { return Ok(None) };
        Ok(self.views.view().tables.contains_key(&LakeTable::new(layer, table)).then_some(TableType::Base))
    }
}
