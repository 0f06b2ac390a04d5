//! The tally: the ledgers of all workers as one, so that a scrape shows a sum that is right.
//!
//! Each worker writes its ledger into a seat. One VM adds them up, and takes over what workers that are gone left behind.

use super::ledger::{LEDGER_BYTES, Ledger};
use crate::time::MonoMillis;
use alloc::vec::Vec;

/// Seats of one process.
pub const SEATS: u16 = 256;
/// What stands in a seat that was left: others may have it, and seats behind it may be taken.
pub const LEFT: &[u8] = b"-";

const SEAT_BYTES: usize = 20 + 8 + LEDGER_BYTES + 24;
const TALLY_BYTES: usize = 20 + LEDGER_BYTES + LEDGER_BYTES;

/// Who sits: the stream, and how many seats it had before.
pub type SeatId = [u8; 20];

/// What waits or travels of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Captures.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Since when the oldest waits; none waits if it is 0.
    pub oldest: MonoMillis,
}

/// What one worker shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Who it is.
    pub id: SeatId,
    /// When it was written.
    pub beat: MonoMillis,
    /// Its ledger.
    pub ledger: Ledger,
    /// What waits.
    pub waiting: Waiting,
}

impl Seat {
    /// Names the seat of a stream that had `before` others.
    #[must_use]
    pub fn id(stream: &[u8; 16], before: u32) -> SeatId {
        let mut id = [0; 20];
        let [name @ .., b0, b1, b2, b3] = &mut id;
        *name = *stream;
        [*b0, *b1, *b2, *b3] = before.to_le_bytes();
        id
    }

    /// Writes the seat.
    ///
    /// Shape: stream 16 | seats before u32 | beat ms u64 | ledger 80 | waiting count u64 | bytes u64 | oldest ms u64.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEAT_BYTES);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.beat.0.to_le_bytes());
        self.ledger.write(&mut out);
        for number in [self.waiting.count, self.waiting.bytes, self.waiting.oldest.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// Reads a seat; none if nobody sits there.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SEAT_BYTES] = bytes.try_into().ok()?;
        let (id, rest) = bytes.split_first_chunk::<20>()?;
        let (beat, rest) = rest.split_first_chunk::<8>()?;
        let (ledger, rest) = rest.split_at_checked(LEDGER_BYTES)?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let (waiting_bytes, oldest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            id: *id,
            beat: MonoMillis(u64::from_le_bytes(*beat)),
            ledger: Ledger::read(ledger)?,
            waiting: Waiting {
                count: u64::from_le_bytes(*count),
                bytes: u64::from_le_bytes(*waiting_bytes),
                oldest: MonoMillis(u64::from_le_bytes(*oldest.first_chunk()?)),
            },
        })
    }
}

/// What was taken over from workers that are gone, and what was shown of all.
///
/// Shape: seat taken over last 20 | taken over 80 | shown 80; no bytes = nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    folded: SeatId,
    base: Ledger,
    shown: Ledger,
}

impl Tally {
    /// Reads the tally; nothing if there is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        Self::read_whole(bytes).unwrap_or_default()
    }

    fn read_whole(bytes: &[u8]) -> Option<Self> {
        let (folded, rest) = bytes.split_first_chunk::<20>()?;
        let (base, shown) = rest.split_at_checked(LEDGER_BYTES)?;
        Some(Self {
            folded: *folded,
            base: Ledger::read(base)?,
            shown: Ledger::read(shown)?,
        })
    }

    /// Writes the tally.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TALLY_BYTES);
        out.extend_from_slice(&self.folded);
        self.base.write(&mut out);
        self.shown.write(&mut out);
        out
    }

    /// Tells whether a seat was taken over already, and has only to be cleared.
    #[must_use]
    pub fn has_folded(&self, seat: &Seat) -> bool {
        self.folded == seat.id
    }

    /// Takes over the seat of a worker that is gone: what it had pending is lost.
    ///
    /// Again: counts twice; [`Tally::has_folded`] tells of the last one, so one is cleared before the next is taken over.
    pub fn fold(&mut self, seat: &Seat) {
        self.base = self.base.plus(&seat.ledger.dead());
        self.folded = seat.id;
    }

    /// Adds up all, and gives what was shown before; none if anything would shrink, which is then not shown.
    pub fn show(&mut self, seats: &[Seat]) -> Option<Ledger> {
        let live = seats.iter().filter(|seat| !self.has_folded(seat));
        let sum = live.fold(self.base, |sum, seat| sum.plus(&seat.ledger));
        if !sum.has_grown_from(&self.shown) {
            return None;
        }
        Some(core::mem::replace(&mut self.shown, sum))
    }

    /// Shows what was shown last.
    #[must_use]
    pub const fn shown(&self) -> &Ledger {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Reason;
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn seat(n: u8, stored: u64, pending: u64) -> Seat {
        let mut ledger = Ledger::default();
        for _ in (0..stored).chain(0..pending) {
            ledger.begin();
        }
        ledger.store(stored);
        Seat {
            id: Seat::id(&[n; 16], 0),
            beat: MonoMillis(5),
            ledger,
            waiting: Waiting::default(),
        }
    }

    #[test]
    fn a_seat_and_a_tally_read_back_and_garbage_does_not() {
        let one = seat(1, 2, 3);
        assert_eq!(Seat::read(&one.write()), Some(one));
        assert_eq!((Seat::read(b""), Seat::read(LEFT)), (None, None));
        let mut tally = Tally::default();
        tally.fold(&one);
        tally.show(&[]);
        assert_eq!(Tally::read(&tally.write()), tally);
        assert_eq!(Tally::read(b"x"), Tally::default());
    }

    #[test]
    fn what_was_shown_before_tells_the_growth() {
        let mut tally = Tally::default();
        assert_eq!(tally.show(&[seat(1, 2, 1), seat(2, 1, 0)]).unwrap().stored(), 0);
        assert_eq!(tally.show(&[seat(1, 2, 1), seat(2, 1, 0)]).unwrap().stored(), 3);
        assert_eq!(tally.show(&[seat(1, 3, 0), seat(2, 1, 0)]).unwrap().stored(), 3);
        assert_eq!((tally.shown().seen(), tally.shown().pending()), (4, 0));
    }

    #[test]
    fn a_worker_that_is_gone_is_counted_once_and_what_it_had_pending_is_lost() {
        let mut tally = Tally::default();
        let (gone, lives) = (seat(1, 2, 1), seat(2, 1, 0));
        tally.show(&[gone, lives]);
        tally.fold(&gone);
        assert!(tally.has_folded(&gone));
        // Its seat is still there, as after a crash between the two writes.
        assert!(tally.show(&[gone, lives]).is_some());
        let shown = *tally.shown();
        assert_eq!(
            (shown.seen(), shown.stored(), shown.dropped(Reason::VmRestart)),
            (4, 3, 1)
        );
        assert_eq!(tally.show(&[lives]).unwrap(), shown);
    }

    #[test]
    fn a_sum_that_shrinks_is_not_shown() {
        let mut tally = Tally::default();
        tally.show(&[seat(1, 2, 0), seat(2, 1, 0)]);
        assert_eq!(tally.show(&[seat(1, 2, 0)]), None);
        assert_eq!(tally.shown().stored(), 3);
    }
}
