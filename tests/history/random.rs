//! Numbers that look random and follow from a seed.

/// A sequence of numbers; the same seed gives the same sequence.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Begins the sequence that belongs to these numbers.
    pub(super) fn new(parts: &[u64]) -> Self {
        let mut random = Self(0);
        for part in parts {
            random.0 = random.next() ^ part;
        }
        random
    }

    /// Gives the next number.
    ///
    /// Source: Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (`SplitMix64`), 2014.
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Gives a number below `end`.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Gives a length below `end`.
    pub(super) fn len(&mut self, end: u64) -> usize {
        usize::try_from(self.below(end)).expect("a length fits")
    }

    /// Picks one by its weight.
    pub(super) fn weighed<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let sum = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(sum);
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("what is left is below the sum")
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_gives_one_sequence() {
        let draw = |seed| {
            let mut random = Random::new(&[seed, 1]);
            (0..8).map(|_| random.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random::new(&[1]);
        let picked = (0..10_000)
            .filter(|_| random.weighed(&[(90, false), (10, true)]))
            .count();
        assert!((800..1200).contains(&picked), "{picked} of 10,000 at a weight of 10 %");
    }
}
