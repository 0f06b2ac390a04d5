//! What the host promises, asked of the host itself: the crash tests' build answers `x-reprise-probe`, and Envoy traces
//! what it calls.
//!
//! `scripts/matrix.sh` runs these on every version of Envoy that Reprise is for.

mod callbacks;
mod details;
mod queues;
mod trace;

use reprise_tests::harness::{Stack, Wasm, eventually, monotonic_micros};
use serde_json::{Value, json};
use std::time::Duration;

async fn stack() -> Option<Stack> {
    Stack::builder().wasm(Wasm::Trap).start().await
}

async fn probe(stack: &Stack, ask: &str) -> Value {
    stack.post("/probe").header("x-reprise-probe", ask).send().await.json()
}

#[tokio::test]
async fn a_value_is_inserted_only_where_no_value_ever_was() {
    let Some(stack) = stack().await else { return };
    let told = json!({
        "absent": true, "inserts": [true, false], "kept": true, "has_number": true, "again": [false, false],
    });
    assert_eq!(probe(&stack, "insert/a").await, told);
    assert_eq!(probe(&stack, "insert/b").await, told);
}

#[tokio::test]
async fn the_filters_clock_is_the_machines_monotonic_one() {
    let Some(stack) = stack().await else { return };
    let mut last = monotonic_micros();
    for _ in 0..20 {
        let told = probe(&stack, "clock").await;
        let [one, other] = [0, 1].map(|at| told["micros"][at].as_u64().unwrap());
        let now = monotonic_micros();
        assert!(last <= one && one <= other && other <= now, "{last} {told} {now}");
        last = now;
    }
}

#[tokio::test]
async fn one_of_two_workers_that_insert_a_key_at_once_wins() {
    const KEYS: usize = 400;
    let Some(stack) = stack().await else { return };
    let round = std::cell::Cell::new(0);
    let (one, other) = eventually("two workers meet at every key", Duration::from_secs(30), || async {
        round.set(round.get() + 1);
        let ask = format!("race/{}/{KEYS}", round.get());
        let (one, other) = tokio::join!(probe(&stack, &ask), probe(&stack, &ask));
        if one["met"] == KEYS && other["met"] == KEYS {
            Ok((one, other))
        } else {
            Err(format!("{} and {}", one["met"], other["met"]))
        }
    })
    .await;
    let won = |told: &Value| {
        told["won"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let mut winners = [won(&one), won(&other)].concat();
    winners.sort_unstable();
    assert!(winners.iter().copied().eq(0..KEYS as u64), "{one} {other}");
}
