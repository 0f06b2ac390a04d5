//! Which restores open the gate of their boot.

use super::cases::broken;
use super::responses::restarted;
use super::{Stack, capture, posts};
use crate::app::replays::{ReplayState, ReplayView};
use crate::store::captures::Capture;

const RESTORE: &str = r#"{"kind": "restore", "target": "shop"}"#;
const CONTINUES: &str = r#"{"kind": "restore", "target": "shop", "on_error": "continue"}"#;
const SKIPS: &str = r#"{"kind": "restore", "target": "shop", "on_mismatch": "skip"}"#;

fn is_open(stack: &Stack) -> bool {
    !stack.boots.newest()[0].closed
}

#[track_caller]
fn check(stack: &Stack, view: &ReplayView, want: (ReplayState, u8, bool)) {
    let found = (view.state, view.exit_code.unwrap(), is_open(stack));
    assert_eq!(found, want, "{view:#?}");
}

/// A capture whose body was left out for a secret's sake.
fn redacted() -> Capture {
    let mut capture = capture("POST", "/n/1", "");
    capture.row.redacted = true;
    capture.request.redacted = "whole".to_owned();
    capture
}

/// A capture of whose body only the first bytes are there.
fn truncated() -> Capture {
    let mut capture = capture("POST", "/n/1", "{");
    (capture.row.truncated, capture.request.truncated) = (true, true);
    capture.request.ended = false;
    capture
}

/// A capture with a token in the place of a value.
fn hidden() -> Capture {
    capture("POST", "/n/1", r#"{"pin": "rdt_abcdefghijklmnopqrstuvwx27"}"#)
}

#[tokio::test]
async fn a_restore_stops_at_what_is_not_whole_and_its_gate_stays_closed() {
    for gap in [redacted(), truncated(), hidden()] {
        let stack = restarted(vec![gap, capture("POST", "/n/2", "{}")]).await;
        let id = stack.start_replay(RESTORE).await;
        let view = stack.rest(id).await;
        check(&stack, &view, (ReplayState::Interrupted, 1, false));
        assert!(view.detail.contains("step 1"), "{}", view.detail);
        assert_eq!(stack.upstream.log().len(), 0);
        stack.replays.resume(id, None).await.unwrap();
        let view = stack.rest(id).await;
        check(&stack, &view, (ReplayState::Finished, 1, false));
        assert!(view.detail.contains("gate"), "{}", view.detail);
        assert_eq!(view.left_out.values().sum::<u64>(), 1, "{view:#?}");
        assert_eq!(stack.upstream.targets(), ["/n/2"]);
    }
}

#[tokio::test]
async fn a_restore_that_goes_on_tells_what_is_missing() {
    let stack = restarted(vec![redacted(), capture("POST", "/n/2", "{}")]).await;
    let view = stack.run(SKIPS).await;
    check(&stack, &view, (ReplayState::Finished, 1, false));
    assert_eq!((view.counts.skipped, view.counts.answered), (1, 1), "{view:#?}");
}

#[tokio::test]
async fn what_changed_nothing_is_not_missing() {
    let mut refused = redacted();
    refused.row.status = Some(409);
    let stack = restarted([vec![refused], posts(1)].concat()).await;
    let view = stack.run(RESTORE).await;
    check(&stack, &view, (ReplayState::Finished, 0, true));
}

#[tokio::test]
async fn errors_before_a_stop_still_count_after_it() {
    let stack = restarted(vec![
        broken("/n/1"),
        capture("PUT", "/hold/1", "{}"),
        capture("POST", "/n/2", "{}"),
    ])
    .await;
    let id = stack.start_replay(CONTINUES).await;
    stack.upstream.held().await;
    let stack = stack.kill().await;
    stack.upstream.release();
    stack.replays.resume(id, None).await.unwrap();
    stack.upstream.held().await;
    stack.upstream.release();
    let view = stack.rest(id).await;
    check(&stack, &view, (ReplayState::Finished, 2, false));
    assert_eq!((view.counts.errors, view.counts.answered), (1, 2), "{view:#?}");
}

#[tokio::test]
async fn an_answer_that_was_lost_and_came_again_keeps_no_gate_closed() {
    let stack = restarted(vec![capture("PUT", "/n/1", "{}")]).await;
    stack
        .upstream
        .script(|number, _| (number != 1).then(|| (201, "{}".to_owned())));
    let view = stack.run(RESTORE).await;
    check(&stack, &view, (ReplayState::Finished, 2, true));
    assert_eq!((view.counts.errors, stack.upstream.log().len()), (1, 2), "{view:#?}");
}

#[tokio::test]
async fn a_step_that_is_left_in_doubt_keeps_the_gate_closed() {
    let stack = restarted(posts(2)).await;
    stack
        .upstream
        .script(|number, _| (number != 1).then(|| (201, "{}".to_owned())));
    let view = stack.run(CONTINUES).await;
    check(&stack, &view, (ReplayState::Finished, 2, false));
}

#[tokio::test]
async fn a_restart_that_no_response_shows_ends_a_restore() {
    let stack = restarted(posts(2)).await;
    let boot = stack.upstream.boot();
    stack.upstream.script(move |number, executed| {
        // Its last response still shows the boot before.
        if number == 2 && executed.target == "/n/2" {
            "boot-9".clone_into(&mut boot.lock().unwrap());
        }
        Some((201, "{}".to_owned()))
    });
    let view = stack.run(RESTORE).await;
    assert_eq!(stack.upstream.log().len(), 2);
    check(&stack, &view, (ReplayState::Failed, 2, false));
}
