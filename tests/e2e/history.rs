//! Many clients, faults on every side, and an oracle: `REPRISE_SEED=… cargo test --test history` plays a history again.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "the seed is told on the terminal, and a wrong one ends the test"
)]

use reprise_tests::harness::Stack;
use reprise_tests::history::{Check, Size, VM_RELOADS, settings};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Case T84.
#[tokio::test]
async fn no_history_shows_a_double_run_or_a_wrong_answer() {
    const REQUESTS: u64 = 50_000;
    const RETAIN: Duration = Duration::from_secs(900);
    let Some(stack) = settings(RETAIN).start().await else {
        return;
    };
    let seed = seed();
    let size = Size {
        clients: 24,
        keys: 2500,
        traps: 8,
    };
    let mut check = Check::new(&stack, seed, size, RETAIN);
    while check.sent() < REQUESTS {
        check.round().await;
    }
    let tally = check.finish().await;
    assert_eq!(tally.faults(), 0, "REPRISE_SEED={seed}: {tally}");
    println!("REPRISE_SEED={seed}: {tally}");
    for said in [
        "answers",
        "firsts",
        "in-flight",
        "unknown",
        "reused",
        "local",
        "broken",
        "left",
    ] {
        assert!(
            tally.said(said) >= 100,
            "REPRISE_SEED={seed}: {said} is hardly there: {tally}"
        );
    }
    assert!(
        tally.outlasting >= 5,
        "REPRISE_SEED={seed}: clients hardly left what runs detached: {tally}"
    );
    survived_traps(&stack, 10).await;
}

async fn survived_traps(stack: &Stack, least: u64) {
    let reloads = stack.gauge(VM_RELOADS).await;
    assert!(reloads >= least, "{reloads} VMs came back after a trap");
}

fn seed() -> u64 {
    let given = std::env::var("REPRISE_SEED").ok();
    given.map_or_else(
        || RandomState::new().hash_one(0) >> 32,
        |seed| {
            seed.parse()
                .unwrap_or_else(|error| panic!("REPRISE_SEED={seed}: {error}"))
        },
    )
}
