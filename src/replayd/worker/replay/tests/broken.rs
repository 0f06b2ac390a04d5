//! What breaks on the way, and goes on when it is mended.

use super::responses::restarted;
use super::{Stack, capture, posts};
use crate::app::replays::{ReplayState, ReplayView};
use crate::clock::UnixMillis;
use crate::config::targets_of;
use crate::store::replays::Tally;
use crate::store::{
    BootLedger, NewReplay, NewStep, Pending, ReplayChange, ReplayRow, ReplayStore, SqliteStore, StepChange, StepRow,
    StoreError, TargetBoot,
};
use crate::worker::restore;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A store that writes down nothing of replays that run, as long as `is_broken`.
struct Breakable {
    store: SqliteStore,
    is_broken: Arc<AtomicBool>,
}

impl Breakable {
    fn or_break<'a, T>(&self, pending: Pending<'a, T>) -> Pending<'a, T> {
        if !self.is_broken.load(Ordering::SeqCst) {
            return pending;
        }
        let (path, source) = (PathBuf::new(), io::ErrorKind::StorageFull.into());
        Box::pin(async { Err(StoreError::Create { path, source }) })
    }
}

impl ReplayStore for Breakable {
    fn change(&self, id: i64, change: ReplayChange) -> Pending<'_, ()> {
        self.or_break(self.store.change(id, change))
    }

    fn journal(&self, id: i64, boot: TargetBoot, changes: Vec<StepChange>) -> Pending<'_, ()> {
        self.or_break(self.store.journal(id, boot, changes))
    }

    fn create(&self, replay: NewReplay) -> Pending<'_, Result<i64, i64>> {
        self.store.create(replay)
    }

    fn replay(&self, id: i64) -> Pending<'_, Option<ReplayRow>> {
        self.store.replay(id)
    }

    fn replays(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<ReplayRow>> {
        self.store.replays(before, limit)
    }

    fn take_target(&self, id: i64, change: ReplayChange) -> Pending<'_, Result<(), i64>> {
        self.store.take_target(id, change)
    }

    fn add_steps(&self, id: i64, steps: Vec<NewStep>) -> Pending<'_, ()> {
        self.store.add_steps(id, steps)
    }

    fn steps(&self, id: i64, from: u64, limit: u32) -> Pending<'_, Vec<StepRow>> {
        self.store.steps(id, from, limit)
    }

    fn tally(&self, id: i64) -> Pending<'_, Tally> {
        self.store.tally(id)
    }

    fn bindings(&self, id: i64) -> Pending<'_, Vec<Vec<u8>>> {
        self.store.bindings(id)
    }

    fn restored(&self, boot: TargetBoot) -> Pending<'_, BootLedger> {
        self.store.restored(boot)
    }

    fn boot_seen(&self, boot: TargetBoot, now: UnixMillis) -> Pending<'_, UnixMillis> {
        self.store.boot_seen(boot, now)
    }

    fn holding(&self) -> Pending<'_, Vec<ReplayRow>> {
        self.store.holding()
    }
}

#[tokio::test]
async fn an_end_that_cannot_be_written_down_is_written_when_the_store_is_well_again() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let stack = Stack::start(vec![capture("POST", "/hold/1", "{}"), capture("POST", "/n/1", "{}")]).await;
    let store = Arc::new(Breakable {
        store: stack.store.clone(),
        is_broken: Arc::clone(&is_broken),
    });
    let stack = stack.rebuilt(|parts| parts.store = store).await;
    let id = stack
        .start_replay(r#"{"target": "shop", "mode": "serial", "in_doubt": "skip"}"#)
        .await;
    stack.upstream.held().await;
    is_broken.store(true, Ordering::SeqCst);
    stack.upstream.release();
    let view = stack.until(id, |view| view.detail.contains("written down")).await;
    assert_eq!(view.state, ReplayState::Running, "{view:#?}");
    is_broken.store(false, Ordering::SeqCst);
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(3)),
        "{view:#?}"
    );
    stack.replays.resume(id, None).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.counts.skipped),
        (ReplayState::Finished, 1),
        "{view:#?}"
    );
}

#[tokio::test]
async fn a_restore_whose_target_is_away_for_a_while_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let config = format!(
        "[targets.x]\nurl = 'http://x'\ncredential = {{file = '{}'}}",
        token.display()
    );
    let credential = targets_of(&config)["x"].credential.clone();
    let stack = restarted(posts(2)).await;
    let stack = stack.configured(|target| target.credential = credential).await;
    let first = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(first.exit_code, Some(2), "{first:#?}");
    tokio::spawn(restore::run(stack.replays.clone(), std::future::pending()));
    let is_again = |view: &ReplayView| view.state == ReplayState::Interrupted && view.ended_ms > first.ended_ms;
    stack.until(first.id, is_again).await;
    std::fs::write(&token, "t").unwrap();
    let view = stack.until(first.id, |view| view.state == ReplayState::Finished).await;
    assert_eq!((view.exit_code, stack.upstream.log().len()), (Some(0), 2), "{view:#?}");
    assert!(!stack.boots.newest()[0].closed);
    assert_eq!(stack.page().await.replays.len(), 1);
}

#[tokio::test]
async fn a_restore_whose_target_did_not_get_well_may_go_on_by_itself() {
    let stack = restarted(posts(2)).await;
    stack.upstream.script(|_, _| Some((503, String::new())));
    let spec = r#"{"kind": "restore", "target": "shop", "wait_gate_ms": 100}"#;
    let view = stack.run(spec).await;
    assert_eq!(view.exit_code, Some(2), "{view:#?}");
    let course = stack.replays.course(view.id).await.unwrap();
    assert_eq!(course, crate::app::replays::Course::Broke);
}
