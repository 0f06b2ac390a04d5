//! Times, sizes and replies of the connection manager and its virtual hosts.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;
use reprise_core::config::{Document, Durability, Execution, InFlight, Policy};

/// The document's own `hold_bytes_max`.
const HOLD_BYTES: u64 = 4_063_232;

/// Checks times and sizes.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    request_timeout(scene, report);
    local_replies(scene, report);
    body_limit(scene, report);
}

fn request_timeout(scene: &Scene<'_>, report: &mut Report) {
    if let Some(timeout) = scene
        .manager
        .field("request_timeout")
        .filter(|_| scene.manager.millis("request_timeout") != Some(0))
    {
        let text =
            "is set: a duplicate that is held would get 408 from Envoy; bound the upstream with the route's timeout";
        report.error(&timeout.place, text);
    }
}

/// Answers are local replies to Envoy: what rewrites those rewrites them.
fn local_replies(scene: &Scene<'_>, report: &mut Report) {
    if let Some(rewriting) = scene.manager.field("local_reply_config") {
        let text = "is set: it rewrites recorded answers too, so that a repeat gets other bytes than the first request";
        report.error(&rewriting.place, text);
    }
}

/// Tells whether something holds whole bodies.
fn holds_bodies(scene: &Scene<'_>) -> bool {
    let holds = |policy: &Policy| {
        policy.in_flight == InFlight::Wait || policy.execution == Execution::Detached || policy.encoder.needs_body()
    };
    scene.policies().iter().any(holds)
}

/// Tells how much of a body may be held, and by which field; none if no body is.
fn held_bytes(scene: &Scene<'_>) -> Option<Held> {
    let document = scene.document();
    let hold_bytes_max = document.map_or(HOLD_BYTES, |document| document.hold_bytes_max);
    // Signed replays are held to their ends; they come where something is captured.
    let is_held = holds_bodies(scene) || document.is_some_and(Document::captures);
    let held = is_held.then_some(Held {
        bytes: hold_bytes_max,
        field: "hold_bytes_max",
    });
    let captures = scene.policies().into_iter().map(|policy| policy.capture);
    let ahead = captures.filter(|capture| capture.durability != Durability::Async);
    let ahead = ahead.map(|capture| Held {
        bytes: capture.body_bytes_max.into(),
        field: "capture.body_bytes_max of what is written ahead",
    });
    held.into_iter().chain(ahead).max_by_key(|held| held.bytes)
}

/// How much of a body may be held.
#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u64,
    field: &'static str,
}

fn body_limit(scene: &Scene<'_>, report: &mut Report) {
    let least = held_bytes(scene);
    let Some(routes) = scene.manager.field("route_config") else {
        let text = "routes come from elsewhere: see that each virtual host sets request_body_buffer_limit";
        return report.warn(&scene.manager.place, text);
    };
    if routes.field("request_body_buffer_limit").is_some() {
        return one_limit(&routes, least, report);
    }
    for host in scene.virtual_hosts() {
        host_limit(&host, least, report);
    }
}

fn host_limit(host: &Node<'_>, least: Option<Held>, report: &mut Report) {
    let routes = host.items("routes");
    let forwarding: Vec<&Node<'_>> = routes.iter().filter(|route| route.field("route").is_some()).collect();
    let each = !forwarding.is_empty()
        && forwarding
            .iter()
            .all(|route| route.field("request_body_buffer_limit").is_some());
    if host.field("request_body_buffer_limit").is_some() || !each {
        one_limit(host, least, report);
    }
    for route in routes
        .iter()
        .filter(|route| route.field("request_body_buffer_limit").is_some())
    {
        one_limit(route, least, report);
    }
}

fn one_limit(node: &Node<'_>, least: Option<Held>, report: &mut Report) {
    let Some(limit) = node.number("request_body_buffer_limit") else {
        let text = "request_body_buffer_limit is needed, or duplicates with a large body get 413 at random";
        return report.error(&node.place, text);
    };
    if let Some(Held { bytes, field }) = least.filter(|least| limit <= least.bytes) {
        let text = format!("request_body_buffer_limit is {limit}; above {field} {bytes} is needed");
        report.error(&node.place, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, host, manager, sound, warnings};
    use serde_json::json;

    #[test]
    fn rewritten_local_replies_are_an_error() {
        errors(
            |envoy| manager(envoy)["local_reply_config"] = json!({"body_format": {"text_format": "x"}}),
            "rewrites recorded answers too",
        );
    }

    #[test]
    fn a_request_timeout_is_an_error() {
        errors(
            |envoy| manager(envoy)["request_timeout"] = json!("30s"),
            "would get 408",
        );
        sound(|envoy| manager(envoy)["request_timeout"] = json!("0s"));
    }

    #[test]
    fn a_virtual_host_without_a_body_limit_is_an_error() {
        errors(
            |envoy| drop(host(envoy)["request_body_buffer_limit"].take()),
            "request_body_buffer_limit is needed",
        );
    }

    #[test]
    fn a_body_limit_of_every_route_is_enough() {
        sound(|envoy| {
            drop(host(envoy)["request_body_buffer_limit"].take());
            host(envoy)["routes"][0]["request_body_buffer_limit"] = json!(1_048_576);
        });
    }

    #[test]
    fn a_body_limit_is_above_what_is_held() {
        errors(
            |envoy| {
                document(envoy)["idempotency"] = json!({"in_flight": "wait"});
                host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
            },
            "above hold_bytes_max 4063232 is needed",
        );
    }

    #[test]
    fn what_a_rule_or_a_route_holds_counts_too() {
        for held in [
            json!({"in_flight": "wait"}),
            json!({"encoder": "django"}),
            json!({"execution": "detached", "detached_cluster": "upstream"}),
        ] {
            let above = "above hold_bytes_max 4063232 is needed";
            errors(
                |envoy| {
                    document(envoy)["rules"] = json!([{"match": {"path": "/x"}, "idempotency": held.clone()}]);
                    host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
                },
                above,
            );
            errors(
                |envoy| {
                    let metadata = json!({"filter_metadata": {"reprise": {"idempotency": held.clone()}}});
                    host(envoy)["routes"][0]["metadata"] = metadata;
                    host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
                },
                above,
            );
        }
    }

    #[test]
    fn a_body_limit_is_above_what_encoders_hold() {
        for keys in [
            json!({"preset": "django", "in_flight": "conflict"}),
            json!({"encoder": "django"}),
        ] {
            errors(
                |envoy| {
                    document(envoy)["idempotency"] = keys;
                    host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
                },
                "above hold_bytes_max 4063232 is needed",
            );
        }
        errors(
            |envoy| {
                document(envoy)["rules"] = json!([{"idempotency": {"encoder": {"parts": ["key", "body"]}}}]);
                host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
            },
            "above hold_bytes_max 4063232 is needed",
        );
        sound(|envoy| {
            document(envoy)["idempotency"] = json!({"encoder": {"parts": ["key", "path"]}});
            host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
        });
    }

    #[test]
    fn a_body_limit_is_above_what_captures_hold() {
        errors(
            |envoy| {
                document(envoy)["capture"] = json!({"enabled": true});
                host(envoy)["request_body_buffer_limit"] = json!(4_063_232);
            },
            "above hold_bytes_max 4063232 is needed",
        );
        errors(
            |envoy| {
                document(envoy)["rules"] = json!([
                    {"capture": {"enabled": true, "durability": "write_ahead", "body_bytes_max": 8_388_608}}]);
            },
            "above capture.body_bytes_max of what is written ahead 8388608 is needed",
        );
        sound(|envoy| document(envoy)["capture"] = json!({"enabled": true, "durability": "write_ahead"}));
    }

    #[test]
    fn routes_from_elsewhere_are_a_warning() {
        warnings(
            |envoy| drop(manager(envoy)["route_config"].take()),
            "routes come from elsewhere",
        );
    }
}
