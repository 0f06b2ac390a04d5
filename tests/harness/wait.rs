//! Waiting for facts, with a deadline and a reason. The only place here that reads a clock.

use std::time::{Duration, Instant};

/// Time between two probes.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `probe` again and again until it gives a value; fails after `limit` with the last reason why not.
pub async fn eventually<T, P>(what: &str, limit: Duration, mut probe: impl FnMut() -> P) -> T
where
    P: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        let reason = match tokio::time::timeout(limit, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(reason)) => reason,
            Err(_) => "the probe gave no answer".to_owned(),
        };
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}: {reason}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for `future`, at most for `limit`.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

/// Measures how long something took, for cases that are about time itself.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "starting a watch is an act, not a default")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Tells how much time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Reads the machine's monotonic clock, in microseconds.
#[must_use]
pub fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).expect("the machine started in the past")
}
