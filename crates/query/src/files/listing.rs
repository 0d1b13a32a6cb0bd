use super::{
    Format,
    places::{FilePlaces, Located},
    routes::Routes,
    unreachable,
};
use crate::{Error, Kind};
use formats::paths::{self, Level};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

/// Files of one table.
const FILES_MAX: usize = 100_000;

/// What a path leads to.
#[derive(Debug)]
pub(super) struct Listing {
    /// How the path is written.
    pub shown: String,
    /// The part of the path that all files share, as paths in [`Routes`]: directories below it may be partitions.
    pub root: Path,
    pub kind: Found,
}

#[derive(Debug)]
pub(super) enum Found {
    /// Files, sorted by path.
    Files(Vec<ObjectMeta>),
    /// A Delta table, whose log says which files are its.
    Delta,
    /// An Iceberg table, whose metadata says which files are its.
    Iceberg,
}

impl Listing {
    /// Both together, for several paths in one call.
    pub(super) fn and(self, other: Self) -> Result<Self, Error> {
        match (self.kind, other.kind) {
            (Found::Files(mut files), Found::Files(more)) => {
                files.extend(more);
                files.sort_by(|a, b| a.location.cmp(&b.location));
                files.dedup_by(|a, b| a.location == b.location);
                let shared = self.root.parts().zip(other.root.parts()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
                Ok(Self { shown: self.shown, root: shared, kind: Found::Files(files) })
            }
            _ => Err(Error::new(Kind::Unsupported, "several paths can only be files, not tables of their own")
                .with_hint("Read each by itself and put them together with UNION ALL.")),
        }
    }
}

/// A directory or file that is not for readers: temporary files, logs and markers of other engines.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Whether no level of a path below `root` is hidden.
fn is_open(root: &Path, path: &Path) -> bool {
    path.parts().skip(root.parts().count()).all(|part| !is_hidden(part.as_ref()) || part.as_ref().contains('='))
}

/// What `path` leads to: one file, all files of a folder, those that a pattern matches, or a table with a log of its own.
///
/// # Errors
/// Where the path is in no place, or there is nothing.
pub(super) fn find<'a>(routes: &'a Routes, places: &'a FilePlaces, path: &'a str) -> BoxFuture<'a, Result<Listing, Error>> {
    async move {
        let located = places.locate(path)?;
        let shown = places.shown(located.place, &located.path);
        let failed = |e: object_store::Error| unreachable(&shown, e);
        if paths::is_pattern(&located.path) {
            let (root, files) = matching(routes, &located).await.map_err(failed)?;
            let files = checked(files, &shown)?;
            if files.is_empty() {
                return Err(Error::new(Kind::Invalid, format!("no file matches {shown}"))
                    .with_hint("`*` stands for any text inside of one level of a path, `**` for any levels."));
            }
            return Ok(Listing { shown, root, kind: Found::Files(files) });
        }
        let root = Routes::path(located.place, &Path::parse(&located.path).map_err(|e| bad_path(&shown, e))?);
        if !located.path.is_empty() {
            match routes.head(&root).await {
                Ok(meta) => {
                    let above: Path = root.parts().take(root.parts().count().saturating_sub(1)).collect();
                    return Ok(Listing { shown, root: above, kind: Found::Files(vec![meta]) });
                }
                Err(object_store::Error::NotFound { .. }) => {}
                // A folder is no file; what it is, listing says.
                Err(object_store::Error::Generic { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        folder(routes, root, shown).await
    }
    .boxed()
}

/// A folder: a table with a log, or all files below it.
pub(super) async fn folder(routes: &Routes, root: Path, shown: String) -> Result<Listing, Error> {
    let failed = |e: object_store::Error| unreachable(&shown, e);
    let here = routes.list_with_delimiter(Some(&root)).await.map_err(failed)?;
    let has = |name: &str| here.common_prefixes.iter().any(|p| p.parts().next_back().is_some_and(|part| part.as_ref() == name));
    if has("_delta_log") {
        return Ok(Listing { shown, root, kind: Found::Delta });
    }
    if has("metadata") && newest_metadata(routes, &root).await.map_err(failed)?.is_some() {
        return Ok(Listing { shown, root, kind: Found::Iceberg });
    }
    let files: Vec<ObjectMeta> = routes.list(Some(&root)).take(FILES_MAX + 1).try_collect().await.map_err(failed)?;
    let files = checked(files.into_iter().filter(|f| is_open(&root, &f.location)).collect(), &shown)?;
    if files.is_empty() {
        return Err(Error::new(Kind::Invalid, format!("there is no file at {shown}"))
            .with_hint("Check the path; files whose names begin with `.` or `_` don't count."));
    }
    Ok(Listing { shown, root, kind: Found::Files(files) })
}

fn bad_path(shown: &str, error: object_store::path::Error) -> Error {
    Error::new(Kind::Invalid, format!("`{shown}` is no path: {error}"))
}

/// Sorted, without empty files where there are others: stores mark folders with them.
fn checked(mut files: Vec<ObjectMeta>, shown: &str) -> Result<Vec<ObjectMeta>, Error> {
    if files.len() > FILES_MAX {
        return Err(Error::new(Kind::Invalid, format!("there are more than {FILES_MAX} files at {shown}"))
            .with_hint("Name a part of them, for example one year's folder."));
    }
    if files.iter().any(|f| f.size > 0) {
        files.retain(|f| f.size > 0);
    }
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// The files that a pattern matches, and the levels before its first wildcard.
async fn matching(routes: &Routes, located: &Located) -> object_store::Result<(Path, Vec<ObjectMeta>)> {
    let levels = paths::levels(&located.path);
    let fixed = levels.iter().take_while(|l| matches!(l, Level::Name(_))).count();
    let names = levels[..fixed].iter().map(|l| if let Level::Name(name) = l { name.as_str() } else { "" });
    let below = Path::parse(names.collect::<Vec<_>>().join("/"))?;
    let root = Routes::path(located.place, &below);
    let depth = root.parts().count();
    let rest = &levels[fixed..];
    if rest.contains(&Level::Any) {
        let wanted = |meta: &ObjectMeta| {
            let parts: Vec<String> = meta.location.parts().skip(depth).map(|p| p.as_ref().to_owned()).collect();
            paths::matches(rest, &parts.iter().map(String::as_str).collect::<Vec<_>>()) && is_open(&root, &meta.location)
        };
        let mut listed = routes.list(Some(&root));
        let mut files = Vec::new();
        while let Some(meta) = listed.try_next().await? {
            if wanted(&meta) && files.len() <= FILES_MAX {
                files.push(meta);
            }
        }
        return Ok((root, files));
    }
    // Level by level, so that no folder is listed that can't hold a match.
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    for (i, level) in rest.iter().enumerate() {
        let last = i + 1 == rest.len();
        let fits = |path: &Path| {
            let name = path.parts().next_back().map(|p| p.as_ref().to_owned()).unwrap_or_default();
            match level {
                Level::Name(wanted) => *wanted == name,
                Level::Pattern(pattern) => {
                    paths::name_matches(pattern, &name) && (!is_hidden(&name) || pattern.starts_with(['.', '_']))
                }
                Level::Any => true,
            }
        };
        let mut next = Vec::new();
        let listing = |folder: Path| {
            let routes = routes.clone();
            async move { routes.list_with_delimiter(Some(&folder)).await }.boxed()
        };
        let waiting: Vec<BoxFuture<'static, _>> = folders.into_iter().map(listing).collect();
        let mut listings = futures::stream::iter(waiting).buffered(8);
        while let Some(listed) = listings.try_next().await? {
            if last {
                files.extend(listed.objects.into_iter().filter(|meta| fits(&meta.location)));
            } else {
                next.extend(listed.common_prefixes.into_iter().filter(|path| fits(path)));
            }
            if files.len() + next.len() > FILES_MAX {
                return Ok((root, files));
            }
        }
        folders = next;
    }
    Ok((root, files))
}

/// The newest metadata file of an Iceberg table: `version-hint.text` where there is one, else the highest version, the latest written of several.
pub(super) async fn newest_metadata(routes: &Routes, root: &Path) -> object_store::Result<Option<Path>> {
    let folder: Path = root.parts().chain(Path::from("metadata").parts()).collect();
    let files: Vec<ObjectMeta> = routes.list_with_delimiter(Some(&folder)).await?.objects;
    let version = |meta: &ObjectMeta| {
        let name = meta.location.filename()?;
        let bare = name.strip_suffix(".metadata.json")?;
        let digits: String = bare.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    };
    let newest = files.iter().filter_map(|f| Some((version(f)?, f.last_modified, &f.location))).max();
    Ok(newest.map(|(_, _, path)| path.clone()))
}

/// The format of files from their names; none where a name does not say.
///
/// # Errors
/// Where there are several formats.
pub(super) fn format_of(files: &[ObjectMeta], shown: &str) -> Result<Option<Format>, Error> {
    let mut found: Vec<Format> = Vec::new();
    for format in files.iter().filter_map(|f| Format::of_name(f.location.filename().unwrap_or_default())) {
        if !found.contains(&format) {
            found.push(format);
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => {
            let words: Vec<&str> = several.iter().map(|f| f.as_str()).collect();
            Err(Error::new(Kind::Invalid, format!("the files at {shown} are of several formats: {}", words.join(", ")))
                .with_hint("Name those of one format with a pattern, for example `*.csv`."))
        }
    }
}
