//! Which callbacks an exchange gets, and in which order.

use super::trace::{exchanges, traced};
use reprise_tests::harness::{Connection, Stack};
use serde_json::json;

/// How each exchange ends, whatever came before.
const END: [&str; 3] = ["log", "done", "delete"];

/// Gives a story with its end.
fn story(middle: &[&str]) -> Vec<String> {
    let whole = [&["context_create"], middle, &END].concat();
    whole.into_iter().map(str::to_owned).collect()
}

/// One worker: an exchange is found by its number, and each VM counts its own.
async fn stack() -> Option<Stack> {
    traced(Stack::builder().workers(1)).await
}

#[tokio::test]
async fn callbacks_come_in_the_order_of_the_exchange() {
    let Some(stack) = stack().await else { return };
    stack.post("/with-bodies").body("{}").send().await;
    let bare = stack.request("GET", "/without-bodies").script(&json!({"status": 204}));
    assert_eq!(bare.send().await.status, 204);
    let told = exchanges(&stack, 2).await;
    let with_bodies = [
        "request_headers",
        "request_body ended",
        "response_headers",
        "response_body ended",
    ];
    assert_eq!(told[0].story(), story(&with_bodies));
    assert_eq!(
        told[1].story(),
        story(&["request_headers ended", "response_headers ended"])
    );
}

#[tokio::test]
async fn the_body_of_a_request_that_is_held_at_its_headers_is_delivered() {
    const BYTES: usize = 200_000;
    let Some(stack) = stack().await else { return };
    let post = stack.post("/held").key("K").body("x".repeat(BYTES));
    post.send().await;
    assert!(post.send().await.is_answer());
    let told = exchanges(&stack, 2).await;
    let held = |at: usize| (told[at].result("request_headers"), told[at].request_bytes());
    assert_eq!([held(0), held(1)], [(Some(0), BYTES), (Some(1), BYTES)]);
    // The answer that the filter made goes through its own callbacks.
    let answered = [
        "request_headers",
        "request_body ended",
        "response_headers",
        "response_body ended",
    ];
    assert_eq!(told[1].story(), story(&answered));
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn of_a_client_that_hangs_up_the_log_tells_alone() {
    let Some(stack) = stack().await else { return };
    let mut connection = Connection::open(stack.address()).await;
    let post = stack.post("/hung-up").body("{}").script(&json!({"gate": "hung-up"}));
    connection.write(post.bytes()).await;
    stack.upstream().held("hung-up", 1).await;
    connection.hang_up();
    let told = exchanges(&stack, 1).await;
    assert_eq!(told[0].story(), story(&["request_headers", "request_body ended"]));
}

#[tokio::test]
async fn a_response_that_breaks_off_has_no_end() {
    let Some(stack) = stack().await else { return };
    let script = json!({"body_bytes": 2000, "pieces": 2, "body_gate": "breaks-off", "fault": "reset_mid_body"});
    let mut connection = Connection::open(stack.address()).await;
    connection
        .write(stack.post("/cut").body("{}").script(&script).bytes())
        .await;
    connection.read_until("\r\n\r\n").await;
    stack.upstream().open("breaks-off").await;
    let told = exchanges(&stack, 1).await;
    let seen = ["request_headers", "request_body ended", "response_headers"];
    assert_eq!(told[0].story(), story(&seen));
    assert!(told[0].times("response_body") > 0, "{told:?}");
}
