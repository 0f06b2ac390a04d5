//! The keys that requests carry: fresh ones, and pools of those that are repeated.

use crate::message::KEY_BYTES;

/// Keys whose answers are recorded before the row `answer` is measured.
pub(crate) const POOL_KEYS: u64 = 8192;

/// The same for the row `answer_64k`: their answers take 64 MiB.
pub(crate) const LARGE_POOL_KEYS: u64 = 1024;

/// Which key a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// A key that no request had before.
    Fresh,
    /// The next key of the pool, round and round.
    Pool,
    /// The next key of the pool for large answers, round and round.
    LargePool,
    /// The next of the keys that fill a store; they begin again when rewound.
    Fill,
}

/// Hands out keys.
#[derive(Debug, Default)]
pub(crate) struct KeyMaker {
    fresh: u64,
    pool: u64,
    fill: u64,
}

impl KeyMaker {
    /// Lets the pools begin with their first keys again, and those that fill `back` keys ago.
    pub(crate) fn rewind(&mut self, back: u64) {
        self.pool = 0;
        self.fill = self.fill.saturating_sub(back);
    }

    /// The next key of that kind.
    pub(crate) fn next(&mut self, keys: Keys) -> [u8; KEY_BYTES] {
        match keys {
            Keys::Fresh => {
                self.fresh += 1;
                uuid(mixed(2 * self.fresh), mixed(2 * self.fresh + 1))
            }
            Keys::Pool => {
                self.pool = (self.pool + 1) % POOL_KEYS;
                uuid(0, self.pool)
            }
            Keys::LargePool => {
                self.pool = (self.pool + 1) % LARGE_POOL_KEYS;
                uuid(1, self.pool)
            }
            Keys::Fill => {
                self.fill += 1;
                uuid(2, mixed(self.fill))
            }
        }
    }
}

/// Shape: `xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx`; the pool's keys differ in the last group only, as `wrk.lua` writes them.
fn uuid(high: u64, low: u64) -> [u8; KEY_BYTES] {
    let text = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high & 0xffff,
        (high >> 16) & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    );
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(text.as_bytes());
    key
}

/// `SplitMix64`'s finalizer: neighbours look unrelated, and no two inputs share an output.
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_comes_round() {
        let mut keys = KeyMaker::default();
        let first = keys.next(Keys::Pool);
        assert_eq!(&first, b"00000000-0000-4000-8000-000000000001");
        let later: Vec<_> = (0..POOL_KEYS).map(|_| keys.next(Keys::Pool)).collect();
        assert_eq!(later.iter().position(|key| *key == first), Some(8191));
    }

    #[test]
    fn keys_that_fill_come_again_when_rewound() {
        let mut keys = KeyMaker::default();
        let made: Vec<_> = (0..9).map(|_| keys.next(Keys::Fill)).collect();
        keys.rewind(4);
        assert_eq!((0..4).map(|_| keys.next(Keys::Fill)).collect::<Vec<_>>(), made[5..]);
    }

    #[test]
    fn fresh_keys_differ() {
        let mut keys = KeyMaker::default();
        let made: std::collections::HashSet<_> = (0..10_000).map(|_| keys.next(Keys::Fresh)).collect();
        assert_eq!(made.len(), 10_000);
    }
}
