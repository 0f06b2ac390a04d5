//! Who may see captures, and from where they come.

use super::super::load::load;
use super::ledger::targets;
use super::{recorded, unsteady};
use reprise_tests::harness::Request;
use serde_json::{Value, json};
use std::time::Duration;

/// Case R11.
#[tokio::test]
async fn nobody_lists_or_clears_without_a_token() {
    let Some(stack) = recorded().await else { return };
    assert_eq!(stack.post("/r11").send().await.status, 201);
    stack.replayd().captured("path=/r11", 1).await;
    let asked = [
        ("GET", "/api/v1/captures"),
        ("GET", "/api/v1/captures/1"),
        ("GET", "/api/v1/captures/1/request"),
        ("GET", "/api/v1/captures/stats"),
        ("GET", "/api/v1/captures/export?format=ndjson"),
        ("DELETE", "/api/v1/captures?all=true"),
        ("GET", "/api/v1/requests-history/"),
        ("DELETE", "/api/v1/requests-history/clear/"),
        ("GET", "/api/v1/replays"),
        ("POST", "/api/v1/replays"),
        ("POST", "/api/v1/replays/last"),
        ("POST", "/api/replay-last"),
    ];
    let ingest_token = format!("Bearer {}", stack.replayd().ingest_token());
    let tokens = [
        None,
        Some("Bearer wrong"),
        Some("Basic YTpi"),
        Some(ingest_token.as_str()),
    ];
    for (method, target) in asked {
        for token in tokens {
            let request = stack.replayd().anonymous(method, target).body("");
            let request = token.map_or_else(
                || request.clone(),
                |token| request.clone().header("authorization", token),
            );
            let response = request.send().await;
            assert_eq!(response.status, 401, "{method} {target} {token:?}: {}", response.text());
        }
    }
    for target in ["/ingest/v1/batch", "/ingest/v1/journal", "/ingest/v1/policy"] {
        let response = Request::new(stack.replayd().ingest(), "POST", target)
            .body("")
            .send()
            .await;
        assert_eq!(response.status, 401, "{target}");
    }
    stack.replayd().captured("path=/r11", 1).await;
}

/// Case R24.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_of_one_name_whose_batches_overtake_each_other_are_stored_once_each() {
    const COUNT: usize = 2000;
    // So many that none of the workers is left without a connection.
    const CLIENTS: usize = 24;
    let Some(first) = unsteady().start().await else { return };
    let second = unsteady().shares(first.replayd()).relayed().start().await;
    let Some(second) = second else { return };
    second.relay().slow(Duration::from_millis(150));
    let send = |name: &'static str| {
        move |stack: &reprise_tests::harness::Stack, n: usize| {
            stack.post(&format!("/r24/{name}/{n}")).body([b'x'; 2000])
        }
    };
    let sent = tokio::join!(
        load(&first, CLIENTS, COUNT, send("first")),
        load(&second, CLIENTS, COUNT, send("second"))
    );
    for responses in [sent.0, sent.1] {
        assert!(responses.iter().all(|(_, response)| response.status == 201));
    }
    let captures = first.replayd().captured("path=/r24/*", 2 * COUNT).await;
    assert_eq!(targets(&captures).len(), 2 * COUNT);
    let stats = first.replayd().get("/api/v1/captures/stats").await;
    let streams = stats["streams"].as_array().unwrap();
    assert!(streams.iter().all(|stream| stream["missing"] == json!([])), "{stats:#}");
    assert!(4 <= streams.len(), "each worker has a stream: {stats:#}");
    assert!(
        streams
            .iter()
            .all(|stream| stream["instance"] == streams[0]["instance"])
    );
    let numbers = |capture: &Value| {
        let (epoch, seq) = capture["stream"].as_str()?.split_once('/')?;
        Some((epoch.to_owned(), seq.parse::<u64>().ok()?))
    };
    let mut order: Vec<_> = captures.iter().filter_map(numbers).collect();
    let received = order.clone();
    order.sort();
    let overtaken = received
        .windows(2)
        .any(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].1);
    assert!(overtaken, "no batch has overtaken another: the case shows nothing");
    order.dedup();
    assert_eq!(order.len(), 2 * COUNT);
}
