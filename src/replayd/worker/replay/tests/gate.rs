//! Which restores open the gate of their boot.

use super::cases::broken;
use super::responses::restarted;
use super::{Stack, capture, posts};
use crate::app::replays::{ReplayState, ReplayView};
use crate::clock::UnixMillis;
use crate::config::{OnEarly, Target, base};
use crate::store::captures::{Capture, Captures as _};

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

/// What a client did on the new boot before its restore, and two captures from before.
fn with_early() -> Vec<Capture> {
    let mut captures = posts(3);
    captures[2].row.boot_id = "boot-1".to_owned();
    captures
}

#[tokio::test]
async fn a_boot_that_stays_closed_tells_why_and_what_goes_on() {
    let stack = restarted(with_early()).await;
    let boot = &stack.boots.newest()[0];
    assert_eq!(stack.replays.last_of(boot).await.unwrap(), None);
    let view = stack.run(RESTORE).await;
    check(&stack, &view, (ReplayState::Refused, 4, false));
    let last = stack.replays.last_of(boot).await.unwrap().unwrap();
    assert!(last.detail.contains("1 early mutation: capture 3"), "{last:?}");
    assert_eq!(last.next, "replayd restore --target shop --on-early keep");
    let id = stack.start_replay(r#"{"kind": "restore", "target": "shop", "on_early": "keep", "interactive": true}"#);
    let id = id.await;
    stack.question(id, |_| true).await;
    stack.replays.interrupt(id).await.unwrap();
    stack.rest(id).await;
    let last = stack.replays.last_of(boot).await.unwrap().unwrap();
    assert_eq!(last.next, format!("replayd replays resume {id}"));
}

#[tokio::test]
async fn a_target_that_keeps_what_was_early_is_restored_unless_the_restore_says_otherwise() {
    let keeps = |target: &mut Target| target.on_early = OnEarly::Keep;
    let stack = restarted(with_early()).await.configured(keeps).await;
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "on_early": "stop"}"#)
        .await;
    check(&stack, &view, (ReplayState::Refused, 4, false));
    let view = stack.run(RESTORE).await;
    check(&stack, &view, (ReplayState::Finished, 0, true));
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2"]);
}

#[tokio::test]
async fn what_clients_do_after_a_restore_is_not_early() {
    let stack = restarted(posts(1)).await;
    let view = stack.run(RESTORE).await;
    check(&stack, &view, (ReplayState::Finished, 0, true));
    let mut later = capture("POST", "/n/2", "{}");
    later.row.boot_id = "boot-1".to_owned();
    later.row.began_at = UnixMillis(view.ended_ms.unwrap());
    let late = capture("POST", "/n/3", "{}");
    stack.store.import(vec![later, late], UnixMillis(0)).await.unwrap();
    let view = stack.run(RESTORE).await;
    check(&stack, &view, (ReplayState::Finished, 0, true));
    assert!(view.early.is_empty(), "{view:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/3"]);
}

#[tokio::test]
async fn nothing_is_early_where_nothing_is_to_be_restored() {
    let mut captures = posts(2);
    for capture in &mut captures {
        capture.row.boot_id = "boot-1".to_owned();
    }
    let view = Stack::start(captures).await.run(RESTORE).await;
    assert_eq!((view.exit_code, view.early), (Some(0), vec![]));
    assert_eq!(view.left_out.values().sum::<u64>(), 2, "{:?}", view.left_out);
}

#[tokio::test]
async fn a_restore_by_url_opens_the_boot_that_its_target_shows() {
    let stack = restarted(posts(1)).await;
    let elsewhere = |target: &mut Target| target.url = base("http://127.0.0.1:1").unwrap();
    let stack = stack.configured(elsewhere).await;
    let by_url = |more: &str| {
        format!(
            r#"{{"kind": "restore", "target": "{}", "yes": true{more}}}"#,
            stack.upstream.url()
        )
    };
    let part = stack.run(&by_url(r#", "query": {"path": "/n/*"}"#)).await;
    check(&stack, &part, (ReplayState::Finished, 0, false));
    let whole = stack.run(&by_url("")).await;
    check(&stack, &whole, (ReplayState::Finished, 0, true));
}

#[tokio::test]
async fn a_restore_by_url_opens_nothing_where_two_clusters_show_its_boot_id() {
    let stack = restarted(posts(1)).await;
    let elsewhere = |target: &mut Target| target.url = base("http://127.0.0.1:1").unwrap();
    let stack = stack.configured(elsewhere).await;
    let other = reprise_core::wire::Boot {
        cluster: "other".to_owned(),
        boot_id: "boot-1".to_owned(),
        before: "boot-0".to_owned(),
    };
    stack.boots.seen(&other, UnixMillis(6000)).await.unwrap();
    let url = stack.upstream.url();
    let view = stack
        .run(&format!(r#"{{"kind": "restore", "target": "{url}", "yes": true}}"#))
        .await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(0)),
        "{view:#?}"
    );
    assert!(stack.boots.newest().iter().all(|boot| boot.closed));
}

#[tokio::test]
async fn a_restore_by_url_opens_no_other_boot_than_it_saw() {
    let stack = restarted(posts(1)).await;
    let elsewhere = |target: &mut Target| target.url = base("http://127.0.0.1:1").unwrap();
    let stack = stack.configured(elsewhere).await;
    let url = stack.upstream.url();
    stack.upstream.reboot("boot-7");
    let view = stack
        .run(&format!(r#"{{"kind": "restore", "target": "{url}", "yes": true}}"#))
        .await;
    check(&stack, &view, (ReplayState::Finished, 0, false));
    stack.upstream.reboot("");
    let named = format!(r#"{{"kind": "restore", "target": "{url}", "yes": true, "boot_id": "boot-1"}}"#);
    let view = stack.run(&named).await;
    check(&stack, &view, (ReplayState::Finished, 0, false));
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
