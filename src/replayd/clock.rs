//! The wall clock, the only one that is read here; everything else gets a moment as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment on the wall clock.
///
/// Units: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixMillis(pub(crate) i64);

impl UnixMillis {
    /// Rounds down to whole seconds.
    pub(crate) const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// Reads the wall clock; a clock set before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_also_before_1970() {
        assert_eq!((UnixMillis(1999).seconds(), UnixMillis(-1).seconds()), (1, -1));
    }
}
