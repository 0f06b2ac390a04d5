//! Where a replay may go, what it is about there, and which boot it is.

use super::responses::restarted;
use super::{Stack, capture, posts};
use crate::app::replays::{ReplayError, ReplayState};
use crate::clock::UnixMillis;
use crate::store::captures::Captures as _;
use reprise_core::wire::Sealed;

/// A POST that this cluster answered.
fn of_cluster(cluster: &str, target: &str) -> crate::store::captures::Capture {
    let mut capture = capture("POST", target, "{}");
    capture.row.cluster = cluster.to_owned();
    capture
}

#[tokio::test]
async fn a_restore_of_a_cluster_sends_what_that_cluster_was_asked_and_imports() {
    let stack = restarted(vec![
        of_cluster("upstream", "/queue/1"),
        of_cluster("orders", "/orders/1"),
        of_cluster("", "/imported/1"),
    ])
    .await;
    let spec = r#"{"kind": "restore", "target": "shop"}"#;
    let plan = stack.replays.plan(&serde_json::from_str(spec).unwrap()).await.unwrap();
    assert_eq!(plan.sends, 2, "{plan:#?}");
    let view = stack.run(spec).await;
    assert_eq!(view.exit_code, Some(0), "{view:#?}");
    assert_eq!(stack.upstream.targets(), ["/queue/1", "/imported/1"]);
    assert!(!stack.boots.newest()[0].closed);
}

#[tokio::test]
async fn a_restore_of_the_targets_own_cluster_by_name_is_whole() {
    let stack = restarted(vec![
        of_cluster("upstream", "/queue/1"),
        of_cluster("orders", "/orders/1"),
    ])
    .await;
    let restore =
        |cluster: &str| format!(r#"{{"kind": "restore", "target": "shop", "query": {{"cluster": ["{cluster}"]}}}}"#);
    stack.run(&restore("orders")).await;
    assert!(stack.boots.newest()[0].closed);
    stack.run(&restore("upstream")).await;
    assert!(!stack.boots.newest()[0].closed);
    assert_eq!(stack.upstream.targets(), ["/orders/1", "/queue/1"]);
}

/// An installation whose replay of `captures` stopped at a question before the first step.
async fn interrupted(captures: Vec<crate::store::captures::Capture>) -> (Stack, i64) {
    let stack = Stack::start(captures).await;
    let id = stack.start_replay(r#"{"target": "shop", "interactive": true}"#).await;
    stack.until(id, |view| view.question.is_some()).await;
    stack.replays.interrupt(id).await.unwrap();
    stack.rest(id).await;
    (stack, id)
}

#[tokio::test]
async fn a_replay_does_not_go_on_at_another_place() {
    let other = |_: &str| "http://prod:80".to_owned();
    let below = |url: &str| format!("{url}prod");
    for moved in [&other as &dyn Fn(&str) -> String, &below] {
        let (stack, id) = interrupted(posts(2)).await;
        let url = moved(&format!("{}/", stack.upstream.url()));
        let stack = stack
            .configured(|target| target.url = crate::config::base(&url).unwrap())
            .await;
        let error = stack.replays.resume(id, None).await.unwrap_err();
        assert!(
            matches!(&error, ReplayError::Refused { why } if why.contains("prod")),
            "{error}"
        );
        let view = stack.replays.replay(id).await.unwrap();
        assert_eq!(view.state, ReplayState::Interrupted, "{view:#?}");
    }
}

#[tokio::test]
async fn a_replay_that_mutates_does_not_go_on_where_that_is_not_allowed_any_more() {
    let (stack, id) = interrupted(posts(2)).await;
    let stack = stack.configured(|target| target.allowed = false).await;
    let error = stack.replays.resume(id, None).await.unwrap_err();
    assert!(
        matches!(&error, ReplayError::Refused { why } if why.contains("allowed")),
        "{error}"
    );
    let stack = stack.configured(|target| target.allowed = true).await;
    stack.replays.resume(id, None).await.unwrap();
}

#[tokio::test]
async fn a_replay_that_only_reads_goes_on_where_mutations_are_not_allowed() {
    let (stack, id) = interrupted(vec![capture("GET", "/n/1", "")]).await;
    let stack = stack.configured(|target| target.allowed = false).await;
    stack.replays.resume(id, None).await.unwrap();
}

/// A GET whose body holds a token, for which `hunter2` is sealed.
fn sealed(stack: &Stack) -> crate::store::captures::Capture {
    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";
    let mut capture = capture("GET", &format!("/n/1?pin={TOKEN}"), "{}");
    capture.sealed = vec![Sealed {
        token: TOKEN.into(),
        value: b"hunter2".to_vec(),
    }];
    let key = stack.replays.parts().sealed.seal_key();
    key.seal(&mut capture.sealed).unwrap();
    capture
}

#[tokio::test]
async fn what_is_sealed_goes_only_where_the_configuration_allows_mutations() {
    for (allowed, sent) in [(true, vec!["/n/1?pin=hunter2".to_owned()]), (false, vec![])] {
        let stack = Stack::with(Vec::new(), |target| target.allowed = allowed).await;
        let capture = sealed(&stack);
        stack.store.import(vec![capture], UnixMillis(0)).await.unwrap();
        let view = stack.run(r#"{"target": "shop", "yes": true}"#).await;
        assert_eq!(stack.upstream.targets(), sent, "{view:#?}");
        assert_eq!(view.counts.skipped, u64::from(!allowed), "{view:#?}");
    }
}

/// The same place, spelled otherwise.
fn localhost(stack: &Stack) -> String {
    stack.upstream.url().replace("127.0.0.1", "localhost")
}

#[tokio::test]
async fn a_boot_that_is_restored_by_another_spelling_of_its_url_has_everything() {
    let stack = Stack::start(posts(2)).await;
    stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    let again = format!(
        r#"{{"kind": "restore", "target": "{}", "yes": true}}"#,
        localhost(&stack)
    );
    let view = stack.run(&again).await;
    assert_eq!((view.exit_code, view.counts.planned), (Some(0), 0), "{view:#?}");
    assert_eq!(stack.upstream.log().len(), 2);
}

#[tokio::test]
async fn one_restore_a_boot_runs_at_a_time() {
    let stack = Stack::start(vec![capture("POST", "/hold/1", "{}"), capture("POST", "/n/1", "{}")]).await;
    let first = stack.start_replay(r#"{"kind": "restore", "target": "shop"}"#).await;
    stack.upstream.held().await;
    let second = format!(
        r#"{{"kind": "restore", "target": "{}", "yes": true}}"#,
        localhost(&stack)
    );
    let view = stack.run(&second).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Interrupted, Some(3)),
        "{view:#?}"
    );
    assert!(view.detail.contains(&format!("replay {first} ")), "{}", view.detail);
    stack.upstream.release();
    stack.rest(first).await;
    stack.replays.resume(view.id, None).await.unwrap();
    let view = stack.rest(view.id).await;
    assert_eq!((view.exit_code, view.counts.planned), (Some(0), 0), "{view:#?}");
    assert_eq!(stack.upstream.targets(), ["/hold/1", "/n/1"]);
}

#[tokio::test]
async fn names_that_people_give_to_boots_are_of_one_place() {
    let stack = Stack::start(posts(2)).await;
    stack.upstream.reboot("");
    for url in [stack.upstream.url(), localhost(&stack)] {
        let spec = format!(r#"{{"kind": "restore", "target": "{url}", "yes": true, "boot_id": "monday"}}"#);
        stack.run(&spec).await;
    }
    assert_eq!(stack.upstream.log().len(), 4);
}

#[tokio::test]
async fn a_name_for_a_boot_that_a_proxy_knows_by_another_is_refused() {
    let stack = restarted(posts(2)).await;
    stack.upstream.reboot("");
    let named = |name: &str| format!(r#"{{"kind": "restore", "target": "shop", "boot_id": "{name}"}}"#);
    let view = stack.run(&named("monday")).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Refused, Some(4)),
        "{view:#?}"
    );
    assert!(view.detail.contains("boot-1"), "{}", view.detail);
    let plan = stack
        .replays
        .plan(&serde_json::from_str(&named("monday")).unwrap())
        .await;
    assert_eq!(plan.unwrap().refusal, Some(view.detail));
    let view = stack.run(&named("boot-1")).await;
    assert_eq!(view.exit_code, Some(0), "{view:#?}");
    assert!(!stack.boots.newest()[0].closed);
}

#[tokio::test]
async fn a_name_that_people_give_does_not_stand_for_a_boot_of_the_proxies() {
    let stack = Stack::with(posts(1), |target| target.cluster = Some("upstream".to_owned())).await;
    stack.upstream.reboot("");
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "boot_id": "monday"}"#)
        .await;
    assert_eq!(view.exit_code, Some(0), "{view:#?}");
    assert!(stack.boots.newest().is_empty());
}

#[tokio::test]
async fn a_replay_of_nothing_is_refused_and_says_what_is_not_there() {
    let stack = Stack::start(posts(2)).await;
    for (spec, words) in [
        (r#"{"target": "shop", "query": {"id": "99"}}"#, "no capture 99"),
        (
            r#"{"target": "shop", "query": {"id": "1,98,99"}}"#,
            "no captures 98, 99",
        ),
        (r#"{"target": "shop", "start_from_id": 99999}"#, "from capture 99999 on"),
        (r#"{"target": "shop", "query": {"path": "/none"}}"#, "/none"),
        (r#"{"target": "shop", "count": 0}"#, "count"),
        (r#"{"target": "shop", "compare": {"noise_from": 77}}"#, "no replay 77"),
    ] {
        let error = stack.replays.start(serde_json::from_str(spec).unwrap(), "test").await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        match stack.replays.plan(&serde_json::from_str(spec).unwrap()).await {
            Ok(plan) => assert!(plan.refusal.unwrap().contains(words)),
            Err(error) => assert!(error.to_string().contains(words), "{error}"),
        }
    }
    assert!(stack.page().await.replays.is_empty());
    let nothing = r#"{"kind": "restore", "target": "shop", "query": {"path": "/none"}}"#;
    assert_eq!(stack.run(nothing).await.exit_code, Some(0));
}
