//! Views: Iceberg views, whose statement is kept in the dialect of whoever made them.

use crate::{
    Error, Kind, Lake,
    commit::snapshot::metadata_version,
    store::{Store, names},
    table::schema::{normal, number, to_arrow, to_iceberg, without_ids},
};
use arrow::{
    datatypes::{DataType, Field, Schema, SchemaRef},
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use iceberg::spec::{
    Schema as IcebergSchema, ViewFormatVersion, ViewMetadata, ViewMetadataBuilder, ViewRepresentation, ViewVersion,
};
use model::LakeTable;
use object_store::path::Path;
use serde_json::json;
use std::{collections::HashMap, sync::Arc};

/// The dialect of statements that lakebox's SQL understands, in the representations of a view.
pub const DIALECT: &str = "lakebox";

/// Where a version's summary says which columns the statement had, exactly: an Arrow IPC stream in hexadecimal digits.
const COLUMNS: &str = "lakebox.columns";
/// The property that lets a new version do without dialects that the former one had.
const DROP_DIALECTS: &str = "replace.drop-dialect.allowed";

/// A view: a statement with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlView {
    /// Its schema and name.
    pub view: LakeTable,
    /// The statement, as written.
    pub definition: String,
    /// The SQL that the statement is written in: [`DIALECT`], or that of the engine that made it.
    pub dialect: String,
    /// The columns that it had when it was made.
    pub schema: SchemaRef,
    /// Its metadata file; `None` before it is committed.
    pub(crate) metadata_location: Option<String>,
}

impl SqlView {
    /// A view that lakebox's SQL makes.
    pub fn new(view: LakeTable, definition: String, schema: SchemaRef) -> Self {
        Self { view, definition, dialect: DIALECT.to_owned(), schema, metadata_location: None }
    }

    /// Whether lakebox's SQL understands it.
    pub fn is_ours(&self) -> bool {
        self.dialect == DIALECT
    }

    /// What queries see of a view's metadata.
    pub(crate) fn read(view: LakeTable, metadata_location: String, metadata: &ViewMetadata) -> Self {
        let version = metadata.current_version();
        let all = || version.representations().iter().map(|ViewRepresentation::Sql(sql)| sql);
        // A view has at least one representation; what lakebox understands comes first.
        let chosen = all().find(|sql| sql.dialect.eq_ignore_ascii_case(DIALECT)).or_else(|| all().next());
        let (definition, dialect) = chosen.map(|sql| (sql.sql.clone(), sql.dialect.to_lowercase())).unwrap_or_default();
        let exact = version.summary().get(COLUMNS).and_then(|hex| columns_from_hex(hex));
        let schema = exact.unwrap_or_else(|| columns_of(metadata.current_schema()));
        Self { view, definition, dialect, schema, metadata_location: Some(metadata_location) }
    }

    /// The metadata of a view that was not there, or of the `former` one with another statement.
    fn metadata(&self, former: Option<ViewMetadata>, location: String, now_us: i64) -> Result<ViewMetadata, Error> {
        let wrong = |e: iceberg::Error| {
            Error::new(Kind::Invalid, format!("the view {} can't be kept: {}", self.view, e.message()))
                .with_table(&self.view)
                .with_source(e)
        };
        let schema = iceberg_columns(&self.schema)?;
        let columns = columns_to_hex(&self.schema).map_err(|e| Error::bug(format!("writing the columns of {}", self.view), e))?;
        let version: ViewVersion = serde_json::from_value(json!({
            "version-id": 1,
            "schema-id": 0,
            "timestamp-ms": now_us / 1000,
            "summary": { COLUMNS: columns },
            "representations": [{ "type": "sql", "sql": self.definition, "dialect": self.dialect }],
            "default-namespace": [self.view.layer.as_str()],
        }))
        .map_err(|e| Error::bug(format!("writing the view {}", self.view), e))?;
        let builder = match former {
            None => ViewMetadataBuilder::new(location, schema, version, ViewFormatVersion::V1, HashMap::new()),
            // What other engines understood by the former statement would be wrong now.
            Some(former) => former
                .into_builder()
                .set_properties(HashMap::from([(DROP_DIALECTS.to_owned(), "true".to_owned())]))
                .and_then(|builder| builder.set_current_version(version, schema)),
        };
        builder.and_then(ViewMetadataBuilder::build).map(|built| built.metadata).map_err(wrong)
    }
}

impl Lake {
    /// Writes a view's metadata file, which nobody sees before the catalog points to it.
    pub(crate) async fn write_sql_view(&self, view: &SqlView, former: Option<&str>) -> Result<SqlView, Error> {
        let store = self.warehouse();
        let before = match former {
            Some(location) => Some(read_view_metadata(store, location).await?),
            None => None,
        };
        let home = format!("{}/{}/{}", store.root(), view.view.layer, view.view.name);
        let metadata = view.metadata(before, home, self.clock().now_us())?;
        let location = write_view_metadata(store, &view.view, former, &metadata).await?;
        Ok(SqlView { metadata_location: Some(location), ..view.clone() })
    }

    /// Every view that the catalog points to. One that can't be read is left out: it costs nobody else anything.
    pub(crate) async fn read_views(store: &Store, catalog: &catalog::Catalog) -> Result<Vec<SqlView>, Error> {
        let mut views = Vec::new();
        for record in catalog.all_views().await? {
            match read_view_metadata(store, &record.metadata_location).await {
                Ok(metadata) => views.push(SqlView::read(record.view, record.metadata_location, &metadata)),
                Err(error) => tracing::error!(%error, "the view {} can't be read and is left out", record.view),
            }
        }
        Ok(views)
    }
}

/// The metadata of a view.
///
/// # Errors
/// Where the file can't be read.
pub(crate) async fn read_view_metadata(store: &Store, location: &str) -> Result<ViewMetadata, Error> {
    let json = store.get(&store.path(location)?).await?;
    serde_json::from_slice(&json).map_err(|e| Error::corrupt(format!("the metadata {location}"), e))
}

/// Writes the next metadata file of a view and returns its location.
///
/// # Errors
/// Where it can't be written.
pub(crate) async fn write_view_metadata(
    store: &Store,
    view: &LakeTable,
    former: Option<&str>,
    metadata: &ViewMetadata,
) -> Result<String, Error> {
    let version = former.map_or(0, |f| metadata_version(f) + 1);
    let home = store.path(metadata.location())?;
    let path = Path::from(format!("{home}/metadata/{version:05}-{}.metadata.json", uuid::Uuid::new_v4()));
    let json = serde_json::to_vec(metadata).map_err(|e| Error::bug(format!("writing the metadata of {view}"), e))?;
    let path = names::with_digest(&path, &json);
    let location = store.location(&path);
    store.put_all(vec![(path, json.into())]).await?;
    Ok(location)
}

/// The columns as Iceberg has them. What it has no type for is told as text: the statement decides what a query gets.
fn iceberg_columns(schema: &Schema) -> Result<IcebergSchema, Error> {
    let known = |field: &Field| {
        let (fields, _) = number(&vec![without_ids(field)].into(), 0);
        normal(&Schema::new(fields)).is_ok()
    };
    let plain = schema.fields().iter().map(|field| {
        let field = without_ids(field);
        if known(&field) { field } else { field.with_data_type(DataType::Utf8) }
    });
    let (fields, _) = number(&plain.collect(), 0);
    to_iceberg(&Schema::new(fields), &[])
}

/// The columns of a view that another engine made; those of a type that lakebox has not are told as text.
fn columns_of(schema: &IcebergSchema) -> SchemaRef {
    let fields = schema.as_struct().fields().iter().map(|field| {
        let one = IcebergSchema::builder().with_fields([Arc::clone(field)]).build().ok();
        let known = one.and_then(|one| to_arrow(&one).ok()).and_then(|schema| schema.fields().first().cloned());
        known.map_or_else(|| Field::new(&field.name, DataType::Utf8, !field.required), |known| without_ids(&known))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn columns_to_hex(schema: &Schema) -> Result<String, arrow::error::ArrowError> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, schema).and_then(|mut writer| writer.finish())?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn columns_from_hex(hex: &str) -> Option<SchemaRef> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    Some(StreamReader::try_new(bytes.as_slice(), None).ok()?.schema())
}
