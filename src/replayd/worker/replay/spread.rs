//! How numbers are spread, counted in buckets of 2 %.

use crate::app::replays::{Bucket, Spread};
use std::collections::BTreeMap;

/// Buckets of each power of two: 2^6.
const FINE_BITS: u32 = 6;

/// Counts of numbers, exact below 64, within 2 % above.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: BTreeMap<u32, u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    /// Counts one number.
    pub(super) fn add(&mut self, number: u64) {
        let count = self.buckets.entry(bucket(number)).or_default();
        *count = count.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.max = self.max.max(number);
    }

    /// Shows how they are spread; the histogram has one bar for each power of two.
    pub(super) fn spread(&self) -> Spread {
        let mut bars = BTreeMap::<u64, u64>::new();
        for (bucket, count) in &self.buckets {
            let bar = bars.entry(upper(*bucket).next_power_of_two()).or_default();
            *bar = bar.saturating_add(*count);
        }
        Spread {
            count: self.count,
            p50: self.quantile(50),
            p99: self.quantile(99),
            max: self.max,
            histogram: bars.into_iter().map(|(le, count)| Bucket { le, count }).collect(),
        }
    }

    fn quantile(&self, percent: u64) -> u64 {
        let rank = self.count.saturating_mul(percent).div_ceil(100);
        let mut seen = 0_u64;
        for (bucket, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= rank && seen > 0 {
                return upper(*bucket).min(self.max);
            }
        }
        0
    }
}

/// Numbers the bucket: the power of two, and the bits behind its first.
fn bucket(number: u64) -> u32 {
    let power = number.checked_ilog2().unwrap_or_default();
    let shift = power.saturating_sub(FINE_BITS);
    let fine = u32::try_from(number >> shift).unwrap_or(u32::MAX);
    (shift << FINE_BITS).saturating_add(fine)
}

/// Tells the largest number of a bucket.
fn upper(bucket: u32) -> u64 {
    // Above the first 64, `fine` has its highest bit set, and the shift counts one less for it.
    let shift = (bucket >> FINE_BITS).saturating_sub(1);
    let fine = u64::from(bucket.saturating_sub(shift << FINE_BITS));
    (fine.saturating_add(1) << shift.min(57)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_its_numbers_do() {
        for number in [
            0,
            1,
            63,
            64,
            65,
            127,
            128,
            129,
            1000,
            65_535,
            65_536,
            1 << 40,
            (1 << 60) + 7,
        ] {
            let upper = upper(bucket(number));
            assert!(upper >= number && upper - number <= number / 50, "{number}: {upper}");
        }
    }

    #[test]
    fn buckets_do_not_overlap() {
        for number in 0..100_000 {
            assert!(bucket(number) <= bucket(number + 1), "{number}");
            assert_eq!(bucket(upper(bucket(number))), bucket(number), "{number}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_numbers() {
        let mut histogram = Histogram::default();
        for number in 1..=1000 {
            histogram.add(number);
        }
        let spread = histogram.spread();
        assert!(
            (500..=510).contains(&spread.p50) && (990..=1000).contains(&spread.p99),
            "{spread:?}"
        );
        assert_eq!((spread.count, spread.max), (1000, 1000));
        assert_eq!(spread.histogram.iter().map(|bar| bar.count).sum::<u64>(), 1000);
    }

    #[test]
    fn nothing_counted_is_zero() {
        assert_eq!(Histogram::default().spread(), Spread::default());
    }
}
