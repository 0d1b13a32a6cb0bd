use super::{
    Format, broken,
    listing::{self, Listing},
    look::{self, Looked},
    options::Options,
    routes::Routes,
    table::FilesTable,
};
use crate::{Error, Kind};
use datafusion::{catalog::TableProvider, execution::runtime_env::RuntimeEnv};
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a statement asks of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// `read_csv` and so on; empty for a path alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// Files, folders or patterns.
    pub paths: Vec<String>,
    /// Options in the order they are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, Argument)>,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Argument {
    /// A text, a number or a boolean, as it is written.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl Call {
    /// A path in quotes.
    pub(crate) fn of_path(path: &str) -> Self {
        Self { function: String::new(), paths: vec![path.to_owned()], options: Vec::new() }
    }

    /// What the table is called in the statement: the function, or the file without its ending; of a pattern the folder that it is in.
    pub(crate) fn own_name(&self) -> String {
        if !self.function.is_empty() {
            return self.function.clone();
        }
        let path = self.paths.first().map_or("", String::as_str);
        let mut parts = path.split('/').filter(|part| !part.is_empty() && !formats::paths::is_pattern(part));
        let name = parts.next_back().unwrap_or("files");
        let bare = name.split('.').find(|part| !part.is_empty()).unwrap_or(name);
        bare.to_owned()
    }

    /// The format that the function says.
    fn format(&self) -> Option<Format> {
        match self.function.as_str() {
            "read_csv" | "read_csv_auto" => Some(Format::Csv),
            "read_json" | "read_json_auto" => Some(Format::Json),
            "read_parquet" => Some(Format::Parquet),
            "read_avro" => Some(Format::Avro),
            _ => None,
        }
    }
}

/// The table that a call asks for: its files are listed and looked at now.
///
/// # Errors
/// Where a path leads nowhere, a file can't be read, or files don't make one table.
pub(crate) fn provider<'a>(
    call: &'a Call,
    routes: &'a Routes,
    env: &'a Arc<RuntimeEnv>,
) -> BoxFuture<'a, Result<Arc<dyn TableProvider>, Error>> {
    async move {
        let options = Options::parse(call.format(), &call.options)?;
        let places = routes.places();
        let mut listing: Option<Listing> = None;
        for path in &call.paths {
            let found = listing::find(routes, &places, path).await?;
            listing = Some(match listing {
                None => found,
                Some(known) => known.and(found)?,
            });
        }
        let Some(listing) = listing else {
            return Err(Error::new(Kind::Invalid, "there is no path to read").with_hint("Name at least one."));
        };
        let looked = look::look(routes, &places, listing, &options, env).await?;
        match looked {
            Looked::Files(table) => Ok(Arc::new(FilesTable::new(table)) as Arc<dyn TableProvider>),
            Looked::Nothing(file) => {
                Err(broken(&file, formats::Error::new("the file is empty").hint("An empty file has no columns.")))
            }
        }
    }
    .boxed()
}
