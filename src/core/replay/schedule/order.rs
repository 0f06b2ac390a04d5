//! Which request comes before which.

use super::Item;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

impl Item {
    /// Its end, never before its begin; at the end of the range if nobody saw it.
    pub(super) fn end_us(&self) -> u64 {
        if self.ended_us == 0 {
            u64::MAX
        } else {
            self.ended_us.max(self.began_us)
        }
    }
}

/// Tells whether `a` had to be over before `b`: on one clock if it had ended before `b` began, on two by receipt.
#[must_use]
pub fn precedes(a: &Item, b: &Item) -> bool {
    if a.stream == b.stream {
        a.end_us() < b.began_us
    } else {
        a.received < b.received
    }
}

/// Puts the places of `items` in a row in which nothing stands before what preceded it.
///
/// On one clock that is the order in which they began. Those of several clocks go by receipt.
#[must_use]
pub fn order(items: &[Item]) -> Vec<usize> {
    let receipts = receipts(items);
    let mut places: Vec<usize> = (0..items.len()).collect();
    places.sort_by_key(|at| (receipts.get(*at).copied(), items.get(*at).map(|item| item.began_us)));
    places
}

/// Puts the places of `items` in the order in which they began, as if all clocks were one.
pub(super) fn by_begin(items: &[Item]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..items.len()).collect();
    places.sort_by_key(|at| items.get(*at).map(|item| item.began_us));
    places
}

/// Gives each item its receipt, but never one before that of an item which preceded it on its clock.
///
/// Batches of one stream may overtake each other. Taken as they are, receipts could then say that A came before X on
/// another clock, X before B, and the clock of both that B came before A: all would wait for ever.
///
/// Where there is one clock, receipts say nothing, and all are 0.
pub(super) fn receipts(items: &[Item]) -> Vec<u64> {
    let mut receipts = vec![0; items.len()];
    let streams = by_stream(items);
    if streams.len() < 2 {
        return receipts;
    }
    for by_begin in streams.values() {
        let mut by_end = by_begin.clone();
        by_end.sort_by_key(|at| items.get(*at).map(Item::end_us));
        let mut ended = by_end.iter().peekable();
        let mut least = 0;
        for at in by_begin {
            let Some(item) = items.get(*at) else { continue };
            let is_over = |at: &&usize| items.get(**at).is_some_and(|other| other.end_us() < item.began_us);
            while let Some(over) = ended.next_if(is_over) {
                least = receipts.get(*over).copied().unwrap_or(0).max(least);
            }
            if let Some(place) = receipts.get_mut(*at) {
                *place = item.received.max(least);
            }
        }
    }
    receipts
}

/// Parts the places of `items` by clock, each in the order in which they began.
pub(super) fn by_stream(items: &[Item]) -> BTreeMap<u32, Vec<usize>> {
    let mut streams: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for at in by_begin(items) {
        if let Some(item) = items.get(at) {
            streams.entry(item.stream).or_default().push(at);
        }
    }
    streams
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn item(stream: u32, began_us: u64, ended_us: u64, received: u64) -> Item {
        Item {
            began_us,
            ended_us,
            stream,
            received,
            key: 0,
        }
    }

    #[track_caller]
    fn check(items: &[Item], want: &[usize]) {
        assert_eq!(order(items), want);
    }

    #[test]
    fn one_clock_orders_by_begin_and_receipts_do_not_count() {
        check(
            &[item(0, 30, 40, 1), item(0, 10, 90, 3), item(0, 20, 25, 2)],
            &[1, 2, 0],
        );
        check(&[item(0, 5, 9, 1), item(0, 5, 6, 0)], &[0, 1]);
    }

    #[test]
    fn two_clocks_are_ordered_by_receipt() {
        check(
            &[item(0, 900, 901, 1), item(1, 5, 6, 2), item(0, 950, 951, 3)],
            &[0, 1, 2],
        );
        check(&[item(0, 900, 901, 2), item(1, 5, 6, 1)], &[1, 0]);
    }

    #[test]
    fn batches_that_overtook_each_other_do_not_turn_a_clock_around() {
        // The first had ended before the second began, and was received later.
        check(&[item(0, 1, 2, 9), item(0, 3, 4, 1), item(1, 1, 2, 5)], &[2, 0, 1]);
    }

    #[test]
    fn one_precedes_another_if_it_was_over() {
        let (a, b) = (item(0, 1, 5, 8), item(0, 6, 7, 2));
        assert!(precedes(&a, &b) && !precedes(&b, &a));
        assert!(
            !precedes(&a, &item(0, 5, 7, 9)),
            "one that began at its end overlaps it"
        );
        assert!(!precedes(&item(0, 1, 0, 0), &b), "nobody saw its end");
        let other = item(1, 0, 1, 8);
        assert!(precedes(&b, &other) && !precedes(&a, &other) && !precedes(&other, &a));
    }
}
