/// A row's place: the ordinal of its data file in the index's dictionary, and its position in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(u64);

impl Location {
    /// No place. Never handed out for a row.
    pub const NONE: Self = Self(u64::MAX);

    /// Row `row` of file `file`.
    pub const fn new(file: u32, row: u32) -> Self {
        Self((file as u64) << 32 | row as u64)
    }

    /// The file's ordinal.
    pub const fn file(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The position in the file.
    pub const fn row(self) -> u32 {
        self.0 as u32
    }

    /// Whether this is [`Self::NONE`].
    pub const fn is_none(self) -> bool {
        self.0 == u64::MAX
    }

    /// As one number, ordered by file, then row.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From [`Self::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}
