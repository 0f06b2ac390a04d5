//! Which moment is a request's own.

use super::{Item, Mode};
use alloc::vec::Vec;

/// Which moment is its own.
#[derive(Debug)]
pub(super) enum Pace {
    /// Now.
    Free,
    /// Microseconds after the first, by rank.
    Timed(Vec<u64>),
    Rate {
        per_second_milli: u64,
        sent: u64,
    },
}

impl Pace {
    pub(super) fn new(mode: Mode, ordered: &[Item]) -> Self {
        match mode {
            Mode::Serial | Mode::Causal | Mode::PerKey | Mode::Max => Self::Free,
            Mode::Rate { per_second_milli } => Self::Rate {
                per_second_milli,
                sent: 0,
            },
            Mode::Timed {
                speed_milli,
                max_gap_us,
            } => {
                let mut recorded_us: u64 = 0;
                let mut before = ordered.first().map_or(0, |item| item.began_us);
                let mut offset = |item: &Item| {
                    let gap_us = item.began_us.saturating_sub(before);
                    before = item.began_us;
                    recorded_us = recorded_us.saturating_add(gap_us.min(max_gap_us.unwrap_or(u64::MAX)));
                    scaled(recorded_us, 1000, speed_milli)
                };
                Self::Timed(ordered.iter().map(&mut offset).collect())
            }
        }
    }

    /// Takes note that one more was sent.
    pub(super) const fn count(&mut self) {
        if let Self::Rate { sent, .. } = self {
            *sent = sent.saturating_add(1);
        }
    }

    /// Tells how many microseconds after a common zero the item is due; none = now.
    pub(super) fn offset(&self, rank: usize) -> Option<u64> {
        match self {
            Self::Free => None,
            Self::Timed(offsets) => offsets.get(rank).copied(),
            Self::Rate { per_second_milli, sent } => Some(scaled(*sent, 1_000_000_000, *per_second_milli)),
        }
    }
}

/// Multiplies by `by` / `of`, at the end of the range staying there.
fn scaled(number: u64, by: u64, of: u64) -> u64 {
    let wide = u128::from(number).saturating_mul(u128::from(by));
    let scaled = wide.checked_div(u128::from(of.max(1))).unwrap_or_default();
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
