//! Whether a route runs detached, and what contradicts it.

use super::error::{Place, Problems};
use super::{Durability, Execution, Mode, Policy, Routes};

/// A route asks for detached execution together with what contradicts it, or without a cluster for it: says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadExecution(pub &'static str);

impl Policy {
    /// Names the cluster through which first requests run detached; none if they run inline.
    ///
    /// # Errors
    /// [`BadExecution`] where a document could not see it: its rules and a route's metadata meet at the request only.
    pub fn detached(&self) -> Result<Option<&str>, BadExecution> {
        match self.detached_problem() {
            Some(problem) => Err(BadExecution(problem)),
            None if self.execution == Execution::Inline => Ok(None),
            None => Ok(self.detached_cluster.as_deref()),
        }
    }

    /// Tells what is wrong with detached execution, if it is asked for.
    fn detached_problem(&self) -> Option<&'static str> {
        let is_ahead = self.capture.enabled && self.capture.durability != Durability::Async;
        match (self.execution, self.mode) {
            (Execution::Inline, _) | (Execution::Detached, Mode::Off) => None,
            (Execution::Detached, Mode::Manual) => Some("\"detached\" contradicts mode: manual"),
            (Execution::Detached, _) if is_ahead => {
                Some("\"detached\" contradicts a capture.durability other than async")
            }
            (Execution::Detached, _) if self.detached_cluster.is_none() => {
                Some("\"detached\" needs a detached_cluster, beside it or in the document's idempotency")
            }
            (Execution::Detached, Mode::Optional | Mode::Required) => None,
        }
    }
}

impl Routes {
    /// Notes where detached execution is asked for together with what contradicts it: in the document's own fields, else
    /// in what each rule makes of them.
    pub(super) fn check_detached(&self, keys: &Place<'_>, rules: &Place<'_>, problems: &mut Problems) {
        if let Some(problem) = self.defaults().detached_problem() {
            return problems.add(&keys.field("execution"), format_args!("{problem}"));
        }
        for (at, policy) in self.placed_rules() {
            if let Some(problem) = policy.detached_problem() {
                let here = rules.item(at);
                problems.add(&here.field("idempotency").field("execution"), format_args!("{problem}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Overrides, Selection};
    use alloc::string::{String, ToString};
    use serde_json::{Value, json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(keys: &Value, rule: &Value) -> Result<Document, String> {
        let document = json!({"version": 1, "idempotency": keys, "rules": [rule]});
        let read = Document::from_value(&document).map_err(|errors| errors.to_string());
        read.map(Option::unwrap)
    }

    #[track_caller]
    fn refused(keys: &Value, rule: &Value, want: &str) {
        assert_eq!(read(keys, rule).unwrap_err(), want);
    }

    #[test]
    fn a_rule_runs_detached_through_its_own_cluster_or_the_documents() {
        let own = json!({"match": {"path": "/a"}, "idempotency": {"execution": "detached", "detached_cluster": "own"}});
        let bare = json!({"match": {"path": "/a"}, "idempotency": {"execution": "detached"}});
        for (keys, rule, want) in [
            (json!({}), own, "own"),
            (json!({"detached_cluster": "all"}), bare, "all"),
        ] {
            let routes = read(&keys, &rule).unwrap().routes;
            assert_eq!(
                routes.policy(routes.select(b"POST", b"", b"/a"), None).detached(),
                Ok(Some(want))
            );
            assert_eq!(routes.policy(Selection::NONE, None).detached(), Ok(None));
        }
    }

    #[test]
    fn a_cluster_is_needed() {
        let want = "\"detached\" needs a detached_cluster, beside it or in the document's idempotency";
        let detached = json!({"execution": "detached"});
        refused(&detached, &json!({}), &alloc::format!("idempotency.execution: {want}"));
        let rule = json!({"idempotency": detached});
        refused(
            &json!({}),
            &rule,
            &alloc::format!("rules[0].idempotency.execution: {want}"),
        );
    }

    #[test]
    fn an_upstream_that_decides_itself_does_not_run_detached() {
        let detached = json!({"execution": "detached", "detached_cluster": "d"});
        let manual = json!({"idempotency": {"mode": "manual"}});
        refused(
            &detached,
            &manual,
            "rules[0].idempotency.execution: \"detached\" contradicts mode: manual",
        );
        assert!(read(&detached, &json!({"idempotency": {"mode": "off"}})).is_ok());
    }

    #[test]
    fn what_is_written_ahead_does_not_run_detached() {
        let detached = json!({"execution": "detached", "detached_cluster": "d"});
        let ahead = json!({"capture": {"enabled": true, "durability": "write_ahead"}});
        let want = "rules[0].idempotency.execution: \"detached\" contradicts a capture.durability other than async";
        refused(&detached, &ahead, want);
        assert!(read(&detached, &json!({"capture": {"enabled": true}})).is_ok());
    }

    #[test]
    fn what_meets_at_the_request_is_found_there() {
        let routes = read(&json!({}), &json!({})).unwrap().routes;
        let overrides = Overrides::read(&json!({"idempotency": {"execution": "detached"}})).unwrap();
        assert_eq!(
            routes.policy(Selection::NONE, Some(&overrides)).detached(),
            Err(BadExecution(
                "\"detached\" needs a detached_cluster, beside it or in the document's idempotency"
            ))
        );
    }
}
