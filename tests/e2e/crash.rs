//! A worker's VM dies.

use super::{assert_answers, problem, verdict};
use reprise_tests::harness::{Connection, Request, Response, Settings, Stack, Stopwatch, Wasm, eventually};
use serde_json::json;
use std::time::Duration;

/// How many VMs were made in the place of dead ones.
const RELOADS: &str = "wasm.reprise.vm_reload_success";
/// The lease of these tests' claims.
const LEASE: Duration = Duration::from_millis(1500);

fn settings() -> Settings {
    Stack::builder()
        .wasm(Wasm::Trap)
        .reloads_at_once()
        .lease_ms(1500)
        .allow_log("")
}

/// Sends on a connection of its own until no dead VM answers in the filter's place.
async fn send(request: &Request) -> Response {
    eventually("a VM is there", Duration::from_secs(10), || async {
        let response = request.send().await;
        if response.status == 503 {
            Err(response.text())
        } else {
            Ok(response)
        }
    })
    .await
}

/// Kills VMs until each connection's worker has died: a connection stays with its worker.
async fn trap_all(stack: &Stack) {
    for _ in 0..16 {
        stack.post("/trap").header("x-reprise-trap", "1").send().await;
    }
    for _ in 0..16 {
        send(&stack.request("GET", "/awake")).await;
    }
    let reloads = stack.gauge(RELOADS).await;
    assert!(reloads >= 2, "{reloads} new VMs");
}

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

/// Case T88.
#[tokio::test]
async fn answers_outlive_the_vms_that_recorded_them() {
    let Some(stack) = settings().start().await else { return };
    let post = |n: usize| stack.post(&format!("/recorded/{n}")).key(&format!("K{n}")).body("{}");
    let mut firsts = Vec::new();
    for n in 0..8 {
        firsts.push(post(n).send().await);
    }
    trap_all(&stack).await;
    for (n, first) in firsts.iter().enumerate() {
        assert_answers(first, &send(&post(n)).await);
        assert_eq!(stack.runs(&post(n)).await, 1);
    }
}

/// Case T88.
#[tokio::test]
async fn keys_of_a_dead_vm_are_unknown_once_their_lease_and_a_third_are_over() {
    let Some(stack) = settings().start().await else { return };
    let post = |n: usize| {
        let post = stack.post(&format!("/orphan/{n}")).key(&format!("K{n}")).body("{}");
        post.script(&json!({"gate": "orphans"}))
    };
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..12 {
        let post = post(n);
        sending.spawn(async move { post.send().await });
    }
    stack.upstream().held("orphans", 12).await;
    let dying = Stopwatch::new();
    trap_all(&stack).await;
    let dead = Stopwatch::new();
    for n in 0..12 {
        eventually("the key is unknown", LEASE * 4 / 3 + Duration::from_secs(1), || async {
            let told = verdict(&send(&post(n)).await);
            if told == problem(409, "outcome-unknown") {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        })
        .await;
    }
    assert!(
        dead.elapsed() < LEASE * 4 / 3 + Duration::from_secs(1),
        "{:?} after the last trap",
        dead.elapsed()
    );
    assert!(
        dying.elapsed() >= LEASE * 2 / 3,
        "{:?} after the first trap",
        dying.elapsed()
    );
    stack.upstream().open("orphans").await;
    for n in 0..12 {
        assert_eq!(verdict(&send(&post(n)).await), problem(409, "outcome-unknown"));
        assert_eq!(stack.runs(&post(n)).await, 1, "{n}");
    }
}

/// Case T88.
#[tokio::test]
async fn a_request_whose_response_kills_the_vm_does_not_run_again() {
    let Some(stack) = settings().start().await else { return };
    let post = stack
        .post("/late")
        .key("K")
        .script(&json!({"headers": [["x-reprise-trap", "1"]]}));
    let first = post.send().await;
    assert!(first.status == 503 || first.status == 0, "{first:?}");
    assert_eq!(verdict(&send(&post).await), problem(409, "in-flight"));
    eventually("the key is unknown", LEASE * 4 / 3 + Duration::from_secs(1), || async {
        let told = verdict(&send(&post).await);
        if told == problem(409, "outcome-unknown") {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T88.
///
/// There are 256 slots: those of the dead are taken over.
#[tokio::test]
async fn three_hundred_dead_vms_leave_room_for_the_next() {
    const VMS: usize = 300;
    let Some(stack) = settings().lease_ms(300).workers(1).start().await else {
        return;
    };
    for n in 0..VMS {
        let claimed = send(&stack.post("/claimed").key(&format!("K{n}"))).await;
        assert_eq!(claimed.status, 201, "{n}: {claimed:?}");
        let mut connection = Connection::open(stack.address()).await;
        connection
            .send(&stack.post("/trap").header("x-reprise-trap", "1"))
            .await;
    }
    assert!(stack.gauge(RELOADS).await >= VMS as u64 - 1);
    assert!(send(&stack.post("/claimed").key("K0")).await.is_answer());
    assert_eq!(stack.upstream().executions("/claimed").await, VMS);
}
