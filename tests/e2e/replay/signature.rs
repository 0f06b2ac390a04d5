//! Who may say that a request is a replay.

use super::super::capture::recorded;
use super::replayed;
use reprise_tests::harness::{Request, Stack};
use serde_json::json;

/// Case R37.
#[tokio::test]
async fn a_forged_signature_is_taken_off_and_its_request_captured() {
    let Some(stack) = recorded().await else { return };
    let forged = [
        "v1;kind=replay;id=1/1;attempt=1;scope=s;boot=b;body=-;expires=99999999999999;sig=00",
        "nonsense",
        "",
    ];
    for (n, signature) in forged.iter().enumerate() {
        let path = format!("/r37/forged-{n}");
        let post = stack.post(&path).header("replayd-signature", signature).body("{}");
        assert_eq!(post.send().await.status, 201);
        assert_eq!(stack.upstream().seen(&path).await[0].header("replayd-signature"), None);
        stack.replayd().captured(&format!("path={path}"), 1).await;
    }
}

/// Captures one request and replays it past Envoy, where its signature can be seen; gives what was sent.
async fn signed(stack: &Stack, path: &str) -> Request {
    assert_eq!(stack.post(path).body("{}").send().await.status, 201);
    stack.replayd().captured(&format!("path={path}"), 1).await;
    // To the upstream itself: nobody there takes the signature off.
    let url = format!("http://{}", stack.upstream().address());
    let view = replayed(stack, &json!({"target": url, "query": {"path": path}})).await;
    assert_eq!(view["counts"]["answered"], 1, "{view:#}");
    let sent = stack.upstream().seen(path).await.remove(1);
    let mut copy = stack.post(path).body("{}");
    for (name, value) in &sent.headers {
        if !["content-length", "connection", "accept-encoding"].contains(&name.as_str()) {
            copy = copy.header(name, value);
        }
    }
    assert!(sent.header("replayd-signature").is_some(), "{sent:?}");
    copy
}

/// Case R37.
#[tokio::test]
async fn a_copied_signature_is_refused_within_its_time() {
    let Some(stack) = recorded().await else { return };
    let path = "/r37/copied";
    let copy = signed(&stack, path).await;
    let before = stack.upstream().seen(path).await.len();
    let first = copy.send().await;
    let second = copy.send().await;
    assert_eq!((first.status, second.status), (201, 409), "{first:?} {second:?}");
    assert_eq!(second.problem().as_deref(), Some("signature-used"));
    let seen = stack.upstream().seen(path).await;
    assert_eq!(seen.len(), before + 1);
    assert_eq!(seen[before].header("replayd-signature"), None);
    stack.replayd().captured(&format!("path={path}"), 1).await;
    // With another body it is not what was signed: a client's request like any other.
    let changed = copy.body("{ }").send().await;
    assert_eq!(changed.status, 201, "{changed:?}");
    stack.replayd().captured(&format!("path={path}"), 2).await;
}

/// Case R37.
#[tokio::test]
async fn a_copied_signature_is_worth_nothing_after_its_time() {
    let Some(stack) = recorded().await else { return };
    let path = "/r37/late";
    let copy = signed(&stack, path).await;
    super::eventually("its time is over", std::time::Duration::from_secs(30), || async {
        let sent = stack.replayd().captures(&format!("path={path}")).await.len();
        let response = copy.send().await;
        assert!(matches!(response.status, 201 | 409), "{response:?}");
        // A client's request is captured.
        (1 < sent)
            .then_some(())
            .ok_or_else(|| format!("{} {}", response.status, response.text()))
    })
    .await;
    let last = stack.upstream().seen(path).await.pop().unwrap();
    assert_eq!(last.header("replayd-signature"), None);
}
