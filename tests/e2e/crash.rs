//! A worker's VM dies.

use super::{problem, verdict};
use reprise_tests::harness::{Stack, Wasm, eventually};
use serde_json::json;
use std::time::Duration;

/// Case T88.
#[tokio::test]
async fn no_key_runs_twice_after_a_trap_and_new_keys_run() {
    let stack = Stack::builder()
        .wasm(Wasm::Trap)
        .lease_ms(1000)
        .allow_log("")
        .start()
        .await;
    let Some(stack) = stack else { return };
    let held = |n: usize| {
        stack
            .post(&format!("/held/{n}"))
            .key(&format!("K{n}"))
            .script(&json!({"gate": "trap"}))
    };
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..8 {
        let post = held(n);
        sending.spawn(async move { post.send().await });
    }
    stack.upstream().held("trap", 8).await;
    stack.post("/trap").key("T").header("x-reprise-trap", "1").send().await;
    stack.upstream().open("trap").await;
    let responses = sending.join_all().await;
    assert!(
        responses.iter().any(|response| response.status == 503),
        "no worker has lost its requests"
    );
    for n in 0..8 {
        eventually("the outcome is settled", Duration::from_secs(10), || async {
            let response = held(n).send().await;
            let settled = response.is_answer() || verdict(&response) == problem(409, "outcome-unknown");
            if settled {
                Ok(())
            } else {
                Err(format!("{}: {}", response.status, response.text()))
            }
        })
        .await;
        assert_eq!(stack.upstream().executions(&format!("/held/{n}")).await, 1, "{n}");
    }
    let fresh = stack.post("/fresh").key("F").send_at_once(20).await;
    assert_eq!(
        fresh
            .iter()
            .filter(|response| response.status == 201 && !response.is_answer())
            .count(),
        1
    );
}
