//! Pieces of files that never change, kept on a local disk.
//!
//! One file for each piece, under the hash of its key; it holds the key, the piece and a checksum over both, so a torn, foreign or rotten file is
//! a miss and is removed. Pieces that were not asked for the longest leave first. Nothing is synced: what a power cut takes is fetched again.

use super::durable;
use crate::{Error, error::Kind};
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

const MAGIC: &[u8; 4] = b"LBC1";
/// Magic, checksum and the key's length.
const HEAD: usize = 16;
const LOCK_FILE: &str = ".lakebox-cache.lock";
const UNFINISHED: &str = "new";

/// What a cache has done and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Pieces that were there.
    pub hits: u64,
    /// Pieces that were not.
    pub misses: u64,
    /// Bytes that were there.
    pub hit_bytes: u64,
    /// Files that were not what they should be.
    pub damaged: u64,
    /// Pieces that left to make room.
    pub evicted: u64,
    /// Bytes on disk now.
    pub bytes: u64,
    /// Bytes on disk at most.
    pub bytes_max: u64,
}

/// A cache on a local disk; a cheap handle.
#[derive(Debug, Clone)]
pub(super) struct DiskCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    hits: AtomicU64,
    misses: AtomicU64,
    hit_bytes: AtomicU64,
    damaged: AtomicU64,
    evicted: AtomicU64,
    unfinished: AtomicU64,
    /// Held so that no other process makes room in the same folder.
    _lock: File,
}

/// What is on disk, by when it was asked for last.
#[derive(Debug, Default)]
struct State {
    pieces: HashMap<u128, Piece>,
    order: BTreeMap<u64, u128>,
    next: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    bytes: u64,
    asked: u64,
}

impl State {
    fn touch(&mut self, hash: u128) -> bool {
        let next = self.next;
        let Some(piece) = self.pieces.get_mut(&hash) else { return false };
        self.order.remove(&piece.asked);
        piece.asked = next;
        self.order.insert(next, hash);
        self.next += 1;
        true
    }

    fn remove(&mut self, hash: u128) {
        if let Some(piece) = self.pieces.remove(&hash) {
            self.order.remove(&piece.asked);
            self.bytes -= piece.bytes;
        }
    }

    fn add(&mut self, hash: u128, bytes: u64) {
        self.remove(hash);
        self.pieces.insert(hash, Piece { bytes, asked: self.next });
        self.order.insert(self.next, hash);
        self.next += 1;
        self.bytes += bytes;
    }

    /// Takes out what was asked for the longest ago, until the rest fits.
    fn make_room(&mut self, bytes_max: u64) -> Vec<u128> {
        let mut gone = Vec::new();
        while self.bytes > bytes_max {
            let Some((_, hash)) = self.order.first_key_value().map(|(a, h)| (*a, *h)) else { break };
            self.remove(hash);
            gone.push(hash);
        }
        gone
    }
}

impl DiskCache {
    /// Opens the cache in `dir`, which is made where it is missing, with what is there already.
    ///
    /// # Errors
    /// [`Kind::Storage`] where the folder can't be used, [`Kind::InUse`] where another process uses it.
    pub(super) fn open(dir: &FsPath, bytes_max: u64) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|e| durable::failed("making the cache's folder", dir, e))?;
        let lock_path = dir.join(LOCK_FILE);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|e| durable::failed("opening", &lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another lakebox uses the cache in {}", dir.display());
                return Err(Error::new(Kind::InUse, message).with_hint("Give each a `lake.cache.dir` of its own."));
            }
            Err(TryLockError::Error(e)) => return Err(durable::failed("locking", &lock_path, e)),
        }
        let mut state = State::default();
        for (_, hash, bytes) in present(dir).map_err(|e| durable::failed("reading the cache's folder", dir, e))? {
            state.add(hash, bytes);
        }
        let zero = AtomicU64::default;
        let inner = Inner {
            dir: dir.to_owned(),
            bytes_max,
            state: Mutex::new(state),
            hits: zero(),
            misses: zero(),
            hit_bytes: zero(),
            damaged: zero(),
            evicted: zero(),
            unfinished: zero(),
            _lock: lock,
        };
        let cache = Self { inner: Arc::new(inner) };
        cache.inner.make_room();
        Ok(cache)
    }

    pub(super) fn counts(&self) -> CacheCounts {
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let inner = &self.inner;
        CacheCounts {
            hits: at(&inner.hits),
            misses: at(&inner.misses),
            hit_bytes: at(&inner.hit_bytes),
            damaged: at(&inner.damaged),
            evicted: at(&inner.evicted),
            bytes: inner.state.lock().bytes,
            bytes_max: inner.bytes_max,
        }
    }

    /// The pieces under these keys, as far as they are there.
    pub(super) async fn get(&self, keys: Vec<String>) -> Vec<Option<Bytes>> {
        let count = keys.len();
        let inner = Arc::clone(&self.inner);
        let found = runtime::blocking("reading the cache", move || keys.iter().map(|key| inner.read(key)).collect::<Vec<_>>());
        found.await.unwrap_or_else(|_| vec![None; count])
    }

    /// Keeps pieces. What can't be written is not kept.
    pub(super) async fn put(&self, pieces: Vec<(String, Bytes)>) {
        let inner = Arc::clone(&self.inner);
        let write = move || {
            for (key, piece) in &pieces {
                if let Err(error) = inner.write(key, piece) {
                    tracing::debug!(%error, dir = %inner.dir.display(), "a piece of a file could not be cached");
                }
            }
            inner.make_room();
        };
        let _ = runtime::blocking("writing the cache", write).await;
    }
}

impl Inner {
    fn place(&self, hash: u128) -> PathBuf {
        let name = format!("{hash:032x}");
        self.dir.join(&name[..2]).join(name)
    }

    fn read(&self, key: &str) -> Option<Bytes> {
        let hash = xxh3_128(key.as_bytes());
        if !self.state.lock().touch(hash) {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let place = self.place(hash);
        if let Some(piece) = fs::read(&place).ok().and_then(|file| unpack(key, file.into())) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            self.hit_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            return Some(piece);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        self.damaged.fetch_add(1, Ordering::Relaxed);
        self.state.lock().remove(hash);
        let _ = fs::remove_file(place);
        None
    }

    fn write(&self, key: &str, piece: &[u8]) -> io::Result<()> {
        let packed = pack(key, piece);
        if packed.len() as u64 > self.bytes_max {
            return Ok(());
        }
        let hash = xxh3_128(key.as_bytes());
        let place = self.place(hash);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = place.with_extension(format!("{UNFINISHED}{number}"));
        let written = fs::write(&unfinished, &packed).and_then(|()| fs::rename(&unfinished, &place));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
            return written;
        }
        self.state.lock().add(hash, packed.len() as u64);
        Ok(())
    }

    fn make_room(&self) {
        let gone = self.state.lock().make_room(self.bytes_max);
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        for hash in gone {
            let _ = fs::remove_file(self.place(hash));
        }
    }
}

fn checksum(key: &str, piece: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(key.as_bytes());
    hash.update(piece);
    hash.digest()
}

fn pack(key: &str, piece: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
    [MAGIC.as_slice(), &checksum(key, piece).to_le_bytes(), &length, key.as_bytes(), piece].concat()
}

/// The piece in a cache's file, where it is whole and under this key.
fn unpack(key: &str, file: Bytes) -> Option<Bytes> {
    let head = file.get(..HEAD)?;
    let wanted = u64::from_le_bytes(head.get(4..12)?.try_into().ok()?);
    let length = usize::try_from(u32::from_le_bytes(head.get(12..)?.try_into().ok()?)).ok()?;
    let end = HEAD.checked_add(length)?;
    if head.get(..4)? != MAGIC || file.get(HEAD..end)? != key.as_bytes() {
        return None;
    }
    let piece = file.slice(end..);
    (checksum(key, &piece) == wanted).then_some(piece)
}

/// The pieces on disk, oldest first. What was not finished is removed.
fn present(dir: &FsPath) -> io::Result<Vec<(SystemTime, u128, u64)>> {
    let mut found = Vec::new();
    for folder in fs::read_dir(dir)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            match u128::from_str_radix(name, 16).ok().filter(|_| name.len() == 32) {
                Some(hash) => {
                    let about = file.metadata()?;
                    found.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), hash, about.len()));
                }
                None if name.rsplit_once('.').is_some_and(|(_, end)| end.starts_with(UNFINISHED)) => {
                    let _ = fs::remove_file(file.path());
                }
                None => {}
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(fill: u8, length: usize) -> Bytes {
        vec![fill; length].into()
    }

    async fn one(cache: &DiskCache, key: &str) -> Option<Bytes> {
        cache.get(vec![key.to_owned()]).await.remove(0)
    }

    async fn keep(cache: &DiskCache, key: &str, bytes: Bytes) {
        cache.put(vec![(key.to_owned(), bytes)]).await;
    }

    #[tokio::test]
    async fn what_was_kept_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(one(&cache, "a").await, None);
        keep(&cache, "a", piece(1, 1000)).await;
        assert_eq!(one(&cache, "a").await, Some(piece(1, 1000)));
        assert_eq!(DiskCache::open(dir.path(), 1).unwrap_err().kind, Kind::InUse);
        drop(cache);
        fs::write(dir.path().join("aa.new7"), "of somebody else").unwrap();
        let again = DiskCache::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(one(&again, "a").await, Some(piece(1, 1000)));
        let counts = again.counts();
        assert_eq!((counts.hits, counts.misses, counts.hit_bytes), (1, 0, 1000));
    }

    #[tokio::test]
    async fn what_was_asked_for_the_longest_ago_leaves_and_the_disk_stays_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 10_000).unwrap();
        for n in 0..9 {
            keep(&cache, &n.to_string(), piece(n, 1000)).await;
        }
        assert!(one(&cache, "0").await.is_some());
        keep(&cache, "9", piece(9, 1000)).await;
        assert!(one(&cache, "1").await.is_none(), "it was the oldest");
        assert!(one(&cache, "0").await.is_some(), "it was asked for since");
        let on_disk: u64 = present(dir.path()).unwrap().iter().map(|p| p.2).sum();
        assert_eq!(on_disk, cache.counts().bytes);
        assert!(on_disk <= 10_000 && cache.counts().evicted == 1, "{on_disk}");
        keep(&cache, "huge", piece(1, 20_000)).await;
        assert!(one(&cache, "huge").await.is_none() && one(&cache, "9").await.is_some());
        drop(cache);
        let smaller = DiskCache::open(dir.path(), 3000).unwrap();
        assert!(smaller.counts().bytes <= 3000);
    }

    #[tokio::test]
    async fn a_torn_or_changed_file_is_a_miss_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 1 << 20).unwrap();
        let place = cache.inner.place(xxh3_128(b"a"));
        let damages: [fn(&mut Vec<u8>); 4] =
            [|f| f.truncate(f.len() / 2), |f| f.truncate(3), |f| f[500] ^= 1, |f| f[HEAD] = b'b'];
        for (n, damage) in damages.into_iter().enumerate() {
            keep(&cache, "a", piece(7, 1000)).await;
            let mut file = fs::read(&place).unwrap();
            damage(&mut file);
            fs::write(&place, file).unwrap();
            assert_eq!(one(&cache, "a").await, None, "damage {n}");
            assert!(!place.exists());
            assert_eq!(cache.counts().damaged, n as u64 + 1);
        }
        keep(&cache, "a", piece(7, 1000)).await;
        fs::remove_file(&place).unwrap();
        assert_eq!(one(&cache, "a").await, None, "somebody emptied the folder");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_readers_and_writers_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 40_000).unwrap();
        let work = (0..8_u8).map(|lane| {
            let cache = cache.clone();
            async move {
                for round in 0..60_u8 {
                    let n = (lane * 7 + round) % 50;
                    if let Some(found) = one(&cache, &n.to_string()).await {
                        assert_eq!(found, piece(n, 1000));
                    } else {
                        keep(&cache, &n.to_string(), piece(n, 1000)).await;
                    }
                }
            }
        });
        futures::future::join_all(work).await;
        assert!(cache.counts().bytes <= 40_000);
    }
}
