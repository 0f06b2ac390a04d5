//! The bench's clock, and the one way to wait. Nothing else here reads the time.

use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first call.
pub(crate) fn now_ns() -> u64 {
    ns(START.elapsed())
}

/// A duration in nanoseconds; 584 years at most.
pub(crate) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Calls `probe` every millisecond until it finds something.
///
/// # Errors
///
/// `probe`'s own error at once; [`io::ErrorKind::TimedOut`] that names `what` after `limit`.
pub(crate) fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<T> {
    let deadline_ns = now_ns() + ns(limit);
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if deadline_ns < now_ns() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{what}: not within {limit:?}"),
            ));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the pause between two probes of the one wait there is"
        )]
        std::thread::sleep(Duration::from_millis(1));
    }
}
