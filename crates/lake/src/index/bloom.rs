/// Bits set per key, one in each word of a block.
const WORDS: usize = 8;
/// Bytes of a block: a key touches one block, so one cache line.
const BLOCK_BYTES: usize = WORDS * 4;
/// Bytes of filter for each key: about 1 % false answers.
const BITS_PER_KEY: usize = 10;
/// Odd multipliers that pick one bit in each word.
const SALTS: [u32; WORDS] =
    [0x9e37_79b1, 0x85eb_ca6b, 0xc2b2_ae35, 0x27d4_eb2f, 0x1656_67b1, 0xd3a2_646d, 0xfd70_46c5, 0xb55a_4f09];

/// A blocked Bloom filter that is being filled. What it writes is read in place by [`contains`].
pub(crate) struct BloomBuilder {
    bytes: Vec<u8>,
}

impl BloomBuilder {
    /// A filter for at most `keys` keys.
    pub(crate) fn new(keys: usize) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(BLOCK_BYTES * 8).max(1);
        Self { bytes: vec![0; blocks * BLOCK_BYTES] }
    }

    pub(crate) fn insert(&mut self, hash: u64) {
        let start = block_start(self.bytes.len(), hash);
        let low = hash as u32;
        for (word, salt) in self.bytes[start..start + BLOCK_BYTES].chunks_exact_mut(4).zip(SALTS) {
            let bit = low.wrapping_mul(salt) >> 27;
            word[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whether a key with this hash may be in the filter.
pub(crate) fn contains(filter: &[u8], hash: u64) -> bool {
    let start = block_start(filter.len(), hash);
    let low = hash as u32;
    let mut all = true;
    for (word, salt) in filter[start..start + BLOCK_BYTES].chunks_exact(4).zip(SALTS) {
        let bit = low.wrapping_mul(salt) >> 27;
        all &= word[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
    }
    all
}

/// Whether bytes of this length can be a filter.
pub(crate) fn is_filter_length(bytes: usize) -> bool {
    bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES)
}

/// Maps the upper half of the hash to a block without division.
fn block_start(bytes: usize, hash: u64) -> usize {
    let blocks = (bytes / BLOCK_BYTES) as u64;
    (((hash >> 32) * blocks) >> 32) as usize * BLOCK_BYTES
}

/// The hash of a key for the filter and the hash table. Integer keys are not hashed before, so this has to mix well.
#[inline]
pub(crate) fn key_hash(key: u128) -> u64 {
    let low = key as u64 ^ 0x243f_6a88_85a3_08d3;
    let high = (key >> 64) as u64 ^ 0x1319_8a2e_0370_7345;
    let product = u128::from(low) * u128::from(high);
    let folded = (product as u64) ^ (product >> 64) as u64;
    let again = u128::from(folded) * 0xa409_3822_299f_31d1;
    (again as u64) ^ (again >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_every_key_and_few_others() {
        let mut filter = BloomBuilder::new(10_000);
        (0..10_000u128).for_each(|k| filter.insert(key_hash(k)));
        let filter = filter.into_bytes();
        assert!(is_filter_length(filter.len()));
        assert!((0..10_000u128).all(|k| contains(&filter, key_hash(k))));
        let wrong = (10_000..110_000u128).filter(|&k| contains(&filter, key_hash(k))).count();
        assert!(wrong < 2_500, "{wrong} of 100000 unknown keys pass");
    }
}
