//! Looks after the captures: deletes what is too old or too much, gives up on ends that nobody saw, counts.

use crate::app::captures::Captures;
use crate::clock::Clock;
use crate::config::CapturesConfig;
use crate::metrics::Metrics;
use crate::phase::{PhaseReader, closing};
use crate::store::StoreError;
use crate::store::captures::Retention;
use reprise_core::wire::Range;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{self, MissedTickBehavior};

/// How long it rests between two rounds.
const PAUSE: Duration = Duration::from_secs(5);
/// Captures that go in one transaction.
const COUNT_MAX: u64 = 2048;

/// Looks after the captures.
pub(crate) struct Caretaker {
    /// What is looked after.
    pub(crate) captures: Captures,
    /// What is kept.
    pub(crate) config: CapturesConfig,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where it counts.
    pub(crate) metrics: Arc<Metrics>,
}

impl Caretaker {
    /// Goes its rounds until the daemon closes.
    pub(crate) async fn run(self, phase: PhaseReader) {
        let mut pace = time::interval(PAUSE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rounds = async {
            loop {
                pace.tick().await;
                if let Err(error) = self.round().await {
                    tracing::error!(error = &error as &dyn Error, "captures are not looked after");
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            () = closing(phase) => {}
        }
    }

    /// Goes one round.
    async fn round(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let kept = &self.metrics.kept;
        let retention = Retention {
            before: Some(now.before(self.config.retain)),
            bytes_max: Some(self.config.bytes_max),
            count_max: COUNT_MAX,
        };
        kept.unknown
            .inc_by(self.captures.give_up(now.before(self.config.unknown_after)).await?);
        // Afterwards, as it forgets the streams that are silent.
        let expired = self.captures.retain(retention).await?;
        kept.expired.inc_by(expired);
        let stats = self.captures.stats().await?;
        let missing = stats.streams.iter().flat_map(|stream| &stream.missing).map(len).sum();
        kept.captures.set(whole(stats.count));
        kept.bytes.set(whole(stats.bytes));
        kept.missing.set(whole(missing));
        if expired > 0 {
            tracing::info!(expired, kept = stats.count, bytes = stats.bytes, "captures expired");
        }
        Ok(())
    }
}

const fn len(range: &Range) -> u64 {
    range.last.saturating_sub(range.first).saturating_add(1)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::boots::Boots;
    use crate::app::seal::SealKey;
    use crate::clock::{ManualClock, UnixMillis};
    use crate::http::tests::metrics;
    use crate::store::captures::{CaptureOrder, CaptureQuery, Captures as _};
    use crate::store::contract::samples::{batch_of, begun, numbered};
    use crate::store::{MemoryStore, SqliteStore};
    use reprise_core::wire::State;

    struct Scene {
        clock: Arc<ManualClock>,
        store: MemoryStore,
        caretaker: Caretaker,
        _dir: tempfile::TempDir,
    }

    /// A caretaker that keeps captures for one second, `bytes_max` of them, and waits 3 s for their ends.
    async fn scene(bytes_max: u64) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let boots = Boots::load(SqliteStore::open(&dir.path().join("replayd.db")).unwrap()).await;
        let seal = SealKey::load_or_draw(&dir.path().join("seal-key")).unwrap();
        let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::at(UnixMillis(2000))));
        let caretaker = Caretaker {
            captures: Captures::new(Arc::new(store.clone()), boots.unwrap(), seal),
            config: CapturesConfig {
                retain: Duration::from_secs(1),
                bytes_max,
                unknown_after: Duration::from_secs(3),
                ..CapturesConfig::default()
            },
            clock: clock.clone(),
            metrics: metrics(),
        };
        Scene {
            clock,
            store,
            caretaker,
            _dir: dir,
        }
    }

    impl Scene {
        async fn round_at(&self, now: i64) -> String {
            self.clock.set(UnixMillis(now));
            self.caretaker.round().await.unwrap();
            self.caretaker.metrics.text().unwrap()
        }
    }

    #[track_caller]
    fn check(page: &str, lines: &[&str]) {
        for line in lines {
            assert!(page.lines().any(|found| found == *line), "no `{line}` in\n{page}");
        }
    }

    #[tokio::test]
    async fn a_capture_goes_the_moment_after_its_time() {
        let scene = scene(u64::MAX).await;
        scene.store.append(numbered(1, [1, 2, 5])).await.unwrap();
        let page = scene.round_at(3000).await;
        check(
            &page,
            &[
                "replayd_captures_kept 3",
                "replayd_captures_missing 2",
                "replayd_captures_expired_total 0",
            ],
        );
        let page = scene.round_at(3001).await;
        check(
            &page,
            &[
                "replayd_captures_kept 0",
                "replayd_captures_missing 0",
                "replayd_captures_expired_total 3",
            ],
        );
    }

    #[tokio::test]
    async fn captures_above_the_bytes_go() {
        let scene = scene(0).await;
        scene.store.append(numbered(1, 1..=5000)).await.unwrap();
        check(
            &scene.round_at(2000).await,
            &["replayd_captures_kept 0", "replayd_captures_kept_bytes 0"],
        );
    }

    #[tokio::test]
    async fn an_end_that_nobody_saw_is_given_up_after_the_silence() {
        let mut scene = scene(u64::MAX).await;
        scene.caretaker.config.retain = Duration::from_secs(60);
        let mut batch = batch_of(1, vec![begun(1)]);
        batch.captures[0].capture.row.received_at = UnixMillis(9000);
        scene.store.append(batch).await.unwrap();
        check(&scene.round_at(5000).await, &["replayd_captures_given_up_total 0"]);
        check(&scene.round_at(5001).await, &["replayd_captures_given_up_total 1"]);
        let page = scene
            .store
            .page(CaptureQuery::default(), CaptureOrder::default(), None, 9);
        assert_eq!(page.await.unwrap().rows[0].state, State::Unknown);
    }
}
