//! All places as one object store that only reads: `@2/a/b.csv` is `a/b.csv` in the third place.

use super::FilePlaces;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use parking_lot::RwLock;
use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// The places that files may be read from now. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    places: Arc<RwLock<Arc<FilePlaces>>>,
}

impl Routes {
    /// Replaces the places. Nothing may be planned yet: paths tell places by their number.
    pub(crate) fn set(&self, places: FilePlaces) {
        *self.places.write() = Arc::new(places);
    }

    /// The places.
    pub(crate) fn places(&self) -> Arc<FilePlaces> {
        Arc::clone(&self.places.read())
    }

    /// A path in a place as a path in all of them.
    pub(super) fn path(place: usize, path: &Path) -> Path {
        if path.as_ref().is_empty() {
            Path::from(format!("@{place}"))
        } else {
            Path::parse(format!("@{place}/{path}")).unwrap_or_default()
        }
    }

    /// The place and the path in it.
    pub(super) fn split(path: &Path) -> Option<(usize, Path)> {
        let text = path.as_ref().strip_prefix('@')?;
        let (place, rest) = text.split_once('/').unwrap_or((text, ""));
        Some((place.parse().ok()?, Path::parse(rest).ok()?))
    }

    fn route(&self, path: &Path) -> Result<(usize, Arc<dyn ObjectStore>, Path)> {
        let missing = || Error::NotFound { path: path.to_string(), source: "it is in no place".into() };
        let (place, rest) = Self::split(path).ok_or_else(missing)?;
        let objects = self.places().places.get(place).map(|p| Arc::clone(&p.objects)).ok_or_else(missing)?;
        Ok((place, objects, rest))
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("files of others")
    }
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "files of others are only read".into() })
}

fn moved(place: usize, meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta { location: Routes::path(place, &meta.location), ..meta }
}

#[async_trait]
impl ObjectStore for Routes {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (_, objects, path) = self.route(location)?;
        let result = objects.get_opts(&path, options).await?;
        // A store below a prefix answers with the whole path.
        let meta = ObjectMeta { location: location.clone(), ..result.meta };
        Ok(GetResult { meta, ..result })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (_, objects, path) = self.route(location)?;
        objects.get_ranges(&path, ranges).await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match prefix.map_or_else(read_only, |p| self.route(p)) {
            Ok((place, objects, path)) => {
                let path = Some(path).filter(|p| !p.as_ref().is_empty());
                objects.list(path.as_ref()).map_ok(move |meta| moved(place, meta)).boxed()
            }
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (place, objects, path) = prefix.map_or_else(read_only, |p| self.route(p))?;
        let path = Some(path).filter(|p| !p.as_ref().is_empty());
        let listed = objects.list_with_delimiter(path.as_ref()).await?;
        Ok(ListResult {
            common_prefixes: listed.common_prefixes.iter().map(|p| Self::path(place, p)).collect(),
            objects: listed.objects.into_iter().map(|meta| moved(place, meta)).collect(),
        })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

/// A store on a local disk that no link leads out of.
#[derive(Debug)]
pub(super) struct Fenced<T> {
    inner: T,
    root: PathBuf,
}

impl<T> Fenced<T> {
    pub(super) fn new(inner: T, root: PathBuf) -> Self {
        Self { inner, root }
    }

    /// Refuses a path that leads out of the root once links are followed. What does not exist is left to the store to miss.
    async fn check(&self, path: &Path) -> Result<()> {
        // A store on disk spells some characters of names in percent; the file may be either.
        let spellings = [path.to_string(), formats::paths::decoded(path.as_ref())];
        let root = self.root.clone();
        let inside = move || {
            let Ok(real) = root.canonicalize() else { return true };
            spellings.iter().all(|path| root.join(path).canonicalize().map_or(true, |file| file.starts_with(&real)))
        };
        let inside = runtime::blocking("following links", inside).await.map_err(|e| generic(Box::new(e)))?;
        let denied = || Error::PermissionDenied { path: path.to_string(), source: "a link leads out of the folder".into() };
        if inside { Ok(()) } else { Err(denied()) }
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Generic { store: "files", source }
}

impl<T: fmt::Display> fmt::Display for Fenced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for Fenced<T> {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(location).await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(location).await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if let Some(prefix) = prefix {
            self.check(prefix).await?;
        }
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;

    #[tokio::test]
    async fn no_link_leads_out_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("in")).unwrap();
        std::fs::write(data.join("in/a.csv"), "x").unwrap();
        std::fs::write(dir.path().join("secret.csv"), "y").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.csv"), data.join("link.csv")).unwrap();
        std::os::unix::fs::symlink(data.join("in/a.csv"), data.join("fine.csv")).unwrap();
        let routes = Routes::default();
        let mut places = FilePlaces::new();
        places.add_directory(&data).await.unwrap();
        routes.set(places);
        let get = async |path: &str| Ok::<_, Error>(routes.get(&Path::parse(path).unwrap()).await?.bytes().await?);
        assert_eq!(get("@0/in/a.csv").await.unwrap().as_ref(), b"x");
        assert_eq!(get("@0/fine.csv").await.unwrap().as_ref(), b"x");
        assert_eq!(routes.head(&Path::from("@0/in/a.csv")).await.unwrap().location, Path::from("@0/in/a.csv"));
        assert!(matches!(get("@0/link.csv").await, Err(Error::PermissionDenied { .. })));
        assert!(get("@1/a").await.is_err() && get("in/a.csv").await.is_err());
        assert!(routes.put(&Path::from("@0/new"), "z".into()).await.is_err());
        assert!(!data.join("new").exists());
    }
}
