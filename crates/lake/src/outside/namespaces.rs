use super::{Outside, no_namespace};
use crate::{Error, Kind};
use catalog::{NamespaceDrop, Properties};
use model::Layer;
use std::collections::BTreeSet;

/// The property that says where a namespace's tables are kept.
const LOCATION: &str = "location";

/// A namespace and its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Which namespace.
    pub layer: Layer,
    /// Its properties, with the place of its tables.
    pub properties: Properties,
}

/// What became of each property of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyChange {
    /// Those that were set.
    pub updated: Vec<String>,
    /// Those that were there and are removed.
    pub removed: Vec<String>,
    /// Those that were to be removed and were not there.
    pub missing: Vec<String>,
}

impl Outside {
    /// Every namespace: the layers and those of people's own, ordered by name.
    ///
    /// # Errors
    /// Where the catalog can't be read.
    pub async fn namespaces(&self) -> Result<Vec<Layer>, Error> {
        let recorded = self.lake.tables().catalog().namespaces().await?;
        let mut all: Vec<Layer> =
            recorded.into_iter().map(|n| n.layer).chain(Layer::ALL).collect::<BTreeSet<_>>().into_iter().collect();
        all.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(all)
    }

    /// One namespace.
    ///
    /// # Errors
    /// [`Kind::NotFound`], or where the catalog can't be read.
    pub async fn namespace(&self, layer: Layer) -> Result<NamespaceInfo, Error> {
        let mut properties = match self.lake.tables().catalog().namespace(layer).await? {
            Some(found) => found.properties,
            None if layer.is_kept() => Properties::new(),
            None => return Err(no_namespace(layer)),
        };
        let place = format!("{}/{layer}", self.lake.warehouse().root());
        properties.entry(LOCATION.to_owned()).or_insert(place);
        Ok(NamespaceInfo { layer, properties })
    }

    /// Makes a namespace of this name.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that can't be one, [`Kind::Exists`], or where the catalog can't be written.
    pub async fn create_namespace(&self, name: &str, properties: &Properties) -> Result<NamespaceInfo, Error> {
        let layer: Layer = name.parse().map_err(|_| {
            Error::new(Kind::Invalid, format!("`{name}` can't be the name of a namespace")).with_hint(
                "Use one level: a lower-case letter, then lower-case letters, digits and `_`, at most 63 of them, and no name of SQL's own schemas.",
            )
        })?;
        let _names = self.lake.names().lock().await;
        if layer.is_kept() || !self.lake.tables().catalog().create_namespace(layer, properties).await? {
            return Err(Error::new(Kind::Exists, format!("the namespace {layer} exists already")));
        }
        self.lake.change_view(|next| next.schemas.extend([layer]));
        self.namespace(layer).await
    }

    /// Removes and sets properties in one step.
    ///
    /// # Errors
    /// [`Kind::Invalid`] where a property is to be both removed and set, [`Kind::NotFound`], or where the catalog can't be written.
    pub async fn change_namespace(&self, layer: Layer, remove: &[String], set: &Properties) -> Result<PropertyChange, Error> {
        if let Some(both) = remove.iter().find(|name| set.contains_key(*name)) {
            return Err(Error::new(Kind::Invalid, format!("the property `{both}` is to be both removed and set")));
        }
        let former = self.lake.tables().catalog().change_namespace(layer, remove, set).await?;
        let former = former.ok_or_else(|| no_namespace(layer))?;
        let (removed, missing) = remove.iter().cloned().partition(|name| former.contains_key(name));
        Ok(PropertyChange { updated: set.keys().cloned().collect(), removed, missing })
    }

    /// Removes a namespace that holds nothing.
    ///
    /// # Errors
    /// [`Kind::Owned`] for a layer, [`Kind::NotEmpty`], [`Kind::NotFound`], or where the catalog can't be written.
    pub async fn drop_namespace(&self, layer: Layer) -> Result<(), Error> {
        if layer.is_kept() {
            let message = format!("the namespace {layer} is one of lakebox's layers and can't be dropped");
            return Err(Error::new(Kind::Owned, message));
        }
        let _names = self.lake.names().lock().await;
        match self.lake.tables().catalog().drop_namespace(layer).await? {
            NamespaceDrop::Dropped => {
                self.lake.change_view(|next| next.schemas.retain(|other| *other != layer));
                Ok(())
            }
            NamespaceDrop::Unknown => Err(no_namespace(layer)),
            NamespaceDrop::Holds(n) => {
                let message = format!("the namespace {layer} still holds {n} tables and views");
                Err(Error::new(Kind::NotEmpty, message).with_hint("Drop them first."))
            }
        }
    }
}
