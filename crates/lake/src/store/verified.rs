//! A store whose answers are not taken on trust.
//!
//! Networks, proxies and object stores now and then answer with too little, with other bytes, or with "not found" for a file that is there. So a
//! range of one of our data files is held against the checksums inside of it ([`super::seal`]), a file that is read as a whole against the digest
//! in its name ([`super::names`]), and one of another engine's, which has neither, is read until two answers agree. An answer that does not fit is
//! asked for again, and after some tries it is an error: never a wrong row.

use super::{
    cache::{CacheCounts, DiskCache},
    names,
    seal::{Found, Seal},
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use hashbrown::HashMap;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, coalesce_ranges, path::Path,
};
use parking_lot::Mutex;
use runtime::SharedClock;
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use xxhash_rust::xxh3::xxh3_64;

/// How often one thing is asked for.
const TRIES: u32 = 5;
/// No further try begins after this long: what fails slowly was tried again and again by the store's own client.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first pause between two tries; each is about twice the one before.
const PAUSE: Duration = Duration::from_millis(40);
/// Bytes at the end of a file that are read to find its footer.
const END: u64 = 64 << 10;
/// Blocks of one request at most, so that a slow network still answers within the time of a request.
const BLOCKS_AT_ONCE: u64 = 32;
/// Requests for one answer at once.
const REQUESTS_AT_ONCE: usize = 6;
/// Memory for the tails of files.
const KNOWN_BYTES_MAX: usize = 64 << 20;
/// Locks that keep a file's tail from being fetched twice at once.
const LANES: usize = 64;
/// Larger files are not kept in the cache as a whole.
const WHOLE_BYTES_MAX: usize = 64 << 20;

/// A store whose answers are verified, with a cache.
pub(super) struct Verified {
    objects: Arc<dyn ObjectStore>,
    /// In front of the keys of the cache, which several lakes may share one after another.
    root: String,
    cache: Option<DiskCache>,
    known: Mutex<KnownFiles>,
    lanes: Vec<tokio::sync::Mutex<()>>,
    refused: AtomicU64,
    clock: SharedClock,
}

/// What is known of a data file.
#[derive(Debug)]
struct Known {
    seal: Seal,
    /// All of its blocks, where the file is so small that they came with its end.
    data: Option<Bytes>,
}

#[derive(Debug, Default)]
struct KnownFiles {
    files: HashMap<Path, (Arc<Known>, u64)>,
    next: u64,
    bytes: usize,
}

impl Known {
    fn weight(&self) -> usize {
        self.seal.weight() + self.data.as_ref().map_or(0, Bytes::len)
    }
}

impl KnownFiles {
    fn get(&mut self, path: &Path) -> Option<Arc<Known>> {
        self.next += 1;
        let next = self.next;
        self.files.get_mut(path).map(|(known, asked)| {
            *asked = next;
            Arc::clone(known)
        })
    }

    fn add(&mut self, path: Path, known: Arc<Known>) {
        self.next += 1;
        self.bytes += known.weight();
        if let Some((former, _)) = self.files.insert(path, (known, self.next)) {
            self.bytes -= former.weight();
        }
        while self.bytes > KNOWN_BYTES_MAX && self.files.len() > 1 {
            let oldest = self.files.iter().min_by_key(|(_, (_, asked))| *asked).map(|(path, _)| path.clone());
            let Some((gone, _)) = oldest.and_then(|path| self.files.remove(&path)) else { break };
            self.bytes -= gone.weight();
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("objects", &self.objects).field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

/// An answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the object store answered {what} {times} times; its answers are damaged on their way, or the file is")]
struct Refused {
    what: &'static str,
    times: u32,
}

fn refused(what: &'static str, times: u32) -> Error {
    Error::Generic { store: "object store", source: Box::new(Refused { what, times }) }
}

/// Whether the same question may get another answer.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::NotFound { .. } | Error::JoinError { .. })
}

/// The tries at one question.
struct Tries<'a> {
    store: &'a Verified,
    began: Duration,
    done: u32,
}

impl Tries<'_> {
    /// Waits before the next try; false where there is none.
    async fn next(&mut self) -> bool {
        self.done += 1;
        let clock = &self.store.clock;
        if self.done >= TRIES || clock.monotonic().saturating_sub(self.began) > PATIENCE {
            return false;
        }
        // Between half and one and a half of it, so that many readers don't come back at once.
        let dice = xxh3_64(&[clock.monotonic().subsec_nanos().to_le_bytes(), self.done.to_le_bytes()].concat()) % 1000;
        let pause = PAUSE * 2_u32.pow(self.done - 1) * u32::try_from(500 + dice).unwrap_or(1000) / 1000;
        clock.sleep(pause).await;
        true
    }

    /// As [`Self::next`], after an answer that does not fit.
    async fn refuse(&mut self, path: &Path, what: &'static str) -> Result<()> {
        self.store.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%path, "the object store answered {what}; asking again");
        if self.next().await { Ok(()) } else { Err(refused(what, self.done)) }
    }

    /// As [`Self::next`], after an error.
    async fn failed(&mut self, error: Error) -> Result<()> {
        if may_pass(&error) && self.next().await { Ok(()) } else { Err(error) }
    }
}

impl Verified {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, root: &str, cache: Option<DiskCache>) -> Self {
        Self {
            objects,
            root: root.to_owned(),
            cache,
            known: Mutex::default(),
            lanes: (0..LANES).map(|_| tokio::sync::Mutex::default()).collect(),
            refused: AtomicU64::new(0),
            clock: runtime::SystemClock::shared(),
        }
    }

    /// Answers that did not fit.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn cache_counts(&self) -> Option<CacheCounts> {
        self.cache.as_ref().map(DiskCache::counts)
    }

    fn tries(&self) -> Tries<'_> {
        Tries { store: self, began: self.clock.monotonic(), done: 0 }
    }

    fn key(&self, path: &Path, what: impl fmt::Display) -> String {
        format!("{}/{path}#{what}", self.root)
    }

    /// One request, whose answer has the length it should have.
    async fn ask(&self, path: &Path, range: Option<GetRange>) -> Result<(ObjectMeta, Bytes)> {
        let answer = self.objects.get_opts(path, GetOptions { range, ..GetOptions::default() }).await?;
        let (meta, length) = (answer.meta.clone(), answer.range.end - answer.range.start);
        let bytes = answer.bytes().await?;
        if bytes.len() as u64 != length {
            return Err(refused("too few bytes", 1));
        }
        Ok((meta, bytes))
    }

    /// The end of a file and its length.
    async fn end(&self, path: &Path) -> Result<(u64, Bytes)> {
        match self.ask(path, Some(GetRange::Suffix(END))).await {
            Ok((meta, end)) => Ok((meta.size, end)),
            Err(Error::NotSupported { .. }) => {
                let size = self.objects.head(path).await?.size;
                let (_, end) = self.ask(path, Some(GetRange::Bounded(size.saturating_sub(END)..size))).await?;
                Ok((size, end))
            }
            Err(error) => Err(error),
        }
    }

    async fn known(&self, path: &Path) -> Result<Arc<Known>> {
        if let Some(known) = self.known.lock().get(path) {
            return Ok(known);
        }
        let lane = usize::try_from(xxh3_64(path.as_ref().as_bytes())).unwrap_or(0) % LANES;
        let _one = self.lanes[lane].lock().await;
        if let Some(known) = self.known.lock().get(path) {
            return Ok(known);
        }
        let known = Arc::new(match self.cached_tail(path).await {
            Some(known) => known,
            None => self.fetch_tail(path).await?,
        });
        self.known.lock().add(path.clone(), Arc::clone(&known));
        Ok(known)
    }

    async fn cached_tail(&self, path: &Path) -> Option<Known> {
        let piece = self.cache.as_ref()?.get(vec![self.key(path, "tail")]).await.pop()??;
        let size = u64::from_le_bytes(piece.get(..8)?.try_into().ok()?);
        match Seal::find(&piece.slice(8..), size) {
            Found::Seal(seal) => Some(Known { seal: *seal, data: None }),
            _ => None,
        }
    }

    async fn fetch_tail(&self, path: &Path) -> Result<Known> {
        let mut tries = self.tries();
        loop {
            match self.try_tail(path).await {
                Ok(Some(known)) => {
                    if let Some(cache) = &self.cache {
                        let piece = [known.seal.size.to_le_bytes().as_slice(), known.seal.tail().as_ref()].concat();
                        cache.put(vec![(self.key(path, "tail"), piece.into())]).await;
                    }
                    return Ok(known);
                }
                Ok(None) => tries.refuse(path, "with a footer that is none").await?,
                Err(error) => tries.failed(error).await?,
            }
        }
    }

    async fn try_tail(&self, path: &Path) -> Result<Option<Known>> {
        let (size, mut end) = self.end(path).await?;
        // The footer, then what is between it and the row groups.
        for _ in 0..3 {
            match Seal::find(&end, size) {
                Found::Seal(seal) => {
                    let whole = end.len() as u64 == size
                        && seal.blocks(&(0..size)).all(|i| seal.fits(i, piece(&end, &seal.span(&(i..i + 1)))));
                    let data = whole.then(|| end.slice(..usize::try_from(seal.data_end()).unwrap_or(0)));
                    return Ok(Some(Known { seal: *seal, data }));
                }
                Found::From(at) => end = self.ask(path, Some(GetRange::Bounded(at..size))).await?.1,
                Found::Nothing => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Bytes of a data file that carries checksums.
    async fn sealed(&self, path: &Path, known: &Known, range: Range<u64>) -> Result<Bytes> {
        if let Some(bytes) = known.seal.in_tail(&range) {
            return Ok(bytes);
        }
        let data = match &known.data {
            Some(data) => Pieces(vec![(0, data.clone())]),
            None => self.blocks(path, &known.seal, known.seal.blocks(&range)).await?,
        };
        let data_end = known.seal.data_end();
        let mut bytes = data.slice(range.start..range.end.min(data_end));
        if range.end > data_end {
            let rest = known.seal.in_tail(&(data_end..range.end)).unwrap_or_default();
            bytes = [bytes, rest].concat().into();
        }
        if bytes.len() as u64 != range.end - range.start {
            return Err(refused("too few bytes", 1));
        }
        Ok(bytes)
    }

    /// Consecutive blocks, from the cache or from the store.
    async fn blocks(&self, path: &Path, seal: &Seal, wanted: Range<u64>) -> Result<Pieces> {
        let mut pieces = Vec::new();
        let mut missing: Vec<Range<u64>> = Vec::new();
        let found = match &self.cache {
            Some(cache) => cache.get(wanted.clone().map(|i| self.key(path, i)).collect()).await,
            None => Vec::new(),
        };
        for index in wanted.clone() {
            let place = usize::try_from(index - wanted.start).unwrap_or(usize::MAX);
            match found.get(place).cloned().flatten().filter(|bytes| seal.fits(index, bytes)) {
                Some(bytes) => pieces.push((seal.span(&(index..index + 1)).start, bytes)),
                None => match missing.last_mut() {
                    Some(run) if run.end == index && run.end - run.start < BLOCKS_AT_ONCE => run.end += 1,
                    _ => missing.push(index..index + 1),
                },
            }
        }
        let fetches = futures::stream::iter(missing.into_iter().map(|run| self.fetch(path, seal, run)));
        let fetched: Vec<(u64, Bytes)> = fetches.buffered(REQUESTS_AT_ONCE).try_collect().await?;
        pieces.extend(fetched);
        pieces.sort_unstable_by_key(|(start, _)| *start);
        Ok(Pieces(pieces))
    }

    /// Consecutive blocks from the store, with where they begin.
    async fn fetch(&self, path: &Path, seal: &Seal, run: Range<u64>) -> Result<(u64, Bytes)> {
        let span = seal.span(&run);
        let one = |index: u64| {
            let block = seal.span(&(index..index + 1));
            block.start - span.start..block.end - span.start
        };
        let mut tries = self.tries();
        loop {
            match self.ask(path, Some(GetRange::Bounded(span.clone()))).await {
                Ok((_, bytes)) if run.clone().all(|i| seal.fits(i, piece(&bytes, &one(i)))) => {
                    if let Some(cache) = &self.cache {
                        let keep = |i: u64| (self.key(path, i), cut(&bytes, &one(i)));
                        cache.put(run.clone().map(keep).collect()).await;
                    }
                    return Ok((span.start, bytes));
                }
                Ok(_) => tries.refuse(path, "with bytes that their checksum does not fit").await?,
                Err(error) => tries.failed(error).await?,
            }
        }
    }

    /// A whole file that carries no checksums inside.
    async fn whole(&self, path: &Path) -> Result<Bytes> {
        let mut tries = self.tries();
        let digested = names::fits(path, b"").is_some();
        let cache = self.cache.as_ref().filter(|_| digested);
        if let Some(cache) = cache {
            let found = cache.get(vec![self.key(path, "whole")]).await.pop().flatten();
            if let Some(bytes) = found.filter(|bytes| names::fits(path, bytes) == Some(true)) {
                return Ok(bytes);
            }
        }
        let mut former: Vec<Bytes> = Vec::new();
        loop {
            match self.ask(path, None).await {
                Ok((_, bytes)) => match names::fits(path, &bytes) {
                    Some(true) => {
                        if let Some(cache) = cache.filter(|_| bytes.len() <= WHOLE_BYTES_MAX) {
                            cache.put(vec![(self.key(path, "whole"), bytes.clone())]).await;
                        }
                        return Ok(bytes);
                    }
                    Some(false) => tries.refuse(path, "with bytes that the file's name does not fit").await?,
                    None if former.contains(&bytes) => return Ok(bytes),
                    None => {
                        // The first answer can't be held against anything yet.
                        if !former.is_empty() {
                            tries.refuse(path, "otherwise each time, for one file,").await?;
                        }
                        former.push(bytes);
                    }
                },
                Err(error) => tries.failed(error).await?,
            }
        }
    }

    /// A range of a file that carries no checksums: of the right length, that is all that can be said.
    async fn plain(&self, path: &Path, range: GetRange) -> Result<(ObjectMeta, Range<u64>, Bytes)> {
        let mut tries = self.tries();
        loop {
            match self.ask(path, Some(range.clone())).await {
                Ok((meta, bytes)) => {
                    let range =
                        range.as_range(meta.size).map_err(|e| Error::Generic { store: "object store", source: Box::new(e) })?;
                    return Ok((meta, range, bytes));
                }
                Err(error) => tries.failed(error).await?,
            }
        }
    }
}

fn bounds(bytes: &Bytes, range: &Range<u64>) -> Range<usize> {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
    at(range.start)..at(range.end).max(at(range.start))
}

/// The part of `bytes` at `range`, as far as there is one.
fn piece<'a>(bytes: &'a Bytes, range: &Range<u64>) -> &'a [u8] {
    &bytes[bounds(bytes, range)]
}

fn cut(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    bytes.slice(bounds(bytes, range))
}

/// Parts of a file without gaps, each with where it begins.
struct Pieces(Vec<(u64, Bytes)>);

impl Pieces {
    fn slice(&self, range: Range<u64>) -> Bytes {
        let parts: Vec<Bytes> = self
            .0
            .iter()
            .map(|(start, bytes)| cut(bytes, &(range.start.saturating_sub(*start)..range.end.saturating_sub(*start))))
            .filter(|part| !part.is_empty())
            .collect();
        match parts.as_slice() {
            [one] => one.clone(),
            many => many
                .iter()
                .fold(BytesMut::new(), |mut all, part| {
                    all.extend_from_slice(part);
                    all
                })
                .freeze(),
        }
    }
}

fn answer(meta: ObjectMeta, range: Range<u64>, bytes: Bytes) -> GetResult {
    let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(bytes) }).boxed());
    GetResult { payload, meta, range, attributes: Default::default() }
}

fn meta(path: &Path, size: u64) -> ObjectMeta {
    ObjectMeta { location: path.clone(), last_modified: chrono::DateTime::UNIX_EPOCH, size, e_tag: None, version: None }
}

#[async_trait]
impl ObjectStore for Verified {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let conditions = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some()
            || options.version.is_some();
        if options.head || conditions {
            return self.objects.get_opts(path, options).await;
        }
        if names::is_sealed(path) {
            let known = self.known(path).await?;
            let size = known.seal.size;
            let range = match &options.range {
                Some(range) => range.as_range(size).map_err(|e| Error::Generic { store: "object store", source: Box::new(e) })?,
                None => 0..size,
            };
            let bytes = self.sealed(path, &known, range.clone()).await?;
            return Ok(answer(meta(path, size), range, bytes));
        }
        match options.range {
            Some(range) => {
                let (meta, range, bytes) = self.plain(path, range).await?;
                Ok(answer(meta, range, bytes))
            }
            None => {
                let bytes = self.whole(path).await?;
                let size = bytes.len() as u64;
                Ok(answer(meta(path, size), 0..size, bytes))
            }
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if !names::is_sealed(path) {
            let fetch = |range: Range<u64>| async move { Ok(self.plain(path, GetRange::Bounded(range)).await?.2) };
            return coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await;
        }
        let known = self.known(path).await?;
        let fetch = |range: Range<u64>| self.sealed(path, &known, range);
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
