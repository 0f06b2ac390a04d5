//! What a response says, to be compared. The targets `e2e` and `containers` share it.

use reprise_tests::harness::Response;

/// Asserts that `repeat` is the recorded `first`: same status, same bytes, same headers but those that belong to one exchange.
#[track_caller]
pub(crate) fn assert_answers(first: &Response, repeat: &Response) {
    assert!(!first.is_answer(), "the first response carries no mark: {first:?}");
    assert!(repeat.is_answer(), "not an answer: {repeat:?}");
    assert_eq!(first.status, repeat.status);
    assert!(
        first.body == repeat.body,
        "the bodies differ: {} and {} bytes",
        first.body.len(),
        repeat.body.len()
    );
    assert_eq!(lasting(first), lasting(repeat));
}

/// Gives the headers that an answer repeats, in order.
fn lasting(response: &Response) -> Vec<&(String, String)> {
    const OF_ONE_EXCHANGE: [&str; 8] = [
        "connection",
        "content-length",
        "date",
        "idempotent-replayed",
        "server",
        "set-cookie",
        "transfer-encoding",
        "x-request-id",
    ];
    let lasts = |name: &str| !OF_ONE_EXCHANGE.contains(&name) && !name.starts_with("x-envoy-");
    response.headers.iter().filter(|(name, _)| lasts(name)).collect()
}

/// Gives status and problem, to compare both at once.
pub(crate) fn verdict(response: &Response) -> (u16, Option<String>) {
    (response.status, response.problem())
}

/// What [`verdict`] gives for a problem.
pub(crate) fn problem(status: u16, slug: &str) -> (u16, Option<String>) {
    (status, Some(slug.to_owned()))
}
