//! What a replay makes of responses, and what it leaves to the next one.

use super::{Stack, capture, posts};
use crate::app::replays::{Decision, ReplayState};
use crate::store::ReplayStore as _;

/// A capture whose response has this body.
fn answered(target: &str, body: &str, response: &str) -> crate::store::captures::Capture {
    let mut capture = capture("POST", target, body);
    let half = capture.response.as_mut().unwrap();
    half.body = response.as_bytes().to_vec();
    half.body_len = response.len() as u64;
    capture
}

#[tokio::test]
async fn an_id_that_the_target_makes_anew_is_used_by_later_requests() {
    let stack = Stack::start(vec![
        answered("/orders", r#"{"sku": "a"}"#, r#"{"id": "ord_1a2b3c4d", "sku": "a"}"#),
        answered("/orders/ord_1a2b3c4d/items", r#"{"order_id": "ord_1a2b3c4d"}"#, "{}"),
    ])
    .await;
    stack.upstream.script(|_, executed| {
        let made = executed.target == "/orders";
        let body = if made {
            r#"{"sku": "a", "id": "ord_9z8y7x6w"}"#
        } else {
            "{}"
        };
        Some((201, body.to_owned()))
    });
    let view = stack.run(r#"{"target": "shop"}"#).await;
    let log = stack.upstream.log();
    assert_eq!(log[1].target, "/orders/ord_9z8y7x6w/items", "{view:#?}");
    assert_eq!(log[1].body, br#"{"order_id": "ord_9z8y7x6w"}"#);
    assert_eq!((view.exit_code, view.counts.matched), (Some(0), 2), "{view:#?}");
}

#[tokio::test]
async fn what_was_learned_outlives_a_stop() {
    let stack = Stack::start(vec![
        answered("/orders", "{}", r#"{"id": "ord_1a2b3c4d"}"#),
        answered("/orders/ord_1a2b3c4d/items", "{}", "{}"),
    ])
    .await;
    stack
        .upstream
        .script(|_, _| Some((201, r#"{"id": "ord_9z8y7x6w"}"#.to_owned())));
    let id = stack.start_replay(r#"{"target": "shop", "interactive": true}"#).await;
    let question = stack.question(id, |_| true).await;
    stack.decide(id, &question, Decision::Send).await.unwrap();
    stack
        .until(id, |view| view.question.as_ref().is_some_and(|asked| asked.step == 2))
        .await;
    let stack = stack.kill().await;
    let kept = stack.store.bindings(id).await.unwrap().concat();
    assert!(!kept.is_empty() && !kept.windows(12).any(|part| part == b"ord_9z8y7x6w"));
    stack.replays.resume(id, None).await.unwrap();
    let question = stack.question(id, |_| true).await;
    stack.decide(id, &question, Decision::Send).await.unwrap();
    stack.rest(id).await;
    assert_eq!(stack.upstream.targets(), ["/orders", "/orders/ord_9z8y7x6w/items"]);
}

#[tokio::test]
async fn a_response_that_differs_is_told_with_its_place() {
    let stack = Stack::start(vec![answered("/n/1", "{}", r#"{"total": 1.0, "state": "new"}"#)]).await;
    stack
        .upstream
        .script(|_, _| Some((201, r#"{"state": "old", "total": 1}"#.to_owned())));
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!((view.exit_code, view.counts.differed), (Some(1), 1), "{view:#?}");
    let steps = stack.replays.steps(view.id, None, 10).await.unwrap().steps;
    assert_eq!(steps[0].detail, ["json:/state differs"]);
    let ignored = stack
        .run(r#"{"target": "shop", "compare": {"ignore": ["/state"]}}"#)
        .await;
    assert_eq!(ignored.exit_code, Some(0), "{ignored:#?}");
    let learned = format!(r#"{{"target": "shop", "compare": {{"noise_from": {}}}}}"#, view.id);
    let learned = stack.run(&learned).await;
    assert_eq!(learned.exit_code, Some(0), "{learned:#?}");
}

#[tokio::test]
async fn noise_is_known_again_however_much_there_is() {
    let list = |at: usize| {
        let times: Vec<_> = (0..150).map(|n| (n * 10 + at).to_string()).collect();
        format!("[{}]", times.join(","))
    };
    let stack = Stack::start(vec![answered("/n/1", "{}", &list(0))]).await;
    stack.upstream.script(move |_, _| Some((201, list(1))));
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!(view.exit_code, Some(1), "{view:#?}");
    let learned = format!(r#"{{"target": "shop", "compare": {{"noise_from": {}}}}}"#, view.id);
    let learned = stack.run(&learned).await;
    assert_eq!(learned.exit_code, Some(0), "{learned:#?}");
}

#[tokio::test]
async fn what_differs_between_two_looks_is_noise() {
    let mut get = answered("/now", "", r#"{"at": 1, "name": "a"}"#);
    let line = [(&b":method"[..], &b"GET"[..]), (b":path", b"/now")];
    get.request.pairs.clear();
    reprise_core::http::write_pairs(line.into_iter(), &mut get.request.pairs);
    get.row.method = "GET".to_owned();
    let stack = Stack::start(vec![get]).await;
    stack
        .upstream
        .script(|number, _| Some((201, format!(r#"{{"at": {number}5, "name": "a"}}"#))));
    let view = stack.run(r#"{"target": "shop", "compare": {"learn": true}}"#).await;
    assert_eq!((view.exit_code, stack.upstream.log().len()), (Some(0), 2), "{view:#?}");
}

#[tokio::test]
async fn a_new_restore_does_not_send_what_an_earlier_one_left_in_doubt() {
    let stack = Stack::start(posts(3)).await;
    stack
        .upstream
        .script(|number, _| (number != 2).then(|| (201, "{}".to_owned())));
    let spec = r#"{"kind": "restore", "target": "shop"}"#;
    let first = stack.run(spec).await;
    assert_eq!(first.exit_code, Some(3), "{first:#?}");
    let second = stack.run(spec).await;
    assert_eq!(
        (second.state, second.exit_code),
        (ReplayState::Refused, Some(4)),
        "{second:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2"]);
    let third = stack
        .run(r#"{"kind": "restore", "target": "shop", "in_doubt": "skip"}"#)
        .await;
    assert_eq!(third.exit_code, Some(0), "{third:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3"]);
}

/// A target may act, and answer that it failed.
#[tokio::test]
async fn a_new_restore_does_not_send_what_may_have_run_behind_a_5xx() {
    let stack = Stack::start(posts(3)).await;
    stack
        .upstream
        .script(|number, _| Some((if number == 2 { 504 } else { 201 }, "{}".to_owned())));
    let spec = r#"{"kind": "restore", "target": "shop"}"#;
    let first = stack.run(spec).await;
    assert_eq!(first.exit_code, Some(1), "{first:#?}");
    let second = stack.run(spec).await;
    assert_eq!(second.exit_code, Some(4), "{second:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2"]);
    let third = stack
        .run(r#"{"kind": "restore", "target": "shop", "in_doubt": "skip"}"#)
        .await;
    assert_eq!(third.exit_code, Some(0), "{third:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3"]);
}

#[tokio::test]
async fn a_new_restore_sends_what_the_target_refused() {
    let stack = Stack::start(posts(2)).await;
    stack
        .upstream
        .script(|number, _| Some((if number == 2 { 404 } else { 201 }, "{}".to_owned())));
    let spec = r#"{"kind": "restore", "target": "shop"}"#;
    stack.run(spec).await;
    let second = stack.run(spec).await;
    assert_eq!(second.exit_code, Some(0), "{second:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/2"]);
}

#[tokio::test]
async fn a_new_boot_is_restored_by_itself_and_its_gate_opens() {
    use reprise_core::wire;
    let stack = Stack::with(posts(3), |target| {
        target.cluster = Some("upstream".to_owned());
        target.auto_restore = true;
    })
    .await;
    let (replays, boots) = (stack.replays.clone(), stack.boots.clone());
    tokio::spawn(crate::worker::restore::run(replays, std::future::pending()));
    let boot = wire::Boot {
        cluster: "upstream".to_owned(),
        boot_id: "boot-1".to_owned(),
        before: "boot-0".to_owned(),
    };
    boots.seen(&boot, crate::clock::UnixMillis(5000)).await.unwrap();
    let mut watch = boots.watch();
    watch
        .wait_for(|known| known.iter().all(|boot| !boot.closed))
        .await
        .unwrap();
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3"]);
}

#[tokio::test]
async fn what_was_redacted_and_not_sealed_is_left_out() {
    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";
    let body = format!(r#"{{"pin": "{TOKEN}"}}"#);
    let captures = vec![
        capture("POST", "/n/1", &body),
        capture("POST", &format!("/n/2?pin={TOKEN}"), "{}"),
        capture("POST", "/n/3", "{}"),
    ];
    let stack = Stack::start(captures).await;
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "on_mismatch": "skip"}"#)
        .await;
    assert_eq!((view.exit_code, view.counts.skipped), (Some(1), 2), "{view:#?}");
    assert_eq!(view.left_out.values().sum::<u64>(), 2, "{view:#?}");
    assert_eq!(stack.upstream.targets(), ["/n/3"]);
    stack.run(r#"{"target": "shop", "force": true}"#).await;
    assert_eq!(
        (stack.upstream.log().len(), &*stack.upstream.log()[1].body),
        (4, body.as_bytes())
    );
}

#[tokio::test]
async fn a_plan_and_its_run_agree_on_what_cannot_be_sent() {
    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";
    let mut hidden = capture("POST", "/n/1", &format!(r#"{{"password": "{TOKEN}"}}"#));
    hidden.row.redacted = true;
    let stack = Stack::start(vec![hidden, capture("POST", "/n/2", "{}")]).await;
    for spec in [
        r#"{"target": "shop"}"#,
        r#"{"kind": "restore", "target": "shop", "on_mismatch": "skip"}"#,
    ] {
        let plan = stack.replays.plan(&serde_json::from_str(spec).unwrap()).await.unwrap();
        assert_eq!((plan.sends, plan.stops_at), (1, None), "{plan:#?}");
        assert_eq!(plan.withheld[0].capture, 1);
        assert!(
            plan.withheld[0].why.starts_with("json:/password was redacted"),
            "{plan:#?}"
        );
        let view = stack.run(spec).await;
        assert_eq!((view.counts.answered, view.counts.skipped), (1, 1), "{view:#?}");
        assert_eq!(view.left_out, plan.left_out);
    }
    let stops = r#"{"kind": "restore", "target": "shop", "boot_id": "boot-1"}"#;
    let plan = stack.replays.plan(&serde_json::from_str(stops).unwrap()).await.unwrap();
    assert_eq!(plan.stops_at, Some(1), "{plan:#?}");
}

#[tokio::test]
async fn a_header_that_was_redacted_is_counted_where_no_credential_stands_for_it() {
    let mut with_header = capture("POST", "/n/1", "{}");
    let value = "Bearer rdt_abcdefghijklmnopqrstuvwx27";
    let pairs = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "shop"),
        (":path", "/n/1"),
        ("authorization", value),
    ];
    with_header.request.pairs.clear();
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    reprise_core::http::write_pairs(pairs, &mut with_header.request.pairs);
    let stack = Stack::start(vec![with_header]).await;
    let view = stack.run(r#"{"target": "shop"}"#).await;
    let left: Vec<_> = view.headers_left_out.into_iter().collect();
    assert_eq!(left, [("authorization".to_owned(), 1)]);
}

#[tokio::test]
async fn what_was_redacted_goes_out_if_the_target_told_it_anew() {
    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";
    let captures = vec![
        answered("/login", "{}", &format!(r#"{{"access_token": "{TOKEN}"}}"#)),
        capture("POST", "/n/1", &format!(r#"{{"access_token": "{TOKEN}"}}"#)),
    ];
    let mut captures = captures;
    for capture in &mut captures {
        capture.row.redacted = true;
    }
    let stack = Stack::start(captures).await;
    stack
        .upstream
        .script(|_, _| Some((201, r#"{"access_token": "live"}"#.to_owned())));
    let plan = serde_json::from_str(r#"{"target": "shop"}"#).unwrap();
    let plan = stack.replays.plan(&plan).await.unwrap();
    assert_eq!((plan.sends, plan.withheld.len()), (2, 0), "{plan:#?}");
    stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!(stack.upstream.log()[1].body, br#"{"access_token": "live"}"#);
}

/// An installation that restores the cluster `upstream` by itself, and saw it restart.
pub(super) async fn restarted(captures: Vec<crate::store::captures::Capture>) -> Stack {
    let stack = Stack::with(captures, |target| {
        target.cluster = Some("upstream".to_owned());
        target.auto_restore = true;
    })
    .await;
    let boot = reprise_core::wire::Boot {
        cluster: "upstream".to_owned(),
        boot_id: "boot-1".to_owned(),
        before: "boot-0".to_owned(),
    };
    stack.boots.seen(&boot, crate::clock::UnixMillis(5000)).await.unwrap();
    stack
}

#[tokio::test]
async fn a_restore_that_stopped_at_what_differed_is_not_resumed_by_itself() {
    let stack = restarted(posts(3)).await;
    stack
        .upstream
        .script(|number, _| Some((if number == 2 { 404 } else { 201 }, "{}".to_owned())));
    let view = stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert_eq!(view.state, ReplayState::Interrupted, "{view:#?}");
    let stack = stack.kill().await;
    let begun = crate::worker::restore::begin(&stack.replays, "shop", "boot-1").await;
    assert_eq!(begun.unwrap(), None);
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2"]);
}

#[tokio::test]
async fn a_restore_that_somebody_stopped_is_not_resumed_by_itself() {
    let stack = restarted(vec![capture("POST", "/hold/1", "{}"), capture("POST", "/n/1", "{}")]).await;
    let id = stack.start_replay(r#"{"kind": "restore", "target": "shop"}"#).await;
    stack.upstream.held().await;
    stack.replays.interrupt(id).await.unwrap();
    stack.upstream.release();
    stack.rest(id).await;
    let begun = crate::worker::restore::begin(&stack.replays, "shop", "boot-1").await;
    assert_eq!(begun.unwrap(), None);
    assert_eq!(stack.upstream.targets(), ["/hold/1"]);
}

#[tokio::test]
async fn a_restore_that_replayd_left_is_resumed_by_itself() {
    let held = || vec![capture("PUT", "/hold/1", "{}"), capture("POST", "/n/1", "{}")];
    let stack = restarted(held()).await;
    let id = stack.start_replay(r#"{"kind": "restore", "target": "shop"}"#).await;
    stack.upstream.held().await;
    let killed = stack.kill().await;
    let begun = crate::worker::restore::begin(&killed.replays, "shop", "boot-1").await;
    assert_eq!(begun.unwrap(), Some(id));
    let mut stack = restarted(held()).await;
    let id = stack.start_replay(r#"{"kind": "restore", "target": "shop"}"#).await;
    stack.upstream.held().await;
    let (stop, worker) = stack.worker.take().unwrap();
    stop.send(()).unwrap();
    stack.upstream.release();
    worker.await.unwrap();
    let begun = crate::worker::restore::begin(&stack.replays, "shop", "boot-1").await;
    assert_eq!(begun.unwrap(), Some(id));
}

#[tokio::test]
async fn a_gate_opens_only_when_everything_is_restored() {
    let stack = restarted(posts(3)).await;
    for part in [
        r#""start_from_id": 2"#,
        r#""excluded_urls": ["/n/1"]"#,
        r#""query": {"id__gte": ["2"]}"#,
    ] {
        let view = stack
            .run(&format!(r#"{{"kind": "restore", "target": "shop", {part}}}"#))
            .await;
        assert_eq!(view.exit_code, Some(0), "{view:#?}");
        assert!(stack.boots.newest()[0].closed, "{part}");
    }
    stack.run(r#"{"kind": "restore", "target": "shop"}"#).await;
    assert!(!stack.boots.newest()[0].closed);
    assert_eq!(stack.upstream.log().len(), 3);
}

#[tokio::test]
async fn rules_that_replace_values_are_neither_kept_in_clear_nor_shown() {
    let stack = Stack::start(vec![capture("POST", "/n/old-secret", "{}")]).await;
    let view = stack
        .run(r#"{"target": "shop", "map": ["old-secret=new-secret"]}"#)
        .await;
    assert_eq!(stack.upstream.targets(), ["/n/new-secret"]);
    assert_eq!(view.spec.map, ["…"]);
    let kept = stack.store.replay(view.id).await.unwrap().unwrap();
    assert!(!kept.replay.spec.contains("secret"), "{}", kept.replay.spec);
}

#[tokio::test]
async fn a_timed_replay_keeps_the_distances() {
    let mut captures = posts(40);
    for (at, capture) in captures.iter_mut().enumerate() {
        let ms = i64::try_from(at).unwrap() * 5;
        capture.row.began_at = crate::clock::UnixMillis(1000 + ms);
        capture.row.ended_us = 1;
    }
    let stack = Stack::start(captures).await;
    let view = stack.run(r#"{"target": "shop", "mode": "timed", "speed": 2}"#).await;
    assert_eq!((view.exit_code, view.counts.matched), (Some(0), 40), "{view:#?}");
    assert_eq!(view.lateness.count, 40);
    let took_ms = view.ended_ms.unwrap() - view.started_ms.unwrap();
    assert!(took_ms >= 97, "{took_ms}");
}

#[tokio::test]
async fn the_last_captures_go_oldest_first() {
    let stack = Stack::start(posts(5)).await;
    stack.run(r#"{"target": "shop", "count": 2}"#).await;
    assert_eq!(stack.upstream.targets(), ["/n/4", "/n/5"]);
}
