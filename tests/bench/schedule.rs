//! When the requests of a fixed-rate slice are due, whatever became of the ones before.

use crate::clock;
use std::collections::VecDeque;
use std::time::Duration;

/// When the requests of a fixed-rate slice are due, in nanoseconds after its begin.
#[derive(Debug)]
pub(crate) struct Schedule {
    step_ns: u64,
    total: u64,
    made: u64,
    waiting_ns: VecDeque<u64>,
}

impl Schedule {
    /// The schedule of `rate_per_s` requests a second for `time`.
    pub(crate) fn new(rate_per_s: u32, time: Duration) -> Self {
        let step_ns = 1_000_000_000 / u64::from(rate_per_s.max(1));
        Self {
            step_ns,
            total: clock::ns(time) / step_ns,
            made: 0,
            waiting_ns: VecDeque::new(),
        }
    }

    /// Adds what has become due.
    pub(crate) fn advance(&mut self, elapsed_ns: u64) {
        while self.made < self.total && self.made * self.step_ns <= elapsed_ns {
            self.waiting_ns.push_back(self.made * self.step_ns);
            self.made += 1;
        }
    }

    /// True if a request is due and not taken.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting_ns.is_empty()
    }

    /// Takes the request that is due longest; when it fell due.
    pub(crate) fn take(&mut self) -> u64 {
        self.waiting_ns.pop_front().unwrap_or_default()
    }

    /// True if every request has been taken.
    pub(crate) fn is_done(&self) -> bool {
        self.made == self.total && self.waiting_ns.is_empty()
    }

    /// When the last request is due.
    pub(crate) const fn end_ns(&self) -> u64 {
        self.total * self.step_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_fall_due_at_their_rate() {
        let mut schedule = Schedule::new(1000, Duration::from_millis(3));
        schedule.advance(1_999_999);
        assert_eq!(
            (schedule.take(), schedule.take(), schedule.is_waiting()),
            (0, 1_000_000, false)
        );
        schedule.advance(9_000_000);
        assert_eq!((schedule.take(), schedule.is_done()), (2_000_000, true));
    }
}
