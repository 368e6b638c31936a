//! LSN: the number of a record.

use std::fmt;
use std::num::NonZeroU64;

/// A log sequence number: the position of one record in the history of one store, starting at 1.
///
/// LSNs only grow. Two records that a caller or reader could have seen never share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(NonZeroU64);

impl Lsn {
    /// The first LSN of every store.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The LSN numbered `number`, or `None` for 0, which means "before the first".
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The LSN `count` records later. Saturates at the end of the number range, which a million
    /// appends a second reach after half a million years.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({})", self.0)
    }
}
