//! The clocks, the only ones that are read here; everything else gets a moment, or a clock, as an argument.

#[cfg(test)]
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment on the wall clock.
///
/// Units: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnixMillis(pub(crate) i64);

impl UnixMillis {
    /// Rounds down to whole seconds.
    pub(crate) const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Writes it for people and programs, in UTC with milliseconds: `2026-11-21T16:00:00.000Z`.
    pub(crate) fn to_rfc3339(self) -> String {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0).saturating_mul(1_000_000));
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, time) = (at.date(), at.time());
        format!(
            "{date}T{:02}:{:02}:{:02}.{:03}Z",
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }

    /// Reads what [`Self::to_rfc3339`] writes, with any offset and precision.
    pub(crate) fn from_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000))
            .ok()
            .map(Self)
    }

    /// Goes back by `span`.
    pub(crate) fn before(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

/// Tells the time to whoever runs without being asked.
pub(crate) trait Clock: Send + Sync + 'static {
    /// Tells the moment.
    fn now(&self) -> UnixMillis;
}

/// The wall clock of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        now()
    }
}

/// A clock that stands until a test moves it.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

#[cfg(test)]
impl ManualClock {
    /// Begins at `now`.
    pub(crate) const fn at(now: UnixMillis) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Sets it to `now`.
    pub(crate) fn set(&self, now: UnixMillis) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// Reads the wall clock; a clock set before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Tells how long ago it began.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_and_read_in_utc() {
        let moment = UnixMillis(1_795_276_805_042);
        assert_eq!(moment.to_rfc3339(), "2026-11-21T16:00:05.042Z");
        assert_eq!(UnixMillis::from_rfc3339("2026-11-21T16:00:05.042Z"), Some(moment));
        assert_eq!(UnixMillis::from_rfc3339("2026-11-21T17:00:05.0429+01:00"), Some(moment));
        assert_eq!(UnixMillis::from_rfc3339("yesterday"), None);
    }

    #[test]
    fn seconds_round_down_also_before_1970() {
        assert_eq!((UnixMillis(1999).seconds(), UnixMillis(-1).seconds()), (1, -1));
    }

    #[test]
    fn a_moment_before_all_time_is_the_first() {
        assert_eq!(UnixMillis(5).before(Duration::MAX), UnixMillis(5 - i64::MAX));
    }
}
