//! Restores that leave out what something later makes up for.

use super::{Stack, capture};
use crate::store::captures::Capture;
use reprise_core::replay::compact::Rule;

const RESTORE: &str = r#"{"kind": "restore", "target": "shop"}"#;
const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";

/// A capture whose response had this status.
fn answered(method: &str, target: &str, body: &str, status: u16) -> Capture {
    let mut capture = capture(method, target, body);
    capture.row.status = Some(status);
    let mut pairs = Vec::new();
    let status = status.to_string();
    reprise_core::http::write_pairs([(&b":status"[..], status.as_bytes())].into_iter(), &mut pairs);
    let response = capture.response.as_mut().unwrap();
    (response.pairs, response.body) = (pairs, Vec::new());
    response.body_len = 0;
    capture
}

/// `PUT /items/1`, once created and then replaced.
fn created_and_replaced() -> Vec<Capture> {
    vec![
        answered("PUT", "/items/1", r#"{"a": 1}"#, 201),
        answered("PUT", "/items/1", r#"{"a": 2}"#, 200),
    ]
}

/// A target of whose items only the last state counts.
async fn keeps_items(captures: Vec<Capture>) -> Stack {
    Stack::with(captures, |target| {
        target.rules = vec![Rule::state("/items/{id}").unwrap()];
    })
    .await
}

fn bodies(stack: &Stack) -> Vec<String> {
    let log = stack.upstream.log().into_iter();
    log.map(|each| String::from_utf8(each.body).unwrap()).collect()
}

#[tokio::test]
async fn the_first_put_that_is_sent_creates_and_a_delete_may_find_nothing() {
    let mut captures = created_and_replaced();
    captures.push(answered("PUT", "/items/2", "{}", 200));
    captures.push(answered("DELETE", "/items/2", "", 204));
    let stack = keeps_items(captures).await;
    stack
        .upstream
        .script(|_, executed| Some((if executed.method == "DELETE" { 404 } else { 201 }, String::new())));
    let view = stack.run(RESTORE).await;
    assert_eq!((view.exit_code, view.counts.matched), (Some(0), 2), "{view:#?}");
    assert_eq!(stack.upstream.targets(), ["/items/1", "/items/2"]);
    // A replay is about the requests, and not about the state.
    let view = stack
        .run(r#"{"target": "shop", "compare": {"status_only": true}}"#)
        .await;
    assert_eq!(view.counts.differed, 3, "{view:#?}");
}

#[tokio::test]
async fn another_status_of_what_no_rule_is_about_differs() {
    let stack = keeps_items(vec![answered("PUT", "/other/1", "{}", 200)]).await;
    let view = stack.run(RESTORE).await;
    assert_eq!((view.exit_code, view.counts.differed), (Some(1), 1), "{view:#?}");
    let stack = keeps_items(created_and_replaced()).await;
    stack.upstream.script(|_, _| Some((409, String::new())));
    let view = stack.run(RESTORE).await;
    assert_eq!((view.exit_code, view.counts.differed), (Some(1), 1), "{view:#?}");
}

#[tokio::test]
async fn a_second_restore_does_not_bring_back_what_was_made_up_for() {
    let stack = keeps_items(created_and_replaced()).await;
    for _ in 0..2 {
        let view = stack.run(RESTORE).await;
        assert_eq!(view.exit_code, Some(0), "{view:#?}");
    }
    assert_eq!(bodies(&stack), [r#"{"a": 2}"#]);
}

#[tokio::test]
async fn what_a_client_did_on_the_new_boot_makes_up_for_what_was_before() {
    let mut captures = created_and_replaced();
    captures[1].row.boot_id = "boot-1".to_owned();
    let stack = keeps_items(captures).await;
    let view = stack
        .run(r#"{"kind": "restore", "target": "shop", "on_early": "keep"}"#)
        .await;
    assert_eq!((view.exit_code, view.early), (Some(0), vec![2]));
    assert_eq!(stack.upstream.log().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_sent_makes_up_for_nothing() {
    let mut captures = created_and_replaced();
    captures[1] = answered("PUT", "/items/1", &format!(r#"{{"pin": "{TOKEN}"}}"#), 200);
    captures[1].row.redacted = true;
    let stack = keeps_items(captures).await;
    stack
        .run(r#"{"kind": "restore", "target": "shop", "on_mismatch": "skip"}"#)
        .await;
    assert_eq!(bodies(&stack), [r#"{"a": 1}"#]);
}
