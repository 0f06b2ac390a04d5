//! Time as plain numbers: it comes in as an argument, nothing here reads a clock.

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Counts `seconds` as milliseconds; beyond the range of u64 it stays at the end of the range.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

/// A moment on the host's monotonic clock.
///
/// Units: milliseconds since an arbitrary zero that all workers of one process share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonoMillis(pub u64);

impl MonoMillis {
    /// Moves the moment `span` later; at the end of the range it stays there.
    #[must_use]
    pub const fn plus(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Measures how long after `earlier` this moment is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// Rounds down to whole seconds of the same clock; u32 seconds last 136 years.
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.checked_div(1000).unwrap_or_default()).unwrap_or(u32::MAX)
    }
}
