use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Random-looking numbers that depend on nothing but what they are asked for, and are the same on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice for the thing `number` among things of kind `purpose`.
    pub(crate) fn new(seed: u64, purpose: u64, number: u64) -> Self {
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([seed, purpose, number]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs() + 1;
        low + (self.roll() % span).cast_signed()
    }

    /// Whether something with this chance happens.
    pub(crate) fn percent(&mut self, chance: i64) -> bool {
        self.between(0, 99) < chance
    }

    /// One of `all`.
    pub(crate) fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let at = self.roll() % (all.len().max(1) as u64);
        all.get(usize::try_from(at).unwrap_or(0)).copied().unwrap_or("")
    }
}
