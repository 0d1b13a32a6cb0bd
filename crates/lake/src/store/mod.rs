//! The warehouse: where files live, one spelling of their paths, and puts that last.

mod cache;
mod counted;
mod durable;
mod held;
mod lock;
pub(crate) mod names;
mod profile;
mod put;
mod remote;
mod seal;
mod spelling;
mod upload;
mod verified;

pub use cache::CacheCounts;
pub use counted::{Counters, StoreCounts};
pub(crate) use held::Held;
pub(crate) use lock::WarehouseLock;
pub use remote::{CacheSettings, RemoteSettings};
pub(crate) use seal::Sealing;
pub use upload::FileSink;

use crate::{Error, error::Kind};
use bytes::Bytes;
use counted::Counted;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use runtime::SharedClock;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
use verified::Verified;

/// The warehouse of a lake.
///
/// Inside the process files are named by [`Path`]s relative to the warehouse. Iceberg metadata and delete files name them by
/// [`Store::location`], always spelt the same way, because readers silently ignore deletes whose path is spelt otherwise.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `file:///abs/lake` or `s3://bucket/prefix`, without a slash at the end.
    root: String,
    /// The directory, where the warehouse is on a local disk.
    local: Option<PathBuf>,
    objects: Arc<dyn ObjectStore>,
    /// The same, where its answers are verified: everywhere but on a local disk.
    verified: Option<Arc<Verified>>,
    counters: Arc<Counters>,
    held: Arc<held::Holding>,
    /// Whether the store knows `If-None-Match`; unset by the first refusal.
    conditional_puts: AtomicBool,
    /// Where credentials were looked for, for those who find none there.
    looked: String,
    clock: SharedClock,
}

impl Store {
    /// Opens the warehouse at `url`: a directory (`./lake`, `file:///srv/lake`), or `s3://bucket/prefix`, `gs://…`, `az://…`.
    ///
    /// `options` are those of the object store under their usual names in lower case (`aws_access_key_id`, `aws_endpoint`, `aws_region`,
    /// `aws_allow_http`, …). A local directory is created where it is missing. A bucket is only asked on first use.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] for a URL or option that can't work, [`Kind::Storage`] where the directory can't be made.
    pub async fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        Self::open_with(url, options, &RemoteSettings::default()).await
    }

    /// As [`Self::open`], with what an object store needs beside its options.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Kind::InUse`] where another process uses the folder of the cache.
    pub async fn open_with(url: &str, options: &BTreeMap<String, String>, settings: &RemoteSettings) -> Result<Self, Error> {
        match url.split_once("://") {
            None => Self::open_directory(PathBuf::from(url)).await,
            Some(("file", path)) => Self::open_directory(PathBuf::from(path)).await,
            Some(_) => Self::open_bucket(url, options, settings).await,
        }
    }

    async fn open_directory(directory: PathBuf) -> Result<Self, Error> {
        let directory = runtime::blocking("opening the warehouse", move || durable::make_root(&directory)).await??;
        let objects = object_store::local::LocalFileSystem::new_with_prefix(&directory).map_err(|e| {
            Error::new(Kind::Misconfigured, format!("the warehouse {} can't be opened", directory.display())).with_source(e)
        })?;
        let Some(text) = directory.to_str().filter(|t| is_plain_path(t)) else {
            return Err(Error::new(
                Kind::Misconfigured,
                format!("the warehouse path {} has characters that Iceberg readers spell differently", directory.display()),
            )
            .with_hint("Choose a path of letters, digits, `-`, `_`, `.`, `@`, `+`, `=` and `/`."));
        };
        Ok(Self::new(format!("file://{text}"), Some(directory.clone()), Arc::new(objects)))
    }

    async fn open_bucket(url: &str, options: &BTreeMap<String, String>, settings: &RemoteSettings) -> Result<Self, Error> {
        let opened = remote::open(url, options, settings)?;
        let cache = match settings.cache.clone() {
            Some(CacheSettings { dir, bytes_max }) => {
                let open = move || cache::DiskCache::open(&dir, bytes_max);
                Some(runtime::blocking("opening the cache", open).await??)
            }
            None => None,
        };
        let root = url.trim_end_matches('/').to_owned();
        let mut store = Self::new(root, None, opened.objects);
        store.verify(cache);
        if let Some(inner) = Arc::get_mut(&mut store.inner) {
            inner.looked = opened.looked;
        }
        Ok(store)
    }

    fn new(root: String, local: Option<PathBuf>, objects: Arc<dyn ObjectStore>) -> Self {
        let counters = Arc::new(Counters::default());
        let objects: Arc<dyn ObjectStore> = Arc::new(Counted::new(objects, Arc::clone(&counters)));
        let inner = Inner {
            root,
            local,
            objects,
            verified: None,
            counters,
            held: Arc::default(),
            conditional_puts: AtomicBool::new(true),
            looked: String::new(),
            clock: runtime::SystemClock::shared(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on no answer is taken on trust. To be called before the store is shared.
    fn verify(&mut self, cache: Option<cache::DiskCache>) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            let verified = Arc::new(Verified::new(Arc::clone(&inner.objects), &inner.root, cache));
            inner.objects = Arc::clone(&verified) as Arc<dyn ObjectStore>;
            inner.verified = Some(verified);
        }
    }

    /// A warehouse over any object store, for tests that plant faults. Its root is spelt `memory://lake`.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        let mut store = Self::new("memory://lake".to_owned(), None, objects);
        store.verify(None);
        store
    }

    /// Answers of the object store that were damaged, and asked for again.
    pub fn refused_answers(&self) -> u64 {
        self.inner.verified.as_ref().map_or(0, |v| v.refused())
    }

    /// What the cache on local disk has done, where there is one.
    pub fn cache_counts(&self) -> Option<CacheCounts> {
        self.inner.verified.as_ref()?.cache_counts()
    }

    /// How the warehouse is spelt in metadata, without a slash at the end.
    pub fn root(&self) -> &str {
        &self.inner.root
    }

    /// The directory, where the warehouse is on a local disk.
    pub fn directory(&self) -> Option<&std::path::Path> {
        self.inner.local.as_deref()
    }

    /// The object store, rooted at the warehouse; its requests are counted.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.objects)
    }

    /// Requests and bytes since the process began.
    pub fn counts(&self) -> StoreCounts {
        self.inner.counters.read()
    }

    /// The spelling of a file in Iceberg metadata.
    pub fn location(&self, path: &Path) -> String {
        format!("{}/{path}", self.inner.root)
    }

    /// The file of a spelling, ours or that of another engine (`file:/a` and `/a` for `file:///a`, `s3a://` for `s3://`).
    ///
    /// # Errors
    /// [`Kind::Corrupt`] where it is outside this warehouse: the lake was moved, or the metadata is not ours.
    pub fn path(&self, location: &str) -> Result<Path, Error> {
        let inside = location.strip_prefix(self.root()).and_then(|rest| rest.strip_prefix('/'));
        inside.or_else(|| spelling::inside(self.root(), location)).and_then(|rest| Path::parse(rest).ok()).ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("`{location}` is not inside the warehouse {}", self.root())).with_hint(
                "A lake can't be moved: its metadata names absolute paths. Configure the warehouse where it was created.",
            )
        })
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Kind::Storage`], or [`Kind::Corrupt`] where the file is missing.
    pub async fn get(&self, path: &Path) -> Result<Bytes, Error> {
        let read = async { self.inner.objects.get(path).await?.bytes().await };
        read.await.map_err(|e| self.failed("reading", path, e))
    }

    /// Writes files and makes them last: after this returns they survive a power cut. All at once where the store allows it.
    ///
    /// # Errors
    /// [`Kind::Storage`]. Some of the files may exist then; nobody names them.
    pub async fn put_all(&self, files: Vec<(Path, Bytes)>) -> Result<(), Error> {
        if let Some(root) = &self.inner.local {
            self.inner.counters.wrote(files.len() as u64, files.iter().map(|(_, b)| b.len() as u64).sum());
            return durable::put_all(root, files).await;
        }
        let puts = files.into_iter().map(|(path, bytes)| async move { self.put_new(&path, &bytes).await });
        futures::future::try_join_all(puts).await.map(|_| ())
    }

    /// Makes folders where the warehouse is on a local disk; elsewhere there are none.
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub async fn make_folders(&self, folders: &[Path]) -> Result<(), Error> {
        let Some(root) = &self.inner.local else { return Ok(()) };
        let folders: Vec<PathBuf> = folders.iter().map(|f| durable::on_disk(root, f)).collect();
        let make =
            move || folders.iter().try_for_each(|f| std::fs::create_dir_all(f).map_err(|e| durable::failed("making", f, e)));
        runtime::blocking("making folders", make).await?
    }

    /// Makes the directory entries of files that a [`FileSink`] wrote last too.
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub async fn sync_directories_of(&self, paths: impl IntoIterator<Item = &Path>) -> Result<(), Error> {
        let Some(root) = &self.inner.local else { return Ok(()) };
        durable::sync_directories(root, paths.into_iter().cloned().collect()).await
    }

    /// Opens a file to be written from a thread that may block. Its directory is made where it is missing.
    ///
    /// # Errors
    /// [`Kind::Storage`].
    pub fn create(&self, path: &Path) -> Result<FileSink, Error> {
        match &self.inner.local {
            Some(root) => FileSink::local(root, path, Arc::clone(&self.inner.counters)),
            None => FileSink::remote(self.clone(), path),
        }
    }

    /// Keeps a file that no table names yet from being taken for an orphan, until what is returned is dropped.
    pub(crate) fn hold(&self, path: &Path) -> Held {
        Held::new(&self.inner.held, path)
    }

    /// The files that are held now.
    pub(crate) fn held(&self) -> std::collections::HashSet<Path> {
        self.inner.held.all()
    }

    /// Removes files that nothing names any more. Failures are logged: what stays is collected later.
    pub async fn delete_all(&self, paths: Vec<Path>) {
        let deletes = paths.iter().map(|path| async move {
            match self.inner.objects.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%path, %error, "a file that nothing names could not be removed"),
            }
        });
        futures::future::join_all(deletes).await;
    }

    /// One sentence and a hint for an error of the object store; `doing` is `reading` or `writing`.
    pub(crate) fn failed(&self, doing: &str, path: &Path, error: object_store::Error) -> Error {
        let location = self.location(path);
        // The answer of a bucket is a page of XML, so its gist is in the sentence and the rest in the log of those who look for it.
        let told = |message: String, hint: &'static str, error: object_store::Error| {
            tracing::debug!("{message}: {error}");
            Error::new(Kind::Storage, message).with_hint(hint)
        };
        match error {
            // A bucket that is not there is missed at the first write; a file that is not there, at a read.
            object_store::Error::NotFound { .. } if doing == "writing" => told(
                format!("writing {location} failed: the bucket or container does not exist"),
                "Create it, or correct `lake.warehouse`; the pipeline goes on by itself.",
                error,
            ),
            error if !self.inner.looked.is_empty() && remote::is_without_credentials(&error) => {
                let message = format!("{doing} {location} failed: no credentials were found; looked for {}", self.inner.looked);
                told(message, "Set them in one of these places, for example as `lake.options`; see docs/object-stores.md.", error)
            }
            object_store::Error::NotFound { .. } => Error::corrupt(format!("{location}, which the metadata names,"), error)
                .with_hint("Restore the file from a backup of the warehouse."),
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                let message = format!("{doing} {location} was refused: {}", brief(&error.to_string()));
                told(message, "Check the credentials and rights of the warehouse.", error)
            }
            error => {
                let message = format!("{doing} {location} failed: {}", brief(&error.to_string()));
                told(message, "Check that the object store is there and lets lakebox in; the pipeline goes on by itself.", error)
            }
        }
    }

    /// As [`Self::failed`], for an error that comes out of a [`FileSink`].
    pub(crate) fn write_failed(&self, path: &Path, error: std::io::Error) -> Error {
        match (error.downcast::<object_store::Error>(), &self.inner.local) {
            (Ok(error), _) => self.failed("writing", path, error),
            (Err(error), Some(root)) => durable::failed("writing", &durable::on_disk(root, path), error),
            (Err(error), None) => {
                let message = format!("writing {} failed: {}", self.location(path), brief(&error.to_string()));
                Error::new(Kind::Storage, message).with_source(error)
            }
        }
    }
}

/// The gist of an object store's answer: the code and message of an XML body, on one line and not too long.
fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let tag =
        |name: &str| text.split_once(&format!("<{name}>"))?.1.split_once(&format!("</{name}>")).map(|(inner, _)| inner.trim());
    let text = text.split_once(" error: ").filter(|(front, _)| front.starts_with("Generic ")).map_or(text, |(_, rest)| rest);
    let line = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => text.split(['<', '\n']).next().unwrap_or_default().trim().to_owned(),
    };
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Whether every reader spells this path the same way in a URL: no blanks, no `%`, nothing that must be escaped.
fn is_plain_path(path: &str) -> bool {
    path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '@' | '+' | '=' | '~' | ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_bucket_is_told_in_one_line() {
        let xml = "Server returned non-2xx status code: 503: <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code>\n<Message>Reduce your rate</Message></Error>";
        assert_eq!(brief(xml), "SlowDown: Reduce your rate");
        assert_eq!(brief("connection refused\nby peer"), "connection refused");
        assert_eq!(brief(&"é".repeat(300)).chars().count(), 201);
    }

    #[tokio::test]
    async fn a_location_is_absolute_and_leads_back_to_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("a/lake/").to_str().unwrap(), &BTreeMap::new()).await.unwrap();
        let path = Path::from("silver/t/data/x.parquet");
        let location = store.location(&path);
        assert!(location.starts_with("file:///") && location.ends_with("/a/lake/silver/t/data/x.parquet"), "{location}");
        assert_eq!(store.path(&location).unwrap(), path);
        assert_eq!(store.path("file:///elsewhere/x").unwrap_err().kind, Kind::Corrupt);
    }

    #[tokio::test]
    async fn what_was_put_is_read_back_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}", dir.path().display()), &BTreeMap::new()).await.unwrap();
        let files = (0..5).map(|i| (Path::from(format!("d{i}/f")), Bytes::from(vec![i; 3]))).collect();
        store.put_all(files).await.unwrap();
        assert_eq!(store.get(&Path::from("d3/f")).await.unwrap().as_ref(), [3; 3]);
        assert_eq!(store.counts().puts, 5);
        assert_eq!(store.counts().bytes_written, 15);
        assert_eq!(store.get(&Path::from("none")).await.unwrap_err().kind, Kind::Corrupt);
    }

    #[tokio::test]
    async fn a_url_that_can_not_work_says_so() {
        let error = Store::open("ftp://host/lake", &BTreeMap::new()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Misconfigured);
        assert!(error.message.contains("ftp://host/lake"), "{error}");
    }

    #[tokio::test]
    async fn an_s3_prefix_is_part_of_every_location() {
        let options = BTreeMap::from([
            ("aws_region".to_owned(), "us-east-1".to_owned()),
            ("aws_endpoint".to_owned(), "http://127.0.0.1:1".to_owned()),
        ]);
        let store = Store::open("s3://bucket/some/prefix/", &options).await.unwrap();
        assert_eq!(store.location(&Path::from("gold/t")), "s3://bucket/some/prefix/gold/t");
        assert_eq!(store.path("s3://bucket/some/prefix/gold/t").unwrap(), Path::from("gold/t"));
    }
}
