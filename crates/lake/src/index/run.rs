use super::{
    bloom::{self, BloomBuilder, key_hash},
    error::IndexError,
};
use memmap2::Mmap;
use std::{
    fs::File,
    io::{BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use xxhash_rust::xxh3::xxh3_64;

/// Entries of a block: what is checked and searched at once.
const BLOCK_ENTRIES: usize = 256;
/// Gaps in a run's keys that are worth to be known: this part of the whole range of keys at least, and so many at most, less one.
const GAP_SHARE: u128 = 64;
const STRETCHES_MAX: usize = 8;
const MAGIC: u64 = u64::from_le_bytes(*b"LBXRUN\0\x01");
/// Magic, key width, entries, end of blocks, end of filter, three checksums: all `u64`.
const FOOTER_WORDS: usize = 8;
const FOOTER_BYTES: usize = FOOTER_WORDS * 8;
/// First key and checksum of a block.
const SPARSE_BYTES: usize = 24;

/// One entry: a key and the bits of its location.
pub(crate) type Entry = (u128, u64);

/// An immutable file of entries sorted by key, with a Bloom filter and a checksum for every block.
///
/// Only the first keys of blocks are resident (24 bytes for 256 entries); the rest is mapped and so belongs to the page cache.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    map: Mmap,
    entries: usize,
    key_bytes: usize,
    filter: Range<usize>,
    firsts: Vec<u128>,
    sums: Vec<u64>,
    /// One bit for each block whose checksum was found right.
    checked: Vec<AtomicU64>,
    /// First and last key of each stretch of keys, in order.
    stretches: Vec<(u128, u128)>,
}

impl Run {
    /// Opens a run and checks everything but its blocks, which are checked when they are first read.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => IndexError::corrupt(path, "it is missing"),
            _ => IndexError::io(path, "open", e),
        })?;
        // SAFETY: a run is written once under a name that no other run ever had, synced before it is first opened, and after that only ever
        // unlinked, which leaves the mapping intact. Nobody but this module touches the directory. Its bytes are read as plain integers
        // behind checksums, so even foreign bytes can't break memory safety; a file cut short under us would end the process, not mislead it.
        #[expect(unsafe_code, reason = "mapping a file has no safe form; positioned reads cost a system call for every lookup")]
        let map = unsafe { Mmap::map(&file) }.map_err(|e| IndexError::io(path, "map", e))?;
        Self::read(path, map)
    }

    fn read(path: &Path, map: Mmap) -> Result<Self, IndexError> {
        let bad = |what| IndexError::corrupt(path, what);
        let footer_at = map.len().checked_sub(FOOTER_BYTES).ok_or_else(|| bad("it is too short"))?;
        let mut words = [0; FOOTER_WORDS];
        for (word, bytes) in words.iter_mut().zip(map[footer_at..].chunks_exact(8)) {
            *word = read_u64(bytes);
        }
        let [magic, key_bytes, entries, blocks_end, filter_end, filter_sum, sparse_sum, footer_sum] = words;
        if magic != MAGIC || xxh3_64(&map[footer_at..map.len() - 8]) != footer_sum {
            return Err(bad("its footer does not match its checksum"));
        }
        let (entries, key_bytes) = (entries as usize, key_bytes as usize);
        let (blocks_end, filter_end) = (blocks_end as usize, filter_end as usize);
        let blocks = entries.div_ceil(BLOCK_ENTRIES);
        let whole =
            blocks_end == entries * (key_bytes + 8) && filter_end + blocks * SPARSE_BYTES == footer_at && blocks_end < filter_end;
        if !whole || !bloom::is_filter_length(filter_end - blocks_end) {
            return Err(bad("its parts do not add up to its length"));
        }
        let (filter, sparse) = (blocks_end..filter_end, &map[filter_end..footer_at]);
        if xxh3_64(&map[filter.clone()]) != filter_sum || xxh3_64(sparse) != sparse_sum {
            return Err(bad("its filter does not match its checksum"));
        }
        let firsts = sparse.chunks_exact(SPARSE_BYTES).map(|s| read_u128(&s[..16])).collect();
        let sums = sparse.chunks_exact(SPARSE_BYTES).map(|s| read_u64(&s[16..])).collect();
        let checked = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let mut run =
            Self { path: path.to_owned(), entries, key_bytes, filter, firsts, sums, checked, map, stretches: Vec::new() };
        run.stretches = run.find_stretches()?;
        Ok(run)
    }

    /// Where the keys are, leaving out the widest gaps: several connections that copy a table, each a part of it, fill a run with as many
    /// stretches of keys, and the keys that come next lie just in the gaps.
    fn find_stretches(&self) -> Result<Vec<(u128, u128)>, IndexError> {
        let (Some(&first), Some(last_block)) = (self.firsts.first(), self.firsts.len().checked_sub(1)) else {
            return Ok(Vec::new());
        };
        let (keys, places) = self.block(last_block)?;
        let last = self.key_at(keys, places.len() / 8 - 1);
        let wide = ((last - first) / GAP_SHARE).max(1);
        let mut gaps = Vec::new();
        for (block, &start) in self.firsts.iter().enumerate() {
            let next = self.firsts.get(block + 1).copied();
            if next.unwrap_or(last) - start < wide {
                continue;
            }
            let (keys, places) = self.block(block)?;
            let all = (0..places.len() / 8).map(|at| self.key_at(keys, at)).chain(next);
            let wide_gaps = all.clone().zip(all.skip(1)).filter(|(low, high)| high - low > wide);
            gaps.extend(wide_gaps.map(|(low, high)| (high - low, low, high)));
        }
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        gaps.truncate(STRETCHES_MAX - 1);
        gaps.sort_unstable_by_key(|&(_, low, _)| low);
        let starts = std::iter::once(first).chain(gaps.iter().map(|&(_, _, high)| high));
        let ends = gaps.iter().map(|&(_, low, _)| low).chain(std::iter::once(last));
        Ok(starts.zip(ends).collect())
    }

    /// Whether `key` lies in a stretch of keys. Costs far less than to ask the filter, whose answer mostly is not in the processor's cache.
    #[inline]
    fn is_among(&self, key: u128) -> bool {
        self.stretches.iter().any(|&(first, last)| first <= key && key <= last)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// Whether its keys need more than 64 bits.
    pub(crate) fn is_wide(&self) -> bool {
        self.key_bytes > 8
    }

    /// The location of `key`, whose hash is `hash`.
    pub(crate) fn get(&self, key: u128, hash: u64) -> Result<Option<u64>, IndexError> {
        if !self.is_among(key) || !bloom::contains(&self.map[self.filter.clone()], hash) {
            return Ok(None);
        }
        let Some(block) = self.firsts.partition_point(|&first| first <= key).checked_sub(1) else { return Ok(None) };
        let (keys, places) = self.block(block)?;
        let (mut low, mut high) = (0, places.len() / 8);
        while low < high {
            let middle = low.midpoint(high);
            match self.key_at(keys, middle).cmp(&key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(read_u64(&places[middle * 8..]))),
            }
        }
        Ok(None)
    }

    /// All entries in key order.
    pub(crate) fn cursor(&self) -> RunCursor<'_> {
        RunCursor { run: self, block: 0, loaded: None, at: 0 }
    }

    fn key_at(&self, keys: &[u8], at: usize) -> u128 {
        if self.key_bytes == 8 { u128::from(read_u64(&keys[at * 8..])) } else { read_u128(&keys[at * 16..]) }
    }

    /// The keys and locations of a block, checked.
    fn block(&self, block: usize) -> Result<(&[u8], &[u8]), IndexError> {
        let entry = self.key_bytes + 8;
        let first = block * BLOCK_ENTRIES;
        let entries = BLOCK_ENTRIES.min(self.entries - first);
        let bytes = &self.map[first * entry..(first + entries) * entry];
        let (bit, word) = (1 << (block % 64), &self.checked[block / 64]);
        if word.load(Ordering::Relaxed) & bit == 0 {
            if xxh3_64(bytes) != self.sums[block] {
                return Err(IndexError::corrupt(&self.path, "a block does not match its checksum"));
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(bytes.split_at(entries * self.key_bytes))
    }
}

/// Walks a run in key order.
pub(crate) struct RunCursor<'a> {
    run: &'a Run,
    block: usize,
    loaded: Option<(&'a [u8], &'a [u8])>,
    at: usize,
}

impl RunCursor<'_> {
    /// The next entry, or none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, IndexError> {
        loop {
            if let Some((keys, places)) = self.loaded
                && self.at * 8 < places.len()
            {
                let entry = (self.run.key_at(keys, self.at), read_u64(&places[self.at * 8..]));
                self.at += 1;
                return Ok(Some(entry));
            }
            if self.block == self.run.firsts.len() {
                return Ok(None);
            }
            self.loaded = Some(self.run.block(self.block)?);
            self.block += 1;
            self.at = 0;
        }
    }
}

/// Writes a run from entries in key order.
pub(crate) struct RunWriter {
    path: PathBuf,
    out: BufWriter<File>,
    key_bytes: usize,
    filter: BloomBuilder,
    sparse: Vec<u8>,
    block: Vec<Entry>,
    entries: u64,
}

impl RunWriter {
    /// A run at `path` of at most `entries_max` entries. `wide` says that some keys need more than 64 bits.
    pub(crate) fn create(path: &Path, entries_max: usize, wide: bool) -> Result<Self, IndexError> {
        let file = File::create(path).map_err(|e| IndexError::io(path, "create", e))?;
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::with_capacity(1 << 20, file),
            key_bytes: if wide { 16 } else { 8 },
            filter: BloomBuilder::new(entries_max),
            sparse: Vec::new(),
            block: Vec::with_capacity(BLOCK_ENTRIES),
            entries: 0,
        })
    }

    pub(crate) fn push(&mut self, entry: Entry) -> Result<(), IndexError> {
        self.filter.insert(key_hash(entry.0));
        self.block.push(entry);
        if self.block.len() == BLOCK_ENTRIES { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<(), IndexError> {
        let Some((first, _)) = self.block.first() else { return Ok(()) };
        let mut bytes = Vec::with_capacity(self.block.len() * (self.key_bytes + 8));
        for (key, _) in &self.block {
            bytes.extend_from_slice(&key.to_le_bytes()[..self.key_bytes]);
        }
        for (_, place) in &self.block {
            bytes.extend_from_slice(&place.to_le_bytes());
        }
        self.sparse.extend_from_slice(&first.to_le_bytes());
        self.sparse.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        self.entries += self.block.len() as u64;
        self.block.clear();
        self.out.write_all(&bytes).map_err(|e| IndexError::io(&self.path, "write", e))
    }

    /// Writes the rest, syncs the file, and opens it for reading.
    pub(crate) fn finish(mut self) -> Result<Run, IndexError> {
        self.end_block()?;
        let filter = self.filter.into_bytes();
        let blocks_end = self.entries * (self.key_bytes as u64 + 8);
        let filter_end = blocks_end + filter.len() as u64;
        let words = [MAGIC, self.key_bytes as u64, self.entries, blocks_end, filter_end, xxh3_64(&filter), xxh3_64(&self.sparse)];
        let mut footer: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        footer.extend_from_slice(&xxh3_64(&footer).to_le_bytes());
        let path = self.path;
        let io = |e| IndexError::io(&path, "write", e);
        for part in [&filter, &self.sparse, &footer] {
            self.out.write_all(part).map_err(io)?;
        }
        let file = self.out.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(|e| IndexError::io(&path, "sync", e))?;
        Run::open(&path)
    }
}

fn read_u64(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

fn read_u128(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    word.copy_from_slice(&bytes[..16]);
    u128::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, keys: impl Iterator<Item = u128>, wide: bool) -> Run {
        let mut writer = RunWriter::create(path, 2000, wide).unwrap();
        keys.for_each(|k| writer.push((k, k as u64 * 7)).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn a_run_finds_what_was_written_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for (name, wide, factor) in [("a", false, 3), ("b", true, 3 << 90)] {
            for count in [0, 1, 255, 256, 257, 1000] {
                let run = write(&dir.path().join(format!("{name}{count}")), (1..=count).map(|k| k * factor), wide);
                assert_eq!(run.len(), count as usize);
                for k in 0..=count + 1 {
                    let (there, beside) = (k * factor, k * factor + 1);
                    let expected = (k > 0 && k <= count).then_some((there as u64).wrapping_mul(7));
                    assert_eq!(run.get(there, key_hash(there)).unwrap(), expected);
                    assert_eq!(run.get(beside, key_hash(beside)).unwrap(), None);
                }
                let mut cursor = run.cursor();
                let mut seen = 0;
                while let Some((key, _)) = cursor.next().unwrap() {
                    seen += 1;
                    assert_eq!(key, seen * factor);
                }
                assert_eq!(seen, count);
            }
        }
    }

    #[test]
    fn stretches_leave_out_the_wide_gaps_and_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let parts = |parts: &[(u128, u128)]| parts.iter().flat_map(|&(from, to)| from..to).collect::<Vec<u128>>();
        let all: Vec<(u128, u128)> = (0..20).map(|i| (i * 1000, i * 1000 + 100)).collect();
        let cases = [
            (parts(&[(5, 1000)]), vec![(5, 999)]),
            (parts(&[(0, 700), (5_000, 5_700)]), vec![(0, 699), (5_000, 5_699)]),
            (parts(&[(0, 256), (5_000, 5_256)]), vec![(0, 255), (5_000, 5_255)]),
            (parts(&[(7, 8)]), vec![(7, 7)]),
            (Vec::new(), Vec::new()),
            ((0..2000).map(|k| k * 977).collect(), vec![(0, 1999 * 977)]),
        ];
        for (at, (keys, expected)) in cases.into_iter().enumerate() {
            let run = write(&dir.path().join(format!("{at}")), keys.iter().copied(), false);
            assert_eq!(run.stretches, expected);
        }
        let keys = parts(&all);
        let run = write(&dir.path().join("many"), keys.iter().copied(), false);
        assert_eq!(run.stretches.len(), STRETCHES_MAX);
        assert!(keys.iter().all(|&k| run.get(k, key_hash(k)).unwrap() == Some(k as u64 * 7)));
        assert!((0..20_000).filter(|k| !keys.contains(k)).all(|k| run.get(k, key_hash(k)).unwrap().is_none()));
    }

    #[test]
    fn every_damaged_byte_is_an_error_and_never_a_wrong_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        write(&path, (1..=600).map(|k| k * 5), false);
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(37) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let path = dir.path().join(format!("bad{at}"));
            std::fs::write(&path, &bad).unwrap();
            let Ok(run) = Run::open(&path) else { continue };
            let mut errors = 0;
            for k in 1..=600u128 {
                match run.get(k * 5, key_hash(k * 5)) {
                    Ok(found) => assert_eq!(found, Some(k as u64 * 35), "byte {at}"),
                    Err(_) => errors += 1,
                }
            }
            assert!(errors > 0, "byte {at} went unnoticed");
        }
        for length in [0, 10, FOOTER_BYTES, good.len() / 2, good.len() - 1] {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(Run::open(&path).is_err(), "{length} bytes passed");
        }
    }
}
