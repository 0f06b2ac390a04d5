//! What nobody knows the outcome of stays in doubt until somebody decides.

use super::upstream::Upstream;
use super::{Stack, posts};
use crate::app::replays::{OnDoubt, ReplayState, StepState};
use crate::config::base;

const RESTORE: &str = r#"{"kind": "restore", "target": "shop"}"#;
const RESENDS: &str = r#"{"kind": "restore", "target": "shop", "in_doubt": "resend"}"#;

/// A target whose health somebody else tells, so that it can be away; it loses its first answer.
async fn forgetful() -> (Stack, Upstream) {
    let gate = Upstream::start().await;
    let url = base(&gate.url()).unwrap();
    let stack = Stack::with(posts(1), |target| target.gate = Some(url)).await;
    stack
        .upstream
        .script(|number, _| (number != 1).then(|| (201, "{}".to_owned())));
    (stack, gate)
}

async fn state(stack: &Stack, id: i64) -> StepState {
    stack.replays.steps(id, None, 10).await.unwrap().steps[0].state
}

#[tokio::test]
async fn a_resend_that_did_not_leave_stays_in_doubt() {
    let (mut stack, _gate) = forgetful().await;
    let id = stack.start_replay(RESTORE).await;
    assert_eq!(stack.rest(id).await.exit_code, Some(3));
    stack.upstream.leave().await;
    stack.replays.resume(id, Some(OnDoubt::Resend)).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(2)),
        "{view:#?}"
    );
    assert_eq!(
        (view.counts.in_doubt, state(&stack, id).await),
        (1, StepState::InDoubt),
        "{view:#?}"
    );
    stack.upstream.come_back().await;
    // Another restore does not send it either.
    let other = stack.run(RESTORE).await;
    assert_eq!(other.exit_code, Some(4), "{other:#?}");
    stack.replays.resume(id, Some(OnDoubt::Skip)).await.unwrap();
    let view = stack.rest(id).await;
    assert_eq!(view.state, ReplayState::Finished, "{view:#?}");
    assert_eq!(stack.upstream.log().len(), 1);
}

#[tokio::test]
async fn a_resend_by_another_restore_that_did_not_leave_stays_in_doubt() {
    let (mut stack, _gate) = forgetful().await;
    stack.run(RESTORE).await;
    stack.upstream.leave().await;
    let second = stack.run(RESENDS).await;
    assert_eq!(
        (second.exit_code, state(&stack, second.id).await),
        (Some(2), StepState::InDoubt)
    );
    stack.upstream.come_back().await;
    let third = stack.run(RESTORE).await;
    assert_eq!(
        (third.exit_code, stack.upstream.log().len()),
        (Some(4), 1),
        "{third:#?}"
    );
    let fourth = stack.run(RESENDS).await;
    assert_eq!(
        (fourth.exit_code, stack.upstream.log().len()),
        (Some(0), 2),
        "{fourth:#?}"
    );
}

#[tokio::test]
async fn a_restore_that_is_resumed_does_not_send_what_another_sent() {
    let stack = Stack::start(posts(3)).await;
    stack
        .upstream
        .script(|number, _| Some((if number == 1 { 200 } else { 201 }, "{}".to_owned())));
    let first = stack.run(RESTORE).await;
    assert_eq!(first.state, ReplayState::Interrupted, "{first:#?}");
    let second = stack.run(RESTORE).await;
    assert_eq!(
        (second.exit_code, stack.upstream.log().len()),
        (Some(0), 3),
        "{second:#?}"
    );
    stack.replays.resume(first.id, None).await.unwrap();
    let view = stack.rest(first.id).await;
    assert_eq!(
        (view.state, view.counts.skipped),
        (ReplayState::Finished, 2),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.log().len(), 3);
}
