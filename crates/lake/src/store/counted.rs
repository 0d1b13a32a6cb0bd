use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, path::Path,
};
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Requests and bytes of one store, counted.
#[derive(Debug, Default)]
pub struct Counters {
    gets: AtomicU64,
    puts: AtomicU64,
    deletes: AtomicU64,
    lists: AtomicU64,
    bytes_written: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Reads, one for each range.
    pub gets: u64,
    /// Writes, one for each part of a multipart upload.
    pub puts: u64,
    /// Removals.
    pub deletes: u64,
    /// Listings.
    pub lists: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

impl StoreCounts {
    /// All requests together.
    pub fn requests(&self) -> u64 {
        self.gets + self.puts + self.deletes + self.lists
    }
}

impl Counters {
    pub(super) fn read(&self) -> StoreCounts {
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounts {
            gets: at(&self.gets),
            puts: at(&self.puts),
            deletes: at(&self.deletes),
            lists: at(&self.lists),
            bytes_written: at(&self.bytes_written),
        }
    }

    pub(super) fn wrote(&self, puts: u64, bytes: u64) {
        self.puts.fetch_add(puts, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// An object store whose requests are counted.
#[derive(Debug)]
pub(super) struct Counted {
    objects: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
}

impl Counted {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, counters: Arc<Counters>) -> Self {
        Self { objects, counters }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.counters.wrote(1, payload.content_length() as u64);
        self.objects.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.counters.wrote(1, 0);
        let upload = self.objects.put_multipart_opts(location, opts).await?;
        Ok(Box::new(CountedUpload { upload, counters: Arc::clone(&self.counters) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.counters.gets.fetch_add(1, Ordering::Relaxed);
        self.objects.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.counters.gets.fetch_add(ranges.len() as u64, Ordering::Relaxed);
        self.objects.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.counters.deletes.fetch_add(1, Ordering::Relaxed);
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counters.lists.fetch_add(1, Ordering::Relaxed);
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counters.lists.fetch_add(1, Ordering::Relaxed);
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.counters.wrote(1, 0);
        self.objects.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct CountedUpload {
    upload: Box<dyn MultipartUpload>,
    counters: Arc<Counters>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        self.counters.wrote(1, data.content_length() as u64);
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.counters.wrote(1, 0);
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
