use super::{bloom::key_hash, run::Entry};
use hashbrown::{HashTable, hash_table};

/// From this many entries on, room for a full table is made at once: to grow in steps means to hash everything again.
const GROW_AT_ONCE: usize = 1 << 15;

/// The newest entries of an index, in the order in which their keys came.
///
/// The entries lie in a list, and the hash table holds only numbers of that list: five bytes for a slot, which a processor's cache can
/// hold, where slots with whole entries would be 33. Keys mostly come in ascending stretches, so the list is also quick to sort.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    entries: Vec<Entry>,
    slots: HashTable<u32>,
}

impl Hot {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Makes room for `more` entries, of `most` that there will ever be.
    pub(crate) fn reserve(&mut self, more: usize, most: usize) {
        let needed = self.entries.len() + more;
        if needed <= self.entries.capacity() && needed <= self.slots.capacity() {
            return;
        }
        let wanted = if needed < GROW_AT_ONCE { needed } else { needed.max(most) } - self.entries.len();
        let entries = &self.entries;
        self.slots.reserve(wanted, |&i| key_hash(entries[i as usize].0));
        self.entries.reserve(wanted);
    }

    /// The location of `key`, whose hash is `hash`.
    #[inline]
    pub(crate) fn get(&self, key: u128, hash: u64) -> Option<u64> {
        self.slots.find(hash, |&i| self.entries[i as usize].0 == key).map(|&i| self.entries[i as usize].1)
    }

    /// Puts `key` at `place` and says where it was.
    #[inline]
    pub(crate) fn put(&mut self, key: u128, hash: u64, place: u64) -> Option<u64> {
        let entries = &mut self.entries;
        match self.slots.entry(hash, |&i| entries[i as usize].0 == key, |&i| key_hash(entries[i as usize].0)) {
            hash_table::Entry::Occupied(slot) => Some(std::mem::replace(&mut entries[*slot.get() as usize].1, place)),
            hash_table::Entry::Vacant(slot) => {
                // A table is frozen long before it has so many entries.
                slot.insert(entries.len() as u32);
                entries.push((key, place));
                None
            }
        }
    }

    /// Whether some keys need more than 64 bits.
    pub(crate) fn is_wide(&self) -> bool {
        self.entries.iter().any(|e| e.0 > u128::from(u64::MAX))
    }

    /// All entries in key order, each key's newest.
    pub(crate) fn sorted(&self) -> Box<dyn Iterator<Item = Entry>> {
        // The stable sort knows ascending stretches and merges them.
        if self.is_wide() {
            let mut entries = self.entries.clone();
            entries.sort_by_key(|e| e.0);
            return Box::new(entries.into_iter());
        }
        let mut entries: Vec<(u64, u64)> = self.entries.iter().map(|e| (e.0 as u64, e.1)).collect();
        entries.sort_by_key(|e| e.0);
        Box::new(entries.into_iter().map(|(key, place)| (u128::from(key), place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map_whatever_the_order_and_width_of_keys() {
        for (factor, most) in [(1, 0), (7, 1 << 16), (1 << 70, 1 << 17)] {
            let (mut hot, mut model) = (Hot::default(), BTreeMap::new());
            for n in 0..100_000_u64 {
                if n % 5_000 == 0 {
                    hot.reserve(5_000, most);
                }
                let key = u128::from(n * 40_503 % 60_000) * factor;
                assert_eq!(hot.put(key, key_hash(key), n), model.insert(key, n));
                assert_eq!(hot.len(), model.len());
            }
            assert!(model.iter().all(|(&key, &place)| hot.get(key, key_hash(key)) == Some(place)));
            assert_eq!(hot.get(factor * 60_000, key_hash(factor * 60_000)), None);
            assert!(hot.sorted().eq(model));
        }
    }
}
