//! What a test asks the demo upstream.

use super::client::Request;
use super::wait::eventually;
use crate::upstream::Execution;
use std::net::SocketAddr;
use std::time::Duration;

/// What a test asks the demo upstream.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamControl(SocketAddr);

impl UpstreamControl {
    /// Speaks to the upstream at `address`.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Tells where the upstream listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.0
    }

    /// Gives all requests to `target` (with its query), whole or broken off, in order.
    pub async fn seen(&self, target: &str) -> Vec<Execution> {
        let log = self.all().await;
        log.into_iter().filter(|seen| seen.target == target).collect()
    }

    /// Gives all requests, whole or broken off, in order.
    pub async fn all(&self) -> Vec<Execution> {
        let log = Request::new(self.0, "GET", "/_log").send().await.body;
        serde_json::from_slice(&log).expect("the upstream's log")
    }

    /// Takes all requests out of the log, whole or broken off, in order.
    pub async fn take(&self) -> Vec<Execution> {
        let log = Request::new(self.0, "DELETE", "/_log").send().await.body;
        serde_json::from_slice(&log).expect("the upstream's log")
    }

    /// Counts the executions of `target`.
    pub async fn executions(&self, target: &str) -> usize {
        self.seen(target).await.iter().filter(|seen| seen.ended).count()
    }

    /// Lets those go who wait at the gate, and all who come to it.
    pub async fn open(&self, gate: &str) {
        Request::new(self.0, "POST", &format!("/_gate/{gate}")).send().await;
    }

    /// Lets nobody pass who comes to the gate from now on.
    pub async fn close(&self, gate: &str) {
        Request::new(self.0, "DELETE", &format!("/_gate/{gate}")).send().await;
    }

    /// Waits until `count` requests wait at the gate.
    pub async fn held(&self, gate: &str, count: u64) {
        eventually(
            &format!("{count} requests wait at {gate}"),
            Duration::from_secs(10),
            || async {
                let waiting = Request::new(self.0, "GET", &format!("/_gate/{gate}"))
                    .send()
                    .await
                    .json()["waiting"]
                    .clone();
                if waiting == count {
                    Ok(())
                } else {
                    Err(format!("{waiting} wait"))
                }
            },
        )
        .await;
    }
}
