//! Sets of numbers as ranges: what came of a stream, and what is missing.

use reprise_core::wire::Range;

/// Numbers from 1 on, as ranges in order that do not touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RangeSet(Vec<Range>);

impl RangeSet {
    /// Adds `number`; tells whether it is new.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|range| range.last < number);
        if self.0.get(at).is_some_and(|range| range.first <= number) {
            return false;
        }
        let grows = at.checked_sub(1).and_then(|before| self.0.get_mut(before));
        let grown = grows.filter(|before| before.last.checked_add(1) == Some(number));
        let follows = |range: &Range| number.checked_add(1) == Some(range.first);
        match grown {
            Some(before) => {
                before.last = number;
                self.join(at);
            }
            None => match self.0.get_mut(at).filter(|range| follows(range)) {
                Some(after) => after.first = number,
                None => self.0.insert(
                    at,
                    Range {
                        first: number,
                        last: number,
                    },
                ),
            },
        }
        true
    }

    /// Joins the range at `at` to the one before it if they touch now.
    fn join(&mut self, at: usize) {
        let Some(after) = self.0.get(at).copied() else { return };
        let before = at.checked_sub(1).and_then(|before| self.0.get_mut(before));
        if let Some(before) = before.filter(|before| before.last.checked_add(1) == Some(after.first)) {
            before.last = after.last;
            self.0.remove(at);
        }
    }

    /// Tells whether `number` is in it.
    pub(crate) fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|range| range.last < number);
        self.0.get(at).is_some_and(|range| range.first <= number)
    }

    /// Shows the ranges.
    pub(crate) fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// Gives the ranges away.
    pub(crate) fn into_ranges(self) -> Vec<Range> {
        self.0
    }

    /// Tells which numbers up to `assigned`, or below the highest if that is higher, are missing.
    pub(crate) fn missing(&self, assigned: u64) -> Vec<Range> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|range| range.last));
        let gap = |(end, range): (u64, &Range)| Range {
            first: end.saturating_add(1),
            last: range.first.saturating_sub(1),
        };
        let tail = Range {
            first: self.0.last().map_or(1, |range| range.last.saturating_add(1)),
            last: assigned,
        };
        let gaps = ends.zip(&self.0).map(gap).chain([tail]);
        gaps.filter(|gap| gap.first <= gap.last).collect()
    }
}

impl FromIterator<Range> for RangeSet {
    /// Takes ranges that are in order and do not touch.
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(numbers: &[u64]) -> RangeSet {
        let mut set = RangeSet::default();
        for number in numbers {
            set.insert(*number);
        }
        set
    }

    #[track_caller]
    fn check(numbers: &[u64], ranges: &[(u64, u64)], missing: &[(u64, u64)]) {
        let set = set(numbers);
        let pairs = |ranges: &[Range]| ranges.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>();
        assert_eq!(
            (pairs(set.ranges()), pairs(&set.missing(0))),
            (ranges.to_vec(), missing.to_vec())
        );
    }

    #[test]
    fn numbers_in_order_are_one_range() {
        check(&[1, 2, 3], &[(1, 3)], &[]);
    }

    #[test]
    fn what_never_came_is_missing_also_at_the_front() {
        check(&[3, 4, 8], &[(3, 4), (8, 8)], &[(1, 2), (5, 7)]);
    }

    #[test]
    fn what_was_given_out_and_never_came_is_missing_at_the_end() {
        let missing = |numbers: &[u64], assigned| {
            let missing = set(numbers).missing(assigned);
            missing
                .iter()
                .map(|range| (range.first, range.last))
                .collect::<Vec<_>>()
        };
        assert_eq!(missing(&[1, 2], 5), [(3, 5)]);
        assert_eq!(missing(&[], 2), [(1, 2)]);
        assert_eq!(missing(&[1, 2], 2), []);
    }

    #[test]
    fn a_number_between_two_ranges_joins_them() {
        check(&[1, 3, 2], &[(1, 3)], &[]);
    }

    #[test]
    fn the_largest_number_has_no_successor() {
        check(
            &[u64::MAX, u64::MAX - 1],
            &[(u64::MAX - 1, u64::MAX)],
            &[(1, u64::MAX - 2)],
        );
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_added(numbers in prop::collection::vec(1_u64..60, 0..80)) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for number in &numbers {
                prop_assert_eq!(set.insert(*number), model.insert(*number));
            }
            let inside: Vec<_> = set.ranges().iter().flat_map(|range| range.first..=range.last).collect();
            prop_assert_eq!(&inside, &model.iter().copied().collect::<Vec<_>>());
            prop_assert!(set.ranges().windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
            for number in 1..61 {
                prop_assert_eq!(set.contains(number), model.contains(&number));
            }
        }
    }
}
