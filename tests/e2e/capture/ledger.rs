//! Nothing is lost in silence: what was seen is stored, waits, was left out, or was lost for a reason that has a name.

use super::super::load::load;
use super::{recorded, settings, unsteady};
use reprise_tests::harness::{Connection, Stack, Stats, Wasm, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What became of all exchanges, as Envoy's statistics tell it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Books {
    pub(crate) seen: f64,
    pub(crate) stored: f64,
    pub(crate) pending: f64,
    pub(crate) left_out: f64,
    /// By reason.
    pub(crate) dropped: Vec<(String, f64)>,
}

impl Books {
    pub(crate) fn of(stats: &Stats) -> Self {
        let of = |outcome: &str| stats.value(&format!("reprise_capture_total{{outcome=\"{outcome}\"}}"));
        let reasons = ["queue_full", "too_large", "memory", "replayd_down", "vm_restart"];
        Self {
            seen: stats.value("reprise_capture_seen_total"),
            stored: of("stored"),
            pending: stats.value("reprise_capture_pending"),
            left_out: of("filtered") + of("sampled_out"),
            dropped: reasons
                .map(|reason| (reason.to_owned(), of(&format!("dropped_{reason}"))))
                .into(),
        }
    }

    pub(crate) async fn now(stack: &Stack) -> Self {
        Self::of(&stack.stats_of("reprise_capture").await)
    }

    pub(crate) fn lost(&self) -> f64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }

    fn lost_by(&self, reason: &str) -> f64 {
        let known = self.dropped.iter().find(|(name, _)| name == reason);
        known.map_or(0.0, |(_, count)| *count)
    }

    #[track_caller]
    fn assert_balance(&self) {
        let sum = self.stored + self.pending + self.left_out + self.lost();
        assert!((self.seen - sum).abs() < 0.5, "the books do not balance: {self:?}");
    }

    /// Waits until `seen` exchanges are accounted for and nothing is pending.
    pub(crate) async fn settled(stack: &Stack, seen: usize) -> Self {
        eventually("every exchange is accounted for", Duration::from_secs(30), || async {
            let books = Self::now(stack).await;
            books.assert_balance();
            let is_settled = books.pending == 0.0 && (books.seen - seen as f64).abs() < 0.5;
            if is_settled {
                Ok(books)
            } else {
                Err(format!("{seen} were sent: {books:?}"))
            }
        })
        .await
    }
}

/// Case R10.
#[tokio::test]
async fn eight_clients_at_once_are_captured_as_they_were_executed() {
    let Some(stack) = recorded().await else { return };
    let responses = load(&stack, 8, 200, |stack, n| {
        stack.post(&format!("/r10/{n}")).body(n.to_string())
    })
    .await;
    assert!(responses.iter().all(|(_, response)| response.status == 201));
    let stored = targets(&stack.replayd().captured("path=/r10/*", 200).await);
    let executed = stack.upstream().all().await.into_iter().map(|seen| seen.target);
    let executed: BTreeSet<_> = executed.filter(|target| target.starts_with("/r10/")).collect();
    assert_eq!(stored, executed);
    assert_eq!(stored.len(), 200);
}

/// Gives the targets of captures, each once.
pub(crate) fn targets(captures: &[Value]) -> BTreeSet<String> {
    let target = |capture: &Value| capture["target"].as_str().map(str::to_owned);
    captures.iter().filter_map(target).collect()
}

/// Case R13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_at_full_rate_are_accounted_for_in_every_scrape() {
    const COUNT: usize = 50_000;
    let Some(stack) = settings().document(small_store()).start().await else {
        return;
    };
    let stack = Arc::new(stack);
    let is_over = Arc::new(AtomicBool::new(false));
    let scraping = tokio::spawn({
        let (stack, is_over) = (Arc::clone(&stack), Arc::clone(&is_over));
        async move {
            let (mut scrapes, mut beat) = (0, tokio::time::interval(Duration::from_millis(20)));
            while !is_over.load(Ordering::Relaxed) {
                Books::now(&stack).await.assert_balance();
                scrapes += 1;
                beat.tick().await;
            }
            scrapes
        }
    });
    let responses = load(&stack, 32, COUNT, |stack, n| {
        stack.post(&format!("/r13/{}", n % 97)).body("{}")
    })
    .await;
    assert!(responses.iter().all(|(_, response)| response.status == 201));
    let books = Books::settled(&stack, COUNT).await;
    is_over.store(true, Ordering::Relaxed);
    let scrapes = scraping.await.unwrap();
    println!("{scrapes} scrapes; at the end {books:?}");
    assert!(10 < scrapes);
    let stats = stack.replayd().get("/api/v1/captures/stats").await;
    assert_eq!(stats["count"].as_f64(), Some(books.stored), "{stats:#}");
}

/// A store of keys that costs no time at the start.
fn small_store() -> Value {
    json!({"idempotency": {"keys_max": 4096}})
}

/// Case R14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_replayd_costs_nothing_within_the_buffer_and_gaps_equal_drops_beyond() {
    // The least that is allowed: what 5 s bring does not fit, also without bodies.
    for (capture_bytes_max, loses) in [(16 << 20, false), (65_536, true)] {
        let limits = json!({"limits": {"capture_bytes_max": capture_bytes_max}});
        let Some(mut stack) = unsteady().document(small_store()).document(limits).start().await else {
            return;
        };
        let count = at_500_a_second(&mut stack).await;
        let books = Books::settled(&stack, count).await;
        println!("{books:?}");
        assert_eq!(0.0 < books.lost(), loses, "{books:?}");
        // What was lost at the end is known once the stream has told how far its numbers go.
        eventually("the gaps equal the drops", Duration::from_secs(10), || async {
            let stats = stack.replayd().get("/api/v1/captures/stats").await;
            let told = (stats["count"].as_f64(), stats["missing"].as_f64());
            let same = told == (Some(books.stored), Some(books.lost()));
            same.then_some(()).ok_or_else(|| format!("{books:?} {stats:#}"))
        })
        .await;
    }
}

/// Sends 500 requests a second with a body of 1 KiB for 7 seconds, 5 of which replayd is stopped; gives how many.
async fn at_500_a_second(stack: &mut Stack) -> usize {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let mut sending = tokio::task::JoinSet::new();
    let post = stack.post("/r14").body([b'x'; 1024]);
    for tenth in 0..350 {
        beat.tick().await;
        match tenth {
            50 => stack.replayd_mut().process().signal("STOP"),
            300 => stack.replayd_mut().process().signal("CONT"),
            _ => {}
        }
        let post = post.clone();
        sending.spawn(async move {
            let mut connection = Connection::open(post.address()).await;
            for _ in 0..10 {
                assert_eq!(connection.send(&post).await.status, 201);
            }
        });
    }
    sending.join_all().await;
    3500
}

/// Case R18.
#[tokio::test]
async fn a_dead_vm_begins_a_new_stream_and_its_loss_is_told() {
    let stack = settings()
        .wasm(Wasm::Trap)
        .reloads_at_once()
        .lease_ms(1000)
        .allow_log("");
    let Some(mut stack) = stack.workers(1).start().await else {
        return;
    };
    for n in 0..20 {
        assert_eq!(stack.post(&format!("/r18/before/{n}")).send().await.status, 201);
    }
    stack.replayd().captured("path=/r18/before/*", 20).await;
    // What is captured now stays in the VM, and dies with it.
    stack.replayd_mut().process().signal("STOP");
    let doomed = load(&stack, 4, 40, |stack, n| stack.post(&format!("/r18/doomed/{n}")))
        .await
        .len();
    // What a VM did since its last tick dies unheard of.
    eventually("the ledger knows of them", Duration::from_secs(10), || async {
        let books = Books::now(&stack).await;
        let known = (20 + doomed) as f64;
        (known <= books.seen).then_some(()).ok_or_else(|| format!("{books:?}"))
    })
    .await;
    stack.post("/trap").header("x-reprise-trap", "1").send().await;
    stack.replayd_mut().process().signal("CONT");
    for n in 0..20 {
        eventually("a VM is there", Duration::from_secs(10), || async {
            let status = stack.post(&format!("/r18/after/{n}")).send().await.status;
            (status == 201).then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
    }
    stack.replayd().captured("path=/r18/after/*", 20).await;
    let books = eventually("the loss is told", Duration::from_secs(20), || async {
        let books = Books::now(&stack).await;
        books.assert_balance();
        let is_told = books.pending == 0.0 && 0.0 < books.lost_by("vm_restart");
        if is_told { Ok(books) } else { Err(format!("{books:?}")) }
    })
    .await;
    let stats = stack.replayd().get("/api/v1/captures/stats").await;
    let came = stack.replayd().captures("path=/r18/doomed/*").await.len();
    // What was under way when the VM died may have come: nobody was left to hear of it.
    assert!(
        (doomed - came) as f64 <= books.lost_by("vm_restart"),
        "{books:?}: {came} of {doomed} came"
    );
    let epochs = stats["streams"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|stream| stream["received"] != json!([]));
    assert_eq!(epochs.count(), 2, "{stats:#}");
    assert!(Some(books.stored) <= stats["count"].as_f64(), "{books:?} {stats:#}");
}
