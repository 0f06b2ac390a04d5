//! The seed's story: a volatile system loses its state, and is brought back.

use super::{replayed, restore};
use reprise_tests::harness::{Connection, Ran, Relay, Settings, Stack, free_port};
use serde_json::{Value, json};

fn settings() -> Settings {
    Stack::builder().captures(&json!({}))
}

/// Posts five commands on one connection, and waits until they are captured; gives their captures.
async fn five_commands(stack: &Stack) -> Vec<Value> {
    let mut connection = Connection::open(stack.address()).await;
    for n in 1..=5 {
        let post = stack
            .post("/api/commands")
            .json(&json!({"command": format!("command {n}")}));
        assert_eq!(connection.send(&post).await.status, 201);
    }
    stack.replayd().captured("path=/api/commands", 5).await
}

/// Reads the queue's commands, past Envoy.
async fn queue(stack: &Stack) -> Vec<Value> {
    let upstream = stack.upstream().address();
    let queue = stack.request("GET", "/api/commands").to(upstream).send().await.json();
    let commands = queue.as_array().unwrap().iter();
    commands.map(|entry| entry["command"].clone()).collect()
}

fn commands(numbers: std::ops::RangeInclusive<usize>) -> Vec<Value> {
    numbers.map(|n| json!(format!("command {n}"))).collect()
}

#[track_caller]
fn assert_code(ran: &Ran, code: i32) {
    assert_eq!(ran.code, code, "{}\n{}", ran.out, ran.err);
}

/// Case R01.
/// Case R02.
#[tokio::test]
async fn five_commands_are_restored_once_each_in_their_order_and_captured_no_second_time() {
    let Some(mut stack) = settings().start().await else {
        return;
    };
    five_commands(&stack).await;
    // What replayd signs is known as its own from then on.
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    stack.reboot_upstream().await;
    assert!(queue(&stack).await.is_empty());
    // Through Envoy: what is replayed passes the filter and is not captured.
    let target = format!("http://{}", stack.address());
    let ran = stack.replayd().run(&["restore", "--target", &target, "--yes"]).await;
    assert_code(&ran, 0);
    assert_eq!(queue(&stack).await, commands(1..=5));
    let seen = stack.upstream().seen("/api/commands").await;
    assert_eq!(seen.iter().filter(|seen| seen.method == "POST").count(), 5);
    let later = stack
        .post("/api/commands")
        .json(&json!({"command": "later"}))
        .send()
        .await;
    assert_eq!(later.status, 201);
    let all = stack.replayd().captured("path=/api/commands", 6).await;
    assert_eq!(
        all.len(),
        6,
        "the replayed ones came before the later one, and are not there"
    );
}

/// Case R01.
#[tokio::test]
async fn what_a_dead_process_forgot_is_restored_past_the_proxy() {
    let Some(mut stack) = settings().start().await else {
        return;
    };
    five_commands(&stack).await;
    stack.reboot_upstream().await;
    let view = restore(&stack, &json!({})).await;
    assert_eq!(
        (&view["state"], &view["exit_code"]),
        (&json!("finished"), &json!(0)),
        "{view:#}"
    );
    assert_eq!(view["counts"]["answered"], 5);
    assert_eq!(queue(&stack).await, commands(1..=5));
}

/// What their clients showed is redacted: to the proxy all steps come from one caller.
#[tokio::test]
async fn two_callers_with_one_key_are_both_replayed_through_the_proxy() {
    let settings = settings().document(json!({"idempotency": {"anonymous": "refuse"}}));
    let Some(stack) = settings.start().await else { return };
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    for caller in ["Bearer alice", "Bearer mallory"] {
        let post = stack
            .post("/two-callers")
            .key("k")
            .header("authorization", caller)
            .body("{}");
        assert_eq!(post.send().await.status, 201);
    }
    stack.replayd().captured("path=/two-callers", 2).await;
    let view = replayed(&stack, &json!({"query": {"path": "/two-callers"}})).await;
    assert_eq!(view["counts"]["answered"], 2, "{view:#}");
    assert_eq!(stack.upstream().seen("/two-callers").await.len(), 4, "each ran again");
}

/// Case R03.
#[tokio::test]
async fn a_replay_begins_where_it_is_told() {
    let Some(mut stack) = settings().start().await else {
        return;
    };
    let captures = five_commands(&stack).await;
    stack.reboot_upstream().await;
    let (base, third) = (
        format!("http://{}", stack.upstream().address()),
        captures[2]["id"].to_string(),
    );
    let arguments = [
        "replay",
        "--all",
        "--yes",
        "--base-url",
        &base,
        "--start-from-id",
        &third,
    ];
    let ran = stack.replayd().run(&arguments).await;
    assert!(ran.code == 0 || ran.code == 1, "{ran:?}");
    assert_eq!(queue(&stack).await, commands(3..=5));
}

#[tokio::test]
async fn the_last_mutations_are_replayed_by_both_names_of_the_seed() {
    let Some(mut stack) = settings().start().await else {
        return;
    };
    five_commands(&stack).await;
    let target = json!({"count": 2, "target": format!("http://{}", stack.upstream().address()), "yes": true});
    for path in ["/api/v1/replays/last", "/api/replay-last"] {
        stack.reboot_upstream().await;
        let view = stack.replayd().post(path, &target).await;
        let view = super::at_rest(stack.replayd(), &view["id"]).await;
        assert_eq!(view["counts"]["answered"], 2, "{path}: {view:#}");
        assert_eq!(queue(&stack).await, commands(4..=5), "{path}");
    }
}

/// Case R32.
#[tokio::test]
async fn a_commit_without_an_answer_has_one_effect_with_a_key_and_is_not_repeated_without() {
    let (honest, plain) = (free_port(), free_port());
    let toml = [target_toml("honest", honest, true), target_toml("plain", plain, false)].join("\n");
    let Some(stack) = settings().replayd_toml(&toml).start().await else {
        return;
    };
    // Both before the first restore: what a client asks of a boot that is known is not restored to it.
    for name in ["honest", "plain"] {
        let path = format!("/r32/{name}");
        let sent = stack
            .post(&path)
            .body("{}")
            .script(&json!({"body": "done"}))
            .send()
            .await;
        assert_eq!(sent.status, 201);
        stack.replayd().captured(&format!("path={path}"), 1).await;
    }
    for (name, port, state, exit_code, answered) in [
        ("honest", honest, "finished", 2, 1),
        ("plain", plain, "interrupted", 3, 0),
    ] {
        let path = format!("/r32/{name}");
        // Envoy protects the route and answers a repeated key; the relay loses what it says first.
        let relay = Relay::start(port, stack.address());
        relay.lose_answers(1);
        let spec = json!({"kind": "restore", "target": name, "query": {"path": path}});
        let view = super::started(stack.replayd(), &spec).await;
        let view = super::at_rest(stack.replayd(), &view).await;
        assert_eq!(
            (&view["state"], &view["exit_code"]),
            (&json!(state), &json!(exit_code)),
            "{name}: {view:#}"
        );
        assert_eq!(view["counts"]["answered"], answered, "{name}: {view:#}");
        assert_eq!(relay.lost(), 1, "{name}");
        assert_eq!(
            stack.upstream().executions(&path).await,
            2,
            "{name}: the client's, and one effect of the replay"
        );
    }
}

/// A target that is declared in `replayd.toml`.
fn target_toml(name: &str, port: u16, honours_keys: bool) -> String {
    format!("[targets.{name}]\nurl = \"http://127.0.0.1:{port}\"\nallowed = true\nhonours_keys = {honours_keys}")
}

/// Case R34.
#[tokio::test]
async fn keyed_requests_run_on_the_rebooted_upstream_although_their_answers_are_stored() {
    let Some(mut stack) = settings().start().await else {
        return;
    };
    for n in 0..5 {
        let post = stack.post(&format!("/r34/{n}")).key(&format!("R34-{n}")).body("{}");
        assert_eq!(post.send().await.status, 201);
        assert!(post.send().await.is_answer());
    }
    stack.replayd().captured("path=/r34/*", 5).await;
    stack.reboot_upstream().await;
    let view = replayed(
        &stack,
        &json!({"kind": "restore", "mode": "causal", "query": {"path": "/r34/*"}}),
    )
    .await;
    assert_eq!(view["counts"]["answered"], 5, "{view:#}");
    for n in 0..5 {
        assert_eq!(stack.upstream().executions(&format!("/r34/{n}")).await, 1, "{n}");
        let post = stack.post(&format!("/r34/{n}")).key(&format!("R34-{n}")).body("{}");
        assert!(post.send().await.is_answer(), "the client's answer still stands");
    }
}

/// Case R33.
#[tokio::test]
async fn a_second_restore_of_an_intact_target_sends_nothing() {
    let Some(mut stack) = settings().start().await else {
        return;
    };
    five_commands(&stack).await;
    stack.reboot_upstream().await;
    for (round, sent) in [(1, 5), (2, 0)] {
        let view = restore(&stack, &json!({})).await;
        assert_eq!(
            (&view["exit_code"], &view["counts"]["sent"]),
            (&json!(0), &json!(sent)),
            "{round}: {view:#}"
        );
        assert_eq!(queue(&stack).await, commands(1..=5), "{round}");
    }
}
