//! Exchanges that pass through Envoy, and what replayd has of them.

mod durability;
mod exact;
mod identity;
mod ledger;
mod secrets;
mod shapes;

use super::shared::add_clusters;
use reprise_tests::harness::{Replayd, Settings, Stack};
use serde_json::{Value, json};
use std::ops::Deref;
use tokio::sync::OnceCell;

static STACK: OnceCell<Option<Stack>> = OnceCell::const_new();

/// Gives the stack for all cases that only look at captures; none if something is missing.
///
/// Each case has a path of its own: its captures are those of that path.
pub(crate) async fn recorded() -> Option<Recorded> {
    let told = STACK.initialized();
    let stack = STACK.get_or_init(|| settings().start()).await.as_ref();
    if told && stack.is_none() {
        println!("skipped: the stack that captures did not start, see above");
    }
    stack.map(Recorded)
}

/// One test's use of the stack that captures; checks Envoy's log at its end.
pub(crate) struct Recorded(&'static Stack);

impl Deref for Recorded {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.0
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.check_log();
        }
    }
}

/// Captures into a replayd beside it: everything, each method included.
fn settings() -> Settings {
    Stack::builder()
        // A call that a busy machine lets time out is made again: no capture is lost by it.
        .allow_log("reprise: replayd does not take captures")
        .captures(&json!({}))
        .rule(json!({
            "match": {"path": "/any-method/{case}"},
            "capture": {"methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]},
        }))
        .route(json!({"match": {"prefix": "/h2/"}, "route": {"cluster": "upstream_h2"}}))
        .patch(add_clusters)
        .rule(json!({"match": {"path": "/limited/{case}"}, "capture": {"body_bytes_max": 65_536}}))
        .rule(json!({"match": {"path": "/ahead/{case}"}, "capture": {"durability": "write_ahead"}}))
        .rule(json!({"match": {"path": "/h2/ahead/{case}"}, "capture": {"durability": "write_ahead"}}))
        .rule(json!({
            "match": {"path": "/limited/ahead/{case}"},
            "capture": {"body_bytes_max": 65_536, "durability": "write_ahead"},
        }))
        .rule(json!({"match": {"path": "/both/{case}"}, "capture": {"durability": "write_ahead_response"}}))
}

/// The same, where replayd is away for a while: the filter says so.
fn unsteady() -> Settings {
    settings().allow_log("reprise: replayd ")
}

/// Gives the headers of a half of a capture, in order, without pseudo-headers.
pub(crate) fn headers(capture: &Value, half: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs = capture[half]["headers"]
        .as_array()
        .unwrap_or_else(|| panic!("{capture:#}"));
    pairs
        .iter()
        .map(|pair| (text(&pair["name"]), text(&pair["value"])))
        .filter(|(name, _)| !name.starts_with(':'))
        .collect()
}

/// Shows the only capture that `query` means, whole.
pub(crate) async fn only(replayd: &Replayd, query: &str) -> Value {
    let row = replayd.captured(query, 1).await.remove(0);
    replayd.capture(&row["id"]).await
}
