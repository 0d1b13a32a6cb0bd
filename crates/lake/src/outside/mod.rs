//! What outside engines do to the lake through the Iceberg REST catalog: namespaces, tables, commits and views of their own.
//!
//! Tables that a pipeline or a model keeps can be read, but their rows and columns can't be changed from outside. A commit is read as
//! lakebox's own reader would before it is made visible, so that no outside engine can leave a table that lakebox can't read.

mod apply;
mod elsewhere;
mod guard;
mod namespaces;
pub(crate) mod purge;
mod readable;
mod request;
mod tables;
mod views;

#[cfg(test)]
mod tests;

pub use elsewhere::read_elsewhere;
pub use namespaces::{NamespaceInfo, PropertyChange};
pub use request::{CommitTable, CommitView, CreateTable, CreateView};
pub use tables::LoadedTable;
pub use views::LoadedView;

use crate::{Error, Kind, Lake};
use model::{LakeTable, Layer};

const NAME_CHARS_MAX: usize = 128;

/// The lake as outside engines see it. Cheap to make.
#[derive(Debug, Clone)]
pub struct Outside {
    lake: Lake,
}

impl Lake {
    /// The lake as outside engines see it.
    pub fn outside(&self) -> Outside {
        Outside { lake: self.clone() }
    }
}

impl Outside {
    /// Whether something new of this name may be made: the namespace is there and not one of lakebox's layers, and the name is a fit and free
    /// one. The caller holds the lock of names.
    async fn check_new(&self, table: &LakeTable) -> Result<(), Error> {
        guard::own(table)?;
        self.namespace(table.layer).await?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let starts = table.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || table.name.len() > NAME_CHARS_MAX || !table.name.chars().all(fits) {
            return Err(Error::new(Kind::Invalid, format!("`{}` can't be the name of a table or view", table.name))
                .with_hint("Start with a letter or `_`; use letters, digits, `_` and `-`, at most 128 of them."));
        }
        if self.lake.tables().catalog().table(table).await?.is_some() {
            return Err(Error::new(Kind::Exists, format!("the table {table} exists already")).with_table(table));
        }
        if self.lake.tables().catalog().view(table).await?.is_some() {
            return Err(Error::new(Kind::Exists, format!("the view {table} exists already")).with_table(table));
        }
        Ok(())
    }

    /// Where something new is kept: the place that was asked for, or one named after it that no table has.
    fn place(&self, table: &LakeTable, asked: Option<String>) -> String {
        let store = self.lake.warehouse();
        let root = store.root();
        let location =
            asked.map_or_else(|| format!("{root}/{}/{}", table.layer, table.name), |l| l.trim_end_matches('/').to_owned());
        let taken = self.lake.tables().all().iter().any(|state| state.parts.metadata.location() == location);
        if taken { format!("{root}/{}/{}-{}", table.layer, table.name, uuid::Uuid::new_v4()) } else { location }
    }
}

fn no_namespace(layer: Layer) -> Error {
    Error::new(Kind::NotFound, format!("there is no namespace {layer}")).with_hint("Create it first.")
}
