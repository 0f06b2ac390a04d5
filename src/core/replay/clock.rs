//! Which streams share a clock, and how far each clock is from the wall.
//!
//! Streams are the lives of single VMs; all VMs of one machine read the same monotonic clock, and can be ordered by it.
//! Nothing on the wire says which do. But a clock's distance from the wall clock is that of the machine's start, so
//! streams at the same distance share it, or could not be told apart by time anyway.

use alloc::vec::Vec;

/// Distances that differ by no more than this, in microseconds, are those of one clock.
pub const DISTANCE_MAX_US: i64 = 50_000;

/// One moment of a stream on two clocks: its first capture's begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// In microseconds of the stream's monotonic clock.
    pub mono_us: u64,
    /// In milliseconds since 1970.
    pub unix_ms: u64,
}

/// A stream's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Counts the clocks from 0; streams with the same number share one.
    pub number: u32,
    /// What has to be added to its microseconds to get microseconds since 1970.
    pub behind_us: i64,
}

impl Clock {
    /// Tells a moment of this clock as microseconds since 1970; distances on one clock stay what they are.
    #[must_use]
    pub const fn unix_us(&self, mono_us: u64) -> u64 {
        mono_us.saturating_add_signed(self.behind_us)
    }
}

/// Finds the clock of each stream, in the order of `streams`.
#[must_use]
pub fn clocks(streams: &[Reading]) -> Vec<Clock> {
    let mut by_distance: Vec<_> = streams.iter().map(Reading::behind_us).enumerate().collect();
    by_distance.sort_unstable_by_key(|(_, distance)| *distance);
    let none = Clock {
        number: 0,
        behind_us: 0,
    };
    let mut found = alloc::vec![none; streams.len()];
    let mut last: Option<(Clock, i64)> = None;
    for (at, behind_us) in by_distance {
        let clock = match last {
            Some((clock, near)) if behind_us.saturating_sub(near) <= DISTANCE_MAX_US => clock,
            Some((clock, _)) => Clock {
                number: clock.number.saturating_add(1),
                behind_us,
            },
            None => Clock { number: 0, behind_us },
        };
        last = Some((clock, behind_us));
        if let Some(place) = found.get_mut(at) {
            *place = clock;
        }
    }
    found
}

impl Reading {
    fn behind_us(&self) -> i64 {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        signed(self.unix_ms.saturating_mul(1000)).saturating_sub(signed(self.mono_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const STARTED_MS: u64 = 1_700_000_000_000;

    /// A reading `mono_ms` after the start of a machine that was started `started_ms` later than the first.
    #[expect(clippy::arithmetic_side_effects, reason = "the numbers of the tests are small")]
    fn reading(started_ms: u64, mono_ms: u64) -> Reading {
        Reading {
            mono_us: mono_ms * 1000 + 250,
            unix_ms: STARTED_MS + started_ms + mono_ms,
        }
    }

    fn numbers(streams: &[Reading]) -> Vec<u32> {
        clocks(streams).iter().map(|clock| clock.number).collect()
    }

    #[test]
    fn streams_of_one_machine_share_a_clock() {
        assert_eq!(
            numbers(&[reading(0, 5), reading(50, 900_000), reading(51, 7)]),
            [0, 0, 0]
        );
        assert_eq!(numbers(&[]), [0; 0]);
    }

    #[test]
    fn streams_of_machines_with_other_starts_do_not() {
        assert_eq!(
            numbers(&[reading(500, 9), reading(0, 9), reading(502, 1), reading(51, 1)]),
            [2, 0, 2, 1]
        );
    }

    #[test]
    fn moments_of_one_clock_keep_their_distance_on_the_wall() {
        let found = clocks(&[reading(20, 5), reading(0, 1_000)]);
        assert_eq!(found[0], found[1]);
        let (one, other) = (found[0].unix_us(1_000), found[1].unix_us(4_000));
        assert_eq!(other - one, 3_000);
        assert!(one.abs_diff(STARTED_MS * 1000) < 100_000);
    }

    #[test]
    fn moments_before_1970_and_beyond_the_range_stay_at_its_ends() {
        let odd = [
            Reading {
                mono_us: u64::MAX,
                unix_ms: 0,
            },
            Reading {
                mono_us: 0,
                unix_ms: u64::MAX,
            },
        ];
        let found = clocks(&odd);
        assert_eq!(found[0].unix_us(5), 0);
        assert_eq!(found[1].unix_us(u64::MAX), u64::MAX);
    }
}
