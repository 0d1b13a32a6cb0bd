//! Tables that crawlers found: which files make a table, and the tables as statements see them.

use super::{
    Format, delta,
    listing::{self, Found, Listing},
    look::{self, Looked},
    options::Options,
    places::FilePlaces,
    routes::Routes,
    table::{FilesSpec, FilesTable, store_url},
};
use crate::{
    Error, Kind,
    provider::LakeTableProvider,
    sql_types::{plain_schema, sql_type_name},
};
use arrow::datatypes::SchemaRef;
use datafusion::{catalog::TableProvider, execution::runtime_env::RuntimeEnv};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use lake::{TableView, ViewFile};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Tables that one crawl may find.
const TABLES_MAX: usize = 1000;
/// Files that one crawl may list.
const FILES_MAX: usize = 1_000_000;

/// A table as a crawl found it.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// Its name in the crawler's schema.
    pub name: String,
    /// The file or folder, as people would write it.
    pub path: String,
    /// `csv`, `json`, `parquet`, `avro`, `delta` or `iceberg`.
    pub format: String,
    /// Names of its columns with their SQL types, partitions last.
    pub columns: Vec<(String, String)>,
    /// Names of the columns that folders say.
    pub partitions: Vec<String>,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its rows, where its metadata tells.
    pub rows: Option<u64>,
    /// The files that were looked at and the columns of each with their types, the latest written last.
    pub each: Vec<(String, Vec<(String, String)>)>,
    /// The table to register; none where it can't be read.
    pub table: Option<CrawledTable>,
    /// Why it can't be read, and what to do.
    pub error: Option<(String, Option<String>)>,
}

/// A table that can be registered. Its files are listed anew for each statement; its columns are those of the crawl.
#[derive(Debug, Clone)]
pub struct CrawledTable {
    root: Path,
    what: What,
    schema: SchemaRef,
}

#[derive(Debug, Clone)]
enum What {
    /// One file, or all files of a folder in one format.
    Files {
        spec: Arc<FilesSpec>,
        format: Format,
        single: bool,
    },
    Delta {
        shown: String,
    },
    Iceberg {
        shown: String,
    },
}

/// What a crawler found, by schema and name.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    schemas: Arc<RwLock<BTreeMap<String, BTreeMap<String, CrawledTable>>>>,
}

impl Tables {
    /// Replaces the tables of a schema.
    pub(crate) fn set(&self, schema: &str, tables: BTreeMap<String, CrawledTable>) {
        self.schemas.write().insert(schema.to_owned(), tables);
    }

    /// Names of the schemas.
    pub(crate) fn schemas(&self) -> Vec<String> {
        self.schemas.read().keys().cloned().collect()
    }

    /// Names of a schema's tables; none where there is no such schema.
    pub(crate) fn names(&self, schema: &str) -> Option<Vec<String>> {
        self.schemas.read().get(schema).map(|tables| tables.keys().cloned().collect())
    }

    /// A table.
    pub(crate) fn get(&self, schema: &str, name: &str) -> Option<CrawledTable> {
        self.schemas.read().get(schema)?.get(name).cloned()
    }

    /// Every table: schema, name and columns.
    pub(crate) fn all(&self) -> Vec<(String, String, SchemaRef)> {
        let schemas = self.schemas.read();
        let of = |(schema, tables): (&String, &BTreeMap<String, CrawledTable>)| {
            tables.iter().map(|(name, t)| (schema.clone(), name.clone(), Arc::clone(&t.schema))).collect::<Vec<_>>()
        };
        schemas.iter().flat_map(of).collect()
    }
}

impl CrawledTable {
    /// The table with the files that there are now.
    ///
    /// # Errors
    /// Where its files can't be listed, or its metadata can't be read.
    pub(crate) fn provider<'a>(
        &'a self,
        routes: &'a Routes,
        env: &'a Arc<RuntimeEnv>,
    ) -> BoxFuture<'a, Result<Arc<dyn TableProvider>, Error>> {
        async move {
            let places = routes.places();
            match &self.what {
                What::Files { spec, single: true, .. } => {
                    let mut spec = FilesSpec::clone(spec);
                    for file in &mut spec.files {
                        // It may have been written anew since.
                        let now = routes.head(&file.meta.location).await;
                        file.meta = now.map_err(|e| super::unreachable(&file.shown, e))?;
                    }
                    Ok(Arc::new(FilesTable::new(spec)) as Arc<dyn TableProvider>)
                }
                What::Files { spec, format, single: false } => {
                    let files = files_below(routes, &self.root, &spec.shown).await?;
                    let files: Vec<ObjectMeta> = files.into_iter().filter(|f| format_of(f) == Some(*format)).collect();
                    let spec = look::listed(of_table(files, &self.root), &self.root, spec, &places)?;
                    Ok(Arc::new(FilesTable::new(spec)) as Arc<dyn TableProvider>)
                }
                What::Delta { shown } => {
                    Ok(Arc::new(FilesTable::new(delta::table(routes, &self.root, shown, env).await?)) as Arc<dyn TableProvider>)
                }
                What::Iceberg { shown } => {
                    let view = iceberg(routes, &places, &self.root, shown).await?;
                    Ok(Arc::new(LakeTableProvider::new(view, store_url()?)) as Arc<dyn TableProvider>)
                }
            }
        }
        .boxed()
    }
}

/// Only files right below the root or in partitions: what lies in other folders is another table's.
fn of_table(files: Vec<ObjectMeta>, root: &Path) -> Vec<ObjectMeta> {
    let depth = root.parts().count();
    let own = |file: &ObjectMeta| {
        let count = file.location.parts().count();
        let mut folders = file.location.parts().skip(depth).take(count.saturating_sub(depth + 1));
        folders.all(|part| part.as_ref().contains('='))
    };
    let mut own: Vec<ObjectMeta> = files.into_iter().filter(own).collect();
    own.sort_by(|a, b| a.location.cmp(&b.location));
    own
}

fn format_of(file: &ObjectMeta) -> Option<Format> {
    Format::of_name(file.location.filename().unwrap_or_default())
}

async fn files_below(routes: &Routes, root: &Path, shown: &str) -> Result<Vec<ObjectMeta>, Error> {
    let files: Vec<ObjectMeta> =
        routes.list(Some(root)).take(FILES_MAX + 1).try_collect().await.map_err(|e| super::unreachable(shown, e))?;
    if files.len() > FILES_MAX {
        return Err(Error::new(Kind::Invalid, format!("there are more than {FILES_MAX} files below {shown}"))
            .with_hint("Point crawlers at parts of it."));
    }
    let hidden = |name: &str| name.starts_with(['.', '_']) && !name.contains('=');
    let depth = root.parts().count();
    let open = |f: &ObjectMeta| f.size > 0 && f.location.parts().skip(depth).all(|part| !hidden(part.as_ref()));
    Ok(files.into_iter().filter(open).collect())
}

/// The Iceberg table at `root` as it is now, its files named as paths in all places.
fn iceberg<'a>(
    routes: &'a Routes,
    places: &'a FilePlaces,
    root: &'a Path,
    shown: &'a str,
) -> BoxFuture<'a, Result<Arc<TableView>, Error>> {
    async move {
        let failed = |e: lake::Error| {
            let out = Error::new(Kind::Invalid, format!("{shown}: {e}"));
            match &e.hint {
                Some(hint) => out.with_hint(hint.to_string()),
                None => out,
            }
        };
        let newest = listing::newest_metadata(routes, root).await.map_err(|e| super::unreachable(shown, e))?;
        let Some((place, metadata)) = newest.as_ref().and_then(Routes::split) else {
            return Err(Error::new(Kind::Invalid, format!("{shown} has no metadata")));
        };
        let store = places.places.get(place).and_then(|p| p.store.clone());
        let Some(store) = store else {
            return Err(Error::new(
                Kind::Unsupported,
                format!("{shown} is an Iceberg table in a folder whose path engines spell differently"),
            )
            .with_hint("Use a path of letters, digits, `-`, `_`, `.` and `/`."));
        };
        let view = lake::read_elsewhere(&store, &metadata).await.map_err(failed)?;
        let files: Vec<ViewFile> =
            view.files.iter().map(|f| ViewFile { path: Routes::path(place, &f.path), ..f.clone() }).collect();
        Ok(Arc::new(TableView { files: files.into(), ..TableView::clone(&view) }))
    }
    .boxed()
}

/// A group of files that make a table.
struct Group {
    name: String,
    root: Path,
    kind: GroupKind,
}

enum GroupKind {
    Files { format: Format, files: Vec<ObjectMeta>, single: bool },
    Delta,
    Iceberg,
}

/// Finds the tables below a prefix.
///
/// # Errors
/// Where the prefix is in no place or can't be listed. What is wrong with one table is told of that table.
pub(crate) fn crawl<'a>(
    url: &'a str,
    format: Option<Format>,
    routes: &'a Routes,
    env: &'a Arc<RuntimeEnv>,
) -> BoxFuture<'a, Result<Vec<FoundTable>, Error>> {
    async move {
        let places = routes.places();
        let located = places.locate(url)?;
        let shown = places.shown(located.place, &located.path);
        let below = Path::parse(&located.path).map_err(|e| Error::new(Kind::Invalid, format!("`{shown}` is no path: {e}")))?;
        let root = Routes::path(located.place, &below);
        let groups = groups(routes, &root, &shown, format).await?;
        if groups.len() > TABLES_MAX {
            return Err(Error::new(Kind::Invalid, format!("there are more than {TABLES_MAX} tables below {shown}"))
                .with_hint("Point crawlers at parts of it."));
        }
        let mut found = Vec::with_capacity(groups.len());
        for group in groups {
            if let GroupKind::Files { format, files, single: false } = &group.kind
                && group.root == root
                && files.len() > 1
                && !alike(routes, &places, files, env).await
            {
                // Files side by side that differ are tables of their own.
                for file in files.clone() {
                    let name = plain_name(file.location.filename().unwrap_or_default().split('.').next().unwrap_or_default());
                    let kind = GroupKind::Files { format: *format, files: vec![file], single: true };
                    found.push(one(Group { name, root: root.clone(), kind }, routes, &places, env).await);
                }
                continue;
            }
            found.push(one(group, routes, &places, env).await);
        }
        name_apart(&mut found);
        Ok(found)
    }
    .boxed()
}

/// Whether files have the same columns, as far as their first ones tell.
async fn alike(routes: &Routes, places: &FilePlaces, files: &[ObjectMeta], env: &Arc<RuntimeEnv>) -> bool {
    const LOOKED_AT: usize = 8;
    let mut names: Option<BTreeSet<String>> = None;
    for file in files.iter().take(LOOKED_AT) {
        let listing = Listing { shown: String::new(), root: Path::default(), kind: Found::Files(vec![file.clone()]) };
        let options = Options { partitions: false, sample_bytes: 64 << 10, ..Options::default() };
        let Ok(Looked::Files(spec)) = look::look(routes, places, listing, &options, env).await else { continue };
        let own: BTreeSet<String> = spec.schema.fields().iter().map(|f| f.name().to_ascii_lowercase()).collect();
        match &names {
            // A column more or less is drift; other columns are another table.
            Some(known) if known.intersection(&own).count() * 2 < known.len().max(own.len()) => return false,
            Some(_) => {}
            None => names = Some(own),
        }
    }
    true
}

async fn groups(routes: &Routes, root: &Path, shown: &str, only: Option<Format>) -> Result<Vec<Group>, Error> {
    let all: Vec<ObjectMeta> =
        routes.list(Some(root)).take(FILES_MAX + 1).try_collect().await.map_err(|e| super::unreachable(shown, e))?;
    let depth = root.parts().count();
    // Tables with a log or metadata of their own, first: what lies below them is theirs.
    let mut own: BTreeMap<Path, GroupKind> = BTreeMap::new();
    for file in &all {
        let parts: Vec<_> = file.location.parts().collect();
        let Some(folder) = parts.len().checked_sub(2) else { continue };
        let table = || parts[..folder].iter().cloned().collect::<Path>();
        if folder >= depth && parts[folder].as_ref() == "_delta_log" && file.location.extension() == Some("json") {
            own.entry(table()).or_insert(GroupKind::Delta);
        }
        if folder >= depth && parts[folder].as_ref() == "metadata" && file.location.as_ref().ends_with(".metadata.json") {
            own.entry(table()).or_insert(GroupKind::Iceberg);
        }
    }
    let files = files_below(routes, root, shown).await?;
    let mut folders: BTreeMap<(Path, &str), (Format, Vec<ObjectMeta>)> = BTreeMap::new();
    for file in files {
        let Some(format) = format_of(&file).filter(|f| only.is_none_or(|only| only == *f)) else { continue };
        if own.keys().any(|table| file.location.prefix_matches(table)) {
            continue;
        }
        let parts: Vec<_> = file.location.parts().collect();
        let end = parts
            .iter()
            .enumerate()
            .skip(depth)
            .position(|(_, part)| part.as_ref().contains('='))
            .map_or(parts.len() - 1, |at| depth + at);
        let folder: Path = parts[..end.min(parts.len() - 1)].iter().cloned().collect();
        folders.entry((folder, format.as_str())).or_insert_with(|| (format, Vec::new())).1.push(file);
    }
    let named = |path: &Path| {
        let below: Vec<String> = path.parts().skip(depth).map(|p| p.as_ref().to_owned()).collect();
        let name = if below.is_empty() {
            shown.rsplit('/').find(|p| !p.is_empty()).unwrap_or("files").to_owned()
        } else {
            below.join("_")
        };
        plain_name(&name)
    };
    let mut out: Vec<Group> = own.into_iter().map(|(path, kind)| Group { name: named(&path), root: path, kind }).collect();
    for ((folder, _), (format, files)) in folders {
        out.push(Group { name: named(&folder), root: folder, kind: GroupKind::Files { format, files, single: false } });
    }
    Ok(out)
}

/// A name that needs no quotes in SQL.
fn plain_name(text: &str) -> String {
    let name: String = text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => "files".to_owned(),
        Some(c) if c.is_ascii_digit() => format!("t{name}"),
        Some(_) => name.chars().take(60).collect(),
    }
}

/// Gives tables of one name their format as an ending, or a number.
fn name_apart(found: &mut [FoundTable]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for table in found {
        let named = [table.name.clone(), format!("{}_{}", table.name, table.format)];
        let numbered = (2_u32..).map(|n| format!("{}_{n}", table.name));
        if let Some(name) = named.into_iter().chain(numbered).find(|name| !taken.contains(name)) {
            taken.insert(name.clone());
            table.name = name;
        }
    }
}

/// Looks at a group of files. Whatever is wrong with it is told of it.
fn one<'a>(group: Group, routes: &'a Routes, places: &'a FilePlaces, env: &'a Arc<RuntimeEnv>) -> BoxFuture<'a, FoundTable> {
    async move {
        let path = match &group.kind {
            GroupKind::Files { files, single: true, .. } => files.first().map_or(&group.root, |f| &f.location),
            _ => &group.root,
        };
        let path = look::shown(places, path);
        let format = match &group.kind {
            GroupKind::Files { format, .. } => format.as_str(),
            GroupKind::Delta => "delta",
            GroupKind::Iceberg => "iceberg",
        };
        let (files, bytes) = match &group.kind {
            GroupKind::Files { files, .. } => (files.len() as u64, files.iter().map(|f| f.size).sum()),
            _ => (0, 0),
        };
        let name = group.name.clone();
        let blank = FoundTable {
            name,
            path: path.clone(),
            format: format.to_owned(),
            columns: Vec::new(),
            partitions: Vec::new(),
            files,
            bytes,
            rows: None,
            each: Vec::new(),
            table: None,
            error: None,
        };
        match read(group, &path, routes, places, env).await {
            Ok(read) => FoundTable {
                columns: columns(&read.table.schema),
                partitions: read.partitions,
                files: read.files.unwrap_or(files),
                bytes: read.bytes.unwrap_or(bytes),
                rows: read.rows,
                each: read.each,
                table: Some(read.table),
                ..blank
            },
            Err(error) => FoundTable { error: Some((error.message.clone(), error.hint)), ..blank },
        }
    }
    .boxed()
}

struct Read {
    table: CrawledTable,
    partitions: Vec<String>,
    files: Option<u64>,
    bytes: Option<u64>,
    rows: Option<u64>,
    each: Vec<(String, Vec<(String, String)>)>,
}

async fn read(group: Group, path: &str, routes: &Routes, places: &FilePlaces, env: &Arc<RuntimeEnv>) -> Result<Read, Error> {
    let root = group.root.clone();
    match group.kind {
        GroupKind::Files { format, files, single } => {
            let files = if single { files } else { of_table(files, &root) };
            let listing = Listing { shown: path.to_owned(), root: root.clone(), kind: Found::Files(files) };
            let options = Options { format: Some(format), ignore_unknown: true, partitions: !single, ..Options::default() };
            let spec = match look::look(routes, places, listing, &options, env).await? {
                Looked::Files(spec) => spec,
                Looked::Nothing(file) => {
                    return Err(Error::new(Kind::Invalid, format!("{file} is empty")).with_hint("An empty file has no columns."));
                }
            };
            let each = spec.each.iter().map(|(file, schema)| (file.clone(), columns(&plain_schema(schema)))).collect();
            let spec = FilesSpec { each: Vec::new(), ..spec };
            let schema = plain_schema(&spec.table_schema());
            let partitions = spec.partitions.iter().map(|f| f.name().clone()).collect();
            let table = CrawledTable { root, schema, what: What::Files { spec: Arc::new(spec), format, single } };
            Ok(Read { table, partitions, files: None, bytes: None, rows: None, each })
        }
        GroupKind::Delta => {
            let spec = delta::table(routes, &root, path, env).await?;
            let schema = plain_schema(&spec.table_schema());
            Ok(Read {
                partitions: spec.partitions.iter().map(|f| f.name().clone()).collect(),
                files: Some(spec.files.len() as u64),
                bytes: Some(spec.files.iter().map(|f| f.meta.size).sum()),
                rows: spec.files.iter().map(|f| f.rows).sum(),
                each: vec![(path.to_owned(), columns(&schema))],
                table: CrawledTable { root, schema, what: What::Delta { shown: path.to_owned() } },
            })
        }
        GroupKind::Iceberg => {
            let view = iceberg(routes, places, &root, path).await?;
            let schema = plain_schema(&view.schema);
            Ok(Read {
                partitions: Vec::new(),
                files: Some(view.files.len() as u64),
                bytes: Some(view.files.iter().map(|f| f.bytes).sum()),
                rows: Some(view.live_rows()),
                each: vec![(path.to_owned(), columns(&schema))],
                table: CrawledTable { root, schema, what: What::Iceberg { shown: path.to_owned() } },
            })
        }
    }
}

fn columns(schema: &SchemaRef) -> Vec<(String, String)> {
    schema.fields().iter().map(|f| (f.name().clone(), sql_type_name(f.data_type()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes() {
        for (text, name) in
            [("Orders 2026", "orders_2026"), ("2026", "t2026"), ("__", "files"), ("a-b.c", "a_b_c"), ("Größe", "gr__e")]
        {
            assert_eq!(plain_name(text), name);
        }
    }
}
