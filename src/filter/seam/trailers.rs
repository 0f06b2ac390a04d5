//! Trailers where requests and responses are held whole.

use crate::detached::answered;
use crate::fake::{Worker, World, map};
use crate::http::Flow;
use crate::metrics::Count;

const POST: [(&str, &str); 3] = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];

fn worker(more: &str) -> Worker {
    let document = super::small(&format!(
        r#"{more}"execution": "detached", "detached_cluster": "detached""#
    ));
    Worker::start(&World::new(), &document)
}

/// Has the internal listener answer the call `token`.
fn come_back(worker: &mut Worker, token: u32, status: &str, more: &[(&str, &str)], trailers: usize) {
    let proof = [
        (":status", status),
        ("reprise-details", "via_upstream"),
        ("reprise-attempts", "1"),
    ];
    let headers = [&proof[..], more].concat();
    *worker.host.call_headers.borrow_mut() = map(&headers);
    *worker.host.answer.borrow_mut() = (0, b"paid".to_vec());
    let sizes = (headers.len(), 4, trailers);
    assert!(answered(&worker.host, &mut worker.vm, token, sizes, 1));
}

#[test]
fn a_waiter_with_trailers_runs_inline_with_its_whole_body() {
    let mut worker = worker(r#""in_flight": "wait", "#);
    let (mut first, _) = worker.begin(&POST);
    worker.upload(&mut first, "body", true);
    worker.wake();
    let (mut waiter, _) = worker.begin(&POST);
    worker.upload(&mut waiter, "body", false);
    assert_eq!(waiter.request_trailers(&worker.host, &mut worker.vm), Flow::Pause);
    come_back(&mut worker, 1, "500", &[("reprise-effect", "none")], 0);
    worker.wake();
    assert_eq!(
        worker.host.resumed.borrow().len(),
        1,
        "the proxy sends it, with its trailers"
    );
    assert_eq!(worker.host.calls.borrow().len(), 1);
    worker.answer(&mut waiter, "201", "paid");
    assert_eq!(worker.post("k", "body").replied().body, b"paid");
    assert_eq!(worker.post("k", "").replied().kind(), "key-reused");
}

#[test]
fn a_request_that_was_held_for_its_keys_name_runs_inline_with_its_trailers() {
    let mut worker = worker(r#""encoder": "django", "#);
    let (mut first, flow) = worker.begin(&POST);
    assert_eq!(flow, Flow::Pause);
    worker.upload(&mut first, "body", false);
    assert_eq!(first.request_trailers(&worker.host, &mut worker.vm), Flow::Continue);
    worker.wake();
    assert!(worker.host.calls.borrow().is_empty());
}

/// Case T64.
#[test]
fn a_detached_response_with_trailers_is_not_kept_without_them() {
    let mut worker = worker("");
    let (mut first, _) = worker.begin(&POST);
    worker.upload(&mut first, "body", true);
    worker.wake();
    come_back(&mut worker, 1, "201", &[], 1);
    assert_eq!(worker.host.replies.borrow_mut().pop().unwrap().body, b"paid");
    first.log(&worker.host, &mut worker.vm);
    assert_eq!(worker.vm.metrics.pending(Count::EndTombstone), 1);
    assert_eq!(worker.post("k", "body").replied().kind(), "response-not-retained");
}
