//! The cases of the spec that need no proxy.

use super::{Stack, capture, posts};
use crate::app::replays::{Decision, OnDoubt, ReplayError, ReplayState, Why};
use crate::format::{self, ImportFormat};
use crate::store::captures::Captures as _;
use crate::store::django_testing;
use reprise_core::wire::State;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Case R01.
/// Case R02.
#[tokio::test]
async fn a_restore_sends_exactly_what_was_captured_once_each_in_order() {
    let stack = Stack::start(posts(5)).await;
    let view = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(0)),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3", "/n/4", "/n/5"]);
    let stats = stack.store.capture_stats().await.unwrap();
    assert_eq!(stats.count, 5);
}

/// Case R03.
#[tokio::test]
async fn a_restore_starts_from_the_capture_that_is_named() {
    let stack = Stack::start(posts(5)).await;
    stack
        .run(r#"{"kind": "restore", "target": "shop", "start_from_id": 3}"#)
        .await;
    assert_eq!(stack.upstream.targets(), ["/n/3", "/n/4", "/n/5"]);
}

/// Case R12.
#[tokio::test]
async fn the_seeds_five_rows_are_imported_and_restored_in_their_order() {
    let seed = format::import(ImportFormat::Django, &django_testing::five()).unwrap();
    let stack = Stack::start(seed.captures).await;
    let view = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(view.exit_code, Some(0), "{view:#?}");
    let log = stack.upstream.log();
    let sent: Vec<_> = log
        .iter()
        .map(|each| {
            format!(
                "{} {} {}",
                each.method,
                each.target,
                String::from_utf8_lossy(&each.body)
            )
        })
        .collect();
    let want = [1, 2, 3, 4, 5].map(|n| format!(r#"POST /api/commands {{"command": "c{n}"}}"#));
    assert_eq!(sent, want);
}

/// Case R22.
#[tokio::test]
async fn what_was_aborted_is_not_restored() {
    let mut captures = posts(3);
    captures[1].row.state = State::Aborted;
    captures[1].row.status = None;
    captures[1].response = None;
    captures[1].request.ended = false;
    let stack = Stack::start(captures).await;
    let view = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/3"]);
    assert_eq!(view.left_out.values().sum::<u64>(), 1, "{view:#?}");
}

/// Case R30.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn max_sends_all_and_ends_by_itself() {
    let count = 50_000;
    let stack = Stack::start(posts(count)).await;
    let view = stack
        .run(r#"{"target": "shop", "mode": "max", "auto_map": false}"#)
        .await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(0)),
        "{view:#?}"
    );
    let sent: BTreeSet<_> = stack.upstream.targets().into_iter().collect();
    assert_eq!((stack.upstream.log().len(), sent.len()), (count, count));
}

/// Case R31.
#[tokio::test]
async fn a_replay_that_was_killed_and_resumed_sends_each_once() {
    let mut captures = posts(1000);
    captures.insert(400, capture("POST", "/hold/1", "{}"));
    let stack = Stack::start(captures).await;
    let id = stack
        .start_replay(r#"{"target": "shop", "mode": "causal", "in_doubt": "skip"}"#)
        .await;
    stack.upstream.held().await;
    let killed = stack.kill().await;
    killed.upstream.release();
    let view = killed.replays.replay(id).await.unwrap();
    assert_eq!((view.state, view.exit_code), (ReplayState::Interrupted, Some(3)));
    assert_eq!(view.counts.answered, 400, "{view:#?}");
    killed.replays.resume(id, None).await.unwrap();
    let view = killed.rest(id).await;
    let sent: BTreeSet<_> = killed.upstream.targets().into_iter().collect();
    assert_eq!((killed.upstream.log().len(), sent.len()), (1001, 1001), "{view:#?}");
    assert_eq!((view.counts.answered, view.counts.skipped), (1000, 1));
}

/// Case R32.
#[tokio::test]
async fn a_lost_response_is_in_doubt_and_not_sent_again_by_itself() {
    let stack = Stack::start(posts(3)).await;
    stack
        .upstream
        .script(|number, _| (number != 2).then(|| (201, "{}".to_owned())));
    let id = stack.start_replay(r#"{"target": "shop"}"#).await;
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(3)),
        "{view:#?}"
    );
    assert_eq!((view.counts.in_doubt, stack.upstream.log().len()), (1, 2));
    // Resumed without a word it stops there again, and sends nothing.
    stack.replays.resume(id, None).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!((view.exit_code, stack.upstream.log().len()), (Some(3), 2), "{view:#?}");
    stack.replays.resume(id, Some(OnDoubt::Skip)).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(0)),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3"]);
}

/// Case R32.
#[tokio::test]
async fn a_lost_response_is_sent_again_with_its_key_where_keys_are_honoured() {
    let stack = Stack::with(posts(3), |target| target.honours_keys = true).await;
    stack
        .upstream
        .script(|number, _| (number != 2).then(|| (201, "{}".to_owned())));
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!(
        (view.state, view.counts.matched),
        (ReplayState::Finished, 3),
        "{view:#?}"
    );
    let log = stack.upstream.log();
    let keys: Vec<_> = log.iter().map(|each| each.headers["idempotency-key"].clone()).collect();
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/2", "/n/3"]);
    assert_eq!(keys[1], keys[2]);
    assert_ne!(keys[0], keys[1]);
}

/// Case R33.
#[tokio::test]
async fn a_second_restore_of_one_boot_sends_nothing() {
    let stack = Stack::start(posts(5)).await;
    stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    let second = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(
        (second.state, second.exit_code),
        (ReplayState::Finished, Some(0)),
        "{second:#?}"
    );
    assert_eq!((second.counts.planned, stack.upstream.log().len()), (0, 5));
    stack.upstream.reboot("boot-2");
    stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(stack.upstream.log().len(), 5);
}

#[tokio::test]
async fn a_restore_of_a_boot_that_nobody_can_tell_is_refused() {
    let stack = Stack::start(posts(2)).await;
    stack.upstream.reboot("");
    let spec = r#"{"kind": "restore", "target": "shop"}"#;
    let view = stack.run(spec).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Refused, Some(4)),
        "{view:#?}"
    );
    assert!(view.detail.contains("--boot-id"), "{}", view.detail);
    let plan = stack.replays.plan(&serde_json::from_str(spec).unwrap()).await.unwrap();
    assert!(plan.refusal.is_some(), "{plan:#?}");
    assert!(stack.upstream.log().is_empty());
}

#[tokio::test]
async fn a_boot_that_is_named_by_hand_gets_everything_once() {
    let stack = Stack::start(posts(2)).await;
    stack.upstream.reboot("");
    let spec = r#"{"kind": "restore", "target": "shop", "boot_id": "monday"}"#;
    for _ in 0..2 {
        let view = stack.run(spec).await;
        assert_eq!((view.exit_code, &*view.boot_id), (Some(0), "monday"), "{view:#?}");
    }
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2"]);
    stack
        .run(r#"{"kind": "restore", "target": "shop", "boot_id": "tuesday"}"#)
        .await;
    assert_eq!(stack.upstream.log().len(), 4);
    // What the target itself tells is not overruled.
    stack.upstream.reboot("boot-3");
    assert_eq!(stack.run(spec).await.exit_code, Some(4));
}

/// A capture whose request cannot be made.
pub(super) fn broken(target: &str) -> crate::store::captures::Capture {
    let mut broken = capture("POST", target, "{}");
    broken.request.pairs.clear();
    broken
}

#[tokio::test]
async fn a_restore_stops_at_what_it_cannot_send() {
    let stack = Stack::start([posts(1), vec![broken("/n/2")], posts(1)].concat()).await;
    let spec = r#"{"kind": "restore", "target": "shop"}"#;
    let view = stack.run(spec).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(2)),
        "{view:#?}"
    );
    assert_eq!((view.counts.errors, stack.upstream.log().len()), (1, 1), "{view:#?}");
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "on_error": "continue"}"#)
        .await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(2)),
        "{view:#?}"
    );
    assert_eq!((view.counts.skipped, stack.upstream.log().len()), (1, 2), "{view:#?}");
}

#[tokio::test]
async fn a_replay_leaves_out_what_it_cannot_send() {
    let stack = Stack::start([vec![broken("/n/1")], posts(1)].concat()).await;
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!((view.exit_code, view.counts.skipped), (Some(0), 1), "{view:#?}");
}

/// Looks at a target within 10 s: five a second.
const TEN_S_OF_LOOKS: u64 = 50;

/// Case R36.
#[tokio::test]
async fn the_gate_waits_until_the_target_is_well() {
    let stack = Stack::start(posts(2)).await;
    let looks = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&looks);
    stack.upstream.script(move |_, executed| {
        let away = executed.target == "/" && seen.fetch_add(1, Ordering::SeqCst) < TEN_S_OF_LOOKS;
        Some((if away { 503 } else { 201 }, "{}".to_owned()))
    });
    let id = stack.start_replay(r#"{"kind": "restore", "target": "shop"}"#).await;
    stack.until(id, |view| view.state == ReplayState::WaitingGate).await;
    assert!(stack.upstream.log().is_empty());
    let view = stack.rest(id).await;
    assert_eq!((view.exit_code, stack.upstream.log().len()), (Some(0), 2), "{view:#?}");
    // The last look is at the end: it is still the same boot.
    assert_eq!(looks.load(Ordering::SeqCst), TEN_S_OF_LOOKS + 2);
}

#[tokio::test]
async fn a_target_that_never_gets_well_is_not_restored() {
    let stack = Stack::start(posts(2)).await;
    stack.upstream.script(|_, _| Some((503, String::new())));
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "wait_gate_ms": 100}"#)
        .await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(2)),
        "{view:#?}"
    );
    assert!(stack.upstream.log().is_empty());
}

/// Case R39.
#[tokio::test]
async fn a_mutation_to_a_target_that_is_not_allowed_is_refused() {
    let stack = Stack::with(posts(1), |target| target.allowed = false).await;
    for spec in [
        r#"{"target": "shop"}"#.to_owned(),
        r#"{"kind": "restore", "target": "shop"}"#.to_owned(),
        format!(r#"{{"target": "{}"}}"#, stack.upstream.url()),
    ] {
        let spec: crate::app::replays::ReplaySpec = serde_json::from_str(&spec).unwrap();
        let error = stack.replays.start(spec, "test").await.unwrap_err();
        assert!(matches!(error, ReplayError::Refused { .. }), "{error}");
    }
    assert!(stack.upstream.log().is_empty());
    let view = stack.run(r#"{"target": "shop", "yes": true}"#).await;
    assert_eq!((view.exit_code, stack.upstream.log().len()), (Some(0), 1));
}

/// Case R41.
#[tokio::test]
async fn a_replay_drains_on_sigterm_and_goes_on_when_it_is_resumed() {
    let mut captures = posts(6);
    captures.insert(3, capture("POST", "/hold/1", "{}"));
    let mut stack = Stack::start(captures).await;
    let id = stack.start_replay(r#"{"target": "shop"}"#).await;
    stack.upstream.held().await;
    let (stop, worker) = stack.worker.take().unwrap();
    stop.send(()).unwrap();
    stack.upstream.release();
    worker.await.unwrap();
    let view = stack.replays.replay(id).await.unwrap();
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(3)),
        "{view:#?}"
    );
    assert_eq!((view.counts.answered, stack.upstream.log().len()), (4, 4));
    stack.work();
    stack.replays.resume(id, None).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!((view.counts.matched, stack.upstream.log().len()), (7, 7), "{view:#?}");
}

#[tokio::test]
async fn a_restore_stops_at_the_first_mismatch_and_can_be_resumed() {
    let stack = Stack::start(posts(3)).await;
    stack
        .upstream
        .script(|number, _| Some((if number == 2 { 500 } else { 201 }, "{}".to_owned())));
    let id = stack.start_replay(r#"{"kind": "restore", "target": "shop"}"#).await;
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(1)),
        "{view:#?}"
    );
    assert_eq!(view.detail, "step 2 differs: status = 500 (was 201)");
    stack.replays.resume(id, None).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(1)),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3"]);
}

#[tokio::test]
async fn early_mutations_stop_a_restore_unless_they_may_be_kept() {
    let mut captures = posts(3);
    captures[2].row.boot_id = "boot-1".to_owned();
    let stack = Stack::start(captures).await;
    let view = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Refused, Some(4)),
        "{view:#?}"
    );
    assert_eq!((view.early, stack.upstream.log().len()), (vec![3], 0));
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "on_early": "keep"}"#)
        .await;
    assert_eq!(view.exit_code, Some(0), "{view:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2"]);
}

#[tokio::test]
async fn a_target_that_restarts_in_a_restore_ends_it() {
    let stack = Stack::start(posts(3)).await;
    let boot = stack.upstream.boot();
    stack.upstream.script(move |number, _| {
        if number == 1 {
            "boot-9".clone_into(&mut boot.lock().unwrap());
        }
        Some((201, "{}".to_owned()))
    });
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "concurrency": 1}"#)
        .await;
    assert_eq!(view.state, ReplayState::Failed, "{view:#?}");
    assert_eq!(stack.upstream.log().len(), 2);
}

#[tokio::test]
async fn an_interactive_replay_asks_before_each_step() {
    let stack = Stack::start(posts(3)).await;
    let id = stack.start_replay(r#"{"target": "shop", "interactive": true}"#).await;
    for (step, decision) in [(1, Decision::Send), (2, Decision::Skip), (3, Decision::Stop)] {
        let view = stack
            .until(id, |view| {
                view.question.as_ref().is_some_and(|asked| asked.step == step)
            })
            .await;
        let question = view.question.unwrap();
        assert_eq!(
            (question.why, &*question.target),
            (Why::Interactive, &*format!("/n/{step}"))
        );
        stack.decide(id, &question, decision).await.unwrap();
    }
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(3)),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1"]);
}

#[tokio::test]
async fn one_replay_a_target_runs_at_a_time() {
    let stack = Stack::start(vec![capture("POST", "/hold/1", "{}")]).await;
    let id = stack.start_replay(r#"{"target": "shop"}"#).await;
    stack.upstream.held().await;
    let spec = serde_json::from_str(r#"{"target": "shop"}"#).unwrap();
    let error = stack.replays.start(spec, "test").await.unwrap_err();
    assert!(matches!(error, ReplayError::Busy { by, .. } if by == id), "{error}");
    stack.replays.cancel(id).await.unwrap();
    stack.upstream.release();
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.counts.answered),
        (ReplayState::Cancelled, 1),
        "{view:#?}"
    );
    let error = stack.replays.resume(id, None).await.unwrap_err();
    assert!(matches!(error, ReplayError::WrongState { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_means_nothing_was_sent() {
    let stack = Stack::with(posts(2), |target| {
        target.url = crate::config::base("http://127.0.0.1:1").unwrap();
    })
    .await;
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(2)),
        "{view:#?}"
    );
    assert_eq!((view.counts.sent, view.counts.errors), (0, 1), "{view:#?}");
    let view = stack.run(r#"{"target": "shop", "on_error": "continue"}"#).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(2)),
        "{view:#?}"
    );
    assert_eq!((view.counts.skipped, view.counts.errors), (2, 2), "{view:#?}");
}

#[tokio::test]
async fn a_plan_shows_what_would_be_sent_and_sends_nothing() {
    let mut captures = posts(3);
    captures[1].row.status = Some(500);
    let stack = Stack::start(captures).await;
    let spec = serde_json::from_str(r#"{"kind": "restore", "target": "shop"}"#).unwrap();
    let plan = stack.replays.plan(&spec).await.unwrap();
    assert_eq!((plan.captures, plan.sends, plan.mutations), (3, 2, 2), "{plan:#?}");
    assert_eq!((plan.boot_id.as_str(), plan.refusal), ("boot-1", None));
    assert!(stack.upstream.log().is_empty());
}
