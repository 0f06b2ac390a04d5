//! Requests that replayd sends again, through Envoy and beside it.

mod boot;
mod kill;
mod order;
mod restore;
mod signature;

use reprise_tests::harness::{Replayd, Stack, eventually, merge};
use serde_json::{Value, json};
use std::time::Duration;

/// States in which nothing happens any more.
const AT_REST: [&str; 5] = ["interrupted", "finished", "cancelled", "refused", "failed"];

/// Replays through Envoy until it comes to rest; `spec` is merged over the usual one. Gives the view.
pub(crate) async fn replayed(stack: &Stack, spec: &Value) -> Value {
    at_rest(stack.replayd(), &begun(stack, spec).await).await
}

/// Begins what [`replayed`] waits for; gives its number.
pub(crate) async fn begun(stack: &Stack, spec: &Value) -> Value {
    let mut all = json!({"target": format!("http://{}", stack.address()), "yes": true, "mode": "serial"});
    merge(&mut all, spec.clone());
    started(stack.replayd(), &all).await
}

/// Restores the upstream, past Envoy, until it comes to rest; `spec` is merged over the usual one. Gives the view.
pub(crate) async fn restore(stack: &Stack, spec: &Value) -> Value {
    let url = format!("http://{}", stack.upstream().address());
    let mut all = json!({"kind": "restore", "target": url, "yes": true});
    merge(&mut all, spec.clone());
    at_rest(stack.replayd(), &started(stack.replayd(), &all).await).await
}

/// Starts a replay when its target's turn has come: one at a time, and tests share a target. Gives its number.
pub(crate) async fn started(replayd: &Replayd, spec: &Value) -> Value {
    eventually("the target is free", Duration::from_secs(300), || async {
        let said = replayd.request("POST", "/api/v1/replays").json(spec).send().await;
        if said.problem().as_deref() == Some("target-busy") {
            return Err(said.text());
        }
        assert_eq!(said.status, 201, "{}", said.text());
        Ok(said.json()["id"].clone())
    })
    .await
}

/// Waits until a replay has come to rest; gives its view.
pub(crate) async fn at_rest(replayd: &Replayd, id: &Value) -> Value {
    eventually("the replay comes to rest", Duration::from_secs(240), || async {
        let view = replayd.get(&format!("/api/v1/replays/{id}")).await;
        let is_over = view["state"].as_str().is_some_and(|state| AT_REST.contains(&state));
        if is_over { Ok(view) } else { Err(format!("{view:#}")) }
    })
    .await
}
