//! Many requests from many clients.

use reprise_tests::harness::{Connection, Request, Response, Stack};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// Sends `count` requests from `clients` clients, each on a connection that it keeps while it lasts; gives every request's
/// number and response.
pub(crate) async fn load(
    stack: &Stack,
    clients: usize,
    count: usize,
    make: impl Fn(&Stack, usize) -> Request + Send + Sync + 'static,
) -> Vec<(usize, Response)> {
    let requests: Arc<Vec<_>> = Arc::new((0..count).map(|n| make(stack, n)).collect());
    let (next, to) = (Arc::new(AtomicUsize::new(0)), stack.address());
    let mut sending = JoinSet::new();
    for _ in 0..clients {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        sending.spawn(async move {
            let (mut connection, mut responses) = (None, Vec::new());
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(n) else {
                    return responses;
                };
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => Connection::open(to).await,
                };
                let response = open.send(request).await;
                if response.status < 500 && response.complete {
                    connection = Some(open);
                }
                responses.push((n, response));
            }
        });
    }
    sending.join_all().await.into_iter().flatten().collect()
}
