//! Checksums inside of data files.
//!
//! A data file is read in ranges, so a checksum of the whole is of no use to its readers. Instead every block of [`BLOCK`] bytes has one, up to
//! the end of the last row group; the list of them is a key and value of the Parquet footer. What follows the row groups (bloom filters, page
//! indexes and the footer itself) is the tail; its checksum stands in the same value, and is made with zeros in its own place. So not a byte
//! of the file is without a checksum, and to other readers it is plain Parquet.
//!
//! The value: `lakebox-xxh3-v1;BLOCK;DATA_END;TAIL;SUMS`, numbers in decimal, `TAIL` the 64 bits of XXH3 in 16 hexadecimal digits, `SUMS` the low
//! 32 bits of XXH3 of each block in 8 digits each.

use super::FileSink;
use crate::Error;
use bytes::Bytes;
use parquet::file::metadata::KeyValue;
use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    ops::Range,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Bytes of a block.
const BLOCK: u64 = 256 << 10;
/// The key in the footer.
const KEY: &str = "lakebox.checksums";
/// How the value begins. The last one in a file is meant, since a footer ends with its keys and values.
const MARK: &[u8] = b"lakebox-xxh3-v1;";
const NO_DIGEST: &str = "0000000000000000";
const MAGIC: &[u8] = b"PAR1";
/// Length of the footer and magic bytes at the end of a Parquet file.
const END: usize = 8;

/// The low half of a block's hash.
#[expect(clippy::cast_possible_truncation, reason = "32 bits are kept")]
fn low(hash: u64) -> u32 {
    hash as u32
}

/// A [`FileSink`] that gathers checksums of what goes through it.
pub(crate) struct Sealing {
    sink: FileSink,
    block: Box<Xxh3>,
    /// Bytes in the block that is not full yet.
    filled: u64,
    sums: Vec<u32>,
    data_end: u64,
    /// What follows the row groups, held back until its checksum is known.
    tail: Option<Vec<u8>>,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("sink", &self.sink).field("data_end", &self.data_end).finish_non_exhaustive()
    }
}

impl Sealing {
    /// Begins a file.
    pub(crate) fn new(sink: FileSink) -> Self {
        Self { sink, block: Box::default(), filled: 0, sums: Vec::new(), data_end: 0, tail: None }
    }

    /// Says that all row groups are written, and gives what the footer must hold.
    pub(crate) fn begin_tail(&mut self) -> KeyValue {
        if self.filled > 0 {
            self.end_block();
        }
        self.tail = Some(Vec::new());
        let mut value = String::from_utf8_lossy(MARK).into_owned();
        // Writing to a string can't fail.
        let _ = write!(value, "{BLOCK};{};{NO_DIGEST};", self.data_end);
        for sum in &self.sums {
            let _ = write!(value, "{sum:08x}");
        }
        KeyValue::new(KEY.to_owned(), value)
    }

    fn end_block(&mut self) {
        self.sums.push(low(self.block.digest()));
        self.block.reset();
        self.filled = 0;
    }

    fn data(&mut self, mut bytes: &[u8]) {
        self.data_end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.filled).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.filled += now.len() as u64;
            if self.filled == BLOCK {
                self.end_block();
            }
            bytes = rest;
        }
    }

    /// Writes the tail with its checksum and ends the file. Returns its length.
    ///
    /// # Errors
    /// As [`FileSink::finish`].
    pub(crate) fn finish(&mut self) -> Result<u64, Error> {
        if let Some(mut tail) = self.tail.take() {
            let digest = format!("{:016x}", xxh3_64(&tail));
            let place = digest_place(&tail).ok_or_else(|| Error::bug("sealing a data file", "its footer lacks the checksums"))?;
            tail[place].copy_from_slice(digest.as_bytes());
            self.sink.write_all(&tail).map_err(|e| self.sink.failed(e))?;
        }
        self.sink.finish()
    }
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tail {
            Some(tail) => tail.extend_from_slice(bytes),
            None => {
                self.sink.write_all(bytes)?;
                self.data(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Where the tail's own checksum stands in a piece of a file.
fn digest_place(piece: &[u8]) -> Option<Range<usize>> {
    let value = piece.windows(MARK.len()).rposition(|w| w == MARK)? + MARK.len();
    let mut after = value;
    for _ in 0..2 {
        after += piece.get(after..)?.iter().position(|b| *b == b';')? + 1;
    }
    let place = after..after + NO_DIGEST.len();
    (piece.get(place.end) == Some(&b';')).then_some(place)
}

/// The checksums of a file, and its tail.
#[derive(Debug, PartialEq)]
pub(super) struct Seal {
    /// Length of the file.
    pub(super) size: u64,
    data_end: u64,
    block: u64,
    sums: Vec<u32>,
    tail: Bytes,
}

/// What the end of a file says.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// All that is needed.
    Seal(Box<Seal>),
    /// The end must be read from here on.
    From(u64),
    /// These bytes are not the end of a sealed file.
    Nothing,
}

impl Seal {
    /// Looks for the checksums in `end`, the last bytes of a file of `size` bytes.
    pub(super) fn find(end: &Bytes, size: u64) -> Found {
        Self::look(end, size).unwrap_or(Found::Nothing)
    }

    fn look(end: &Bytes, size: u64) -> Option<Found> {
        let begin = size.checked_sub(end.len() as u64)?;
        let (length, magic) = end.get(end.len().checked_sub(END)?..)?.split_at(4);
        let footer = u64::from(u32::from_le_bytes(length.try_into().ok()?)) + END as u64;
        if magic != MAGIC || footer > size {
            return None;
        }
        if footer > end.len() as u64 {
            return Some(Found::From(size - footer));
        }
        let place = digest_place(end)?;
        let value = end[..place.start].windows(MARK.len()).rposition(|w| w == MARK)? + MARK.len();
        let mut numbers = std::str::from_utf8(&end[value..place.start]).ok()?.split(';').map(|n| n.parse::<u64>().ok());
        let (block, data_end) = (numbers.next()??, numbers.next()??);
        if data_end > size || block == 0 {
            return None;
        }
        if data_end < begin {
            return Some(Found::From(data_end));
        }
        let tail = end.slice(usize::try_from(data_end - begin).ok()?..);
        let place = digest_place(&tail)?;
        let wanted = u64::from_str_radix(std::str::from_utf8(&tail[place.clone()]).ok()?, 16).ok()?;
        let mut hash = Xxh3::new();
        hash.update(&tail[..place.start]);
        hash.update(NO_DIGEST.as_bytes());
        hash.update(&tail[place.end..]);
        if hash.digest() != wanted {
            return None;
        }
        // From here on everything is as it was written.
        let digits = tail[place.end + 1..].chunks_exact(8).take(usize::try_from(data_end.div_ceil(block)).ok()?);
        let sum = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let sums = digits.map(sum).collect::<Option<Vec<u32>>>()?;
        Some(Found::Seal(Box::new(Self { size, data_end, block, sums, tail })))
    }

    /// Bytes that this holds, about.
    pub(super) fn weight(&self) -> usize {
        self.tail.len() + 4 * self.sums.len()
    }

    /// The part of `range` that is in the tail, if it is there as a whole.
    pub(super) fn in_tail(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = usize::try_from(range.start.checked_sub(self.data_end)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.data_end)?).ok()?;
        (from <= to && to <= self.tail.len()).then(|| self.tail.slice(from..to))
    }

    /// The blocks that hold what of `range` is in front of the tail.
    pub(super) fn blocks(&self, range: &Range<u64>) -> Range<u64> {
        let end = range.end.min(self.data_end);
        if range.start >= end { 0..0 } else { range.start / self.block..end.div_ceil(self.block) }
    }

    /// The bytes of consecutive blocks.
    pub(super) fn span(&self, blocks: &Range<u64>) -> Range<u64> {
        (blocks.start * self.block).min(self.data_end)..(blocks.end * self.block).min(self.data_end)
    }

    /// Whether `bytes` are block `index`.
    pub(super) fn fits(&self, index: u64, bytes: &[u8]) -> bool {
        let sum = usize::try_from(index).ok().and_then(|i| self.sums.get(i));
        let span = self.span(&(index..index + 1));
        bytes.len() as u64 == span.end - span.start && sum == Some(&low(xxh3_64(bytes)))
    }

    /// Where the tail begins.
    pub(super) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// The tail.
    pub(super) fn tail(&self) -> &Bytes {
        &self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use object_store::path::Path;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A file of `data` bytes with a tail as a Parquet writer makes it.
    async fn sealed(data: &[u8], tail: &[u8]) -> Bytes {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), &BTreeMap::new()).await.unwrap();
        let path = Path::from("f");
        let mut file = Sealing::new(store.create(&path).unwrap());
        for piece in data.chunks(70_001) {
            file.write_all(piece).unwrap();
        }
        let value = file.begin_tail().value.unwrap();
        let footer = format!("keys {KEY} {value} end").into_bytes();
        file.write_all(tail).unwrap();
        file.write_all(&footer).unwrap();
        file.write_all(&u32::try_from(footer.len()).unwrap().to_le_bytes()).unwrap();
        file.write_all(MAGIC).unwrap();
        let size = file.finish().unwrap();
        let bytes = store.get(&path).await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    fn find(file: &Bytes, last: usize) -> Found {
        let last = last.min(file.len());
        Seal::find(&file.slice(file.len() - last..), file.len() as u64)
    }

    #[tokio::test]
    async fn a_file_is_found_out_wherever_one_byte_is_another() {
        let data: Vec<u8> = (0..700_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = sealed(&data, &[b'i'; 3000]).await;
        let Found::Seal(seal) = find(&file, file.len()) else { panic!() };
        assert_eq!((seal.data_end, seal.blocks(&(0..1)), seal.blocks(&(262_143..262_145))), (700_000, 0..1, 0..2));
        // Asked for with too little, it says how much more it needs.
        let Found::From(footer) = find(&file, 8) else { panic!() };
        let Found::From(tail) = find(&file, file.len() - usize::try_from(footer).unwrap()) else { panic!() };
        assert_eq!(tail, 700_000);
        assert_eq!(find(&file, file.len() - 700_000), find(&file, file.len()));
        for at in (0..700_000).step_by(9973) {
            let mut bad = file.to_vec();
            bad[at] ^= 1;
            let index = at as u64 / BLOCK;
            let span = seal.span(&(index..index + 1));
            let span = usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap();
            assert!(seal.fits(index, &file[span.clone()]) && !seal.fits(index, &bad[span]), "byte {at}");
        }
        for at in 700_000..file.len() {
            let mut bad = file.to_vec();
            bad[at] ^= 1;
            let last = file.len() - 700_000;
            let found = Seal::find(&Bytes::from(bad).slice(700_000..), file.len() as u64);
            assert!(!matches!(found, Found::Seal(_)), "byte {at}, of which {last} are the tail");
        }
        assert!(!seal.fits(9, &[]), "there is no such block");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..ProptestConfig::default() })]

        #[test]
        fn nothing_that_is_no_sealed_file_breaks_the_search(bytes in proptest::collection::vec(any::<u8>(), 0..400), more in 0_u64..300, magic: bool) {
            let mut bytes = bytes;
            if magic {
                bytes.extend_from_slice(MARK);
                bytes.extend_from_slice(b"4;3;0000000000000000;00");
                bytes.extend_from_slice(&20_u32.to_le_bytes());
                bytes.extend_from_slice(MAGIC);
            }
            let size = bytes.len() as u64 + more;
            let found = Seal::find(&bytes.into(), size);
            prop_assert!(!matches!(found, Found::Seal(_)));
        }
    }
}
