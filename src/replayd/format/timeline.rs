//! One clock for captures of several streams.

use crate::store::{CaptureRow, Epoch};
use std::collections::HashMap;

/// Puts the monotonic clocks of streams onto the wall clock.
///
/// A stream's first capture decides how far its clock is off; the others keep their exact distances from it, so that what
/// came before what, and what overlapped, stays as it was. Captures without a stream are on the wall clock already.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    offsets: HashMap<Epoch, i64>,
}

impl Timeline {
    /// Tells when the exchange began and ended, in microseconds since 1970; an end of 0 = not seen.
    pub(super) fn place(&mut self, row: &CaptureRow) -> (u64, u64) {
        let Some(epoch) = row.epoch else {
            return (row.began_us, row.ended_us);
        };
        let wall_us = row.began_at.0.saturating_mul(1000);
        let here = wall_us.saturating_sub(i64::try_from(row.began_us).unwrap_or(i64::MAX));
        let offset = *self.offsets.entry(epoch).or_insert(here);
        let shift = |us: u64| us.saturating_add_signed(offset);
        let ended_us = if row.ended_us == 0 { 0 } else { shift(row.ended_us) };
        (shift(row.began_us), ended_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::format::testing::capture;

    fn row(stream: u8, began_at: i64, began_us: u64, ended_us: u64) -> CaptureRow {
        let mut row = capture("POST", "/", b"").row;
        row.epoch = Some(Epoch([stream; 16]));
        (row.began_at, row.began_us, row.ended_us) = (UnixMillis(began_at), began_us, ended_us);
        row
    }

    #[test]
    fn distances_within_a_stream_are_exact() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(&row(1, 5000, 70, 90)), (5_000_000, 5_000_020));
        assert_eq!(timeline.place(&row(1, 5000, 95, 0)), (5_000_025, 0));
    }

    #[test]
    fn streams_meet_on_the_wall_clock() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(&row(1, 5000, 1_000_000, 1_000_001)).0, 5_000_000);
        assert_eq!(timeline.place(&row(2, 5001, 3, 4)).0, 5_001_000);
    }

    #[test]
    fn a_capture_without_a_stream_stays_where_it_is() {
        let mut imported = row(1, 5000, 4_999_999, 5_000_001);
        imported.epoch = None;
        assert_eq!(Timeline::default().place(&imported), (4_999_999, 5_000_001));
    }
}
