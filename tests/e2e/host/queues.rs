//! Whom a shared queue wakes.

use super::trace::{Line, Way, lines, traced};
use reprise_tests::harness::{Stack, eventually};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often each queue was used on each thread.
type Uses = BTreeMap<(usize, String), usize>;

/// Counts the uses of queues; the queue is the argument `at`.
fn uses(lines: &[Line], (way, name): (Way, &str), at: usize) -> Uses {
    let mut uses = Uses::new();
    for line in lines.iter().filter(|line| line.way == way && line.name == name) {
        *uses.entry((line.numbers[at], line.thread.clone())).or_default() += 1;
    }
    uses
}

fn total(uses: &Uses) -> usize {
    uses.values().sum()
}

/// A request that is written ahead has its worker call itself through the worker's own queue.
#[tokio::test]
async fn a_queue_wakes_the_worker_that_made_it_and_no_other() {
    let ahead = Stack::builder().captures(&json!({"durability": "write_ahead"}));
    let Some(stack) = traced(ahead).await else { return };
    let (filled, woke) = eventually(
        "both workers are woken again and again",
        Duration::from_secs(20),
        || async {
            assert_eq!(stack.post("/woken").send().await.status, 201);
            let lines = lines(&stack);
            let filled = uses(&lines, (Way::HostCall, "enqueue_shared_queue"), 0);
            let woke = uses(&lines, (Way::Callback, "queue_ready"), 1);
            let often = filled.values().filter(|times| **times >= 3).count();
            if often == 2 && total(&filled) == total(&woke) {
                Ok((filled, woke))
            } else {
                Err(format!("filled {filled:?}, woke {woke:?}"))
            }
        },
    )
    .await;
    assert_eq!(filled, woke);
    let queues: Vec<_> = filled.keys().map(|(queue, _)| queue).collect();
    assert!(queues.len() == 2 && queues[0] != queues[1], "{filled:?}");
}
