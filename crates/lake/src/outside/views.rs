use super::{
    Outside, guard,
    request::{CommitView, CreateView, ViewRequirement},
};
use crate::{
    Error, Kind, SqlView,
    sql_view::{read_view_metadata, write_view_metadata},
};
use catalog::ViewRecord;
use iceberg::{
    ViewUpdate,
    spec::{ViewFormatVersion, ViewMetadata, ViewMetadataBuilder},
};
use model::{LakeTable, Layer};
use serde_json::Value;
use std::sync::Arc;

/// A view as the Iceberg REST protocol hands it out.
#[derive(Debug, Clone)]
pub struct LoadedView {
    /// Its current metadata file.
    pub metadata_location: String,
    /// Its metadata, as the specification writes it.
    pub metadata: Value,
}

impl Outside {
    /// The views of a namespace, ordered by name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for the namespace, or where the catalog can't be read.
    pub async fn views(&self, layer: Layer) -> Result<Vec<LakeTable>, Error> {
        self.namespace(layer).await?;
        Ok(self.lake.tables().catalog().views(layer).await?.into_iter().map(|v| v.view).collect())
    }

    /// Whether there is such a view.
    ///
    /// # Errors
    /// [`Kind::NotFound`], or where the catalog can't be read.
    pub async fn check_view(&self, view: &LakeTable) -> Result<(), Error> {
        self.view_record(view).await.map(drop)
    }

    /// A view as last committed.
    ///
    /// # Errors
    /// [`Kind::NotFound`], or where the catalog or the metadata file can't be read.
    pub async fn view(&self, view: &LakeTable) -> Result<LoadedView, Error> {
        let record = self.view_record(view).await?;
        let metadata = self.view_metadata(&record).await?;
        document(view, record.metadata_location, &metadata)
    }

    async fn view_record(&self, view: &LakeTable) -> Result<ViewRecord, Error> {
        let found = self.lake.tables().catalog().view(view).await?;
        found.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no view {view}")).with_table(view))
    }

    async fn view_metadata(&self, record: &ViewRecord) -> Result<ViewMetadata, Error> {
        read_view_metadata(self.lake.warehouse(), &record.metadata_location).await
    }

    /// Makes a view.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for the namespace, [`Kind::Exists`], [`Kind::Owned`] in lakebox's layers, [`Kind::Invalid`], or where it can't be written.
    pub async fn create_view(&self, layer: Layer, request: CreateView) -> Result<LoadedView, Error> {
        let view = LakeTable::new(layer, request.name);
        let _names = self.lake.names().lock().await;
        self.check_new(&view).await?;
        let location = self.place(&view, request.location);
        super::readable::location(self.lake.warehouse(), &view, &location)?;
        let (schema, version) = (request.schema, request.view_version);
        let built = ViewMetadataBuilder::new(location, schema, version, ViewFormatVersion::V1, request.properties)
            .and_then(ViewMetadataBuilder::build)
            .map_err(|e| wrong(&view, e))?;
        self.swap(&view, None, built.metadata).await
    }

    /// Changes a view as the updates say, if it still is what the requirements say.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Conflict`], [`Kind::Invalid`], or where it can't be written.
    pub async fn replace_view(&self, view: &LakeTable, commit: CommitView) -> Result<LoadedView, Error> {
        let _names = self.lake.names().lock().await;
        let record = self.view_record(view).await?;
        let former = self.view_metadata(&record).await?;
        for ViewRequirement::Uuid { uuid } in commit.requirements {
            if uuid != former.uuid() {
                return Err(
                    Error::new(Kind::Conflict, format!("{view} is another view than the one that was read")).with_table(view)
                );
            }
        }
        let mut builder = former.into_builder();
        for update in commit.updates {
            builder = apply(builder, update).map_err(|e| wrong(view, e))?;
        }
        let metadata = builder.build().map_err(|e| wrong(view, e))?.metadata;
        super::readable::location(self.lake.warehouse(), view, metadata.location())?;
        self.swap(view, Some(&record.metadata_location), metadata).await
    }

    async fn swap(&self, view: &LakeTable, former: Option<&str>, metadata: ViewMetadata) -> Result<LoadedView, Error> {
        let location = write_view_metadata(self.lake.warehouse(), view, former, &metadata).await?;
        let made = document(view, location.clone(), &metadata)?;
        if !self.lake.tables().catalog().swap_view(view, former, Some(&location)).await? {
            return Err(Error::new(Kind::Conflict, format!("{view} was changed by somebody else first")).with_table(view));
        }
        let shown = Arc::new(SqlView::read(view.clone(), location, &metadata));
        self.lake.change_view(|next| drop(next.views.insert(view.clone(), shown)));
        Ok(made)
    }

    /// Gives a view another name.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Exists`], [`Kind::Owned`], [`Kind::Invalid`], or where the catalog can't be written.
    pub async fn rename_view(&self, from: &LakeTable, to: &LakeTable) -> Result<(), Error> {
        let _names = self.lake.names().lock().await;
        self.view_record(from).await?;
        self.check_new(to).await?;
        self.lake.tables().catalog().rename_view(from, to).await?;
        self.lake.change_view(|next| {
            if let Some(view) = next.views.remove(from) {
                next.views.insert(to.clone(), Arc::new(SqlView { view: to.clone(), ..SqlView::clone(&view) }));
            }
        });
        Ok(())
    }

    /// Forgets a view. Its metadata files stay until upkeep collects them.
    ///
    /// # Errors
    /// [`Kind::NotFound`], or where the catalog can't be written.
    pub async fn drop_view(&self, view: &LakeTable) -> Result<(), Error> {
        let _names = self.lake.names().lock().await;
        let record = self.view_record(view).await?;
        guard::own(view)?;
        self.lake.tables().catalog().swap_view(view, Some(&record.metadata_location), None).await?;
        self.lake.change_view(|next| drop(next.views.remove(view)));
        Ok(())
    }
}

fn apply(builder: ViewMetadataBuilder, update: ViewUpdate) -> iceberg::Result<ViewMetadataBuilder> {
    Ok(match update {
        ViewUpdate::AssignUuid { uuid } => builder.assign_uuid(uuid),
        ViewUpdate::UpgradeFormatVersion { format_version } => builder.upgrade_format_version(format_version)?,
        ViewUpdate::AddSchema { schema, .. } => builder.add_schema(schema),
        ViewUpdate::SetLocation { location } => builder.set_location(location),
        ViewUpdate::SetProperties { updates } => builder.set_properties(updates)?,
        ViewUpdate::RemoveProperties { removals } => builder.remove_properties(&removals),
        ViewUpdate::AddViewVersion { view_version } => builder.add_version(view_version)?,
        ViewUpdate::SetCurrentViewVersion { view_version_id } => builder.set_current_version_id(view_version_id)?,
    })
}

fn wrong(view: &LakeTable, error: iceberg::Error) -> Error {
    Error::new(Kind::Invalid, format!("the view {view} can't be like this: {}", error.message()))
        .with_table(view)
        .with_source(error)
}

fn document(view: &LakeTable, metadata_location: String, metadata: &ViewMetadata) -> Result<LoadedView, Error> {
    let metadata = serde_json::to_value(metadata).map_err(|e| Error::bug(format!("writing the metadata of {view}"), e))?;
    Ok(LoadedView { metadata_location, metadata })
}
