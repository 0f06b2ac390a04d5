//! What becomes of requests and captures while replayd cannot be reached, or dies.

use super::ledger::{Books, targets};
use super::{only, recorded, settings, unsteady};
use reprise_tests::harness::{Connection, Stack, eventually};
use serde_json::json;
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Case R15.
/// Case T55.
#[tokio::test]
async fn without_replayd_async_capture_counts_and_write_ahead_refuses() {
    let Some(mut stack) = unsteady().start().await else {
        return;
    };
    stack.replayd_mut().kill();
    for n in 0..20 {
        let response = stack.post("/r15").body(n.to_string()).send().await;
        assert_eq!((response.status, response.problem()), (201, None));
        assert_eq!(response.header("reprise-protection"), None);
    }
    let keyed = stack.post("/r15").key("R15").body("{}").send().await;
    assert_eq!(keyed.status, 201);
    let books = Books::now(&stack).await;
    assert!(books.stored == 0.0, "{books:?}");
    eventually("they are counted", Duration::from_secs(5), || async {
        let books = Books::now(&stack).await;
        (21.0 <= books.seen).then_some(()).ok_or_else(|| format!("{books:?}"))
    })
    .await;

    let refused = stack.post("/ahead/r15").key("R15-ahead").body("{}");
    let response = refused.send().await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(
        response.problem().is_some() && response.header("retry-after").is_some(),
        "{response:?}"
    );
    assert_eq!(stack.upstream().seen("/ahead/r15").await.len(), 0);

    stack.replayd_mut().start_again().await;
    let response = eventually("the key was released", Duration::from_secs(10), || async {
        let response = refused.send().await;
        if response.status == 201 {
            Ok(response)
        } else {
            Err(response.text())
        }
    })
    .await;
    assert!(!response.is_answer());
    assert_eq!(stack.upstream().executions("/ahead/r15").await, 1);
}

#[tokio::test]
async fn what_is_written_ahead_is_on_disk_before_it_runs_and_ends_as_one_capture() {
    let Some(stack) = recorded().await else { return };
    let post = stack.post("/ahead/begun").body("now").script(&json!({"gate": "begun"}));
    let sending = tokio::spawn(async move { post.send().await });
    stack.upstream().held("begun", 1).await;
    let begun = only(stack.replayd(), "path=/ahead/begun").await;
    assert_eq!((&begun["state"], &begun["status"]), (&json!("begun"), &json!(null)));
    assert_eq!(stack.replayd().body(&begun["id"], "request").await, b"now");
    stack.upstream().open("begun").await;
    assert_eq!(sending.await.unwrap().status, 201);
    let ended = only(stack.replayd(), "path=/ahead/begun&state=completed").await;
    assert_eq!((&ended["id"], &ended["status"]), (&begun["id"], &json!(201)));

    let post = stack.post("/both/whole").body("now");
    assert_eq!(post.send().await.status, 201);
    // The last byte came: the response is on disk already.
    let both = stack.replayd().captures("path=/both/whole").await;
    assert_eq!((both.len(), &both[0]["state"]), (1, &json!("completed")), "{both:#?}");
}

#[tokio::test]
async fn a_response_waits_for_its_record_where_the_router_hides_its_headers() {
    let hiding = settings().patch(|bootstrap| {
        let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
        let filters = manager["typed_config"]["http_filters"].as_array_mut().unwrap();
        filters.last_mut().unwrap()["typed_config"]["suppress_envoy_headers"] = true.into();
    });
    let Some(stack) = hiding.start().await else { return };
    for n in 0..20 {
        let response = stack.post(&format!("/both/hidden-{n}")).body("now").send().await;
        assert_eq!(
            (response.status, response.header("x-envoy-upstream-service-time")),
            (201, None)
        );
        let there = stack.replayd().captures(&format!("path=/both/hidden-{n}")).await;
        assert_eq!(
            (there.len(), &there[0]["state"]),
            (1, &json!("completed")),
            "{there:#?}"
        );
    }
}

/// Case R16.
#[tokio::test]
async fn a_lost_acknowledgement_leads_to_no_second_capture() {
    let Some(stack) = unsteady().relayed().start().await else {
        return;
    };
    stack.relay().lose_answers(5);
    for n in 0..50 {
        assert_eq!(stack.post(&format!("/r16/{n}")).send().await.status, 201);
    }
    let books = Books::settled(&stack, 50).await;
    assert!(books.stored > 49.5 && stack.relay().lost() == 5, "{books:?}");
    assert_eq!(targets(&stack.replayd().captured("path=/r16/*", 50).await).len(), 50);
    let stats = stack.replayd().get("/api/v1/captures/stats").await;
    let duplicates: u64 = stats["streams"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| s["duplicates"].as_u64())
        .sum();
    assert!(0 < duplicates, "nothing came twice: {stats:#}");

    // A request that waits for its acknowledgement is no different.
    stack.relay().lose_answers(1);
    let response = stack.post("/ahead/r16").send().await;
    assert!(matches!(response.status, 201 | 503), "{response:?}");
    let executed = stack.upstream().executions("/ahead/r16").await;
    assert_eq!(executed, usize::from(response.status == 201));
    eventually("it is stored once", Duration::from_secs(10), || async {
        let count = stack.replayd().captures("path=/ahead/r16").await.len();
        assert!(count <= 1);
        (count == 1).then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
}

/// How often R17 kills replayd.
const KILLS: usize = 200;

/// Clients that go on all the while.
const CLIENTS: usize = 8;

/// Case R17.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_runs_without_its_capture_however_often_replayd_is_killed() {
    let Some(mut stack) = unsteady().start().await else {
        return;
    };
    let (answers, mut answered) = watch::channel((0_usize, 0_usize));
    let (answers, is_over) = (Arc::new(answers), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(goes_on(
            stack.post("/ahead/x"),
            client,
            Arc::clone(&answers),
            Arc::clone(&is_over),
        ));
    }
    for kill in 0..KILLS {
        // After a random number of answers: somewhere within the writing of the next ones.
        let more = usize::try_from(RandomState::new().hash_one(kill) % 12).unwrap();
        let made = answered.borrow_and_update().0;
        answered.wait_for(|(runs, _)| made + more < *runs).await.unwrap();
        stack.replayd_mut().kill();
        stack.replayd_mut().start_again().await;
    }
    is_over.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let (ran, refused) = *answered.borrow();
    let executed = stack.upstream().all().await;
    let executed: BTreeSet<_> = executed
        .into_iter()
        .filter(|seen| seen.ended)
        .map(|seen| seen.target)
        .collect();
    let all = stack.replayd().captures("path=/ahead/*").await;
    let stored = targets(&all);
    println!(
        "{KILLS} kills: {ran} ran, {refused} were refused, {} captures",
        all.len()
    );
    let without: Vec<_> = executed.difference(&stored).collect();
    assert!(
        without.is_empty(),
        "{} of {} ran without a capture: {without:?}",
        without.len(),
        executed.len()
    );
    assert!(KILLS < executed.len(), "only {} ran", executed.len());
    assert_eq!(stored.len(), all.len(), "something is stored twice");
}

/// Sends requests to targets of its own until it is over.
async fn goes_on(
    post: reprise_tests::harness::Request,
    client: usize,
    answers: Arc<watch::Sender<(usize, usize)>>,
    is_over: Arc<AtomicBool>,
) {
    let mut n = 0;
    while !is_over.load(Ordering::Relaxed) {
        n += 1;
        let response = post.clone().at(&format!("/ahead/r17-{client}-{n}")).send().await;
        assert!(matches!(response.status, 201 | 503), "{response:?}");
        answers.send_modify(|(runs, refusals)| {
            if response.status == 201 {
                *runs += 1
            } else {
                *refusals += 1
            }
        });
    }
}

/// Case R41.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayd_that_is_asked_to_end_loses_nothing_that_it_acknowledged() {
    let Some(mut stack) = unsteady().start().await else {
        return;
    };
    let (answers, mut answered) = watch::channel((0_usize, 0_usize));
    let (answers, is_over) = (Arc::new(answers), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(goes_on(
            stack.post("/ahead/x"),
            client,
            Arc::clone(&answers),
            Arc::clone(&is_over),
        ));
    }
    for _ in 0..5 {
        let made = answered.borrow_and_update().0;
        answered.wait_for(|(runs, _)| made + 50 < *runs).await.unwrap();
        let ended = stack.replayd_mut().terminate().await;
        assert_eq!(ended, "exit status: 0");
        stack.replayd_mut().start_again().await;
    }
    is_over.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let executed = stack.upstream().all().await;
    let executed: BTreeSet<_> = executed
        .into_iter()
        .filter(|seen| seen.ended)
        .map(|seen| seen.target)
        .collect();
    let stored = targets(&stack.replayd().captures("path=/ahead/*").await);
    assert!(
        executed.is_subset(&stored),
        "{:?}",
        executed.difference(&stored).collect::<Vec<_>>()
    );
    no_async_capture_is_lost_by_a_restart(&mut stack).await;
}

/// What is captured while replayd restarts waits in the filter.
async fn no_async_capture_is_lost_by_a_restart(stack: &mut Stack) {
    let mut connection = Connection::open(stack.address()).await;
    for n in 0..200 {
        if n == 50 {
            assert_eq!(stack.replayd_mut().terminate().await, "exit status: 0");
        }
        if n == 150 {
            stack.replayd_mut().start_again().await;
        }
        assert_eq!(connection.send(&stack.post(&format!("/r41/{n}"))).await.status, 201);
    }
    assert_eq!(targets(&stack.replayd().captured("path=/r41/*", 200).await).len(), 200);
}
