//! How many new keys a second a store carries.

use core::fmt;

/// The rate that a store carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    keys_max: u64,
    retained: Retained,
}

/// The longest that records live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retained {
    /// How long, in seconds.
    pub(super) retain_s: u64,
    /// The rule that says so, by its place in the document's list; none = the document's own field.
    pub(super) rule: Option<usize>,
}

impl Rate {
    /// Puts a store's size and its longest retention together.
    pub(super) const fn new(keys_max: u64, retained: Retained) -> Self {
        Self { keys_max, retained }
    }

    /// Gives the new keys a second: 0.4 · `keys_max` / `retain_s`, rounded down.
    #[must_use]
    pub fn keys_per_s(&self) -> u64 {
        let keys = self.keys_max.saturating_mul(2);
        keys.checked_div(self.retained.retain_s.saturating_mul(5))
            .unwrap_or_default()
    }

    /// Tells whether it is less than `expected` keys a second.
    pub(super) const fn is_below(&self, expected: u64) -> bool {
        // Without the division, which would lose what is after the point.
        expected.saturating_mul(5).saturating_mul(self.retained.retain_s) > self.keys_max.saturating_mul(2)
    }
}

impl fmt::Display for Rate {
    /// Writes how the rate comes about: `0.4 * keys_max 262144 / retain_s 900 = 116`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retained { retain_s, rule } = self.retained;
        write!(out, "0.4 * keys_max {} / retain_s {retain_s}", self.keys_max)?;
        if let Some(rule) = rule {
            write!(out, " of rules[{rule}]")?;
        }
        write!(out, " = {}", self.keys_per_s())
    }
}

impl Retained {
    /// Gives the longest of `retain_s`, the document's own, and those of its rules; of equals the first.
    pub(super) fn longest(retain_s: u64, rules: impl Iterator<Item = (usize, Option<u64>)>) -> Self {
        let own = Self { retain_s, rule: None };
        rules.fold(own, |longest, (rule, retain_s)| match retain_s {
            Some(retain_s) if retain_s > longest.retain_s => Self {
                retain_s,
                rule: Some(rule),
            },
            _ => longest,
        })
    }
}
