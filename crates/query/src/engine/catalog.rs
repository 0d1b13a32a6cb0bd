use super::{
    ViewSource,
    labels::Labels,
    parse,
    session::{Base, CATALOG, SEARCH_PATH},
};
use crate::{
    Error, Kind, files,
    pg_catalog::{InformationSchema, PgCatalog, PgSchema, users_schemas},
    provider::LakeTableProvider,
    system::SystemTables,
    travel::{self, named},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider, information_schema::InformationSchemaProvider,
    },
    datasource::{TableType, ViewTable},
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
};
use lake::{LakeView, SqlView, TableView};
use model::{LakeTable, Layer};
use std::sync::Arc;

/// The schema of what lakebox knows of itself.
pub(crate) const SYSTEM: &str = "system";
/// The schema of PostgreSQL's own catalog.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// Views that may stand on each other; one more is taken for a circle.
const VIEWS_DEEP_MAX: usize = 32;

/// The one catalog of one statement, bound to one view of the lake: all tables that the statement names stand at the same moment.
#[derive(Debug)]
pub(super) struct LakeCatalogs {
    lakebox: Arc<LakeCatalog>,
}

#[derive(Clone)]
struct LakeCatalog {
    views: Arc<dyn ViewSource>,
    view: Arc<LakeView>,
    store: ObjectStoreUrl,
    system: Arc<SystemTables>,
    postgres: Arc<PgCatalog>,
    /// Schemas in which names without one are looked for.
    path: Arc<[Layer]>,
    /// Plans the statements of views.
    base: Arc<Base>,
    /// How many views stand above this statement.
    depth: usize,
}

impl std::fmt::Debug for LakeCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeCatalog").field("tables", &self.view.tables.len()).field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a statement's world is made of, beside the view of the lake.
pub(super) struct World {
    pub views: Arc<dyn ViewSource>,
    pub store: ObjectStoreUrl,
    pub system: Arc<SystemTables>,
    pub postgres: Arc<PgCatalog>,
    pub path: Arc<[Layer]>,
    pub depth: usize,
}

impl LakeCatalogs {
    pub(super) fn new(view: Arc<LakeView>, base: Arc<Base>, world: World) -> Self {
        let World { views, store, system, postgres, path, depth } = world;
        Self { lakebox: Arc::new(LakeCatalog { views, view, store, system, postgres, path, base, depth }) }
    }

    /// All tables as `schema.table`.
    pub(super) fn table_names(&self) -> Vec<String> {
        let system = self.lakebox.system.names().into_iter().map(|name| format!("{SYSTEM}.{name}"));
        let view = &self.lakebox.view;
        let crawled = self.lakebox.base.files().crawled.all().into_iter().map(|(schema, name, _)| format!("{schema}.{name}"));
        view.tables.keys().chain(view.views.keys()).map(ToString::to_string).chain(crawled).chain(system).collect()
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
        let layers = Layer::ALL.iter().map(|l| l.as_str().to_owned());
        let mut names: Vec<String> = layers.chain(users_schemas(&self.view)).collect();
        names.extend(self.base.files().crawled.schemas().into_iter().filter(|s| !names.contains(s)).collect::<Vec<_>>());
        names.push(SYSTEM.to_owned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let layers = match name {
            SEARCH_PATH => Layers::Path,
            SYSTEM => Layers::System,
            PG_CATALOG => return Some(Arc::new(self.postgres_schema())),
            "information_schema" => {
                let engine = InformationSchemaProvider::new(Arc::new(LakeCatalogs { lakebox: Arc::new(self.clone()) }));
                let (catalog, view) = (Arc::clone(&self.postgres), Arc::clone(&self.view));
                return Some(Arc::new(InformationSchema { catalog, view, engine }));
            }
            _ if self.base.files().crawled.names(name).is_some() => Layers::Crawled(name.to_owned()),
            _ => {
                let layer: Layer = name.parse().ok()?;
                if layer.is_users() && !users_schemas(&self.view).contains(name) {
                    return None;
                }
                Layers::One(layer)
            }
        };
        Some(Arc::new(LakeSchema { layers, catalog: self.clone() }))
    }
}

#[derive(Debug, Clone)]
enum Layers {
    One(Layer),
    /// Those of the search path, in its order.
    Path,
    System,
    /// What a crawler found.
    Crawled(String),
}

#[derive(Debug)]
struct LakeSchema {
    layers: Layers,
    catalog: LakeCatalog,
}

/// What a name stands for.
enum Found<'a> {
    Table(&'a Arc<TableView>),
    View(&'a Arc<SqlView>),
}

impl LakeSchema {
    fn find(&self, name: &str) -> Option<Found<'_>> {
        let layers: &[Layer] = match &self.layers {
            Layers::One(layer) => std::slice::from_ref(layer),
            Layers::Path => &self.catalog.path,
            Layers::System | Layers::Crawled(_) => &[],
        };
        let view = &self.catalog.view;
        layers.iter().find_map(|layer| {
            let name = LakeTable::new(*layer, name);
            view.tables.get(&name).map(Found::Table).or_else(|| view.views.get(&name).map(Found::View))
        })
    }
}

impl LakeSchema {
    /// The table that a name like `orders$files` asks something of. One that is called so itself comes first.
    fn asked(&self, name: &str) -> Option<&Arc<TableView>> {
        let wanted = named(name);
        if !wanted.is_special() {
            return None;
        }
        match self.find(wanted.base) {
            Some(Found::Table(view)) => Some(view),
            _ => None,
        }
    }
}

impl LakeCatalog {
    fn postgres_schema(&self) -> PgSchema {
        PgSchema { catalog: Arc::clone(&self.postgres), view: Arc::clone(&self.view) }
    }

    fn rows(&self, view: &Arc<TableView>) -> Arc<dyn TableProvider> {
        Arc::new(LakeTableProvider::new(Arc::clone(view), self.store.clone()))
    }

    /// A view's statement, planned on the same view of the lake as the statement that names it.
    async fn planned(&self, view: &SqlView) -> Result<Arc<dyn TableProvider>> {
        if self.depth >= VIEWS_DEEP_MAX {
            let message = format!("view {} stands on more than {VIEWS_DEEP_MAX} other views, or on itself", view.view);
            return Err(DataFusionError::Plan(message));
        }
        if !view.is_ours() {
            let message =
                format!("the view {} is written in the SQL of `{}`, which lakebox doesn't speak", view.view, view.dialect);
            let hint = format!("Give it a representation in the dialect `{}` too, or make it with CREATE VIEW.", lake::DIALECT);
            return Err(DataFusionError::External(Box::new(Error::new(Kind::Unsupported, message).with_hint(hint))));
        }
        let broken = |e: Error| {
            let message = format!("the view {} can't be used any more: {e}", view.view);
            let hint = "What it reads was changed or dropped. Make it anew with CREATE OR REPLACE VIEW, or drop it.";
            DataFusionError::External(Box::new(Error::new(Kind::Invalid, message).with_hint(hint)))
        };
        let path: Arc<[Layer]> = Arc::from([Layer::Gold, Layer::Silver]);
        let session = Base::session(&self.base, Arc::clone(&self.view), path, self.depth + 1);
        let mut statement = parse(&view.definition).map_err(broken)?;
        let labels = Labels::take(&mut statement);
        let plan = Box::pin(session.state.statement_to_plan(statement)).await.map_err(|e| broken(e.into()))?;
        let plan = labels.rename(plan).map_err(|e| broken(e.into()))?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.definition.clone()))))
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        let view = &self.catalog.view;
        match &self.layers {
            Layers::One(layer) => {
                view.tables.keys().chain(view.views.keys()).filter(|t| t.layer == *layer).map(|t| t.name.clone()).collect()
            }
            Layers::Path => Vec::new(),
            Layers::System => self.catalog.system.names(),
            Layers::Crawled(schema) => self.catalog.base.files().crawled.names(schema).unwrap_or_default(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Layers::System = self.layers {
            return self.catalog.system.provider(name, &self.catalog.view, &self.catalog.store);
        }
        let world = &self.catalog;
        let external = |e: Error| DataFusionError::External(Box::new(e));
        if let Layers::Crawled(schema) = &self.layers {
            let Some(table) = world.base.files().crawled.get(schema, name) else { return Ok(None) };
            return table.provider(&world.base.files().routes, &world.base.env()).await.map(Some).map_err(external);
        }
        if let (Layers::Path, Some(call)) = (&self.layers, files::called(name)) {
            let files = files::provider(&call, &world.base.files().routes, &world.base.env()).await;
            return files.map(Some).map_err(external);
        }
        Ok(match self.find(name) {
            Some(Found::Table(view)) => Some(world.rows(view)),
            Some(Found::View(view)) => Some(world.planned(view).await?),
            None => match self.asked(name) {
                Some(view) => {
                    let table = travel::provider(&named(name), &view.table, &world.views, &world.view, &world.store).await;
                    Some(table.map_err(|e| DataFusionError::External(Box::new(e)))?)
                }
                // PostgreSQL looks there first; here it comes last, so that no table of the lake is hidden.
                None if matches!(self.layers, Layers::Path) => world.postgres_schema().table(name).await?,
                None => None,
            },
        })
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(match (&self.layers, self.find(name)) {
            (Layers::Crawled(_), _) => self.table_exist(name).then_some(TableType::Base),
            (Layers::System, _) => self.table_exist(name).then_some(TableType::View),
            (_, Some(Found::Table(_))) => Some(TableType::Base),
            (_, Some(Found::View(_))) => Some(TableType::View),
            (_, None) => self.asked(name).map(|_| TableType::View),
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        match &self.layers {
            Layers::System => self.catalog.system.names().iter().any(|n| n == name),
            Layers::Crawled(schema) => self.catalog.base.files().crawled.get(schema, name).is_some(),
            Layers::Path => {
                files::called(name).is_some()
                    || self.find(name).is_some()
                    || self.asked(name).is_some()
                    || self.catalog.postgres_schema().table_exist(name)
            }
            Layers::One(_) => self.find(name).is_some() || self.asked(name).is_some(),
        }
    }
}
