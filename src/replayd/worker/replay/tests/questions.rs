//! What somebody is asked, and whose answer counts.

use super::{Stack, capture, posts};
use crate::app::replays::{Decision, ReplayError, ReplayState, Why};

#[tokio::test]
async fn an_answer_counts_for_its_own_question_only() {
    let stack = Stack::start(posts(3)).await;
    let id = stack.start_replay(r#"{"target": "shop", "interactive": true}"#).await;
    let first = stack.question(id, |asked| asked.step == 1).await;
    stack.decide(id, &first, Decision::Skip).await.unwrap();
    let late = stack.decide(id, &first, Decision::Send).await.unwrap_err();
    assert!(matches!(late, ReplayError::WrongState { .. }), "{late}");
    let second = stack.question(id, |asked| asked.step == 2).await;
    let late = stack.decide(id, &first, Decision::Send).await.unwrap_err();
    assert!(matches!(late, ReplayError::WrongState { .. }), "{late}");
    stack.decide(id, &second, Decision::Send).await.unwrap();
    stack.question(id, |asked| asked.step == 3).await;
    assert_eq!(stack.upstream.targets(), ["/n/2"]);
}

#[tokio::test]
async fn a_question_is_closed_when_it_is_answered() {
    let stack = Stack::start(vec![capture("POST", "/hold/1", "{}"), capture("POST", "/n/2", "{}")]).await;
    let id = stack.start_replay(r#"{"target": "shop", "interactive": true}"#).await;
    let asked = stack.question(id, |_| true).await;
    stack.decide(id, &asked, Decision::Send).await.unwrap();
    let view = stack.replays.replay(id).await.unwrap();
    assert_eq!((view.state, view.question), (ReplayState::Running, None));
    stack.upstream.held().await;
    stack.upstream.release();
    stack.question(id, |asked| asked.step == 2).await;
}

#[tokio::test]
async fn a_step_that_is_lost_again_is_another_question() {
    let stack = Stack::start(posts(1)).await;
    stack
        .upstream
        .script(|number, _| (number > 2).then(|| (201, "{}".to_owned())));
    let id = stack.start_replay(r#"{"target": "shop", "in_doubt": "ask"}"#).await;
    let first = stack.question(id, |asked| asked.why == Why::InDoubt).await;
    stack.decide(id, &first, Decision::Send).await.unwrap();
    let second = stack.question(id, |asked| asked.attempt > first.attempt).await;
    stack.decide(id, &first, Decision::Send).await.unwrap_err();
    assert_eq!(stack.upstream.log().len(), 2);
    stack.decide(id, &second, Decision::Send).await.unwrap();
    assert_eq!(stack.rest(id).await.exit_code, Some(2));
}
