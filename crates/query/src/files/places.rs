use crate::{Error, Kind};
use lake::Store;
use object_store::{ObjectStore, prefix::PrefixStore};
use std::{
    collections::BTreeMap,
    path::{Component, Path},
    sync::Arc,
};

/// The name under which people find what they uploaded, whatever the warehouse's own name is.
pub(super) const UPLOADS: &str = "uploads";

/// Where files may be read from by SQL. Nothing else can be reached, whatever a statement says.
#[derive(Debug, Clone, Default)]
pub struct FilePlaces {
    pub(super) places: Vec<Place>,
}

/// A directory or a prefix of a bucket.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// How it is written, without a slash at the end: `/data`, `s3://bucket/prefix`.
    pub spelled: String,
    /// Other spellings of the same place.
    pub aliases: Vec<String>,
    /// Its files; paths are relative to the place.
    pub objects: Arc<dyn ObjectStore>,
    /// The same as a warehouse, for tables whose metadata names whole paths.
    pub store: Option<Store>,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    /// Which of the places.
    pub place: usize,
    /// The path in it, without slashes at its ends; it may be a pattern.
    pub path: String,
}

impl FilePlaces {
    /// No place.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder of this machine, which must exist.
    ///
    /// # Errors
    /// [`Kind::Storage`] where it does not exist or can't be opened.
    pub async fn add_directory(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(Kind::Storage, format!("the folder {} of `server.files` can't be opened: {e}", path.display()))
                .with_hint("Make it, give lakebox the right to read it, or take it out of `server.files`.")
        };
        let real = path.canonicalize().map_err(|e| failed(e.into()))?;
        let objects = object_store::local::LocalFileSystem::new_with_prefix(&real).map_err(|e| failed(e.into()))?;
        let spelled = trimmed(&path.display().to_string());
        let aliases = vec![trimmed(&real.display().to_string())];
        let objects = Arc::new(super::routes::Fenced::new(objects, real.clone()));
        // For Iceberg tables, whose metadata names whole paths. Paths that engines spell differently have none.
        let store = Store::open(&real.display().to_string(), &BTreeMap::new()).await.ok();
        self.places.push(Place { spelled, aliases, objects, store });
        Ok(())
    }

    /// Adds a prefix of a bucket. It is asked on first use.
    pub fn add_bucket(&mut self, url: &str, store: Store) {
        let (spelled, objects) = (trimmed(url), store.objects());
        let aliases = vec![plain_scheme(&spelled)];
        self.places.push(Place { spelled, aliases, objects, store: Some(store) });
    }

    /// Adds the folder `uploads` of the lake, which is also found as `uploads/…`.
    pub fn add_uploads(&mut self, warehouse: &Store) {
        let spelled = format!("{}/{UPLOADS}", warehouse.root());
        let bare = spelled.strip_prefix("file://").unwrap_or(&spelled).to_owned();
        let objects: Arc<dyn ObjectStore> = match warehouse.directory() {
            // A link in there would lead out, as anywhere.
            Some(directory) => {
                let inner = PrefixStore::new(warehouse.objects(), UPLOADS);
                Arc::new(super::routes::Fenced::new(inner, directory.join(UPLOADS)))
            }
            None => Arc::new(PrefixStore::new(warehouse.objects(), UPLOADS)),
        };
        self.places.push(Place { spelled: bare, aliases: vec![UPLOADS.to_owned(), spelled], objects, store: None });
    }

    /// The place that a path is in, and the rest of the path.
    ///
    /// # Errors
    /// [`Kind::Invalid`] where it is in none, with those that there are.
    pub(super) fn locate(&self, path: &str) -> Result<Located, Error> {
        if let Some((scheme @ ("http" | "https" | "ftp"), _)) = path.split_once("://") {
            return Err(Error::new(Kind::Unsupported, format!("files can't be read over {scheme}"))
                .with_hint("Download the file and upload it, or put it where `server.files` says."));
        }
        let path = normalised(path)?;
        let spellings =
            |place: &Place| -> Vec<String> { std::iter::once(&place.spelled).chain(&place.aliases).cloned().collect() };
        let inside = |root: &str| {
            let rest = path.strip_prefix(root)?;
            (rest.is_empty() || rest.starts_with('/') || root.is_empty()).then(|| rest.trim_matches('/').to_owned())
        };
        // The deepest place that the path is in.
        let found = self
            .places
            .iter()
            .enumerate()
            .flat_map(|(i, place)| spellings(place).into_iter().map(move |root| (root.len(), i, root)));
        let found = found.filter_map(|(length, place, root)| Some((length, Located { place, path: inside(&root)? })));
        match found.max_by_key(|(length, _)| *length) {
            Some((_, located)) => Ok(located),
            None => Err(self.outside(&path)),
        }
    }

    fn outside(&self, path: &str) -> Error {
        let allowed: Vec<String> =
            self.places.iter().map(|p| p.aliases.iter().find(|a| *a == UPLOADS).unwrap_or(&p.spelled).clone()).collect();
        let allowed = if allowed.is_empty() { "nowhere".to_owned() } else { allowed.join(", ") };
        Error::new(Kind::Invalid, format!("`{path}` is not where SQL may read files")).with_hint(format!(
            "Files may be read from: {allowed}. Add a folder or a bucket's prefix to `server.files` in the configuration."
        ))
    }

    /// A path as people would write it to find it again.
    pub(super) fn shown(&self, place: usize, path: &str) -> String {
        let Some(place) = self.places.get(place) else { return path.to_owned() };
        let root = place.aliases.iter().find(|a| *a == UPLOADS).unwrap_or(&place.spelled);
        if path.is_empty() { root.clone() } else { format!("{root}/{path}") }
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('/').to_owned()
}

/// Hadoop's names for S3 are S3.
fn plain_scheme(url: &str) -> String {
    match url.split_once("://") {
        Some(("s3a" | "s3n", rest)) => format!("s3://{rest}"),
        _ => url.to_owned(),
    }
}

/// The path without `file://`, `.` and `..`, which are resolved as they are written: no link is followed here.
fn normalised(path: &str) -> Result<String, Error> {
    if path.contains('\0') || path.is_empty() {
        return Err(Error::new(Kind::Invalid, "an empty text is no path")
            .with_hint("Write a file, a folder, or a pattern such as 'uploads/*.csv'."));
    }
    let path = plain_scheme(path);
    let (scheme, path) = match path.split_once("://") {
        Some(("file", rest)) => (String::new(), rest.to_owned()),
        Some((scheme, rest)) => (format!("{scheme}://"), rest.to_owned()),
        None => (String::new(), path),
    };
    let mut parts: Vec<String> = Vec::new();
    for component in Path::new(&path).components() {
        match component {
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
        }
    }
    let root = if scheme.is_empty() && path.starts_with('/') { "/" } else { "" };
    Ok(format!("{scheme}{root}{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_leads_into_a_place_or_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (data, deep) = (dir.path().join("data"), dir.path().join("data/deep"));
        std::fs::create_dir_all(&deep).unwrap();
        let mut places = FilePlaces::new();
        places.add_directory(&data).await.unwrap();
        places.add_directory(&deep).await.unwrap();
        let root = data.display().to_string();
        for (path, expected) in [
            (format!("{root}/a/*.csv"), Some((0, "a/*.csv"))),
            (format!("file://{root}/a.csv"), Some((0, "a.csv"))),
            (format!("{root}/deep/x.csv"), Some((1, "x.csv"))),
            (format!("{root}/deep/../x.csv"), Some((0, "x.csv"))),
            (root.clone(), Some((0, ""))),
            (format!("{root}x/a.csv"), None),
            (format!("{root}/../a.csv"), None),
            ("/etc/passwd".to_owned(), None),
            ("a.csv".to_owned(), None),
            ("s3://bucket/x".to_owned(), None),
        ] {
            let located = places.locate(&path).ok().map(|l| (l.place, l.path));
            assert_eq!(located, expected.map(|(p, path)| (p, path.to_owned())), "{path}");
        }
        let error = places.locate("/etc/passwd").unwrap_err();
        assert!(error.hint.unwrap().contains("server.files"));
        assert_eq!(places.locate("https://x/y.csv").unwrap_err().kind, Kind::Unsupported);
    }
}
